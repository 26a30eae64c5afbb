//! Deadlines that are ahead, and how long runs took, from which deadlines are counted.

use std::time::Duration;

use airlock_model::{
    id::{DagId, RunKey},
    port::{DeadlineRow, StoreError},
};
use sqlx::FromRow;
use uuid::Uuid;

use super::read::all;
use crate::{Store, column, database::read};

#[derive(FromRow)]
struct DeadlineRecord {
    run: Uuid,
    name: String,
    at: i64,
    missed_at: Option<i64>,
    request: String,
}

impl TryFrom<DeadlineRecord> for DeadlineRow {
    type Error = StoreError;
    fn try_from(row: DeadlineRecord) -> Result<Self, StoreError> {
        Ok(Self {
            run: RunKey(row.run),
            name: row.name,
            at: column::time(row.at)?,
            missed_at: column::maybe_time(row.missed_at)?,
            request: column::of_json(&row.request)?,
        })
    }
}

/// The conditions are, word for word, those of the partial indexes; on SQLite, which knows nothing of how the
/// rows are spread, the index is named.
macro_rules! ahead {
    ($index:literal) => {
        concat!(
            "SELECT run, name, at, missed_at, request FROM deadline",
            $index,
            " WHERE missed_at IS NULL ORDER BY run, name_hash"
        )
    };
}
const AHEAD_SQLITE: &str = ahead!(" INDEXED BY deadline_ahead");
const AHEAD_POSTGRES: &str = ahead!("");

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
    pub(super) async fn read_deadlines(&self) -> Result<Vec<DeadlineRow>, StoreError> {
        let statement = self.dialect(AHEAD_SQLITE, AHEAD_POSTGRES);
        let rows: Vec<DeadlineRecord> =
            read!(self, db => { Ok(sqlx::query_as(statement).fetch_all(db).await?) })?;
        all(rows)
    }

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
    vec![AHEAD_SQLITE, DURATIONS_SQLITE]
}

/// The same on PostgreSQL.
#[cfg(test)]
pub(crate) fn postgres_plans() -> Vec<&'static str> {
    vec![AHEAD_POSTGRES, DURATIONS_POSTGRES]
}
