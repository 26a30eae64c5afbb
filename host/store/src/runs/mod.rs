//! Runs and task instances.
//!
//! Writing is one batch at a time ([`encode`] turns it into JSON parameters, [`sqlite`] and [`postgres`] hold
//! the statements), reading is for people ([`list`], [`past`]), for a restart ([`read`]), for who counts on it ([`durations`]), and for the
//! rules that look beyond one run ([`around`]).

mod around;
mod delete;
mod durations;
pub(crate) mod encode;
mod list;
mod past;
mod postgres;
mod read;
mod sqlite;

pub use past::PastTry;

use std::{collections::HashSet, time::Duration};

use airlock_model::{
    id::{BackfillId, DagId, RunId, RunKey, TaskId},
    port::{
        Batch, CommitError, DagProgress, Page, Paged, RunFilter, RunRow, RunStore, StoreError,
        StoredRun, TaskRow,
    },
    state::RunState,
    time::Timestamp,
};
use async_trait::async_trait;

use crate::{
    Store, column,
    database::{Database, write},
};

/// New runs of a batch that collide with an earlier one of the same batch. Both databases would notice, but
/// only after having written the first.
fn twins(batch: &Batch) -> Vec<RunKey> {
    if batch.new_runs.len() < 2 {
        return Vec::new();
    }
    let (mut keys, mut ids, mut dates) = (HashSet::new(), HashSet::new(), HashSet::new());
    let runs = batch.new_runs.iter().map(|new| &new.run);
    runs.filter(|run| {
        let known_key = !keys.insert(run.key);
        let known_id = !ids.insert((&run.dag_id, &run.run_id));
        let known_date = run
            .logical_date
            .is_some_and(|at| !dates.insert((&run.dag_id, at)));
        known_key || known_id || known_date
    })
    .map(|run| run.key)
    .collect()
}

/// New backfills of a batch that collide with an earlier one of the same batch.
fn twin_backfills(batch: &Batch) -> Vec<BackfillId> {
    let (mut ids, mut dags) = (HashSet::new(), HashSet::new());
    let new = batch.new_backfills.iter().map(|(backfill, _)| backfill);
    new.filter(|backfill| {
        let known_id = !ids.insert(backfill.id);
        let is_active = backfill.completed_at.is_none();
        known_id || (is_active && !dags.insert(&backfill.dag_id))
    })
    .map(|backfill| backfill.id)
    .collect()
}

/// A batch that names a row twice, or a run or backfill that is not there: the writer's mistake.
fn unmatched() -> StoreError {
    StoreError::Refused(
        "a batch moves something twice, or a run or backfill that does not exist; nothing of it was written"
            .into(),
    )
}

#[async_trait]
impl RunStore for Store {
    async fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        if batch.is_empty() {
            return Ok(());
        }
        let twins = twins(batch);
        if !twins.is_empty() {
            return Err(CommitError::RunExists(twins));
        }
        let twins = twin_backfills(batch);
        if !twins.is_empty() {
            return Err(CommitError::BackfillExists(twins));
        }
        match &self.database {
            Database::Sqlite(file) => sqlite::commit(file, batch).await,
            Database::Postgres { pool, undecided } => {
                postgres::commit(pool, undecided, batch).await
            }
        }
    }

    async fn unfinished(&self) -> Result<Vec<StoredRun>, StoreError> {
        self.read_unfinished().await
    }

    async fn durations(&self, dag_id: &DagId, most: u32) -> Result<Vec<Duration>, StoreError> {
        self.read_durations(dag_id, most).await
    }

    async fn stored_run(&self, key: RunKey) -> Result<Option<StoredRun>, StoreError> {
        self.read_stored_run(key).await
    }

    async fn progress(&self) -> Result<Vec<DagProgress>, StoreError> {
        self.read_progress().await
    }

    async fn run(&self, dag_id: &DagId, run_id: &RunId) -> Result<Option<RunRow>, StoreError> {
        self.read_run(dag_id, run_id).await
    }

    async fn run_at(
        &self,
        dag_id: &DagId,
        logical_date: Timestamp,
    ) -> Result<Option<RunRow>, StoreError> {
        self.read_run_at(dag_id, logical_date).await
    }

    async fn runs(&self, filter: &RunFilter, page: Page) -> Result<Paged<RunRow>, StoreError> {
        self.read_runs(filter, page).await
    }

    async fn previous(
        &self,
        dag_id: &DagId,
        before: Timestamp,
        scheduled_only: bool,
    ) -> Result<Option<RunRow>, StoreError> {
        self.read_previous(dag_id, before, scheduled_only).await
    }

    async fn next_after(
        &self,
        dag_id: &DagId,
        logical_date: Timestamp,
    ) -> Result<Option<RunRow>, StoreError> {
        self.read_next_after(dag_id, logical_date).await
    }

    async fn last_states(&self, dag_id: &DagId, limit: u32) -> Result<Vec<RunState>, StoreError> {
        self.read_last_states(dag_id, limit).await
    }

    async fn had_task(
        &self,
        dag_id: &DagId,
        task_id: &TaskId,
        before: Timestamp,
    ) -> Result<bool, StoreError> {
        self.read_had_task(dag_id, task_id, before).await
    }

    async fn set_note(&self, key: RunKey, note: Option<&str>) -> Result<(), StoreError> {
        let note = note.map(column::plain);
        write!(self, db => {
            let done = sqlx::query("UPDATE dag_run SET note = $1 WHERE key = $2")
                .bind(note.as_deref())
                .bind(key.0)
                .execute(&mut *db)
                .await?;
            match done.rows_affected() {
                0 => Err(StoreError::NotFound("the run".into()).into()),
                _ => Ok(()),
            }
        })
    }

    async fn delete_run(&self, key: RunKey) -> Result<(), StoreError> {
        self.remove_run(key).await
    }

    async fn task_instances(&self, run: RunKey) -> Result<Vec<TaskRow>, StoreError> {
        self.read_task_instances(run).await
    }

    async fn run_counts(&self) -> Result<Vec<(DagId, RunState, u64)>, StoreError> {
        self.read_run_counts().await
    }
}

/// The statements that have to stay fast, per database.
#[cfg(test)]
pub(crate) mod plans {
    pub(crate) fn sqlite() -> Vec<&'static str> {
        [
            super::sqlite::plans(),
            super::read::sqlite_plans(),
            super::around::sqlite_plans(),
            super::durations::sqlite_plans(),
            super::past::plans(),
            super::delete::plans(),
        ]
        .concat()
    }

    pub(crate) fn postgres() -> Vec<&'static str> {
        [
            super::postgres::plans(),
            super::read::postgres_plans(),
            super::around::postgres_plans(),
            super::durations::postgres_plans(),
            super::past::plans(),
            super::delete::plans(),
        ]
        .concat()
    }
}
