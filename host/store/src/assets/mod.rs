//! Assets, what waits for them, and ([`events`]) how they changed. What DAGs declare is written by imports, the
//! rest by batches.

mod events;
mod seen;

#[cfg(test)]
pub(crate) use events::{UNCONSUMED, plans};
#[cfg(test)]
pub(crate) use seen::{postgres_plans, sqlite_plans};

use std::{collections::HashMap, sync::Arc};

use airlock_model::{
    id::{AssetEventId, DagId, RunKey},
    port::{
        AssetEvent, AssetFilter, AssetKey, AssetStore, AssetUse, EventFilter, Page, Paged,
        QueueRow, StoreError, StoredAsset,
    },
    time::Timestamp,
};
use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder};

use crate::{
    Store, column,
    database::{read, snapshot, write},
};

#[derive(FromRow)]
struct AssetRecord {
    team: String,
    name: String,
    uri: Option<String>,
    asset_group: Option<String>,
    extra: Option<String>,
    last_event: Option<i64>,
}

#[derive(FromRow)]
struct UseRecord {
    dag_id: String,
    team: String,
    task_id: String,
    role: String,
    kind: String,
    reference: String,
    since: i64,
    /// Of the asset.
    name: String,
}

#[derive(FromRow)]
struct QueueRecord {
    dag_id: String,
    team: String,
    name: String,
    queued_at: i64,
}

fn key(team: &str, name: &str) -> Result<AssetKey, StoreError> {
    Ok(AssetKey {
        team: column::name(team)?,
        name: name.into(),
    })
}

impl TryFrom<UseRecord> for AssetUse {
    type Error = StoreError;
    fn try_from(row: UseRecord) -> Result<Self, StoreError> {
        let task = (!row.task_id.is_empty()).then(|| column::name(&row.task_id));
        Ok(Self {
            dag_id: column::name(&row.dag_id)?,
            team: column::name(&row.team)?,
            task_id: task.transpose()?,
            role: column::role(&row.role)?,
            asset: column::reference(&row.kind, row.reference)?,
            since: column::time(row.since)?,
        })
    }
}

impl TryFrom<QueueRecord> for QueueRow {
    type Error = StoreError;
    fn try_from(row: QueueRecord) -> Result<Self, StoreError> {
        Ok(Self {
            dag_id: column::name(&row.dag_id)?,
            asset: key(&row.team, &row.name)?,
            queued_at: column::time(row.queued_at)?,
        })
    }
}

const ASSETS: &str = "
SELECT a.team, a.name, a.uri, a.asset_group, a.extra,
    (SELECT MAX(e.at) FROM asset_event AS e WHERE e.team = a.team AND e.name = a.name) AS last_event";
/// The uses of a page of assets, as each of the three kinds of reference finds them.
const USES: &str = "
SELECT u.dag_id, u.team, u.task_id, u.role, u.kind, u.reference, u.since, a.name
FROM page AS a JOIN asset_use AS u ON u.team = a.team AND u.kind = 'name' AND u.reference = a.name
UNION ALL
SELECT u.dag_id, u.team, u.task_id, u.role, u.kind, u.reference, u.since, a.name
FROM page AS a JOIN asset_use AS u ON u.team = a.team AND u.kind = 'uri' AND u.reference = a.uri
UNION ALL
SELECT u.dag_id, u.team, u.task_id, u.role, u.kind, u.reference, u.since, a.name
FROM page AS a JOIN alias_asset AS l ON l.team = a.team AND l.name = a.name
JOIN asset_use AS u ON u.team = a.team AND u.kind = 'alias' AND u.reference = l.alias";
const ALIASES: &str = "
SELECT a.team, a.name, l.alias FROM page AS a
JOIN alias_asset AS l ON l.team = a.team AND l.name = a.name ORDER BY l.alias";

