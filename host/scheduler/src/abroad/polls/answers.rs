//! What comes of a poll: it goes on, it has fired, it has seen something, or it has failed.

use std::time::Duration;

use airlock_model::{
    outcome::{Failure, FailureKind},
    port::{
        AssetKey, FileWaiter, Lease, Pause, PollReport, Polled, TriggerOwner, TriggerProgress,
        TriggerRow, WatchedEvent,
    },
    time::Timestamp,
    trigger::TriggerEvent,
};
use tracing::warn;

use super::{Done, Polls, State};
use crate::{
    abroad::backoff,
    engine::{Event, Sighting, TriggerEnd, WatcherKey},
};

/// After a poll the next is made no sooner, whatever the trigger wants.
const SHORTEST: Duration = Duration::from_millis(100);
/// After a watcher has fired it begins anew no sooner.
const ANEW: Duration = Duration::from_secs(1);
/// Polls in a row that may fail before the wait is over.
const ATTEMPTS: u32 = 4;
/// The longest pause after a failed poll.
const LONGEST: Duration = Duration::from_secs(300);

impl Polls {
    /// A poll has come back.
    pub(super) fn landed(
        &self,
        state: &mut State,
        row: TriggerRow,
        lease: Lease,
        since: Timestamp,
        report: PollReport,
    ) {
        let now = self.claimant.questions.ports.clock.now();
        let well = report.answer.is_ok();
        self.claimant.beside.count(&row.team, |tally| {
            tally.polls += 1;
            tally.failed_polls += u64::from(!well);
        });
        let progress = TriggerProgress {
            polls: row.progress.polls + 1,
            last_poll_at: Some(since),
            cpu: row.progress.cpu + report.cpu,
            failures: 0,
            note: None,
            ..row.progress.clone()
        };
        match report.answer {
            Ok(Polled::Waiting(pause)) => {
                let progress = self.paused(&row, progress, pause, since, now);
                self.put(state, (row.id, lease, progress));
            }
            Ok(Polled::Fired(value)) => match watcher(&row) {
                None => self.ended(&row, TriggerEvent::Fired(value.into())),
                Some(watcher) => {
                    let event = WatchedEvent {
                        key: format!("fired {} {}", row.id.0, row.progress.polls),
                        extra: object(value),
                    };
                    let anew = TriggerProgress {
                        state: None,
                        next_poll_at: Some(now.after(ANEW)),
                        ..progress
                    };
                    self.seen(watcher, (row.id, lease, anew), vec![event]);
                }
            },
            Ok(Polled::Seen(events, pause)) => {
                let progress = self.paused(&row, progress, pause, since, now);
                match watcher(&row) {
                    Some(watcher) if !events.is_empty() => {
                        self.seen(watcher, (row.id, lease, progress), events);
                    }
                    _ => self.put(state, (row.id, lease, progress)),
                }
            }
            Err(failure) => self.failed(state, row, lease, progress, failure, now),
        }
    }

    /// It goes on; what it listens to, the engine has to know.
    fn paused(
        &self,
        row: &TriggerRow,
        progress: TriggerProgress,
        pause: Pause,
        since: Timestamp,
        now: Timestamp,
    ) -> TriggerProgress {
        if !pause.on.is_empty() || !row.progress.on.is_empty() {
            let task_id = match &row.owner {
                TriggerOwner::Task { task_id, .. } => Some(task_id.clone()),
                TriggerOwner::Watcher { .. } => None,
            };
            let behalf = FileWaiter {
                team: row.team.clone(),
                bundle: row.bundle.clone(),
                hash: row.hash,
                dag_id: row.dag_id.clone(),
                task_id,
            };
            let listens = Event::Listens(row.id, Box::new(behalf), pause.on.clone(), since);
            self.tell(listens);
        }
        let soonest = now.after(SHORTEST);
        TriggerProgress {
            state: Some(pause.state),
            next_poll_at: pause.until.map(|until| until.max(soonest)),
            on: pause.on,
            ..progress
        }
    }

    fn failed(
        &self,
        state: &mut State,
        row: TriggerRow,
        lease: Lease,
        progress: TriggerProgress,
        failure: Failure,
        now: Timestamp,
    ) {
        let failures = row.progress.failures.saturating_add(1);
        let over = failure.kind == FailureKind::Final || failures >= ATTEMPTS;
        let (trigger, kind) = (row.id.0, row.own.kind.escape_debug().to_string());
        let (team, bundle, dag_id) = (&row.team, &row.bundle, &row.dag_id);
        let reason = failure.message.escape_debug().to_string();
        let watches = watcher(&row).is_some();
        if over && !watches {
            warn!(%team, %bundle, %dag_id, kind, %trigger, reason, "a trigger has failed; its task hears of it");
            self.ended(&row, TriggerEvent::Failed(failure.message.into()));
            return;
        }
        let pause = backoff(self.options.retry_delay, failures, LONGEST);
        warn!(%team, %bundle, %dag_id, kind, %trigger, reason, again_in = ?pause, "a poll has failed");
        let progress = TriggerProgress {
            next_poll_at: Some(now.after(pause)),
            failures,
            note: Some(failure.message),
            ..progress
        };
        self.put(state, (row.id, lease, progress));
    }

    fn ended(&self, row: &TriggerRow, event: TriggerEvent) {
        let TriggerOwner::Task { key, token, .. } = row.owner else {
            return;
        };
        let id = row.id;
        self.tell(Event::TriggerEnded(Box::new(TriggerEnd {
            id,
            key,
            token,
            event,
        })));
    }

    fn seen(&self, watcher: WatcherKey, row: Done, events: Vec<WatchedEvent>) {
        let sighting = Sighting {
            watcher,
            row: Some(row),
            events,
            known: false,
        };
        tokio::spawn(self.claimant.questions.clone().unseen(sighting));
    }

    fn tell(&self, event: Event) {
        // A scheduler that is gone polls again when it is back.
        let _ = self.claimant.questions.events.send(event);
    }
}

fn watcher(row: &TriggerRow) -> Option<WatcherKey> {
    let TriggerOwner::Watcher { asset, name } = &row.owner else {
        return None;
    };
    let asset = AssetKey {
        team: row.team.clone(),
        name: asset.as_str().into(),
    };
    let name = name.as_str().into();
    Some(WatcherKey { asset, name })
}

/// What an asset event says is an object: one that a watcher fires with stands for itself.
fn object(json: String) -> String {
    match json.trim_start().starts_with('{') {
        true => json,
        false => format!("{{\"payload\":{json}}}"),
    }
}
