//! Backfills: written whole, one at a time for a DAG.

use airlock_model::{
    id::BackfillId,
    port::*,
    state::{Reprocess, RunState},
};

use crate::{fixture::*, on_both};

on_both! {
    a_backfill_comes_back_with_all_that_it_asks_for,
    a_dag_has_one_backfill_at_a_time,
    a_backfill_that_is_refused_leaves_no_run,
    backfills_are_listed_newest_first,
    a_run_that_goes_is_forgotten_by_its_backfill,
}

fn backfill(id: i64, dag: &str) -> Backfill {
    Backfill {
        id: BackfillId(id),
        dag_id: dag_id(dag),
        team: team("default"),
        from: at(1),
        to: at(9),
        reprocess: Reprocess::Failed,
        reverse: true,
        max_active_runs: u32::MAX,
        conf: r#"{"a":"\u0000"}"#.into(),
        is_paused: false,
        created_at: at(5),
        completed_at: None,
    }
}

fn runs_of(backfill: &Backfill, runs: &[NewRun]) -> Vec<BackfillRun> {
    let of = |(ordinal, run): (u32, &NewRun)| BackfillRun {
        backfill: backfill.id,
        ordinal,
        logical_date: run.run.logical_date.unwrap(),
        interval: run.run.data_interval.unwrap(),
        run: Some(run.run.key),
        skipped: None,
    };
    let mut all: Vec<_> = (1..).zip(runs).map(of).collect();
    all.push(BackfillRun {
        run: None,
        skipped: Some("it \0 runs".into()),
        ordinal: runs.len() as u32 + 1,
        ..of((0, &new_run("weather", 50, 0)))
    });
    all
}

fn beginning(backfill: &Backfill, runs: &[NewRun]) -> Batch {
    Batch {
        new_backfills: vec![(backfill.clone(), runs_of(backfill, runs))],
        ..creating(runs)
    }
}

fn change(id: i64, is_paused: bool, completed_at: Option<i64>) -> Batch {
    Batch {
        backfills: vec![BackfillChange {
            id: BackfillId(id),
            is_paused,
            completed_at: completed_at.map(at),
        }],
        ..Batch::default()
    }
}

async fn a_backfill_comes_back_with_all_that_it_asks_for(fresh: Fresh) {
    let store = &fresh.store;
    assert_eq!(store.next_backfill_id().await.unwrap(), BackfillId(1));
    let given = backfill(1, "weather");
    let mut runs: Vec<NewRun> = (0..3).map(|i| new_run("weather", i, 2)).collect();
    for run in &mut runs {
        run.run.backfill = Some(given.id);
    }
    store.commit(&beginning(&given, &runs)).await.unwrap();
    let mut found = store.backfill(given.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&given));
    let mut expected = runs_of(&given, &runs);
    expected[3].skipped = Some("it \u{FFFD} runs".into());
    assert_eq!(store.backfill_runs(given.id).await.unwrap(), expected);
    assert_eq!(store.next_backfill_id().await.unwrap(), BackfillId(2));
    let unfinished = store.unfinished().await.unwrap();
    assert!(
        unfinished
            .iter()
            .all(|run| run.run.backfill == Some(given.id))
    );
    assert_eq!(unfinished.len(), 3);

    store.commit(&change(1, true, None)).await.unwrap();
    store.commit(&change(1, false, Some(8))).await.unwrap();
    found = store.backfill(given.id).await.unwrap();
    let completed = Backfill {
        completed_at: Some(at(8)),
        ..given
    };
    assert_eq!(found, Some(completed));
    assert_eq!(store.backfill(BackfillId(2)).await.unwrap(), None);
    let refused = store.commit(&change(2, true, None)).await;
    assert!(
        matches!(refused, Err(CommitError::Store(StoreError::Refused(_)))),
        "{refused:?}"
    );
}

