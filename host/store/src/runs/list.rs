//! Runs for people: listed and counted.

use airlock_model::{
    id::DagId,
    port::{Page, Paged, RunFilter, RunOrder, RunRow, StoreError},
    state::RunState,
};
use sqlx::QueryBuilder;

use super::read::{RunRecord, all};
use crate::{
    Store, column,
    database::{read, snapshot},
};

const COUNTS: &str =
    "SELECT dag_id, state, COUNT(*) FROM dag_run GROUP BY dag_id, state ORDER BY dag_id, state";

/// `WHERE …` for a filter; a macro because the builder's type differs between the databases.
macro_rules! filtered {
    ($select:expr, $filter:expr) => {{
        let filter: &RunFilter = $filter;
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
        if let Some(backfill) = filter.backfill {
            query.push(" AND backfill = ").push_bind(backfill.0);
        }
        for (bound, at) in [
            (" AND logical_date >= ", filter.logical_from),
            (" AND logical_date <= ", filter.logical_to),
            (" AND run_after >= ", filter.run_after_from),
            (" AND run_after <= ", filter.run_after_to),
        ] {
            if let Some(at) = at {
                query.push(bound).push_bind(at.micros());
            }
        }
        let states = filter.states.iter().map(|state| state.as_str());
        let types = filter.run_types.iter().map(|kind| kind.as_str());
        for (column, names) in [
            (" AND state IN (", states.collect::<Vec<_>>()),
            (" AND run_type IN (", types.collect()),
        ] {
            if !names.is_empty() {
                query.push(column);
                let mut list = query.separated(", ");
                for name in names {
                    list.push_bind(name);
                }
                query.push(")");
            }
        }
        query
    }};
}

/// What to sort by. A run of some logical date has one, which another index serves.
const fn order(filter: &RunFilter) -> &'static str {
    let is_dated = filter.logical_from.is_some() || filter.logical_to.is_some();
    match (filter.order, is_dated, filter.newest_first) {
        (RunOrder::Created, _, false) => " ORDER BY key",
        (RunOrder::Created, _, true) => " ORDER BY key DESC",
        (RunOrder::LogicalDate, true, false) => " ORDER BY logical_date, key",
        (RunOrder::LogicalDate, true, true) => " ORDER BY logical_date DESC, key DESC",
        (RunOrder::LogicalDate, false, false) => " ORDER BY COALESCE(logical_date, run_after), key",
        (RunOrder::LogicalDate, false, true) => {
            " ORDER BY COALESCE(logical_date, run_after) DESC, key DESC"
        }
    }
}

impl Store {
    pub(super) async fn read_runs(
        &self,
        filter: &RunFilter,
        page: Page,
    ) -> Result<Paged<RunRow>, StoreError> {
        let (rows, total): (Vec<RunRecord>, i64) = snapshot!(self, db => {
            let mut query = filtered!("SELECT * FROM dag_run", filter);
            query.push(order(filter));
            query.push(" LIMIT ").push_bind(i64::from(page.limit));
            query.push(" OFFSET ").push_bind(i64::from(page.offset));
            let rows = query.build_query_as().fetch_all(&mut *db).await?;
            let mut query = filtered!("SELECT COUNT(*) FROM dag_run", filter);
            let total = query.build_query_scalar().fetch_one(&mut *db).await?;
            Ok((rows, total))
        })?;
        Ok(Paged {
            items: all(rows)?,
            total: column::number(total)?,
        })
    }

    pub(super) async fn read_run_counts(&self) -> Result<Vec<(DagId, RunState, u64)>, StoreError> {
        let rows: Vec<(String, String, i64)> =
            read!(self, db => { Ok(sqlx::query_as(COUNTS).fetch_all(db).await?) })?;
        rows.into_iter()
            .map(|(dag_id, state, runs)| {
                Ok((
                    column::name(&dag_id)?,
                    column::name(&state)?,
                    column::number(runs)?,
                ))
            })
            .collect()
    }
}
