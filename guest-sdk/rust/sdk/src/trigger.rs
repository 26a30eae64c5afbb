//! Triggers of the bundle's own: small state machines that the host polls, and that hold no instance in between.
//!
//! The short form is a function that looks once, like a sensor's; the attribute says how often.
//!
//! ```
//! use airlock_sdk::prelude::*;
//! # use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct JobResult { rows: u64 }
//!
//! /// A job of the warehouse is done.
//! #[trigger(every = "10s", exponential_backoff, max_wait = "5m")]
//! fn job_done(job: &str) -> Result<Poke<JobResult>> {
//!     let answer = http::get(format!("https://jobs.example/v1/{job}")).send()?.ok()?;
//!     Ok(match answer.status {
//!         200 => Poke::Done(answer.json()?),
//!         _ => Poke::NotYet,
//!     })
//! }
//!
//! #[task]
//! fn export(job: String) -> Result<Deferred<u64>> {
//!     defer(job_done(&job)).timeout(hours(2)).resume(collect())
//! }
//!
//! #[resume]
//! fn collect(done: Waited<JobResult>) -> Result<u64> {
//!     Ok(done?.rows)
//! }
//! ```
//!
//! What wants to remember something is a type. Its fields say what it waits for, its state what it has seen so far;
//! both are kept as JSON.
//!
//! ```
//! # use airlock_sdk::prelude::*;
//! # use serde::{Deserialize, Serialize};
//! /// A table has stopped growing.
//! #[derive(Serialize, Deserialize)]
//! struct Settled { table: String }
//!
//! #[trigger]
//! impl Trigger for Settled {
//!     type State = Option<u64>;
//!     type Event = u64;
//!
//!     fn poll(&self, last: &mut Option<u64>, _: &TriggerContext) -> Result<Polled<u64>> {
//!         let rows = count(&self.table)?;
//!         if last.replace(rows) == Some(rows) {
//!             return Ok(Polled::fired(rows));
//!         }
//!         Ok(Polled::wait(minutes(1)))
//!     }
//! }
//! # fn count(table: &str) -> Result<u64> { Ok(3) }
//!
//! // It is an ordinary type, and a test lets time pass as it likes:
//! let mut polling = airlock_sdk::testing::Polling::of(Settled { table: "orders".to_owned() })?;
//! assert_eq!(polling.fires()?, 3);
//! assert_eq!(polling.waits(), [minutes(1)]);
//! # Ok::<(), Error>(())
//! ```

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error, Poke, Result, ResultExt as _, fail, graph, registry,
    sensor::{SensorAnswer, pause},
    wait::HostEvent,
};

/// A state machine that is polled until it fires. Its fields are what it is made with.
///
/// `#[trigger]` on the `impl` enters it under the path of its type, which is its name in the host's log and lists;
/// a type that is renamed while somebody waits for it fails their wait.
pub trait Trigger: Serialize + DeserializeOwned {
    /// What it keeps from poll to poll; the first gets the default.
    type State: Default + Serialize + DeserializeOwned;
    /// What comes of it.
    type Event: Serialize + DeserializeOwned;

    /// Looks once. A poll may be repeated (after a crash of the host, say): looking twice must do no harm.
    ///
    /// # Errors
    /// An error ends the trigger, and fails those who wait for it. What may pass (a server that does not answer) is
    /// better waited out.
    fn poll(&self, state: &mut Self::State, cx: &TriggerContext) -> Result<Polled<Self::Event>>;
}

/// What `#[trigger]` adds to a [`Trigger`].
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no trigger of the bundle",
    note = "write `#[trigger]` above its `impl Trigger`"
)]
pub trait TriggerSource: Trigger {
    const KIND: &'static str;
}

/// Who waits for a trigger, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerContext {
    pub(crate) id: String,
    pub(crate) dag_id: String,
    pub(crate) waiting: Waiting,
    pub(crate) created_at: Timestamp,
    pub(crate) polls: u64,
    pub(crate) now: Timestamp,
}

/// Who waits for a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// A deferred task instance.
    Task {
        /// Its run.
        run_id: String,
        /// Its task.
        task_id: String,
        /// -1 for a task that is not mapped.
        map_index: i32,
    },
    /// An asset's watcher.
    Watcher {
        /// The asset's name.
        asset: String,
        /// The watcher's.
        name: String,
    },
}

