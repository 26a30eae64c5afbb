//! A few small DAGs, and whatever can happen in any order.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use airlock_model::{
    dag::{AssetCondition, AssetRef, AssetSpec, Dag, DagSpec, Schedule},
    id::{BackfillId, DagId, RunKey, TaskInstanceKey, TeamName},
    port::{BackfillOrder, NewBackfill, Repair, Selection, TriggerRun},
    run::Mark,
    state::{Reprocess, RunState, TaskState},
    time::Timestamp,
};
use airlock_scheduler::{
    TeamSetup,
    engine::{Event, RepairOrder, backfill::BackfillRequest},
};
use proptest::prelude::*;

use crate::{
    dags::{made, pools, shape},
    world::{Setup, World},
};

const DAYS: u32 = 6;

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Round,
    Write {
        fails: bool,
    },
    End(usize),
    Start(usize),
    Ghost(usize),
    Poll(usize),
    Echo(usize),
    Crash {
        written: bool,
    },
    Lose,
    Answer,
    Pause(usize, bool),
    Repair {
        run: usize,
        task: usize,
        downstream: bool,
        repair: Repair,
    },
    MarkRun(usize, bool),
    Trigger(usize),
    Backfill {
        dag: usize,
        from: u64,
        days: u64,
        reprocess: usize,
        reverse: bool,
        most: u32,
    },
    OrderBackfill(BackfillOrder),
    DeleteRun(usize),
    DeleteDag(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let repairs = vec![
        Repair::Clear {
            latest_version: false,
        },
        Repair::Clear {
            latest_version: false,
        },
        Repair::Mark(Mark::Success),
        Repair::Mark(Mark::Failed),
        Repair::Mark(Mark::Skipped),
    ];
    let repairs = proptest::sample::select(repairs);
    let orders = vec![
        BackfillOrder::Pause,
        BackfillOrder::Unpause,
        BackfillOrder::Cancel,
    ];
    let backfill = (
        0..2_usize,
        0..5_u64,
        0..4_u64,
        0..3_usize,
        any::<bool>(),
        1..3_u32,
    );
    prop_oneof![
        6 => (1..60_000_u64).prop_map(Step::Wait),
        18 => Just(Step::Round),
        18 => prop_oneof![5 => Just(false), 1 => Just(true)].prop_map(|fails| Step::Write { fails }),
        24 => any::<usize>().prop_map(Step::End),
        6 => any::<usize>().prop_map(Step::Start),
        3 => any::<usize>().prop_map(Step::Ghost),
        6 => any::<usize>().prop_map(Step::Poll),
        1 => any::<usize>().prop_map(Step::Echo),
        2 => any::<bool>().prop_map(|written| Step::Crash { written }),
        1 => Just(Step::Lose),
        3 => Just(Step::Answer),
        2 => (0..3_usize, any::<bool>()).prop_map(|(dag, paused)| Step::Pause(dag, paused)),
        4 => (any::<usize>(), any::<usize>(), any::<bool>(), repairs)
            .prop_map(|(run, task, downstream, repair)| Step::Repair { run, task, downstream, repair }),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(run, well)| Step::MarkRun(run, well)),
        1 => (0..3_usize).prop_map(Step::Trigger),
        2 => backfill.prop_map(|(dag, from, days, reprocess, reverse, most)| Step::Backfill { dag, from, days, reprocess, reverse, most }),
        2 => proptest::sample::select(orders).prop_map(Step::OrderBackfill),
        1 => any::<usize>().prop_map(Step::DeleteRun),
        1 => (0..3_usize).prop_map(Step::DeleteDag),
    ]
}

fn day(n: u64) -> Timestamp {
    let first: Timestamp = "2012-01-01".parse().unwrap();
    first.after(Duration::from_secs(n * 86_400))
}

/// Two DAGs by the day, the first of which changes an asset; and one that waits for that.
fn dags(seed: u64, counts: (usize, usize)) -> Vec<Arc<Dag>> {
    let daily = |name: &str, count, outlet| DagSpec {
        schedule: Schedule::cron("@daily", None),
        start_date: Some(day(0)),
        end_date: Some(day(u64::from(DAYS) - 1)),
        catchup: true,
        max_active_runs: Some(3),
        max_active_tasks: Some(2),
        ..shape(name, seed, count, outlet)
    };
    let mut first = daily("a", counts.0, Some("data"));
    first.assets = vec![AssetSpec {
        name: "data".into(),
        ..AssetSpec::default()
    }];
    let last = DagSpec {
        asset_condition: Some(AssetCondition::Of(AssetRef::Name("data".into()))),
        max_active_runs: Some(2),
        ..shape("c", seed ^ 2, 2, None)
    };
    [first, daily("b", counts.1, None), last]
        .into_iter()
        .map(made)
        .collect()
}

struct Chaos {
    world: World,
    dags: Vec<Arc<Dag>>,
    /// Dates whose runs somebody has deleted.
    deleted: BTreeSet<(DagId, Timestamp)>,
}

