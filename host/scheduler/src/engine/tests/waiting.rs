//! Tasks that wait: what wakes them, what they hold meanwhile, and what is written of it.

use std::time::Duration;

use airlock_model::{
    connection::Pool,
    dag::AssetRef,
    id::{Scope, TaskInstanceKey},
    outcome::{Failure, FailureKind, Outcome, Report},
    port::{AssetKey, FoundFile, NewAssetEvent, TriggerOwner, TriggerRow},
    trigger::{
        Deferral, FileChange, FileEvent, HostEvent, OwnTrigger, Resume, RunRef, Trigger,
        TriggerEvent,
    },
};

use super::*;
use crate::engine::{Claim, Ending, FileOrder, StateFound, TriggerEnd};

pub(super) fn minute(n: u64) -> Timestamp {
    at("2024-01-01").after(Duration::from_secs(60 * n))
}

/// One round: what is due, what may start; what is written, and the tries that start.
pub(super) fn round(engine: &mut Engine, now: Timestamp) -> (Batch, Vec<Claim>) {
    engine.tick(now);
    engine.admit(now);
    let (batch, after) = engine.take_batch();
    let claims = after.claims.clone();
    tell(engine, after);
    (batch, claims)
}

/// Somebody wants a run of a DAG.
pub(super) fn trigger(engine: &mut Engine, dag: &str, run_id: &str, now: Timestamp) -> RunKey {
    let (reply, _heard): (_, Heard<RunRow>) = oneshot::channel();
    let request = airlock_model::port::TriggerRun {
        run_id: Some(RunId::new(run_id).unwrap()),
        ..airlock_model::port::TriggerRun::now(id(dag))
    };
    engine.handle(Event::Trigger(Box::new(request), reply), now);
    let (batch, after) = engine.take_batch();
    let key = batch.new_runs[0].run.key;
    tell(engine, after);
    key
}

fn key(claim: Claim) -> TaskInstanceKey {
    TaskInstanceKey {
        run: claim.run,
        task: claim.at.task,
        map_index: claim.at.map_index,
    }
}

pub(super) fn end(engine: &mut Engine, claim: Claim, outcome: Outcome, now: Timestamp) {
    let report = Report {
        outcome,
        waited: Duration::ZERO,
        ran: Duration::ZERO,
    };
    let ending = Ending {
        key: key(claim),
        token: claim.token,
        at: now,
        report,
        spilled: vec![],
    };
    engine.handle(Event::Ended(Box::new(ending)), now);
}

pub(super) fn failed() -> Outcome {
    Outcome::Failed(Failure {
        kind: FailureKind::Error,
        message: "no".into(),
        causes: vec![],
        location: None,
    })
}

fn defer(trigger: Trigger, timeout: Option<u64>) -> Outcome {
    Outcome::Deferred(Box::new(Deferral {
        trigger,
        resume: Resume {
            method: "go_on".into(),
            arguments: "[]".into(),
        },
        timeout: timeout.map(|minutes| Duration::from_secs(60 * minutes)),
    }))
}

fn own() -> Trigger {
    Trigger::Own(OwnTrigger {
        kind: "Door".into(),
        arguments: "{}".into(),
    })
}

fn asset(name: &str) -> Trigger {
    Trigger::Host(HostEvent::Asset(AssetRef::Name(name.into())))
}

fn tell_of_asset(engine: &mut Engine, name: &str, now: Timestamp) {
    let (reply, _heard): (_, Heard<_>) = oneshot::channel();
    let new = NewAssetEvent {
        asset: AssetKey {
            team: TeamName::default_team(),
            name: name.into(),
        },
        extra: serde_json::Map::new(),
        by: "ann".into(),
    };
    engine.handle(Event::AssetChanged(new, reply), now);
}

/// A DAG `d` of one task, which has deferred at minute one; and what was written of that.
fn deferred(waits_for: Trigger, timeout: Option<u64>) -> (Engine, Claim, Batch) {
    let mut engine = engine();
    import(
        &mut engine,
        1,
        vec![spec("d", &["t"]), spec("e", &["t"])],
        minute(0),
    );
    trigger(&mut engine, "d", "r", minute(0));
    let (_, claims) = round(&mut engine, minute(0));
    end(&mut engine, claims[0], defer(waits_for, timeout), minute(1));
    let (batch, none) = round(&mut engine, minute(1));
    assert!(none.is_empty(), "its slot is another's");
    (engine, claims[0], batch)
}

/// What the task goes on with, if it does.
fn resumed(engine: &mut Engine, now: Timestamp) -> Option<TriggerEvent> {
    let (_, claims) = round(engine, now);
    let work = engine.dispatch(*claims.first()?, now)?.work;
    assert_eq!(work.names.try_number, 1, "it goes on as the same try");
    assert_eq!(
        work.first_started_at,
        Some(minute(1)),
        "its time goes on too"
    );
    work.resume?.event.clone()
}