/// ` FROM asset AS a WHERE …` for a filter; a macro because the builder's type differs between the databases.
macro_rules! filtered {
    ($select:expr, $filter:expr) => {{
        let filter: &AssetFilter = $filter;
        let mut query = QueryBuilder::new($select);
        query.push(" FROM asset AS a WHERE TRUE");
        if let Some(team) = &filter.team {
            query
                .push(" AND a.team = ")
                .push_bind(team.as_str().to_owned());
        }
        if let Some(name) = &filter.name {
            query
                .push(" AND a.name = ")
                .push_bind(column::plain(name).into_owned());
        }
        if let Some(uri) = &filter.uri {
            query
                .push(" AND a.uri = ")
                .push_bind(column::plain(uri).into_owned());
        }
        if filter.dag_id.is_some() || !filter.include_unused {
            query.push(" AND (");
            for (or, found) in [
                ("", "asset_use AS u WHERE u.team = a.team AND u.kind = 'name' AND u.reference = a.name"),
                (" OR ", "asset_use AS u WHERE u.team = a.team AND u.kind = 'uri' AND u.reference = a.uri"),
                (
                    " OR ",
                    "alias_asset AS l JOIN asset_use AS u ON u.team = l.team AND u.kind = 'alias' \
                     AND u.reference = l.alias WHERE l.team = a.team AND l.name = a.name",
                ),
            ] {
                query.push(or).push("EXISTS (SELECT 1 FROM ").push(found);
                if let Some(dag_id) = &filter.dag_id {
                    query.push(" AND u.dag_id = ").push_bind(dag_id.as_str().to_owned());
                }
                query.push(")");
            }
            query.push(")");
        }
        query
    }};
}

/// The filter's page, with `$first` before it and `$then` after it.
macro_rules! paged {
    ($first:expr, $filter:expr, $page:expr, $then:expr) => {{
        let page: Page = $page;
        let mut query = filtered!($first, $filter);
        query
            .push(" ORDER BY a.team, a.name LIMIT ")
            .push_bind(i64::from(page.limit));
        query.push(" OFFSET ").push_bind(i64::from(page.offset));
        query.push($then);
        query
    }};
}

const PAGE: &str = "WITH page AS (SELECT a.team, a.name, a.uri";

/// What belongs to each asset, in their order.
fn put_together(
    assets: Vec<AssetRecord>,
    uses: Vec<UseRecord>,
    aliases: Vec<(String, String, String)>,
) -> Result<Vec<StoredAsset>, StoreError> {
    let mut used: HashMap<AssetKey, Vec<AssetUse>> = HashMap::new();
    for row in uses {
        let of = key(&row.team, &row.name)?;
        used.entry(of).or_default().push(row.try_into()?);
    }
    let mut called: HashMap<AssetKey, Vec<String>> = HashMap::new();
    for (team, name, alias) in aliases {
        called.entry(key(&team, &name)?).or_default().push(alias);
    }
    let asset = |row: AssetRecord| {
        let key = key(&row.team, &row.name)?;
        let mut uses = used.remove(&key).unwrap_or_default();
        uses.sort_by(|a, b| {
            (&a.dag_id, &a.task_id, a.role, &a.asset)
                .cmp(&(&b.dag_id, &b.task_id, b.role, &b.asset))
        });
        Ok(StoredAsset {
            uri: row.uri,
            group: row.asset_group,
            extra: row.extra,
            aliases: called.remove(&key).unwrap_or_default(),
            uses,
            last_event: column::maybe_time(row.last_event)?,
            key,
        })
    };
    assets.into_iter().map(asset).collect()
}

#[async_trait]
impl AssetStore for Store {
    async fn assets(
        &self,
        filter: &AssetFilter,
        page: Page,
    ) -> Result<Paged<StoredAsset>, StoreError> {
        let (assets, uses, aliases, total): (_, _, _, i64) = snapshot!(self, db => {
            let mut query = paged!(ASSETS, filter, page, "");
            let assets: Vec<AssetRecord> = query.build_query_as().fetch_all(&mut *db).await?;
            let mut query = paged!(PAGE, filter, page, ")");
            query.push(USES);
            let uses: Vec<UseRecord> = query.build_query_as().fetch_all(&mut *db).await?;
            let mut query = paged!(PAGE, filter, page, ")");
            query.push(ALIASES);
            let aliases = query.build_query_as().fetch_all(&mut *db).await?;
            let mut query = filtered!("SELECT COUNT(*)", filter);
            let total = query.build_query_scalar().fetch_one(&mut *db).await?;
            Ok((assets, uses, aliases, total))
        })?;
        Ok(Paged {
            items: put_together(assets, uses, aliases)?,
            total: column::number(total)?,
        })
    }

