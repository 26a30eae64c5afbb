//! What is written when, by a clock that goes on only when the test says so.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use airlock_model::{
    audit::{AuditHead, AuditRow, denials},
    id::{BundleName, TeamName},
    port::{AuditFilter, Page, Paged},
    time::Timestamp,
};
use async_trait::async_trait;
use serde_json::Value;

use super::*;

/// A clock, and a database that keeps what it is given, unless it is broken.
#[derive(Default)]
struct Play {
    millis: AtomicU64,
    is_broken: AtomicBool,
    rows: Mutex<Vec<AuditEntry>>,
    written: Notify,
}

impl Clock for Play {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH.after(Duration::from_millis(self.millis.load(SeqCst)))
    }
}

#[async_trait]
impl AuditStore for Play {
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<Vec<AuditRow>, StoreError> {
        if self.is_broken.load(SeqCst) {
            return Err(StoreError::Corrupt("the disk is full".into()));
        }
        assert!(entries.len() <= ROWS, "{}", entries.len());
        self.rows.lock().unwrap().extend_from_slice(entries);
        self.written.notify_one();
        Ok(Vec::new())
    }

    async fn audit(&self, _: &AuditFilter, _: Page) -> Result<Paged<AuditRow>, StoreError> {
        unreachable!("it only writes")
    }

    async fn audit_from(&self, _: u64, _: u32) -> Result<Vec<AuditRow>, StoreError> {
        unreachable!("it only writes")
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        unreachable!("it only writes")
    }
}

impl Play {
    /// Bundle, subject and count of each row so far.
    fn told(&self) -> Vec<(String, String, u64)> {
        let rows = self.rows.lock().unwrap();
        let told = rows.iter().map(|row| {
            let detail: Value = serde_json::from_str(row.detail()).unwrap();
            let bundle = row.bundle.as_ref().unwrap().to_string();
            let count = detail["count"].as_u64().unwrap();
            (bundle, row.subject().to_owned(), count)
        });
        told.collect()
    }

    /// Waits until there are so many rows.
    async fn rows(&self, count: usize) -> Vec<(String, String, u64)> {
        while self.rows.lock().unwrap().len() < count {
            self.written.notified().await;
        }
        self.told()
    }

    fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.millis.fetch_add(millis, SeqCst);
    }
}

fn denied(bundle: &str, item: &str) -> Denied {
    Denied {
        team: TeamName::new("a").unwrap(),
        bundle: BundleName::new(bundle).unwrap(),
        code: "AL-0411",
        item: item.into(),
        phase: "task",
        dag_id: None,
        task_id: None,
    }
}

fn writer() -> (Arc<Play>, Arc<DenialWriter>) {
    let play = Arc::new(Play::default());
    let writer = Arc::new(DenialWriter::new(play.clone(), play.clone()));
    (play, writer)
}

fn row(bundle: &str, subject: &str, count: u64) -> (String, String, u64) {
    (bundle.to_owned(), subject.to_owned(), count)
}

#[tokio::test]
async fn each_bundle_has_its_own_rows_at_once_and_one_with_the_counts_when_its_minute_is_over() {
    let (play, writer) = writer();
    let running = tokio::spawn(writer.clone().run());
    for guess in 0..1_000 {
        writer.denied(denied("greedy", &format!("guess{guess}")));
    }
    writer.denied(denied("modest", "once"));
    let at_once = denials::MOST_ROWS + 1;
    let told = play.rows(at_once).await;
    assert!(told.contains(&row("modest", "once", 1)), "{told:?}");
    assert_eq!(
        told.iter()
            .filter(|(bundle, ..)| bundle == "greedy")
            .count(),
        denials::MOST_ROWS
    );

    // A moment before the minute is over, nothing more is told, however much comes.
    play.pass(denials::WINDOW - Duration::from_millis(1));
    writer.denied(denied("greedy", "guess0"));
    tokio::task::yield_now().await;
    assert_eq!(play.told().len(), at_once);
    // Then all of it is, as one row, and the next minute begins.
    play.pass(Duration::from_millis(1));
    writer.denied(denied("greedy", "guess0"));
    let told = play.rows(at_once + 2).await;
    let count = 1_001 - denials::MOST_ROWS as u64;
    let further = format!("{count} further denials");
    assert_eq!(
        told[at_once..],
        [row("greedy", &further, count), row("greedy", "guess0", 1)]
    );
    running.abort();
}

#[tokio::test]
async fn what_was_counted_and_not_told_is_told_at_the_end() {
    let (play, writer) = writer();
    for _ in 0..5 {
        writer.denied(denied("greedy", "same"));
    }
    // Nobody runs it any more, or never did.
    writer.finish().await.unwrap();
    let wanted = [
        row("greedy", "same", 1),
        row("greedy", "4 further denials", 4),
    ];
    assert_eq!(play.told(), wanted);
    writer.finish().await.unwrap();
    assert_eq!(play.told(), wanted, "and once");
}

#[tokio::test]
async fn what_cannot_be_written_is_kept_for_the_next_attempt_and_the_end_says_that_it_failed() {
    let (play, writer) = writer();
    play.is_broken.store(true, SeqCst);
    writer.denied(denied("greedy", "same"));
    writer.denied(denied("greedy", "same"));
    assert!(writer.finish().await.is_err());
    assert!(play.told().is_empty());
    play.is_broken.store(false, SeqCst);
    writer.finish().await.unwrap();
    let wanted = [
        row("greedy", "same", 1),
        row("greedy", "1 further denials", 1),
    ];
    assert_eq!(play.told(), wanted);
}
