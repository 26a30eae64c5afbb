use airlock_model::{
    id::{DagId, MapIndex, RunId, TaskId},
    port::{LogPage, StoreError, SystemClock},
};

use super::*;

#[derive(Default)]
struct Kept(Mutex<Vec<Vec<Line>>>);

#[async_trait::async_trait]
impl TaskLogs for Kept {
    fn append(&self, _: &TryKey, lines: &[Line]) {
        self.0.lock().unwrap().push(lines.to_vec());
    }
    async fn read(&self, _: &TryKey, _: u64) -> Result<LogPage, StoreError> {
        unreachable!("the sandbox does not read logs")
    }
    async fn grown(&self, _: &TryKey, _: u64) {
        unreachable!("the sandbox does not read logs")
    }
}

impl Kept {
    fn messages(&self) -> Vec<String> {
        let batches = self.0.lock().unwrap();
        batches
            .iter()
            .flatten()
            .map(|line| line.message.clone())
            .collect()
    }
}

fn log(most: u64) -> (Arc<Kept>, TryLog) {
    let kept = Arc::new(Kept::default());
    let key = TryKey {
        team: TeamName::default_team(),
        dag_id: DagId::new("d").unwrap(),
        run_id: RunId::new("r").unwrap(),
        task_id: TaskId::new("t").unwrap(),
        map_index: MapIndex::UNMAPPED,
        try_number: 1,
    };
    let destination = Destination::Try(kept.clone(), key);
    (kept, TryLog::new(destination, Arc::new(SystemClock), most))
}

#[test]
fn lines_are_told_from_a_stream_however_it_is_cut() {
    let (kept, log) = log(1 << 20);
    log.stream(Source::Stdout, b"one\ntw");
    log.stream(Source::Stderr, b"\xff wrong\r\n");
    log.stream(Source::Stdout, b"o\nunfinished");
    log.finish();
    assert_eq!(
        kept.messages(),
        ["one", "\u{fffd} wrong", "two", "unfinished"]
    );
}

#[test]
fn a_full_log_says_so_once_and_holds_what_came_before() {
    let (kept, log) = log(300);
    log.host(Level::Info, "before");
    for _ in 0..10_000 {
        log.write(Level::Info, "t", "a line of the guest", None);
        log.stream(Source::Stdout, b"\n");
    }
    log.host(Level::Warn, "after");
    log.finish();
    let messages = kept.messages();
    assert_eq!(messages.len(), 7, "{messages:?}");
    assert_eq!(messages.iter().filter(|m| m.contains("AL-0511")).count(), 1);
    assert_eq!(messages.last().unwrap(), "after");
}

#[test]
fn a_flood_is_handed_on_in_batches_and_not_held_in_memory() {
    let (kept, log) = log(10 << 20);
    for _ in 0..1000 {
        log.write(Level::Info, "", "line", None);
    }
    log.stream(Source::Stdout, &vec![b'x'; 1 << 20]);
    assert!(kept.0.lock().unwrap().len() >= 3);
    assert!(log.state().waiting_bytes < 2 * BATCH_BYTES);
    assert!(log.state().stdout.len() <= STREAM_LINE_BYTES + 1);
}

#[test]
fn a_revealed_secret_is_masked_also_across_the_cuts_of_a_stream() {
    let (kept, log) = log(1 << 20);
    log.reveal("hunter2-hunter2");
    log.write(Level::Info, "hunter2-hunter2", "pw hunter2-hunter2", None);
    log.stream(Source::Stdout, b"pw hunter2-");
    log.stream(Source::Stdout, b"hunter2\n");
    let mut long = vec![b'x'; STREAM_LINE_BYTES - 2];
    long.extend_from_slice(b"hunter2");
    log.stream(Source::Stderr, &long);
    log.stream(Source::Stderr, b"-hunter2\n");
    log.host(Level::Warn, "no hunter2-hunter2");
    log.finish();
    assert!(
        kept.messages().iter().all(|m| !m.contains("hunter2")),
        "{:?}",
        kept.messages()
    );
}

#[test]
fn a_long_secret_that_comes_byte_by_byte_is_looked_at_as_often_as_its_length_doubles() {
    let (kept, log) = log(64 << 20);
    let secret: String = (0..20_000).map(|number| format!("{number:06}")).collect();
    log.reveal(&secret);
    for byte in secret.as_bytes() {
        log.stream(Source::Stdout, std::slice::from_ref(byte));
    }
    log.stream(Source::Stdout, b"\n");
    log.finish();
    assert_eq!(kept.messages(), ["***"]);
}

#[test]
fn the_host_repeats_nothing_and_remembers_the_last_panic() {
    let (kept, log) = log(1 << 20);
    for _ in 0..3 {
        log.host(Level::Warn, "AL-0411: denied");
    }
    let at = Location {
        file: "src/lib.rs".into(),
        line: 7,
    };
    log.write(Level::Error, "panic", "panicked: no row", Some(at.clone()));
    log.finish();
    assert_eq!(kept.messages(), ["AL-0411: denied", "panicked: no row"]);
    assert_eq!(log.panic(), Some(("panicked: no row".into(), Some(at))));
}

/// Hears what is written into the host's log.
#[derive(Clone, Default)]
struct House(Arc<Mutex<Vec<String>>>);

impl tracing::field::Visit for House {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl tracing::Subscriber for House {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn what_is_polled_again_and_again_does_not_fill_the_hosts_log() {
    let house = House::default();
    let allowance = Arc::new(Allowance::new(Instant::now()));
    tracing::subscriber::with_default(house.clone(), || {
        for _ in 0..1000 {
            let team = TeamName::default_team();
            let bundle = BundleName::new("noisy").unwrap();
            let why = "from trigger `poll`".into();
            let destination = Destination::House(team, bundle, why, Arc::clone(&allowance));
            let log = TryLog::new(destination, Arc::new(SystemClock), 1 << 20);
            log.write(Level::Info, "", "one\u{1b}[2J\nline", None);
            log.write(Level::Info, "", &"x".repeat(1 << 16), None);
            log.finish();
        }
    });
    let heard = house.0.lock().unwrap();
    let bytes: usize = heard.iter().map(String::len).sum();
    assert!(bytes < 300 << 10, "{bytes}");
    assert!(
        heard[0].contains("from trigger `poll`: one\\u{1b}[2J\\nline"),
        "{}",
        heard[0]
    );
    let told = heard.iter().filter(|line| line.contains("AL-0565"));
    assert!((1..=3).contains(&told.count()));
}
