//! How a try ended, between the author's return value and the host.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    Error, Result,
    branch::{self, BranchAnswer, CircuitAnswer},
    deferral::Deferral,
    fail,
};

/// How a try ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it is for.
    Success {
        /// The JSON text of what the task returned, unless that is `null`: as in Airflow, a task that
        /// returned nothing leaves no XCom.
        value: Option<String>,
        /// What it decided about the tasks after it.
        downstream: Downstream,
    },
    /// It does not want to run, for this reason.
    Skipped(String),
    /// A sensor gave its slot back, and looks again not before this time.
    Rescheduled(Timestamp),
    /// It gave its slot back, and goes on when what it waits for has happened.
    Deferred(Box<Deferral>),
}

/// What a task decided about the tasks directly after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Downstream {
    /// Nothing: their trigger rules speak.
    Free,
    /// A branch: these tasks and groups are followed, and the others skipped.
    Follow(Vec<String>),
    /// A short circuit: they are skipped.
    Skip {
        /// And all that comes after them, whatever its trigger rules.
        all: bool,
    },
}

/// How a try failed, as the host hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub message: String,
    /// Its causes, outermost first.
    pub causes: Vec<String>,
    /// Whether another try may help.
    pub retry: bool,
    /// None where no line of the author's is to blame.
    pub location: Option<crate::definition::Location>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            message: error.to_string(),
            causes: error.causes(),
            retry: error.is_retryable(),
            location: Some(error.location()),
        }
    }
}

#[track_caller]
fn success<T: Serialize>(value: &T, downstream: Downstream) -> Result<Outcome> {
    match serde_json::to_string(value) {
        Ok(json) => Ok(Outcome::Success {
            value: Some(json).filter(|json| json != "null"),
            downstream,
        }),
        Err(error) => Err(fail(format_args!(
            "what the task returned has no JSON form: {error}"
        ))),
    }
}

/// What a task gave that cannot fail.
#[doc(hidden)]
#[track_caller]
pub fn finish_value<T: Serialize>(value: &T) -> Result<Outcome> {
    success(value, Downstream::Free)
}

/// What a branch gave.
#[doc(hidden)]
#[track_caller]
pub fn finish_branch<T: Serialize + BranchAnswer>(answer: &T) -> Result<Outcome> {
    success(answer, Downstream::Follow(answer.followed()))
}

/// What a short circuit gave; `all`: it does not leave it to the trigger rules of later tasks.
#[doc(hidden)]
#[track_caller]
pub fn finish_circuit<T: Serialize + CircuitAnswer>(answer: &T, all: bool) -> Result<Outcome> {
    success(answer, branch::circuit(answer, all))
}

/// Why a task did not give anything.
#[doc(hidden)]
#[track_caller]
pub fn finish_error(error: impl Into<Error>) -> Result<Outcome> {
    match error.into() {
        error if error.is_skip() => Ok(Outcome::Skipped(error.to_string())),
        error => Err(error),
    }
}
