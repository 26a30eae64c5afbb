//! Runs and their tries: created, claimed, started, ended, woken, timed out, found dead.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use airlock_model::{
    admission::RunRank,
    dag::TaskSpec,
    id::{BackfillId, DagId, InstanceIndex, RunId, RunKey, Token},
    port::RunRow,
    run::{Moves, Run},
    state::{RunState, RunType, TaskState},
    time::Timestamp,
};

use super::{Active, Claim, Engine, Timer, deadlines::Moment};

/// A run to create.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) run_id: RunId,
    pub(super) run_type: RunType,
    pub(super) interval: Option<(Timestamp, Timestamp)>,
    pub(super) run_after: Timestamp,
    pub(super) conf: Arc<str>,
    pub(super) backfill: Option<BackfillId>,
    pub(super) note: Option<Arc<str>>,
}

impl Engine {
    pub(super) fn create_run(&mut self, dag_id: &DagId, wanted: Wanted, now: Timestamp) -> RunKey {
        let logical_date = wanted.interval.map(|(start, _)| start);
        self.create_manual(dag_id, wanted, logical_date, now)
    }

    /// A run that may stand for another time than the start of its interval: one that somebody asked for.
    pub(super) fn create_manual(
        &mut self,
        dag_id: &DagId,
        wanted: Wanted,
        logical_date: Option<Timestamp>,
        now: Timestamp,
    ) -> RunKey {
        let key = self.keys.next(now);
        let Some(state) = self.dags.get_mut(dag_id) else {
            return key;
        };
        let live = &state.live;
        let row = RunRow {
            key,
            dag_id: dag_id.clone(),
            run_id: wanted.run_id,
            team: live.team.clone(),
            run_type: wanted.run_type,
            state: RunState::Queued,
            hash: live.hash,
            definition: live.dag.definition(),
            logical_date,
            data_interval: wanted.interval,
            run_after: wanted.run_after,
            queued_at: now,
            started_at: None,
            ended_at: None,
            conf: wanted.conf,
            ends_as: None,
            clear_number: 0,
            backfill: wanted.backfill,
            note: wanted.note,
        };
        let run = Run::new(Arc::clone(&live.dag), key, logical_date);
        let (bundle, paused, backfill) = (live.bundle.clone(), live.paused, row.backfill);
        let run_after = row.run_after;
        self.pending.new_run(key);
        self.hold_run(row, run, bundle, HashMap::new(), paused);
        self.count_deadlines(key, Moment::Created, now);
        self.tell_of_run(key);
        self.wait_for_turn(key);
        if run_after > now {
            self.timers
                .push(Reverse((run_after, Timer::Plan(dag_id.clone()))));
        }
        if backfill.is_none() {
            self.start_waiting(dag_id, now);
        }
        key
    }

    /// Takes a run into memory and into the order of tasks.
    pub(super) fn hold_run(
        &mut self,
        row: RunRow,
        run: Run,
        bundle: airlock_model::id::BundleName,
        stored: HashMap<InstanceIndex, Token>,
        paused: bool,
    ) {
        let Some(team) = self.teams.get(&row.team).map(|team| team.index) else {
            return;
        };
        let gated = |task: &TaskSpec| {
            task.max_active_tis_per_dag
                .or(task.max_active_tis_per_dagrun)
                .is_some()
        };
        let has_gates = run.dag().spec().tasks.iter().any(gated);
        let active = Active {
            row,
            run,
            bundle,
            team,
            outputs: HashMap::new(),
            elements: HashMap::new(),
            in_flight: HashMap::new(),
            inside: HashSet::new(),
            has_turn: false,
            turn_of: None,
            has_gates,
            gone: HashMap::new(),
            stored,
        };
        self.admission
            .add_run(active.row.key, active.run_rank(), paused);
        self.runs.insert(active.row.key, active);
    }

