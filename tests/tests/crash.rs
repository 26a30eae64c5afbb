//! `kill -9` at random moments: every run ends, nothing that ended is forgotten, no result of a superseded
//! try counts, and the files that tries leave show that each ran at least once under its own token.
//!
//! 50 rounds by default; AIRLOCK_CRASH_ROUNDS asks for more.

#![expect(
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::Duration,
};

use airlock_tests::{Host, escape, guest};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;

const RUNS: usize = 730;

fn config(book: &Path) -> String {
    format!(
        "[[team]]\nname = \"books\"\n[[team.bundle]]\nname = \"ledger\"\nsource = \"{}\"\n\
         [[team.bundle.grant.directory]]\npath = \"book\"\nhost = \"{}\"\nmode = \"read-write\"\n",
        guest("ledger").display(),
        book.display()
    )
}

/// Which runs have ended well, as the host tells it.
async fn ended(host: &Host) -> Vec<String> {
    let path = "/dags/ledger/dagRuns?state=success&limit=1000";
    // While the DAG is not there yet, no run of it has ended.
    let (_, runs) = host.call(reqwest::Method::GET, path, None).await;
    let runs = runs["dag_runs"].as_array().cloned().unwrap_or_default();
    runs.iter()
        .filter_map(|run| run["dag_run_id"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn a_host_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let rounds: u32 = std::env::var("AIRLOCK_CRASH_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(50);
    let seed: u64 = std::env::var("AIRLOCK_CRASH_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or_else(rand::random);
    println!("AIRLOCK_CRASH_SEED={seed} repeats this choice of moments");
    let mut random = StdRng::seed_from_u64(seed);
    let home = TempDir::new().unwrap();
    let book = home.path().join("book");
    std::fs::create_dir(&book).unwrap();
    let config = config(&book);
    let mut known: Vec<String> = vec![];
    for round in 0..rounds {
        let mut host = Host::start_in(home.path(), &config);
        let now = ended(&host).await;
        for run in &known {
            assert!(
                now.contains(run),
                "round {round}: the end of {run} was forgotten"
            );
        }
        known = now;
        // The moment of the blow; not a wait for anything.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..60_000))).await;
        host.kill_nine();
    }
    let host = Host::start_in(home.path(), &config);
    host.until("the end of all runs", async || {
        (ended(&host).await.len() == RUNS).then_some(())
    })
    .await;

    // What really ran, by the files.
    let mut traces: HashMap<(String, String), Vec<u64>> = HashMap::new();
    for entry in std::fs::read_dir(&book).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let mut parts = name.rsplitn(3, '.');
        let (token, task, run) = (
            parts.next().unwrap(),
            parts.next().unwrap(),
            parts.next().unwrap(),
        );
        traces
            .entry((run.to_owned(), task.to_owned()))
            .or_default()
            .push(token.parse().unwrap());
    }
    assert_eq!(traces.len(), RUNS * 4, "a task instance never ran");
    let repeated = traces.values().filter(|tokens| tokens.len() > 1).count();
    println!("{rounds} rounds, {repeated} task instances ran more than once");

    // The result that counts is the one of the newest token.
    for run in ended(&host).await.iter().step_by(7) {
        let path = format!("/dags/ledger/dagRuns/{}/taskInstances", escape(run));
        let tasks = host.get(&path).await;
        let mut states = BTreeMap::new();
        for task in tasks["task_instances"].as_array().unwrap() {
            let id = task["task_id"].as_str().unwrap();
            states.insert(id.to_owned(), task["state"].as_str().unwrap().to_owned());
            let value = host
                .get(&format!("{path}/{id}/xcomEntries/return_value"))
                .await;
            let counted: u64 = value["value"]
                .to_string()
                .trim_matches('"')
                .parse()
                .unwrap();
            let key = (run.replace([':', '+'], "-"), id.to_owned());
            assert_eq!(
                traces[&key].iter().max(),
                Some(&counted),
                "a superseded try of {key:?} counted"
            );
        }
        assert!(
            states.values().all(|state| state == "success"),
            "{run}: {states:?}"
        );
        assert_eq!(states.len(), 4);
    }
}
