//! Who may start next: pools, limits, priority within a team and fairness between teams.
//!
//! A ready task instance stands in the *lane* of its run, pool and number of slots, most important first. A team's lanes are
//! ordered by their heads, so that the best candidate of a team is found without looking at the others, and
//! a lane that cannot move (its run is at its limit, its DAG is paused) leaves the order until it can.
//! Between teams the one that holds the smallest share of slots for its weight goes first, and of equals the one
//! that was served longest ago: a team with a hundred thousand ready tasks gets a free slot only when no
//! lighter-loaded team has a use for it.
//!
//! The bounds of that, for teams of weights `w` that sum up to `W`, of which `T` have something to start that may
//! start (its pool and the limits of its run and its team leave it room):
//!
//! - A ready task of a team that holds no slot starts at the latest when `T` tries have ended, whatever the
//!   weights and however much the others have ready: each of the others goes before it at most once, and only
//!   if it holds no slot either. If all others hold two or more, it starts when the first try ends.
//! - No team is given a slot while another waits that holds less for its weight. So of `P` free slots
//!   that all of them want, each gets at least `(P − T + 1) · w / W`.
//!
//! Every operation costs the logarithm of the lanes, not of the tasks.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
};

use crate::id::{InstanceIndex, RunKey};

/// A pool's number, as [`Admission::pool`] gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolIndex(usize);

/// A team's number, as [`Admission::team`] gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TeamIndex(usize);

/// What a run brings to the order of tasks: its DAG's age and its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunRank {
    /// Whose it is.
    pub team: TeamIndex,
    /// Tasks of it at once.
    pub max_active_tasks: u32,
    /// Behind all runs that are not: a backfill's.
    pub last: bool,
    /// Earlier goes first among equal priorities: the logical date, or when it could start.
    pub at: i64,
}

/// A task instance that got a slot. Hand it back with [`Admission::release`] when it no longer needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// The run.
    pub run: RunKey,
    /// The task instance.
    pub at: InstanceIndex,
    /// The pool whose slots it holds.
    pub pool: PoolIndex,
    /// How many.
    pub slots: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    priority: i64,
    /// Earlier positions and lower map indexes first.
    at: Reverse<InstanceIndex>,
}

/// What a lane's instances want. One that wants more slots than are left lets those by that want fewer
/// (Airflow's semantics, 3.6), so they stand in lanes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Want {
    pool: PoolIndex,
    slots: u32,
}

/// The order of lanes: those of backfills last, most important head first, then the oldest run.
type LaneRank = (bool, Reverse<i64>, i64, RunKey);

#[derive(Debug, Clone)]
struct PoolSlots {
    /// None: without bound.
    total: Option<u32>,
    used: u32,
}

impl PoolSlots {
    fn fits(&self, slots: u32) -> bool {
        self.total
            .is_none_or(|total| self.used.saturating_add(slots) <= total)
    }
}

#[derive(Debug, Default)]
struct Team {
    weight: u32,
    capacity: u32,
    running: u32,
    /// When it was last served, counted in admissions; zero: never.
    served: u64,
    /// Ready task instances in all its lanes, also those that cannot move.
    ready: u64,
    lanes: HashMap<Want, BTreeSet<LaneRank>>,
}

impl Team {
    /// Whether it is to be served before another: it holds fewer slots for its weight, or as many and was served
    /// longer ago.
    fn goes_before(&self, other: &Self) -> bool {
        let own = u64::from(self.running) * u64::from(other.weight);
        let others = u64::from(other.running) * u64::from(self.weight);
        (own, self.served) < (others, other.served)
    }
}

#[derive(Debug)]
struct RunLanes {
    rank: RunRank,
    active: u32,
    held: bool,
    lanes: HashMap<Want, BinaryHeap<Ready>>,
}

impl RunLanes {
    const fn open(&self) -> bool {
        !self.held && self.active < self.rank.max_active_tasks
    }
}

/// All that is ready, and all that is taken.
#[derive(Debug, Default)]
pub struct Admission {
    parallelism: u32,
    running: u32,
    admissions: u64,
    pools: Vec<PoolSlots>,
    teams: Vec<Team>,
    runs: HashMap<RunKey, RunLanes>,
}

