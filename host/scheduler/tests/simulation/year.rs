//! A year of a hundred mixed DAGs of four teams: by crontab lines in zones that change their clocks, by deltas,
//! by intervals, once, by assets, with a past to wait for. Stores fail, hosts die, people repair and backfill.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use airlock_model::{
    dag::{AssetCondition, AssetRef, AssetSpec, CronLine, Dag, DagSpec, Schedule, TaskSpec},
    id::{RunKey, TeamName},
    port::{NewBackfill, Repair, Selection},
    run::Mark,
    state::Reprocess,
    time::Timestamp,
    timetable::Restriction,
};
use airlock_scheduler::{
    TeamSetup,
    engine::{Event, RepairOrder},
};

use crate::{
    chaos::backfill,
    dags::{TASK_KINDS, callbacks, made, pools, shape},
    executor::roll,
    world::{Setup, World},
};

const DAGS: usize = 100;
const DAY: Duration = Duration::from_secs(86_400);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn teams() -> Vec<TeamSetup> {
    let names = ["first", "second", "third", "fourth"];
    let of = |(name, weight): (&&str, u32)| TeamSetup {
        name: TeamName::new(*name).unwrap(),
        weight,
        capacity: 8,
    };
    names.iter().zip(1..).map(of).collect()
}

fn crons(lines: &[&str], timezone: Option<&str>) -> Schedule {
    let line = |line: &&str| CronLine {
        expression: (*line).into(),
        timezone: timezone.map(Into::into),
    };
    match Schedule::cron("@daily", None) {
        Schedule::Cron {
            interval,
            run_immediately,
            ..
        } => Schedule::Cron {
            lines: lines.iter().map(line).collect(),
            interval,
            run_immediately,
        },
        other => other,
    }
}

/// The DAG of a number: its team, its kind and its asset follow from that, its tasks from the seed.
fn dag(n: usize, seed: u64) -> (Arc<Dag>, TeamName) {
    let team = teams()[n % 4].name.clone();
    let luck = roll((seed, n));
    let zone = ["Europe/Zurich", "America/New_York", "Australia/Lord_Howe"][n / 10 % 3];
    let asset = |of: usize| AssetRef::Name(format!("asset{of}"));
    let own = (n % 10 == 6).then(|| format!("asset{}", n / 10 % 2));
    let count = 2 + usize::try_from(luck % 5).unwrap();
    let mut spec = DagSpec {
        start_date: Some(at("2024-01-01")),
        end_date: Some(at("2024-12-31T23:59:59")),
        catchup: n % 3 != 2,
        max_active_runs: Some(2 + u32::try_from(luck >> 8 & 7).unwrap()),
        max_active_tasks: Some(2 + u32::try_from(luck >> 16 & 3).unwrap()),
        ..shape(&format!("dag{n}"), luck, count, own.as_deref())
    };
    spec.assets = (0..2)
        .map(|i| AssetSpec {
            name: format!("asset{i}"),
            ..AssetSpec::default()
        })
        .collect();
    match n % 10 {
        0 if n == 0 => spec.schedule = crons(&["0 * * * *"], Some(zone)),
        0 | 1 => spec.schedule = crons(&["30 2 * * *"], Some(zone)),
        2 => spec.schedule = Schedule::cron("@daily", None),
        3 => spec.schedule = Schedule::every(Duration::from_secs(43_200)),
        4 => spec.schedule = crons(&["0 6 * * 1", "0 18 * * fri", "0 12 L * *"], Some(zone)),
        5 => {
            spec.schedule = Schedule::CronInterval(CronLine {
                expression: "0 1 */2 * *".into(),
                timezone: Some(zone.into()),
            })
        }
        6 => spec.schedule = crons(&["0 3 * * 0"], None),
        7 if n % 20 == 7 => spec.schedule = Schedule::Once,
        7 => {
            let every = Duration::from_secs(3 * 86_400).into();
            spec.schedule = Schedule::DeltaInterval { every };
        }
        8 => {
            let both = vec![AssetCondition::Of(asset(0)), AssetCondition::Of(asset(1))];
            spec.asset_condition = Some(match n / 10 % 2 {
                0 => AssetCondition::Any(both),
                _ => AssetCondition::All(both),
            });
        }
        _ => {
            spec.schedule = crons(&["15 4 1 * *"], Some(zone));
            spec.asset_condition = Some(AssetCondition::Of(asset(n / 10 % 2)));
        }
    }
    if matches!(n % 10, 3 | 7) {
        // Without catch-up a delta counts on from whenever its last run was late.
        spec.catchup = true;
    }
    if n % 10 == 2 {
        // One task after the other, each of which waits for its own past.
        spec.tasks = (0..count).map(|i| step(i, i % 2 == 1)).collect();
        spec.catchup = true;
    }
    (made(spec), team)
}

