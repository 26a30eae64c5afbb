//! What a commit costs beside its sync. By hand: `cargo bench -p airlock-store [-- FOLDER]`; the database is
//! made in FOLDER (default: the system's temporary folder), and once more in memory (`/dev/shm`), where a
//! sync costs nothing. With `AIRLOCK_TEST_POSTGRES_URL` PostgreSQL is measured too.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "figures that cannot be had end the program"
)]

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use airlock_model::{
    id::*,
    port::*,
    state::{RunState, RunType, TaskState},
    time::Timestamp,
};
use airlock_store::{BlobFiles, Store};
use uuid::Uuid;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn new_run(dag: &str, number: i64, tasks: u32, state: RunState) -> NewRun {
    let key = RunKey(Uuid::now_v7());
    let fields = TaskFields {
        state: state.is_terminal().then_some(TaskState::Success),
        try_number: 0,
        max_tries: 1,
        token: Token::default(),
        queued_at: None,
        started_at: None,
        ended_at: None,
        next_try_at: None,
        note: None,
        failure: None,
        first_started_at: None,
        downstream: None,
        deferred: None,
    };
    let task = |i| TaskRow {
        run: key,
        task: TaskIndex(i),
        task_id: TaskId::new(format!("task_{i}")).unwrap(),
        map_index: MapIndex::UNMAPPED,
        pool: PoolName::default_pool(),
        pool_slots: 1,
        priority: 1,
        fields: fields.clone(),
    };
    NewRun {
        run: RunRow {
            key,
            dag_id: DagId::new(dag).unwrap(),
            run_id: RunId::new(format!("scheduled__{number}")).unwrap(),
            team: TeamName::default_team(),
            run_type: RunType::Scheduled,
            state,
            hash: BundleHash::from_bytes([1; 32]),
            definition: DefinitionHash::from_bytes([2; 32]),
            logical_date: Some(at(number)),
            data_interval: Some((at(number), at(number + 1))),
            run_after: at(number),
            queued_at: at(number),
            started_at: None,
            ended_at: None,
            conf: "{}".into(),
            ends_as: None,
            clear_number: 0,
            backfill: None,
            note: None,
        },
        tasks: (0..tasks).map(task).collect(),
    }
}

fn claim(run: &NewRun, i: u32) -> TaskChange {
    let mut fields = run.tasks[i as usize].fields.clone();
    fields.state = Some(TaskState::Queued);
    fields.try_number = 1;
    fields.token = Token::stored(1);
    fields.queued_at = Some(at(1_700_000_000_000_000));
    TaskChange {
        key: key(run, i),
        expected: Token::default(),
        fields,
    }
}

fn end(run: &NewRun, i: u32) -> TaskChange {
    let mut change = claim(run, i);
    change.expected = Token::stored(1);
    change.fields.state = Some(TaskState::Success);
    change.fields.started_at = Some(at(1_700_000_000_000_001));
    change.fields.ended_at = Some(at(1_700_000_000_000_002));
    change
}

fn key(run: &NewRun, i: u32) -> TaskInstanceKey {
    TaskInstanceKey {
        run: run.run.key,
        task: TaskIndex(i),
        map_index: MapIndex::UNMAPPED,
    }
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let of = |part: usize| times[(times.len() - 1) * part / 1000].as_secs_f64() * 1e3;
    println!(
        "  {name:<44} min {:8.3}   median {:8.3}   p99 {:8.3}   max {:8.3} ms",
        of(0),
        of(500),
        of(990),
        of(1000)
    );
}

async fn timed<F: Future>(times: &mut Vec<Duration>, work: F) -> F::Output {
    let start = Instant::now();
    let done = work.await;
    times.push(start.elapsed());
    done
}

async fn open(url: &str, folder: &Path) -> Store {
    let blobs: Arc<dyn Blobs> = Arc::new(BlobFiles::open(folder.join("blobs")).unwrap());
    let store = Store::open(url, blobs).await.unwrap();
    store.migrate().await.unwrap();
    store
}

async fn creating(store: &Store, run: &NewRun) {
    store
        .commit(&Batch {
            new_runs: vec![run.clone()],
            ..Batch::default()
        })
        .await
        .unwrap();
}

/// A sync of a few appended pages in the same moments as the commits, since a disk that is quiet now may be
/// busy a second later.
struct Beside(std::fs::File);

impl Beside {
    fn sync(&mut self, times: &mut Vec<Duration>) {
        self.0.write_all(&[7; 3 * 4096]).unwrap();
        let start = Instant::now();
        self.0.sync_data().unwrap();
        times.push(start.elapsed());
    }
}

