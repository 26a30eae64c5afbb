//! Files for which somebody waits: the host looks at granted directories, every so often and once for all who
//! wait for the same.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use airlock_model::{
    port::{FileFailure, FileWaiter, FoundFile},
    time::Timestamp,
    trigger::{FileChange, FileEvent},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tracing::warn;

use crate::{
    engine::{Event, FileOrder, Waiter},
    questions::Questions,
};

/// Looks at once.
const AT_ONCE: usize = 8;

/// A place to look at, on somebody's behalf.
type Place = (FileWaiter, String, String);

/// Somebody who waits.
#[derive(Debug)]
struct Wait {
    behalf: FileWaiter,
    event: FileEvent,
    since: Timestamp,
    /// What a watcher was told of, or has found when it began.
    told: HashSet<(String, u64, Timestamp, Timestamp)>,
    /// Nobody has looked yet.
    fresh: bool,
    /// What was wrong at the last look, so that it is told once.
    complaint: Option<String>,
}

/// Looks at files.
#[derive(Debug)]
pub(super) struct Looks {
    questions: Questions,
    interval: Duration,
    waits: HashMap<Waiter, Vec<Wait>>,
}

impl Looks {
    pub(super) fn new(questions: Questions, interval: Duration) -> Self {
        Self {
            questions,
            interval,
            waits: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<FileOrder>) {
        let mut ticks = tokio::time::interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waited_for = !self.waits.is_empty();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => {
                        // One who has just begun to wait need not wait for the clock.
                        if self.take(order) {
                            ticks.reset_immediately();
                        }
                    }
                    None => return,
                },
                _ = ticks.tick(), if waited_for => self.look().await,
            }
        }
    }

    /// Whether somebody new waits.
    fn take(&mut self, order: FileOrder) -> bool {
        match order {
            FileOrder::Look {
                waiter,
                behalf,
                event,
                since,
            } => {
                self.waits.entry(waiter).or_default().push(Wait {
                    behalf,
                    event,
                    since,
                    told: HashSet::new(),
                    fresh: true,
                    complaint: None,
                });
                true
            }
            FileOrder::Forget(waiter) => {
                self.waits.remove(&waiter);
                false
            }
        }
    }

    async fn look(&mut self) {
        let mut places: HashMap<Place, FileEvent> = HashMap::new();
        for wait in self.waits.values().flatten() {
            places
                .entry(wait.place())
                .or_insert_with(|| wait.event.clone());
        }
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut looks = JoinSet::new();
        for (place, event) in places {
            let (files, turns) = (Arc::clone(&self.questions.ports.files), Arc::clone(&turns));
            looks.spawn(async move {
                let _turn = turns.acquire().await;
                let found = files.look(&place.0, &event).await;
                (place, found)
            });
        }
        let mut found = HashMap::new();
        while let Some(look) = looks.join_next().await {
            if let Ok((place, files)) = look {
                found.insert(place, files);
            }
        }
        self.judge(&found);
    }

    /// Tells those whose files are there, and who need wait no longer.
    fn judge(&mut self, found: &HashMap<Place, Result<Vec<FoundFile>, FileFailure>>) {
        let mut events = Vec::new();
        for (waiter, waits) in &mut self.waits {
            let watches = matches!(waiter, Waiter::Watcher(_));
            waits.retain_mut(|wait| match found.get(&wait.place()) {
                None => true,
                Some(Ok(files)) => {
                    wait.complaint = None;
                    if watches {
                        events.extend(wait.watched(waiter, files));
                        return true;
                    }
                    let first = files.iter().find(|file| wait.is_met_by(file));
                    let told =
                        first.map(|file| Event::FilesFound(waiter.clone(), vec![file.clone()], false));
                    let met = told.is_some();
                    events.extend(told);
                    !met
                }
                Some(Err(failure)) => {
                    let over = matches!(failure, FileFailure::Refused(_)) && !watches;
                    let text = failure.to_string();
                    if wait.complaint.as_ref() != Some(&text) {
                        let FileWaiter { team, bundle, dag_id, .. } = &wait.behalf;
                        warn!(%team, %bundle, %dag_id, "a file that is waited for cannot be looked at: {text}");
                        wait.complaint = Some(text.clone());
                    }
                    if over {
                        events.push(Event::FilesRefused(waiter.clone(), text));
                    }
                    !over
                }
            });
        }
        self.waits.retain(|_, waits| !waits.is_empty());
        for event in events {
            // A scheduler that is gone looks again when it is back.
            let _ = self.questions.events.send(event);
        }
    }
}

impl Wait {
    fn place(&self) -> Place {
        let event = &self.event;
        (
            self.behalf.clone(),
            event.directory.clone(),
            event.pattern.clone(),
        )
    }

    fn is_met_by(&self, file: &FoundFile) -> bool {
        match self.event.change {
            FileChange::Exists => true,
            FileChange::Changes => file.changed > self.since,
        }
    }

    /// What a watcher has to be told, if anything.
    fn watched(&mut self, waiter: &Waiter, files: &[FoundFile]) -> Option<Event> {
        let mark = |file: &FoundFile| (file.path.clone(), file.bytes, file.modified, file.changed);
        let there: HashSet<_> = files.iter().map(mark).collect();
        let new = files.iter().filter(|file| !self.told.contains(&mark(file)));
        let new: Vec<FoundFile> = new.cloned().collect();
        self.told = there;
        let began = std::mem::take(&mut self.fresh) && self.event.change == FileChange::Changes;
        (began || !new.is_empty()).then(|| Event::FilesFound(waiter.clone(), new, began))
    }
}
