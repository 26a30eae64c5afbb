//! Triggers that are a bundle's own code. New ones, those that have fired and what watchers have seen are
//! written by batches.

mod statements;

pub(crate) use statements::{POLLED_POSTGRES, WATCHED_SQLITE};
#[cfg(test)]
pub(crate) use statements::{postgres_plans, sqlite_plans};

use airlock_model::{
    id::{HostId, MapIndex, RunKey, TaskIndex, TaskInstanceKey, TriggerId},
    port::{
        Lease, Page, Paged, StoreError, TriggerFilter, TriggerOwner, TriggerProgress, TriggerRow,
        TriggerStore,
    },
    time::Timestamp,
    trigger::OwnTrigger,
};
use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use crate::{
    Store, column,
    database::{read, snapshot, write},
    error::corrupt,
    leases::{in_order, lost},
    runs::encode,
};
use statements::{
    BY_ID, CLAIM_POSTGRES, CLAIM_SQLITE, CLAIMABLE_POSTGRES, CLAIMABLE_SQLITE, NEXT_POSTGRES,
    NEXT_SQLITE, POLLED_SQLITE, RENEW_POSTGRES, RENEW_SQLITE, WAKE_POSTGRES, WAKE_SQLITE,
};

#[derive(FromRow)]
struct TriggerRecord {
    id: Uuid,
    team: String,
    dag_id: String,
    bundle: String,
    hash: Vec<u8>,
    run: Option<Uuid>,
    task: Option<i32>,
    map_index: Option<i32>,
    task_token: Option<i64>,
    run_id: Option<String>,
    task_id: Option<String>,
    asset: Option<String>,
    watcher: Option<String>,
    kind: String,
    arguments: String,
    created_at: i64,
    state: Option<String>,
    next_poll_at: Option<i64>,
    wakes_on: Option<String>,
    polls: i64,
    last_poll_at: Option<i64>,
    cpu: i64,
    failures: i64,
    note: Option<String>,
    lease_token: i64,
}

impl TriggerRecord {
    fn owner(&mut self) -> Result<TriggerOwner, StoreError> {
        if let (Some(asset), Some(name)) = (self.asset.take(), self.watcher.take()) {
            return Ok(TriggerOwner::Watcher { asset, name });
        }
        let place = self.run.zip(self.task).zip(self.map_index);
        let names = self.run_id.as_deref().zip(self.task_id.as_deref());
        match (place, names, self.task_token) {
            (Some(((run, task), map_index)), Some((run_id, task_id)), Some(token)) => {
                let map_index = MapIndex(map_index);
                Ok(TriggerOwner::Task {
                    key: TaskInstanceKey {
                        run: RunKey(run),
                        task: TaskIndex(column::number(task.into())?),
                        map_index,
                    },
                    token: column::token(token)?,
                    run_id: column::name(run_id)?,
                    task_id: column::name(task_id)?,
                    map_index,
                })
            }
            _ => Err(corrupt(format!("the trigger {} of nobody", self.id))),
        }
    }
}

impl TryFrom<TriggerRecord> for TriggerRow {
    type Error = StoreError;
    fn try_from(mut row: TriggerRecord) -> Result<Self, StoreError> {
        let on = row.wakes_on.as_deref().map(column::of_json).transpose()?;
        Ok(Self {
            id: TriggerId(row.id),
            owner: row.owner()?,
            team: column::name(&row.team)?,
            dag_id: column::name(&row.dag_id)?,
            bundle: column::name(&row.bundle)?,
            hash: column::hash(&row.hash)?,
            own: OwnTrigger {
                kind: row.kind,
                arguments: row.arguments,
            },
            created_at: column::time(row.created_at)?,
            progress: TriggerProgress {
                state: row.state,
                next_poll_at: column::maybe_time(row.next_poll_at)?,
                on: on.unwrap_or_default(),
                polls: column::number(row.polls)?,
                last_poll_at: column::maybe_time(row.last_poll_at)?,
                cpu: column::span(row.cpu)?,
                failures: column::number(row.failures)?,
                note: row.note,
            },
        })
    }
}

fn all(rows: Vec<TriggerRecord>) -> Result<Vec<TriggerRow>, StoreError> {
    rows.into_iter().map(TriggerRow::try_from).collect()
}

/// `WHERE …` for a filter; a macro because the builder's type differs between the databases.
macro_rules! filtered {
    ($select:expr, $filter:expr) => {{
        let filter: &TriggerFilter = $filter;
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
        query.push(match filter.watchers {
            Some(true) => " AND asset IS NOT NULL",
            Some(false) => " AND run IS NOT NULL",
            None => "",
        });
        if filter.failing {
            query.push(" AND failures > 0");
        }
        query
    }};
}

