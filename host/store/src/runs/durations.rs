//! How long runs took, from which deadlines are counted.

use std::time::Duration;

use airlock_model::{id::DagId, port::StoreError};

use crate::{Store, database::read};

/// The conditions are, word for word, those of the partial index; on SQLite, which knows nothing of how the
/// rows are spread, the index is named.
macro_rules! durations {
    ($index:literal) => {
        concat!(
            "SELECT ended_at - queued_at FROM dag_run",
            $index,
            " WHERE dag_id = $1 AND state = 'success' AND ended_at IS NOT NULL",
            " ORDER BY ended_at DESC LIMIT $2"
        )
    };
}
const DURATIONS_SQLITE: &str = durations!(" INDEXED BY dag_run_succeeded");
const DURATIONS_POSTGRES: &str = durations!("");

impl Store {
    pub(super) async fn read_durations(
        &self,
        dag_id: &DagId,
        most: u32,
    ) -> Result<Vec<Duration>, StoreError> {
        let statement = self.dialect(DURATIONS_SQLITE, DURATIONS_POSTGRES);
        let micros: Vec<i64> = read!(self, db => {
            Ok(sqlx::query_scalar(statement)
                .bind(dag_id.as_str())
                .bind(i64::from(most))
                .fetch_all(db)
                .await?)
        })?;
        // A clock that was set back between the two gives none.
        let took = |micros: i64| Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        Ok(micros.into_iter().map(took).collect())
    }
}

/// What is asked on SQLite.
#[cfg(test)]
pub(crate) fn sqlite_plans() -> Vec<&'static str> {
    vec![DURATIONS_SQLITE]
}

/// The same on PostgreSQL.
#[cfg(test)]
pub(crate) fn postgres_plans() -> Vec<&'static str> {
    vec![DURATIONS_POSTGRES]
}
