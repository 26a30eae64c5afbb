//! Readers beside the writer, callers that go away, and two hosts at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use airlock_model::{
    port::*,
    state::{RunState, RunType},
};

use crate::{fixture::*, on_both};

on_both! {
    readers_see_whole_batches_while_others_commit,
    a_caller_that_goes_away_leaves_the_writer_usable,
    of_two_claims_of_one_try_one_is_fenced,
    of_two_hosts_that_create_one_run_one_is_told,
}

async fn readers_see_whole_batches_while_others_commit(fresh: Fresh) {
    let store = Arc::clone(&fresh.store);
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (store, done) = (Arc::clone(&store), Arc::clone(&done));
            tokio::spawn(async move {
                let mut reads = 0_u32;
                while !done.load(Ordering::Relaxed) {
                    for run in store.unfinished().await.unwrap() {
                        assert_eq!(run.tasks.len(), 20);
                        let first = &run.tasks[0].fields;
                        assert!(run.tasks.iter().all(|task| task.fields == *first));
                        let claimed = first.token.get() > 0;
                        assert_eq!(run.run.state == RunState::Running, claimed);
                    }
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    for number in 0..50 {
        let run = new_run("weather", number, 20);
        store
            .commit(&creating(std::slice::from_ref(&run)))
            .await
            .unwrap();
        let batch = Batch {
            runs: vec![RunChange {
                key: run.run.key,
                state: RunState::Running,
                started_at: Some(at(1)),
                ended_at: None,
                queued_at: None,
                ends_as: None,
                clear_number: 0,
                backfill: None,
                run_type: RunType::Scheduled,
            }],
            ..moving((0..20).map(|i| claimed(&run, i)).collect())
        };
        store.commit(&batch).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(store.unfinished().await.unwrap().len(), 50);
}

async fn a_caller_that_goes_away_leaves_the_writer_usable(fresh: Fresh) {
    let store = Arc::clone(&fresh.store);
    let mut written = 0;
    for number in 0..200 {
        let run = new_run("weather", number, 50);
        let batch = creating(std::slice::from_ref(&run));
        // Polled a few times, then dropped: before, within or after the transaction.
        let polls = number % 7;
        let finished = poll_times(store.commit(&batch), polls).await;
        if let Some(done) = finished {
            done.unwrap();
        }
        let tasks = store.task_instances(run.run.key).await.unwrap();
        assert!(
            tasks.is_empty() || tasks.len() == 50,
            "half a batch: {}",
            tasks.len()
        );
        let next = new_run("other", number, 1);
        store.commit(&creating(&[next])).await.unwrap();
        written += 1;
    }
    let filter = RunFilter {
        dag_id: Some(dag_id("other")),
        ..RunFilter::default()
    };
    assert_eq!(store.runs(&filter, Page::ALL).await.unwrap().total, written);
}

async fn of_two_claims_of_one_try_one_is_fenced(fresh: Fresh) {
    let hosts = [Arc::clone(&fresh.store), Arc::new(fresh.another().await)];
    let run = new_run("weather", 1, 50);
    fresh
        .store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    for i in 0..50 {
        let claims: Vec<_> = hosts
            .iter()
            .map(|host| {
                let (host, claim) = (Arc::clone(host), moving(vec![claimed(&run, i)]));
                tokio::spawn(async move { host.commit(&claim).await })
            })
            .collect();
        let mut won = 0;
        for claim in claims {
            match claim.await.unwrap() {
                Ok(()) => won += 1,
                Err(CommitError::Fenced(keys)) => assert_eq!(keys, [key(&run, i)]),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(won, 1);
    }
}

async fn of_two_hosts_that_create_one_run_one_is_told(fresh: Fresh) {
    let hosts = [Arc::clone(&fresh.store), Arc::new(fresh.another().await)];
    for number in 0..20 {
        let creations: Vec<_> = hosts
            .iter()
            .map(|host| {
                let (host, run) = (Arc::clone(host), new_run("weather", number, 3));
                tokio::spawn(async move { host.commit(&creating(&[run])).await })
            })
            .collect();
        let mut won = 0;
        for creation in creations {
            match creation.await.unwrap() {
                Ok(()) => won += 1,
                Err(CommitError::RunExists(keys)) => assert_eq!(keys.len(), 1),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(won, 1);
    }
    assert_eq!(fresh.store.unfinished().await.unwrap().len(), 20);
}

/// Polls a future so many times, woken or not, and drops it.
pub(crate) async fn poll_times<F: Future>(future: F, times: i64) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    for _ in 0..times {
        let polled =
            std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context)));
        if let std::task::Poll::Ready(done) = polled.await {
            return Some(done);
        }
        tokio::task::yield_now().await;
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_reader_holds_up_no_commit_and_the_log_is_cut_after_it() {
    on_sqlite(|fresh| async move {
        let fresh = &fresh;
        let path = fresh.url.trim_start_matches("sqlite://").to_owned();
        let log = || std::fs::metadata(format!("{path}-wal")).unwrap().len();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let mut reader = pool.begin().await.unwrap();
        let none: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM dag_run")
            .fetch_one(&mut *reader)
            .await
            .unwrap();
        assert_eq!(none, 0);
        let mut number = 0;
        let mut write = async |until: &dyn Fn() -> bool| {
            while !until() {
                number += 1;
                fresh
                    .store
                    .commit(&creating(&[new_run("weather", number, 2_000)]))
                    .await
                    .unwrap();
                assert!(number < 3_000, "the log has {} bytes", log());
            }
        };
        // As long as the reader looks at the oldest state, the log can only grow.
        write(&|| log() > 70 << 20).await;
        let still: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM dag_run")
            .fetch_one(&mut *reader)
            .await
            .unwrap();
        assert_eq!(still, 0);
        drop(reader);
        write(&|| log() < 70 << 20).await;
    })
    .await;
}
