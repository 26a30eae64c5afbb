//! Which events of assets count for a DAG that waits for them.

use airlock_model::{
    dag::{AssetCondition, AssetRef},
    port::{AssetEvent, AssetKey, NewAssetEvent, QueueRow},
};

use super::*;

fn waits_for(names: &[&str]) -> DagSpec {
    let of = |name: &&str| AssetCondition::Of(AssetRef::Name((*name).into()));
    DagSpec {
        asset_condition: Some(AssetCondition::All(names.iter().map(of).collect())),
        ..spec("d", &["t"])
    }
}

/// Somebody tells of a change; what is written of it.
fn tell_of(engine: &mut Engine, name: &str, now: Timestamp) -> (AssetEvent, Batch) {
    let (reply, mut heard): (_, Heard<AssetEvent>) = oneshot::channel();
    let new = NewAssetEvent {
        asset: AssetKey {
            team: TeamName::default_team(),
            name: name.into(),
        },
        extra: serde_json::Map::new(),
        by: "ann".into(),
    };
    engine.handle(Event::AssetChanged(new, reply), now);
    let batch = commit(engine);
    (heard.try_recv().unwrap().unwrap(), batch)
}

#[test]
fn events_from_before_a_dag_waited_for_their_asset_do_not_count() {
    let (mut engine, now) = (engine(), at("2024-01-10"));
    let (_, batch) = tell_of(&mut engine, "a", now);
    assert!(batch.asset_queue.is_empty());
    import(&mut engine, 1, vec![waits_for(&["a"])], now);
    assert!(commit(&mut engine).new_runs.is_empty());
    let (event, batch) = tell_of(&mut engine, "a", now);
    let run = &batch.new_runs[0].run;
    assert_eq!(run.run_type, RunType::AssetTriggered);
    assert_eq!(batch.consumed, [(run.key, vec![event.id])]);
}

#[test]
fn a_dag_that_waits_for_an_asset_again_begins_anew() {
    let (mut engine, now) = (engine(), at("2024-01-10"));
    import(&mut engine, 1, vec![waits_for(&["a", "b"])], now);
    tell_of(&mut engine, "a", now);
    import(&mut engine, 2, vec![waits_for(&["b"])], now);
    let batch = commit(&mut engine);
    assert_eq!(batch.asset_queue.len(), 1, "what was queued of `a` is gone");
    assert_eq!(batch.asset_queue[0].queued_at, None);
    import(&mut engine, 3, vec![waits_for(&["a", "b"])], now);
    let (b, batch) = tell_of(&mut engine, "b", now);
    assert!(batch.new_runs.is_empty(), "`a` has not changed since");
    let (a, batch) = tell_of(&mut engine, "a", now);
    let run = batch.new_runs[0].run.key;
    assert_eq!(batch.consumed, [(run, vec![b.id, a.id])]);
}

#[test]
fn a_dag_that_was_gone_begins_anew() {
    let (mut engine, now) = (engine(), at("2024-01-10"));
    import(&mut engine, 1, vec![waits_for(&["a", "b"])], now);
    tell_of(&mut engine, "a", now);
    import(&mut engine, 2, vec![], now);
    assert_eq!(commit(&mut engine).asset_queue.len(), 1);
    import(&mut engine, 3, vec![waits_for(&["a", "b"])], now);
    let (_, batch) = tell_of(&mut engine, "b", now);
    assert!(batch.new_runs.is_empty());
}

#[test]
fn an_asset_that_is_waited_for_by_a_uri_nobody_has_declared_yet_stays_queued() {
    let (mut engine, now) = (engine(), at("2024-01-10"));
    let key = AssetKey {
        team: TeamName::default_team(),
        name: "a".into(),
    };
    let queued = QueueRow {
        dag_id: id("d"),
        asset: key,
        queued_at: now,
    };
    engine.restore_assets(vec![], vec![queued], vec![]);
    let by_uri = DagSpec {
        asset_condition: Some(AssetCondition::Of(AssetRef::Uri("s3://a".into()))),
        ..spec("d", &["t"])
    };
    import(&mut engine, 1, vec![by_uri], now);
    assert!(
        commit(&mut engine).asset_queue.is_empty(),
        "the bundle that declares it may be imported later"
    );
}

#[test]
fn what_changed_while_a_dag_was_paused_makes_no_run_and_is_consumed_by_the_next() {
    let (mut engine, now) = (engine(), at("2024-01-10"));
    import(&mut engine, 1, vec![waits_for(&["a"])], now);
    engine.handle(Event::Paused(id("d"), true), now);
    let (first, batch) = tell_of(&mut engine, "a", now);
    assert!(batch.asset_queue.is_empty() && batch.new_runs.is_empty());
    engine.handle(Event::Paused(id("d"), false), now);
    assert!(commit(&mut engine).new_runs.is_empty());
    let (second, batch) = tell_of(&mut engine, "a", now);
    let run = batch.new_runs[0].run.key;
    assert_eq!(batch.consumed, [(run, vec![first.id, second.id])]);
}

#[test]
fn a_queue_that_was_cleared_makes_no_run_and_its_events_are_consumed_by_the_next() {
    let (mut engine, now) = (engine(), at("2024-01-10"));
    import(&mut engine, 1, vec![waits_for(&["a", "b"])], now);
    let (first, _) = tell_of(&mut engine, "a", now);
    let (reply, mut heard): (_, Heard<u32>) = oneshot::channel();
    engine.handle(Event::Unqueue(id("d"), None, reply), now);
    commit(&mut engine);
    assert_eq!(heard.try_recv().unwrap().unwrap(), 1);
    let (b, batch) = tell_of(&mut engine, "b", now);
    assert!(batch.new_runs.is_empty());
    let (a, batch) = tell_of(&mut engine, "a", now);
    let run = batch.new_runs[0].run.key;
    assert_eq!(batch.consumed, [(run, vec![first.id, b.id, a.id])]);
}
