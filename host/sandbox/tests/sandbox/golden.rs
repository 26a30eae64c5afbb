//! A component that was built from the WIT packages of version 0.1 and is kept as it was: this host runs it in every
//! phase, and answers whatever it calls.

use std::{fs, path::Path, sync::Arc, time::Duration};

use airlock_grant::{Request, Standing};
use airlock_model::{
    callback::{CallbackId, CallbackKind, CallbackState},
    connection::Connection,
    dag::Schedule,
    id::{ConnectionId, DagId, MapIndex, RunId, RunKey, TaskId, Token, TriggerId},
    mask::Sensitive,
    outcome::Outcome,
    port::{
        CallbackRow, CallbackRunner, CallbackSubject, CallbackTry, CallbackWork, ParsedBundle,
        Poll, Polled, Poller, TimetableCode, Timetables, TriggerOwner, TriggerProgress, TriggerRow,
    },
    state::RunType,
    time::Timestamp,
    timetable::{NextRun, Restriction},
    trigger::{Deferred, Trigger, TriggerEvent},
};
use wit_component::DecodedWasm;

use crate::stage::{Bundle, Stage, grant, small};

fn golden() -> Vec<u8> {
    let file = "../../tests/golden/0.1/golden.wasm";
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The component, granted what its task wants to see.
async fn taken_in(stage: &Stage) -> (Bundle, ParsedBundle) {
    let request = Request::from_bundle_toml(
        r#"
        [[request.variable]]
        key = "granted.name"
        [[request.connection]]
        id = "granted"
        access = "read"
        [[request.directory]]
        path = "in"
        [[request.http]]
        url = "https://rates.example/*"
        "#,
    );
    let folder = stage.folder().join("in");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.txt"), "a granted file").unwrap();
    let grant = grant(&format!(
        r#"
        [[variable]]
        key = "granted.name"
        [[connection]]
        id = "granted"
        access = "read"
        [[directory]]
        path = "in"
        host = {folder:?}
        [[http]]
        url = "https://rates.example/*"
        "#
    ));
    let team = stage.add_team("a", small());
    let bundle = stage
        .load(&team, golden(), &request.unwrap(), &grant)
        .unwrap();
    let parsed = stage.parse(&bundle).await.unwrap();
    (bundle, parsed)
}

fn entry(parsed: &ParsedBundle, task: &str) -> String {
    let mut tasks = parsed.dags.iter().flat_map(|dag| &dag.tasks);
    tasks
        .find(|each| each.task_id == task)
        .unwrap()
        .entry
        .clone()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What keeps the other tests honest: a component that imported less would show less.
#[test]
fn the_golden_component_has_every_phase_and_imports_every_interface() {
    let DecodedWasm::Component(built, world) = wit_component::decode(&golden()).unwrap() else {
        panic!("it is a component");
    };
    let names = |keys: Vec<_>| -> Vec<String> {
        let keys = keys.into_iter();
        keys.map(|key| built.name_world_key(key)).collect()
    };
    let exports = names(built.worlds[world].exports.keys().collect());
    for phase in ["dags", "tasks", "timetables", "triggers", "callbacks"] {
        let name = format!("airlock:bundle/{phase}@0.1.0");
        assert!(exports.contains(&name), "{name} is not in {exports:?}");
    }
    let imports = names(built.worlds[world].imports.keys().collect());
    for interface in airlock_grant::interfaces() {
        if interface.standing != Standing::Never
            && interface.name.starts_with("airlock:capability/")
        {
            let theirs = |import: &String| import.starts_with(interface.name);
            assert!(imports.iter().any(theirs), "{}", interface.name);
        }
    }
}

#[tokio::test]
async fn a_component_of_wit_0_1_is_parsed() {
    let (_, parsed) = taken_in(&Stage::new()).await;
    assert_eq!(parsed.errors, []);
    let [dag] = &parsed.dags[..] else {
        panic!("{:?}", parsed.dags)
    };
    assert_eq!(dag.dag_id, "golden");
    let tasks: Vec<&str> = dag.tasks.iter().map(|task| task.task_id.as_str()).collect();
    assert_eq!(tasks, ["sees", "waits", "says"]);
    assert_eq!(dag.tasks[2].retries, 1);
    assert_eq!(dag.callbacks.len(), 1);
    assert!(
        matches!(dag.schedule, Schedule::Custom(_)),
        "{:?}",
        dag.schedule
    );
}

#[tokio::test]
async fn a_task_of_wit_0_1_reaches_every_capability() {
    let stage = Stage::new();
    let (bundle, parsed) = taken_in(&stage).await;
    stage.world.set_variable("a", "granted.name", "world");
    let connection = Connection {
        id: ConnectionId::new("granted").unwrap(),
        conn_type: "http".into(),
        description: None,
        host: None,
        port: None,
        login: Some("user".into()),
        password: Some(Sensitive::new("secret")),
        schema: None,
        extra: None,
    };
    let granted = ("a".into(), "granted".into());
    let connections = &stage.world.connections;
    connections.lock().unwrap().insert(granted, connection);
    let earlier = ("a".to_owned(), "dag/run/earlier/-1/return_value".to_owned());
    let xcoms = &stage.world.xcoms;
    xcoms.lock().unwrap().insert(earlier, "\"before\"".into());
    let report = stage
        .report(stage.work(&bundle, &entry(&parsed, "sees"), &[]))
        .await;
    let Outcome::Success { xcoms, .. } = report.outcome else {
        panic!("{:?}: {:?}", report.outcome, stage.world.messages());
    };
    let xcom = |key: &str| {
        let found = xcoms.iter().find(|(name, _)| name == key);
        found.unwrap().1.to_string()
    };
    assert_eq!(xcom("pushed"), "\"by golden\"");
    // What it was granted to read is masked where it leaves.
    assert_eq!(
        xcom("return_value"),
        r#"{"variable":"***","login":"user","file":"a granted file","answer":"{\"rate\":1.5}","pulled":"before","day":"2012-01-15"}"#
    );
    assert_eq!(stage.world.messages(), ["sees"]);
    let seen = xcom("return_value");
    let said = stage
        .value(&bundle, &entry(&parsed, "says"), &[&seen])
        .await;
    assert_eq!(said, "\"a granted file on 2012-01-15\"");
}

#[tokio::test]
async fn a_timetable_of_wit_0_1_answers() {
    let stage = Stage::new();
    let (bundle, parsed) = taken_in(&stage).await;
    let Schedule::Custom(schedule) = parsed.dags[0].schedule.clone() else {
        panic!("{:?}", parsed.dags[0].schedule)
    };
    let code = TimetableCode {
        team: bundle.team.clone(),
        bundle: bundle.name.clone(),
        hash: bundle.hash,
        schedule,
    };
    let bounds = Restriction {
        earliest: None,
        latest: None,
        catchup: true,
    };
    let last = NextRun {
        interval: (at("2024-01-01T00:00:00Z"), at("2024-01-01T01:00:00Z")),
        run_after: at("2024-01-01T01:00:00Z"),
    };
    let now = at("2024-01-05");
    let next = stage.sandbox.next_run(&code, Some(last), bounds, now).await;
    assert_eq!(next.unwrap().unwrap().run_after, at("2024-01-01T02:00:00Z"));
    let by_hand = stage.sandbox.manual_interval(&code, now).await;
    assert_eq!(by_hand, Ok((now, now)));
}

#[tokio::test]
async fn a_trigger_of_wit_0_1_waits_fires_and_its_task_goes_on() {
    let stage = Stage::new();
    let (bundle, parsed) = taken_in(&stage).await;
    let waits = entry(&parsed, "waits");
    let deferral = match stage.run(&bundle, &waits, &[]).await {
        Outcome::Deferred(deferral) => *deferral,
        other => panic!("it does not wait: {other:?}"),
    };
    let Trigger::Own(own) = deferral.trigger.clone() else {
        panic!("{deferral:?}")
    };
    let mut work = stage.work(&bundle, &waits, &[]);
    let mut trigger = TriggerRow {
        id: TriggerId(uuid::Uuid::nil()),
        owner: TriggerOwner::Task {
            key: work.key,
            token: work.token,
            run_id: work.names.run_id.clone(),
            task_id: work.names.task_id.clone(),
            map_index: MapIndex::UNMAPPED,
        },
        team: bundle.team.clone(),
        dag_id: DagId::new("golden").unwrap(),
        bundle: bundle.name.clone(),
        hash: bundle.hash,
        own,
        created_at: at("2012-01-15"),
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
    };
    let poll = async |trigger: &TriggerRow| {
        let trigger = trigger.clone();
        let token = Token::stored(1);
        stage.sandbox.poll(Poll { trigger, token }).await.answer
    };
    match poll(&trigger).await {
        Ok(Polled::Waiting(pause)) => {
            trigger.progress.state = Some(pause.state);
            trigger.progress.polls = 1;
        }
        other => panic!("{other:?}"),
    }
    let Ok(Polled::Fired(event)) = poll(&trigger).await else {
        panic!("it does not fire")
    };
    assert_eq!(&*event, "\"poll 2\"");
    let mut deferred = Deferred::new(&deferral, at("2012-01-16"));
    deferred.event = Some(TriggerEvent::Fired(event.into()));
    work.resume = Some(Arc::new(deferred));
    let Outcome::Success { xcoms, .. } = stage.report(work).await.outcome else {
        panic!("it does not go on")
    };
    assert_eq!(&*xcoms[0].1, "\"poll 2\"");
}

#[tokio::test]
async fn a_callback_of_wit_0_1_hears() {
    let stage = Stage::new();
    let (bundle, parsed) = taken_in(&stage).await;
    let spec = &parsed.dags[0].callbacks[0];
    assert_eq!(spec.on, CallbackKind::DagFailure);
    let now = at("2012-01-15");
    let row = CallbackRow {
        id: CallbackId(uuid::Uuid::nil()),
        created_at: now,
        priority_weight: 1,
        kind: spec.on,
        message: "the run failed".into(),
        team: bundle.team.clone(),
        bundle: bundle.name.clone(),
        hash: bundle.hash,
        entry: spec.entry.as_str().into(),
        arguments: spec.arguments.as_str().into(),
        subject: CallbackSubject {
            run: RunKey(uuid::Uuid::nil()),
            dag_id: DagId::new("golden").unwrap(),
            run_id: RunId::new("run").unwrap(),
            run_type: RunType::Manual,
            logical_date: None,
            attempt: Some(CallbackTry {
                task_id: TaskId::new("sees").unwrap(),
                map_index: MapIndex::UNMAPPED,
                try_number: 1,
                max_tries: 1,
            }),
            deadline: None,
        },
        state: CallbackState::Running,
        tries: 1,
        next_try_at: now,
        ended_at: None,
        note: None,
    };
    let token = Token::stored(1);
    assert_eq!(
        stage.sandbox.call(CallbackWork { row, token }).await,
        Ok(())
    );
}
