//! A definition as records of the border.

use std::{borrow::Cow, time::Duration};

use super::{asset_ref, location, triggers::awaited};
use crate::{
    Result, ResultExt as _,
    asset::{Asset, AssetCondition},
    bindings::airlock::bundle::definitions as wit,
    definition::{
        Argument, CallbackKind, CallbackSpec, Dag, Deadline, DeadlineReference, Delta, Group,
        Mapping, Role, RunImmediately, Schedule, Source, Task, TriggerRule, WeightRule,
    },
};

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// # Errors
/// Where a timetable, a trigger or a callback has no JSON form.
pub(super) fn dag(dag: Dag) -> Result<wit::Dag> {
    let spec = dag.spec;
    let mut condition = Vec::new();
    if let Some(whole) = &spec.asset_condition {
        node(whole, &mut condition);
    }
    Ok(wit::Dag {
        dag_id: spec.dag_id.to_owned(),
        description: spec.description.map(str::to_owned),
        schedule: schedule(&spec.schedule)?,
        start_date: spec.start_date,
        end_date: spec.end_date,
        catchup: spec.catchup,
        max_active_runs: spec.max_active_runs,
        max_active_tasks: spec.max_active_tasks,
        dagrun_timeout: spec.dagrun_timeout.map(micros),
        tags: texts(spec.tags),
        owners: texts(spec.owners),
        params: spec
            .params
            .iter()
            .map(|param| wit::Param {
                name: param.name.to_owned(),
                default_value: param.default.map(str::to_owned),
                schema: param.schema.map(str::to_owned),
                description: param.description.map(str::to_owned),
            })
            .collect(),
        fail_fast: spec.fail_fast,
        max_consecutive_failed_dag_runs: spec.max_consecutive_failed_dag_runs,
        assets: dag.assets.iter().map(asset).collect::<Result<_>>()?,
        asset_condition: condition,
        callbacks: callbacks(spec.callbacks)?,
        deadlines: dag
            .deadlines
            .into_iter()
            .map(deadline)
            .collect::<Result<_>>()?,
        groups: dag.groups.into_iter().map(group).collect(),
        tasks: dag.tasks.into_iter().map(task).collect::<Result<_>>()?,
        location: Some(location(spec.location)),
    })
}

fn schedule(schedule: &Schedule) -> Result<wit::Schedule> {
    let cron = |line: &str, timezone: &Option<&'static str>| wit::Cron {
        expression: line.to_owned(),
        timezone: timezone.map(str::to_owned),
    };
    Ok(match schedule {
        Schedule::None => wit::Schedule::None,
        Schedule::Once => wit::Schedule::Once,
        Schedule::Continuous => wit::Schedule::Continuous,
        Schedule::CronTrigger {
            lines,
            timezone,
            interval,
            run_immediately,
        } => wit::Schedule::CronTrigger(wit::CronTrigger {
            lines: lines.iter().map(|line| cron(line, timezone)).collect(),
            interval: delta(*interval),
            run_immediately: match run_immediately {
                RunImmediately::No => wit::RunImmediately::No,
                RunImmediately::Yes => wit::RunImmediately::Yes,
                RunImmediately::Within(within) => wit::RunImmediately::Within(micros(*within)),
            },
        }),
        Schedule::CronInterval { line, timezone } => {
            wit::Schedule::CronInterval(cron(line, timezone))
        }
        Schedule::DeltaTrigger { every, interval } => {
            wit::Schedule::DeltaTrigger(wit::DeltaTrigger {
                every: delta(*every),
                interval: delta(*interval),
            })
        }
        Schedule::DeltaInterval(every) => wit::Schedule::DeltaInterval(delta(*every)),
        Schedule::Custom(timetable) => {
            let (arguments, description) = (timetable.describe)().context("timetable")?;
            wit::Schedule::Custom(wit::CustomTimetable {
                entry: timetable.entry.to_owned(),
                arguments,
                description,
            })
        }
    })
}