fn value(event: Option<TriggerEvent>) -> serde_json::Value {
    match event {
        Some(TriggerEvent::Fired(json)) => serde_json::from_str(&json).unwrap(),
        other => panic!("it has not fired: {other:?}"),
    }
}

#[test]
fn a_task_that_waits_for_a_time_goes_on_then_and_not_before() {
    let (mut engine, ..) = deferred(Trigger::Duration(Duration::from_secs(600)), None);
    assert_eq!(engine.next_timer(), Some(minute(11)));
    assert_eq!(resumed(&mut engine, minute(10)), None);
    let event = resumed(&mut engine, minute(11));
    assert_eq!(value(event)["at"], "2024-01-01T00:11:00+00:00");
}

#[test]
fn a_wait_that_takes_too_long_is_told_so() {
    let (mut engine, ..) = deferred(asset("a"), Some(5));
    assert_eq!(
        resumed(&mut engine, minute(6)),
        Some(TriggerEvent::TimedOut)
    );
    tell_of_asset(&mut engine, "a", minute(7));
    assert_eq!(resumed(&mut engine, minute(7)), None, "it hears no more");
}

#[test]
fn a_change_of_an_asset_wakes_who_waits_for_it_in_the_same_commit() {
    let (mut engine, ..) = deferred(asset("a"), None);
    tell_of_asset(&mut engine, "b", minute(2));
    assert_eq!(resumed(&mut engine, minute(2)), None);
    tell_of_asset(&mut engine, "a", minute(3));
    let (batch, claims) = round(&mut engine, minute(3));
    assert_eq!((batch.asset_events.len(), batch.tasks.len()), (1, 1));
    let work = engine.dispatch(claims[0], minute(3)).unwrap().work;
    let event = value(work.resume.unwrap().event.clone());
    assert_eq!(
        (event["asset"].as_str(), &event["extra"]),
        (Some("a"), &serde_json::json!({}))
    );
}

#[test]
fn a_change_between_the_end_of_the_call_and_its_report_is_not_missed() {
    let mut engine = engine();
    import(&mut engine, 1, vec![spec("d", &["t"])], minute(0));
    trigger(&mut engine, "d", "r", minute(0));
    let (_, claims) = round(&mut engine, minute(0));
    tell_of_asset(&mut engine, "a", minute(2));
    // The call ended in minute one, and is reported now.
    end(&mut engine, claims[0], defer(asset("a"), None), minute(1));
    assert!(resumed(&mut engine, minute(2)).is_some());
}

#[test]
fn the_end_of_a_run_wakes_who_waits_for_it() {
    let waits_for = Trigger::Host(HostEvent::DagRun {
        dag_id: id("e"),
        run: RunRef::RunId(RunId::new("s").unwrap()),
        states: vec![RunState::Success],
    });
    let (mut engine, ..) = deferred(waits_for, None);
    trigger(&mut engine, "e", "s", minute(2));
    let (_, claims) = round(&mut engine, minute(2));
    end(&mut engine, claims[0], Outcome::success(vec![]), minute(3));
    let event = value(resumed(&mut engine, minute(3)));
    assert_eq!(
        event,
        serde_json::json!({ "dag_id": "e", "run_id": "s", "state": "success" })
    );
}

#[test]
fn what_has_been_long_ago_counts_too_but_not_what_another_team_did() {
    let event = HostEvent::TaskInstance {
        dag_id: id("e"),
        run: RunRef::LogicalDate(at("2024-01-01")),
        task_id: "t".parse().unwrap(),
        map_index: MapIndex::UNMAPPED,
        states: vec![TaskState::Failed],
    };
    for (team, heard) in [("default", true), ("other", false)] {
        let mut engine = engine();
        import(&mut engine, 1, vec![spec("d", &["t"])], minute(0));
        trigger(&mut engine, "d", "r", minute(0));
        let (_, claims) = round(&mut engine, minute(0));
        let waits_for = Trigger::Host(event.clone());
        end(&mut engine, claims[0], defer(waits_for, None), minute(1));
        let (batch, after) = engine.take_batch();
        assert_eq!(batch.tasks.len(), 1);
        // The question is asked when the wait is durable, so that nothing falls between the two.
        let question = after.states[0].clone();
        let Loaded { mut stored, .. } = loaded(
            spec("e", &["t"]),
            9,
            RunState::Failed,
            &[("t", -1, TaskState::Failed)],
        );
        stored.run.team = TeamName::new(team).unwrap();
        let found = StateFound {
            run: stored.run,
            task: stored.tasks.pop(),
        };
        tell(&mut engine, after);
        let known = Event::StateKnown(Box::new((question, Some(found))));
        engine.handle(known, minute(2));
        assert_eq!(resumed(&mut engine, minute(2)).is_some(), heard, "{team}");
    }
}