impl Chaos {
    fn new(seed: u64, counts: (usize, usize)) -> Self {
        let (dags, team) = (dags(seed, counts), TeamName::default_team());
        let setup = Setup {
            parallelism: 6,
            teams: vec![TeamSetup {
                name: team.clone(),
                weight: 1,
                capacity: 5,
            }],
            pools: pools(std::slice::from_ref(&team)),
            dags: dags
                .iter()
                .map(|dag| (Arc::clone(dag), team.clone()))
                .collect(),
        };
        Self {
            world: World::new(setup, seed, day(0)),
            dags,
            deleted: BTreeSet::new(),
        }
    }

    fn run(&self, pick: usize) -> Option<RunKey> {
        let runs = &self.world.database.runs;
        runs.keys().nth(pick.checked_rem(runs.len())?).copied()
    }

    fn pause(&mut self, dag: usize, paused: bool) {
        let id = self.dags[dag].id().clone();
        self.world.pause(&id, paused);
    }

    fn step(&mut self, step: Step) {
        let now = self.world.now;
        match step {
            Step::Wait(seconds) => self.world.now = now.after(Duration::from_secs(seconds)),
            Step::Round => self.world.round(),
            Step::Write { fails } => self.world.finish_write(fails),
            Step::End(pick) => {
                let running = &self.world.executor.running;
                let key = running
                    .keys()
                    .nth(pick.checked_rem(running.len()).unwrap_or(0))
                    .copied();
                key.into_iter().for_each(|key| self.world.end(key));
            }
            Step::Start(pick) => {
                let running = &self.world.executor.running;
                let of = running
                    .values()
                    .nth(pick.checked_rem(running.len()).unwrap_or(0));
                if let Some((key, token)) = of.map(|of| (of.work.key, of.work.token)) {
                    self.world.engine.handle(
                        Event::Started {
                            key,
                            token,
                            at: now,
                        },
                        now,
                    );
                }
            }
            Step::Ghost(pick) => self.world.haunt(pick),
            Step::Poll(pick) => self.world.poll(pick),
            Step::Echo(pick) => self.world.echo(pick),
            Step::Crash { written } => self.world.crash(written),
            Step::Lose => self.world.lose_and_reap(),
            Step::Answer => self.world.answer_questions(),
            Step::Pause(dag, paused) => self.pause(dag, paused),
            Step::Repair {
                run,
                task,
                downstream,
                repair,
            } => self.repair(run, task, downstream, repair),
            Step::MarkRun(pick, well) => {
                let Some(loaded) = self.run(pick).and_then(|run| self.world.load(run)) else {
                    return;
                };
                self.world.database.repaired.insert(loaded.stored.run.key);
                self.world
                    .ask(|reply| Event::MarkRun(Box::new(loaded), well, reply));
            }
            Step::Trigger(dag) => {
                let request = TriggerRun::now(self.dags[dag].id().clone());
                self.world
                    .ask(|reply| Event::Trigger(Box::new(request), reply));
            }
            Step::Backfill {
                dag,
                from,
                days,
                reprocess,
                reverse,
                most,
            } => {
                let new = NewBackfill {
                    dag_id: self.dags[dag].id().clone(),
                    from: day(from),
                    to: day(from + days),
                    reprocess: [Reprocess::None, Reprocess::Failed, Reprocess::Completed]
                        [reprocess],
                    reverse,
                    max_active_runs: most,
                    conf: serde_json::Map::new(),
                    dry_run: false,
                };
                backfill(&mut self.world, new);
            }
            Step::OrderBackfill(order) => {
                let open = self
                    .world
                    .database
                    .backfills
                    .values()
                    .find(|b| b.completed_at.is_none());
                let Some(id) = open.map(|b| b.id) else { return };
                if order == BackfillOrder::Cancel {
                    let of =
                        |run: &&RunKey| self.world.database.runs[*run].run.backfill == Some(id);
                    let runs: Vec<RunKey> = self
                        .world
                        .database
                        .active
                        .iter()
                        .filter(of)
                        .copied()
                        .collect();
                    self.world.database.repaired.extend(runs);
                }
                self.world
                    .ask(|reply| Event::OrderBackfill(id, order, reply));
            }
            Step::DeleteRun(pick) => {
                let Some(key) = self.run(pick) else { return };
                let run = &self.world.database.runs[&key].run;
                if run.state.is_terminal() {
                    let date = run.logical_date.map(|at| (run.dag_id.clone(), at));
                    self.deleted.extend(date);
                    self.world.database.delete(key);
                    self.world.engine.handle(Event::RunDeleted(key), now);
                }
            }
            Step::DeleteDag(dag) => {
                let id = self.dags[dag].id().clone();
                let told = self.world.ask(|reply| Event::Forget(id.clone(), reply));
                if let Some(Ok(())) = told {
                    self.world.database.delete_dag(&id);
                    self.deleted.retain(|(of, _)| *of != id);
                    // The bundle still has it.
                    self.world.import();
                }
            }
        }
    }

