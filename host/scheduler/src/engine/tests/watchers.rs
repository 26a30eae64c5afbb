//! Watchers: they come and go with their DAGs, rest while nobody listens, and of changes with one key one counts.

use std::time::Duration;

use airlock_model::{
    dag::{AssetCondition, AssetRef, AssetSpec, WatcherSpec},
    id::{HostId, TriggerId},
    port::{AssetKey, FoundFile, Lease, TriggerProgress, TriggerRow, WatchedEvent},
    trigger::{FileChange, FileEvent, HostEvent, OwnTrigger, Trigger},
};

use super::{
    waiting::{minute, round},
    *,
};
use crate::engine::{FileOrder, Sighting, Waiter, WatcherKey};

fn own(arguments: &str) -> Trigger {
    Trigger::Own(OwnTrigger {
        kind: "Door".into(),
        arguments: arguments.into(),
    })
}

/// A DAG that watches asset `inbox`.
fn watches(dag: &str, trigger: Trigger) -> DagSpec {
    DagSpec {
        assets: vec![AssetSpec {
            name: "inbox".into(),
            watchers: vec![WatcherSpec {
                name: "door".into(),
                trigger,
            }],
            ..AssetSpec::default()
        }],
        ..spec(dag, &["t"])
    }
}

/// A DAG that runs when `inbox` changes.
fn listens(dag: &str) -> DagSpec {
    DagSpec {
        asset_condition: Some(AssetCondition::Of(AssetRef::Name("inbox".into()))),
        ..spec(dag, &["t"])
    }
}

fn key() -> WatcherKey {
    WatcherKey {
        asset: AssetKey {
            team: TeamName::default_team(),
            name: "inbox".into(),
        },
        name: "door".into(),
    }
}

fn progress() -> TriggerProgress {
    TriggerProgress::unpolled(minute(0))
}

fn lease() -> Lease {
    Lease {
        host: HostId(Uuid::from_u128(1)),
        token: Token::stored(1),
        until: minute(9),
    }
}

fn seen(id: Option<TriggerId>, keys: &[&str]) -> Event {
    let event = |key: &&str| WatchedEvent {
        key: (*key).into(),
        extra: format!("{{\"of\":\"{key}\"}}"),
    };
    Event::Sighted(Box::new(Sighting {
        watcher: key(),
        row: id.map(|id| (id, lease(), progress())),
        events: keys.iter().map(event).collect(),
        known: false,
    }))
}

fn active(engine: &mut Engine) -> Vec<TriggerId> {
    let active = engine.take_active_watchers();
    active
        .into_iter()
        .flat_map(|ids| ids.iter().copied().collect::<Vec<_>>())
        .collect()
}

#[test]
fn what_a_watcher_sees_is_an_event_and_a_run_in_one_commit_with_its_key_and_its_progress() {
    let mut engine = engine();
    let dags = vec![watches("d", own("1")), listens("e")];
    import(&mut engine, 1, dags, minute(0));
    let (batch, _) = round(&mut engine, minute(0));
    let row = batch.new_triggers[0].clone();
    assert_eq!(active(&mut engine), [row.id]);
    engine.handle(seen(Some(row.id), &["a", "b", "a"]), minute(1));
    let (batch, _) = round(&mut engine, minute(1));
    let extras: Vec<&str> = batch
        .asset_events
        .iter()
        .map(|event| &*event.extra)
        .collect();
    assert_eq!(extras, ["{\"of\":\"a\"}", "{\"of\":\"b\"}"]);
    let keys: Vec<&str> = batch
        .seen_keys
        .iter()
        .map(|seen| seen.key.as_str())
        .collect();
    assert_eq!(keys, ["a", "b"]);
    assert_eq!(batch.watched, [(row.id, lease(), progress())]);
    let runs: Vec<&str> = batch
        .new_runs
        .iter()
        .map(|new| new.run.dag_id.as_str())
        .collect();
    assert_eq!(runs, ["e", "e"]);
}

#[test]
fn a_watcher_lives_as_long_as_a_dag_declares_it_and_goes_on_in_a_new_version() {
    let mut engine = engine();
    import(&mut engine, 1, vec![watches("d", own("1"))], minute(0));
    let (batch, _) = round(&mut engine, minute(0));
    let id = batch.new_triggers[0].id;
    import(&mut engine, 2, vec![watches("d", own("1"))], minute(1));
    let (batch, _) = round(&mut engine, minute(1));
    assert!(batch.new_triggers.is_empty() && batch.gone_triggers.is_empty());
    assert_eq!(
        (batch.moved_watchers[0].id, batch.moved_watchers[0].hash),
        (id, BundleHash::from_bytes([2; 32]))
    );
    // Another DAG declares the same, so it stays when the first is gone.
    import(&mut engine, 3, vec![watches("e", own("1"))], minute(2));
    let (batch, _) = round(&mut engine, minute(2));
    assert_eq!(batch.moved_watchers[0].dag_id.as_str(), "e");
    // Made with something else it is another trigger.
    import(&mut engine, 3, vec![watches("e", own("2"))], minute(3));
    let (batch, _) = round(&mut engine, minute(3));
    assert_eq!(batch.gone_triggers, [id]);
    let other = batch.new_triggers[0].id;
    engine.handle(seen(Some(id), &["late"]), minute(4));
    assert!(
        round(&mut engine, minute(4)).0.asset_events.is_empty(),
        "it has been ended"
    );
    import(&mut engine, 4, vec![spec("e", &["t"])], minute(5));
    assert_eq!(round(&mut engine, minute(5)).0.gone_triggers, [other]);
}

