//! How assets changed, and which changes made which runs.

use airlock_model::{
    id::{AssetEventId, DagId, MapIndex, RunKey},
    port::{AssetEvent, AssetKey, EventFilter, EventSource, Page, Paged, StoreError},
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

pub(crate) const UNCONSUMED: &str = "
WITH uses AS (
    SELECT u.dag_id, u.team, u.kind, u.reference, u.since, (
        SELECT MAX(d.run_after) FROM dag_run AS d
        WHERE d.dag_id = u.dag_id AND d.run_type = 'asset_triggered') AS last_run
    FROM asset_use AS u WHERE u.role = 'schedule'),
waits AS (
    SELECT dag_id, team, reference AS name, since, last_run FROM uses WHERE kind = 'name'
    UNION
    SELECT u.dag_id, u.team, a.name, u.since, u.last_run FROM uses AS u
    JOIN asset AS a ON a.team = u.team AND a.uri = u.reference WHERE u.kind = 'uri'
    UNION
    SELECT u.dag_id, u.team, l.name, u.since, u.last_run FROM uses AS u
    JOIN alias_asset AS l ON l.team = u.team AND l.alias = u.reference WHERE u.kind = 'alias')
SELECT w.dag_id, w.team, w.name, e.id FROM waits AS w CROSS JOIN asset_event AS e
WHERE e.team = w.team AND e.name = w.name AND e.at >= w.since AND e.at >= COALESCE(w.last_run, w.since)
    AND NOT EXISTS (SELECT 1 FROM run_asset_event AS r CROSS JOIN dag_run AS d
        WHERE r.event = e.id AND d.key = r.run AND d.dag_id = w.dag_id)
ORDER BY w.dag_id, e.at, e.id";
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

    pub(super) async fn read_unconsumed(
        &self,
    ) -> Result<Vec<(DagId, AssetKey, AssetEventId)>, StoreError> {
        let rows: Vec<(String, String, String, Uuid)> = read!(self, db => {
            Ok(sqlx::query_as(UNCONSUMED).fetch_all(db).await?)
        })?;
        rows.into_iter()
            .map(|(dag, team, name, id)| {
                Ok((
                    column::name(&dag)?,
                    super::key(&team, &name)?,
                    AssetEventId(id),
                ))
            })
            .collect()
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
    vec![CONSUMED]
}
