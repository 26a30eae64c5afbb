//! Assets in definitions and answers: what is granted counts, and what is not neither makes a DAG nor comes of a try.

use airlock_grant::Request;
use airlock_model::{
    audit::Denied,
    dag::AssetRef,
    outcome::{FailureKind, Outcome},
    trigger::{HostEvent, Trigger},
};
use tokio::sync::oneshot;

use crate::{
    everywhere::{self, Came, Phase},
    guests::guest,
    regrant::regrant,
    stage::{Bundle, Stage, assert_failure, failed, grant, small, usual},
};

const ASKS: &str = "[[request.asset]]\nname = \"ledger\"\naccess = \"consume\"\n\
    [[request.asset]]\nname = \"ledger\"\naccess = \"produce\"\n";

/// A guest in whose definitions one task changes the asset `ledger`, which is the schedule of another DAG.
fn ledger(stage: &Stage, team: &str, granted: &str) -> Bundle {
    let team = stage.add_team(team, small());
    everywhere::load(stage, &team, ASKS, granted)
}

/// The hostile tasks, which may change these assets, and a `tell` of `figures` through the alias `numbers`.
fn numbers(stage: &Stage, team: &str, assets: &[&str]) -> Bundle {
    let team = stage.add_team(team, small());
    // For its folders.
    stage.hostile(&team);
    let (mut asks, mut held) = usual(stage.folder());
    let table = |name: &&str| format!("[[asset]]\nname = \"{name}\"\naccess = \"produce\"\n");
    held.asset = grant(&assets.iter().map(table).collect::<String>()).asset;
    let asked = ["own", "numbers", "figures"].iter().map(table);
    asks.asset = toml::from_str::<Request>(&asked.collect::<String>())
        .unwrap()
        .asset;
    let wasm = guest("hostile_tasks");
    stage.load(&team, wasm, &asks, &held).unwrap()
}

fn outlets() -> Vec<AssetRef> {
    vec![
        AssetRef::Name("own".to_owned()),
        AssetRef::Alias("numbers".to_owned()),
    ]
}

/// Runs the task that changes its outlets, and `figures` through one of them.
async fn told(stage: &Stage, bundle: &Bundle) -> Outcome {
    let mut work = stage.work(bundle, "tell", &["1", "{}"]);
    work.outlets = outlets();
    stage.report(work).await.outcome
}

fn heard(stage: &Stage) -> Vec<Denied> {
    std::mem::take(&mut *stage.world.denied.lock().unwrap())
}

/// What a bundle's parse gives when its asset `ledger` is granted like this: DAGs, and those that are refused.
async fn parsed(stage: &Stage, team: &str, granted: &str, wanted: &str) -> (usize, Vec<String>) {
    let bundle = ledger(stage, team, granted);
    if !wanted.is_empty() {
        stage.world.set_variable(team, "attack.name", wanted);
    }
    let parsed = stage.parse(&bundle).await.unwrap();
    for error in &parsed.errors {
        assert!(error.message.starts_with("AL-0417"), "{}", error.message);
        assert!(error.message.contains("[[team.bundle.grant.asset]]"));
    }
    let refused = parsed.errors.into_iter().filter_map(|error| error.dag_id);
    let refused: Vec<String> = refused.collect();
    let told = heard(stage).into_iter().filter(|one| one.code == "AL-0417");
    let told = told.map(|one| {
        assert_eq!((one.team.as_str(), one.phase), (team, "parse"));
        one.dag_id.unwrap().to_string()
    });
    assert_eq!(told.collect::<Vec<_>>(), refused, "the audit hears of each");
    (parsed.dags.len(), refused)
}

#[tokio::test]
async fn a_dag_that_names_an_asset_that_is_not_granted_is_an_import_error_and_the_others_are_there()
{
    let stage = Stage::new();
    let consumed = "[[asset]]\nname = \"ledger\"\naccess = \"consume\"\n";
    let produced = "[[asset]]\nname = \"led*\"\naccess = \"produce\"\n";
    // One describes it, the other has it as its schedule.
    let none = parsed(&stage, "a", "", "victim").await;
    assert_eq!(none, (0, vec!["victim".into(), "victim_listens".into()]));
    let described = parsed(&stage, "b", produced, "victim").await;
    assert_eq!(described, (1, vec!["victim_listens".into()]));
    assert_eq!(parsed(&stage, "c", consumed, "victim").await, (2, vec![]));
    // A task that changes it, among DAGs that do not know it.
    let (others, refused) = parsed(&stage, "d", consumed, "").await;
    assert_eq!(refused, ["attack_task"]);
    assert_eq!(
        parsed(&stage, "e", produced, "").await,
        (others + 1, vec![])
    );
}

