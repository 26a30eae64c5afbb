//! The timetable phase: one question, one answer.
//!
//! An answer is looked at before it is believed: a run that does not come after the last one would be made
//! again and again.

use std::sync::Arc;

use airlock_model::{
    dag::CustomSchedule,
    port::TimetableFailure,
    time::Timestamp,
    timetable::{Interval, NextRun, Restriction},
};
use wasmtime::Store;

use crate::{
    adapter::Standing,
    bindings::{
        TimetableBundlePre,
        timetable_phase::{self as wit, Guest},
        units,
    },
    call::{self, End, MESSAGE_BYTES, Room, bounded},
    context::Context,
    limits::Reached,
};

/// What a timetable is asked.
pub(crate) trait Question: Send + Sync + 'static {
    /// What the host makes of the answer.
    type Answer: Send + 'static;
    /// The answer as it crosses the border.
    type Told: Send;

    /// Asks.
    fn put(
        &self,
        guest: &Guest,
        store: &mut Store<Context>,
        schedule: &CustomSchedule,
    ) -> impl Future<Output = wasmtime::Result<Result<Self::Told, String>>> + Send;

    /// Looks at the answer.
    fn understand(&self, told: Self::Told) -> Result<Self::Answer, String>;
}

/// When is the next run?
pub(crate) struct Next {
    pub(crate) last: Option<NextRun>,
    pub(crate) bounds: Restriction,
    pub(crate) now: Timestamp,
}

/// What does a run cover that is triggered by hand?
pub(crate) struct Manual {
    pub(crate) run_after: Timestamp,
}

/// Asks, and bounds the call.
pub(crate) async fn run<Q: Question>(
    room: &Room<'_>,
    standing: &Arc<Standing>,
    bundle: &TimetableBundlePre<Context>,
    schedule: &CustomSchedule,
    question: &Q,
) -> Result<Q::Answer, TimetableFailure> {
    let text = |text: &str| bounded(&standing.log.mask(text), MESSAGE_BYTES);
    let told = call::run(room, standing, false, None, async |store| {
        let instance = bundle.instantiate_async(&mut *store).await?;
        question
            .put(instance.airlock_bundle_timetables(), store, schedule)
            .await
    })
    .await;
    match told {
        Ok(Ok(told)) => question
            .understand(told)
            .map_err(TimetableFailure::Nonsense),
        Ok(Err(refused)) => Err(TimetableFailure::Refused(text(&refused))),
        Err(End::Reached(Reached { limit, message })) => {
            Err(TimetableFailure::Limit { limit, message })
        }
        Err(End::Trap(cause, at)) => {
            let at = at.map_or_else(String::new, |at| format!(" ({at})"));
            Err(TimetableFailure::Trap(format!("{cause}{at}")))
        }
        Err(end @ (End::Timeout(_) | End::Directory(_) | End::Withdrawn(_))) => {
            Err(TimetableFailure::Unavailable(end.into_failure().message))
        }
    }
}

const fn interval((start, end): Interval) -> units::Interval {
    units::Interval {
        start: start.micros(),
        end: end.micros(),
    }
}

fn covered(told: units::Interval) -> Result<Interval, String> {
    let [start, end] = [told.start, told.end].map(Timestamp::from_micros);
    match (start, end) {
        (Ok(start), Ok(end)) if start <= end => Ok((start, end)),
        (Ok(start), Ok(end)) => Err(format!(
            "the interval from {start} to {end} ends before it begins"
        )),
        (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
    }
}

impl Question for Next {
    type Answer = Option<NextRun>;
    type Told = Option<wit::RunInfo>;

    async fn put(
        &self,
        guest: &Guest,
        store: &mut Store<Context>,
        schedule: &CustomSchedule,
    ) -> wasmtime::Result<Result<Self::Told, String>> {
        let last = self.last.map(|run| wit::RunInfo {
            data_interval: interval(run.interval),
            run_after: run.run_after.micros(),
        });
        let bounds = wit::Restriction {
            earliest: self.bounds.earliest.map(Timestamp::micros),
            latest: self.bounds.latest.map(Timestamp::micros),
            catchup: self.bounds.catchup,
        };
        let CustomSchedule {
            entry, arguments, ..
        } = schedule;
        let now = self.now.micros();
        guest
            .call_next_run(store, entry, arguments, last, bounds, now)
            .await
    }

    fn understand(&self, told: Self::Told) -> Result<Self::Answer, String> {
        let Some(run) = told else {
            return Ok(None);
        };
        let interval = covered(run.data_interval)?;
        let run_after = Timestamp::from_micros(run.run_after).map_err(|error| error.to_string())?;
        match self.last {
            Some(last) if interval.0 <= last.interval.0 => Err(format!(
                "the run for {} does not come after the last one, for {}",
                interval.0, last.interval.0
            )),
            _ => Ok(Some(NextRun {
                interval,
                run_after,
            })),
        }
    }
}

impl Question for Manual {
    type Answer = Interval;
    type Told = units::Interval;

    async fn put(
        &self,
        guest: &Guest,
        store: &mut Store<Context>,
        schedule: &CustomSchedule,
    ) -> wasmtime::Result<Result<Self::Told, String>> {
        let CustomSchedule {
            entry, arguments, ..
        } = schedule;
        let run_after = self.run_after.micros();
        guest
            .call_manual_interval(store, entry, arguments, run_after)
            .await
    }

    fn understand(&self, told: Self::Told) -> Result<Self::Answer, String> {
        covered(told)
    }
}