impl TriggerContext {
    /// The trigger's own id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The DAG of the task, or the one that declares the watcher.
    #[must_use]
    pub fn dag_id(&self) -> &str {
        &self.dag_id
    }

    /// Who waits for it.
    #[must_use]
    pub const fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// When the wait began.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When this poll began: in a test, what its clock says.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// How long the wait has lasted.
    #[must_use]
    pub fn waited(&self) -> Duration {
        Duration::try_from(self.now.duration_since(self.created_at)).unwrap_or_default()
    }

    /// How often it was polled before.
    #[must_use]
    pub const fn polls(&self) -> u64 {
        self.polls
    }
}

/// What a poll gives: it has fired, or waits for a time, for something that the host sees, or for whichever comes
/// first.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// let polled: Polled<u8> = Polled::fired(3);
/// let polled: Polled<u8> = Polled::wait(minutes(5)).or_on(wait::file("inbox", "*.csv"));
/// // Of a watcher: two changes, and on it goes.
/// let polled = Polled::wait(minutes(5)).seen("a", "first").seen("b", "second");
/// ```
#[derive(Debug, Clone)]
#[must_use = "a poll returns it"]
pub struct Polled<E> {
    fired: Option<E>,
    until: Until,
    on: Vec<HostEvent>,
    seen: Vec<(String, E)>,
}

#[derive(Debug, Clone, Copy)]
enum Until {
    Woken,
    After(Duration),
    At(Timestamp),
}

impl<E> Polled<E> {
    const fn waiting(until: Until) -> Self {
        Self {
            fired: None,
            until,
            on: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// It has come. A watcher's trigger then begins anew.
    pub const fn fired(event: E) -> Self {
        Self {
            fired: Some(event),
            until: Until::Woken,
            on: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// It looks again after this pause.
    pub const fn wait(pause: Duration) -> Self {
        Self::waiting(Until::After(pause))
    }

    /// It looks again at this time.
    pub const fn until(time: Timestamp) -> Self {
        Self::waiting(Until::At(time))
    }

    /// It looks again when this happens, and not before: a value of the module [`wait`](crate::wait).
    pub fn on(event: impl Into<HostEvent>) -> Self {
        Self::waiting(Until::Woken).or_on(event)
    }

    /// It also looks again when this happens.
    pub fn or_on(mut self, event: impl Into<HostEvent>) -> Self {
        self.on.push(event.into());
        self
    }

    /// Of an asset's watcher: a change of the asset, which it tells while it goes on. Of changes with one key, one
    /// counts, however often they are told.
    pub fn seen(mut self, key: impl Into<String>, event: E) -> Self {
        self.seen.push((key.into(), event));
        self
    }
}

/// Every so often: how a trigger looks again and again. [`Every::poll`] does the looking.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Answered { url: String }
/// # #[trigger]
/// # impl Trigger for Answered {
/// #     type State = ();
/// #     type Event = u16;
/// fn poll(&self, _: &mut (), cx: &TriggerContext) -> Result<Polled<u16>> {
///     every(seconds(10)).exponential_backoff(minutes(5)).timeout(hours(1)).poll(cx, || {
///         let answer = http::get(&self.url).send()?;
///         Ok(if answer.status < 500 { Poke::Done(answer.status) } else { Poke::NotYet })
///     })
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "`poll` looks"]
pub struct Every {
    pause: Duration,
    longest: Option<Duration>,
    timeout: Option<Duration>,
    deadline: Option<Timestamp>,
}

/// Looks again after this pause, always.
pub const fn every(pause: Duration) -> Every {
    Every {
        pause,
        longest: None,
        timeout: None,
        deadline: None,
    }
}

impl Every {
    /// Makes each pause twice the last, up to this one (and to a day).
    pub const fn exponential_backoff(mut self, longest: Duration) -> Self {
        self.longest = Some(longest);
        self
    }

    /// Gives up so long after the wait began: the trigger fails.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Gives up at this time: the trigger fails.
    pub const fn until(mut self, deadline: Timestamp) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Looks once: what it sees is what the trigger fires with.
    ///
    /// # Errors
    /// Those of `look`; and that it gives up.
    #[track_caller]
    pub fn poll<A: SensorAnswer>(
        &self,
        cx: &TriggerContext,
        look: impl FnOnce() -> Result<A>,
    ) -> Result<Polled<A::Value>> {
        if let Poke::Done(event) = look()?.into_poke() {
            return Ok(Polled::fired(event));
        }
        let by_timeout = self
            .timeout
            .and_then(|timeout| cx.created_at.checked_add(timeout).ok());
        let over = [by_timeout, self.deadline].into_iter().flatten().min();
        let backoff = self.longest.is_some();
        let next = cx
            .now
            .checked_add(pause(self.pause, backoff, self.longest, cx.waited()))
            .unwrap_or(Timestamp::MAX);
        match over {
            Some(over) if cx.now >= over => Err(fail(format_args!(
                "what it waits for was not there by {over}"
            ))),
            // A last look, when the time is over.
            Some(over) => Ok(Polled::until(next.min(over))),
            None => Ok(Polled::until(next)),
        }
    }
}

/// What a poll gave, as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Fired(String),
    Waiting(Pause),
    Seen(Vec<Sighting>, Pause),
}

/// How a trigger goes on waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) state: String,
    pub(crate) until: Option<Timestamp>,
    pub(crate) on: Vec<HostEvent>,
}

/// A change that a watcher tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) key: String,
    pub(crate) extra: String,
}