#[test]
fn a_restart_goes_on_with_the_watcher_that_is_there_when_its_bundle_has_come_back() {
    let mut engine = engine();
    import(&mut engine, 1, vec![watches("d", own("1"))], minute(0));
    let row: TriggerRow = round(&mut engine, minute(0)).0.new_triggers[0].clone();
    let mut engine = super::engine();
    engine.restore_triggers(vec![row.clone()]);
    // Another bundle comes first.
    engine.handle(
        Event::Imported {
            bundle: BundleName::new("first").unwrap(),
            dags: vec![],
        },
        minute(1),
    );
    let (batch, _) = round(&mut engine, minute(1));
    assert!(
        batch.gone_triggers.is_empty(),
        "its own bundle is not back yet"
    );
    assert!(active(&mut engine).is_empty());
    import(&mut engine, 1, vec![watches("d", own("1"))], minute(2));
    let (batch, _) = round(&mut engine, minute(2));
    assert!(batch.new_triggers.is_empty());
    assert_eq!(active(&mut engine), [row.id]);
}

#[test]
fn a_watcher_rests_while_all_who_wait_for_its_asset_are_paused() {
    let mut engine = engine();
    let dags = vec![watches("d", own("1")), listens("e"), listens("f")];
    import(&mut engine, 1, dags, minute(0));
    let id = round(&mut engine, minute(0)).0.new_triggers[0].id;
    assert_eq!(active(&mut engine), [id]);
    engine.handle(Event::Paused(super::id("e"), true), minute(1));
    assert_eq!(active(&mut engine), [id], "`f` waits still");
    engine.handle(Event::Paused(super::id("f"), true), minute(2));
    assert!(active(&mut engine).is_empty());
    engine.take_batch();
    engine.handle(Event::Paused(super::id("e"), false), minute(3));
    assert_eq!(active(&mut engine), [id]);
    assert_eq!(engine.take_batch().1.woken, [id], "it looks at once");
}

#[test]
fn files_that_were_there_when_a_watcher_of_changes_began_are_known_and_not_told_of() {
    let event = FileEvent {
        directory: "inbox".into(),
        pattern: "*".into(),
        change: FileChange::Changes,
    };
    let mut engine = engine();
    let trigger = Trigger::Host(HostEvent::File(event));
    import(&mut engine, 1, vec![watches("d", trigger)], minute(0));
    let Some(FileOrder::Look { waiter, .. }) = engine.take_file_orders().pop() else {
        panic!("nobody looks");
    };
    assert_eq!(waiter, Waiter::Watcher(key()));
    let file = |path: &str| FoundFile {
        path: path.into(),
        bytes: 1,
        modified: minute(0),
        changed: minute(0),
    };
    for (name, known, told) in [("old", true, 0), ("new", false, 1)] {
        engine.handle(
            Event::FilesFound(waiter.clone(), vec![file(name)], known),
            minute(1),
        );
        // The database is asked first, which knows nothing of it.
        let sighting = engine.take_sightings().pop().unwrap();
        assert_eq!(sighting.known, known);
        engine.handle(Event::Sighted(Box::new(sighting)), minute(1));
        let (batch, _) = round(&mut engine, minute(1));
        assert_eq!(
            (batch.seen_keys.len(), batch.asset_events.len()),
            (1, told),
            "{name}"
        );
    }
}

#[test]
fn a_watcher_by_the_clock_keeps_its_beat_over_a_restart() {
    let trigger = Trigger::Duration(Duration::from_secs(600));
    let mut engine = engine();
    import(
        &mut engine,
        1,
        vec![watches("d", trigger.clone())],
        minute(3),
    );
    assert_eq!(engine.next_timer(), Some(minute(10)));
    engine.tick(minute(10));
    let first = engine.take_sightings().pop().unwrap();
    assert_eq!(engine.next_timer(), Some(minute(20)));
    let mut engine = super::engine();
    import(&mut engine, 1, vec![watches("d", trigger)], minute(14));
    assert_eq!(engine.next_timer(), Some(minute(20)));
    engine.tick(minute(20));
    let second = engine.take_sightings().pop().unwrap();
    assert_ne!(first.events[0].key, second.events[0].key);
    assert_eq!(
        second.events[0].extra,
        "{\"at\":\"2024-01-01T00:20:00+00:00\"}"
    );
}
