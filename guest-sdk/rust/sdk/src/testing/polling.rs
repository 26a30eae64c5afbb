//! A trigger under a clock that the test moves.

use std::{marker::PhantomData, time::Duration};

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::{
    Context, Error, Result, ResultExt as _,
    deferral::Deferral,
    outcome::Failure,
    trigger::{self, Answer, TriggerContext, Waiting, later},
    wait::{Awaited, HostEvent, WaitFor},
};

/// More polls than these are a trigger that never fires.
const MOST: usize = 10_000;

/// Polls a trigger of the bundle as the host does it: from JSON to JSON, its state kept as text in between. Time
/// passes as the test says; the clock begins at 2024-01-01T00:00:00Z.
///
/// ```
/// # use airlock_sdk::{prelude::*, testing::Polling};
/// #[trigger(every = "10s", exponential_backoff, max_wait = "1m")]
/// fn ready(cx: &TriggerContext) -> bool {
///     cx.waited() >= minutes(2)
/// }
///
/// let mut polling = Polling::of(ready())?;
/// polling.fires()?;
/// assert_eq!(polling.waits(), [10, 20, 40, 60].map(seconds));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Polling<E> {
    kind: String,
    arguments: String,
    state: Option<String>,
    cx: TriggerContext,
    /// When it wants to be polled again, and on what.
    next: Option<(Option<Timestamp>, Vec<HostEvent>)>,
    waits: Vec<Duration>,
    seen: Vec<(String, String)>,
    event: PhantomData<fn() -> E>,
}

impl<E: DeserializeOwned> Polling<E> {
    /// Of a trigger for which a task waits.
    ///
    /// # Errors
    /// It has no JSON form, its code would not be found, or the host answers it by itself.
    pub fn of<W: WaitFor<Event = E>>(trigger: W) -> Result<Self> {
        let waiting = Waiting::Task {
            run_id: "manual__test".to_owned(),
            task_id: "test".to_owned(),
            map_index: -1,
        };
        Self::new(trigger.awaited()?, "test", waiting)
    }

    /// Of a trigger that watches an asset.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn watcher<W: WaitFor<Event = E>>(trigger: W) -> Result<Self> {
        let waiting = Waiting::Watcher {
            asset: "test".to_owned(),
            name: "test".to_owned(),
        };
        Self::new(trigger.awaited()?, "test", waiting)
    }

    /// Of what a task was deferred to: what comes of it is for [`resume`](super::resume).
    ///
    /// # Errors
    /// The host answers it by itself.
    pub fn deferral(ctx: &Context, deferral: &Deferral) -> Result<Self> {
        let waiting = Waiting::Task {
            run_id: ctx.run_id.clone(),
            task_id: ctx.task_id.clone(),
            map_index: ctx.map_index,
        };
        Self::new(deferral.awaited.clone(), &ctx.dag_id, waiting)
    }

    fn new(awaited: Awaited, dag_id: &str, waiting: Waiting) -> Result<Self> {
        let Awaited::Own { kind, arguments } = awaited else {
            return Err(Error::msg(format_args!(
                "the host answers {awaited:?}; there is nothing to poll"
            )));
        };
        let begin = Timestamp::from_second(1_704_067_200)?;
        Ok(Self {
            kind,
            arguments,
            state: None,
            cx: TriggerContext {
                id: "0193f0c0-0000-7000-8000-000000000000".to_owned(),
                dag_id: dag_id.to_owned(),
                waiting,
                created_at: begin,
                polls: 0,
                now: begin,
            },
            next: None,
            waits: Vec::new(),
            seen: Vec::new(),
            event: PhantomData,
        })
    }

    /// Lets the wait begin at this time.
    #[must_use]
    pub const fn begin_at(mut self, time: Timestamp) -> Self {
        (self.cx.created_at, self.cx.now) = (time, time);
        self
    }

    /// Polls once, now. Gives what it fired with, if it did.
    ///
    /// # Errors
    /// Those of the trigger.
    pub fn poll(&mut self) -> Result<Option<E>> {
        let state = self.state.as_deref();
        let answer = trigger::run(&self.kind, &self.arguments, state, &self.cx).map_err(told)?;
        self.cx.polls += 1;
        let pause = match answer {
            Answer::Fired(event) => {
                (self.state, self.next) = (None, None);
                let event = serde_json::from_str(&event).context("what the trigger fired with");
                return event.map(Some);
            }
            Answer::Waiting(pause) => pause,
            Answer::Seen(events, pause) => {
                let seen = events.into_iter().map(|seen| (seen.key, seen.extra));
                self.seen.extend(seen);
                pause
            }
        };
        self.state = Some(pause.state);
        self.next = Some((pause.until, pause.on));
        Ok(None)
    }

    /// Polls until it fires, letting time pass in between.
    ///
    /// # Errors
    /// Those of the trigger; and where it only waits for something that the host sees, or never fires.
    pub fn fires(&mut self) -> Result<E> {
        for _ in 0..MOST {
            if let Some(event) = self.poll()? {
                return Ok(event);
            }
            self.wait()?;
        }
        Err(Error::msg(format_args!("it did not fire in {MOST} polls")))
    }

    /// Lets time pass until it wants to be polled again.
    ///
    /// # Errors
    /// Where it waits only for something that the host sees.
    pub fn wait(&mut self) -> Result<()> {
        match self.next.as_ref().and_then(|(until, _)| *until) {
            Some(until) => {
                let pause = until.duration_since(self.cx.now);
                self.pass(Duration::try_from(pause).unwrap_or_default());
                Ok(())
            }
            None => Err(Error::msg(
                "it waits for no time; let happen what it waits for, and `poll`",
            )),
        }
    }

    /// Lets so much time pass.
    pub fn pass(&mut self, time: Duration) {
        self.waits.push(time);
        self.cx.now = later(self.cx.now, time);
    }

    /// What the clock says.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.cx.now
    }

    /// The times that passed between polls, first to last.
    #[must_use]
    pub fn waits(&self) -> &[Duration] {
        &self.waits
    }

    /// What also wakes it now.
    #[must_use]
    pub fn wakes_on(&self) -> &[HostEvent] {
        self.next.as_ref().map_or(&[], |(_, on)| on)
    }

    /// What it keeps, as JSON text; none before the first poll and after it has fired.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The changes that a watcher told so far: their keys, and what it said of each as JSON text.
    #[must_use]
    pub fn seen(&self) -> &[(String, String)] {
        &self.seen
    }
}

fn told(failure: Failure) -> Error {
    let mut text = failure.message;
    for cause in failure.causes {
        text.push_str(": ");
        text.push_str(&cause);
    }
    match failure.retry {
        true => Error::msg(text),
        false => crate::fail(text),
    }
}
