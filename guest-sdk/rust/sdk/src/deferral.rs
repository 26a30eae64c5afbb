//! Deferral: a task that gives its slot back until something happens, and then goes on elsewhere.
//!
//! ```
//! use airlock_sdk::prelude::*;
//!
//! #[dag]
//! fn billing() {
//!     let rows = load();
//!     report(rows);                       // gets a `u64`, however long `load` waited for it
//! }
//!
//! #[task(retries = 2)]
//! fn load(ctx: &Context) -> Result<Deferred<u64>> {
//!     let file = format!("{}.csv", ctx.date()?);
//!     if let Ok(about) = std::fs::metadata(directory("inbox")?.join(&file)) {
//!         return Ok(Deferred::done(about.len()));
//!     }
//!     defer(wait::file("inbox", &file)).timeout(hours(6)).resume(read(&file))
//! }
//!
//! #[resume]
//! fn read(found: Waited<wait::FoundFile>, file: &str) -> Result<u64> {
//!     let found = found?;                 // a time-out fails the try, and its retries apply
//!     info!("{file} is there");
//!     Ok(found.bytes)
//! }
//!
//! #[task]
//! fn report(bytes: u64) {}
//! ```
//!
//! It stays the same try: its number, and what it has pushed as XComs. Its code goes on in a new instance, so what
//! is to be known there is an argument of the function that bears `#[resume]`.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Context, Result, ResultExt as _, fail,
    outcome::{Failure, Outcome, finish_value},
    registry,
    wait::{Awaited, WaitFor},
};

/// How a wait ended: with what the trigger gave, or why not. `?` turns the latter into the try's failure.
pub type Waited<E> = Result<E, WaitError>;

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitError {
    /// Nothing happened within the time that `timeout` gave.
    TimedOut,
    /// The trigger failed, for this reason.
    Failed(String),
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("what the task waited for did not happen in time"),
            Self::Failed(why) => write!(f, "the trigger that the task waited for failed: {why}"),
        }
    }
}

impl std::error::Error for WaitError {}

/// What a task returns that may defer: its value, now or later. Those that come after it get a `T`.
#[must_use = "a task returns it"]
pub struct Deferred<T>(Answer<T>);

enum Answer<T> {
    Now(T),
    Later(Box<Deferral>),
}

impl<T> Deferred<T> {
    /// There is nothing to wait for (any more): this is what the task returns.
    pub const fn done(value: T) -> Self {
        Self(Answer::Now(value))
    }

    /// What it waits for, unless it is done.
    #[must_use]
    pub fn deferral(&self) -> Option<&Deferral> {
        match &self.0 {
            Answer::Now(_) => None,
            Answer::Later(deferral) => Some(deferral),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Deferred<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Answer::Now(value) => f.debug_tuple("Done").field(value).finish(),
            Answer::Later(deferral) => deferral.fmt(f),
        }
    }
}

/// What a task waits for, and where it goes on, as the host hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deferral {
    /// What it waits for.
    pub awaited: Awaited,
    /// The path of the function at which it goes on.
    pub method: String,
    /// That function's arguments: a JSON text.
    pub arguments: String,
    /// How long it waits at most; none: for ever.
    pub timeout: Option<Duration>,
}

/// Begins a deferral to a trigger of the bundle, or to a value of the module [`wait`](crate::wait).
pub const fn defer<W: WaitFor>(wait: W) -> Defer<W> {
    Defer {
        wait,
        timeout: None,
    }
}

/// A deferral that does not yet know where it goes on.
#[derive(Debug, Clone)]
#[must_use = "`resume` says where the task goes on, and makes what it returns"]
pub struct Defer<W> {
    wait: W,
    timeout: Option<Duration>,
}

