//! Requests for callbacks. They are written by batches, and go with their runs: one that is still to be
//! executed when its run is deleted is not, because what it would tell of is no more.

mod statements;

#[cfg(test)]
pub(crate) use statements::{postgres_plans, sqlite_plans};

use std::{cmp::Reverse, sync::Arc};

use airlock_model::{
    callback::{CallbackId, CallbackState},
    id::{HostId, TeamName},
    port::{
        CallbackEnd, CallbackFilter, CallbackRow, CallbackStore, Lease, Page, Paged, StoreError,
    },
    time::Timestamp,
};
use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use crate::{
    Store, column,
    database::{read, snapshot, write},
    leases::{in_order, lost},
    runs::encode,
};
use statements::{
    BY_ID, CLAIM_POSTGRES, CLAIM_SQLITE, CLAIMABLE_POSTGRES, CLAIMABLE_SQLITE, COUNTS_POSTGRES,
    COUNTS_SQLITE, ENDED_POSTGRES, ENDED_SQLITE, NEXT_POSTGRES, NEXT_SQLITE, READY_POSTGRES,
    READY_SQLITE, RENEW_POSTGRES, RENEW_SQLITE, RETRY,
};

/// How many requests of a team a claim marks at least whose time has come.
const MARKED: u32 = 1_000;

#[derive(FromRow)]
struct CallbackRecord {
    id: Uuid,
    created_at: i64,
    priority_weight: i64,
    kind: String,
    message: String,
    team: String,
    bundle: String,
    hash: Vec<u8>,
    entry: String,
    arguments: String,
    subject: String,
    state: String,
    tries: i64,
    next_try_at: i64,
    ended_at: Option<i64>,
    note: Option<String>,
    lease_token: i64,
}

impl TryFrom<CallbackRecord> for CallbackRow {
    type Error = StoreError;
    fn try_from(row: CallbackRecord) -> Result<Self, StoreError> {
        Ok(Self {
            id: CallbackId(row.id),
            created_at: column::time(row.created_at)?,
            priority_weight: row.priority_weight,
            kind: column::name(&row.kind)?,
            message: row.message.into(),
            team: column::name(&row.team)?,
            bundle: column::name(&row.bundle)?,
            hash: column::hash(&row.hash)?,
            entry: row.entry.into(),
            arguments: row.arguments.into(),
            subject: column::of_json(&row.subject)?,
            state: column::name(&row.state)?,
            tries: column::number(row.tries)?,
            next_try_at: column::time(row.next_try_at)?,
            ended_at: column::maybe_time(row.ended_at)?,
            note: row.note.map(Into::into),
        })
    }
}

/// Ends as JSON rows, in the order of their keys.
fn encoded(ends: &[(CallbackId, Lease, Timestamp, CallbackEnd)]) -> Result<Arc<str>, StoreError> {
    let mut ends: Vec<_> = ends.iter().collect();
    ends.sort_unstable_by_key(|(id, ..)| *id);
    encode::rows(ends, |(id, lease, at, end)| {
        let (state, next, note) = match end {
            CallbackEnd::Done => (CallbackState::Success, None, None),
            CallbackEnd::Again { at, note } => (CallbackState::Pending, Some(at), Some(note)),
            CallbackEnd::Failed { note } => (CallbackState::Failed, None, Some(note)),
        };
        let note = note.map(|note| column::plain(note));
        (
            encode::Key(id.0),
            encode::Key(lease.host.0),
            lease.token,
            state,
            at,
            next,
            note,
        )
    })
}

/// `WHERE …` for a filter; a macro because the builder's type differs between the databases.
macro_rules! filtered {
    ($select:expr, $filter:expr) => {{
        let filter: &CallbackFilter = $filter;
        let mut query = QueryBuilder::new($select);
        query.push(" WHERE TRUE");
        if let Some(team) = &filter.team {
            query
                .push(" AND team = ")
                .push_bind(team.as_str().to_owned());
        }
        if let Some(dag_id) = &filter.dag_id {
            query
                .push(" AND dag_id = ")
                .push_bind(dag_id.as_str().to_owned());
        }
        if !filter.states.is_empty() {
            query.push(" AND state IN (");
            let mut list = query.separated(", ");
            for state in &filter.states {
                list.push_bind(state.as_str());
            }
            query.push(")");
        }
        query
    }};
}

