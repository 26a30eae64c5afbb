//! Callbacks: the bundle's code that hears of what became of its tasks and runs.
//!
//! ```
//! use airlock_sdk::prelude::*;
//!
//! #[dag(on_failure = tell("#operations"), deadlines = [
//!     deadline("ten minutes", DeadlineReference::QueuedAt + minutes(10), tell("#late")),
//! ])]
//! fn nightly() {
//!     load();
//! }
//!
//! #[task(retries = 2, on_retry = note, on_failure = [note, tell("#data")])]
//! fn load() {}
//!
//! #[callback]
//! fn note(what: &CallbackContext) {
//!     warn!("{}", what.message());
//! }
//!
//! #[callback]
//! fn tell(what: &CallbackContext, channel: &str) -> Result<()> {
//!     let text = format!("{channel}: {}", what.message());
//!     http::post("https://chat.example/v1/messages").header("idempotency-key", what.id()).body(text).send()?.ok()?;
//!     Ok(())
//! }
//! ```
//!
//! What is to be told of is written in the commit in which it happens, and told at least once: after a crash perhaps
//! twice, with the same [`id`](CallbackContext::id). A callback that fails is called again, later. It runs in a phase
//! of its own, and reaches what is granted for the phase `callback`.

use std::{ops::Add, time::Duration};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result, fail, graph, outcome::Failure, registry};

/// What a callback hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackKind {
    /// A try of the task begins.
    TaskExecute,
    /// The task has succeeded.
    TaskSuccess,
    /// The task has failed, and there is no further try.
    TaskFailure,
    /// A try has failed, and another will be made.
    TaskRetry,
    /// The task's own code has skipped it.
    TaskSkipped,
    /// The run has succeeded.
    DagSuccess,
    /// The run has failed.
    DagFailure,
    /// The run was not done by its deadline.
    Deadline,
}

impl CallbackKind {
    /// Its name, such as `task_failure`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TaskExecute => "task_execute",
            Self::TaskSuccess => "task_success",
            Self::TaskFailure => "task_failure",
            Self::TaskRetry => "task_retry",
            Self::TaskSkipped => "task_skipped",
            Self::DagSuccess => "dag_success",
            Self::DagFailure => "dag_failure",
            Self::Deadline => "deadline",
        }
    }
}

/// What a callback is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackContext {
    pub(crate) id: String,
    pub(crate) kind: CallbackKind,
    pub(crate) created_at: Timestamp,
    pub(crate) message: String,
    pub(crate) dag_id: String,
    pub(crate) run_id: String,
    pub(crate) run_type: String,
    pub(crate) logical_date: Option<Timestamp>,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) deadline: Option<MissedDeadline>,
    pub(crate) execution: u32,
}

/// The try that a callback tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its task.
    pub task_id: String,
    /// -1 for a task that is not mapped.
    pub map_index: i32,
    /// Counted from one.
    pub try_number: u32,
    /// The number of the last try.
    pub max_tries: u32,
}

/// A deadline by which a run was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedDeadline {
    /// Its name.
    pub name: String,
    /// When it was.
    pub at: Timestamp,
}

impl CallbackContext {
    /// A context for tests: of DAG `test`, first execution.
    #[must_use]
    pub fn test(kind: CallbackKind) -> Self {
        Self {
            id: "0193f0c0-0000-7000-8000-000000000000".to_owned(),
            kind,
            created_at: Timestamp::UNIX_EPOCH,
            message: kind.name().to_owned(),
            dag_id: "test".to_owned(),
            run_id: "manual__test".to_owned(),
            run_type: "manual".to_owned(),
            logical_date: None,
            attempt: None,
            deadline: None,
            execution: 1,
        }
    }

    /// For a test: what happened.
    #[must_use]
    pub fn with_message(mut self, message: &str) -> Self {
        message.clone_into(&mut self.message);
        self
    }

    /// For a test: the DAG and its run.
    #[must_use]
    pub fn with_run(mut self, dag_id: &str, run_id: &str) -> Self {
        (self.dag_id, self.run_id) = (dag_id.to_owned(), run_id.to_owned());
        self
    }

    /// For a test: the try, which is the first of one.
    #[must_use]
    pub fn with_task(mut self, task_id: &str) -> Self {
        self.attempt = Some(Attempt {
            task_id: task_id.to_owned(),
            map_index: -1,
            try_number: 1,
            max_tries: 1,
        });
        self
    }

    /// For a test: the deadline.
    #[must_use]
    pub fn with_deadline(mut self, name: &str, at: Timestamp) -> Self {
        let name = name.to_owned();
        self.deadline = Some(MissedDeadline { name, at });
        self
    }

    /// The same at each execution of the same request, of which there may be more than one: what deduplicates.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What has come to pass.
    #[must_use]
    pub const fn kind(&self) -> CallbackKind {
        self.kind
    }

    /// When it came to pass.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// What happened, for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The DAG.
    #[must_use]
    pub fn dag_id(&self) -> &str {
        &self.dag_id
    }

    /// The DAG run.
    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// `scheduled`, `manual`, `backfill`, …, as Airflow names them.
    #[must_use]
    pub fn run_type(&self) -> &str {
        &self.run_type
    }

    /// The point in time that the run stands for; none where it stands for none.
    #[must_use]
    pub const fn logical_date(&self) -> Option<Timestamp> {
        self.logical_date
    }

    /// The try, where it tells of one.
    #[must_use]
    pub const fn attempt(&self) -> Option<&Attempt> {
        self.attempt.as_ref()
    }

