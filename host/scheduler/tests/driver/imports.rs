//! Imports, and who hears of them when.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use airlock_model::{
    connection::Pool,
    dag::DagSpec,
    id::{BundleHash, BundleName, DagId, PoolName, Scope, TeamName},
    outcome::Report,
    port::{
        BundleStore, BundleVersion, Clock as _, Control as _, ControlError, ParseError, ParseKey,
        ParseResult, ParsedBundle, Parser, PoolStore, RunRow, StoreError, SystemClock, TriggerRun,
        TryEvents as _,
    },
    state::RunState,
};
use airlock_scheduler::{
    DagPolicy, ImportPolicy, Importer,
    import::{Imported, Inputs},
};
use async_trait::async_trait;

use crate::{Bench, chain, memory::Memory, start, value};

/// What each version of a bundle holds; of none anything is kept.
pub(crate) struct Parsed(pub(crate) HashMap<BundleHash, Vec<DagSpec>>);

#[async_trait]
impl Parser for Parsed {
    async fn parse(
        &self,
        _: &TeamName,
        _: &BundleName,
        hash: &BundleHash,
    ) -> Result<ParsedBundle, ParseError> {
        Ok(ParsedBundle {
            dags: self.0[hash].clone(),
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
    async fn is_parsed(&self, _: &ParseKey) -> Result<bool, StoreError> {
        Ok(false)
    }
    async fn parse_result(&self, _: &ParseKey) -> Result<Option<ParseResult>, StoreError> {
        Ok(None)
    }
    async fn keep_parse_result(&self, key: &ParseKey, _: &ParseResult) -> Result<(), StoreError> {
        self.kept.lock().unwrap().push(key.clone());
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

fn spec(dag_id: &str) -> DagSpec {
    DagSpec {
        dag_id: dag_id.into(),
        ..chain(1)
    }
}

fn id(dag_id: &str) -> DagId {
    DagId::new(dag_id).unwrap()
}

/// A version of a bundle of the default team; its hash is its number.
pub(crate) fn version(bundle: &str, number: u8) -> BundleVersion {
    BundleVersion {
        bundle: BundleName::new(bundle).unwrap(),
        team: TeamName::default_team(),
        hash: BundleHash::from_bytes([number; 32]),
        version: format!("{number}.0.0"),
        created_at: SystemClock.now(),
        active: true,
    }
}

/// An importer for versions by their numbers, with the DAGs that each holds.
pub(crate) fn importer(bench: &Bench, versions: &[(u8, &[&str])]) -> Importer {
    let dags = |ids: &[&str]| ids.iter().map(|dag| spec(dag)).collect();
    let parsed = versions
        .iter()
        .map(|(number, ids)| (BundleHash::from_bytes([*number; 32]), dags(ids)));
    Importer {
        parser: Arc::new(Parsed(parsed.collect())),
        bundles: bench.memory.clone(),
        dags: bench.memory.clone(),
        pools: bench.memory.clone(),
        clock: Arc::new(SystemClock),
        handle: bench.handle.clone(),
    }
}

pub(crate) fn policy() -> ImportPolicy {
    ImportPolicy {
        rules: DagPolicy::default(),
        max_active_runs: 16,
        max_active_tasks: 16,
        by_hand: false,
    }
}

/// Variables that stay as they are.
pub(crate) struct Same(pub(crate) BundleHash);

#[async_trait]
impl Inputs for Same {
    async fn now(&self) -> Result<BundleHash, StoreError> {
        Ok(self.0)
    }
}

/// Variables that are others whenever somebody looks.
struct Changing(AtomicU8);

#[async_trait]
impl Inputs for Changing {
    async fn now(&self) -> Result<BundleHash, StoreError> {
        let looked = self.0.fetch_add(1, Relaxed);
        Ok(BundleHash::from_bytes([looked; 32]))
    }
}

/// Imports a version, and tells what is wrong with it.
async fn import(
    importer: &Importer,
    version: &BundleVersion,
    policy: &ImportPolicy,
) -> Vec<String> {
    let imported = importer.import(version, &Same(version.hash), policy).await;
    match imported.unwrap() {
        Imported::Live { errors, .. } => errors.into_iter().map(|e| e.message).collect(),
        Imported::Refused { error, .. } => vec![error.message],
    }
}

async fn trigger(bench: &Bench, dag_id: &str) -> Result<RunRow, ControlError> {
    let run = TriggerRun::now(id(dag_id));
    bench.handle.trigger(run).await
}

/// Bundle and staleness of a DAG.
pub(crate) fn owner(bench: &Bench, dag_id: &str) -> (String, bool) {
    let dags = bench.memory.dags.lock().unwrap();
    let dag = dags.iter().find(|dag| dag.dag_id == id(dag_id)).unwrap();
    (dag.bundle.to_string(), dag.is_stale)
}

/// Otherwise it would be what the old variables gave, for ever.
#[tokio::test]
async fn a_parse_during_which_its_variables_changed_is_not_kept() {
    let bench = start(1, |_| Some(value("1")));
    let importer = importer(&bench, &[(2, &["one"])]);
    let (version, changing) = (version("c", 2), Changing(AtomicU8::new(0)));
    let imported = importer.import(&version, &changing, &policy()).await;
    assert!(matches!(imported, Ok(Imported::Live { .. })));
    assert_eq!(*bench.memory.kept.lock().unwrap(), []);
    import(&importer, &version, &policy()).await;
    let key = ParseKey {
        hash: version.hash,
        inputs: version.hash,
    };
    assert_eq!(*bench.memory.kept.lock().unwrap(), [key]);
}

#[tokio::test]
async fn a_dag_that_is_listed_can_be_triggered() {
    let bench = start(1, |_| Some(value("1")));
    let importer = importer(&bench, &[(2, &["listed"])]);
    // The import stands in the store, where people see it, and is held up there.
    let reading = bench.memory.reading.lock().await;
    let importing =
        tokio::spawn(async move { import(&importer, &version("c", 2), &policy()).await });
    bench.memory.replaced.notified().await;
    let go_on = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        drop(reading);
    };
    let (run, ()) = tokio::join!(trigger(&bench, "listed"), go_on);
    assert_eq!(run.unwrap().dag_id.as_str(), "listed");
    importing.await.unwrap();
}

#[tokio::test]
async fn a_dag_belongs_to_the_bundle_that_had_it_first_until_it_is_transferred() {
    let bench = start(1, |_| Some(value("1")));
    let importer = importer(&bench, &[(2, &["ours", "stays"]), (3, &["ours", "theirs"])]);
    let (first, second) = (version("first", 2), version("second", 3));
    assert!(import(&importer, &first, &policy()).await.is_empty());
    let errors = import(&importer, &second, &policy()).await;
    assert!(
        errors.len() == 1 && errors[0].starts_with("AL-0333"),
        "{errors:?}"
    );
    assert!(
        !errors[0].contains("first"),
        "whose it is, is not said: {errors:?}"
    );
    assert_eq!(owner(&bench, "ours"), ("first".into(), false));
    trigger(&bench, "theirs").await.unwrap();

    let team = TeamName::default_team();
    bench
        .handle
        .transfer(&id("ours"), &second.bundle, &team)
        .await
        .unwrap();
    assert_eq!(owner(&bench, "ours"), ("second".into(), true));
    let refused = trigger(&bench, "ours").await.unwrap_err();
    assert!(
        refused.to_string().starts_with("AL-0701"),
        "neither bundle has it now: {refused}"
    );

    // In either order: the one that has it no more hears so, and the other gets it.
    assert!(import(&importer, &second, &policy()).await.is_empty());
    let errors = import(&importer, &first, &policy()).await;
    assert!(
        errors.len() == 1 && errors[0].starts_with("AL-0333"),
        "{errors:?}"
    );
    assert_eq!(owner(&bench, "ours"), ("second".into(), false));
    let run = trigger(&bench, "ours").await.unwrap();
    assert_eq!(run.hash, second.hash, "its runs are the new owner's code");
    trigger(&bench, "stays").await.unwrap();
}

#[tokio::test]
async fn a_dag_is_not_transferred_while_it_runs_and_goes_on_where_it_is() {
    let bench = start(1, |_| None);
    let importer = importer(&bench, &[(2, &["ours"])]);
    import(&importer, &version("first", 2), &policy()).await;
    trigger(&bench, "ours").await.unwrap();
    let (second, team) = (BundleName::new("second").unwrap(), TeamName::default_team());
    let refused = bench
        .handle
        .transfer(&id("ours"), &second, &team)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("runs that have not ended"),
        "{refused}"
    );
    assert_eq!(owner(&bench, "ours"), ("first".into(), false));
    trigger(&bench, "ours").await.unwrap();
    let missing = bench
        .handle
        .transfer(&id("nothing"), &second, &team)
        .await
        .unwrap_err();
    assert!(missing.to_string().starts_with("AL-0701"), "{missing}");
}

#[tokio::test]
async fn a_dag_that_is_gone_is_stale_until_it_is_back_and_its_runs_finish() {
    let bench = start(1, |work| (work.names.dag_id != id("b")).then(|| value("1")));
    let importer = importer(&bench, &[(2, &["a", "b"]), (3, &["a"]), (4, &["c"])]);
    import(&importer, &version("first", 2), &policy()).await;
    import(&importer, &version("other", 4), &policy()).await;
    let run = trigger(&bench, "b").await.unwrap();

    import(&importer, &version("first", 3), &policy()).await;
    assert_eq!(owner(&bench, "b"), ("first".into(), true));
    assert_eq!(owner(&bench, "a"), ("first".into(), false));
    assert_eq!(
        owner(&bench, "c"),
        ("other".into(), false),
        "another bundle's is not concerned"
    );
    let refused = trigger(&bench, "b").await.unwrap_err();
    assert!(refused.to_string().starts_with("AL-0701"), "{refused}");

    bench
        .until(|bench| !bench.executor.held.lock().unwrap().is_empty())
        .await;
    let (key, token) = *bench.executor.held.lock().unwrap().iter().next().unwrap();
    let report = Report {
        outcome: value("1"),
        waited: Duration::ZERO,
        ran: Duration::ZERO,
    };
    bench.handle.ended(key, token, SystemClock.now(), report);
    bench
        .until(|bench| bench.run_state(run.key) == Some(RunState::Success))
        .await;

    import(&importer, &version("first", 2), &policy()).await;
    assert_eq!(owner(&bench, "b"), ("first".into(), false));
    trigger(&bench, "b").await.unwrap();
}

#[tokio::test]
async fn a_dag_that_breaks_a_rule_is_an_error_and_the_others_are_live() {
    let bench = start(1, |_| Some(value("1")));
    let importer = importer(&bench, &[(2, &["pay_a", "b"])]);
    let rules = DagPolicy {
        dag_id_prefix: Some("pay_".into()),
        required_tags: vec![],
        max_active_runs: Some(2),
        description_required: false,
        ..DagPolicy::default()
    };
    let policy = ImportPolicy { rules, ..policy() };
    let errors = import(&importer, &version("first", 2), &policy).await;
    assert!(
        errors.len() == 1 && errors[0].starts_with("AL-0332: `b`"),
        "{errors:?}"
    );
    trigger(&bench, "pay_a").await.unwrap();
    assert!(trigger(&bench, "b").await.is_err());
    let dags = bench.memory.dags.lock().unwrap();
    let live = dags.iter().find(|dag| dag.dag_id == id("pay_a")).unwrap();
    assert_eq!(
        live.spec.max_active_runs,
        Some(2),
        "one that does not say gets what is allowed"
    );
}