    async fn asset(&self, key: &AssetKey) -> Result<Option<StoredAsset>, StoreError> {
        let filter = AssetFilter {
            team: Some(key.team.clone()),
            name: Some(Arc::clone(&key.name)),
            include_unused: true,
            ..AssetFilter::default()
        };
        let found = self.assets(&filter, Page::ALL).await?;
        Ok(found.items.into_iter().next())
    }

    async fn consumers(&self) -> Result<Vec<AssetUse>, StoreError> {
        let rows: Vec<UseRecord> = read!(self, db => {
            Ok(sqlx::query_as(
                "SELECT dag_id, team, task_id, role, kind, reference, since, '' AS name FROM asset_use
                 WHERE role = 'schedule' ORDER BY dag_id, task_id, role, kind, reference",
            )
            .fetch_all(db)
            .await?)
        })?;
        rows.into_iter().map(AssetUse::try_from).collect()
    }

    async fn alias_assets(&self) -> Result<Vec<(String, AssetKey)>, StoreError> {
        let rows: Vec<(String, String, String)> = read!(self, db => {
            Ok(
                sqlx::query_as("SELECT alias, team, name FROM alias_asset ORDER BY team, alias, name")
                    .fetch_all(db)
                    .await?,
            )
        })?;
        rows.into_iter()
            .map(|(alias, team, name)| Ok((alias, key(&team, &name)?)))
            .collect()
    }

    async fn seen_keys(
        &self,
        asset: &AssetKey,
        keys: &[String],
    ) -> Result<Vec<String>, StoreError> {
        self.read_seen_keys(asset, keys).await
    }

    async fn forget_seen_keys(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.remove_seen_keys(before).await
    }

    async fn events(
        &self,
        filter: &EventFilter,
        page: Page,
    ) -> Result<Paged<AssetEvent>, StoreError> {
        self.read_events(filter, page).await
    }

    async fn unconsumed(&self) -> Result<Vec<(DagId, AssetKey, AssetEventId)>, StoreError> {
        self.read_unconsumed().await
    }

    async fn consumed_by(&self, run: RunKey) -> Result<Vec<AssetEvent>, StoreError> {
        self.read_consumed_by(run).await
    }

    async fn queue(&self) -> Result<Vec<QueueRow>, StoreError> {
        let rows: Vec<QueueRecord> = read!(self, db => {
            Ok(sqlx::query_as("SELECT * FROM asset_queue ORDER BY dag_id, team, name")
                .fetch_all(db)
                .await?)
        })?;
        rows.into_iter().map(QueueRow::try_from).collect()
    }

    async fn queued(&self, dag_id: &DagId) -> Result<Vec<QueueRow>, StoreError> {
        let rows: Vec<QueueRecord> = read!(self, db => {
            Ok(sqlx::query_as("SELECT * FROM asset_queue WHERE dag_id = $1 ORDER BY team, name")
                .bind(dag_id.as_str())
                .fetch_all(db)
                .await?)
        })?;
        rows.into_iter().map(QueueRow::try_from).collect()
    }

    async fn delete_queued(
        &self,
        dag_id: &DagId,
        asset: Option<&AssetKey>,
    ) -> Result<u64, StoreError> {
        write!(self, db => {
            let gone = match asset {
                Some(asset) => {
                    sqlx::query("DELETE FROM asset_queue WHERE dag_id = $1 AND team = $2 AND name = $3")
                        .bind(dag_id.as_str())
                        .bind(asset.team.as_str())
                        .bind(column::plain(&asset.name))
                        .execute(&mut *db)
                        .await?
                        .rows_affected()
                }
                None => {
                    sqlx::query("DELETE FROM asset_queue WHERE dag_id = $1")
                        .bind(dag_id.as_str())
                        .execute(&mut *db)
                        .await?
                        .rows_affected()
                }
            };
            Ok(gone)
        })
    }
}
