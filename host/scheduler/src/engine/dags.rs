//! DAGs come, change and go; their timetables make runs; people trigger some.

use std::{collections::VecDeque, sync::Arc};

use airlock_model::{
    dag::Dag,
    id::{BundleName, DagId, RunId, RunKey},
    port::{ControlError, DagProgress, RunRow, TriggerRun},
    state::RunType,
    time::Timestamp,
    timetable::{Answer, NextRun, Restriction},
};
use serde_json::{Map, Value};

use super::{
    CoverQuestion, DagState, Engine, Event, LiveDag, Timer, Waiter, event::Reply, runs::Wanted,
};

impl Engine {
    /// Takes in what has come to pass.
    pub fn handle(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Started { key, token, at } => self.started(key, token, at),
            Event::Ended(ending) => self.ended(*ending, now),
            Event::Imported { bundle, dags } => self.imported(&bundle, dags, now),
            Event::Trigger(request, reply) => self.trigger(*request, reply, now),
            Event::Paused(dag, paused) => {
                self.pause(&dag, paused, now);
                self.rest_watchers(now);
            }
            Event::Pools(pools) => self.set_pools(&pools),
            Event::Repair(order, reply) => self.repair(order, reply, now),
            Event::MarkRun(run, success, reply) => self.mark_run(*run, success, reply, now),
            Event::Backfill(request, reply) => self.begin_backfill(*request, reply, now),
            Event::OrderBackfill(id, order, reply) => self.order_backfill(id, order, reply, now),
            Event::Why(key, reply) => drop(reply.send(Ok(self.why(key, now)))),
            Event::AssetChanged(event, reply) => self.asset_told(event, reply, now),
            Event::Unqueue(dag, asset, reply) => self.unqueue(&dag, asset, reply),
            Event::Release(dag, reply) => self.release_dag(&dag, reply, now),
            Event::Forget(dag, reply) => self.forget_dag(&dag, reply, now),
            Event::TimetableAnswered(question, answer) => {
                self.timetable_answered(&question, answer, now);
            }
            Event::Covered(question, answer) => self.covered(*question, answer, now),
            Event::PastKnown(known) => self.past_known(known.0, known.1, now),
            Event::TriggerEnded(end) => self.trigger_ended(*end, now),
            Event::Listens(id, behalf, events, since) => {
                self.listen(Waiter::Trigger(id), *behalf, events, since);
            }
            Event::Sighted(sighting) => self.sighted(*sighting, now),
            Event::StateKnown(known) => self.state_known(known.0, known.1),
            Event::FilesFound(waiter, files, known) => self.files_found(waiter, &files, known),
            Event::FilesRefused(waiter, reason) => self.file_refused(waiter, &reason, now),
            Event::AverageKnown(question, took) => self.average_known(&question, &took, now),
            Event::RunDeleted(run) => drop(self.forget_deadlines(run)),
        }
        self.tell_heard(now);
    }

    /// These are a bundle's DAGs now. Runs in flight keep the version that they are pinned to; those of
    /// DAGs that are gone finish.
    fn imported(&mut self, bundle: &BundleName, dags: Vec<LiveDag>, now: Timestamp) {
        let gone = |id: &DagId, state: &DagState| {
            state.live.bundle == *bundle && !dags.iter().any(|live| live.dag.id() == id)
        };
        let lost: Vec<DagId> = self
            .dags
            .extract_if(|id, state| gone(id, state))
            .map(|(id, _)| id)
            .collect();
        for id in lost {
            self.unwait(&id);
        }
        for live in dags {
            let id = live.dag.id().clone();
            let paused = live.paused;
            match self.dags.get_mut(&id) {
                Some(state) => state.live = live,
                None => {
                    let progress = self.progress.get(&id);
                    let last = progress.map(|p| p.last_interval);
                    let last_run_after = progress.map(|p| p.last_run_after);
                    let state = DagState {
                        live,
                        last,
                        last_run_after,
                        asked: None,
                        running: 0,
                        waiting: VecDeque::new(),
                        timer: None,
                    };
                    self.dags.insert(id.clone(), state);
                    self.count_runs(&id);
                }
            }
            self.assets_declared(&id);
            self.pause(&id, paused, now);
        }
        self.reconcile_watchers(Some(bundle), now);
    }

    /// Holds or lets go all runs of a DAG, and plans when it may.
    fn pause(&mut self, dag: &DagId, paused: bool, now: Timestamp) {
        let Some(state) = self.dags.get_mut(dag) else {
            return;
        };
        state.live.paused = paused;
        let runs: Vec<RunKey> = self
            .runs
            .iter()
            .filter(|(_, active)| active.row.dag_id == *dag)
            .map(|(&key, _)| key)
            .collect();
        for run in runs {
            self.admission.hold(run, paused);
        }
        self.start_waiting(dag, now);
        self.plan(dag, now);
    }

    /// Makes all runs of a DAG that are due and allowed, and sets a timer for the next.
    pub(super) fn plan(&mut self, dag: &DagId, now: Timestamp) {
        self.answer_assets(dag, now);
        while let Some(next) = self.next_run(dag, now) {
            if next.run_after > now {
                if let Some(state) = self.dags.get_mut(dag)
                    && state.timer.is_none_or(|set| set > next.run_after)
                {
                    state.timer = Some(next.run_after);
                    self.timers.push(std::cmp::Reverse((
                        next.run_after,
                        Timer::Plan(dag.clone()),
                    )));
                }
                return;
            }
            let Some(state) = self.dags.get_mut(dag) else {
                return;
            };
            let active = state.running as usize + state.waiting.len();
            if active >= state.live.dag.max_active_runs() as usize {
                // The end of a run plans again.
                return;
            }
            state.last = Some(next.interval);
            state.last_run_after = Some(next.run_after);
            let progress = DagProgress {
                dag_id: dag.clone(),
                last_interval: next.interval,
                last_run_after: next.run_after,
            };
            self.progress.insert(dag.clone(), progress.clone());
            self.pending.progress(progress);
            let Ok(run_id) = RunId::new(format!("{}__{}", RunType::Scheduled, next.interval.0))
            else {
                return;
            };
            let Ok(conf) = self.conf(dag, Map::new()) else {
                return;
            };
            let run = Wanted {
                run_id,
                run_type: RunType::Scheduled,
                interval: Some(next.interval),
                run_after: next.run_after,
                conf,
                backfill: None,
                note: None,
            };
            self.create_run(dag, run, now);
        }
    }

    fn conf(&self, dag: &DagId, given: Map<String, Value>) -> Result<Arc<str>, ControlError> {
        match self.dags.get(dag) {
            Some(state) => conf(&state.live.dag, given),
            None => Err(ControlError::NoSuchDag(dag.clone())),
        }
    }

    fn next_run(&mut self, dag: &DagId, now: Timestamp) -> Option<NextRun> {
        let state = self.dags.get(dag)?;
        if state.live.paused || self.draining {
            return None;
        }
        let spec = state.live.dag.spec();
        let timetable = state.live.dag.timetable();
        match timetable.next_run(state.last, Restriction::from(spec), now) {
            Answer::Known(next) => next,
            Answer::Ask(schedule) => {
                let schedule = schedule.clone();
                self.next_custom(dag, &schedule, now)
            }
        }
    }

    /// Somebody wants a run; they hear of it when it is durable.
    pub(super) fn trigger(&mut self, request: TriggerRun, reply: Reply<RunRow>, now: Timestamp) {
        if let Some((code, at)) = self.cover(&request).filter(|_| !self.draining) {
            self.cover_questions.push(CoverQuestion {
                code,
                at,
                request,
                reply,
            });
            return;
        }
        match self.triggered(request, now) {
            Ok(run) => self.pending.replies.push((run, reply)),
            // Nobody may be waiting any more, which is their right.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn triggered(&mut self, request: TriggerRun, now: Timestamp) -> Result<RunKey, ControlError> {
        let run_type = request.run_type();
        let TriggerRun {
            dag_id,
            run_id,
            logical_date,
            data_interval,
            run_after,
            conf: given,
            note,
            materializes: _,
        } = request;
        if self.draining {
            return Err(ControlError::ShuttingDown);
        }
        if !self.dags.contains_key(&dag_id) {
            return Err(ControlError::NoSuchDag(dag_id));
        }
        let conf = self.conf(&dag_id, given)?;
        let run_after = run_after.unwrap_or(now);
        let stands_for = logical_date.unwrap_or(run_after);
        let run_id = match run_id {
            Some(run_id) => run_id,
            None => RunId::new(format!("{run_type}__{stands_for}"))
                .map_err(|e| ControlError::Params(e.to_string()))?,
        };
        let state = self.dags.get(&dag_id);
        let told = logical_date.map(|at| {
            let timetable = state.map(|state| state.live.dag.timetable());
            let interval = timetable.and_then(|t| t.manual_interval(at).known());
            interval.unwrap_or((at, at))
        });
        let run = Wanted {
            run_id,
            run_type,
            interval: data_interval.or(told),
            run_after,
            conf,
            backfill: None,
            note,
        };
        Ok(self.create_manual(&dag_id, run, logical_date, now))
    }
}

/// The params of a run: the DAG's defaults with what was given, which has to satisfy their schemas.
pub(super) fn conf(dag: &Dag, given: Map<String, Value>) -> Result<Arc<str>, ControlError> {
    dag.params()
        .conf(given)
        .map_err(|refused| ControlError::Params(refused.to_string()))
}
