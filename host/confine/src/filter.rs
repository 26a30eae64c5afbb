//! Filters of system calls, made from lists.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::Standing;

/// Which calls a filter is about. A call without rules is meant whatever its arguments; with rules, when one of them
/// fits.
pub(crate) type Calls = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that are meant whatever their arguments.
pub(crate) fn always(numbers: &[libc::c_long]) -> Calls {
    numbers.iter().map(|number| (*number, Vec::new())).collect()
}

/// A comparison of an argument, of which the lower 32 bits count, as in the kernel.
pub(crate) fn argument(
    index: u8,
    comparison: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, comparison, value)
}

/// A rule that fits when all its comparisons do.
pub(crate) fn all(
    comparisons: impl IntoIterator<Item = Result<SeccompCondition, BackendError>>,
) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(comparisons.into_iter().collect::<Result<_, _>>()?)
}

/// The program of a filter: what becomes of the calls that are meant, and of all others. A process of another
/// architecture than this one's is killed.
pub(crate) fn program(
    calls: Calls,
    then: SeccompAction,
    otherwise: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let architecture: TargetArch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(calls, otherwise, then, architecture)?.try_into()
}

/// Puts filters on, the first of them first. For each call the strictest answer of all filters counts.
pub(crate) fn install(programs: &[BpfProgram]) -> Result<(), Error> {
    programs
        .iter()
        .try_for_each(|program| seccompiler::apply_filter(program))
}

/// What became of it, in words.
pub(crate) fn standing(installed: Result<(), Error>) -> Standing {
    match installed {
        Ok(()) => Standing::Whole,
        Err(Error::Backend(BackendError::InvalidTargetArch(name))) => {
            Standing::Missing(format!("there is none for the architecture {name}"))
        }
        Err(Error::Seccomp(error) | Error::Prctl(error)) => {
            Standing::Missing(format!("the system refuses: {error}"))
        }
        Err(error) => Standing::Missing(error.to_string()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