    fn repair(&mut self, run: usize, task: usize, downstream: bool, repair: Repair) {
        let Some(loaded) = self.run(run).and_then(|run| self.world.load(run)) else {
            return;
        };
        let tasks = loaded.dag.tasks();
        let selection = Selection {
            run_ids: vec![loaded.stored.run.run_id.clone()],
            tasks: vec![(tasks[task % tasks.len()].id.clone(), None)],
            downstream,
            ..Selection::default()
        };
        self.world.database.repaired.insert(loaded.stored.run.key);
        let order = RepairOrder {
            runs: vec![loaded],
            selection,
            repair,
            dry_run: false,
        };
        self.world.ask(|reply| Event::Repair(order, reply));
    }

    fn is_done(&self) -> bool {
        let database = &self.world.database;
        let days = |dag: &Arc<Dag>| {
            let dates = (0..u64::from(DAYS)).map(|n| (dag.id().clone(), day(n)));
            dates
                .into_iter()
                .all(|date| database.dates.contains_key(&date) || self.deleted.contains(&date))
        };
        database.active.is_empty()
            && self.dags.iter().take(2).all(days)
            && database.queue.is_empty()
            && database
                .backfills
                .values()
                .all(|b| b.completed_at.is_some())
            && !self.world.is_writing()
            && self.world.engine.in_flight() == 0
    }

    /// What the engine says itself of task instances that have not ended.
    fn why_stuck(&mut self) -> Vec<String> {
        let database = &self.world.database;
        let open = database.active.iter().flat_map(|run| {
            let rows = database.runs[run].tasks.values();
            rows.filter(|row| !row.fields.state.is_some_and(TaskState::is_terminal))
                .map(|row| TaskInstanceKey {
                    run: *run,
                    task: row.task,
                    map_index: row.map_index,
                })
        });
        let open: Vec<_> = open.collect();
        open.into_iter()
            .map(|key| format!("{:?}", self.world.ask(|reply| Event::Why(key, reply))))
            .collect()
    }

    /// From here on nothing goes wrong, and everything must come to its end.
    fn finish(&mut self) {
        (0..self.dags.len()).for_each(|dag| self.pause(dag, false));
        let held = self
            .world
            .database
            .backfills
            .values()
            .filter(|b| b.completed_at.is_none());
        let held: Vec<BackfillId> = held.map(|b| b.id).collect();
        self.world.now = self.world.now.max(day(u64::from(DAYS)));
        for _ in 0..20 {
            self.world.round();
            self.world.finish_write(false);
        }
        for id in held {
            self.world
                .ask(|reply| Event::OrderBackfill(id, BackfillOrder::Unpause, reply));
        }
        for _ in 0..6_000 {
            self.world.answer_questions();
            self.world.round();
            self.world.finish_write(false);
            self.world.poll(0);
            let first = self.world.executor.running.keys().next().copied();
            match first {
                Some(key) => self.world.end(key),
                None if self.is_done() => return,
                None => self.world.now = self.world.now.after(Duration::from_secs(61)),
            }
        }
    }
}

/// Begins a backfill as [`airlock_model::port::Control::backfill`] does: with the runs that are there already.
pub(crate) fn backfill(world: &mut World, new: NewBackfill) {
    let range = (new.dag_id.clone(), new.from)..=(new.dag_id.clone(), new.to);
    let keys: Vec<RunKey> = world
        .database
        .dates
        .range(range)
        .map(|(_, &key)| key)
        .collect();
    let existing: Vec<_> = keys
        .iter()
        .map(|key| world.database.runs[key].run.clone())
        .collect();
    let again = |state| {
        matches!(state, RunState::Success | RunState::Failed) && new.reprocess != Reprocess::None
    };
    let loaded = existing
        .iter()
        .filter(|run| again(run.state))
        .filter_map(|run| world.load(run.key));
    let loaded: Vec<_> = loaded.collect();
    world.database.repaired.extend(keys);
    let request = BackfillRequest {
        new,
        existing,
        loaded,
    };
    world.ask(|reply| Event::Backfill(Box::new(request), reply));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_due_run_is_made_once_and_ends_whatever_happens(
        seed in any::<u64>(),
        counts in (1..9_usize, 1..9_usize),
        steps in proptest::collection::vec(step(), 0..400),
    ) {
        let mut chaos = Chaos::new(seed, counts);
        for step in steps {
            chaos.step(step);
        }
        chaos.finish();
        let stuck = chaos.why_stuck();
        let database = &chaos.world.database;
        for run in database.active.iter().map(|key| &database.runs[key]) {
            let tasks = run.tasks.values().map(|row| (row.task_id.as_str(), row.map_index.0, row.fields.state));
            let tasks: Vec<_> = tasks.collect();
            prop_assert!(false, "a run is stuck: {:?}: {:?}: {:?}", run.run, tasks, stuck);
        }
        prop_assert!(database.queue.is_empty(), "an asset event waits for ever: {:?}", database.queue);
        let overdue = database.waiting.overdue(chaos.world.now);
        prop_assert!(overdue.is_empty(), "nobody heard of a missed deadline: {:?}", overdue);
        let rests = &database.waiting.triggers;
        prop_assert!(rests.is_empty(), "triggers are left over: {:?}", rests);
        prop_assert!(chaos.is_done(), "due runs were not made: {:?}", database.dates.keys());
    }
}