#[async_trait]
impl TriggerStore for Store {
    async fn claim_triggers(
        &self,
        (host, until): (HostId, Timestamp),
        now: Timestamp,
        per_team: u32,
        most: u32,
    ) -> Result<Vec<(TriggerRow, Lease)>, StoreError> {
        // A round that finds nothing disturbs nobody who writes.
        if self.next_trigger_due().await?.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let claimable = self.dialect(CLAIMABLE_SQLITE, CLAIMABLE_POSTGRES);
        let claim = self.dialect(CLAIM_SQLITE, CLAIM_POSTGRES);
        let claimed: Vec<TriggerRecord> = write!(self, db => {
            let mut found: Vec<(Uuid, i64)> = sqlx::query_as(claimable)
                .bind(now.micros())
                .bind(i64::from(per_team))
                .fetch_all(&mut *db)
                .await?;
            found.sort_unstable_by_key(|(id, due)| (*due, *id));
            found.truncate(most as usize);
            let found: Vec<Uuid> = found.into_iter().map(|(id, _)| id).collect();
            let rows = sqlx::query_as(claim)
                .bind(encode::ids(found.iter().copied())?.as_ref())
                .bind(host.0)
                .bind(until.micros())
                .fetch_all(&mut *db)
                .await?;
            Ok(in_order(&found, rows, |row: &TriggerRecord| row.id))
        })?;
        let lease = |row: TriggerRecord| {
            let token = column::token(row.lease_token)?;
            Ok((row.try_into()?, Lease { host, token, until }))
        };
        claimed.into_iter().map(lease).collect()
    }

    async fn polled(
        &self,
        polls: &[(TriggerId, Lease, TriggerProgress)],
    ) -> Result<Vec<TriggerId>, StoreError> {
        if polls.is_empty() {
            return Ok(Vec::new());
        }
        let statement = self.dialect(POLLED_SQLITE, POLLED_POSTGRES);
        let changes = encode::polls(polls)?;
        let written: Vec<Uuid> = write!(self, db => {
            Ok(sqlx::query_scalar(statement).bind(changes.as_ref()).fetch_all(&mut *db).await?)
        })?;
        Ok(lost(polls.iter().map(|(id, ..)| *id), |id| id.0, &written))
    }

    async fn renew_triggers(&self, host: HostId, until: Timestamp) -> Result<(), StoreError> {
        let statement = self.dialect(RENEW_SQLITE, RENEW_POSTGRES);
        write!(self, db => {
            sqlx::query(statement).bind(host.0).bind(until.micros()).execute(&mut *db).await?;
            Ok(())
        })
    }

    async fn next_trigger_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let statement = self.dialect(NEXT_SQLITE, NEXT_POSTGRES);
        let due: Option<i64> =
            read!(self, db => { Ok(sqlx::query_scalar(statement).fetch_one(db).await?) })?;
        column::maybe_time(due)
    }

    async fn wake_triggers(&self, ids: &[TriggerId], now: Timestamp) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let statement = self.dialect(WAKE_SQLITE, WAKE_POSTGRES);
        let ids = encode::ids(ids.iter().map(|id| id.0))?;
        write!(self, db => {
            sqlx::query(statement).bind(ids.as_ref()).bind(now.micros()).execute(&mut *db).await?;
            Ok(())
        })
    }

    async fn trigger(&self, id: TriggerId) -> Result<Option<TriggerRow>, StoreError> {
        let row: Option<TriggerRecord> = read!(self, db => {
            Ok(sqlx::query_as(BY_ID).bind(id.0).fetch_optional(db).await?)
        })?;
        row.map(TriggerRow::try_from).transpose()
    }

    async fn triggers(
        &self,
        filter: &TriggerFilter,
        page: Page,
    ) -> Result<Paged<TriggerRow>, StoreError> {
        let (rows, total): (Vec<TriggerRecord>, i64) = snapshot!(self, db => {
            let mut query = filtered!("SELECT * FROM trigger", filter);
            query.push(" ORDER BY id LIMIT ").push_bind(i64::from(page.limit));
            query.push(" OFFSET ").push_bind(i64::from(page.offset));
            let rows = query.build_query_as().fetch_all(&mut *db).await?;
            let mut query = filtered!("SELECT COUNT(*) FROM trigger", filter);
            let total = query.build_query_scalar().fetch_one(&mut *db).await?;
            Ok((rows, total))
        })?;
        Ok(Paged {
            items: all(rows)?,
            total: column::number(total)?,
        })
    }
}