#[async_trait]
impl CallbackStore for Store {
    async fn claim_callbacks(
        &self,
        (host, until): (HostId, Timestamp),
        now: Timestamp,
        per_team: u32,
        most: u32,
    ) -> Result<Vec<(CallbackRow, Lease)>, StoreError> {
        // A round that finds nothing disturbs nobody who writes.
        if self.next_callback_due().await?.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let ready = self.dialect(READY_SQLITE, READY_POSTGRES);
        let claimable = self.dialect(CLAIMABLE_SQLITE, CLAIMABLE_POSTGRES);
        let claim = self.dialect(CLAIM_SQLITE, CLAIM_POSTGRES);
        let claimed: Vec<CallbackRecord> = write!(self, db => {
            sqlx::query(ready)
                .bind(now.micros())
                .bind(i64::from(per_team.max(MARKED)))
                .execute(&mut *db)
                .await?;
            let mut found: Vec<(Uuid, i64)> = sqlx::query_as(claimable)
                .bind(i64::from(per_team))
                .fetch_all(&mut *db)
                .await?;
            found.sort_unstable_by_key(|(id, priority)| (Reverse(*priority), *id));
            found.truncate(most as usize);
            let found: Vec<Uuid> = found.into_iter().map(|(id, _)| id).collect();
            let rows = sqlx::query_as(claim)
                .bind(encode::ids(found.iter().copied())?.as_ref())
                .bind(host.0)
                .bind(until.micros())
                .fetch_all(&mut *db)
                .await?;
            Ok(in_order(&found, rows, |row: &CallbackRecord| row.id))
        })?;
        let lease = |row: CallbackRecord| {
            let token = column::token(row.lease_token)?;
            Ok((row.try_into()?, Lease { host, token, until }))
        };
        claimed.into_iter().map(lease).collect()
    }

    async fn callbacks_ended(
        &self,
        ends: &[(CallbackId, Lease, Timestamp, CallbackEnd)],
    ) -> Result<Vec<CallbackId>, StoreError> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        let statement = self.dialect(ENDED_SQLITE, ENDED_POSTGRES);
        let changes = encoded(ends)?;
        let written: Vec<Uuid> = write!(self, db => {
            Ok(sqlx::query_scalar(statement).bind(changes.as_ref()).fetch_all(&mut *db).await?)
        })?;
        Ok(lost(ends.iter().map(|(id, ..)| *id), |id| id.0, &written))
    }

    async fn renew_callbacks(&self, host: HostId, until: Timestamp) -> Result<(), StoreError> {
        let statement = self.dialect(RENEW_SQLITE, RENEW_POSTGRES);
        write!(self, db => {
            sqlx::query(statement).bind(host.0).bind(until.micros()).execute(&mut *db).await?;
            Ok(())
        })
    }

    async fn next_callback_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let statement = self.dialect(NEXT_SQLITE, NEXT_POSTGRES);
        let (marked, other): (Option<i64>, Option<i64>) =
            read!(self, db => { Ok(sqlx::query_as(statement).fetch_one(db).await?) })?;
        column::maybe_time(marked.into_iter().chain(other).min())
    }

    async fn retry_callback(&self, id: CallbackId, now: Timestamp) -> Result<bool, StoreError> {
        write!(self, db => {
            let done = sqlx::query(RETRY)
                .bind(id.0)
                .bind(now.micros())
                .execute(&mut *db)
                .await?;
            Ok(done.rows_affected() > 0)
        })
    }

    async fn callback(&self, id: CallbackId) -> Result<Option<CallbackRow>, StoreError> {
        let row: Option<CallbackRecord> = read!(self, db => {
            Ok(sqlx::query_as(BY_ID).bind(id.0).fetch_optional(db).await?)
        })?;
        row.map(CallbackRow::try_from).transpose()
    }

    async fn callback_counts(&self) -> Result<Vec<(TeamName, CallbackState, u64)>, StoreError> {
        let statement = self.dialect(COUNTS_SQLITE, COUNTS_POSTGRES);
        let rows: Vec<(String, String, i64)> =
            read!(self, db => { Ok(sqlx::query_as(statement).fetch_all(db).await?) })?;
        let count = |(team, state, count): (String, String, i64)| {
            Ok((
                column::name(&team)?,
                column::name(&state)?,
                column::number(count)?,
            ))
        };
        rows.into_iter().map(count).collect()
    }

    async fn callbacks(
        &self,
        filter: &CallbackFilter,
        page: Page,
    ) -> Result<Paged<CallbackRow>, StoreError> {
        let (rows, total): (Vec<CallbackRecord>, i64) = snapshot!(self, db => {
            let mut query = filtered!("SELECT * FROM callback", filter);
            query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(page.limit));
            query.push(" OFFSET ").push_bind(i64::from(page.offset));
            let rows = query.build_query_as().fetch_all(&mut *db).await?;
            let mut query = filtered!("SELECT COUNT(*) FROM callback", filter);
            let total = query.build_query_scalar().fetch_one(&mut *db).await?;
            Ok((rows, total))
        })?;
        let items = rows.into_iter().map(CallbackRow::try_from);
        Ok(Paged {
            items: items.collect::<Result<_, _>>()?,
            total: column::number(total)?,
        })
    }
}