fn delta(Delta { months, time }: Delta) -> wit::Delta {
    wit::Delta {
        months,
        time: micros(time),
    }
}

fn asset(asset: &Asset) -> Result<wit::Asset> {
    let watchers = asset.watchers().map(|watcher| {
        Ok(wit::Watcher {
            name: watcher.name.to_owned(),
            trigger: awaited(watcher.awaited()?),
        })
    });
    Ok(wit::Asset {
        name: asset.name.to_owned(),
        uri: asset.uri.map(str::to_owned),
        group: asset.group.map(str::to_owned),
        extra: asset.extra.map(str::to_owned),
        watchers: watchers.collect::<Result<_>>()?,
    })
}

fn callbacks(specs: &[CallbackSpec]) -> Result<Vec<wit::Callback>> {
    let each = specs.iter().map(|spec| {
        let callback = (spec.callback)();
        Ok(wit::Callback {
            on: match spec.on {
                CallbackKind::TaskExecute => wit::CallbackKind::TaskExecute,
                CallbackKind::TaskSuccess => wit::CallbackKind::TaskSuccess,
                CallbackKind::TaskFailure => wit::CallbackKind::TaskFailure,
                CallbackKind::TaskRetry => wit::CallbackKind::TaskRetry,
                CallbackKind::TaskSkipped => wit::CallbackKind::TaskSkipped,
                CallbackKind::DagSuccess => wit::CallbackKind::DagSuccess,
                CallbackKind::DagFailure => wit::CallbackKind::DagFailure,
                CallbackKind::Deadline => wit::CallbackKind::Deadline,
            },
            entry: callback.entry().to_owned(),
            arguments: callback.arguments()?,
        })
    });
    each.collect()
}

fn deadline(deadline: Deadline) -> Result<wit::Deadline> {
    Ok(wit::Deadline {
        reference: match deadline.time.reference {
            DeadlineReference::LogicalDate => wit::DeadlineReference::LogicalDate,
            DeadlineReference::QueuedAt => wit::DeadlineReference::QueuedAt,
            DeadlineReference::StartedAt => wit::DeadlineReference::StartedAt,
            DeadlineReference::Fixed(time) => wit::DeadlineReference::Fixed(time.as_microsecond()),
            DeadlineReference::Average { runs, at_least } => {
                wit::DeadlineReference::Average(wit::AverageRuntime { runs, at_least })
            }
        },
        interval: micros(deadline.time.interval),
        entry: deadline.callback.entry().to_owned(),
        arguments: deadline.callback.arguments()?,
        name: deadline.name,
    })
}

/// Adds a condition to the list, after what is below it; gives its place.
fn node(condition: &AssetCondition, nodes: &mut Vec<wit::ConditionNode>) -> u32 {
    let this = match condition {
        AssetCondition::Of(asset) => wit::ConditionNode::Of(asset_ref(asset)),
        AssetCondition::All { of } => {
            wit::ConditionNode::All(of.iter().map(|part| node(part, nodes)).collect())
        }
        AssetCondition::Any { of } => {
            wit::ConditionNode::Any(of.iter().map(|part| node(part, nodes)).collect())
        }
    };
    nodes.push(this);
    u32::try_from(nodes.len() - 1).unwrap_or(u32::MAX)
}

fn group(group: Group) -> wit::Group {
    wit::Group {
        group_id: group.group_id,
        parent: group.parent,
        mapping: group.mapping.into_iter().map(mapped).collect(),
        doc: group.doc,
        location: Some(location(group.location)),
    }
}

