//! A slow evaluator of the rules, which is right because it can be read beside Airflow's semantics.
//!
//! It counts nothing as it goes: for each question it looks at all task instances anew. It knows the definition
//! as its author wrote it, and nothing of what the checks of a DAG have worked out of that. All that is undecided
//! is judged by the states of the round before, again and again until a round changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    table::{ended, met, set},
    *,
};
use crate::{
    dag::{DagSpec, Mapping, Role, Source, mapping},
    outcome::Downstream,
};

/// A task and the map index of an instance, −1 for one that has not become many.
type Place = (usize, i32);
type States = BTreeMap<Place, Option<TaskState>>;

pub(super) struct Slow {
    pub(super) spec: DagSpec,
    pub(super) upstream: Vec<BTreeSet<usize>>,
    /// All that comes before, at any distance.
    pub(super) ancestors: Vec<BTreeSet<usize>>,
    pub(super) states: States,
    tries: BTreeMap<Place, u32>,
    lengths: BTreeMap<Place, u32>,
}

/// What the rules say of an instance.
#[derive(PartialEq)]
enum Say {
    Wait,
    Run,
    BecomeMany,
    Set(TaskState),
}

impl Slow {
    pub(super) fn new(spec: DagSpec) -> Self {
        let all = 0..spec.tasks.len();
        let mut slow = Self {
            upstream: vec![],
            ancestors: vec![],
            states: all.clone().map(|task| ((task, -1), None)).collect(),
            tries: BTreeMap::new(),
            lengths: BTreeMap::new(),
            spec,
        };
        slow.upstream = all.clone().map(|task| slow.directly_before(task)).collect();
        slow.ancestors = all.map(|task| slow.all_before(task)).collect();
        slow
    }

    /// The states of the instances of a task that an instance looks at: in its own mapped group that of its
    /// own map index, else all.
    fn look(&self, up: usize, (task, index): Place, seen: &States) -> Vec<Option<TaskState>> {
        let own = self.together(up, task) && index >= 0 && !seen.contains_key(&(up, -1));
        let of = seen
            .iter()
            .filter(|((t, i), _)| *t == up && (!own || *i == index));
        of.map(|(_, state)| *state).collect()
    }

