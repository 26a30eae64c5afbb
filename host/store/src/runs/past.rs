//! Ended tries that a later one has superseded.

use std::sync::Arc;

use airlock_model::{
    id::{TaskInstanceKey, Token},
    outcome::FailureKind,
    port::StoreError,
    state::TaskState,
    time::Timestamp,
};
use sqlx::FromRow;

use super::read::all;
use crate::{Store, column, database::read};

/// An ended try that a later one has superseded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastTry {
    /// Counted from one.
    pub try_number: u32,
    /// The claim under which it ran.
    pub token: Token,
    /// How it ended: success, failed or skipped.
    pub state: TaskState,
    /// When it was claimed.
    pub queued_at: Option<Timestamp>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Why it did not succeed, for people.
    pub note: Option<Arc<str>>,
    /// What ended it, where it failed.
    pub failure: Option<FailureKind>,
}

#[derive(FromRow)]
struct PastTryRecord {
    token: i64,
    try_number: i64,
    state: String,
    queued_at: Option<i64>,
    started_at: Option<i64>,
    ended_at: i64,
    note: Option<String>,
    failure: Option<String>,
}

impl TryFrom<PastTryRecord> for PastTry {
    type Error = StoreError;
    fn try_from(row: PastTryRecord) -> Result<Self, StoreError> {
        Ok(Self {
            try_number: column::number(row.try_number)?,
            token: column::token(row.token)?,
            state: column::name(&row.state)?,
            queued_at: column::maybe_time(row.queued_at)?,
            started_at: column::maybe_time(row.started_at)?,
            ended_at: column::time(row.ended_at)?,
            note: row.note.map(Into::into),
            failure: row.failure.as_deref().map(column::failure).transpose()?,
        })
    }
}

const PAST_TRIES: &str = "
SELECT token, try_number, state, queued_at, started_at, ended_at, note, failure FROM task_try
WHERE run = $1 AND task = $2 AND map_index = $3 ORDER BY token";

impl Store {
    /// The ended tries of a task instance but the newest, which the task instance itself tells of; oldest
    /// first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn past_tries(&self, of: TaskInstanceKey) -> Result<Vec<PastTry>, StoreError> {
        let rows: Vec<PastTryRecord> = read!(self, db => {
            Ok(sqlx::query_as(PAST_TRIES)
                .bind(of.run.0)
                .bind(i64::from(of.task.0))
                .bind(of.map_index.0)
                .fetch_all(db)
                .await?)
        })?;
        all(rows)
    }
}

/// What a restart or a person asks.
#[cfg(test)]
pub(crate) fn plans() -> Vec<&'static str> {
    vec![PAST_TRIES]
}
