//! How assets changed, and which changes made which runs.

use std::collections::BTreeSet;

use airlock_model::{
    id::{AssetEventId, MapIndex, RunKey},
    port::{AssetEvent, AssetKey, EventFilter, EventSource, Page, Paged, StoreError},
    time::Timestamp,
};
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use crate::{
    Store, column,
    database::{read, snapshot},
    error::corrupt,
};

#[derive(FromRow)]
struct EventRecord {
    id: Uuid,
    team: String,
    name: String,
    at: i64,
    extra: String,
    source: String,
    told_by: Option<String>,
    dag_id: Option<String>,
    run_id: Option<String>,
    task_id: Option<String>,
    map_index: Option<i32>,
    aliases: String,
}

fn source(row: &EventRecord) -> Result<EventSource, StoreError> {
    let by = row.told_by.clone();
    let of_task = row.dag_id.as_deref().zip(row.run_id.as_deref());
    match (
        row.source.as_str(),
        by,
        of_task,
        &row.task_id,
        row.map_index,
    ) {
        ("api", Some(by), ..) => Ok(EventSource::Api { by }),
        ("other", Some(by), ..) => Ok(EventSource::Other(by)),
        ("task", _, Some((dag_id, run_id)), Some(task_id), Some(map_index)) => {
            Ok(EventSource::Task {
                dag_id: column::name(dag_id)?,
                run_id: column::name(run_id)?,
                task_id: column::name(task_id)?,
                map_index: MapIndex(map_index),
            })
        }
        _ => Err(corrupt("an asset event of no known source")),
    }
}

impl TryFrom<EventRecord> for AssetEvent {
    type Error = StoreError;
    fn try_from(row: EventRecord) -> Result<Self, StoreError> {
        Ok(Self {
            id: AssetEventId(row.id),
            at: column::time(row.at)?,
            source: source(&row)?,
            aliases: serde_json::from_str(&row.aliases).map_err(corrupt)?,
            asset: super::key(&row.team, &row.name)?,
            extra: row.extra.into(),
        })
    }
}

fn all(rows: Vec<EventRecord>) -> Result<Vec<AssetEvent>, StoreError> {
    rows.into_iter().map(AssetEvent::try_from).collect()
}

/// Oldest first.
fn in_order(mut events: Vec<AssetEvent>) -> Vec<AssetEvent> {
    events.sort_by_key(|event| (event.at, event.id));
    events
}

const BETWEEN: &str = "
SELECT * FROM asset_event WHERE team = $1 AND name = $2 AND at > $3 AND at <= $4 ORDER BY at, id";
const CONSUMED: &str = "
SELECT e.* FROM run_asset_event AS r CROSS JOIN asset_event AS e WHERE r.run = $1 AND e.id = r.event";

/// `WHERE …` for a filter; a macro because the builder's type differs between the databases.
macro_rules! filtered {
    ($select:expr, $filter:expr) => {{
        let filter: &EventFilter = $filter;
        let mut query = QueryBuilder::new($select);
        query.push(" WHERE TRUE");
        let text = |text: &str| column::plain(text).into_owned();
        for (column, wanted) in [
            (
                " AND team = ",
                filter.team.as_ref().map(|team| text(team.as_str())),
            ),
            (" AND name = ", filter.asset.as_deref().map(text)),
            (
                " AND dag_id = ",
                filter.dag_id.as_ref().map(|id| text(id.as_str())),
            ),
            (
                " AND run_id = ",
                filter.run_id.as_ref().map(|id| text(id.as_str())),
            ),
            (
                " AND task_id = ",
                filter.task_id.as_ref().map(|id| text(id.as_str())),
            ),
        ] {
            if let Some(wanted) = wanted {
                query.push(column).push_bind(wanted);
            }
        }
        if let Some(index) = filter.map_index {
            query.push(" AND map_index = ").push_bind(index.0);
        }
        for (bound, at) in [(" AND at >= ", filter.from), (" AND at <= ", filter.to)] {
            if let Some(at) = at {
                query.push(bound).push_bind(at.micros());
            }
        }
        query
    }};
}

impl Store {
    pub(super) async fn read_events(
        &self,
        filter: &EventFilter,
        page: Page,
    ) -> Result<Paged<AssetEvent>, StoreError> {
        let (rows, total): (Vec<EventRecord>, i64) = snapshot!(self, db => {
            let mut query = filtered!("SELECT * FROM asset_event", filter);
            query.push(match filter.newest_first {
                true => " ORDER BY at DESC, id DESC",
                false => " ORDER BY at, id",
            });
            query.push(" LIMIT ").push_bind(i64::from(page.limit));
            query.push(" OFFSET ").push_bind(i64::from(page.offset));
            let rows = query.build_query_as().fetch_all(&mut *db).await?;
            let mut query = filtered!("SELECT COUNT(*) FROM asset_event", filter);
            let total = query.build_query_scalar().fetch_one(&mut *db).await?;
            Ok((rows, total))
        })?;
        Ok(Paged {
            items: all(rows)?,
            total: column::number(total)?,
        })
    }

    pub(super) async fn read_events_between(
        &self,
        assets: &[AssetKey],
        after: Option<Timestamp>,
        until: Timestamp,
    ) -> Result<Vec<AssetEvent>, StoreError> {
        let after = after.map_or(i64::MIN, Timestamp::micros);
        let assets: BTreeSet<&AssetKey> = assets.iter().collect();
        let rows: Vec<EventRecord> = snapshot!(self, db => {
            let mut found = Vec::new();
            for asset in &assets {
                let of: Vec<EventRecord> = sqlx::query_as(BETWEEN)
                    .bind(asset.team.as_str())
                    .bind(column::plain(&asset.name))
                    .bind(after)
                    .bind(until.micros())
                    .fetch_all(&mut *db)
                    .await?;
                found.extend(of);
            }
            Ok(found)
        })?;
        all(rows).map(in_order)
    }

    pub(super) async fn read_consumed_by(
        &self,
        run: RunKey,
    ) -> Result<Vec<AssetEvent>, StoreError> {
        let rows: Vec<EventRecord> = read!(self, db => {
            Ok(sqlx::query_as(CONSUMED).bind(run.0).fetch_all(db).await?)
        })?;
        all(rows).map(in_order)
    }
}

/// What the scheduler asks.
#[cfg(test)]
pub(crate) fn plans() -> Vec<&'static str> {
    vec![BETWEEN, CONSUMED]
}