impl Admission {
    /// At most `parallelism` tries at once over all teams.
    #[must_use]
    pub fn new(parallelism: u32) -> Self {
        Self {
            parallelism,
            ..Self::default()
        }
    }

    /// Adds a pool; a negative number of slots means without bound.
    pub fn pool(&mut self, slots: i32) -> PoolIndex {
        self.pools.push(PoolSlots {
            total: u32::try_from(slots).ok(),
            used: 0,
        });
        PoolIndex(self.pools.len() - 1)
    }

    /// Changes a pool's slots. Fewer than are taken: nothing starts in it until enough are given back.
    pub fn resize(&mut self, pool: PoolIndex, slots: i32) {
        if let Some(pool) = self.pools.get_mut(pool.0) {
            pool.total = u32::try_from(slots).ok();
        }
    }

    /// Adds a team that may run `capacity` tries at once. A team of weight two gets twice the share of one
    /// of weight one where both want more than there is.
    pub fn team(&mut self, weight: u32, capacity: u32) -> TeamIndex {
        self.teams.push(Team {
            weight: weight.max(1),
            capacity,
            ..Team::default()
        });
        TeamIndex(self.teams.len() - 1)
    }

    /// Adds a run, held or not.
    pub fn add_run(&mut self, run: RunKey, rank: RunRank, held: bool) {
        self.runs.insert(
            run,
            RunLanes {
                rank,
                active: 0,
                held,
                lanes: HashMap::new(),
            },
        );
    }

    /// Forgets a run and what of it is ready. What it still holds must be released by whoever holds it.
    pub fn remove_run(&mut self, run: RunKey) {
        self.close_lanes(run);
        if let Some(gone) = self.runs.remove(&run) {
            let ready: usize = gone.lanes.values().map(BinaryHeap::len).sum();
            if let Some(team) = self.teams.get_mut(gone.rank.team.0) {
                team.ready = team.ready.saturating_sub(ready as u64);
            }
        }
    }

    /// Holds a run (its DAG is paused) or lets it go on.
    pub fn hold(&mut self, run: RunKey, held: bool) {
        self.close_lanes(run);
        if let Some(lanes) = self.runs.get_mut(&run) {
            lanes.held = held;
        }
        self.open_lanes(run);
    }

    /// A task instance is ready and waits for `slots` of `pool`.
    pub fn enqueue(
        &mut self,
        run: RunKey,
        at: InstanceIndex,
        pool: PoolIndex,
        slots: u32,
        priority: i64,
    ) {
        let Some(lanes) = self.runs.get_mut(&run) else {
            return;
        };
        let Some(team) = self.teams.get_mut(lanes.rank.team.0) else {
            return;
        };
        let want = Want { pool, slots };
        let lane = lanes.lanes.entry(want).or_default();
        let head = lane.peek().copied();
        lane.push(Ready {
            priority,
            at: Reverse(at),
        });
        team.ready += 1;
        if lanes.open() {
            let order = team.lanes.entry(want).or_default();
            if head.is_none_or(|head| head.priority < priority) {
                if let Some(head) = head {
                    order.remove(&(lanes.rank.last, Reverse(head.priority), lanes.rank.at, run));
                }
                order.insert((lanes.rank.last, Reverse(priority), lanes.rank.at, run));
            }
        }
    }

    /// The next task instance to start, with its slots taken; none when nothing may start.
    pub fn admit(&mut self) -> Option<Admitted> {
        if self.running >= self.parallelism {
            return None;
        }
        let mut best: Option<(&Team, usize, Want, LaneRank)> = None;
        for (index, team) in self.teams.iter().enumerate() {
            if team.running >= team.capacity {
                continue;
            }
            if best.is_some_and(|(least, ..)| !team.goes_before(least)) {
                continue;
            }
            if let Some((want, rank)) = self.candidate(team) {
                best = Some((team, index, want, rank));
            }
        }
        let (_, team, want, (.., run)) = best?;
        self.close_lanes(run);
        let taken = self.runs.get_mut(&run).and_then(|lanes| {
            let lane = lanes.lanes.get_mut(&want)?;
            let ready = lane.pop()?;
            if lane.is_empty() {
                lanes.lanes.remove(&want);
            }
            lanes.active += 1;
            Some(ready)
        });
        self.open_lanes(run);
        let ready = taken?;
        let Want { pool, slots } = want;
        if let Some(pool) = self.pools.get_mut(pool.0) {
            pool.used += slots;
        }
        self.admissions += 1;
        if let Some(team) = self.teams.get_mut(team) {
            team.running += 1;
            team.ready -= 1;
            team.served = self.admissions;
        }
        self.running += 1;
        Some(Admitted {
            run,
            at: ready.at.0,
            pool,
            slots,
        })
    }

