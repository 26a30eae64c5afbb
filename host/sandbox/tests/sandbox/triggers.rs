//! Triggers and the tasks that wait for them: what a poll gives, what a task meets when it goes on, and what
//! stops a hostile trigger.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use airlock_grant::Request;
use airlock_model::{
    dag::{AssetSpec, WatcherSpec},
    id::{DagId, MapIndex, Token, TriggerId},
    outcome::{Failure, FailureKind, Limit, Outcome},
    port::{
        Clock, Pause, Poll, PollReport, Polled, Poller, SystemClock, TriggerOwner, TriggerProgress,
        TriggerRow, WatchedEvent, Work,
    },
    trigger::{Deferral, Deferred, OwnTrigger, Trigger, TriggerEvent},
};
use airlock_sandbox::TeamLimits;

use crate::{
    guests::guest,
    regrant::regrant,
    stage::{Bundle, Stage, assert_failure, failed, grant, request, small},
};

fn limits() -> TeamLimits {
    TeamLimits {
        // More than a trigger may have: it must be its own limit that ends it.
        task_cpu_time: Duration::from_secs(20),
        callback_cpu_time: Duration::from_secs(20),
        parse_cpu_time: Duration::from_secs(20),
        // Enough to make an answer that is larger than the border lets through.
        memory_per_instance: 96 << 20,
        memory: 256 << 20,
        ..small()
    }
}

/// What the guest's DAGs do with assets.
const FLOODED: &str = "[[request.asset]]\nname = \"flooded\"\naccess = \"produce\"\n\
    [[request.asset]]\nname = \"flooded\"\naccess = \"consume\"\n";

/// The hostile triggers of one team.
struct Troubles {
    bundle: Bundle,
    /// The entry of the task that waits.
    entry: String,
    /// The assets that it declares.
    assets: Vec<AssetSpec>,
}

async fn troubles(stage: &Stage, team: &str, limits: TeamLimits) -> Troubles {
    let team = stage.add_team(team, limits);
    let variable = "[[request.variable]]\nkey = \"granted.*\"\nphases = [\"trigger\"]";
    let request = Request::from_bundle_toml(&format!("{variable}\n{FLOODED}")).unwrap();
    let held = FLOODED.replace("request.", "");
    let grant = grant(&format!("[[variable]]\nkey = \"granted.*\"\n{held}"));
    let bundle = stage.load(&team, guest("hostile_triggers"), &request, &grant);
    let bundle = bundle.unwrap();
    let parsed = stage.parse(&bundle).await.unwrap();
    assert_eq!(parsed.errors, []);
    let dag = |name: &str| parsed.dags.iter().find(|dag| dag.dag_id == name).unwrap();
    Troubles {
        entry: dag("trouble").tasks[0].entry.clone(),
        assets: parsed
            .dags
            .iter()
            .flat_map(|dag| dag.assets.clone())
            .collect(),
        bundle,
    }
}