impl<W: WaitFor> Defer<W> {
    /// How long it waits at most. Then it goes on all the same, with [`WaitError::TimedOut`].
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Where it goes on: a call of a function that bears `#[resume]`.
    ///
    /// # Errors
    /// The trigger or an argument has no JSON form, or its code would not be found.
    #[track_caller]
    pub fn resume<T>(self, at: Resume<W::Event, T>) -> Result<Deferred<T>> {
        let arguments = match at.arguments {
            Ok(arguments) => arguments,
            Err(error) => {
                return Err(fail(format_args!(
                    "an argument of `{}` has no JSON form: {error}",
                    at.code.method
                )));
            }
        };
        registry::only_resume(at.code)?;
        Ok(Deferred(Answer::Later(Box::new(Deferral {
            awaited: self.wait.awaited()?,
            method: at.code.method.to_owned(),
            arguments,
            timeout: self.timeout,
        }))))
    }
}

/// Where a deferred task goes on, and with what: what a call of a function gives that bears `#[resume]`. `E` is what
/// it waits for, `T` what the task returns in the end.
#[must_use = "`defer(…).resume(…)` takes it"]
pub struct Resume<E, T> {
    code: &'static ResumeCode,
    arguments: Result<String, String>,
    types: PhantomData<fn(E) -> T>,
}

impl<E, T> fmt::Debug for Resume<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resume({} {:?})", self.code.method, self.arguments)
    }
}

/// What the macro's function calls.
#[doc(hidden)]
pub fn resume<E, T>(code: &'static ResumeCode, arguments: &impl Serialize) -> Resume<E, T> {
    Resume {
        code,
        arguments: serde_json::to_string(arguments).map_err(|error| error.to_string()),
        types: PhantomData,
    }
}

/// The code at which deferred tasks go on.
#[doc(hidden)]
pub struct ResumeCode {
    pub method: &'static str,
    pub run: fn(&Context, Waited<String>, &str) -> Result<Outcome>,
}

/// What the first parameter of a `#[resume]` function is.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a deferred task goes on with a `Waited<…>`, not with `{Self}`",
    note = "the first parameter, after `&Context` if there is one, is how the wait ended: `done: Waited<JobResult>`"
)]
pub trait WaitEnd: Sized {
    type Event;

    fn from_json(waited: Waited<String>) -> Result<Self>;
}

impl<E: DeserializeOwned> WaitEnd for Waited<E> {
    type Event = E;

    fn from_json(waited: Waited<String>) -> Result<Self> {
        match waited {
            Err(error) => Ok(Err(error)),
            Ok(json) => match serde_json::from_str(&json) {
                Ok(event) => Ok(Ok(event)),
                Err(error) => Err(fail(format_args!(
                    "what came of the wait is no `{}`: {error}",
                    std::any::type_name::<E>()
                ))),
            },
        }
    }
}

/// The arguments that the deferral kept.
#[doc(hidden)]
#[track_caller]
pub fn arguments<T: DeserializeOwned>(json: &str) -> Result<T> {
    match serde_json::from_str(json) {
        Ok(arguments) => Ok(arguments),
        Err(error) => Err(fail(format_args!(
            "the arguments that the deferral kept do not fit, so it began with another version of the bundle: {error}"
        ))),
    }
}

/// What a task gave that may defer.
#[doc(hidden)]
#[track_caller]
pub fn finish_deferred<T: Serialize>(answer: Deferred<T>) -> Result<Outcome> {
    match answer.0 {
        Answer::Now(value) => finish_value(&value),
        Answer::Later(deferral) => Ok(Outcome::Deferred(deferral)),
    }
}

/// Goes on with a deferred task.
pub(crate) fn run(
    method: &str,
    context: &Context,
    waited: Waited<String>,
    arguments: &str,
) -> Result<Outcome, Failure> {
    crate::graph::within_try(|| Ok(registry::resume(method, context, waited, arguments)?))
}

impl Deferral {
    /// The fields of the trigger that it waits for, if that is a `T`: for tests.
    ///
    /// # Errors
    /// It waits for something else.
    pub fn trigger<T: crate::trigger::TriggerSource>(&self) -> Result<T> {
        match &self.awaited {
            Awaited::Own { kind, arguments } if kind == T::KIND => {
                serde_json::from_str(arguments).context("the trigger's fields")
            }
            other => Err(crate::Error::msg(format_args!(
                "it waits for {other:?}, not for `{}`",
                T::KIND
            ))),
        }
    }
}