    pub(super) fn start_run(&mut self, run: RunKey, now: Timestamp) {
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        active.row.started_at = Some(now);
        let mut moves = Moves::default();
        active.run.start(now, &mut moves);
        if let Some(timeout) = active.run.dag().spec().dagrun_timeout {
            self.timers
                .push(Reverse((now.after(timeout), Timer::RunTimeout(run))));
        }
        self.pending.run(run);
        self.count_deadlines(run, Moment::Started, now);
        if moves.ended.is_none() {
            self.tell_of_run(run);
        }
        self.after_moves(run, &moves, now);
    }

    /// What follows from moves of a run's state machine: ready tasks stand in line, waits get their timer,
    /// superseded tries are ended, an end makes room for the next run.
    pub(super) fn after_moves(&mut self, run: RunKey, moves: &Moves, now: Timestamp) {
        self.pending.moved(run, moves);
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        for &(at, token) in &moves.superseded {
            if let Some(in_flight) = active.in_flight.remove(&at) {
                self.admission.release(active.team, in_flight.admitted);
            }
            self.kills.push(Claim { run, at, token });
        }
        if moves.ended.is_some() {
            active.row.ended_at = Some(now);
            active.row.state = active.run.state();
        }
        let dag_id = active.row.dag_id.clone();
        self.leave_waits(run, &moves.changed);
        self.leave_gates(run, &moves.changed, now);
        for &at in &moves.ready {
            self.stand_in_line(run, at, now);
        }
        for &(at, due) in &moves.waiting {
            self.timers.push(Reverse((due, Timer::Wake(run, at))));
        }
        self.begin_waits(run, &moves.deferred, now);
        self.call_of_tries(run, &moves.over, now);
        self.tell_of_tasks(run, &moves.changed);
        for &at in &moves.asks {
            self.ask_past(run, at);
        }
        self.past_moved(run);
        self.answer_unasked(now);
        if let Some(state) = moves.ended {
            if state == RunState::Success {
                self.meet_deadlines(run);
            }
            self.call_of_run(run, state, now);
            self.tell_of_run(run);
            self.leave_all_gates(run, now);
            self.admission.remove_run(run);
            self.run_left(&dag_id, run, now);
            if state == RunState::Failed {
                self.pending.failed_run(dag_id);
            }
        }
    }

    /// A ready task instance waits for a slot, as soon as its gates let it in.
    pub(super) fn stand_in_line(&mut self, run: RunKey, at: InstanceIndex, now: Timestamp) {
        let Some(active) = self.runs.get(&run) else {
            return;
        };
        let ready = active.run.fields(at).and_then(|fields| fields.state);
        let Some((task, spec)) = active.run.dag().task(at.task) else {
            return;
        };
        if ready != Some(TaskState::Scheduled) {
            return;
        }
        let Some(pool) = self.pool(&active.row.team, &task.pool) else {
            self.fail_without_pool(run, at, now);
            return;
        };
        let (slots, priority) = (spec.pool_slots, task.priority);
        if self.enter_gates(run, at) {
            self.admission.enqueue(run, at, pool, slots, priority);
        }
    }

    pub(super) fn wake(&mut self, run: RunKey, at: InstanceIndex, now: Timestamp) {
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        active.run.wake(at, now, &mut moves);
        self.after_moves(run, &moves, now);
    }

    pub(super) fn time_out(&mut self, run: RunKey, now: Timestamp) {
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let Some(timeout) = active.run.dag().spec().dagrun_timeout else {
            return;
        };
        // A run that was cleared meanwhile has a later start, and a timer of its own.
        let due = active.row.started_at.map(|started| started.after(timeout));
        if due.is_some_and(|due| due <= now) {
            active.run.time_out(timeout, now, &mut moves);
            self.after_moves(run, &moves, now);
        }
    }
}

impl Active {
    /// Where its tasks stand in line: behind those of other runs, if it belongs to a backfill.
    pub(super) fn run_rank(&self) -> RunRank {
        let at = self.row.logical_date.unwrap_or(self.row.run_after);
        RunRank {
            team: self.team,
            max_active_tasks: self.run.dag().max_active_tasks(),
            last: self.row.backfill.is_some(),
            at: at.micros(),
        }
    }
}
