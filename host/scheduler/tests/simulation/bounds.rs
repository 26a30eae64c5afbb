//! What must hold whenever tries start: no bound is exceeded, and nobody is passed over.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use airlock_model::{
    connection::Pool,
    id::{BackfillId, DagId, PoolName, RunKey, Scope, TaskId, TeamName},
    port::Backfill,
    state::{RunState, TaskState},
};
use airlock_scheduler::engine::Claim;

use crate::world::World;

/// What is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Bound<'a> {
    Team(TeamName),
    Run(Option<RunKey>),
    Pool(&'a Scope, &'a PoolName),
    Task(&'a DagId, &'a TaskId, Option<RunKey>),
}

type Counts<'a> = HashMap<Bound<'a>, u32>;

fn add<'a>(count: &mut Counts<'a>, what: Bound<'a>, slots: u32, limit: u32) {
    let sum = *count.get(&what).unwrap_or(&0) + slots;
    assert!(sum <= limit, "{what:?}: {sum} of {limit}");
    count.insert(what, sum);
}

impl World {
    /// Of two task instances that want the same of one team, the more important one goes first, and of equals
    /// that of the earlier run: what was left waiting does not come before what was claimed.
    pub(crate) fn check_order(&self, claims: &[Claim]) {
        type Rank = (bool, Reverse<i64>, i64);
        let mut last: HashMap<(&TeamName, &PoolName, u32), Rank> = HashMap::new();
        let mut waiting = vec![];
        let claimed: HashSet<_> = claims.iter().map(|claim| (claim.run, claim.at)).collect();
        if claims.is_empty() {
            return;
        }
        for kept in self
            .database
            .active
            .iter()
            .map(|key| &self.database.runs[key])
        {
            let run = &kept.run;
            let (dag, team) = &self.by_id[&run.dag_id];
            let holds = |s: Option<TaskState>| s.is_some_and(TaskState::holds_slot);
            let active = kept
                .tasks
                .values()
                .filter(|row| holds(row.fields.state))
                .count();
            let at = run.logical_date.unwrap_or(run.run_after).micros();
            let open = active < dag.max_active_tasks() as usize
                && run.state == RunState::Running
                && !self.paused.contains(&run.dag_id);
            for row in kept.tasks.values() {
                let rank = (run.backfill.is_some(), Reverse(row.priority), at);
                let spec = &dag.spec().tasks[row.task.get()];
                let gated = spec
                    .max_active_tis_per_dag
                    .or(spec.max_active_tis_per_dagrun);
                let want = (team, &row.pool, row.pool_slots);
                if claimed.contains(&(run.key, row.index())) {
                    let worst = last.entry(want).or_insert(rank);
                    *worst = rank.max(*worst);
                } else if row.fields.state == Some(TaskState::Scheduled) && open && gated.is_none()
                {
                    waiting.push((want, rank, run.key, row.index()));
                }
            }
        }
        for (want, rank, run, at) in waiting {
            let overtaken = last.get(&want).is_some_and(|worst| rank < *worst);
            assert!(
                !overtaken,
                "{run:?} {at:?} was passed over by one less important"
            );
        }
    }

    pub(crate) fn check_bounds(&self) {
        let running = || self.executor.running.values();
        assert!(
            running().count() <= self.setup.parallelism as usize,
            "parallelism was exceeded"
        );
        let mut count = Counts::new();
        for of in running() {
            let (work, dag) = (&of.work, &of.dag);
            let (task, spec) = dag.task(work.key.task).unwrap();
            let team = work.team();
            let own = self
                .setup
                .teams
                .iter()
                .find(|setup| setup.name == *team)
                .unwrap();
            add(&mut count, Bound::Team(team.clone()), 1, own.capacity);
            let run = Some(work.key.run);
            add(&mut count, Bound::Run(run), 1, dag.max_active_tasks());
            let of_team = |pool: &&Pool| pool.scope == Scope::Team(team.clone());
            let named = || {
                self.setup
                    .pools
                    .iter()
                    .filter(|pool| pool.name == task.pool)
            };
            if let Some(pool) = named().find(of_team).or_else(|| named().next()) {
                let slots = u32::try_from(pool.slots).unwrap();
                add(
                    &mut count,
                    Bound::Pool(&pool.scope, &pool.name),
                    spec.pool_slots,
                    slots,
                );
            }
            if let Some(limit) = spec.max_active_tis_per_dag {
                add(&mut count, Bound::Task(dag.id(), &task.id, None), 1, limit);
            }
            if let Some(limit) = spec.max_active_tis_per_dagrun {
                add(&mut count, Bound::Task(dag.id(), &task.id, run), 1, limit);
            }
        }
        let mut runs: HashMap<(&DagId, Option<BackfillId>), u32> = HashMap::new();
        for run in self
            .database
            .active
            .iter()
            .map(|key| &self.database.runs[key].run)
        {
            let running = u32::from(run.state == RunState::Running);
            *runs.entry((&run.dag_id, run.backfill)).or_default() += running;
        }
        for ((dag, backfill), running) in runs {
            let open = |b: &&Backfill| b.completed_at.is_none();
            let limit = match backfill {
                None => self.by_id[dag].0.max_active_runs(),
                Some(id) => match self.database.backfills.get(&id).filter(open) {
                    Some(backfill) => backfill.max_active_runs,
                    None => continue,
                },
            };
            let names = || {
                let of = self
                    .database
                    .active
                    .iter()
                    .map(|key| &self.database.runs[key].run);
                let of = of.filter(|run| run.dag_id == *dag && run.backfill == backfill);
                of.map(|run| (run.run_id.to_string(), run.state))
                    .collect::<Vec<_>>()
            };
            assert!(
                running <= limit,
                "{running} runs of {dag} at once, of backfill {backfill:?}: {:?}",
                names()
            );
        }
    }
}
