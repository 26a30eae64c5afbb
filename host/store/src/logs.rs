//! Tries' logs: one file per try, a JSON line per line.
//!
//! A file is made with its first line, so that a try that says nothing costs nothing. It is opened for each
//! append and never synced: a log is worth less than the try, and must neither hold it up nor end it.

use std::{
    collections::HashMap,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Component, Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use airlock_model::{
    id::MapIndex,
    log::{Line, TryKey},
    port::{LogPage, StoreError, TaskLogs},
};
use async_trait::async_trait;
use tokio::sync::Notify;

use crate::error::from_io;

/// How much one page holds, unless one line alone is longer.
const PAGE: u64 = 1 << 20;

/// Logs below one folder: `TEAM/DAG_ID/RUN_ID/TASK_ID[/MAP_INDEX]/TRY.log`.
#[derive(Debug)]
pub struct LogFiles {
    root: PathBuf,
    dropped: AtomicU64,
    followers: Mutex<HashMap<TryKey, Arc<Notify>>>,
}

impl LogFiles {
    /// The logs below `root`, which is created with the first line.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            dropped: AtomicU64::new(0),
            followers: Mutex::default(),
        }
    }

    /// Lines that could not be written since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Where a try's log is. Ids cannot walk through folders; that each is one plain component is checked all
    /// the same, because what is read and written here depends on it.
    fn path(&self, of: &TryKey) -> io::Result<PathBuf> {
        let map_index = (of.map_index != MapIndex::UNMAPPED).then(|| of.map_index.0.to_string());
        let file = format!("{}.log", of.try_number);
        let mut path = self.root.clone();
        for part in [
            Some(of.team.as_str()),
            Some(of.dag_id.as_str()),
            Some(of.run_id.as_str()),
            Some(of.task_id.as_str()),
            map_index.as_deref(),
            Some(&file),
        ]
        .into_iter()
        .flatten()
        {
            let mut components = Path::new(part).components();
            match (components.next(), components.next()) {
                (Some(Component::Normal(name)), None) if name == part => path.push(name),
                _ => return Err(ErrorKind::InvalidInput.into()),
            }
        }
        Ok(path)
    }

    fn write(&self, of: &TryKey, lines: &[Line]) -> io::Result<()> {
        let mut text = Vec::with_capacity(lines.len() * 128);
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        let path = self.path(of)?;
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let mut file = match options.open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(&self.root);
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(parent)?;
                options.open(&path)?
            }
            other => other?,
        };
        let before = file.seek(SeekFrom::End(0))?;
        file.write_all(&text).inspect_err(|_| {
            // Half a line would spoil the next one; if even this fails, readers leave out what they
            // cannot read.
            let _ = file.set_len(before);
        })
    }

    fn followers(&self) -> MutexGuard<'_, HashMap<TryKey, Arc<Notify>>> {
        self.followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits for a log; the last one to go away takes the entry along.
struct Follower<'a> {
    logs: &'a LogFiles,
    of: &'a TryKey,
    wake: Arc<Notify>,
}

impl<'a> Follower<'a> {
    fn new(logs: &'a LogFiles, of: &'a TryKey) -> Self {
        let wake = Arc::clone(logs.followers().entry(of.clone()).or_default());
        Self { logs, of, wake }
    }
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        let mut followers = self.logs.followers();
        // The entry's own and this one.
        if Arc::strong_count(&self.wake) <= 2 {
            followers.remove(self.of);
        }
    }
}

/// Whole lines from `from` on.
fn page(path: &Path, from: u64) -> io::Result<LogPage> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(LogPage {
                lines: Vec::new(),
                next: from,
            });
        }
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    let whole = loop {
        let more = (&mut file).take(PAGE).read_to_end(&mut text)?;
        match text.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => break end + 1,
            None if more == 0 => break 0,
            None => {}
        }
    };
    text.truncate(whole);
    let lines = text
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    Ok(LogPage {
        lines,
        next: from.saturating_add(whole as u64),
    })
}

#[async_trait]
impl TaskLogs for LogFiles {
    fn append(&self, of: &TryKey, lines: &[Line]) {
        if lines.is_empty() {
            return;
        }
        if let Err(error) = self.write(of, lines) {
            let before = self
                .dropped
                .fetch_add(lines.len() as u64, Ordering::Relaxed);
            if before == 0 {
                tracing::warn!(%error, dag_id = %of.dag_id, task_id = %of.task_id,
                    "a task's log cannot be written; its lines are dropped and counted");
            }
        }
        let wake = self.followers().get(of).map(Arc::clone);
        if let Some(wake) = wake {
            wake.notify_waiters();
        }
    }

    async fn read(&self, of: &TryKey, from: u64) -> Result<LogPage, StoreError> {
        let path = self.path(of).map_err(from_io)?;
        tokio::task::spawn_blocking(move || page(&path, from))
            .await
            .map_err(|e| StoreError::Unavailable(e.into()))?
            .map_err(from_io)
    }

