//! From a claim to the try that the executor gets.

use std::sync::Arc;

use airlock_model::{
    id::{InstanceIndex, TaskInstanceKey},
    log::TryKey,
    port::{AssetKey, RunRow, Work},
    state::RunType,
    time::Timestamp,
};

use super::{
    Active, Claim, Engine,
    arguments::{Piece, Values, split},
};

/// A try to dispatch. Arguments whose values are not in memory are named for the caller to fetch; their
/// places hold `null` meanwhile.
#[derive(Debug)]
pub struct Dispatch {
    /// The try.
    pub work: Work,
    /// Position of the argument, and where its value is found.
    pub(crate) missing: Vec<(usize, Piece)>,
    /// Assets whose latest events the task wants to see.
    pub(crate) inlets: Vec<AssetKey>,
}

impl Dispatch {
    /// Nothing has to be read for it.
    pub(crate) fn is_whole(&self) -> bool {
        let asks = self.work.run_type == RunType::AssetTriggered || !self.inlets.is_empty();
        self.missing.is_empty() && !asks
    }
}

impl Engine {
    /// The try of a durable claim; none when the claim was superseded meanwhile.
    #[must_use]
    pub fn dispatch(&mut self, claim: Claim, now: Timestamp) -> Option<Dispatch> {
        let active = self.runs.get_mut(&claim.run)?;
        let at = claim.at;
        let in_flight = active.in_flight.get(&at);
        in_flight.filter(|in_flight| in_flight.token == claim.token)?;
        let dag = Arc::clone(active.run.dag());
        let (task, spec) = dag.task(at.task)?;
        let mut missing = Vec::new();
        let mut arguments = Vec::with_capacity(task.arguments.len());
        for (position, input) in task.arguments.iter().enumerate() {
            let piece = Piece::of(&active.run, at, input);
            active.split_for(&piece);
            arguments.push(piece.value(&*active).unwrap_or_else(|| {
                missing.push((position, piece));
                "null".into()
            }));
        }
        let fields = active.run.fields(at)?;
        let row = &active.row;
        let work = Work {
            key: TaskInstanceKey {
                run: claim.run,
                task: at.task,
                map_index: at.map_index,
            },
            token: claim.token,
            names: TryKey {
                team: row.team.clone(),
                dag_id: row.dag_id.clone(),
                run_id: row.run_id.clone(),
                task_id: task.id.clone(),
                map_index: at.map_index,
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
            first_started_at: fields.first_started_at,
            resume: fields.deferred.clone(),
            is_latest: self
                .dags
                .get(&row.dag_id)
                .is_none_or(|state| is_latest(row, state, now)),
            triggering_events: Vec::new(),
            inlet_events: Vec::new(),
            inlets: spec.inlets.clone(),
            outlets: spec.outlets.clone(),
        };
        let inlets = spec
            .inlets
            .iter()
            .filter_map(|inlet| self.assets.key(&row.team, inlet));
        Some(Dispatch {
            work,
            missing,
            inlets: inlets.collect(),
        })
    }
}

/// Whether no later run of the timetable is due (Airflow 3.3.2, `LatestOnlyOperator`). Runs that somebody asked
/// for always are the latest, and so are those that stand for no time.
fn is_latest(row: &RunRow, state: &super::DagState, now: Timestamp) -> bool {
    let made = matches!(row.run_type, RunType::Scheduled | RunType::Backfill);
    let interval = row.data_interval.filter(|_| made);
    let latest = |interval| state.live.dag.timetable().is_latest(interval, now).known();
    interval.and_then(latest).unwrap_or(true)
}

impl Active {
    /// Splits the lists of which a piece wants an element, once for all instances.
    fn split_for(&mut self, piece: &Piece) {
        match piece {
            Piece::Element(at, _) if !self.elements.contains_key(at) => {
                if let Some(json) = self.outputs.get(at) {
                    self.elements.insert(*at, split(Some(json)));
                }
            }
            Piece::Row(parts) => parts.iter().for_each(|part| self.split_for(part)),
            Piece::Under(part, _) => self.split_for(part),
            _ => {}
        }
    }
}

/// Values in memory. That one is not there does not mean that nothing was returned.
impl Values for Active {
    fn returned(&self, at: InstanceIndex) -> Option<Option<Arc<str>>> {
        self.outputs.get(&at).map(|json| Some(Arc::clone(json)))
    }

    fn elements(&self, at: InstanceIndex) -> Option<Arc<[Arc<str>]>> {
        self.elements.get(&at).cloned()
    }
}
