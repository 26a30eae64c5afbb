//! Assets: one that the DAG `weather` makes and `ledger`'s team knows nothing of, one of two makers, one of
//! none.

use airlock_model::{
    dag::AssetRef,
    id::{AssetEventId, DagId, MapIndex, RunId, RunKey, TaskId},
    port::*,
    time::Timestamp,
};
use async_trait::async_trait;

use super::{RUN, World, asset_key, at, part, uuid};

fn used(dag: &str, owner: &str, role: AssetRole, name: &str) -> AssetUse {
    AssetUse {
        dag_id: DagId::new(dag).unwrap(),
        team: super::team(owner),
        task_id: (role != AssetRole::Schedule).then(|| TaskId::new("observe").unwrap()),
        role,
        asset: AssetRef::Name(name.into()),
        since: at("2024-01-01"),
    }
}

pub(super) fn fill(world: &World) {
    let asset = |owner, name: &str, uses: Vec<AssetUse>| StoredAsset {
        key: asset_key(owner, name),
        uri: (name == "s3://rain/daily").then(|| name.to_owned()),
        group: Some("asset".into()),
        extra: Some(r#"{"unit":"mm"}"#.into()),
        aliases: vec!["wet".into()],
        uses,
        last_event: Some(at("2024-01-01")),
    };
    let rain = "s3://rain/daily";
    *world.assets.lock().unwrap() = vec![
        asset(
            "default",
            rain,
            vec![
                used("weather", "default", AssetRole::Outlet, rain),
                used("weather", "default", AssetRole::Schedule, rain),
            ],
        ),
        asset("default", "idle", Vec::new()),
        asset(
            "payments",
            "books",
            vec![
                used("ledger", "payments", AssetRole::Outlet, "books"),
                used("audit", "payments", AssetRole::Outlet, "books"),
            ],
        ),
    ];
    *world.events.lock().unwrap() = vec![AssetEvent {
        id: AssetEventId(uuid(5)),
        asset: asset_key("default", rain),
        at: at("2024-01-01"),
        extra: r#"{"rows":3}"#.into(),
        source: EventSource::Task {
            dag_id: DagId::new("weather").unwrap(),
            run_id: RunId::new(RUN).unwrap(),
            task_id: TaskId::new("observe").unwrap(),
            map_index: MapIndex::UNMAPPED,
        },
        aliases: Vec::new(),
    }];
    *world.queue.lock().unwrap() = vec![QueueRow {
        dag_id: DagId::new("weather").unwrap(),
        asset: asset_key("default", rain),
        queued_at: at("2024-01-01"),
    }];
}

#[async_trait]
impl AssetStore for World {
    async fn assets(
        &self,
        filter: &AssetFilter,
        page: Page,
    ) -> Result<Paged<StoredAsset>, StoreError> {
        self.called();
        let mut assets = self.assets.lock().unwrap().clone();
        assets.retain(|asset| {
            filter
                .team
                .as_ref()
                .is_none_or(|team| asset.key.team == *team)
                && filter
                    .name
                    .as_ref()
                    .is_none_or(|name| asset.key.name == *name)
                && (filter.include_unused || !asset.uses.is_empty())
        });
        Ok(part(assets, page))
    }
    async fn asset(&self, key: &AssetKey) -> Result<Option<StoredAsset>, StoreError> {
        self.called();
        let assets = self.assets.lock().unwrap();
        Ok(assets.iter().find(|asset| asset.key == *key).cloned())
    }
    async fn consumers(&self) -> Result<Vec<AssetUse>, StoreError> {
        unreachable!("the API asks the scheduler")
    }
    async fn alias_assets(&self) -> Result<Vec<(String, AssetKey)>, StoreError> {
        unreachable!("the API asks the scheduler")
    }
    async fn seen_keys(&self, _: &AssetKey, _: &[String]) -> Result<Vec<String>, StoreError> {
        unreachable!("the API asks the scheduler")
    }
    async fn forget_seen_keys(&self, _: Timestamp) -> Result<u64, StoreError> {
        unreachable!("the API forgets nothing")
    }
    async fn events(
        &self,
        filter: &EventFilter,
        page: Page,
    ) -> Result<Paged<AssetEvent>, StoreError> {
        self.called();
        let mut events = self.events.lock().unwrap().clone();
        events.retain(|event| {
            filter
                .team
                .as_ref()
                .is_none_or(|team| event.asset.team == *team)
                && filter
                    .asset
                    .as_ref()
                    .is_none_or(|name| event.asset.name == *name)
                && filter.from.is_none_or(|from| event.at >= from)
                && filter.map_index.is_none_or(|wanted| {
                    matches!(event.source, EventSource::Task { map_index, .. } if map_index == wanted)
                })
        });
        if filter.newest_first {
            events.reverse();
        }
        Ok(part(events, page))
    }
    async fn unconsumed(&self) -> Result<Vec<(DagId, AssetKey, AssetEventId)>, StoreError> {
        unreachable!("the API asks the scheduler")
    }
    async fn consumed_by(&self, _: RunKey) -> Result<Vec<AssetEvent>, StoreError> {
        self.called();
        Ok(self.events.lock().unwrap().clone())
    }
    async fn queue(&self) -> Result<Vec<QueueRow>, StoreError> {
        unreachable!("the API asks of one DAG")
    }
    async fn queued(&self, dag_id: &DagId) -> Result<Vec<QueueRow>, StoreError> {
        self.called();
        let mut rows = self.queue.lock().unwrap().clone();
        rows.retain(|row| row.dag_id == *dag_id);
        Ok(rows)
    }
    async fn delete_queued(
        &self,
        dag_id: &DagId,
        asset: Option<&AssetKey>,
    ) -> Result<u64, StoreError> {
        self.called();
        let mut queue = self.queue.lock().unwrap();
        let before = queue.len();
        queue.retain(|row| row.dag_id != *dag_id || asset.is_some_and(|key| row.asset != *key));
        Ok((before - queue.len()) as u64)
    }
}