    async fn grown(&self, of: &TryKey, from: u64) {
        let follower = Follower::new(self, of);
        loop {
            let mut woken = std::pin::pin!(follower.wake.notified());
            // From here on no append is missed, so the length is looked at afterwards.
            woken.as_mut().enable();
            let length = self
                .path(of)
                .and_then(std::fs::metadata)
                .map_or(0, |m| m.len());
            if length > from {
                return;
            }
            woken.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use airlock_model::{
        id::{DagId, RunId, TaskId, TeamName},
        log::{Level, Source},
        time::Timestamp,
    };

    use super::*;

    fn of(map_index: i32, try_number: u32) -> TryKey {
        TryKey {
            team: TeamName::default_team(),
            dag_id: DagId::new("weather").unwrap(),
            run_id: RunId::new("scheduled__2012-01-15T00:00:00+00:00").unwrap(),
            task_id: TaskId::new("observe").unwrap(),
            map_index: MapIndex(map_index),
            try_number,
        }
    }

    fn line(message: &str) -> Line {
        Line {
            at: Timestamp::from_micros(1).unwrap(),
            level: Level::Info,
            source: Source::Task,
            target: String::new(),
            message: message.into(),
            location: None,
        }
    }

    #[tokio::test]
    async fn a_log_reads_on_where_the_last_page_ended() {
        let home = tempfile::tempdir().unwrap();
        let logs = LogFiles::new(home.path().join("logs"));
        assert_eq!(logs.read(&of(-1, 1), 0).await.unwrap().next, 0);
        logs.append(&of(-1, 1), &[line("one"), line("two\nlines\u{1b}[31m")]);
        let first = logs.read(&of(-1, 1), 0).await.unwrap();
        assert_eq!(first.lines, [line("one"), line("two\nlines\u{1b}[31m")]);
        logs.append(&of(-1, 1), &[line("three")]);
        let second = logs.read(&of(-1, 1), first.next).await.unwrap();
        assert_eq!(second.lines, [line("three")]);
        assert!(
            logs.read(&of(-1, 1), second.next)
                .await
                .unwrap()
                .lines
                .is_empty()
        );
    }

    #[tokio::test]
    async fn tries_and_mapped_instances_have_logs_of_their_own() {
        let home = tempfile::tempdir().unwrap();
        let logs = LogFiles::new(home.path());
        for (map_index, number) in [(-1, 1), (-1, 2), (0, 1), (1, 1)] {
            logs.append(
                &of(map_index, number),
                &[line(&format!("{map_index} {number}"))],
            );
        }
        let page = logs.read(&of(0, 1), 0).await.unwrap();
        assert_eq!(page.lines, [line("0 1")]);
        let run = "default/weather/scheduled__2012-01-15T00:00:00+00:00/observe";
        assert!(home.path().join(run).join("2.log").is_file());
        assert!(home.path().join(run).join("1/1.log").is_file());
    }

    #[tokio::test]
    async fn a_try_that_says_nothing_leaves_no_file() {
        let home = tempfile::tempdir().unwrap();
        let logs = LogFiles::new(home.path().join("logs"));
        logs.append(&of(-1, 1), &[]);
        assert!(!home.path().join("logs").exists());
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_written_is_counted_and_harms_nobody() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(
            home.path().join("logs"),
            "a file where the folder should be",
        )
        .unwrap();
        let logs = LogFiles::new(home.path().join("logs"));
        logs.append(&of(-1, 1), &[line("one"), line("two")]);
        assert_eq!(logs.dropped(), 2);
    }

    #[tokio::test]
    async fn a_page_ends_at_about_a_mebibyte_and_a_longer_line_still_comes_whole() {
        let home = tempfile::tempdir().unwrap();
        let logs = LogFiles::new(home.path());
        let long = "x".repeat(3 << 20);
        logs.append(&of(-1, 1), &[line(&long)]);
        let many: Vec<Line> = (0..3_000).map(|i| line(&format!("{i:0>1000}"))).collect();
        logs.append(&of(-1, 1), &many);
        let first = logs.read(&of(-1, 1), 0).await.unwrap();
        assert_eq!(
            first.lines.first().map(|l| l.message.len()),
            Some(long.len())
        );
        let (mut seen, mut at, mut pages) = (first.lines.len(), first.next, 1);
        loop {
            let page = logs.read(&of(-1, 1), at).await.unwrap();
            if page.lines.is_empty() {
                break;
            }
            assert!(page.next - at <= PAGE);
            (seen, at, pages) = (seen + page.lines.len(), page.next, pages + 1);
        }
        assert_eq!(seen, 3_001);
        assert!(pages >= 3);
    }

    #[tokio::test]
    async fn a_line_that_is_still_being_written_waits_for_its_end() {
        let home = tempfile::tempdir().unwrap();
        let logs = LogFiles::new(home.path());
        logs.append(&of(-1, 1), &[line("one")]);
        let path = logs.path(&of(-1, 1)).unwrap();
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"{\"at\":1,").unwrap();
        let page = logs.read(&of(-1, 1), 0).await.unwrap();
        assert_eq!(page.lines, [line("one")]);
        file.write_all(b"\"level\":\"info\",\"source\":\"task\",\"message\":\"two\"}\n")
            .unwrap();
        assert_eq!(
            logs.read(&of(-1, 1), page.next).await.unwrap().lines,
            [line("two")]
        );
    }

    #[tokio::test]
    async fn followers_wake_with_each_line_and_leave_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let logs = Arc::new(LogFiles::new(home.path()));
        let follow = |from| {
            let logs = Arc::clone(&logs);
            tokio::spawn(async move { logs.grown(&of(-1, 1), from).await })
        };
        let (first, second) = (follow(0), follow(0));
        let gone = follow(1_000_000);
        while logs
            .followers()
            .get(&of(-1, 1))
            .is_none_or(|w| Arc::strong_count(w) < 4)
        {
            tokio::task::yield_now().await;
        }
        logs.append(&of(-1, 2), &[line("of another try")]);
        assert!(!first.is_finished());
        logs.append(&of(-1, 1), &[line("one")]);
        first.await.unwrap();
        second.await.unwrap();
        logs.grown(&of(-1, 1), 0).await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        assert!(logs.followers().is_empty());
    }
}
