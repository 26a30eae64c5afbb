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
//! the same try goes on later with a new instance.

use std::{thread, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Context, Error, Result, fail,
    outcome::{Outcome, finish_value},
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

/// What a function that bears `#[task(sensor)]` may return: a `bool`, or a [`Poke`] with a value.
#[diagnostic::on_unimplemented(
    message = "a sensor cannot return `{Self}`",
    note = "return a `bool`, or a `Poke<T>` whose value the task returns"
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
    /// It gives its slot back.
    Reschedule,
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

impl Sensor {
    /// The pause after a look that came this long after the try's start. It follows from that time alone, so
    /// that it is the same whether or not the instance remembers earlier looks: pauses that double have, after
    /// n of them, lasted 2ⁿ - 1 intervals.
    fn pause(&self, elapsed: Duration) -> Duration {
        if !self.exponential_backoff || self.poke_interval.is_zero() {
            return self.poke_interval.min(MAX_PAUSE);
        }
        let intervals = elapsed.as_micros() / self.poke_interval.as_micros().max(1);
        let pauses = intervals.saturating_add(1).ilog2().min(31);
        let longest = self.max_wait.unwrap_or(MAX_PAUSE).min(MAX_PAUSE);
        self.poke_interval.saturating_mul(1 << pauses).min(longest)
    }
}

/// Where a sensor gets the time from, and how it lets time pass.
pub(crate) trait Clock {
    fn now(&mut self) -> Timestamp;
    fn sleep(&mut self, pause: Duration);
}

struct HostClock;

impl Clock for HostClock {
    fn now(&mut self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&mut self, pause: Duration) {
        thread::sleep(pause);
    }
}

/// What a sensor gave, look by look.
#[doc(hidden)]
#[track_caller]
pub fn finish_sensor<T: Serialize>(
    sensor: &Sensor,
    context: &Context,
    poke: impl FnMut() -> Result<Poke<T>>,
) -> Result<Outcome> {
    wait(sensor, context, poke, &mut HostClock)
}

/// An answer that cannot fail, as one that can.
#[doc(hidden)]
pub fn poked<A: SensorAnswer>(answer: A) -> Result<Poke<A::Value>> {
    Ok(answer.into_poke())
}

/// An answer that can fail.
#[doc(hidden)]
#[track_caller]
pub fn poked_result<A: SensorAnswer, E: Into<Error>>(
    answer: Result<A, E>,
) -> Result<Poke<A::Value>> {
    match answer {
        Ok(answer) => Ok(answer.into_poke()),
        Err(error) => Err(error.into()),
    }
}

#[track_caller]
pub(crate) fn wait<T: Serialize>(
    sensor: &Sensor,
    context: &Context,
    mut poke: impl FnMut() -> Result<Poke<T>>,
    clock: &mut dyn Clock,
) -> Result<Outcome> {
    let started = context.first_started_at;
    loop {
        match poke() {
            Ok(Poke::Done(value)) => return finish_value(&value),
            Ok(Poke::NotYet) => {}
            Err(error) if error.is_skip() => return Ok(Outcome::Skipped(error.to_string())),
            Err(error) if sensor.soft_fail && !error.is_retryable() => {
                return Ok(Outcome::Skipped(format!("{error:#}")));
            }
            Err(error) => return Err(error),
        }
        let now = clock.now();
        let elapsed = Duration::try_from(now.duration_since(started)).unwrap_or_default();
        if elapsed > sensor.timeout {
            let over = fail(format_args!(
                "what it waits for was not there within {:#}",
                jiff::SignedDuration::try_from(sensor.timeout).unwrap_or_default()
            ));
            return match sensor.soft_fail {
                true => Ok(Outcome::Skipped(over.to_string())),
                false => Err(over),
            };
        }
        let pause = sensor.pause(elapsed);
        match sensor.mode {
            PokeMode::Poke => clock.sleep(pause),
            PokeMode::Reschedule => {
                let at = now.checked_add(pause).unwrap_or(Timestamp::MAX);
                return Ok(Outcome::Rescheduled(at));
            }
        }
    }
}
