//! Runs that go for good.

use airlock_model::{
    id::RunKey,
    port::{RunStore, StoreError},
};

use crate::{Store, database::write};

/// What hangs on a run, and what points to it. A callback that is being executed finds its claim lost; one
/// that is still to be executed is not, because what it would tell of is no more.
const OF_RUN: [&str; 9] = [
    "INSERT INTO dropped_content (hash)
         SELECT spilled FROM xcom WHERE run = $1 AND spilled IS NOT NULL
         ON CONFLICT (hash) DO NOTHING",
    "DELETE FROM xcom WHERE run = $1",
    "DELETE FROM task_try WHERE run = $1",
    "DELETE FROM task_instance WHERE run = $1",
    "DELETE FROM run_asset_event WHERE run = $1",
    "DELETE FROM trigger WHERE run = $1",
    "DELETE FROM callback WHERE run = $1",
    "DELETE FROM deadline WHERE run = $1",
    "UPDATE backfill_run SET run = NULL WHERE run = $1",
];

impl Store {
    pub(super) async fn remove_run(&self, key: RunKey) -> Result<(), StoreError> {
        let found: bool = write!(self, db => {
            // First, so that nobody queues it again meanwhile.
            let gone = sqlx::query("DELETE FROM dag_run WHERE key = $1 AND state IN ('success', 'failed')")
                .bind(key.0)
                .execute(&mut *db)
                .await?;
            for statement in OF_RUN.iter().filter(|_| gone.rows_affected() > 0) {
                sqlx::query(*statement).bind(key.0).execute(&mut *db).await?;
            }
            Ok(gone.rows_affected() > 0)
        })?;
        if found {
            return Ok(());
        }
        match self.stored_run(key).await? {
            Some(stored) => Err(StoreError::Refused(format!(
                "the run `{}` of DAG `{}` has not ended; let it end, or mark it as failed first",
                stored.run.run_id, stored.run.dag_id
            ))),
            None => Err(StoreError::NotFound("the run".into())),
        }
    }
}

/// What deleting a run asks.
#[cfg(test)]
pub(crate) fn plans() -> Vec<&'static str> {
    OF_RUN.to_vec()
}