fn step(i: usize, wait_for_downstream: bool) -> TaskSpec {
    TaskSpec {
        task_id: format!("t{i}"),
        entry: "plain".into(),
        upstream: (0..i).rev().take(1).map(|up| format!("t{up}")).collect(),
        retries: 3,
        retry_delay: Duration::from_secs(60),
        depends_on_past: true,
        wait_for_downstream,
        callbacks: callbacks(TASK_KINDS),
        ..TaskSpec::default()
    }
}

/// The times for which a DAG's runs are due, as its timetable alone has them.
fn due(dag: &Dag) -> BTreeSet<Timestamp> {
    let spec = dag.spec();
    let every = |seconds: u64, count: u64| {
        let first = at("2024-01-01");
        (0..count).map(move |n| first.after(Duration::from_secs(n * seconds)))
    };
    match &spec.schedule {
        Schedule::None => BTreeSet::new(),
        Schedule::Once => [at("2024-01-01")].into(),
        // These can be told without asking anybody: the year has 366 days.
        Schedule::Delta { .. } => every(43_200, 732).collect(),
        _ if spec.schedule == Schedule::cron("@daily", None) => every(86_400, 366).collect(),
        _ => {
            let bounds = Restriction {
                catchup: true,
                ..Restriction::from(spec)
            };
            let runs = dag.timetable().next_runs(None, bounds, at("2025-02-01"));
            runs.known()
                .unwrap()
                .map(|run| run.logical_date())
                .collect()
        }
    }
}

/// A host, and when what happens to it next.
struct Year {
    world: World,
    seed: u64,
    write_at: Option<Timestamp>,
    crash_at: Timestamp,
    people_at: Timestamp,
    moments: u64,
}

impl Year {
    fn new(seed: u64) -> Self {
        let teams = teams();
        let names: Vec<TeamName> = teams.iter().map(|team| team.name.clone()).collect();
        let setup = Setup {
            parallelism: 24,
            teams,
            pools: pools(&names),
            dags: (0..DAGS).map(|n| dag(n, seed)).collect(),
        };
        let now = at("2024-01-01");
        let mut world = World::new(setup, seed, now);
        world.order_every = 32;
        Self {
            world,
            seed,
            write_at: None,
            crash_at: now.after(DAY * 3),
            people_at: now.after(DAY),
            moments: 0,
        }
    }

    fn luck(&self, what: &str) -> u64 {
        roll((self.seed, self.moments, what))
    }

    /// Lives until nothing comes any more.
    fn live(&mut self) {
        let end = at("2025-01-01");
        self.round();
        loop {
            let ends = self
                .world
                .executor
                .running
                .values()
                .map(|of| of.ends_at)
                .min();
            let timer = self.world.engine.next_timer();
            let ours = [self.crash_at, self.people_at]
                .into_iter()
                .filter(|&at| at < end);
            let next = [self.write_at, ends, timer]
                .into_iter()
                .flatten()
                .chain(ours)
                .min();
            let Some(next) = next else { return };
            assert!(next < at("2025-03-01"), "something goes on for ever");
            self.moments += 1;
            self.world.now = self.world.now.max(next);
            self.moment();
            self.round();
        }
    }

    fn moment(&mut self) {
        let now = self.world.now;
        if self.write_at.is_some_and(|at| at <= now) {
            let fails = self.luck("write").is_multiple_of(50);
            self.world.finish_write(fails);
            let pause = match self.luck("full").is_multiple_of(10) {
                true => Duration::from_secs(5),
                false => Duration::from_millis(50),
            };
            self.write_at = fails.then(|| now.after(pause));
        }
        let over = self
            .world
            .executor
            .running
            .iter()
            .filter(|(_, of)| of.ends_at <= now);
        let over: Vec<_> = over.map(|(&key, _)| key).collect();
        over.into_iter().for_each(|key| self.world.end(key));
        let polled = self.luck("poll");
        if polled.is_multiple_of(4) {
            self.world.poll(usize::try_from(polled >> 8).unwrap_or(0));
        }
        if now >= self.crash_at {
            self.world.crash(self.luck("written").is_multiple_of(2));
            self.write_at = None;
            self.crash_at = now.after(DAY * 3 + Duration::from_secs(self.luck("crash") % 200_000));
        }
        if now >= self.people_at {
            self.people();
            self.world.haunt(0);
            self.people_at = now.after(Duration::from_secs(20_000 + self.luck("people") % 100_000));
        }
    }

