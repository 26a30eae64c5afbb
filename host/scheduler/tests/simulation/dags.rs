//! DAGs from a seed: mapped, grouped, branching, with setups and sensors, retries, pools and bounds.

use std::time::Duration;

use airlock_model::{
    callback::{CallbackKind, CallbackSpec, DeadlineReference, DeadlineSpec},
    connection::Pool,
    dag::{
        Argument, AssetRef, Dag, DagSpec, GroupSpec, MappedParameter, Mapping, Role, Source,
        TaskSpec,
    },
    id::{PoolName, Scope, TeamName},
    trigger_rule::TriggerRule,
};

use crate::executor::roll;

pub(crate) fn pool(scope: Scope, name: &str, slots: i32) -> Pool {
    Pool {
        scope,
        name: PoolName::new(name).unwrap(),
        slots,
        description: None,
        include_deferred: false,
    }
}

/// A pool of the team, whose slots keep what waits in it, and one that all share.
pub(crate) fn pools(teams: &[TeamName]) -> Vec<Pool> {
    let narrow = |team: &TeamName| Pool {
        include_deferred: true,
        ..pool(Scope::Team(team.clone()), "narrow", 3)
    };
    let of_teams = teams.iter().map(narrow);
    of_teams.chain([pool(Scope::Global, "shared", 4)]).collect()
}

fn parameter(source: Source) -> MappedParameter {
    MappedParameter {
        name: "x".into(),
        source,
    }
}

pub(crate) const TASK_KINDS: &[CallbackKind] = &[
    CallbackKind::TaskExecute,
    CallbackKind::TaskSuccess,
    CallbackKind::TaskFailure,
    CallbackKind::TaskRetry,
    CallbackKind::TaskSkipped,
];

pub(crate) fn callbacks(kinds: &[CallbackKind]) -> Vec<CallbackSpec> {
    let callback = |&on: &CallbackKind| CallbackSpec {
        on,
        entry: "hear".into(),
        arguments: "{}".into(),
    };
    kinds.iter().map(callback).collect()
}

/// One of each kind.
fn deadlines() -> Vec<DeadlineSpec> {
    let references = [
        DeadlineReference::LogicalDate,
        DeadlineReference::QueuedAt,
        DeadlineReference::StartedAt,
        DeadlineReference::Average {
            runs: 3,
            at_least: 2,
        },
    ];
    let deadline = |(i, reference): (usize, DeadlineReference)| DeadlineSpec {
        name: format!("d{i}"),
        reference,
        interval: Duration::from_secs(1800),
        entry: "hear".into(),
        arguments: "{}".into(),
    };
    references.into_iter().enumerate().map(deadline).collect()
}

/// A DAG of so many tasks; what it is scheduled by is the caller's.
pub(crate) fn shape(name: &str, seed: u64, count: usize, outlet: Option<&str>) -> DagSpec {
    let id = |i: usize| format!("t{i}");
    let luck = |i: usize, what: &str, of: u64| roll((seed, i, what)) % of;
    let half = count / 2;
    let task = |i: usize| {
        let ups: Vec<String> = (0..luck(i, "ups", 3))
            .filter(|_| i > 0)
            .map(|n| {
                id(usize::try_from(luck(
                    i,
                    ["first", "second", "third"][usize::try_from(n).unwrap()],
                    i as u64,
                ))
                .unwrap())
            })
            .collect();
        let mut task = TaskSpec {
            task_id: id(i),
            entry: ["plain", "plain", "waiter", "waiter", "sensor", "branch"]
                [usize::try_from(luck(i, "entry", 6)).unwrap()]
            .into(),
            callbacks: callbacks(TASK_KINDS),
            upstream: ups,
            retries: u32::try_from(luck(i, "retries", 3)).unwrap(),
            retry_delay: Duration::from_secs(60),
            pool_slots: 1 + u32::try_from(luck(i, "slots", 2)).unwrap(),
            priority_weight: i32::try_from(luck(i, "weight", 4)).unwrap(),
            ..TaskSpec::default()
        };
        if luck(i, "ruled", 3) == 0 {
            let rules = TriggerRule::ALL;
            task.trigger_rule =
                rules[usize::try_from(luck(i, "rule", rules.len() as u64)).unwrap()];
        }
        task.pool = match luck(i, "pool", 4) {
            0 => Some("narrow".into()),
            1 => Some("shared".into()),
            _ => None,
        };
        task.role = match luck(i, "role", 10) {
            0 => Role::Setup,
            1 => Role::Teardown {
                on_failure_fail_dagrun: luck(i, "strict", 2) == 0,
            },
            _ => Role::Work,
        };
        task.max_active_tis_per_dag = (luck(i, "gate", 8) == 0).then_some(2);
        task.max_active_tis_per_dagrun = (luck(i, "gate", 8) == 1).then_some(1);
        if i >= half && luck(i, "group", 3) == 0 {
            task.group = Some("g".into());
        } else if i > 0 && luck(i, "mapped", 4) == 0 {
            let up = id(usize::try_from(luck(i, "over", i as u64)).unwrap());
            task.mapping = Some(Mapping::Product(vec![parameter(Source::Output(up))]));
            task.arguments = vec![Argument::Mapped("x".into())];
        }
        if i == 0 {
            task.role = Role::Work;
            task.outlets = outlet
                .map(|name| AssetRef::Name(name.into()))
                .into_iter()
                .collect();
        }
        task
    };
    let over = match half {
        0 => Source::Literal("[1,2]".into()),
        _ => Source::Output(id(0)),
    };
    let group = GroupSpec {
        group_id: "g".into(),
        mapping: vec![parameter(over)],
        ..GroupSpec::default()
    };
    DagSpec {
        dag_id: name.into(),
        groups: vec![group],
        callbacks: callbacks(&[CallbackKind::DagSuccess, CallbackKind::DagFailure]),
        deadlines: deadlines(),
        tasks: (0..count).map(task).collect(),
        ..DagSpec::default()
    }
}

pub(crate) fn made(spec: DagSpec) -> std::sync::Arc<Dag> {
    std::sync::Arc::new(Dag::new(spec).unwrap_or_else(|errors| panic!("{errors:?}")))
}
