//! How many looks into one directory a team may have at once, and what becomes of those that do not end.
//!
//! A disk that does not answer cannot be told to stop: whoever asked it stays there. So a look that is overdue is
//! left alone, and until it has ended nobody else is sent after it; whoever wants to look learns that at once.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Looks of one team into one directory at once.
const LOOKS: usize = 4;

/// The looks of one team into one directory.
#[derive(Debug)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    /// Looks that nobody waits for any more and that have not ended.
    overdue: AtomicUsize,
}

/// How far one look is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    Running,
    /// It runs, and nobody waits for it.
    Overdue,
    /// It has ended, or is not to begin.
    Over,
}

/// One look, for the one who waits for it.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    progress: Arc<Mutex<Progress>>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(LOOKS)),
            overdue: AtomicUsize::new(0),
        }
    }

    /// Whether a look has not ended although its time has passed.
    pub(super) fn is_stuck(&self) -> bool {
        self.overdue.load(SeqCst) > 0
    }

    /// A turn, when one is free; it is used by [`Turn::run`].
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }
}

impl Turn {
    pub(super) fn new(turns: Arc<Turns>) -> Self {
        Self {
            turns,
            progress: Arc::new(Mutex::new(Progress::Waiting)),
        }
    }

    /// What does the look on a thread of its own: none where nobody waits for it any more.
    pub(super) fn run<R, L: FnOnce() -> R>(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        look: L,
    ) -> impl FnOnce() -> Option<R> + use<R, L> {
        let turn = Self {
            turns: Arc::clone(&self.turns),
            progress: Arc::clone(&self.progress),
        };
        move || {
            let _permit = permit;
            let mut progress = turn.progress();
            if *progress != Progress::Waiting {
                return None;
            }
            *progress = Progress::Running;
            drop(progress);
            let _ending = Ending(&turn);
            Some(look())
        }
    }

    /// Nobody waits for it any more.
    pub(super) fn give_up(&self) {
        let mut progress = self.progress();
        *progress = match *progress {
            Progress::Running => {
                self.turns.overdue.fetch_add(1, SeqCst);
                Progress::Overdue
            }
            Progress::Waiting => Progress::Over,
            already => already,
        };
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        let progress = self.progress.lock();
        progress.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look ends, also by a panic.
struct Ending<'a>(&'a Turn);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut progress = self.0.progress();
        if *progress == Progress::Overdue {
            self.0.turns.overdue.fetch_sub(1, SeqCst);
        }
        *progress = Progress::Over;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_look_that_does_not_end_keeps_others_away_until_it_has() {
        let turns = Arc::new(Turns::new());
        let turn = Turn::new(Arc::clone(&turns));
        let (begun, begins) = mpsc::channel();
        let (disk, answers) = mpsc::channel::<u8>();
        let look = turn.run(None, move || {
            begun.send(()).unwrap();
            answers.recv().unwrap()
        });
        let hanging = std::thread::spawn(look);
        begins.recv().unwrap();
        assert!(!turns.is_stuck(), "somebody waits for it");
        turn.give_up();
        turn.give_up();
        assert!(turns.is_stuck());
        disk.send(7).unwrap();
        assert_eq!(hanging.join().unwrap(), Some(7));
        assert!(!turns.is_stuck());
        turn.give_up();
        assert!(!turns.is_stuck(), "it has ended already");
    }

    #[test]
    fn a_look_that_nobody_waits_for_does_not_begin() {
        let turns = Arc::new(Turns::new());
        let turn = Turn::new(Arc::clone(&turns));
        let look = turn.run(None, || unreachable!("nobody waits"));
        turn.give_up();
        assert_eq!(look(), None::<()>);
        assert!(!turns.is_stuck());
    }
}
