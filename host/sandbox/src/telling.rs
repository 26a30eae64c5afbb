//! The duty to tell a try's end, exactly once.
//!
//! It is told by a value that tells it when it is dropped unsaid, so that a panic of the host's own code, or
//! a pool that is torn down, loses no try.

use std::{sync::Arc, time::Instant};

use airlock_model::{
    id::{TaskInstanceKey, Token},
    outcome::{Failure, FailureKind, Outcome, Report},
};

use crate::{
    load::LoadError,
    team::{House, Team},
};

pub(crate) fn killed_failure(why: &str) -> Failure {
    Failure {
        kind: FailureKind::Killed,
        message: format!("AL-0515: {why}"),
        causes: Vec::new(),
        location: None,
    }
}

pub(crate) fn load_failure(error: &LoadError) -> Failure {
    Failure {
        kind: if error.is_final() {
            FailureKind::Load
        } else {
            FailureKind::Error
        },
        message: error.to_string(),
        causes: Vec::new(),
        location: None,
    }
}

/// The duty to tell a try's end, once.
pub(crate) struct Telling {
    house: Arc<House>,
    team: Option<Arc<Team>>,
    key: TaskInstanceKey,
    token: Token,
    dispatched: Instant,
    started: Option<Instant>,
    told: bool,
}

impl Telling {
    /// None: no team of this house has the try.
    pub(crate) fn new(
        house: &Arc<House>,
        team: Option<Arc<Team>>,
        key: TaskInstanceKey,
        token: Token,
    ) -> Self {
        Self {
            house: Arc::clone(house),
            team,
            key,
            token,
            dispatched: Instant::now(),
            started: None,
            told: false,
        }
    }

    /// Its instance begins to run.
    pub(crate) fn started(&mut self) {
        self.started = Some(Instant::now());
        if let Some(events) = self.house.events() {
            events.started(self.key, self.token, self.house.ports.clock.now());
        }
    }

    /// Tells it.
    pub(crate) fn tell(mut self, outcome: Outcome) {
        self.say(outcome);
    }

    fn say(&mut self, outcome: Outcome) {
        self.told = true;
        let ended = Instant::now();
        let started = self.started.unwrap_or(ended);
        let failure = match &outcome {
            Outcome::Failed(failure) => Some(failure.kind),
            Outcome::Success { .. }
            | Outcome::Skipped { .. }
            | Outcome::Rescheduled { .. }
            | Outcome::Deferred(_) => None,
        };
        let report = Report {
            outcome,
            waited: started - self.dispatched,
            ran: ended - started,
        };
        if let Some(events) = self.house.events() {
            events.ended(self.key, self.token, self.house.ports.clock.now(), report);
        }
        if let Some(team) = &self.team {
            team.forget(self.key, self.token, failure);
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if !self.told {
            let why = if std::thread::panicking() {
                "the host failed while it ran this try; its own log has the reason"
            } else {
                "the host stopped"
            };
            self.say(Outcome::Failed(killed_failure(why)));
        }
    }
}
