//! Files for which somebody waits: the host looks at granted directories, every so often and once for all who
//! wait for the same. A look that takes long, as at a disk that hangs, keeps nobody else waiting.

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
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tracing::{error, warn};

use crate::{
    engine::{Event, FileOrder, Waiter},
    questions::Questions,
};

/// A place to look at, on somebody's behalf and for somebody's purpose.
type Place = (FileWaiter, FileEvent);

/// What was found there.
type Found = Result<Vec<FoundFile>, FileFailure>;

/// Somebody who waits.
#[derive(Debug)]
struct Wait {
    waiter: Waiter,
    since: Timestamp,
    /// What a watcher was told of, or has found when it began.
    told: HashSet<(String, u64, Timestamp, Timestamp)>,
    /// Nobody has looked yet.
    fresh: bool,
}

/// Who waits at a place.
#[derive(Debug, Default)]
struct Waits {
    waits: Vec<Wait>,
    /// A look is on its way.
    looking: bool,
    /// What was wrong at the last look, so that it is told once.
    complaint: Option<String>,
}

/// Looks at files.
#[derive(Debug)]
pub(super) struct Looks {
    questions: Questions,
    interval: Duration,
    places: HashMap<Place, Waits>,
    of: HashMap<Waiter, Vec<Place>>,
    looks: JoinSet<(Place, Found)>,
}

impl Looks {
    pub(super) fn new(questions: Questions, interval: Duration) -> Self {
        Self {
            questions,
            interval,
            places: HashMap::new(),
            of: HashMap::new(),
            looks: JoinSet::new(),
        }
    }

    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<FileOrder>) {
        let mut ticks = tokio::time::interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waited_for = !self.places.is_empty();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.take(order),
                    None => return,
                },
                Some(look) = self.looks.join_next() => match look {
                    Ok((place, found)) => self.judge(&place, &found),
                    Err(panic) => {
                        error!(%panic, "a look at files was lost; it is made again");
                        self.places.values_mut().for_each(|waits| waits.looking = false);
                    }
                },
                _ = ticks.tick(), if waited_for => {
                    let places: Vec<Place> = self.places.keys().cloned().collect();
                    places.into_iter().for_each(|place| self.look(place));
                }
            }
        }
    }

    fn take(&mut self, order: FileOrder) {
        match order {
            FileOrder::Look {
                waiter,
                behalf,
                event,
                since,
            } => {
                let place = (behalf, event);
                self.of
                    .entry(waiter.clone())
                    .or_default()
                    .push(place.clone());
                let waits = self.places.entry(place.clone()).or_default();
                waits.waits.push(Wait {
                    waiter,
                    since,
                    told: HashSet::new(),
                    fresh: true,
                });
                // One who has just begun to wait need not wait for the clock.
                self.look(place);
            }
            FileOrder::Forget(waiter) => {
                for place in self.of.remove(&waiter).unwrap_or_default() {
                    self.leave(&place, |wait| wait.waiter != waiter);
                }
            }
        }
    }

    fn leave(&mut self, place: &Place, stays: impl FnMut(&Wait) -> bool) {
        if let Some(waits) = self.places.get_mut(place) {
            waits.waits.retain(stays);
            if waits.waits.is_empty() {
                self.places.remove(place);
            }
        }
    }

    /// Looks at a place, unless a look is on its way.
    fn look(&mut self, place: Place) {
        let Some(waits) = self.places.get_mut(&place) else {
            return;
        };
        if std::mem::replace(&mut waits.looking, true) {
            return;
        }
        let files = Arc::clone(&self.questions.ports.files);
        self.looks.spawn(async move {
            let found = files.look(&place.0, &place.1).await;
            (place, found)
        });
    }

    /// Tells those whose files are there, and who need wait no longer.
    fn judge(&mut self, place: &Place, found: &Found) {
        let Some(waits) = self.places.get_mut(place) else {
            return;
        };
        waits.looking = false;
        let change = place.1.change;
        let mut events = Vec::new();
        match found {
            Ok(files) => {
                waits.complaint = None;
                for wait in &mut waits.waits {
                    events.extend(wait.event(change, files));
                }
            }
            Err(failure) => {
                let text = failure.to_string();
                if waits.complaint.as_ref() != Some(&text) {
                    let FileWaiter {
                        team,
                        bundle,
                        dag_id,
                        ..
                    } = &place.0;
                    warn!(%team, %bundle, %dag_id, "a file that is waited for cannot be looked at: {text}");
                    waits.complaint = Some(text.clone());
                }
                if matches!(failure, FileFailure::Refused(_)) {
                    let all = waits.waits.iter().filter(|wait| !wait.watches());
                    let refused =
                        |wait: &Wait| Event::FilesRefused(wait.waiter.clone(), text.clone());
                    events.extend(all.map(refused));
                }
            }
        }
        // Who is told of a file, or of a refusal, and is no watcher, waits no longer.
        let over: HashSet<Waiter> = events.iter().filter_map(told).cloned().collect();
        self.leave(place, |wait| wait.watches() || !over.contains(&wait.waiter));
        for event in events {
            // A scheduler that is gone looks again when it is back.
            let _ = self.questions.events.send(event);
        }
    }
}

/// Who is told by an event of this room.
fn told(event: &Event) -> Option<&Waiter> {
    match event {
        Event::FilesFound(waiter, ..) | Event::FilesRefused(waiter, _) => Some(waiter),
        _ => None,
    }
}

impl Wait {
    const fn watches(&self) -> bool {
        matches!(self.waiter, Waiter::Watcher(_))
    }

    /// What it is told of these files, if anything.
    fn event(&mut self, change: FileChange, files: &[FoundFile]) -> Option<Event> {
        if self.watches() {
            return self.watched(change, files);
        }
        let met = |file: &&FoundFile| match change {
            FileChange::Exists => true,
            FileChange::Changes => file.changed > self.since,
        };
        let first = files.iter().find(met)?.clone();
        Some(Event::FilesFound(self.waiter.clone(), vec![first], false))
    }

    /// What a watcher has to be told, if anything.
    fn watched(&mut self, change: FileChange, files: &[FoundFile]) -> Option<Event> {
        let mark = |file: &FoundFile| (file.path.clone(), file.bytes, file.modified, file.changed);
        let there: HashSet<_> = files.iter().map(mark).collect();
        let new = files.iter().filter(|file| !self.told.contains(&mark(file)));
        let new: Vec<FoundFile> = new.cloned().collect();
        self.told = there;
        let began = std::mem::take(&mut self.fresh) && change == FileChange::Changes;
        (began || !new.is_empty()).then(|| Event::FilesFound(self.waiter.clone(), new, began))
    }
}
