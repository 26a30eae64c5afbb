//! Sensors: tasks that wait for something outside.
//!
//! ```
//! use airlock_sdk::prelude::*;
//!
//! /// Waits for today's file, and gives its size.
//! #[task(sensor, poke_interval = "1m", timeout = "2h", mode = "reschedule")]
//! fn arrived(ctx: &Context) -> Result<Poke<u64>> {
//!     let file = directory("inbox")?.join(format!("{}.csv", ctx.date()?));
//!     Ok(match std::fs::metadata(file) {
//!         Ok(about) => Poke::Done(about.len()),
//!         Err(_) => Poke::NotYet,
//!     })
//! }
//! ```
//!
//! The function looks once and answers; how often it is called is the attribute's business. In the mode
//! `poke` the try keeps its slot and sleeps in between. In the mode `reschedule` it gives the slot back, and
//! the same try goes on later with a new instance. In the mode `defer` it gives the slot back, and the function
//! is polled as a trigger: in the trigger phase, so that what it reaches has to be granted for that, too.

mod deferred;

use std::{thread, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use self::deferred::{poll, resume};
use crate::{
    Context, Error, Result, fail,
    outcome::{Downstream, Outcome},
    trigger::later,
};

/// The longest pause between two looks, whatever the back-off (as for retries in Airflow 3.3.2).
const MAX_PAUSE: Duration = Duration::from_secs(86_400);

/// What a sensor saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Poke<T> {
    /// Nothing yet.
    NotYet,
    /// What it waits for, which is what the task returns.
    Done(T),
}

/// What a function may return that bears `#[task(sensor)]`, or `#[trigger]`: a `bool`, or a [`Poke`] with a value.
#[diagnostic::on_unimplemented(
    message = "what looks for something cannot return `{Self}`",
    note = "return a `bool`, or a `Poke<T>` with what was found"
)]
pub trait SensorAnswer {
    /// What the task returns in the end.
    type Value;

    #[doc(hidden)]
    fn into_poke(self) -> Poke<Self::Value>;
}

impl SensorAnswer for bool {
    type Value = ();

    fn into_poke(self) -> Poke<()> {
        match self {
            true => Poke::Done(()),
            false => Poke::NotYet,
        }
    }
}

impl<T> SensorAnswer for Poke<T> {
    type Value = T;

    fn into_poke(self) -> Self {
        self
    }
}

/// What a sensor's try does between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PokeMode {
    /// It sleeps, and keeps its slot: for short waits. The default.
    Poke,
    /// It gives its slot back, and goes on with a new call of the task.
    Reschedule,
    /// It gives its slot back, and is polled as a trigger.
    Defer,
}

/// How a sensor waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensor {
    /// Between two looks. Default: a minute.
    pub poke_interval: Duration,
    /// From the try's start. Default: seven days.
    pub timeout: Duration,
    /// What happens between two looks.
    pub mode: PokeMode,
    /// Whether a sensor whose time is over, or that fails for good, is skipped instead of failed.
    pub soft_fail: bool,
    /// Whether each pause is twice the last.
    pub exponential_backoff: bool,
    /// The longest pause; counts only with back-off.
    pub max_wait: Option<Duration>,
}

/// A sensor's code, between the author's types and the host's texts.
#[doc(hidden)]
#[derive(Debug)]
pub struct SensorCode {
    /// The path of its function.
    pub entry: &'static str,
    /// How it waits.
    pub settings: Sensor,
    /// Looks once.
    pub look: fn(&Context, Vec<String>) -> Result<Poke<String>>,
}

/// The pause after a look that came this long after the first. It follows from that time alone, so that it is the
/// same whether or not the instance remembers earlier looks: pauses that double have, after n of them, lasted
/// 2ⁿ - 1 intervals.
pub(crate) fn pause(
    interval: Duration,
    exponential_backoff: bool,
    max_wait: Option<Duration>,
    elapsed: Duration,
) -> Duration {
    if !exponential_backoff || interval.is_zero() {
        return interval.min(MAX_PAUSE);
    }
    let intervals = elapsed.as_micros() / interval.as_micros().max(1);
    let pauses = intervals.saturating_add(1).ilog2().min(31);
    let longest = max_wait.unwrap_or(MAX_PAUSE).min(MAX_PAUSE);
    interval.saturating_mul(1 << pauses).min(longest)
}

impl Sensor {
    fn pause(&self, elapsed: Duration) -> Duration {
        let backoff = self.exponential_backoff;
        pause(self.poke_interval, backoff, self.max_wait, elapsed)
    }

    /// What a sensor does whose time is over.
    fn over(&self) -> Result<Outcome> {
        self.end(fail(format_args!(
            "what it waits for was not there within {:#}",
            jiff::SignedDuration::try_from(self.timeout).unwrap_or_default()
        )))
    }

    /// What a look that went wrong makes of the try.
    fn end(&self, error: Error) -> Result<Outcome> {
        match error.is_skip() || self.soft_fail && !error.is_retryable() {
            true => Ok(Outcome::Skipped(format!("{error:#}"))),
            false => Err(error),
        }
    }
}

/// An answer that cannot fail, as one that can.
#[doc(hidden)]
#[track_caller]
pub fn poked<A: SensorAnswer<Value: Serialize>>(answer: A) -> Result<Poke<String>> {
    match answer.into_poke() {
        Poke::NotYet => Ok(Poke::NotYet),
        Poke::Done(value) => match serde_json::to_string(&value) {
            Ok(json) => Ok(Poke::Done(json)),
            Err(error) => Err(fail(format_args!(
                "what the sensor returned has no JSON form: {error}"
            ))),
        },
    }
}

/// An answer that can fail.
#[doc(hidden)]
#[track_caller]
pub fn poked_result<A: SensorAnswer<Value: Serialize>, E: Into<Error>>(
    answer: Result<A, E>,
) -> Result<Poke<String>> {
    match answer {
        Ok(answer) => poked(answer),
        Err(error) => Err(error.into()),
    }
}

/// Looks until what it waits for is there, or gives the slot back.
#[doc(hidden)]
pub fn run(code: &SensorCode, context: &Context, arguments: Vec<String>) -> Result<Outcome> {
    let settings = &code.settings;
    let started = context.first_started_at;
    loop {
        match (code.look)(context, arguments.clone()) {
            Ok(Poke::Done(value)) => return Ok(done(value)),
            Ok(Poke::NotYet) => {}
            Err(error) => return settings.end(error),
        }
        let now = Timestamp::now();
        let elapsed = Duration::try_from(now.duration_since(started)).unwrap_or_default();
        if elapsed > settings.timeout {
            return settings.over();
        }
        let pause = settings.pause(elapsed);
        match settings.mode {
            PokeMode::Poke => thread::sleep(pause),
            PokeMode::Reschedule => return Ok(Outcome::Rescheduled(later(now, pause))),
            PokeMode::Defer => {
                let left = settings.timeout.saturating_sub(elapsed);
                return deferred::defer(code, context, arguments, left);
            }
        }
    }
}

fn done(value: String) -> Outcome {
    Outcome::Success {
        value: Some(value).filter(|json| json != "null"),
        downstream: Downstream::Free,
    }
}
