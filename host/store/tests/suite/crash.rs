//! A process that is killed while it commits.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
};

use airlock_model::port::{Blobs, RunStore};
use airlock_store::{BlobFiles, Store};

use crate::fixture::*;

const CHILD: &str = "AIRLOCK_STORE_TEST_HOME";
const ROUNDS: i64 = 8;

async fn open(home: &std::path::Path) -> Store {
    let blobs: Arc<dyn Blobs> = Arc::new(BlobFiles::open(home.join("blobs")).unwrap());
    let store = Store::open(&sqlite_url(home), blobs).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// Commits runs with their claims for ever, and says so on standard output after each.
async fn commit_for_ever(home: &std::path::Path) {
    let store = open(home).await;
    let first = store.unfinished().await.unwrap().len() as i64;
    for number in first.. {
        let run = new_run("weather", number, 5);
        let mut batch = creating(std::slice::from_ref(&run));
        batch.tasks = vec![claimed(&run, 0)];
        store.commit(&batch).await.unwrap();
        println!("committed {}", run.run.run_id);
        std::io::stdout().flush().unwrap();
    }
}

/// The process that is killed is this test again, told by its environment to commit until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_batch_survives_a_kill() {
    if let Some(home) = std::env::var_os(CHILD) {
        return commit_for_ever(home.as_ref()).await;
    }
    let home = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "crash::every_acknowledged_batch_survives_a_kill",
                "--exact",
                "--nocapture",
            ])
            .env(CHILD, home.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines().map_while(Result::ok).filter_map(|line| {
            let (_, run_id) = line.split_once("committed ")?;
            Some(run_id.to_owned())
        });
        acknowledged.extend(lines.by_ref().take(1 + 37 * round as usize));
        child.kill().unwrap();
        acknowledged.extend(lines);
        child.wait().unwrap();

        let store = open(home.path()).await;
        let runs = store.unfinished().await.unwrap();
        let kept: std::collections::HashSet<_> =
            runs.iter().map(|run| run.run.run_id.as_str()).collect();
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|id| !kept.contains(id.as_str()))
            .collect();
        assert!(lost.is_empty(), "round {round}: {lost:?}");
        for run in &runs {
            assert_eq!(run.tasks.len(), 5, "half a batch");
            assert_eq!(run.tasks[0].fields.token.get(), 1, "half a batch");
        }
        store.close().await;
    }
    assert!(acknowledged.len() > 37 * 7);
}
