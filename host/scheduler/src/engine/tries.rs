//! A try's way through the engine: claimed, started, ended, woken, found dead.

use std::sync::Arc;

use airlock_model::{
    admission::Admitted,
    callback::CallbackKind,
    dag::{AssetRef, Input, Mistake, asset_name, mapping},
    id::{InstanceIndex, MapIndex, RunKey, TaskIndex, TaskInstanceKey, Token},
    outcome::{Failure, FailureKind, Outcome, OutletEvent},
    port::{RETURN_VALUE, XcomWrite},
    run::Moves,
    time::Timestamp,
};

use super::{Active, Claim, Ending, Engine, InFlight};

impl Engine {
    /// A task whose pool was deleted after its DAG was imported fails, instead of waiting for ever.
    pub(super) fn fail_without_pool(&mut self, run: RunKey, at: InstanceIndex, now: Timestamp) {
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let task = active.run.dag().task(at.task);
        let pool = task
            .map(|(task, _)| task.pool.to_string())
            .unwrap_or_default();
        let message = format!(
            "AL-0714: the pool `{pool}` does not exist any more; create it and clear the task"
        );
        let failure = Failure {
            kind: FailureKind::Load,
            message,
            causes: Vec::new(),
            location: None,
        };
        let mut moves = Moves::default();
        if let Some(token) = active.run.claim(at, now, &mut moves)
            && active
                .run
                .end(at, token, now, &Outcome::Failed(failure), &mut moves)
                .is_ok()
        {
            self.after_moves(run, &moves, now);
        }
    }

    pub(super) fn claim(&mut self, admitted: Admitted, now: Timestamp) {
        let Admitted { run, at, .. } = admitted;
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let goes_on = active
            .run
            .fields(at)
            .is_some_and(|f| f.first_started_at.is_some());
        // It may have stood in line for longer than it was ready, and wait before its gates since.
        let token = match active.has_gates && active.is_outside(at) {
            true => None,
            false => active.run.claim(at, now, &mut moves),
        };
        let Some(token) = token else {
            let team = active.team;
            self.admission.release(team, admitted);
            return;
        };
        let lease_until = now.after(self.options.lease);
        let in_flight = InFlight {
            token,
            admitted,
            lease_until,
        };
        active.in_flight.insert(at, in_flight);
        // What an earlier try pushed is gone, but not what this one did before it was rescheduled.
        if token.get() > 1 && !goes_on {
            self.pending.forget_xcoms(active.run.instance_key(at));
        }
        self.pending.moved(run, &moves);
        self.pending.claims.push(Claim { run, at, token });
        if !goes_on {
            self.call_of_try(run, at, CallbackKind::TaskExecute, now);
        }
    }

