//! Tasks that decide what comes after them: branches and short circuits.
//!
//! ```
//! use airlock_sdk::prelude::*;
//!
//! #[dag]
//! fn parcels() {
//!     let weight = weigh();
//!     let choice = choose(&weight);
//!     choice.before((van(&weight), bicycle(&weight)));
//! }
//!
//! #[task]
//! fn weigh() -> u32 {
//!     7
//! }
//!
//! #[task(branch)]
//! fn choose(weight: u32) -> Branch {
//!     match weight {
//!         0 => Branch::nothing(),
//!         1..10 => Branch::follow([bicycle::ID]),
//!         _ => Branch::follow([van::ID]),
//!     }
//! }
//!
//! #[task]
//! fn van(weight: u32) {}
//!
//! #[task]
//! fn bicycle(weight: u32) {}
//!
//! assert_eq!(choose::run(3), Branch::follow(["bicycle"]));
//! ```

use serde::{Deserialize, Serialize};

use crate::outcome::Downstream;

/// Which of the tasks and groups directly after a branch are followed. The others are skipped, but for those
/// that come after a followed one, too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Branch(Vec<String>);

impl Branch {
    /// These: ids of tasks or groups, as they stand in the DAG. A task's own is `check::ID`; in a group it
    /// begins with the group's.
    pub fn follow<I: Into<String>>(ids: impl IntoIterator<Item = I>) -> Self {
        Self(ids.into_iter().map(Into::into).collect())
    }

    /// None of them: all are skipped.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The ids that are followed.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.0
    }
}

/// What a function that bears `#[task(branch)]` may return: a [`Branch`], an id, a list of ids, or an
/// `Option` of one, where `None` follows nothing.
#[diagnostic::on_unimplemented(
    message = "a branch cannot return `{Self}`",
    note = "return a `Branch`, the id of a task or group, a list of ids, or an `Option` of an id"
)]
pub trait BranchAnswer {
    #[doc(hidden)]
    fn followed(&self) -> Vec<String>;
}

impl BranchAnswer for Branch {
    fn followed(&self) -> Vec<String> {
        self.0.clone()
    }
}

impl BranchAnswer for String {
    fn followed(&self) -> Vec<String> {
        vec![self.clone()]
    }
}

impl BranchAnswer for &str {
    fn followed(&self) -> Vec<String> {
        vec![(*self).to_owned()]
    }
}

impl<A: BranchAnswer> BranchAnswer for Option<A> {
    fn followed(&self) -> Vec<String> {
        self.iter().flat_map(A::followed).collect()
    }
}

impl<A: BranchAnswer> BranchAnswer for Vec<A> {
    fn followed(&self) -> Vec<String> {
        self.iter().flat_map(A::followed).collect()
    }
}

impl<A: BranchAnswer, const N: usize> BranchAnswer for [A; N] {
    fn followed(&self) -> Vec<String> {
        self.iter().flat_map(A::followed).collect()
    }
}

/// What a function that bears `#[task(short_circuit)]` may return: whether to go on, or an `Option`, whose
/// value is passed on.
#[diagnostic::on_unimplemented(
    message = "a short circuit cannot return `{Self}`",
    note = "return a `bool`, or an `Option` whose `None` means that nothing comes after"
)]
pub trait CircuitAnswer {
    #[doc(hidden)]
    fn goes_on(&self) -> bool;
}

impl CircuitAnswer for bool {
    fn goes_on(&self) -> bool {
        *self
    }
}

impl<T> CircuitAnswer for Option<T> {
    fn goes_on(&self) -> bool {
        self.is_some()
    }
}

pub(crate) fn circuit(answer: &impl CircuitAnswer, all: bool) -> Downstream {
    match answer.goes_on() {
        true => Downstream::Free,
        false => Downstream::Skip { all },
    }
}