fn mapped((name, from): (Cow<'static, str>, Source)) -> wit::MappedParameter {
    wit::MappedParameter {
        name: name.into_owned(),
        source: source(from),
    }
}

fn source(source: Source) -> wit::Source {
    match source {
        Source::Literal(json) => wit::Source::Literal(json),
        Source::Output(task_id) => wit::Source::Output(task_id),
        Source::Zip { sources, fill } => wit::Source::Zip(wit::Zip {
            sources: sources.into_iter().filter_map(simple).collect(),
            fill: fill.map(str::to_owned),
        }),
    }
}

/// Sources of a zip are never zips: the graph does not let them be.
fn simple(source: Source) -> Option<wit::SimpleSource> {
    match source {
        Source::Literal(json) => Some(wit::SimpleSource::Literal(json)),
        Source::Output(task_id) => Some(wit::SimpleSource::Output(task_id)),
        Source::Zip { .. } => None,
    }
}

fn task(task: Task) -> Result<wit::Task> {
    let spec = &*task.spec;
    Ok(wit::Task {
        task_id: task.task_id.into_owned(),
        entry: spec.entry.to_owned(),
        arguments: task
            .arguments
            .into_iter()
            .map(|argument| match argument {
                Argument::Literal(json) => wit::Argument::Literal(json),
                Argument::Output(task_id) => wit::Argument::Output(task_id),
                Argument::Mapped(name) => wit::Argument::Mapped(name.into_owned()),
            })
            .collect(),
        upstream: task.upstream,
        trigger_rule: match spec.trigger_rule {
            TriggerRule::AllSuccess => wit::TriggerRule::AllSuccess,
            TriggerRule::AllFailed => wit::TriggerRule::AllFailed,
            TriggerRule::AllDone => wit::TriggerRule::AllDone,
            TriggerRule::AllSkipped => wit::TriggerRule::AllSkipped,
            TriggerRule::OneSuccess => wit::TriggerRule::OneSuccess,
            TriggerRule::OneFailed => wit::TriggerRule::OneFailed,
            TriggerRule::OneDone => wit::TriggerRule::OneDone,
            TriggerRule::NoneFailed => wit::TriggerRule::NoneFailed,
            TriggerRule::NoneFailedMinOneSuccess => wit::TriggerRule::NoneFailedMinOneSuccess,
            TriggerRule::NoneSkipped => wit::TriggerRule::NoneSkipped,
            TriggerRule::AllDoneMinOneSuccess => wit::TriggerRule::AllDoneMinOneSuccess,
            TriggerRule::AllDoneSetupSuccess => wit::TriggerRule::AllDoneSetupSuccess,
            TriggerRule::Always => wit::TriggerRule::Always,
        },
        retries: spec.retries,
        retry_delay: micros(spec.retry_delay),
        retry_exponential_backoff: spec.retry_exponential_backoff,
        max_retry_delay: spec.max_retry_delay.map(micros),
        execution_timeout: spec.execution_timeout.map(micros),
        pool: spec.pool.map(str::to_owned),
        pool_slots: spec.pool_slots,
        priority_weight: spec.priority_weight,
        weight_rule: match spec.weight_rule {
            WeightRule::Downstream => wit::WeightRule::Downstream,
            WeightRule::Upstream => wit::WeightRule::Upstream,
            WeightRule::Absolute => wit::WeightRule::Absolute,
        },
        group: task.group,
        mapping: task.mapping.map(|mapping| match mapping {
            Mapping::Product(lists) => {
                wit::Mapping::Product(lists.into_iter().map(mapped).collect())
            }
            Mapping::Keywords(from) => wit::Mapping::Keywords(source(from)),
        }),
        role: match spec.role {
            Role::Work => wit::Role::Work,
            Role::Setup => wit::Role::Setup,
            Role::Teardown {
                on_failure_fail_dagrun,
            } => wit::Role::Teardown(on_failure_fail_dagrun),
        },
        depends_on_past: spec.depends_on_past,
        wait_for_downstream: spec.wait_for_downstream,
        ignore_first_depends_on_past: spec.ignore_first_depends_on_past,
        max_active_tis_per_dag: spec.max_active_tis_per_dag,
        max_active_tis_per_dagrun: spec.max_active_tis_per_dagrun,
        inlets: spec.inlets.iter().map(asset_ref).collect(),
        outlets: spec.outlets.iter().map(asset_ref).collect(),
        callbacks: callbacks(spec.callbacks)?,
        doc: spec.doc.map(str::to_owned),
        location: Some(location(task.location)),
    })
}
