//! Runs and their tries: created, claimed, started, ended, woken, timed out, found dead.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use airlock_model::{
    admission::{Admitted, RunRank},
    dag::Input,
    id::{DagId, RunId, RunKey, TaskIndex, TaskInstanceKey, Token},
    outcome::{Failure, FailureKind, Outcome},
    port::{RETURN_VALUE, RunRow, XcomWrite},
    run::{Moves, Run},
    state::{RunState, RunType},
    time::Timestamp,
};

use super::{Active, Claim, Ending, Engine, InFlight, Timer};

impl Engine {
    #[expect(
        clippy::too_many_arguments,
        reason = "a run has that many independent properties"
    )]
    pub(super) fn create_run(
        &mut self,
        dag_id: &DagId,
        run_id: RunId,
        run_type: RunType,
        data_interval: Option<(Timestamp, Timestamp)>,
        run_after: Timestamp,
        conf: Arc<str>,
        now: Timestamp,
    ) -> RunKey {
        let key = self.keys.next(now);
        let Some(state) = self.dags.get_mut(dag_id) else {
            return key;
        };
        let live = &state.live;
        let logical_date = data_interval.map(|(start, _)| start);
        let row = RunRow {
            key,
            dag_id: dag_id.clone(),
            run_id,
            team: live.team.clone(),
            run_type,
            state: RunState::Queued,
            hash: live.hash,
            definition: live.dag.definition(),
            logical_date,
            data_interval,
            run_after,
            queued_at: now,
            started_at: None,
            ended_at: None,
            conf,
        };
        let run = Run::new(Arc::clone(&live.dag), key, logical_date);
        let (bundle, paused) = (live.bundle.clone(), live.paused);
        state.waiting.push_back(key);
        let stored = vec![Token::default(); live.dag.tasks().len()];
        self.pending.new_run(key);
        self.hold_run(row, run, bundle, stored, paused);
        if run_after > now {
            self.timers
                .push(Reverse((run_after, Timer::Plan(dag_id.clone()))));
        }
        self.start_waiting(dag_id, now);
        key
    }

    /// Takes a run into memory and into the order of tasks.
    pub(super) fn hold_run(
        &mut self,
        row: RunRow,
        run: Run,
        bundle: airlock_model::id::BundleName,
        stored: Vec<Token>,
        paused: bool,
    ) {
        let Some(team) = self.teams.get(&row.team).map(|team| team.index) else {
            return;
        };
        let at = row.logical_date.unwrap_or(row.run_after).micros();
        let rank = RunRank {
            team,
            max_active_tasks: run.dag().max_active_tasks(),
            at,
        };
        self.admission.add_run(row.key, rank, paused);
        let active = Active {
            row,
            run,
            bundle,
            team,
            outputs: HashMap::new(),
            in_flight: HashMap::new(),
            stored,
        };
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
        self.after_moves(run, &moves, now);
    }

    /// What follows from moves of a run's state machine: ready tasks stand in line, waits get their timer,
    /// an end makes room for the next run.
    pub(super) fn after_moves(&mut self, run: RunKey, moves: &Moves, now: Timestamp) {
        self.pending.moved(run, moves);
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        if moves.ended.is_some() {
            active.row.ended_at = Some(now);
            active.row.state = active.run.state();
        }
        let dag = Arc::clone(active.run.dag());
        let team = active.row.team.clone();
        let mut homeless = Vec::new();
        for &ready in &moves.ready {
            let Some((task, spec)) = dag.task(ready) else {
                continue;
            };
            match self.pool(&team, &task.pool) {
                Some(pool) => {
                    self.admission
                        .enqueue(run, ready, pool, spec.pool_slots, task.priority)
                }
                None => homeless.push(ready),
            }
        }
        for &(task, at) in &moves.waiting {
            self.timers.push(Reverse((at, Timer::Wake(run, task))));
        }
        if moves.ended.is_some() {
            self.admission.remove_run(run);
            self.run_left(dag.id(), run, RunState::Running, now);
        }
        for task in homeless {
            self.fail_without_pool(run, task, now);
        }
    }

    /// A task whose pool was deleted after its DAG was imported fails, instead of waiting for ever.
    fn fail_without_pool(&mut self, run: RunKey, task: TaskIndex, now: Timestamp) {
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let pool = active
            .run
            .dag()
            .task(task)
            .map(|(task, _)| task.pool.to_string())
            .unwrap_or_default();
        let message = format!(
            "AL-0712: the pool `{pool}` does not exist any more; create it and trigger a new run"
        );
        let failure = Failure {
            kind: FailureKind::Load,
            message,
            causes: Vec::new(),
            location: None,
        };
        let mut moves = Moves::default();
        if let Some(token) = active.run.claim(task, now, &mut moves)
            && active
                .run
                .end(task, token, now, &Outcome::Failed(failure), &mut moves)
                .is_ok()
        {
            self.after_moves(run, &moves, now);
        }
    }

    pub(super) fn claim(&mut self, admitted: Admitted, now: Timestamp) {
        let Admitted { run, task, .. } = admitted;
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let Some(token) = active.run.claim(task, now, &mut moves) else {
            let team = active.team;
            self.admission.release(team, admitted);
            return;
        };
        let lease_until = now.after(self.options.lease);
        active.in_flight.insert(
            task,
            InFlight {
                token,
                admitted,
                lease_until,
            },
        );
        if active
            .run
            .fields(task)
            .is_some_and(|fields| fields.try_number > 1)
        {
            self.pending.forget_xcoms(active.run.instance_key(task));
        }
        self.pending.moved(run, &moves);
        self.pending.claims.push(Claim { run, task, token });
    }

    pub(super) fn started(&mut self, key: TaskInstanceKey, token: Token, at: Timestamp) {
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&key.run) else {
            return;
        };
        // A superseded try that starts late is of no interest; its end will be refused.
        if active.run.started(key.task, token, at, &mut moves).is_ok() && !moves.changed.is_empty()
        {
            self.pending.task_started(key.run, key.task, at);
        }
    }

    pub(super) fn ended(&mut self, ending: Ending, now: Timestamp) {
        let Ending {
            key,
            token,
            at,
            report,
            spilled,
        } = ending;
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&key.run) else {
            return;
        };
        let Some(team) = self.teams.get_mut(&active.row.team) else {
            return;
        };
        if active
            .run
            .end(key.task, token, at, &report.outcome, &mut moves)
            .is_err()
        {
            team.fenced += 1;
            return;
        }
        match report.outcome {
            Outcome::Failed(_) => team.failed += 1,
            _ => team.succeeded += 1,
        }
        if let Some(in_flight) = active.in_flight.remove(&key.task) {
            self.admission.release(active.team, in_flight.admitted);
        }
        if let Outcome::Success { xcoms, .. } = report.outcome {
            for (position, (name, value)) in xcoms.into_iter().enumerate() {
                let blob = spilled
                    .iter()
                    .find(|(at, _)| *at == position)
                    .map(|(_, hash)| *hash);
                if name == RETURN_VALUE && blob.is_none() && active.is_wanted(key.task) {
                    active.outputs.insert(key.task, Arc::clone(&value));
                }
                let value = blob.is_none().then_some(value);
                self.pending.xcom(XcomWrite {
                    key,
                    name,
                    value,
                    spilled: blob,
                    at,
                });
            }
        }
        self.after_moves(key.run, &moves, now);
    }

    pub(super) fn wake(&mut self, run: RunKey, task: TaskIndex, now: Timestamp) {
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        active.run.wake(task, now, &mut moves);
        self.after_moves(run, &moves, now);
    }

    pub(super) fn time_out(&mut self, run: RunKey, now: Timestamp) {
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let timeout = active.run.dag().spec().dagrun_timeout.unwrap_or_default();
        active.run.time_out(timeout, now, &mut moves);
        for &(task, token) in &moves.superseded {
            if let Some(in_flight) = active.in_flight.remove(&task) {
                self.admission.release(active.team, in_flight.admitted);
            }
            self.kills.push(Claim { run, task, token });
        }
        self.after_moves(run, &moves, now);
    }

    /// Tries that are to be ended, because nobody wants them any more.
    pub fn take_kills(&mut self) -> Vec<Claim> {
        std::mem::take(&mut self.kills)
    }

    /// A heartbeat: `alive` says whether the executor still has a try, which renews its lease.
    pub fn renew(&mut self, now: Timestamp, alive: impl Fn(TaskInstanceKey, Token) -> bool) {
        for active in self.runs.values_mut() {
            for (&task, in_flight) in &mut active.in_flight {
                if alive(active.run.instance_key(task), in_flight.token) {
                    in_flight.lease_until = now.after(self.options.lease);
                }
            }
        }
    }

    /// Gives up tries whose lease is over: they have failed as zombies, with whatever their retries allow.
    pub fn reap(&mut self, now: Timestamp) {
        let mut dead = Vec::new();
        for active in self.runs.values() {
            for (&task, in_flight) in &active.in_flight {
                if in_flight.lease_until <= now {
                    dead.push((active.run.instance_key(task), in_flight.token));
                }
            }
        }
        for (key, token) in dead {
            let message = "AL-0711: the try showed no sign of life for longer than its lease and was given up".into();
            let failure = Failure {
                kind: FailureKind::Zombie,
                message,
                causes: Vec::new(),
                location: None,
            };
            let report = airlock_model::outcome::Report {
                outcome: Outcome::Failed(failure),
                waited: std::time::Duration::ZERO,
                ran: std::time::Duration::ZERO,
            };
            self.ended(
                Ending {
                    key,
                    token,
                    at: now,
                    report,
                    spilled: Vec::new(),
                },
                now,
            );
        }
    }
}

impl Active {
    /// Whether a later task takes this one's return value.
    fn is_wanted(&self, task: TaskIndex) -> bool {
        let dag = self.run.dag();
        let takes = |down: &TaskIndex| {
            dag.task(*down)
                .is_some_and(|(down, _)| down.arguments.contains(&Input::Output(task)))
        };
        dag.task(task)
            .is_some_and(|(task, _)| task.downstream.iter().any(takes))
    }
}
