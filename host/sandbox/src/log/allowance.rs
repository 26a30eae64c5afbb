//! How much of one bundle stands in the host's own log.
//!
//! A poll's log is bounded, but polls come again and again, and the host's log is read by those who run the host.
//! So each bundle has an allowance there, over all its instances that have no log of their own: much at once,
//! little over time. What is beyond is dropped and counted, and the log says so.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::limits;

/// What a bundle may say at once, in bytes.
const BURST: usize = 256 << 10;
/// What it may say over time, in bytes a second.
const PER_SECOND: usize = 4 << 10;
/// What it must have again before it is heard again: else every line of a flood would be told as dropped by itself.
const RESERVE: usize = BURST / 4;

/// One bundle's allowance.
#[derive(Debug)]
pub(crate) struct Allowance(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    left: usize,
    filled: Instant,
    /// Lines that were dropped since the bundle was heard last.
    dropped: u64,
}

impl Allowance {
    /// A full one.
    pub(crate) const fn new(now: Instant) -> Self {
        Self(Mutex::new(Bucket {
            left: BURST,
            filled: now,
            dropped: 0,
        }))
    }

    /// Calls `write` with each line that may be said now, and with what there is to say about the others.
    pub(crate) fn pass(
        &self,
        now: Instant,
        lines: impl IntoIterator<Item = String>,
        mut write: impl FnMut(&str),
    ) {
        for line in lines {
            // Not held while it is written.
            let (heard, notice) = self.bucket(|bucket| bucket.take(now, line.len()));
            if let Some(notice) = notice {
                write(&notice);
            }
            if heard {
                write(&line);
            }
        }
    }

    fn bucket<R>(&self, of: impl FnOnce(&mut Bucket) -> R) -> R {
        of(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bucket {
    /// Whether a line is heard, and what is to be said before.
    fn take(&mut self, now: Instant, bytes: usize) -> (bool, Option<String>) {
        self.fill(now);
        let needed = match self.dropped {
            0 => bytes,
            _ => bytes.max(RESERVE),
        };
        if self.left < needed {
            self.dropped = self.dropped.saturating_add(1);
            let notice = (self.dropped == 1).then(|| {
                format!(
                    "AL-0565: the bundle says more here than the host's log takes from it, which is {} at once and {} a second over time; what comes now is dropped and counted. Log less in triggers, callbacks and timetables, and while parsing",
                    limits::bytes(BURST),
                    limits::bytes(PER_SECOND)
                )
            });
            return (false, notice);
        }
        self.left -= bytes;
        let dropped = std::mem::take(&mut self.dropped);
        let notice = (dropped > 0)
            .then(|| format!("AL-0565: {dropped} lines of the bundle were dropped before this"));
        (true, notice)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        // In whole seconds, so that many short moments add up.
        let seconds = passed.as_secs();
        if seconds > 0 {
            let more = usize::try_from(seconds).map_or(BURST, |s| s.saturating_mul(PER_SECOND));
            self.left = self.left.saturating_add(more).min(BURST);
            self.filled += Duration::from_secs(seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written of this many lines of 1 KiB.
    fn said(allowance: &Allowance, now: Instant, count: usize) -> Vec<String> {
        let mut written = Vec::new();
        let lines = (0..count).map(|_| "x".repeat(1024));
        allowance.pass(now, lines, |line| written.push(line.to_owned()));
        written
    }

    #[test]
    fn a_flood_is_heard_up_to_its_allowance_and_then_told_once() {
        let start = Instant::now();
        let allowance = Allowance::new(start);
        let first = said(&allowance, start, 10_000);
        assert_eq!(first.len(), 256 + 1);
        let notice = &first[256];
        for part in ["AL-0565", "256 KiB at once", "4 KiB a second"] {
            assert!(notice.contains(part), "{notice}");
        }
        assert!(said(&allowance, start, 10_000).is_empty());
    }

    #[test]
    fn who_was_silent_for_a_while_is_heard_again_with_the_number_of_what_was_dropped() {
        let start = Instant::now();
        let allowance = Allowance::new(start);
        said(&allowance, start, 300);
        let soon = start + Duration::from_secs(15);
        assert!(said(&allowance, soon, 1).is_empty(), "not yet");
        let later = start + Duration::from_secs(16);
        let again = said(&allowance, later, 2);
        assert_eq!(again.len(), 3);
        assert!(again[0].contains("45 lines"), "{}", again[0]);
    }

    #[test]
    fn a_day_of_flooding_is_no_more_than_a_days_allowance() {
        let start = Instant::now();
        let allowance = Allowance::new(start);
        let mut bytes = 0;
        for second in 0..86_400 {
            let now = start + Duration::from_secs(second);
            let written = said(&allowance, now, 100);
            bytes += written.iter().map(String::len).sum::<usize>();
        }
        assert!(bytes > 86_400 * PER_SECOND / 2, "{bytes}");
        assert!(bytes < BURST + 86_400 * PER_SECOND * 11 / 10, "{bytes}");
    }
}