/// The steps of a scheduler, one batch at a time.
async fn measure(store: &Store, round: i64, beside: Option<&mut Beside>) {
    let (mut times, mut syncs) = (Vec::new(), Vec::new());
    let mut beside = beside;
    for number in 0..40 {
        let run = new_run("chain", round * 1_000 + number, 50, RunState::Running);
        let claimed = Batch {
            tasks: vec![claim(&run, 0)],
            ..Batch::default()
        };
        creating(store, &run).await;
        store.commit(&claimed).await.unwrap();
        for i in 0..49 {
            let batch = Batch {
                tasks: vec![end(&run, i), claim(&run, i + 1)],
                ..Batch::default()
            };
            if let Some(beside) = &mut beside {
                beside.sync(&mut syncs);
            }
            timed(&mut times, store.commit(&batch)).await.unwrap();
        }
        finish(store, &run).await;
    }
    if !syncs.is_empty() {
        report("fdatasync of 3 appended pages, in between", syncs);
    }
    report("1 end + 1 claim", times);

    let mut times = Vec::new();
    let run = new_run("xcoms", round, 1_000, RunState::Running);
    creating(store, &run).await;
    store
        .commit(&Batch {
            tasks: vec![claim(&run, 0)],
            ..Batch::default()
        })
        .await
        .unwrap();
    for i in 0..999 {
        let xcom = XcomWrite {
            key: key(&run, i),
            name: RETURN_VALUE.into(),
            value: Some("{\"answer\":42}".into()),
            spilled: None,
            length: None,
            at: at(1),
        };
        let tasks = vec![end(&run, i), claim(&run, i + 1)];
        let batch = Batch {
            tasks,
            xcoms: vec![xcom],
            ..Batch::default()
        };
        timed(&mut times, store.commit(&batch)).await.unwrap();
    }
    report("1 end + 1 claim + 1 XCom", times);
    finish(store, &run).await;

    let (mut create, mut claims, mut ends) = (vec![], vec![], vec![]);
    for number in 0..20 {
        let run = new_run("wide", round * 1_000 + number, 1_000, RunState::Running);
        let batch = Batch {
            new_runs: vec![run.clone()],
            ..Batch::default()
        };
        timed(&mut create, store.commit(&batch)).await.unwrap();
        let batch = Batch {
            tasks: (0..1_000).map(|i| claim(&run, i)).collect(),
            ..Batch::default()
        };
        timed(&mut claims, store.commit(&batch)).await.unwrap();
        let batch = Batch {
            tasks: (0..1_000).map(|i| end(&run, i)).collect(),
            ..Batch::default()
        };
        timed(&mut ends, store.commit(&batch)).await.unwrap();
        finish(store, &run).await;
    }
    report("a run of 1,000 tasks", create);
    report("1,000 claims in one batch", claims);
    report("1,000 ends in one batch", ends);

    let mut times = Vec::new();
    for _ in 0..20 {
        timed(&mut times, store.unfinished()).await.unwrap();
    }
    report("unfinished(), of which there are none", times);
    let mut times = Vec::new();
    for _ in 0..5 {
        timed(&mut times, store.run_counts()).await.unwrap();
    }
    report("run_counts()", times);
}

async fn finish(store: &Store, run: &NewRun) {
    let change = RunChange {
        key: run.run.key,
        state: RunState::Success,
        started_at: Some(at(1)),
        ended_at: Some(at(2)),
        queued_at: None,
        ends_as: None,
        clear_number: 0,
        backfill: None,
        run_type: RunType::Scheduled,
    };
    store
        .commit(&Batch {
            runs: vec![change],
            ..Batch::default()
        })
        .await
        .unwrap();
}

/// A million finished task instances in ten thousand runs.
async fn fill(store: &Store) {
    let start = Instant::now();
    for block in 0..1_000 {
        let runs = (0..10)
            .map(|i| new_run("old", block * 10 + i, 100, RunState::Success))
            .collect();
        store
            .commit(&Batch {
                new_runs: runs,
                ..Batch::default()
            })
            .await
            .unwrap();
    }
    println!(
        "  a million finished task instances written in {:.1} s",
        start.elapsed().as_secs_f64()
    );
}

async fn sqlite(name: &str, parent: PathBuf) {
    let folder = tempfile::tempdir_in(&parent).unwrap();
    println!("SQLite, {name} ({})", parent.display());
    let mut beside = Beside(std::fs::File::create(folder.path().join("beside")).unwrap());
    let url = format!("sqlite://{}", folder.path().join("airlock.db").display());
    let store = open(&url, folder.path()).await;
    measure(&store, 1, Some(&mut beside)).await;
    fill(&store).await;
    measure(&store, 2, Some(&mut beside)).await;
    store.close().await;
    let start = Instant::now();
    let store = open(&url, folder.path()).await;
    store.check().await.unwrap();
    store.unfinished().await.unwrap();
    println!(
        "  opened again, checked and adopted in {:.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    store.close().await;
}

async fn postgres(server: &str) {
    println!("PostgreSQL");
    let name = format!("bench_{}", Uuid::now_v7().simple());
    let mut admin = <sqlx::PgConnection as sqlx::Connection>::connect(server)
        .await
        .unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"));
    sqlx::raw_sql(create).execute(&mut admin).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let and = if server.contains('?') { '&' } else { '?' };
    let store = open(
        &format!("{server}{and}options[search_path]={name}"),
        folder.path(),
    )
    .await;
    measure(&store, 1, None).await;
    fill(&store).await;
    measure(&store, 2, None).await;
    store.close().await;
    let drop = sqlx::AssertSqlSafe(format!("DROP SCHEMA {name} CASCADE"));
    sqlx::raw_sql(drop).execute(&mut admin).await.unwrap();
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    sqlite(
        "on disk",
        folder.map_or_else(std::env::temp_dir, PathBuf::from),
    )
    .await;
    if Path::new("/dev/shm").is_dir() {
        sqlite("in memory", "/dev/shm".into()).await;
    }
    if let Ok(url) = std::env::var("AIRLOCK_TEST_POSTGRES_URL") {
        postgres(&url).await;
    }
}
