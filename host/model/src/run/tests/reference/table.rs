//! The table of trigger rules as it stands in Airflow's semantics, 3.2, over lists of states.

use super::*;

pub(super) fn ended(state: Option<TaskState>) -> bool {
    use TaskState::{Failed, Removed, Skipped, Success, UpstreamFailed};
    matches!(
        state,
        Some(Success | Failed | Skipped | UpstreamFailed | Removed)
    )
}

/// The column `set` of the table of trigger rules (Airflow's semantics, 3.2).
pub(super) fn set(
    rule: TriggerRule,
    ups: &[Option<TaskState>],
    setups: &[Option<TaskState>],
) -> Option<TaskState> {
    use TaskState::{Failed, Skipped, Success, UpstreamFailed};
    use TriggerRule as R;
    let some = |state| ups.contains(&Some(state));
    let all = |state| ups.iter().all(|&s| s == Some(state));
    let done = ups.iter().all(|&s| ended(s));
    let bad = some(Failed) || some(UpstreamFailed);
    let given = |yes: bool, state| yes.then_some(state);
    if ups.is_empty() {
        return None;
    }
    match rule {
        R::Always | R::AllDone => None,
        R::AllSuccess => given(bad, UpstreamFailed).or(given(some(Skipped), Skipped)),
        R::AllFailed => given(some(Success) || some(Skipped), Skipped),
        R::OneSuccess => {
            given(all(Skipped), Skipped).or(given(done && !some(Success), UpstreamFailed))
        }
        R::OneFailed => given(done && !bad, Skipped),
        R::OneDone => given(done && !some(Success) && !some(Failed), Skipped),
        R::NoneFailed => given(bad, UpstreamFailed),
        R::NoneFailedMinOneSuccess => given(bad, UpstreamFailed)
            .or(given(all(Skipped), Skipped))
            .or(given(done && !some(Success), UpstreamFailed)),
        R::NoneSkipped => given(some(Skipped), Skipped),
        R::AllSkipped => given(some(Success) || bad, Skipped),
        R::AllDoneMinOneSuccess => {
            given(some(Skipped), Skipped).or(given(done && !some(Success), UpstreamFailed))
        }
        R::AllDoneSetupSuccess if !done || setups.is_empty() => None,
        R::AllDoneSetupSuccess => given(setups.iter().all(|&s| s == Some(Skipped)), Skipped)
            .or(given(!setups.contains(&Some(Success)), UpstreamFailed)),
    }
}

/// The column `met`. Instances that are removed do not come to be without a repair.
pub(super) fn met(
    rule: TriggerRule,
    ups: &[Option<TaskState>],
    setups: &[Option<TaskState>],
) -> bool {
    use TaskState::{Failed, Skipped, Success, UpstreamFailed};
    use TriggerRule as R;
    let some = |state| ups.contains(&Some(state));
    let only = |states: &[TaskState]| ups.iter().all(|s| s.is_some_and(|s| states.contains(&s)));
    let done = ups.iter().all(|&s| ended(s));
    if ups.is_empty() {
        return true;
    }
    match rule {
        R::Always => true,
        R::AllSuccess => only(&[Success]),
        R::AllFailed => only(&[Failed, UpstreamFailed]),
        R::AllDone => done,
        R::OneSuccess => some(Success),
        R::OneFailed => some(Failed) || some(UpstreamFailed),
        R::OneDone => some(Success) || some(Failed),
        R::NoneFailed => only(&[Success, Skipped]),
        R::NoneFailedMinOneSuccess => only(&[Success, Skipped]) && some(Success),
        R::NoneSkipped => done && !some(Skipped),
        R::AllSkipped => only(&[Skipped]),
        R::AllDoneMinOneSuccess => done && !some(Skipped) && some(Success),
        R::AllDoneSetupSuccess => done && (setups.is_empty() || setups.contains(&Some(Success))),
    }
}
