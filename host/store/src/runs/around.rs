//! The runs around one: what came before it and after it, whatever number of runs there are.
//!
//! Each question is answered from one end of an index that holds just what it asks for. On SQLite, which
//! knows nothing of how the rows are spread, the index is named.

use airlock_model::{
    id::{DagId, TaskId},
    port::{RunRow, StoreError},
    state::RunState,
    time::Timestamp,
};

use super::read::RunRecord;
use crate::{
    Store, column,
    database::{Database, read},
};

const PREVIOUS: &str = "
SELECT * FROM dag_run WHERE dag_id = $1 AND logical_date < $2 ORDER BY logical_date DESC LIMIT 1";
const NEXT: &str = "
SELECT * FROM dag_run WHERE dag_id = $1 AND logical_date > $2 ORDER BY logical_date LIMIT 1";

/// The conditions are, word for word, those of the partial indexes.
macro_rules! by_clock {
    ($from:literal) => {
        concat!(
            "SELECT * FROM ",
            $from,
            " WHERE dag_id = $1 AND logical_date < $2",
            " AND run_type NOT IN ('manual', 'asset_triggered') ORDER BY logical_date DESC LIMIT 1"
        )
    };
}
const BY_CLOCK_SQLITE: &str = by_clock!("dag_run INDEXED BY dag_run_by_clock");
const BY_CLOCK_POSTGRES: &str = by_clock!("dag_run");

macro_rules! last_states {
    ($from:literal) => {
        concat!(
            "SELECT state FROM ",
            $from,
            " WHERE dag_id = $1 AND state IN ('success', 'failed')",
            " AND run_type <> 'backfill' AND backfill IS NULL",
            " ORDER BY COALESCE(logical_date, run_after) DESC, key DESC LIMIT $2"
        )
    };
}
const LAST_STATES_SQLITE: &str = last_states!("dag_run INDEXED BY dag_run_ended");
const LAST_STATES_POSTGRES: &str = last_states!("dag_run");

/// A DAG has as many definitions as it was changed, not as many as it has runs.
const HAD_TASK: &str = "
SELECT 1 FROM pinned_definition AS p CROSS JOIN definition_task AS t
WHERE p.dag_id = $1 AND p.since < $3 AND t.definition = p.definition AND t.task_id = $2 LIMIT 1";

impl Store {
    async fn neighbour(
        &self,
        statement: &'static str,
        dag_id: &DagId,
        of: Timestamp,
    ) -> Result<Option<RunRow>, StoreError> {
        let row: Option<RunRecord> = read!(self, db => {
            Ok(sqlx::query_as(statement)
                .bind(dag_id.as_str())
                .bind(of.micros())
                .fetch_optional(db)
                .await?)
        })?;
        row.map(RunRow::try_from).transpose()
    }

    pub(super) async fn read_previous(
        &self,
        dag_id: &DagId,
        before: Timestamp,
        scheduled_only: bool,
    ) -> Result<Option<RunRow>, StoreError> {
        let statement = match (&self.database, scheduled_only) {
            (_, false) => PREVIOUS,
            (Database::Sqlite(_), true) => BY_CLOCK_SQLITE,
            (Database::Postgres { .. }, true) => BY_CLOCK_POSTGRES,
        };
        self.neighbour(statement, dag_id, before).await
    }

    pub(super) async fn read_next_after(
        &self,
        dag_id: &DagId,
        logical_date: Timestamp,
    ) -> Result<Option<RunRow>, StoreError> {
        self.neighbour(NEXT, dag_id, logical_date).await
    }

    pub(super) async fn read_last_states(
        &self,
        dag_id: &DagId,
        limit: u32,
    ) -> Result<Vec<RunState>, StoreError> {
        let statement = match &self.database {
            Database::Sqlite(_) => LAST_STATES_SQLITE,
            Database::Postgres { .. } => LAST_STATES_POSTGRES,
        };
        let states: Vec<String> = read!(self, db => {
            Ok(sqlx::query_scalar(statement)
                .bind(dag_id.as_str())
                .bind(i64::from(limit))
                .fetch_all(db)
                .await?)
        })?;
        states.iter().map(|state| column::name(state)).collect()
    }

    pub(super) async fn read_had_task(
        &self,
        dag_id: &DagId,
        task_id: &TaskId,
        before: Timestamp,
    ) -> Result<bool, StoreError> {
        let found: Option<i32> = read!(self, db => {
            Ok(sqlx::query_scalar(HAD_TASK)
                .bind(dag_id.as_str())
                .bind(task_id.as_str())
                .bind(before.micros())
                .fetch_optional(db)
                .await?)
        })?;
        Ok(found.is_some())
    }
}

/// What the rules ask on SQLite.
#[cfg(test)]
pub(crate) fn sqlite_plans() -> Vec<&'static str> {
    vec![
        PREVIOUS,
        NEXT,
        BY_CLOCK_SQLITE,
        LAST_STATES_SQLITE,
        HAD_TASK,
    ]
}

/// The same on PostgreSQL.
#[cfg(test)]
pub(crate) fn postgres_plans() -> Vec<&'static str> {
    vec![
        PREVIOUS,
        NEXT,
        BY_CLOCK_POSTGRES,
        LAST_STATES_POSTGRES,
        HAD_TASK,
    ]
}