    fn looks<'a>(
        &self,
        ups: impl IntoIterator<Item = &'a usize>,
        at: Place,
        seen: &States,
    ) -> Vec<Option<TaskState>> {
        ups.into_iter()
            .flat_map(|&up| self.look(up, at, seen))
            .collect()
    }

    fn unexpanded(&self, task: usize, seen: &States) -> Option<Option<TaskState>> {
        seen.get(&(task, -1)).copied()
    }

    /// How many elements something has that others are mapped over.
    fn length_of(&self, task: usize) -> Option<u64> {
        if self.states.contains_key(&(task, -1)) {
            return self.lengths.get(&(task, -1)).map(|&n| n.into());
        }
        let of = self.lengths.iter().filter(|((t, _), _)| *t == task);
        Some(of.map(|(_, &n)| u64::from(n)).sum())
    }

    fn source_length(&self, source: &Source) -> Option<u64> {
        match source {
            Source::Literal(json) => mapping::length(json).map(u64::from),
            Source::Output(name) => self.length_of(self.named(name)),
            Source::Zip { sources, fill } => {
                let all: Option<Vec<u64>> = sources.iter().map(|s| self.source_length(s)).collect();
                let all = all?.into_iter();
                if fill.is_some() { all.max() } else { all.min() }
            }
        }
    }

    fn length(&self, task: usize) -> Option<u64> {
        match self.mapping(task)? {
            Mapping::Keywords(source) => self.source_length(&source),
            Mapping::Product(parameters) => parameters
                .iter()
                .map(|p| self.source_length(&p.source))
                .product(),
        }
    }

    fn says(&self, (task, index): Place, seen: &States) -> Say {
        use TaskState::{Failed, Removed, Skipped, Success, UpstreamFailed};
        let at = (task, index);
        let sources = self.sources(task);
        if index < 0 && self.mapping(task).is_some() {
            let told: Vec<TaskState> = sources
                .iter()
                .filter_map(|&s| self.unexpanded(s, seen)?)
                .collect();
            if told
                .iter()
                .any(|s| matches!(s, Failed | UpstreamFailed | Removed))
            {
                return Say::Set(UpstreamFailed);
            }
            if told.contains(&Skipped) {
                return Say::Set(Skipped);
            }
        }
        let rule = self.rule(task);
        let mut held = false;
        if !self.is_teardown(task) && rule != TriggerRule::Always {
            let setups = self.looks(&self.indirect_setups(task), at, seen);
            if setups
                .iter()
                .any(|s| matches!(s, Some(Failed | UpstreamFailed)))
            {
                return Say::Set(UpstreamFailed);
            }
            if setups.contains(&Some(Skipped)) {
                return Say::Set(Skipped);
            }
            held = setups.iter().any(|s| *s != Some(Success));
        }
        if self.is_teardown(task)
            && !self
                .looks(&self.scope(task), at, seen)
                .into_iter()
                .all(ended)
        {
            return Say::Wait;
        }
        let ups = self.looks(&self.upstream[task], at, seen);
        let setups = self.upstream[task]
            .iter()
            .filter(|&&t| self.role(t) == Role::Setup);
        let setups = self.looks(setups, at, seen);
        if let Some(state) = set(rule, &ups, &setups) {
            return Say::Set(state);
        }
        if held || !met(rule, &ups, &setups) {
            return Say::Wait;
        }
        if index >= 0 || self.mapping(task).is_none() {
            return Say::Run;
        }
        let known = self
            .looks(&sources, (task, -1), seen)
            .into_iter()
            .all(ended);
        if known && self.mapped_group(task).is_none() {
            Say::BecomeMany
        } else {
            Say::Wait
        }
    }

    /// Rounds until nothing changes.
    pub(super) fn settle(&mut self) {
        loop {
            let mut new: Vec<(Place, TaskState)> = vec![];
            let mut grown = self.grow_groups(&mut new);
            let seen = self.states.clone();
            let open = seen
                .iter()
                .filter(|(_, state)| state.is_none())
                .map(|(&at, _)| at);
            let mut open: Vec<Place> = open
                .filter(|at| !new.iter().any(|(n, _)| n == at))
                .collect();
            while let Some(at) = open.pop() {
                match self.says(at, &seen) {
                    Say::Wait => {}
                    Say::Set(state) => new.push((at, state)),
                    Say::Run => {
                        *self.tries.entry(at).or_default() += 1;
                        new.push((at, TaskState::Scheduled));
                    }
                    Say::BecomeMany => {
                        grown = true;
                        open.extend(self.become_many(at.0, &mut new));
                    }
                }
            }
            if new.is_empty() && !grown {
                return;
            }
            self.states
                .extend(new.into_iter().map(|(at, state)| (at, Some(state))));
        }
    }

    fn become_many(&mut self, task: usize, new: &mut Vec<(Place, TaskState)>) -> Vec<Place> {
        let ends = match self.length(task) {
            Some(0) => TaskState::Skipped,
            None => TaskState::UpstreamFailed,
            Some(length) => {
                self.states.remove(&(task, -1));
                let places: Vec<Place> = (0..i32::try_from(length).unwrap())
                    .map(|i| (task, i))
                    .collect();
                self.states.extend(places.iter().map(|&at| (at, None)));
                return places;
            }
        };
        new.push(((task, -1), ends));
        vec![]
    }

    /// Mapped groups become many as soon as all that they are mapped over has ended well.
    fn grow_groups(&mut self, new: &mut Vec<(Place, TaskState)>) -> bool {
        let seen = self.states.clone();
        let mut grown = false;
        for task in 0..self.spec.tasks.len() {
            if self.mapped_group(task).is_none() || self.unexpanded(task, &seen) != Some(None) {
                continue;
            }
            let over = self.sources(task);
            let well = over
                .iter()
                .all(|&source| match self.unexpanded(source, &seen) {
                    Some(state) => state == Some(TaskState::Success),
                    None => self.look(source, (task, -1), &seen).into_iter().all(ended),
                });
            if well {
                grown |= !self.become_many(task, new).is_empty();
            }
        }
        grown
    }

    pub(super) fn put(&mut self, at: Place, state: TaskState) {
        self.states.insert(at, Some(state));
    }

    pub(super) fn wake(&mut self, at: Place) {
        if self.states[&at] == Some(TaskState::UpForRetry) {
            *self.tries.entry(at).or_default() += 1;
        }
        self.put(at, TaskState::Scheduled);
    }

    /// A try has ended.
    pub(super) fn end(&mut self, at: Place, outcome: &Outcome, length: Option<u32>) {
        if let Some(length) = length {
            self.lengths.insert(at, length);
        }
        let retries = self.spec.tasks[at.0].retries;
        let state = match outcome {
            Outcome::Success { .. } => TaskState::Success,
            Outcome::Skipped { .. } => TaskState::Skipped,
            Outcome::Rescheduled { .. } => TaskState::UpForReschedule,
            Outcome::Deferred(_) => TaskState::Deferred,
            Outcome::Failed(failure) => {
                let more = retries != 0 && self.tries[&at] <= retries;
                match more && failure.kind != FailureKind::Final {
                    true => TaskState::UpForRetry,
                    false => TaskState::Failed,
                }
            }
        };
        self.put(at, state);
        if let Outcome::Success { downstream, .. } = outcome {
            self.decide(at, downstream);
        }
        self.settle();
    }

    fn decide(&mut self, at: Place, decision: &Downstream) {
        let all = 0..self.spec.tasks.len();
        let next = self.downstream(at.0);
        let skipped: Vec<usize> = match decision {
            Downstream::Free => vec![],
            Downstream::Skip { all: true } => {
                let after = all.filter(|&t| self.ancestors[t].contains(&at.0));
                after.filter(|&t| !self.is_teardown(t)).collect()
            }
            Downstream::Skip { all: false } => {
                next.into_iter().filter(|&t| !self.is_teardown(t)).collect()
            }
            Downstream::Follow(names) => {
                let followed: Vec<usize> = names.iter().map(|name| self.named(name)).collect();
                let kept = |t: &usize| {
                    followed.contains(t) || followed.iter().any(|f| self.ancestors[*t].contains(f))
                };
                next.into_iter().filter(|t| !kept(t)).collect()
            }
        };
        for (&(task, index), state) in &mut self.states.clone() {
            let mine = at.1 < 0 || self.together(at.0, task) && index == at.1;
            let begun = ended(*state) || *state == Some(TaskState::Running);
            if skipped.contains(&task) && mine && !begun {
                self.put((task, index), TaskState::Skipped);
            }
        }
    }

    /// Where the run stands.
    pub(super) fn run_state(&self) -> RunState {
        let moves = |s: &Option<TaskState>| s.is_some() && !ended(*s);
        if self.states.values().any(moves) {
            return RunState::Running;
        }
        let counts = |task: usize| {
            !matches!(
                self.role(task),
                Role::Teardown {
                    on_failure_fail_dagrun: false
                }
            )
        };
        let all = || 0..self.spec.tasks.len();
        let mut leaves: BTreeSet<usize> = all()
            .filter(|&t| counts(t) && !self.downstream(t).into_iter().any(counts))
            .collect();
        if leaves.is_empty() {
            leaves = all().filter(|&t| self.downstream(t).is_empty()).collect();
        }
        let broken = |(at, state): (&Place, &Option<TaskState>)| {
            let bad = matches!(state, Some(TaskState::Failed | TaskState::UpstreamFailed));
            state.is_none() || bad && leaves.contains(&at.0)
        };
        if self.states.iter().any(broken) {
            RunState::Failed
        } else {
            RunState::Success
        }
    }
}
