//! Figures of what waits and what reacts: triggers, callbacks, deadlines.

use std::collections::{BTreeMap, HashMap};

use airlock_model::{
    callback::CallbackState,
    id::TeamName,
    port::{Page, TeamTally, TriggerFilter, TriggerOwner, TriggerRow},
};
use prometheus_client::{encoding::DescriptorEncoder, metrics::MetricType};

use super::{Snapshot, series};
use crate::{problem::ApiError, state::ApiState};

/// Of the triggers that fail, how many are named.
const FAILING: Page = Page {
    offset: 0,
    limit: 50,
};
/// Characters of a guest's text in a label, at most.
const LABEL: usize = 100;

/// Callbacks that are not done, per team and state.
pub(super) async fn callbacks(
    state: &ApiState,
) -> Result<HashMap<(TeamName, CallbackState), u64>, ApiError> {
    let counts = state.callbacks.callback_counts().await?;
    let counts = counts.into_iter();
    Ok(counts
        .map(|(team, state, count)| ((team, state), count))
        .collect())
}

/// The first triggers whose last poll failed.
pub(super) async fn failing(state: &ApiState) -> Result<Vec<TriggerRow>, ApiError> {
    let filter = TriggerFilter {
        failing: true,
        ..TriggerFilter::default()
    };
    Ok(state.triggers.triggers(&filter, FAILING).await?.items)
}

impl Snapshot {
    /// What waits, and what reacts.
    pub(super) fn waiting(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        use MetricType::{Counter as Count, Gauge};
        let teams = |value: fn(&TeamTally) -> u64| {
            let loads = self.health.teams.iter();
            loads.map(move |load| (vec![("team", load.team.as_str())], value(&load.tally)))
        };
        let outcomes = |value: fn(&TeamTally) -> [(&'static str, u64); 2]| {
            self.health.teams.iter().flat_map(move |load| {
                value(&load.tally).map(|(outcome, count)| {
                    (
                        vec![("team", load.team.as_str()), ("outcome", outcome)],
                        count,
                    )
                })
            })
        };
        series(
            encoder,
            (
                "waits_ended",
                "Waits of task instances that ended: fired, failed or timed out",
                Count,
            ),
            teams(|tally| tally.resumed),
        )?;
        series(
            encoder,
            (
                "trigger_polls",
                "Polls of triggers and of assets' watchers",
                Count,
            ),
            outcomes(|tally| {
                [
                    ("success", tally.polls.saturating_sub(tally.failed_polls)),
                    ("failed", tally.failed_polls),
                ]
            }),
        )?;
        let failing = self.failing.iter().map(|row| {
            let (task, watcher) = match &row.owner {
                TriggerOwner::Task { task_id, .. } => (task_id.as_str(), String::new()),
                TriggerOwner::Watcher { asset, name } => ("", label(&format!("{asset}/{name}"))),
            };
            let labels = [
                ("team", row.team.to_string()),
                ("bundle", row.bundle.to_string()),
                ("kind", label(&row.own.kind)),
                ("task", task.to_owned()),
                ("watcher", watcher),
            ];
            (labels, row.progress.failures)
        });
        let mut most: BTreeMap<_, u32> = BTreeMap::new();
        for (labels, failures) in failing {
            let known = most.entry(labels).or_default();
            *known = failures.max(*known);
        }
        let failing = most.iter().map(|(labels, failures)| {
            let labels = labels.iter().map(|(name, value)| (*name, value.as_str()));
            (labels.collect(), u64::from(*failures))
        });
        series(
            encoder,
            (
                "trigger_failures",
                "Polls that failed since the last that went well, of the first triggers of which one has",
                Gauge,
            ),
            failing,
        )?;
        series(
            encoder,
            (
                "watched_events",
                "Events of assets that their watchers saw",
                Count,
            ),
            teams(|tally| tally.watched),
        )?;
        let callbacks = self.teams.iter().flat_map(|team| {
            use CallbackState::{Failed, Pending, Running};
            [Pending, Running, Failed].map(|state| {
                let count = self.callbacks.get(&(team.clone(), state)).copied();
                let labels = vec![("team", team.as_str()), ("state", state.as_str())];
                (labels, count.unwrap_or(0))
            })
        });
        series(
            encoder,
            (
                "callbacks",
                "Callbacks that are not done; failed: after their last try",
                Gauge,
            ),
            callbacks,
        )?;
        series(
            encoder,
            ("callback_tries", "Tries of callbacks that ended", Count),
            outcomes(|tally| {
                [
                    ("success", tally.callbacks),
                    ("failed", tally.failed_callback_tries),
                ]
            }),
        )?;
        series(
            encoder,
            ("callbacks_failed", "Callbacks whose last try failed", Count),
            teams(|tally| tally.failed_callbacks),
        )?;
        series(
            encoder,
            (
                "deadlines_missed",
                "Deadlines of runs that were missed",
                Count,
            ),
            teams(|tally| tally.missed_deadlines),
        )
    }
}

/// A guest's text as a label: short, and nothing in it that a terminal would obey.
fn label(text: &str) -> String {
    let escaped = text.chars().flat_map(char::escape_debug);
    escaped.take(LABEL).collect()
}
