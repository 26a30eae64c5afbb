//! Imports, and who hears of them when.

use std::sync::Arc;

use airlock_model::{
    connection::Pool,
    dag::DagSpec,
    id::{BundleHash, BundleName, DagId, PoolName, Scope, TeamName},
    port::{
        BundleStore, BundleVersion, Clock as _, Control as _, ParseError, ParseKey, ParseResult,
        ParsedBundle, Parser, PoolStore, StoreError, SystemClock, TriggerRun,
    },
};
use airlock_scheduler::{ImportPolicy, Importer};
use async_trait::async_trait;

use crate::{chain, memory::Memory, start, value};

/// A bundle with one DAG, of which nothing is kept.
struct Parsed(DagSpec);

#[async_trait]
impl Parser for Parsed {
    async fn parse(
        &self,
        _: &TeamName,
        _: &BundleName,
        _: &BundleHash,
    ) -> Result<ParsedBundle, ParseError> {
        Ok(ParsedBundle {
            dags: vec![self.0.clone()],
            errors: vec![],
        })
    }
}

#[async_trait]
impl BundleStore for Memory {
    async fn activate(&self, _: &BundleVersion) -> Result<(), StoreError> {
        Ok(())
    }
    async fn active(&self) -> Result<Vec<BundleVersion>, StoreError> {
        Ok(vec![])
    }
    async fn versions(&self, _: &BundleName) -> Result<Vec<BundleVersion>, StoreError> {
        Ok(vec![])
    }
    async fn version(&self, _: &BundleHash) -> Result<Option<BundleVersion>, StoreError> {
        Ok(None)
    }
    async fn parse_result(&self, _: &ParseKey) -> Result<Option<ParseResult>, StoreError> {
        Ok(None)
    }
    async fn keep_parse_result(&self, _: &ParseKey, _: &ParseResult) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl PoolStore for Memory {
    async fn pools(&self) -> Result<Vec<Pool>, StoreError> {
        Ok(vec![])
    }
    async fn set_pool(&self, _: &Pool) -> Result<(), StoreError> {
        Ok(())
    }
    async fn delete_pool(&self, _: &Scope, _: &PoolName) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_dag_that_is_listed_can_be_triggered() {
    let bench = start(1, |_| Some(value("1")));
    let memory = Arc::clone(&bench.memory);
    let importer = Importer {
        parser: Arc::new(Parsed(DagSpec {
            dag_id: "listed".into(),
            ..chain(1)
        })),
        bundles: memory.clone(),
        dags: memory.clone(),
        pools: memory.clone(),
        clock: Arc::new(SystemClock),
        handle: bench.handle.clone(),
    };
    let hash = BundleHash::from_bytes([2; 32]);
    let version = BundleVersion {
        bundle: BundleName::new("b").unwrap(),
        team: TeamName::default_team(),
        hash,
        version: "1.0.0".into(),
        created_at: SystemClock.now(),
        active: true,
    };
    let policy = ImportPolicy {
        dag_id_prefix: None,
        max_active_runs: 16,
        max_active_tasks: 16,
        by_hand: false,
    };
    // The import stands in the store, where people see it, and is held up there.
    let reading = memory.reading.lock().await;
    let import = tokio::spawn(async move { importer.import(&version, hash, &policy).await });
    memory.replaced.notified().await;
    let run = TriggerRun {
        dag_id: DagId::new("listed").unwrap(),
        run_id: None,
        logical_date: None,
        run_after: None,
        conf: serde_json::Map::new(),
    };
    let go_on = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        drop(reading);
    };
    let (run, ()) = tokio::join!(bench.handle.trigger(run), go_on);
    assert_eq!(run.unwrap().dag_id.as_str(), "listed");
    import.await.unwrap().unwrap();
}
