//! Deadlines of runs. They are written by batches, and go with their runs; those that were missed stay for
//! people to see.

use airlock_model::{
    id::RunKey,
    port::{DeadlineFilter, DeadlineRow, DeadlineStore, Page, Paged, StoreError},
};
use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use crate::{
    Store, column,
    database::{read, snapshot},
};

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

fn all(rows: Vec<DeadlineRecord>) -> Result<Vec<DeadlineRow>, StoreError> {
    rows.into_iter().map(DeadlineRow::try_from).collect()
}

macro_rules! columns {
    () => {
        "SELECT run, name, at, missed_at, request FROM deadline"
    };
}

/// The condition is, word for word, that of the partial index; on SQLite, which knows nothing of how the rows
/// are spread, the index is named.
macro_rules! ahead {
    ($index:literal) => {
        concat!(
            columns!(),
            $index,
            " WHERE missed_at IS NULL ORDER BY run, name_hash"
        )
    };
}
const AHEAD_SQLITE: &str = ahead!(" INDEXED BY deadline_ahead");
const AHEAD_POSTGRES: &str = ahead!("");

/// `WHERE …` for a filter; a macro because the builder's type differs between the databases.
macro_rules! filtered {
    ($select:expr, $filter:expr) => {{
        let filter: &DeadlineFilter = $filter;
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
        query.push(match filter.missed {
            Some(true) => " AND missed_at IS NOT NULL",
            Some(false) => " AND missed_at IS NULL",
            None => "",
        });
        query
    }};
}

#[async_trait]
impl DeadlineStore for Store {
    async fn deadlines_ahead(&self) -> Result<Vec<DeadlineRow>, StoreError> {
        let statement = self.dialect(AHEAD_SQLITE, AHEAD_POSTGRES);
        let rows = read!(self, db => { Ok(sqlx::query_as(statement).fetch_all(db).await?) })?;
        all(rows)
    }

    async fn deadlines(
        &self,
        filter: &DeadlineFilter,
        page: Page,
    ) -> Result<Paged<DeadlineRow>, StoreError> {
        let (rows, total): (Vec<DeadlineRecord>, i64) = snapshot!(self, db => {
            let mut query = filtered!(columns!(), filter);
            query.push(" ORDER BY at, run, name_hash LIMIT ").push_bind(i64::from(page.limit));
            query.push(" OFFSET ").push_bind(i64::from(page.offset));
            let rows = query.build_query_as().fetch_all(&mut *db).await?;
            let mut query = filtered!("SELECT COUNT(*) FROM deadline", filter);
            let total = query.build_query_scalar().fetch_one(&mut *db).await?;
            Ok((rows, total))
        })?;
        Ok(Paged {
            items: all(rows)?,
            total: column::number(total)?,
        })
    }
}

/// What is asked on SQLite.
#[cfg(test)]
pub(crate) fn sqlite_plans() -> Vec<&'static str> {
    vec![AHEAD_SQLITE]
}

/// The same on PostgreSQL.
#[cfg(test)]
pub(crate) fn postgres_plans() -> Vec<&'static str> {
    vec![AHEAD_POSTGRES]
}
