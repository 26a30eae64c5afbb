//! Assets: what DAGs declare and use, how it changed, and what waits for it.

use std::sync::Arc;

use airlock_model::{
    dag::{AssetCondition, AssetRef, AssetSpec, DagSpec, TaskSpec},
    id::*,
    port::*,
    state::{RunState, RunType},
};
use uuid::Uuid;

use crate::{fixture::*, on_both};

on_both! {
    what_dags_declare_and_use_is_found_from_the_asset,
    a_use_is_as_old_as_its_first_import_without_a_break,
    two_teams_assets_of_one_name_are_two,
    assets_are_listed_by_filter_and_page,
    events_come_back_as_they_were_told,
    an_event_that_is_refused_with_its_success_never_was,
    an_asset_that_a_task_made_up_is_known_from_its_first_event_on,
    long_names_spoil_no_batch,
    events_are_listed_by_filter_and_page,
    a_restart_knows_the_events_that_no_run_has_consumed,
    the_queue_holds_each_asset_once,
}

fn name(text: &str) -> AssetRef {
    AssetRef::Name(text.into())
}

fn asset_key(text: &str) -> AssetKey {
    AssetKey {
        team: team("default"),
        name: text.into(),
    }
}

fn asset(text: &str, uri: Option<&str>) -> AssetSpec {
    AssetSpec {
        name: text.into(),
        uri: uri.map(Into::into),
        group: Some("weather".into()),
        extra: Some(r#"{"owner": "ä"}"#.into()),
        watchers: Vec::new(),
    }
}

fn event(text: &str, micros: i64) -> AssetEvent {
    AssetEvent {
        id: AssetEventId(Uuid::now_v7()),
        asset: asset_key(text),
        at: at(micros),
        extra: r#"{"rows": 3, "n": "\u0000"}"#.into(),
        source: EventSource::Task {
            dag_id: dag_id("producer"),
            run_id: RunId::new("scheduled__1").unwrap(),
            task_id: TaskId::new("write").unwrap(),
            map_index: MapIndex(2),
        },
        aliases: vec![],
    }
}

fn telling(events: &[AssetEvent]) -> Batch {
    Batch {
        asset_events: events.to_vec(),
        ..Batch::default()
    }
}

/// A DAG that writes `rain` (which it declares) and, through an alias, others; it reads `wind`.
fn producer() -> DagSpec {
    DagSpec {
        assets: vec![asset("rain", Some("s3://rain"))],
        tasks: vec![TaskSpec {
            task_id: "write".into(),
            inlets: vec![name("wind")],
            outlets: vec![name("rain"), AssetRef::Alias("any".into()), name("rain")],
            ..TaskSpec::default()
        }],
        ..spec("producer")
    }
}

/// A DAG that runs for `rain`, by its URI, or for whatever the alias becomes.
fn consumer() -> DagSpec {
    let of = |asset| AssetCondition::Of(asset);
    DagSpec {
        asset_condition: Some(AssetCondition::Any(vec![
            of(AssetRef::Uri("s3://rain".into())),
            AssetCondition::All(vec![of(AssetRef::Alias("any".into())), of(name("wind"))]),
            of(name("wind")),
        ])),
        ..spec("consumer")
    }
}

async fn import(store: &airlock_store::Store, of: &str, specs: &[DagSpec], micros: i64) {
    let dag = |spec: &DagSpec| StoredDag {
        dag_id: dag_id(&spec.dag_id),
        team: team(of),
        bundle: bundle(of),
        hash: hash(1),
        spec: spec.clone(),
        is_paused: false,
        is_stale: false,
        last_parsed: at(micros),
    };
    let dags: Vec<_> = specs.iter().map(dag).collect();
    store
        .replace(&team(of), &bundle(of), &dags, &[])
        .await
        .unwrap();
}

fn told(uses: &[AssetUse]) -> Vec<String> {
    let tell = |one: &AssetUse| {
        let task = one.task_id.as_ref().map_or("", TaskId::as_str);
        format!(
            "{}/{task} {:?} {}",
            one.dag_id,
            one.role,
            one.since.micros()
        )
    };
    uses.iter().map(tell).collect()
}

async fn what_dags_declare_and_use_is_found_from_the_asset(fresh: Fresh) {
    let store = &fresh.store;
    import(store, "default", &[producer(), consumer()], 5).await;
    let rain = store.asset(&asset_key("rain")).await.unwrap().unwrap();
    assert_eq!(rain.key, asset_key("rain"));
    assert_eq!(rain.uri.as_deref(), Some("s3://rain"));
    assert_eq!(rain.group.as_deref(), Some("weather"));
    assert_eq!(rain.extra.as_deref(), Some(r#"{"owner": "ä"}"#));
    assert_eq!((rain.aliases.len(), rain.last_event), (0, None));
    assert_eq!(
        told(&rain.uses),
        [
            "consumer/ Schedule 5",
            "producer/ Declared 5",
            "producer/write Outlet 5"
        ]
    );
    assert_eq!(rain.uses[0].asset, AssetRef::Uri("s3://rain".into()));
    // Once the alias is resolved to it, its uses are those of the alias too.
    let aliased = AssetEvent {
        aliases: vec!["any".into(), "other".into()],
        ..event("rain", 9)
    };
    store.commit(&telling(&[aliased])).await.unwrap();
    let rain = store.asset(&asset_key("rain")).await.unwrap().unwrap();
    assert_eq!(rain.aliases, ["any", "other"]);
    assert_eq!(rain.last_event, Some(at(9)));
    assert_eq!(rain.uses.len(), 5);
    let resolved = [("any", "rain"), ("other", "rain")];
    assert_eq!(
        store.alias_assets().await.unwrap(),
        resolved.map(|(alias, name)| (alias.to_owned(), asset_key(name)))
    );
    // Nobody has declared it.
    assert_eq!(store.asset(&asset_key("wind")).await.unwrap(), None);
    let consumers = store.consumers().await.unwrap();
    let waits: Vec<_> = consumers.iter().map(|one| &one.asset).collect();
    assert_eq!(
        waits,
        [
            &AssetRef::Alias("any".into()),
            &name("wind"),
            &AssetRef::Uri("s3://rain".into())
        ]
    );
}

async fn a_use_is_as_old_as_its_first_import_without_a_break(fresh: Fresh) {
    let store = &fresh.store;
    let since = async || {
        let consumers = store.consumers().await.unwrap();
        consumers
            .iter()
            .map(|one| one.since.micros())
            .collect::<Vec<_>>()
    };
    import(store, "default", &[consumer()], 5).await;
    let mut more = consumer();
    more.asset_condition = Some(AssetCondition::All(vec![
        more.asset_condition.unwrap(),
        AssetCondition::Of(name("zero")),
    ]));
    import(store, "default", &[more, producer()], 6).await;
    assert_eq!(since().await, [5, 5, 6, 5]);
    // Gone, and with it what it used; and back again.
    import(store, "default", &[producer()], 7).await;
    assert!(since().await.is_empty());
    import(store, "default", &[consumer()], 8).await;
    assert_eq!(since().await, [8, 8, 8]);
    // An asset whose DAG is gone is remembered.
    let rain = store.asset(&asset_key("rain")).await.unwrap().unwrap();
    assert_eq!(told(&rain.uses), ["consumer/ Schedule 8"]);
}

async fn two_teams_assets_of_one_name_are_two(fresh: Fresh) {
    let store = &fresh.store;
    let theirs = DagSpec {
        dag_id: "theirs".into(),
        assets: vec![asset("rain", Some("s3://theirs"))],
        ..consumer()
    };
    import(store, "default", &[producer()], 1).await;
    import(store, "payments", &[theirs], 2).await;
    let ours = store.asset(&asset_key("rain")).await.unwrap().unwrap();
    assert_eq!(ours.uri.as_deref(), Some("s3://rain"));
    assert!(ours.uses.iter().all(|one| one.team == team("default")));
    let key = AssetKey {
        team: team("payments"),
        ..asset_key("rain")
    };
    let other = AssetEvent {
        asset: key.clone(),
        ..event("rain", 3)
    };
    store.commit(&telling(&[other])).await.unwrap();
    let theirs = store.asset(&key).await.unwrap().unwrap();
    assert_eq!(told(&theirs.uses), ["theirs/ Declared 2"]);
    assert_eq!((ours.last_event, theirs.last_event), (None, Some(at(3))));
    let of_rain = EventFilter {
        team: Some(team("default")),
        asset: Some("rain".into()),
        ..EventFilter::default()
    };
    assert_eq!(store.events(&of_rain, Page::ALL).await.unwrap().items, []);
}

async fn assets_are_listed_by_filter_and_page(fresh: Fresh) {
    let store = &fresh.store;
    let many = DagSpec {
        assets: ["b", "a", "c"].map(|text| asset(text, None)).into(),
        ..spec("many")
    };
    import(store, "default", &[many, producer(), consumer()], 1).await;
    import(store, "default", &[producer(), consumer()], 1).await;
    let list = async |filter: AssetFilter, offset, limit| {
        let page = Page { offset, limit };
        let found = store.assets(&filter, page).await.unwrap();
        let names: Vec<_> = found.items.iter().map(|found| &*found.key.name).collect();
        (names.join(" "), found.total)
    };
    let all = AssetFilter {
        include_unused: true,
        ..AssetFilter::default()
    };
    assert_eq!(list(all.clone(), 0, 9).await, ("a b c rain".into(), 4));
    assert_eq!(list(all.clone(), 1, 2).await, ("b c".into(), 4));
    assert_eq!(list(AssetFilter::default(), 0, 9).await, ("rain".into(), 1));
    let of = |dag: &str| AssetFilter {
        dag_id: Some(dag_id(dag)),
        ..all.clone()
    };
    assert_eq!(list(of("consumer"), 0, 9).await, ("rain".into(), 1));
    assert_eq!(list(of("many"), 0, 9).await, (String::new(), 0));
    let uri = AssetFilter {
        uri: Some("s3://rain".into()),
        ..all.clone()
    };
    assert_eq!(list(uri, 0, 9).await, ("rain".into(), 1));
    let of_team = AssetFilter {
        team: Some(team("payments")),
        ..all
    };
    assert_eq!(list(of_team, 0, 9).await, (String::new(), 0));
}

async fn events_come_back_as_they_were_told(fresh: Fresh) {
    let store = &fresh.store;
    let by_api = AssetEvent {
        source: EventSource::Api {
            by: "Ada \u{1b}[31m".into(),
        },
        aliases: vec!["ä".into(), "b\"".into()],
        ..event("rain", 2)
    };
    let other = AssetEvent {
        source: EventSource::Other("a watcher".into()),
        ..event("rain", 3)
    };
    let told = [event("rain", 1), by_api, other];
    store.commit(&telling(&told)).await.unwrap();
    let found = store.events(&EventFilter::default(), Page::ALL).await;
    assert_eq!(found.unwrap().items, told);
}

async fn an_event_that_is_refused_with_its_success_never_was(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("producer", 1, 1);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    store.commit(&moving(vec![claimed(&run, 0)])).await.unwrap();
    // The try whose success this is was superseded.
    let batch = Batch {
        tasks: vec![claimed(&run, 0)],
        asset_queue: vec![QueueChange {
            dag_id: dag_id("consumer"),
            asset: asset_key("rain"),
            queued_at: Some(at(1)),
        }],
        ..telling(&[AssetEvent {
            aliases: vec!["any".into()],
            ..event("rain", 1)
        }])
    };
    let refused = store.commit(&batch).await;
    assert!(matches!(refused, Err(CommitError::Fenced(_))));
    let events = store.events(&EventFilter::default(), Page::ALL).await;
    assert_eq!(events.unwrap().total, 0);
    assert_eq!(store.queue().await.unwrap(), []);
    assert_eq!(store.alias_assets().await.unwrap(), []);
    assert_eq!(store.asset(&asset_key("rain")).await.unwrap(), None);
}

async fn an_asset_that_a_task_made_up_is_known_from_its_first_event_on(fresh: Fresh) {
    let store = &fresh.store;
    let made = AssetEvent {
        aliases: vec!["any".into()],
        ..event("made", 4)
    };
    let batch = Batch {
        new_assets: vec![(team("default"), asset("made", Some("s3://made")))],
        ..telling(&[made, event("bare", 5)])
    };
    store.commit(&batch).await.unwrap();
    let found = store.asset(&asset_key("made")).await.unwrap().unwrap();
    assert_eq!(found.uri.as_deref(), Some("s3://made"));
    assert_eq!(
        (found.aliases, found.last_event),
        (vec!["any".into()], Some(at(4)))
    );
    let bare = store.asset(&asset_key("bare")).await.unwrap().unwrap();
    assert_eq!((bare.uri, bare.last_event), (None, Some(at(5))));
    // What a DAG declares is not overwritten by what a task makes up.
    import(store, "default", &[producer()], 1).await;
    let batch = Batch {
        new_assets: vec![(team("default"), asset("rain", None))],
        ..telling(&[event("rain", 6)])
    };
    store.commit(&batch).await.unwrap();
    let rain = store.asset(&asset_key("rain")).await.unwrap().unwrap();
    assert_eq!(rain.uri.as_deref(), Some("s3://rain"));
}

async fn long_names_spoil_no_batch(fresh: Fresh) {
    let store = &fresh.store;
    // As long as a name may be, and nothing that could be pressed together.
    let long = |seed: u64| {
        let digits = (0..).map(|i: u64| {
            let mixed = (i + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("{:016x}", mixed ^ (mixed >> 29))
        });
        digits.take(94).collect::<String>()[..1_500].to_owned()
    };
    let spec = DagSpec {
        assets: vec![asset(&long(1), Some(&long(2)))],
        tasks: vec![TaskSpec {
            task_id: "t".repeat(250),
            outlets: vec![AssetRef::Alias(long(3))],
            ..TaskSpec::default()
        }],
        ..spec(&"d".repeat(250))
    };
    import(store, "default", &[spec], 1).await;
    let key = asset_key(&long(1));
    let batch = Batch {
        asset_queue: vec![QueueChange {
            dag_id: dag_id(&"d".repeat(250)),
            asset: key.clone(),
            queued_at: Some(at(1)),
        }],
        ..telling(&[AssetEvent {
            aliases: vec![long(3)],
            ..event(&key.name, 1)
        }])
    };
    store.commit(&batch).await.unwrap();
    let found = store.asset(&key).await.unwrap().unwrap();
    assert_eq!((found.aliases, found.uses.len()), (vec![long(3)], 2));
}

async fn events_are_listed_by_filter_and_page(fresh: Fresh) {
    let store = &fresh.store;
    let by_hand = AssetEvent {
        source: EventSource::Api { by: "Ada".into() },
        ..event("b", 3)
    };
    let theirs = AssetEvent {
        asset: AssetKey {
            team: team("payments"),
            ..asset_key("a")
        },
        ..event("a", 4)
    };
    let all = [event("a", 2), event("a", 1), by_hand, theirs];
    store.commit(&telling(&all)).await.unwrap();
    let list = async |filter: EventFilter, offset, limit| {
        let page = Page { offset, limit };
        let found = store.events(&filter, page).await.unwrap();
        let at: Vec<_> = found.items.iter().map(|one| one.at.micros()).collect();
        (at, found.total)
    };
    let any = EventFilter::default();
    assert_eq!(list(any.clone(), 1, 2).await, (vec![2, 3], 4));
    let newest = EventFilter {
        newest_first: true,
        ..any.clone()
    };
    assert_eq!(list(newest, 0, 2).await, (vec![4, 3], 4));
    let ours = EventFilter {
        team: Some(team("default")),
        ..any.clone()
    };
    assert_eq!(list(ours.clone(), 0, 9).await, (vec![1, 2, 3], 3));
    let of_asset = EventFilter {
        asset: Some("a".into()),
        ..ours.clone()
    };
    assert_eq!(list(of_asset, 0, 9).await, (vec![1, 2], 2));
    let of_task = EventFilter {
        dag_id: Some(dag_id("producer")),
        run_id: Some(RunId::new("scheduled__1").unwrap()),
        task_id: Some(TaskId::new("write").unwrap()),
        ..ours.clone()
    };
    assert_eq!(list(of_task.clone(), 0, 9).await, (vec![1, 2], 2));
    let of_another = EventFilter {
        task_id: Some(TaskId::new("read").unwrap()),
        ..of_task
    };
    assert_eq!(list(of_another, 0, 9).await, (vec![], 0));
    for (map_index, expected) in [(MapIndex(2), vec![1, 2]), (MapIndex::UNMAPPED, vec![])] {
        let of_instance = EventFilter {
            map_index: Some(map_index),
            asset: Some("a".into()),
            ..ours.clone()
        };
        let total = expected.len() as u64;
        assert_eq!(list(of_instance, 0, 9).await, (expected, total));
    }
    let between = EventFilter {
        from: Some(at(2)),
        to: Some(at(3)),
        ..any
    };
    assert_eq!(list(between, 0, 9).await, (vec![2, 3], 2));
}

async fn a_restart_knows_the_events_that_no_run_has_consumed(fresh: Fresh) {
    let store = &fresh.store;
    let old = event("wind", 4);
    store.commit(&telling(&[old])).await.unwrap();
    import(store, "default", &[producer(), consumer()], 5).await;
    // `wind` by its name, `rain` by its URI and by the alias.
    let aliased = AssetEvent {
        aliases: vec!["any".into()],
        ..event("snow", 6)
    };
    let events = [
        aliased,
        event("rain", 7),
        event("wind", 7),
        event("none", 7),
    ];
    store.commit(&telling(&events)).await.unwrap();
    let unconsumed = async || {
        let all = store.unconsumed().await.unwrap();
        assert!(all.iter().all(|(dag, ..)| dag.as_str() == "consumer"));
        let mut ids: Vec<_> = all.into_iter().map(|(_, _, id)| id).collect();
        ids.sort_unstable();
        ids
    };
    let mut expected = [0, 1, 2].map(|i: usize| events[i].id).to_vec();
    expected.sort_unstable();
    assert_eq!(unconsumed().await, expected);
    // A run takes two of them; the third is of the same microsecond, and still there.
    let mut run = new_run("consumer", 1, 0);
    run.run.state = RunState::Success;
    run.run.run_type = RunType::AssetTriggered;
    run.run.run_after = at(7);
    let taken = [&events[0], &events[1]].map(|event| event.id).to_vec();
    let batch = Batch {
        consumed: vec![(run.run.key, taken)],
        ..creating(std::slice::from_ref(&run))
    };
    store.commit(&batch).await.unwrap();
    assert_eq!(unconsumed().await, [events[2].id]);
    let consumed = store.consumed_by(run.run.key).await.unwrap();
    assert_eq!(consumed, events[..2]);
    // The run goes, and the events stay.
    store.delete_run(run.run.key).await.unwrap();
    assert_eq!(store.consumed_by(run.run.key).await.unwrap(), []);
    assert_eq!(unconsumed().await, expected);
}

async fn the_queue_holds_each_asset_once(fresh: Fresh) {
    let store = &fresh.store;
    let change = |dag: &str, text: &str, micros: Option<i64>| QueueChange {
        dag_id: dag_id(dag),
        asset: asset_key(text),
        queued_at: micros.map(at),
    };
    let queue = async |changes: &[QueueChange]| {
        let batch = Batch {
            asset_queue: changes.to_vec(),
            ..Batch::default()
        };
        store.commit(&batch).await.unwrap();
        let tell = |row: QueueRow| {
            format!(
                "{} {} {}",
                row.dag_id,
                row.asset.name,
                row.queued_at.micros()
            )
        };
        let rows = store.queue().await.unwrap();
        rows.into_iter().map(tell).collect::<Vec<_>>()
    };
    let first = [
        change("x", "a", Some(1)),
        change("x", "b", Some(2)),
        change("y", "a", Some(3)),
        change("y", "b", None),
    ];
    assert_eq!(queue(&first).await, ["x a 1", "x b 2", "y a 3"]);
    // Of changes of one entry the last counts, whatever the others were.
    let second = [
        change("x", "a", Some(8)),
        change("x", "a", None),
        change("x", "b", None),
        change("x", "b", Some(9)),
        change("y", "a", Some(4)),
    ];
    assert_eq!(queue(&second).await, ["x b 9", "y a 4"]);
    let of_x = store.queued(&dag_id("x")).await.unwrap();
    assert_eq!((of_x.len(), &of_x[0].asset), (1, &asset_key("b")));

    queue(&[change("x", "c", Some(5)), change("x", "d", Some(6))]).await;
    let delete = |key: Option<AssetKey>| {
        let store = Arc::clone(store);
        async move {
            let gone = store.delete_queued(&dag_id("x"), key.as_ref()).await;
            gone.unwrap()
        }
    };
    assert_eq!(delete(Some(asset_key("c"))).await, 1);
    assert_eq!(delete(Some(asset_key("c"))).await, 0);
    assert_eq!(delete(None).await, 2);
    assert_eq!(queue(&[]).await, ["y a 4"]);
}