    pub(super) fn started(&mut self, key: TaskInstanceKey, token: Token, at: Timestamp) {
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&key.run) else {
            return;
        };
        // A superseded try that starts late is of no interest; its end will be refused.
        let started = active.run.started(key.index(), token, at, &mut moves);
        if started.is_ok() && !moves.changed.is_empty() {
            self.pending.task_started(key.run, key.index(), at);
        }
    }

    pub(super) fn ended(&mut self, ending: Ending, now: Timestamp) {
        let Ending {
            key,
            token,
            at: ended_at,
            report,
            spilled,
        } = ending;
        let at = key.index();
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&key.run) else {
            return;
        };
        let Some(team) = self.teams.get_mut(&active.row.team) else {
            return;
        };
        let newest = active.run.fields(at).map(|fields| fields.token);
        let (outcome, length) = match newest == Some(token) {
            true => active.measured(at, report.outcome, self.options.max_map_length),
            false => (report.outcome, None),
        };
        if let Some(length) = length {
            active.run.returned(at, length);
        }
        if active
            .run
            .end(at, token, ended_at, &outcome, &mut moves)
            .is_err()
        {
            team.tally.fenced += 1;
            return;
        }
        match outcome {
            Outcome::Failed(_) => team.tally.failed += 1,
            Outcome::Success { .. } | Outcome::Skipped { .. } => team.tally.succeeded += 1,
            Outcome::Rescheduled { .. } | Outcome::Deferred(_) => {}
        }
        if let Some(in_flight) = active.in_flight.remove(&at) {
            self.admission.release(active.team, in_flight.admitted);
        }
        let mut told = None;
        if let Outcome::Success { xcoms, events, .. } = outcome {
            told = Some(events);
            for (position, (name, value)) in xcoms.into_iter().enumerate() {
                let blob = spilled.iter().find(|(at, _)| *at == position);
                let blob = blob.map(|(_, hash)| *hash);
                let returned = name == RETURN_VALUE;
                if returned && blob.is_none() && active.is_wanted(at.task) {
                    active.outputs.insert(at, Arc::clone(&value));
                }
                self.pending.xcom(XcomWrite {
                    key,
                    name,
                    value: blob.is_none().then_some(value),
                    spilled: blob,
                    length: length.filter(|_| returned),
                    at: ended_at,
                });
            }
        }
        if let Some(told) = told {
            self.outlets_changed(key.run, at, told, now);
        }
        self.after_moves(key.run, &moves, now);
    }

    /// Tries that are to be ended, because nobody wants them any more.
    pub fn take_kills(&mut self) -> Vec<Claim> {
        std::mem::take(&mut self.kills)
    }

    /// A heartbeat: `alive` says whether the executor still has a try, which renews its lease.
    pub fn renew(&mut self, now: Timestamp, alive: impl Fn(TaskInstanceKey, Token) -> bool) {
        for active in self.runs.values_mut() {
            for (&at, in_flight) in &mut active.in_flight {
                if alive(active.run.instance_key(at), in_flight.token) {
                    in_flight.lease_until = now.after(self.options.lease);
                }
            }
        }
    }

    /// Gives up tries whose lease is over: they have failed as zombies, with whatever their retries allow.
    pub fn reap(&mut self, now: Timestamp) {
        let mut dead = Vec::new();
        for active in self.runs.values() {
            for (&at, in_flight) in &active.in_flight {
                if in_flight.lease_until <= now {
                    dead.push((active.run.instance_key(at), in_flight.token));
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
            .is_some_and(|(task, _)| task.is_source || task.downstream.iter().any(takes))
    }

    /// How many elements a try returned, where others are mapped over them; a try that returned what cannot be
    /// mapped over, or speaks of what names no asset, has failed (Airflow's semantics, 3.8).
    fn measured(&self, at: InstanceIndex, outcome: Outcome, most: u32) -> (Outcome, Option<u32>) {
        let Outcome::Success { xcoms, events, .. } = &outcome else {
            return (outcome, None);
        };
        if let Some(mistake) = events.iter().find_map(|event| named(event).err()) {
            return (failed(mistake.to_string()), None);
        }
        let source = self
            .run
            .dag()
            .task(at.task)
            .filter(|(task, _)| task.is_source);
        let value = xcoms.iter().find(|(name, _)| name == RETURN_VALUE);
        let Some(((task, _), (_, value))) = source.zip(value) else {
            return (outcome, None);
        };
        if at.map_index != MapIndex::UNMAPPED {
            return (outcome, Some(1));
        }
        let dag_id = self.run.dag().id();
        let message = match mapping::length(value) {
            Some(length) if length <= most => return (outcome, Some(length)),
            Some(length) => format!(
                "AL-0718: task `{}` of DAG `{dag_id}` returned {length} elements to map over, more than the {most} that scheduler.max_map_length allows; return fewer, or batches",
                task.id
            ),
            None => format!(
                "AL-0719: task `{}` of DAG `{dag_id}` returned a value that is neither an array nor an object, and others are mapped over it; return a list",
                task.id
            ),
        };
        (failed(message), None)
    }
}

/// Whether what a task says of a change names an asset, and an alias where it has one.
fn named(event: &OutletEvent) -> Result<(), Mistake> {
    let (AssetRef::Name(name) | AssetRef::Uri(name) | AssetRef::Alias(name)) = &event.asset;
    event
        .alias
        .iter()
        .chain([name])
        .try_for_each(|text| asset_name(text))
}

fn failed(message: String) -> Outcome {
    Outcome::Failed(Failure {
        kind: FailureKind::Error,
        message,
        causes: Vec::new(),
        location: None,
    })
}
