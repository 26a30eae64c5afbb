//! How many instances of one task may be on their way at once, in one run and over all runs of its DAG
//! (Airflow's semantics, 3.6: `max_active_tis_per_dagrun`, `max_active_tis_per_dag`).

use std::collections::{BTreeSet, HashMap};

use airlock_model::{
    id::{DagId, InstanceIndex, RunKey, TaskId},
    state::TaskState,
    time::Timestamp,
};

use super::{Active, Engine};

/// Which gate: of a task in a DAG, or in one run of it.
pub(super) type GateKey = (DagId, TaskId, Option<RunKey>);

/// Earlier runs first, then lower map indexes.
type Rank = (i64, RunKey, InstanceIndex);

#[derive(Debug, Default)]
struct Gate {
    limit: u32,
    inside: u32,
    outside: BTreeSet<Rank>,
}

/// All gates. One that nobody is inside or before is forgotten.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gates: HashMap<GateKey, Gate>,
}

impl Gates {
    /// Lets an instance in through all of its gates, or keeps it before the first that is full.
    pub(super) fn enter(&mut self, keys: &[(GateKey, u32)], rank: Rank) -> bool {
        for (key, limit) in keys {
            let gate = self.gates.entry(key.clone()).or_default();
            gate.limit = *limit;
            if gate.inside >= gate.limit {
                gate.outside.insert(rank);
                return false;
            }
        }
        for (key, _) in keys {
            if let Some(gate) = self.gates.get_mut(key) {
                gate.inside += 1;
                gate.outside.remove(&rank);
            }
        }
        true
    }

    /// An instance has left.
    fn leave(&mut self, keys: &[(GateKey, u32)]) {
        for (key, _) in keys {
            if let Some(gate) = self.gates.get_mut(key) {
                gate.inside = gate.inside.saturating_sub(1);
            }
        }
    }

    /// Who comes next through a gate, if it is open; one that nobody is inside or before is forgotten.
    fn next(&mut self, key: &GateKey) -> Option<(RunKey, InstanceIndex)> {
        let gate = self.gates.get_mut(key)?;
        if gate.inside >= gate.limit {
            return None;
        }
        let next = gate.outside.pop_first();
        if next.is_none() && gate.inside == 0 {
            self.gates.remove(key);
        }
        next.map(|(_, run, at)| (run, at))
    }

    /// An instance no longer waits before any of its gates.
    pub(super) fn forget(&mut self, keys: &[(GateKey, u32)], rank: Rank) {
        for (key, _) in keys {
            if let Some(gate) = self.gates.get_mut(key) {
                gate.outside.remove(&rank);
            }
        }
    }
}

impl Active {
    /// The gates that an instance has to pass, with their limits.
    pub(super) fn gates(&self, at: InstanceIndex) -> Vec<(GateKey, u32)> {
        let Some((task, spec)) = self.run.dag().task(at.task) else {
            return Vec::new();
        };
        let gate = |run, limit: Option<u32>| {
            limit.map(|limit| ((self.row.dag_id.clone(), task.id.clone(), run), limit))
        };
        let of_run = gate(Some(self.row.key), spec.max_active_tis_per_dagrun);
        of_run
            .into_iter()
            .chain(gate(None, spec.max_active_tis_per_dag))
            .collect()
    }

    /// Whether an instance has not passed its gates.
    pub(super) fn is_outside(&self, at: InstanceIndex) -> bool {
        !self.gates(at).is_empty() && !self.inside.contains(&at)
    }

    /// An instance leaves its gates, whether it was inside or before them; these it was inside of.
    fn leave_gates_of(&mut self, at: InstanceIndex, gates: &mut Gates) -> Vec<(GateKey, u32)> {
        let keys = self.gates(at);
        if self.inside.remove(&at) {
            gates.leave(&keys);
            return keys;
        }
        gates.forget(&keys, self.rank(at));
        Vec::new()
    }

    fn rank(&self, at: InstanceIndex) -> (i64, RunKey, InstanceIndex) {
        let age = self.row.logical_date.unwrap_or(self.row.run_after);
        (age.micros(), self.row.key, at)
    }
}

impl Engine {
    pub(super) fn enter_gates(&mut self, run: RunKey, at: InstanceIndex) -> bool {
        let Some(active) = self.runs.get_mut(&run) else {
            return false;
        };
        let keys = active.gates(at);
        let open = keys.is_empty() || active.inside.contains(&at);
        if open || self.gates.enter(&keys, active.rank(at)) {
            if !keys.is_empty() {
                active.inside.insert(at);
            }
            return true;
        }
        false
    }

    /// Instances that are neither ready nor on their way any more let the next in.
    pub(super) fn leave_gates(&mut self, run: RunKey, changed: &[InstanceIndex], now: Timestamp) {
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        if active.inside.is_empty() && !active.has_gates {
            return;
        }
        let mut left = Vec::new();
        for &at in changed {
            let state = active.run.fields(at).and_then(|fields| fields.state);
            let ready = state == Some(TaskState::Scheduled);
            if ready || state.is_some_and(TaskState::holds_slot) {
                continue;
            }
            left.extend(active.leave_gates_of(at, &mut self.gates));
        }
        self.let_in(&left, now);
    }

    /// A run goes: nothing of it is inside or before any gate from now on.
    pub(super) fn leave_all_gates(&mut self, run: RunKey, now: Timestamp) {
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let mut left = Vec::new();
        if active.has_gates {
            for at in active.run.instances() {
                left.extend(active.leave_gates_of(at, &mut self.gates));
            }
        }
        self.let_in(&left, now);
    }

    /// Who waits before these gates goes through for as long as they are open: whoever is next may find that it
    /// waits before another, or that its pool is gone, and then it is the turn of the one after it.
    fn let_in(&mut self, left: &[(GateKey, u32)], now: Timestamp) {
        for (key, _) in left {
            while let Some((run, at)) = self.gates.next(key) {
                self.stand_in_line(run, at, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use airlock_model::id::TaskIndex;

    use super::*;

    #[test]
    fn whoever_is_let_in_and_cannot_go_through_gives_its_turn_to_the_next() {
        let key = (DagId::new("d").unwrap(), TaskId::new("t").unwrap(), None);
        let keys = [(key.clone(), 1)];
        let at = InstanceIndex::unmapped(TaskIndex(0));
        let rank = |n: u128| (0, RunKey(uuid::Uuid::from_u128(n)), at);
        let mut gates = Gates::default();
        assert!(gates.enter(&keys, rank(1)));
        assert!(!gates.enter(&keys, rank(2)) && !gates.enter(&keys, rank(3)));
        assert_eq!(gates.next(&key), None, "it is full");
        gates.leave(&keys);
        assert_eq!(gates.next(&key), Some((rank(2).1, at)));
        // The second is ready no more, and does not enter.
        assert_eq!(gates.next(&key), Some((rank(3).1, at)));
        assert!(gates.enter(&keys, rank(3)));
        assert_eq!(gates.next(&key), None);
    }
}
