//! Timetables that are a bundle's own code. The engine cannot answer for them: it asks, goes on, and plans
//! when the answer is there.

use std::{cmp::Reverse, time::Duration};

use airlock_model::{
    dag::CustomSchedule,
    id::DagId,
    port::{ControlError, RunRow, TimetableCode, TimetableFailure, TriggerRun},
    time::Timestamp,
    timetable::{Answer, Interval, NextRun, Restriction},
};

use super::{DagState, Engine, Timer, event::Reply};

/// Between two questions to a timetable that could not be asked.
const AGAIN: Duration = Duration::from_secs(30);

/// What a bundle's timetable is to be asked: the run after the last one.
#[derive(Debug, Clone)]
pub struct TimetableQuestion {
    /// The DAG.
    pub dag_id: DagId,
    /// The code.
    pub code: TimetableCode,
    /// The last run that it made.
    pub last: Option<NextRun>,
    /// The bounds of the DAG.
    pub bounds: Restriction,
    /// The time of the question.
    pub now: Timestamp,
}

/// What a bundle's timetable is to be asked about a run that somebody wants: what does it cover?
#[derive(Debug)]
pub struct CoverQuestion {
    /// The code.
    pub code: TimetableCode,
    /// The time that the run is to stand for.
    pub at: Timestamp,
    /// The run.
    pub request: TriggerRun,
    /// Who wants it.
    pub reply: Reply<RunRow>,
}

/// How far a DAG's own timetable has been asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    code: TimetableCode,
    last: Option<NextRun>,
    /// None: it has not answered yet.
    next: Option<Option<NextRun>>,
}

impl DagState {
    fn code(&self, schedule: &CustomSchedule) -> TimetableCode {
        TimetableCode {
            team: self.live.team.clone(),
            bundle: self.live.bundle.clone(),
            hash: self.live.hash,
            schedule: schedule.clone(),
        }
    }

    /// What a bundle's timetable has answered; or the question that it is to be asked, at most once.
    fn custom(
        &mut self,
        schedule: &CustomSchedule,
        now: Timestamp,
    ) -> Result<Option<NextRun>, Option<Box<TimetableQuestion>>> {
        let code = self.code(schedule);
        let last = self.last.map(|interval| NextRun {
            interval,
            run_after: self.last_run_after.unwrap_or(interval.1),
        });
        let known = self
            .asked
            .as_ref()
            .filter(|asked| asked.code == code && asked.last == last);
        if let Some(asked) = known {
            return asked.next.ok_or(None);
        }
        self.asked = Some(Asked {
            code: code.clone(),
            last,
            next: None,
        });
        Err(Some(Box::new(TimetableQuestion {
            dag_id: self.live.dag.id().clone(),
            code,
            last,
            bounds: Restriction::from(self.live.dag.spec()),
            now,
        })))
    }
}

impl Engine {
    /// The next run of a DAG whose timetable is its bundle's; none as long as that has not answered.
    pub(super) fn next_custom(
        &mut self,
        dag: &DagId,
        schedule: &CustomSchedule,
        now: Timestamp,
    ) -> Option<NextRun> {
        match self.dags.get_mut(dag)?.custom(schedule, now) {
            Ok(next) => next,
            Err(question) => {
                self.timetable_questions
                    .extend(question.map(|question| *question));
                None
            }
        }
    }

    /// What timetables of bundles are to be asked.
    pub fn take_timetable_questions(&mut self) -> Vec<TimetableQuestion> {
        std::mem::take(&mut self.timetable_questions)
    }

    /// Whom to ask what a run covers that somebody wants, where only a bundle can tell.
    pub(super) fn cover(&self, request: &TriggerRun) -> Option<(TimetableCode, Timestamp)> {
        let at = request.logical_date?;
        let state = self.dags.get(&request.dag_id)?;
        match state.live.dag.timetable().manual_interval(at) {
            Answer::Ask(schedule) if request.data_interval.is_none() => {
                Some((state.code(schedule), at))
            }
            _ => None,
        }
    }

    /// What timetables of bundles are to be asked about runs that somebody wants.
    pub fn take_cover_questions(&mut self) -> Vec<CoverQuestion> {
        std::mem::take(&mut self.cover_questions)
    }

    /// A timetable has said what a run covers that somebody wants, or could not: then there is no run. If the
    /// DAG has another version by now, that one is asked.
    pub(super) fn covered(
        &mut self,
        question: CoverQuestion,
        answer: Result<Interval, TimetableFailure>,
        now: Timestamp,
    ) {
        let CoverQuestion {
            code,
            mut request,
            reply,
            ..
        } = question;
        let current = self.cover(&request).is_none_or(|(asked, _)| asked == code);
        match answer {
            _ if !current => {}
            Ok(interval) => request.data_interval = Some(interval),
            Err(failure) => {
                let dag_id = request.dag_id;
                // Nobody may be waiting any more, which is their right.
                drop(reply.send(Err(ControlError::Timetable { dag_id, failure })));
                return;
            }
        }
        self.trigger(request, reply, now);
    }

    /// A timetable has answered, or could not. An answer to a question that is no longer asked is dropped.
    pub(super) fn timetable_answered(
        &mut self,
        question: &TimetableQuestion,
        answer: Result<Option<NextRun>, TimetableFailure>,
        now: Timestamp,
    ) {
        let Some(state) = self.dags.get_mut(&question.dag_id) else {
            return;
        };
        let same = |asked: &&mut Asked| asked.code == question.code && asked.last == question.last;
        let Some(asked) = state.asked.as_mut().filter(same) else {
            return;
        };
        match answer {
            Ok(next) => asked.next = Some(next),
            Err(failure) if failure.is_transient() => {
                state.asked = None;
                let again = Timer::Plan(question.dag_id.clone());
                self.timers.push(Reverse((now.after(AGAIN), again)));
                return;
            }
            // It would fail again: the DAG makes no more runs until its bundle is another.
            Err(_) => asked.next = Some(None),
        }
        self.plan(&question.dag_id, now);
    }
}