#[test]
fn files_are_looked_for_until_nobody_waits_any_more() {
    let event = FileEvent {
        directory: "inbox".into(),
        pattern: "*.csv".into(),
        change: FileChange::Exists,
    };
    let (mut engine, ..) = deferred(Trigger::Host(HostEvent::File(event.clone())), Some(60));
    let orders = engine.take_file_orders();
    let [
        FileOrder::Look {
            waiter,
            behalf,
            event: wanted,
            since,
        },
    ] = &orders[..]
    else {
        panic!("{orders:?}");
    };
    assert_eq!((wanted, *since), (&event, minute(1)));
    assert_eq!(
        behalf.task_id.as_ref().map(ToString::to_string),
        Some("t".into())
    );
    let file = FoundFile {
        path: "a.csv".into(),
        bytes: 7,
        modified: minute(2),
        changed: minute(2),
    };
    engine.handle(
        Event::FilesFound(waiter.clone(), vec![file], false),
        minute(2),
    );
    assert_eq!(
        engine.take_file_orders(),
        [FileOrder::Forget(waiter.clone())]
    );
    let event = value(resumed(&mut engine, minute(2)));
    assert_eq!(
        (event["path"].as_str(), event["bytes"].as_u64()),
        (Some("a.csv"), Some(7))
    );
}

#[test]
fn a_file_that_may_not_be_looked_at_fails_the_wait_with_the_reason() {
    let event = FileEvent {
        directory: "inbox".into(),
        pattern: "*".into(),
        change: FileChange::Exists,
    };
    let (mut engine, ..) = deferred(Trigger::Host(HostEvent::File(event)), None);
    let Some(FileOrder::Look { waiter, .. }) = engine.take_file_orders().pop() else {
        panic!("nobody looks");
    };
    engine.handle(Event::FilesRefused(waiter, "not granted".into()), minute(2));
    assert_eq!(
        resumed(&mut engine, minute(2)),
        Some(TriggerEvent::Failed("not granted".into()))
    );
}

fn row(batch: &Batch) -> TriggerRow {
    let [row] = &batch.new_triggers[..] else {
        panic!("{:?}", batch.new_triggers);
    };
    row.clone()
}

fn ended(row: &TriggerRow, json: &str) -> Event {
    let TriggerOwner::Task { key, token, .. } = row.owner else {
        panic!("{row:?}");
    };
    Event::TriggerEnded(Box::new(TriggerEnd {
        id: row.id,
        key,
        token,
        event: TriggerEvent::Fired(json.into()),
    }))
}

#[test]
fn a_bundles_own_trigger_is_a_row_from_the_deferral_to_the_event() {
    let (mut engine, claim, batch) = deferred(own(), None);
    let row = row(&batch);
    assert_eq!(
        row.progress.next_poll_at,
        Some(minute(1)),
        "it is polled at once"
    );
    let owner = (row.dag_id.as_str(), row.owner.clone());
    let TriggerOwner::Task { token, .. } = row.owner else {
        panic!("{owner:?}");
    };
    assert_eq!(token, claim.token);
    engine.handle(ended(&row, "7"), minute(2));
    let (batch, claims) = round(&mut engine, minute(2));
    assert_eq!(batch.gone_triggers, [row.id], "in the commit of the event");
    assert_eq!(batch.tasks.len(), 1);
    // Somebody who polled it as well is too late.
    engine.handle(ended(&row, "8"), minute(3));
    let (batch, none) = round(&mut engine, minute(3));
    assert_eq!((batch.tasks.len(), none.len()), (0, 0));
    let work = engine.dispatch(claims[0], minute(3)).unwrap().work;
    assert_eq!(
        work.resume.unwrap().event,
        Some(TriggerEvent::Fired("7".into()))
    );
}

#[test]
fn a_task_that_is_cleared_while_it_waits_gives_its_trigger_up() {
    let (mut engine, claim, batch) = deferred(own(), None);
    let waited = row(&batch);
    engine.clear(claim.run, &[claim.at], minute(2));
    let (batch, claims) = round(&mut engine, minute(2));
    assert_eq!(batch.gone_triggers, [waited.id]);
    assert_eq!(claims.len(), 1, "it runs from its beginning");
    assert_eq!(
        engine.dispatch(claims[0], minute(2)).unwrap().work.resume,
        None
    );
    engine.handle(ended(&waited, "7"), minute(3));
    assert_eq!(round(&mut engine, minute(3)).1.len(), 0);
}