#[tokio::test]
async fn a_try_whose_inlets_or_outlets_are_not_granted_does_not_begin() {
    let stage = Stage::new();
    let bundle = numbers(&stage, "a", &["own"]);
    for (inlets, outlets, wanted) in [
        (
            vec![AssetRef::Uri("s3://a/b".into())],
            vec![],
            "asset `s3://a/b`, consume",
        ),
        (
            vec![AssetRef::Name("own".into())],
            vec![],
            "asset `own`, consume",
        ),
        (vec![], outlets(), "asset `numbers`, produce"),
    ] {
        // It would leave a file.
        let mut work = stage.work(&bundle, "write", &["\"out/a.txt\""]);
        (work.inlets, work.outlets) = (inlets, outlets);
        let failure = failed(stage.report(work).await.outcome);
        assert_failure(&failure, FailureKind::Final, &["AL-0417", wanted]);
        let [denied] = &heard(&stage)[..] else {
            panic!("one denial")
        };
        assert_eq!((denied.code, &*denied.item), ("AL-0417", wanted));
        assert_eq!(denied.task_id.as_ref().unwrap().as_str(), "task");
    }
    assert!(!stage.folder().join("out/a.txt").exists());
}

#[tokio::test]
async fn what_is_reached_through_an_alias_must_be_granted_besides_the_alias() {
    let stage = Stage::new();
    let alias_alone = numbers(&stage, "a", &["own", "numbers"]);
    let failure = failed(told(&stage, &alias_alone).await);
    let wanted = "asset `figures`, produce";
    assert_failure(&failure, FailureKind::Final, &["AL-0417", wanted]);
    let both = numbers(&stage, "b", &["own", "numbers", "fig*"]);
    let Outcome::Success { events, .. } = told(&stage, &both).await else {
        panic!("it is granted");
    };
    assert_eq!(events.len(), 1);
    // What is told of no outlet of the task changes nothing, so that it needs no grant.
    let tells = stage.run(&alias_alone, "tell", &["1", "{}"]).await;
    assert!(matches!(tells, Outcome::Success { .. }), "{tells:?}");
}

#[tokio::test]
async fn an_asset_that_is_taken_back_while_a_try_runs_is_not_changed_by_its_success() {
    let stage = Stage::new();
    let bundle = numbers(&stage, "a", &["own", "numbers"]);
    let ((reached, is_reached), (go_on, goes_on)) = (oneshot::channel(), oneshot::channel());
    *stage.world.paused.lock().unwrap() = Some((reached, goes_on));
    let mut work = stage.work(&bundle, "variables", &["\"granted.one\""]);
    work.outlets = outlets();
    let ended = stage.dispatch(work);
    is_reached.await.unwrap();
    let (_, without) = usual(stage.folder());
    regrant(&stage, &bundle, &without);
    go_on.send(()).unwrap();
    let failure = failed(ended.await.unwrap().outcome);
    assert_failure(
        &failure,
        FailureKind::Final,
        &["AL-0417", "asset `own`, produce"],
    );
}

#[tokio::test]
async fn only_what_may_be_consumed_is_waited_for() {
    let stage = Stage::new();
    let denied = ledger(&stage, "a", "");
    let granted = ledger(
        &stage,
        "b",
        "[[asset]]\nname = \"ledger\"\naccess = \"consume\"\n",
    );
    let failure = failed(stage.run(&denied, "neighbour.hear_asset", &[]).await);
    let wanted = "asset `ledger`, consume";
    assert_failure(&failure, FailureKind::Final, &["AL-0417", wanted]);
    let waits = stage.run(&granted, "neighbour.hear_asset", &[]).await;
    let Outcome::Deferred(deferral) = waits else {
        panic!("{waits:?}")
    };
    assert!(matches!(
        deferral.trigger,
        Trigger::Host(HostEvent::Asset(_))
    ));
    // A trigger that goes on waiting for it.
    let Came::Ended(why) =
        everywhere::attack(&stage, &denied, Phase::Trigger, "neighbour.hear").await
    else {
        panic!("it listens");
    };
    assert!(why.starts_with("AL-0417") && why.contains(wanted), "{why}");
    let denials = heard(&stage);
    let phases: Vec<&str> = denials.iter().map(|one| one.phase).collect();
    assert_eq!(phases, ["task", "trigger"]);
}
