//! From a claim to the try that the executor gets.

use std::sync::Arc;

use airlock_model::{
    dag::Input,
    id::{MapIndex, TaskIndex, TaskInstanceKey},
    log::TryKey,
    port::Work,
};

use super::{Claim, Engine};

/// A try to dispatch. Arguments whose values are not in memory are named for the caller to fetch; their
/// places hold `null` meanwhile.
#[derive(Debug)]
pub struct Dispatch {
    /// The try.
    pub work: Work,
    /// Position of the argument, and the task whose return value belongs there.
    pub missing: Vec<(usize, TaskIndex)>,
}

impl Engine {
    /// The try of a durable claim; none when the claim was superseded meanwhile.
    #[must_use]
    pub fn dispatch(&self, claim: Claim) -> Option<Dispatch> {
        let active = self.runs.get(&claim.run)?;
        let fields = active.run.fields(claim.task)?;
        active
            .in_flight
            .get(&claim.task)
            .filter(|in_flight| in_flight.token == claim.token)?;
        let (task, spec) = active.run.dag().task(claim.task)?;
        let mut missing = Vec::new();
        let argument = |(position, input): (usize, &Input)| match input {
            Input::Literal(json) => Arc::clone(json),
            Input::Mapped(_) => NULL.into(),
            Input::Output(up) => active.outputs.get(up).cloned().unwrap_or_else(|| {
                missing.push((position, *up));
                NULL.into()
            }),
        };
        let arguments = task.arguments.iter().enumerate().map(argument).collect();
        let row = &active.row;
        let work = Work {
            key: TaskInstanceKey {
                run: claim.run,
                task: claim.task,
                map_index: MapIndex::UNMAPPED,
            },
            token: claim.token,
            names: TryKey {
                team: row.team.clone(),
                dag_id: row.dag_id.clone(),
                run_id: row.run_id.clone(),
                task_id: task.id.clone(),
                map_index: MapIndex::UNMAPPED,
                try_number: fields.try_number,
            },
            bundle: active.bundle.clone(),
            hash: row.hash,
            entry: spec.entry.as_str().into(),
            arguments,
            run_type: row.run_type,
            max_tries: fields.max_tries + 1,
            logical_date: row.logical_date,
            data_interval: row.data_interval,
            run_after: row.run_after,
            params: Arc::clone(&row.conf),
            execution_timeout: spec.execution_timeout,
            first_started_at: None,
            is_latest: true,
            triggering_events: Vec::new(),
            inlet_events: Vec::new(),
        };
        Some(Dispatch { work, missing })
    }
}

/// What a task gets for a return value that was never pushed.
pub(crate) const NULL: &str = "null";
