//! Reading backfills. They are written by a batch.

use airlock_model::{
    id::{BackfillId, RunKey},
    port::{Backfill, BackfillFilter, BackfillRun, BackfillStore, Page, Paged, StoreError},
};
use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use crate::{
    Store, column,
    database::{read, snapshot},
};

#[derive(FromRow)]
struct BackfillRecord {
    id: i64,
    dag_id: String,
    team: String,
    from_date: i64,
    to_date: i64,
    reprocess: String,
    reverse: bool,
    max_active_runs: i64,
    conf: String,
    is_paused: bool,
    created_at: i64,
    completed_at: Option<i64>,
}

impl TryFrom<BackfillRecord> for Backfill {
    type Error = StoreError;
    fn try_from(row: BackfillRecord) -> Result<Self, StoreError> {
        Ok(Self {
            id: BackfillId(row.id),
            dag_id: column::name(&row.dag_id)?,
            team: column::name(&row.team)?,
            from: column::time(row.from_date)?,
            to: column::time(row.to_date)?,
            reprocess: column::name(&row.reprocess)?,
            reverse: row.reverse,
            max_active_runs: column::number(row.max_active_runs)?,
            conf: row.conf.into(),
            is_paused: row.is_paused,
            created_at: column::time(row.created_at)?,
            completed_at: column::maybe_time(row.completed_at)?,
        })
    }
}

#[derive(FromRow)]
struct BackfillRunRecord {
    backfill: i64,
    ordinal: i64,
    logical_date: i64,
    interval_start: i64,
    interval_end: i64,
    run: Option<Uuid>,
    skipped: Option<String>,
}

impl TryFrom<BackfillRunRecord> for BackfillRun {
    type Error = StoreError;
    fn try_from(row: BackfillRunRecord) -> Result<Self, StoreError> {
        let (start, end) = (row.interval_start, row.interval_end);
        Ok(Self {
            backfill: BackfillId(row.backfill),
            ordinal: column::number(row.ordinal)?,
            logical_date: column::time(row.logical_date)?,
            interval: (column::time(start)?, column::time(end)?),
            run: row.run.map(RunKey),
            skipped: row.skipped,
        })
    }
}

/// `WHERE …` for a filter; a macro because the builder's type differs between the databases.
macro_rules! filtered {
    ($select:expr, $filter:expr) => {{
        let filter: &BackfillFilter = $filter;
        let mut query = QueryBuilder::new($select);
        query.push(" WHERE TRUE");
        if let Some(dag_id) = &filter.dag_id {
            query
                .push(" AND dag_id = ")
                .push_bind(dag_id.as_str().to_owned());
        }
        if let Some(team) = &filter.team {
            query
                .push(" AND team = ")
                .push_bind(team.as_str().to_owned());
        }
        if filter.active {
            query.push(" AND completed_at IS NULL");
        }
        query
    }};
}

#[async_trait]
impl BackfillStore for Store {
    async fn backfill(&self, id: BackfillId) -> Result<Option<Backfill>, StoreError> {
        let row: Option<BackfillRecord> = read!(self, db => {
            Ok(sqlx::query_as("SELECT * FROM backfill WHERE id = $1")
                .bind(id.0)
                .fetch_optional(db)
                .await?)
        })?;
        row.map(Backfill::try_from).transpose()
    }

    async fn backfills(
        &self,
        filter: &BackfillFilter,
        page: Page,
    ) -> Result<Paged<Backfill>, StoreError> {
        let (rows, total): (Vec<BackfillRecord>, i64) = snapshot!(self, db => {
            let mut query = filtered!("SELECT * FROM backfill", filter);
            query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(page.limit));
            query.push(" OFFSET ").push_bind(i64::from(page.offset));
            let rows = query.build_query_as().fetch_all(&mut *db).await?;
            let mut query = filtered!("SELECT COUNT(*) FROM backfill", filter);
            let total = query.build_query_scalar().fetch_one(&mut *db).await?;
            Ok((rows, total))
        })?;
        let items = rows.into_iter().map(Backfill::try_from);
        Ok(Paged {
            items: items.collect::<Result<_, _>>()?,
            total: column::number(total)?,
        })
    }

    async fn backfill_runs(&self, id: BackfillId) -> Result<Vec<BackfillRun>, StoreError> {
        let rows: Vec<BackfillRunRecord> = read!(self, db => {
            Ok(sqlx::query_as("SELECT * FROM backfill_run WHERE backfill = $1 ORDER BY ordinal")
                .bind(id.0)
                .fetch_all(db)
                .await?)
        })?;
        rows.into_iter().map(BackfillRun::try_from).collect()
    }

    async fn next_backfill_id(&self) -> Result<BackfillId, StoreError> {
        let last: Option<i64> = read!(self, db => {
            Ok(sqlx::query_scalar("SELECT MAX(id) FROM backfill").fetch_one(db).await?)
        })?;
        Ok(BackfillId(last.unwrap_or(0).saturating_add(1)))
    }
}
