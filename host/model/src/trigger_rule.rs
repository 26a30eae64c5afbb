//! The thirteen trigger rules: when a task may start, judged by the states of its upstream tasks.
//!
//! The table of Airflow's semantics (3.3.2, `airflow/ti_deps/deps/trigger_rule_dep.py`) as code. A rule
//! answers two questions that Airflow asks independently: which state the task is *set* to without running,
//! and whether the rule is *met*; setting wins. Both depend on counts only, so a task with ten thousand
//! upstream tasks is judged in constant time.

use crate::state::{TaskState, UnknownName, named};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

named! {
    /// When a task may start.
    TriggerRule, "trigger rule" {
        /// All upstream tasks succeeded.
        AllSuccess = "all_success",
        /// All failed or could not run.
        AllFailed = "all_failed",
        /// All ended.
        AllDone = "all_done",
        /// All were skipped.
        AllSkipped = "all_skipped",
        /// At least one succeeded; does not wait for the rest.
        OneSuccess = "one_success",
        /// At least one failed; does not wait for the rest.
        OneFailed = "one_failed",
        /// At least one succeeded or failed; does not wait for the rest.
        OneDone = "one_done",
        /// All ended, and none failed.
        NoneFailed = "none_failed",
        /// All ended, none failed, and at least one succeeded.
        NoneFailedMinOneSuccess = "none_failed_min_one_success",
        /// All ended, and none was skipped.
        NoneSkipped = "none_skipped",
        /// All ended, none was skipped, and at least one succeeded.
        AllDoneMinOneSuccess = "all_done_min_one_success",
        /// For teardowns: all ended, and a setup succeeded.
        AllDoneSetupSuccess = "all_done_setup_success",
        /// At once.
        Always = "always",
    }
}

/// How many upstream task instances are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Upstream {
    /// All of them.
    pub total: u32,
    /// Ended well.
    pub success: u32,
    /// Ended badly.
    pub failed: u32,
    /// Could not run.
    pub upstream_failed: u32,
    /// Were not to run.
    pub skipped: u32,
    /// Are gone.
    pub removed: u32,
    /// Of `total`, those that are setups.
    pub setups: u32,
    /// Of the setups, those that succeeded.
    pub setups_success: u32,
    /// Of the setups, those that were skipped.
    pub setups_skipped: u32,
}

impl Upstream {
    /// Counts states; `None` and every state that is not terminal count as unfinished.
    pub fn count(states: impl IntoIterator<Item = Option<TaskState>>) -> Self {
        let mut counts = Self::default();
        for state in states {
            counts.total += 1;
            counts.ended(state);
        }
        counts
    }

    /// One more has ended in `state`; a state that is not terminal changes nothing.
    pub const fn ended(&mut self, state: Option<TaskState>) {
        match state {
            Some(TaskState::Success) => self.success += 1,
            Some(TaskState::Failed) => self.failed += 1,
            Some(TaskState::UpstreamFailed) => self.upstream_failed += 1,
            Some(TaskState::Skipped) => self.skipped += 1,
            Some(TaskState::Removed) => self.removed += 1,
            _ => {}
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            total: self.total + other.total,
            success: self.success + other.success,
            failed: self.failed + other.failed,
            upstream_failed: self.upstream_failed + other.upstream_failed,
            skipped: self.skipped + other.skipped,
            removed: self.removed + other.removed,
            setups: self.setups + other.setups,
            setups_success: self.setups_success + other.setups_success,
            setups_skipped: self.setups_skipped + other.setups_skipped,
        }
    }

    const fn done(&self) -> u32 {
        self.success + self.failed + self.upstream_failed + self.skipped + self.removed
    }
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet.
    Wait,
    /// It may start.
    Run,
    /// It ends in this state without running.
    Set(TaskState),
}