    /// The most important head among a team's open lanes whose slots fit.
    fn candidate(&self, team: &Team) -> Option<(Want, LaneRank)> {
        let fits = |want: &Want| {
            self.pools
                .get(want.pool.0)
                .is_some_and(|p| p.fits(want.slots))
        };
        team.lanes
            .iter()
            .filter(|(want, _)| fits(want))
            .filter_map(|(&want, lanes)| Some((want, *lanes.first()?)))
            .min_by_key(|&(want, rank)| (rank, want))
    }

    /// A task instance gives its slots back.
    pub fn release(&mut self, team: TeamIndex, admitted: Admitted) {
        self.give_back(admitted.pool, admitted.slots);
        self.running = self.running.saturating_sub(1);
        if let Some(team) = self.teams.get_mut(team.0) {
            team.running = team.running.saturating_sub(1);
        }
        let Some(lanes) = self.runs.get_mut(&admitted.run) else {
            return;
        };
        let was_open = lanes.open();
        lanes.active = lanes.active.saturating_sub(1);
        if !was_open {
            self.open_lanes(admitted.run);
        }
    }

    /// Takes slots of a pool for what does not run: a deferred task, in a pool that counts those. They may be more
    /// than the pool has, and then nothing starts in it until enough are given back.
    pub fn take(&mut self, pool: PoolIndex, slots: u32) {
        if let Some(pool) = self.pools.get_mut(pool.0) {
            pool.used = pool.used.saturating_add(slots);
        }
    }

    /// Gives slots back that were [taken](Self::take).
    pub fn give_back(&mut self, pool: PoolIndex, slots: u32) {
        if let Some(pool) = self.pools.get_mut(pool.0) {
            pool.used = pool.used.saturating_sub(slots);
        }
    }

    /// Tries that hold a slot, and task instances that wait for one.
    #[must_use]
    pub fn load(&self, team: TeamIndex) -> (u64, u64) {
        self.teams
            .get(team.0)
            .map_or((0, 0), |team| (u64::from(team.running), team.ready))
    }

    /// Slots of a pool; none: without bound.
    #[must_use]
    pub fn slots(&self, pool: PoolIndex) -> Option<u32> {
        self.pools.get(pool.0).and_then(|pool| pool.total)
    }

    /// Slots taken of a pool.
    #[must_use]
    pub fn used(&self, pool: PoolIndex) -> u32 {
        self.pools.get(pool.0).map_or(0, |pool| pool.used)
    }

    fn close_lanes(&mut self, run: RunKey) {
        let Some(lanes) = self.runs.get(&run) else {
            return;
        };
        let Some(team) = self.teams.get_mut(lanes.rank.team.0) else {
            return;
        };
        for (want, lane) in &lanes.lanes {
            if let (Some(order), Some(head)) = (team.lanes.get_mut(want), lane.peek()) {
                order.remove(&(lanes.rank.last, Reverse(head.priority), lanes.rank.at, run));
                if order.is_empty() {
                    team.lanes.remove(want);
                }
            }
        }
    }

    fn open_lanes(&mut self, run: RunKey) {
        let Some(lanes) = self.runs.get(&run) else {
            return;
        };
        let Some(team) = self.teams.get_mut(lanes.rank.team.0) else {
            return;
        };
        if !lanes.open() {
            return;
        }
        for (&want, lane) in &lanes.lanes {
            if let Some(head) = lane.peek() {
                team.lanes.entry(want).or_default().insert((
                    lanes.rank.last,
                    Reverse(head.priority),
                    lanes.rank.at,
                    run,
                ));
            }
        }
    }
}

#[cfg(test)]
mod fairness;
#[cfg(test)]
mod tests;