/// The code of a trigger, by its kind.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct TriggerCode {
    pub(crate) kind: &'static str,
    pub(crate) poll: fn(&str, Option<&str>, &TriggerContext) -> Result<Answer>,
}

/// The code of `T`.
#[doc(hidden)]
#[must_use]
pub const fn code<T: TriggerSource>() -> TriggerCode {
    TriggerCode {
        kind: T::KIND,
        poll: poll::<T>,
    }
}

/// Refuses a trigger whose code a poll would not find.
pub(crate) fn known<T: TriggerSource>() -> Result<()> {
    registry::only_trigger(code::<T>())
}

/// Polls a trigger of the bundle.
pub(crate) fn run(
    kind: &str,
    arguments: &str,
    state: Option<&str>,
    cx: &TriggerContext,
) -> Result<Answer, crate::outcome::Failure> {
    graph::within_try(|| Ok(registry::poll(kind, arguments, state, cx)?))
}

fn poll<T: Trigger>(arguments: &str, state: Option<&str>, cx: &TriggerContext) -> Result<Answer> {
    let trigger: T = serde_json::from_str(arguments).context(
        "the wait began with another version of the bundle: the trigger's fields do not fit",
    )?;
    let mut state = match state {
        None => T::State::default(),
        Some(json) => serde_json::from_str(json).context(
            "the wait began with another version of the bundle: the trigger's state does not fit",
        )?,
    };
    let polled = trigger.poll(&mut state, cx)?;
    let state = serde_json::to_string(&state).context("the trigger's state has no JSON form")?;
    answer(polled, state, cx)
}

/// What a poll gave, as the host takes it.
pub(crate) fn answer<E: Serialize>(
    polled: Polled<E>,
    state: String,
    cx: &TriggerContext,
) -> Result<Answer> {
    let watched = matches!(cx.waiting, Waiting::Watcher { .. });
    if let Some(event) = polled.fired {
        if !polled.seen.is_empty() || !polled.on.is_empty() {
            return Err(fail(
                "a poll that fires tells nothing else; leave `or_on` and `seen` to one that waits",
            ));
        }
        let event = match watched {
            true => crate::asset::extra(&event)?,
            false => serde_json::to_string(&event)
                .context("what the trigger fired with has no JSON form")?,
        };
        return Ok(Answer::Fired(event));
    }
    let pause = Pause {
        state,
        until: match polled.until {
            Until::Woken => None,
            Until::At(time) => Some(time),
            Until::After(pause) => Some(later(cx.now, pause)),
        },
        on: polled.on,
    };
    if polled.seen.is_empty() {
        return Ok(Answer::Waiting(pause));
    }
    if !watched {
        return Err(fail(
            "only an asset's watcher tells of changes and goes on; what a task waits for fires",
        ));
    }
    let seen = polled.seen.into_iter().map(|(key, event)| {
        Ok::<_, Error>(Sighting {
            key,
            extra: crate::asset::extra(&event)?,
        })
    });
    Ok(Answer::Seen(seen.collect::<Result<_>>()?, pause))
}

pub(crate) fn later(from: Timestamp, pause: Duration) -> Timestamp {
    SignedDuration::try_from(pause)
        .ok()
        .and_then(|pause| from.checked_add(pause).ok())
        .unwrap_or(Timestamp::MAX)
}