#[test]
fn a_restart_waits_on_with_the_trigger_that_is_there_and_drops_those_nobody_waits_for() {
    let (mut engine, claim, batch) = deferred(own(), Some(30));
    let kept = row(&batch);
    let stray = TriggerRow {
        id: airlock_model::id::TriggerId(Uuid::from_u128(1)),
        ..kept.clone()
    };
    let stray = match stray.owner.clone() {
        TriggerOwner::Task {
            mut key,
            token,
            run_id,
            task_id,
            map_index,
        } => {
            key.run = RunKey(Uuid::from_u128(99));
            let owner = TriggerOwner::Task {
                key,
                token,
                run_id,
                task_id,
                map_index,
            };
            TriggerRow { owner, ..stray }
        }
        TriggerOwner::Watcher { .. } => panic!("{stray:?}"),
    };
    let active = engine.runs.get_mut(&claim.run).unwrap();
    let new = active.new_run();
    let dag = Arc::clone(active.run.dag());
    let stored = StoredRun {
        run: new.run,
        tasks: new.tasks,
        returned: vec![],
    };
    let mut engine = super::engine();
    engine.restore_triggers(vec![kept.clone(), stray.clone()]);
    engine.restore(stored, dag, BundleName::new("b").unwrap(), false, minute(2));
    engine.drop_stray_triggers();
    import(&mut engine, 1, vec![spec("d", &["t"])], minute(2));
    let (batch, _) = round(&mut engine, minute(2));
    assert!(batch.new_triggers.is_empty(), "{:?}", batch.new_triggers);
    assert_eq!(batch.gone_triggers, [stray.id]);
    assert_eq!(
        engine.next_timer(),
        Some(minute(31)),
        "its patience is what it was"
    );
    engine.handle(ended(&kept, "7"), minute(3));
    assert!(resumed(&mut engine, minute(3)).is_some());
}

#[test]
fn a_pool_that_counts_what_waits_keeps_the_slots_and_another_does_not() {
    for (include_deferred, starts) in [(false, 1), (true, 0)] {
        let pool = |include_deferred| Pool {
            scope: Scope::Team(TeamName::default_team()),
            name: PoolName::new("one").unwrap(),
            slots: 1,
            description: None,
            include_deferred,
        };
        let mut engine = engine();
        engine.set_pools(&[pool(include_deferred)]);
        let mut pooled = spec("d", &["t", "u"]);
        pooled
            .tasks
            .iter_mut()
            .for_each(|task| task.pool = Some("one".into()));
        import(&mut engine, 1, vec![pooled], minute(0));
        trigger(&mut engine, "d", "r", minute(0));
        let (_, claims) = round(&mut engine, minute(0));
        assert_eq!(claims.len(), 1);
        end(&mut engine, claims[0], defer(asset("a"), None), minute(1));
        let (_, next) = round(&mut engine, minute(1));
        assert_eq!(next.len(), starts, "include_deferred = {include_deferred}");
        // Whoever changes his mind is heard at once.
        engine.handle(Event::Pools(vec![pool(false)]), minute(2));
        let (_, next) = round(&mut engine, minute(2));
        assert_eq!(next.len(), 1 - starts);
        for claim in next {
            end(&mut engine, claim, Outcome::success(vec![]), minute(2));
        }
        tell_of_asset(&mut engine, "a", minute(3));
        engine.tick(minute(3));
        let health = engine.health(minute(3), true);
        assert_eq!(
            (health.teams[0].deferred, health.teams[0].tally.resumed),
            (0, 1)
        );
    }
}

#[test]
fn a_trigger_of_a_bundle_is_polled_when_it_hears_something_also_between_its_poll_and_its_answer() {
    let (mut engine, _, batch) = deferred(own(), None);
    let row = row(&batch);
    let behalf = airlock_model::port::FileWaiter {
        team: row.team.clone(),
        bundle: row.bundle.clone(),
        hash: row.hash,
        dag_id: row.dag_id.clone(),
        task_id: None,
    };
    let listens = |since| {
        let on = vec![HostEvent::Asset(AssetRef::Name("a".into()))];
        Event::Listens(row.id, Box::new(behalf.clone()), on, since)
    };
    // It was polled in minute two; the asset has changed before the engine hears what it answered.
    tell_of_asset(&mut engine, "a", minute(3));
    engine.handle(listens(minute(2)), minute(3));
    let (_, after) = engine.take_batch();
    assert_eq!(after.woken, [row.id]);
    engine.handle(listens(minute(4)), minute(4));
    assert!(engine.take_batch().1.woken.is_empty());
    tell_of_asset(&mut engine, "a", minute(5));
    assert_eq!(engine.take_batch().1.woken, [row.id]);
    // A restart knows nothing of what happened meanwhile, so it lets it look.
    let mut listening = row.clone();
    listening.progress.on = vec![HostEvent::Asset(AssetRef::Name("a".into()))];
    let mut engine = super::engine();
    engine.restore_triggers(vec![listening]);
    assert_eq!(engine.take_batch().1.woken, [row.id]);
}