    fn round(&mut self) {
        self.world.answer_questions();
        self.world.round();
        // An answer may allow what is then written at once.
        self.world.answer_questions();
        if self.world.is_writing() && self.write_at.is_none() {
            self.write_at = Some(self.world.now.after(Duration::from_millis(5)));
        }
    }

    /// Somebody clears or marks what a run of late has left, or runs some days once more.
    fn people(&mut self) {
        let luck = self.luck("what");
        let runs = &self.world.database.runs;
        let late = usize::try_from(luck >> 8).unwrap_or(0) % 300;
        let Some(key) = runs
            .keys()
            .rev()
            .nth(late.min(runs.len().saturating_sub(1)))
            .copied()
        else {
            return;
        };
        if luck.is_multiple_of(8) {
            let n = 10 * usize::try_from(luck >> 16 & 7).unwrap()
                + [1, 5][usize::try_from(luck >> 20 & 1).unwrap()];
            let to = self.world.now;
            let from = Timestamp::from_micros(to.micros() - 5 * 86_400_000_000).unwrap();
            let new = NewBackfill {
                dag_id: self.world.setup.dags[n].0.id().clone(),
                from,
                to: Timestamp::from_micros(to.micros() - 86_400_000_000).unwrap(),
                reprocess: [Reprocess::Failed, Reprocess::Completed]
                    [usize::try_from(luck >> 24 & 1).unwrap()],
                reverse: luck >> 28 & 1 == 0,
                max_active_runs: 2,
                conf: serde_json::Map::new(),
                dry_run: false,
            };
            if from >= at("2024-01-01") && to < at("2024-12-25") {
                backfill(&mut self.world, new);
            }
            return;
        }
        let Some(loaded) = self.world.load(key) else {
            return;
        };
        if loaded
            .dag
            .spec()
            .tasks
            .iter()
            .any(|task| task.depends_on_past)
        {
            return;
        }
        let repair = match luck % 3 {
            0 => Repair::Mark(Mark::Success),
            _ => Repair::Clear {
                latest_version: false,
            },
        };
        let selection = Selection {
            run_ids: vec![loaded.stored.run.run_id.clone()],
            downstream: luck.is_multiple_of(2),
            only_failed: !luck.is_multiple_of(5),
            ..Selection::default()
        };
        self.world.database.repaired.insert(key);
        let order = RepairOrder {
            runs: vec![loaded],
            selection,
            repair,
            dry_run: false,
        };
        self.world.ask(|reply| Event::Repair(order, reply));
    }

    fn check(&self) {
        let database = &self.world.database;
        if let Some(key) = database.active.first() {
            let kept = &database.runs[key];
            let tasks = kept
                .tasks
                .values()
                .map(|row| (row.task_id.as_str(), row.map_index.0, row.fields.state));
            panic!(
                "a run is stuck: {:?}: {:?}",
                kept.run,
                tasks.collect::<Vec<_>>()
            );
        }
        for (dag, _) in &self.world.setup.dags {
            let all = (dag.id().clone(), Timestamp::EPOCH)..(dag.id().clone(), at("2030-01-01"));
            let made: BTreeSet<Timestamp> =
                database.dates.range(all).map(|((_, at), _)| *at).collect();
            let due = due(dag);
            let missing: Vec<_> = due.difference(&made).collect();
            let strange: Vec<_> = made.difference(&due).collect();
            assert!(
                missing.is_empty(),
                "{} lacks runs for {missing:?}",
                dag.id()
            );
            assert!(strange.is_empty(), "{} has runs for {strange:?}", dag.id());
        }
        let any: Vec<RunKey> = database.consumed.values().copied().collect();
        assert!(!any.is_empty(), "no asset made a run");
        assert!(
            database
                .backfills
                .values()
                .all(|backfill| backfill.completed_at.is_some())
        );
        assert_eq!(self.world.engine.in_flight(), 0);
        assert_eq!(self.world.engine.active_runs(), 0);
    }
}

/// Says how a life can be lived again, when it went wrong.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "AIRLOCK_SIMULATION_SEED={} lives through this again",
                self.0
            );
        }
    }
}

fn live(seed: u64) {
    let _replay = Replay(seed);
    let mut year = Year::new(seed);
    year.live();
    year.check();
}

#[test]
fn a_year_of_a_hundred_mixed_dags() {
    match std::env::var("AIRLOCK_SIMULATION_SEED") {
        Ok(seed) => live(seed.parse().unwrap()),
        Err(_) => live(2024),
    }
}

#[test]
fn a_year_of_a_hundred_other_dags() {
    if std::env::var("AIRLOCK_SIMULATION_SEED").is_err() {
        let now = std::time::SystemTime::now();
        let seed = roll(
            now.duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_nanos(),
        );
        println!("AIRLOCK_SIMULATION_SEED={seed}");
        live(seed);
    }
}