async fn a_dag_has_one_backfill_at_a_time(fresh: Fresh) {
    let store = &fresh.store;
    let begin = async |backfills: &[Backfill]| {
        let new = backfills.iter().map(|given| (given.clone(), vec![]));
        let batch = Batch {
            new_backfills: new.collect(),
            ..Batch::default()
        };
        match store.commit(&batch).await {
            Ok(()) => vec![],
            Err(CommitError::BackfillExists(ids)) => ids,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(begin(&[backfill(1, "weather")]).await, []);
    let (second, other) = (backfill(2, "weather"), backfill(3, "other"));
    assert_eq!(
        begin(&[second.clone(), other.clone()]).await,
        [BackfillId(2)]
    );
    assert_eq!(store.backfill(other.id).await.unwrap(), None);
    assert_eq!(begin(std::slice::from_ref(&other)).await, []);
    assert_eq!(begin(&[other]).await, [BackfillId(3)]);
    let twins = [backfill(8, "twin"), backfill(9, "twin")];
    assert_eq!(begin(&twins).await, [BackfillId(9)]);
    // One that has nothing to do is in nobody's way.
    let empty = Backfill {
        completed_at: Some(at(5)),
        ..backfill(4, "weather")
    };
    assert_eq!(begin(&[empty]).await, []);
    store.commit(&change(1, false, Some(6))).await.unwrap();
    assert_eq!(begin(&[second]).await, []);
    // The next may begin in the very commit that completes the one before it, and in none that does not.
    let next = backfill(5, "weather");
    let with = |completed_at| Batch {
        new_backfills: vec![(next.clone(), vec![])],
        ..change(2, false, completed_at)
    };
    let refused = store.commit(&with(None)).await;
    assert!(matches!(refused, Err(CommitError::BackfillExists(ids)) if ids == [next.id]));
    store.commit(&with(Some(7))).await.unwrap();
    assert_eq!(store.backfill(next.id).await.unwrap(), Some(next));
}

async fn a_backfill_that_is_refused_leaves_no_run(fresh: Fresh) {
    let store = &fresh.store;
    store
        .commit(&beginning(&backfill(1, "weather"), &[]))
        .await
        .unwrap();
    let run = new_run("weather", 1, 2);
    let refused = store
        .commit(&beginning(
            &backfill(2, "weather"),
            std::slice::from_ref(&run),
        ))
        .await;
    assert!(matches!(refused, Err(CommitError::BackfillExists(_))));
    assert_eq!(store.stored_run(run.run.key).await.unwrap(), None);
    assert_eq!(store.backfill_runs(BackfillId(2)).await.unwrap(), []);
    // And one whose run is there already leaves no backfill.
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    let refused = store
        .commit(&beginning(&backfill(3, "other"), &[run]))
        .await;
    assert!(matches!(refused, Err(CommitError::RunExists(_))));
    assert_eq!(store.backfill(BackfillId(3)).await.unwrap(), None);
}

async fn backfills_are_listed_newest_first(fresh: Fresh) {
    let store = &fresh.store;
    for (id, dag, whose) in [
        (1, "a", "default"),
        (2, "b", "payments"),
        (3, "c", "payments"),
    ] {
        let given = Backfill {
            team: team(whose),
            ..backfill(id, dag)
        };
        store.commit(&beginning(&given, &[])).await.unwrap();
    }
    store.commit(&change(2, false, Some(6))).await.unwrap();
    let list = async |filter: BackfillFilter, limit| {
        let page = Page { offset: 0, limit };
        let found = store.backfills(&filter, page).await.unwrap();
        let ids: Vec<_> = found.items.iter().map(|found| found.id.0).collect();
        (ids, found.total)
    };
    let all = BackfillFilter::default();
    assert_eq!(list(all.clone(), 2).await, (vec![3, 2], 3));
    let of_team = BackfillFilter {
        team: Some(team("payments")),
        ..all.clone()
    };
    assert_eq!(list(of_team.clone(), 9).await, (vec![3, 2], 2));
    let active = BackfillFilter {
        active: true,
        ..of_team
    };
    assert_eq!(list(active, 9).await, (vec![3], 1));
    let of_dag = BackfillFilter {
        dag_id: Some(dag_id("a")),
        ..all
    };
    assert_eq!(list(of_dag, 9).await, (vec![1], 1));
}

async fn a_run_that_goes_is_forgotten_by_its_backfill(fresh: Fresh) {
    let store = &fresh.store;
    let mut run = new_run("weather", 1, 2);
    run.run.state = RunState::Failed;
    let given = backfill(1, "weather");
    let batch = beginning(&given, std::slice::from_ref(&run));
    store.commit(&batch).await.unwrap();
    store.delete_run(run.run.key).await.unwrap();
    let runs = store.backfill_runs(given.id).await.unwrap();
    assert_eq!(runs.len(), 2);
    assert!(runs.iter().all(|run| run.run.is_none()));
}