impl TriggerRule {
    /// The state that the scheduler sets without running the task.
    #[must_use]
    pub const fn set(self, up: &Upstream) -> Option<TaskState> {
        use TaskState::{Skipped, UpstreamFailed};
        let all_done = up.done() >= up.total;
        let broken = up.failed > 0 || up.upstream_failed > 0;
        match self {
            _ if up.total == 0 => None,
            Self::Always | Self::AllDone => None,
            Self::AllSuccess if broken => Some(UpstreamFailed),
            Self::AllSuccess | Self::NoneSkipped if up.skipped > 0 => Some(Skipped),
            Self::AllFailed if up.success > 0 || up.skipped > 0 => Some(Skipped),
            Self::OneSuccess if all_done && up.skipped == up.done() => Some(Skipped),
            Self::OneSuccess if all_done && up.success == 0 => Some(UpstreamFailed),
            Self::OneFailed if all_done && !broken => Some(Skipped),
            Self::OneDone if all_done && up.success == 0 && up.failed == 0 => Some(Skipped),
            Self::NoneFailed | Self::NoneFailedMinOneSuccess if broken => Some(UpstreamFailed),
            Self::NoneFailedMinOneSuccess if up.skipped == up.total => Some(Skipped),
            Self::NoneFailedMinOneSuccess if all_done && up.success == 0 => Some(UpstreamFailed),
            Self::AllSkipped if up.success > 0 || broken => Some(Skipped),
            Self::AllDoneMinOneSuccess if up.skipped > 0 => Some(Skipped),
            Self::AllDoneMinOneSuccess if all_done && up.success == 0 => Some(UpstreamFailed),
            Self::AllDoneSetupSuccess
                if all_done && up.setups > 0 && up.setups_skipped == up.setups =>
            {
                Some(Skipped)
            }
            Self::AllDoneSetupSuccess if all_done && up.setups > 0 && up.setups_success == 0 => {
                Some(UpstreamFailed)
            }
            _ => None,
        }
    }

    /// Whether the rule is met, whatever [`Self::set`] says.
    #[must_use]
    pub const fn met(self, up: &Upstream) -> bool {
        let all_done = up.done() >= up.total;
        match self {
            _ if up.total == 0 => true,
            Self::Always => true,
            Self::AllSuccess => up.success + up.removed >= up.total,
            Self::AllFailed => up.failed + up.upstream_failed + up.removed >= up.total,
            Self::AllDone => all_done,
            Self::AllSkipped => up.skipped >= up.total,
            Self::OneSuccess => up.success > 0,
            Self::OneFailed => up.failed + up.upstream_failed > 0,
            Self::OneDone => up.success + up.failed > 0,
            Self::NoneFailed => up.success + up.skipped + up.removed >= up.total,
            Self::NoneFailedMinOneSuccess => {
                up.success + up.skipped + up.removed >= up.total && up.success > 0
            }
            Self::NoneSkipped => all_done && up.skipped == 0,
            Self::AllDoneMinOneSuccess => {
                up.skipped == 0
                    && up.success + up.failed + up.upstream_failed + up.removed >= up.total
                    && up.success > 0
            }
            Self::AllDoneSetupSuccess => all_done && (up.setups == 0 || up.setups_success > 0),
        }
    }

    /// Both answers in the order in which the scheduler takes them.
    #[must_use]
    pub const fn verdict(self, up: &Upstream) -> Verdict {
        match self.set(up) {
            Some(state) => Verdict::Set(state),
            None if self.met(up) => Verdict::Run,
            None => Verdict::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        rule: TriggerRule,
        upstream: Vec<Option<TaskState>>,
        #[serde(default)]
        setup_indexes: Vec<usize>,
        new_state: Option<TaskState>,
        dep_met: bool,
    }

    fn check(cases: &str) {
        for case in serde_json::from_str::<Vec<Case>>(cases).unwrap() {
            let mut up = Upstream::count(case.upstream.iter().copied());
            let setups = || case.setup_indexes.iter().map(|&i| case.upstream[i]);
            let count =
                |state| u32::try_from(setups().filter(|&s| s == Some(state)).count()).unwrap();
            up.setups = u32::try_from(setups().count()).unwrap();
            up.setups_success = count(TaskState::Success);
            up.setups_skipped = count(TaskState::Skipped);
            let told = (case.rule.set(&up), case.rule.met(&up));
            assert_eq!(
                told,
                (case.new_state, case.dep_met),
                "{} over {:?}",
                case.rule,
                case.upstream
            );
        }
    }

    #[test]
    fn every_rule_answers_as_airflow_does() {
        check(include_str!("../tests/vectors/trigger_rules.json"));
    }

    #[test]
    fn teardowns_answer_as_airflow_does() {
        check(include_str!("../tests/vectors/trigger_rules_setup.json"));
    }
}