    /// The deadline, where it tells of one.
    #[must_use]
    pub const fn deadline(&self) -> Option<&MissedDeadline> {
        self.deadline.as_ref()
    }

    /// Which execution of the request this is, counted from one.
    #[must_use]
    pub const fn execution(&self) -> u32 {
        self.execution
    }
}

/// Which code is called, and with what: what a call of a function gives that bears `#[callback]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an attribute's `on_failure` and its like, or `deadline`, take it"]
pub struct Callback {
    pub(crate) code: CallbackCode,
    pub(crate) arguments: Result<String, String>,
}

impl Callback {
    /// The path of its function.
    #[must_use]
    pub const fn entry(&self) -> &'static str {
        self.code.entry
    }

    /// Its arguments as JSON text.
    ///
    /// # Errors
    /// Where they have no JSON form, or its code would not be found.
    pub fn arguments(&self) -> Result<String> {
        registry::only_callback(self.code)?;
        match &self.arguments {
            Ok(arguments) => Ok(arguments.clone()),
            Err(error) => Err(fail(format_args!(
                "an argument of `{}` has no JSON form: {error}",
                self.code.entry
            ))),
        }
    }
}

/// What may stand where a callback is wanted: a call of a `#[callback]` function, or the name of one that takes
/// nothing but the context.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no callback",
    note = "a callback is a function that bears `#[callback]`; one with arguments is called with them: `tell(\"#alerts\")`"
)]
pub trait IntoCallback {
    #[doc(hidden)]
    fn into_callback(self) -> Callback;
}

impl IntoCallback for Callback {
    fn into_callback(self) -> Callback {
        self
    }
}

impl<F: Fn() -> Callback> IntoCallback for F {
    fn into_callback(self) -> Callback {
        self()
    }
}

/// A callback as an attribute has it.
#[derive(Debug, Clone, Copy)]
pub struct CallbackSpec {
    /// Of what it hears.
    pub on: CallbackKind,
    /// Makes it.
    pub callback: fn() -> Callback,
}

/// The code of a callback.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct CallbackCode {
    pub entry: &'static str,
    pub run: fn(&CallbackContext, &str) -> Result<()>,
}

impl PartialEq for CallbackCode {
    fn eq(&self, other: &Self) -> bool {
        self.entry == other.entry
    }
}

impl Eq for CallbackCode {}

/// What the macro's function calls.
#[doc(hidden)]
pub fn callback(code: CallbackCode, arguments: &impl Serialize) -> Callback {
    Callback {
        code,
        arguments: serde_json::to_string(arguments).map_err(|error| error.to_string()),
    }
}

/// The arguments that the definition kept.
#[doc(hidden)]
#[track_caller]
pub fn arguments<T: DeserializeOwned>(json: &str) -> Result<T> {
    match serde_json::from_str(json) {
        Ok(arguments) => Ok(arguments),
        Err(error) => Err(fail(format_args!(
            "the definition is of another version of the bundle: the callback's arguments do not fit: {error}"
        ))),
    }
}

/// What a `#[callback]` function may return: nothing, or a `Result` of nothing.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a callback cannot return `{Self}`",
    note = "return nothing, or a `Result<()>`"
)]
pub trait CallbackResult {
    #[track_caller]
    fn into_result(self) -> Result<()>;
}

impl CallbackResult for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<E: Into<Error>> CallbackResult for Result<(), E> {
    #[track_caller]
    fn into_result(self) -> Result<()> {
        match self {
            Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Runs a callback. One that skips itself is done.
pub(crate) fn run(entry: &str, arguments: &str, what: &CallbackContext) -> Result<(), Failure> {
    graph::within_try(|| match registry::call(entry, arguments, what) {
        Err(error) if error.is_skip() => {
            log::info!("skipped: {error:#}");
            Ok(())
        }
        result => Ok(result?),
    })
}

/// From when a deadline is counted. `+` says how long after it.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// # #[callback] fn tell(what: &CallbackContext) {}
/// let late = deadline("late", DeadlineReference::QueuedAt + minutes(10), tell);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadlineReference {
    /// The time that the run stands for; a run that stands for none has no such deadline.
    LogicalDate,
    /// The moment at which the run was queued; anew when it is cleared.
    QueuedAt,
    /// The moment at which the run started; anew when it is cleared.
    StartedAt,
    /// This time.
    Fixed(Timestamp),
    /// The moment at which the run was queued, and then as long as its last successful runs took on average.
    Average {
        /// Of how many runs at most.
        runs: u32,
        /// With fewer there is no deadline.
        at_least: u32,
    },
}

/// Some time after a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadlineTime {
    /// From when.
    pub reference: DeadlineReference,
    /// How long after it.
    pub interval: Duration,
}

impl Add<Duration> for DeadlineReference {
    type Output = DeadlineTime;

    fn add(self, interval: Duration) -> DeadlineTime {
        DeadlineTime {
            reference: self,
            interval,
        }
    }
}

impl From<DeadlineReference> for DeadlineTime {
    fn from(reference: DeadlineReference) -> Self {
        reference + Duration::ZERO
    }
}

/// A run that has not succeeded by then is told of: `#[dag(deadlines = […])]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// For people, and unique in the DAG.
    pub name: String,
    /// When it is.
    pub time: DeadlineTime,
    /// What is called.
    pub callback: Callback,
}

/// A deadline of a DAG's runs.
#[must_use]
pub fn deadline(
    name: impl Into<String>,
    time: impl Into<DeadlineTime>,
    callback: impl IntoCallback,
) -> Deadline {
    Deadline {
        name: name.into(),
        time: time.into(),
        callback: callback.into_callback(),
    }
}