impl Troubles {
    fn work(&self, stage: &Stage, kind: &str, resume: &str) -> Work {
        let mut work = stage.work(&self.bundle, &self.entry, &[]);
        work.params = format!(r#"{{"kind":"{kind}","resume":"{resume}"}}"#).into();
        work
    }

    /// Runs the task up to its wait.
    async fn deferral(&self, stage: &Stage, kind: &str, resume: &str) -> Box<Deferral> {
        let work = self.work(stage, kind, resume);
        match stage.report(work).await.outcome {
            Outcome::Deferred(deferral) => deferral,
            other => panic!("it does not wait: {other:?}"),
        }
    }

    /// The trigger of this kind, as it is kept for a task.
    async fn trigger(&self, stage: &Stage, kind: &str) -> TriggerRow {
        let names = stage.work(&self.bundle, "", &[]);
        let owner = TriggerOwner::Task {
            key: names.key,
            token: names.token,
            run_id: names.names.run_id,
            task_id: names.names.task_id,
            map_index: MapIndex::UNMAPPED,
        };
        match self.deferral(stage, kind, "returns").await.trigger {
            Trigger::Own(own) => self.row(own, owner),
            other => panic!("{other:?}"),
        }
    }

    /// The flood, as it is kept for a watcher.
    fn flood(&self) -> TriggerRow {
        let watchers = self.assets.iter().flat_map(|asset| &asset.watchers);
        let watchers: Vec<_> = watchers.collect();
        let [WatcherSpec { name, trigger }] = watchers[..] else {
            panic!("one watcher: {:?}", self.assets);
        };
        let Trigger::Own(own) = trigger else {
            panic!("{trigger:?}")
        };
        self.row(own.clone(), watcher(name))
    }

    fn row(&self, own: OwnTrigger, owner: TriggerOwner) -> TriggerRow {
        TriggerRow {
            id: TriggerId(uuid::Uuid::nil()),
            owner,
            team: self.bundle.team.clone(),
            dag_id: DagId::new("trouble").unwrap(),
            bundle: self.bundle.name.clone(),
            hash: self.bundle.hash,
            own,
            created_at: "2012-01-15".parse().unwrap(),
            progress: TriggerProgress {
                state: None,
                next_poll_at: None,
                on: Vec::new(),
                polls: 0,
                last_poll_at: None,
                cpu: Duration::ZERO,
                failures: 0,
                note: None,
            },
        }
    }
}

fn watcher(name: &str) -> TriggerOwner {
    TriggerOwner::Watcher {
        asset: "flooded".to_owned(),
        name: name.to_owned(),
    }
}

async fn report(stage: &Stage, row: &TriggerRow) -> PollReport {
    let poll = Poll {
        trigger: row.clone(),
        token: Token::stored(1),
    };
    stage.sandbox.poll(poll).await
}

async fn poll(stage: &Stage, row: &TriggerRow) -> Result<Polled, Failure> {
    report(stage, row).await.answer
}

/// Polls a trigger again, with what it has kept.
fn next(row: &mut TriggerRow, pause: Pause) {
    row.progress.state = Some(pause.state);
    row.progress.polls += 1;
}

/// Polls a hostile trigger, and beside it harmless ones of both teams, which must all fire; and what the
/// hostile one ended with.
async fn attacked(limits: TeamLimits, kind: &str) -> (Stage, PollReport) {
    let stage = Stage::new();
    let hostile = troubles(&stage, "hostile", limits).await;
    let other = troubles(&stage, "other", small()).await;
    let attack = hostile.trigger(&stage, kind).await;
    let fires = [
        hostile.trigger(&stage, "fires").await,
        other.trigger(&stage, "fires").await,
    ];
    let neighbours = async {
        for _ in 0..5 {
            for row in &fires {
                assert_eq!(
                    poll(&stage, row).await,
                    Ok(Polled::Fired("\"here\"".into()))
                );
            }
        }
    };
    let (ended, ()) = tokio::join!(report(&stage, &attack), neighbours);
    let here = poll(&stage, &fires[0]).await;
    assert_eq!(
        here,
        Ok(Polled::Fired("\"here\"".into())),
        "the pool is whole again"
    );
    let figures = stage.metrics(&hostile.bundle.team);
    assert_eq!(figures.memory.load(Relaxed), 0);
    assert_eq!(figures.polls.load(Relaxed), 7);
    (stage, ended)
}

async fn stopped(limits: TeamLimits, kind: &str, limit: Limit, parts: &[&str]) {
    let (_, ended) = attacked(limits, kind).await;
    assert_failure(&ended.answer.unwrap_err(), FailureKind::Limit(limit), parts);
}

#[tokio::test]
async fn a_trigger_waits_with_its_state_and_fires() {
    let stage = Stage::new();
    let troubles = troubles(&stage, "a", limits()).await;
    let mut row = troubles.trigger(&stage, "waits").await;
    for _ in 0..3 {
        let before = SystemClock.now();
        match poll(&stage, &row).await {
            Ok(Polled::Waiting(pause)) => {
                assert!(pause.until.is_some_and(|until| until > before), "{pause:?}");
                assert_eq!(pause.state, "\"\"");
                next(&mut row, pause);
            }
            other => panic!("{other:?}"),
        }
    }
    let fired = report(&stage, &row).await;
    assert_eq!(fired.answer, Ok(Polled::Fired("\"after 3\"".into())));
    assert!(fired.cpu > Duration::ZERO);
    assert_eq!(stage.metrics(&row.team).polls.load(Relaxed), 4);
}

#[tokio::test]
async fn a_poll_that_never_ends_ends_with_its_own_cpu_time_and_its_cost_is_told() {
    let (_, ended) = attacked(limits(), "loop").await;
    let parts = ["AL-0501", "0.2 s", "`trigger_cpu_time`"];
    let kind = FailureKind::Limit(Limit::CpuTime);
    assert_failure(&ended.answer.unwrap_err(), kind, &parts);
    assert!(ended.cpu >= Duration::from_millis(200), "{:?}", ended.cpu);
}

#[tokio::test]
async fn a_poll_that_sleeps_ends_with_its_own_wall_time() {
    let limits = TeamLimits {
        trigger_wall_time: Duration::from_millis(300),
        ..limits()
    };
    let parts = ["AL-0502", "0.3 s", "`trigger_wall_time`"];
    stopped(limits, "sleeps", Limit::WallTime, &parts).await;
}

#[tokio::test]
async fn a_poll_that_wants_all_memory_ends_at_its_limit() {
    let parts = ["AL-0503", "96 MiB", "`memory_per_instance`"];
    stopped(limits(), "memory", Limit::Memory, &parts).await;
}

#[tokio::test]
async fn a_state_over_its_bound_ends_at_the_states_limit() {
    let limits = TeamLimits {
        trigger_cpu_time: Duration::from_secs(20),
        host_call_bytes: 64 << 20,
        memory_per_instance: 256 << 20,
        memory: 512 << 20,
        ..limits()
    };
    let parts = ["AL-0555", "64 KiB", "`trigger_state_bytes`"];
    stopped(limits, "huge", Limit::HostCall, &parts).await;
}

#[tokio::test]
async fn a_state_that_grows_with_each_poll_comes_to_its_bound() {
    let stage = Stage::new();
    let troubles = troubles(&stage, "a", limits()).await;
    let mut row = troubles.trigger(&stage, "grows").await;
    for _ in 0..100 {
        match poll(&stage, &row).await {
            Ok(Polled::Waiting(pause)) => {
                assert!(pause.state.len() <= 64 << 10);
                next(&mut row, pause);
            }
            Ok(other) => panic!("{other:?}"),
            Err(failure) => {
                let kind = FailureKind::Limit(Limit::HostCall);
                assert_failure(&failure, kind, &["AL-0555", "`trigger_state_bytes`"]);
                assert!(row.progress.polls > 5);
                return;
            }
        }
    }
    panic!("it has grown a hundred times");
}

#[tokio::test]
async fn what_a_trigger_fires_with_does_not_flood_the_border_nor_the_store() {
    let wide = TeamLimits {
        trigger_cpu_time: Duration::from_secs(20),
        memory_per_instance: 256 << 20,
        memory: 512 << 20,
        ..limits()
    };
    let parts = ["AL-0507", "8 MiB", "`host_call_bytes`"];
    stopped(wide.clone(), "flood", Limit::HostCall, &parts).await;
    let wider = TeamLimits {
        host_call_bytes: 64 << 20,
        ..wide
    };
    let parts = ["AL-0557", "1 MiB", "`xcom_bytes`"];
    stopped(wider, "flood", Limit::Xcom, &parts).await;
}

#[tokio::test]
async fn a_trigger_listens_to_so_many_events_and_no_more() {
    let parts = ["AL-0556", "64 events"];
    stopped(limits(), "listens", Limit::HostCall, &parts).await;
}

#[tokio::test]
async fn a_trigger_traps_alone() {
    let (_, ended) = attacked(limits(), "trap").await;
    assert_failure(&ended.answer.unwrap_err(), FailureKind::Trap, &["AL-0514"]);
}

#[tokio::test]
async fn a_trigger_that_gives_up_ends_the_wait_in_its_own_words() {
    let (_, ended) = attacked(limits(), "fails").await;
    let failure = ended.answer.unwrap_err();
    assert_failure(&failure, FailureKind::Final, &["it never comes"]);
}

#[tokio::test]
async fn only_a_watcher_tells_of_changes_and_goes_on() {
    let stage = Stage::new();
    let troubles = troubles(&stage, "a", limits()).await;
    let mut row = troubles.trigger(&stage, "tells").await;
    let failure = poll(&stage, &row).await.unwrap_err();
    assert_failure(
        &failure,
        FailureKind::Final,
        &["only an asset's watcher tells"],
    );
    // The host does not rely on the SDK's word.
    border(&stage, &mut row);
    row.own.kind = "sees".to_owned();
    let failure = poll(&stage, &row).await.unwrap_err();
    assert_failure(&failure, FailureKind::Final, &["AL-0562", "only a watcher"]);
    row.owner = watcher("w");
    assert!(matches!(poll(&stage, &row).await, Ok(Polled::Seen(..))));
}

/// Has the row's trigger polled in the guest whose answers make no sense.
fn border(stage: &Stage, row: &mut TriggerRow) {
    let team = stage.add_team("border", limits());
    let (asks, held) = (request(FLOODED), grant(&FLOODED.replace("request.", "")));
    let guest = stage
        .load(&team, guest("hostile_border"), &asks, &held)
        .unwrap();
    (row.team, row.bundle, row.hash) = (team, guest.name, guest.hash);
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_ends_the_wait_and_says_why() {
    let stage = Stage::new();
    let mut row = troubles(&stage, "a", limits()).await.flood();
    border(&stage, &mut row);
    for (kind, parts) in [
        ("fires nonsense", &["AL-0517", "fired with"][..]),
        ("keeps nonsense", &["AL-0517", "state"]),
        ("for nothing", &["AL-0563"]),
        ("beyond time", &["AL-0304"]),
        ("for no dag", &["`../dag`"]),
        ("for no state", &["AL-0561"]),
        ("for any file", &["AL-0435", "`..`"]),
        ("sees without key", &["AL-0564", "this one has 0"]),
        ("sees under a long key", &["AL-0564", "this one has 1000"]),
        ("sees nonsense", &["AL-0517", "a change"]),
        ("sees a list", &["AL-0564", "no JSON object"]),
    ] {
        row.own.kind = kind.to_owned();
        let failure = poll(&stage, &row).await.unwrap_err();
        assert_failure(&failure, FailureKind::Final, parts);
    }
    row.own.kind = "waits".to_owned();
    assert!(matches!(poll(&stage, &row).await, Ok(Polled::Waiting(_))));
}

#[tokio::test]
async fn a_watcher_tells_what_it_has_seen_but_not_a_thousand_changes_at_once() {
    let stage = Stage::new();
    let troubles = troubles(&stage, "a", limits()).await;
    let mut row = troubles.flood();
    let failure = poll(&stage, &row).await.unwrap_err();
    let kind = FailureKind::Limit(Limit::Xcom);
    assert_failure(&failure, kind, &["AL-0558", "100 changes"]);
    row.own.arguments = row.own.arguments.replace("1000", "2");
    row.progress.state = Some("7".to_owned());
    let Ok(Polled::Seen(events, pause)) = poll(&stage, &row).await else {
        panic!("it sees changes");
    };
    let seen = |number: u32| WatchedEvent {
        key: number.to_string(),
        extra: format!("{{\"number\":{number}}}"),
    };
    assert_eq!(events, [seen(8), seen(9)]);
    assert_eq!(pause.state, "9");
}

#[tokio::test]
async fn a_trigger_reaches_what_is_granted_to_its_phase_and_its_task_does_not() {
    let stage = Stage::new();
    stage.world.set_variable("a", "granted.name", "the value");
    let granted = troubles(&stage, "a", limits()).await;
    let row = granted.trigger(&stage, "variable").await;
    let Ok(Polled::Fired(said)) = poll(&stage, &row).await else {
        panic!("it fires");
    };
    assert!(
        said.contains("***"),
        "what it was told in confidence is not kept: {said}"
    );
    // The same bundle without its grant.
    let team = stage.add_team("b", limits());
    let variable = "[[request.variable]]\nkey = \"granted.*\"\nphases = [\"task\", \"trigger\"]";
    let request = Request::from_bundle_toml(variable).unwrap();
    let only_tasks = grant("[[variable]]\nkey = \"granted.*\"\nphases = [\"task\"]");
    let bundle = stage.load(&team, guest("hostile_triggers"), &request, &only_tasks);
    let denied = Troubles {
        bundle: bundle.unwrap(),
        ..granted
    };
    let row = denied.trigger(&stage, "variable").await;
    let failure = poll(&stage, &row).await.unwrap_err();
    assert_failure(
        &failure,
        FailureKind::Final,
        &["AL-0411", "trigger, for task `task` of DAG"],
    );
}

#[tokio::test]
async fn a_watcher_whose_asset_is_taken_back_tells_of_no_more_changes() {
    let stage = Stage::new();
    let troubles = troubles(&stage, "a", limits()).await;
    let row = troubles.flood();
    let told = poll(&stage, &row).await.unwrap_err();
    assert!(matches!(told.kind, FailureKind::Limit(_)), "{told:?}");
    let consumed = "[[asset]]\nname = \"flooded\"\naccess = \"consume\"";
    let held = grant(&format!("[[variable]]\nkey = \"granted.*\"\n{consumed}"));
    regrant(&stage, &troubles.bundle, &held);
    let failure = poll(&stage, &row).await.unwrap_err();
    let wanted = [
        "AL-0417",
        "asset `flooded`, produce",
        "phase    trigger, for DAG `trouble`",
    ];
    assert_failure(&failure, FailureKind::Final, &wanted);
}

#[tokio::test]
async fn a_loop_in_every_instance_of_a_team_leaves_the_other_teams_triggers_alone() {
    let stage = Stage::new();
    let spinning = TeamLimits {
        trigger_cpu_time: Duration::from_secs(3600),
        trigger_wall_time: Duration::from_secs(3600),
        ..limits()
    };
    let hostile = troubles(&stage, "hostile", spinning).await;
    let other = troubles(&stage, "other", small()).await;
    let (attack, fires) = (
        hostile.trigger(&stage, "loop").await,
        other.trigger(&stage, "fires").await,
    );
    let neighbours = async {
        let figures = stage.metrics(&hostile.bundle.team);
        while figures.active.load(Relaxed) < 4 {
            tokio::task::yield_now().await;
        }
        for _ in 0..50 {
            assert!(matches!(poll(&stage, &fires).await, Ok(Polled::Fired(_))));
        }
    };
    let attack = || poll(&stage, &attack);
    let attacks = async { tokio::join!(attack(), attack(), attack(), attack()) };
    tokio::select! {
        ended = attacks => panic!("{ended:?}"),
        () = neighbours => {}
    }
}

#[tokio::test]
async fn a_bundle_without_triggers_is_told_apart() {
    let stage = Stage::new();
    let mut row = troubles(&stage, "a", limits()).await.flood();
    let tasks = stage.hostile(&stage.add_team("b", limits()));
    (row.team, row.bundle, row.hash) = (tasks.team, tasks.name, tasks.hash);
    let failure = poll(&stage, &row).await.unwrap_err();
    assert_failure(&failure, FailureKind::Load, &["AL-0559"]);
    row.team = crate::stage::team("nobody");
    let failure = poll(&stage, &row).await.unwrap_err();
    assert_failure(&failure, FailureKind::Load, &["AL-0549"]);
}

/// A task that waited, and what it waited for has ended so.
async fn goes_on(
    stage: &Stage,
    troubles: &Troubles,
    resume: &str,
    event: Option<TriggerEvent>,
) -> Outcome {
    let deferral = troubles.deferral(stage, "fires", resume).await;
    assert_eq!(deferral.timeout, Some(Duration::from_secs(60)));
    let mut deferred = Deferred::new(&deferral, "2012-01-16".parse().unwrap());
    deferred.event = event;
    let mut work = troubles.work(stage, "fires", resume);
    work.resume = Some(Arc::new(deferred));
    stage.report(work).await.outcome
}

#[tokio::test]
async fn a_task_that_waited_goes_on_with_what_came() {
    let stage = Stage::new();
    let troubles = troubles(&stage, "a", limits()).await;
    let fired = Some(TriggerEvent::Fired("\"it came\"".into()));
    let outcome = goes_on(&stage, &troubles, "returns", fired.clone()).await;
    let returned = ("return_value".to_owned(), "\"it came\"".into());
    assert_eq!(outcome, Outcome::success(vec![returned]));
    let Outcome::Deferred(again) = goes_on(&stage, &troubles, "again", fired).await else {
        panic!("it waits again");
    };
    assert_eq!(again.trigger, Trigger::Duration(Duration::ZERO));
}

#[tokio::test]
async fn a_task_whose_wait_ended_badly_is_told_so() {
    let stage = Stage::new();
    let troubles = troubles(&stage, "a", limits()).await;
    let lost = Some(TriggerEvent::Failed("the source is gone".into()));
    for (event, part) in [
        (Some(TriggerEvent::TimedOut), ""),
        (lost, "the source is gone"),
        (None, "before anything happened"),
    ] {
        let failure = failed(goes_on(&stage, &troubles, "returns", event).await);
        let text = format!("{failure:?}");
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let fired = Some(TriggerEvent::Fired("\"\"".into()));
    let failure = failed(goes_on(&stage, &troubles, "panics", fired).await);
    assert_eq!(failure.kind, FailureKind::Trap);
}

#[tokio::test]
async fn a_deferral_keeps_no_more_than_a_wait_may() {
    let stage = Stage::new();
    let troubles = troubles(&stage, "a", limits()).await;
    let long = "k".repeat(64 << 10);
    let failure = failed(
        stage
            .report(troubles.work(&stage, &long, "returns"))
            .await
            .outcome,
    );
    let kind = FailureKind::Limit(Limit::HostCall);
    assert_failure(&failure, kind, &["AL-0555", "`trigger_state_bytes`"]);
}
