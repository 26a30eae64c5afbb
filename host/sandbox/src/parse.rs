//! The parse phase: DAG definitions, turned from the border's records into the model's.
//!
//! Nothing is judged here but how much it is, and whether its [assets](crate::assets) are granted. Whether a definition makes sense is for the model to say,
//! which reports all mistakes of all DAGs at once. What the model has no room for becomes an error of its
//! DAG: a time that no calendar can show, an asset condition that is no tree, and a watcher that waits for what
//! cannot be.

mod condition;

use std::{sync::Arc, time::Duration};

use airlock_model::{
    callback::{CallbackKind, CallbackSpec, DeadlineReference, DeadlineSpec},
    dag::{
        Argument, AssetSpec, CronLine, CustomSchedule, DagSpec, Delta, GroupSpec, Location,
        MappedParameter, Mapping, ParamSpec, Role, RunImmediately, Schedule, Source, TaskSpec,
        WatcherSpec, WeightRule,
    },
    port::{ParsedBundle, SpecError},
    time::{TimeError, Timestamp},
    trigger_rule::TriggerRule,
};

use crate::{
    adapter::Standing,
    bindings::{DagBundlePre, definitions as wit, units},
    call::{self, End, MESSAGE_BYTES, Room, bounded},
    context::Context,
    limits::Reached,
    waits::{self, WaitError},
};

/// Runs a parse to its end.
pub(crate) async fn run(
    room: &Room<'_>,
    standing: &Arc<Standing>,
    bundle: &DagBundlePre<Context>,
) -> Result<ParsedBundle, End> {
    let parsed = call::run(room, standing, false, None, async |store| {
        let instance = bundle.instantiate_async(&mut *store).await?;
        instance.airlock_bundle_dags().call_parse(&mut *store).await
    })
    .await?;
    let tasks = parsed.dags.iter().map(|dag| dag.tasks.len()).sum();
    if tasks > room.limits.definition_tasks {
        let reached = Reached::definition_tasks(room.limits.definition_tasks, tasks);
        return Err(End::Reached(reached));
    }
    let mut errors: Vec<SpecError> = parsed
        .errors
        .into_iter()
        .map(|error| spec_error(standing, error))
        .collect();
    let mut dags = Vec::with_capacity(parsed.dags.len());
    for definition in parsed.dags {
        let dag_id = definition.dag_id.clone();
        let place = definition.location.clone().map(location);
        match dag(definition) {
            Ok(dag) => match standing.defined(dag) {
                Ok(dag) => dags.push(dag),
                Err(denied) => errors.extend(denied),
            },
            Err(error) => errors.push(SpecError {
                dag_id: Some(dag_id),
                message: error.to_string(),
                of_host: true,
                location: place,
            }),
        }
    }
    Ok(ParsedBundle { dags, errors })
}

fn spec_error(standing: &Standing, error: wit::Error) -> SpecError {
    SpecError {
        dag_id: error.dag_id,
        message: bounded(&standing.log.mask(&error.message), MESSAGE_BYTES),
        of_host: false,
        location: error.location.map(location),
    }
}

fn location(at: units::Location) -> Location {
    Location {
        file: at.file,
        line: at.line,
    }
}

const fn duration(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// What the model has no room for.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(transparent)]
    Time(#[from] TimeError),
    #[error(transparent)]
    Condition(#[from] condition::ConditionError),
    #[error("the watcher `{}` of the asset `{}`: {why}", watcher.escape_debug(), asset.escape_debug())]
    Watcher {
        asset: String,
        watcher: String,
        #[source]
        why: WaitError,
    },
}

fn dag(dag: wit::Dag) -> Result<DagSpec, Unfit> {
    Ok(DagSpec {
        dag_id: dag.dag_id,
        description: dag.description,
        schedule: schedule(dag.schedule),
        start_date: dag.start_date.map(Timestamp::from_micros).transpose()?,
        end_date: dag.end_date.map(Timestamp::from_micros).transpose()?,
        catchup: dag.catchup,
        max_active_runs: dag.max_active_runs,
        max_active_tasks: dag.max_active_tasks,
        dagrun_timeout: dag.dagrun_timeout.map(duration),
        tags: dag.tags,
        owners: dag.owners,
        params: dag
            .params
            .into_iter()
            .map(|param| ParamSpec {
                name: param.name,
                default: param.default_value,
                schema: param.schema,
                description: param.description,
            })
            .collect(),
        fail_fast: dag.fail_fast,
        max_consecutive_failed_dag_runs: dag.max_consecutive_failed_dag_runs,
        assets: dag
            .assets
            .into_iter()
            .map(declared)
            .collect::<Result<_, _>>()?,
        asset_condition: condition::tree(dag.asset_condition)?,
        callbacks: dag.callbacks.into_iter().map(callback).collect(),
        deadlines: dag
            .deadlines
            .into_iter()
            .map(deadline)
            .collect::<Result<_, _>>()?,
        groups: dag.groups.into_iter().map(group).collect(),
        tasks: dag.tasks.into_iter().map(task).collect(),
        location: dag.location.map(location),
    })
}

fn declared(asset: wit::Asset) -> Result<AssetSpec, Unfit> {
    let name = asset.name;
    let watchers = asset
        .watchers
        .into_iter()
        .map(|watcher| match waits::trigger(watcher.trigger) {
            Ok(trigger) => Ok(WatcherSpec {
                name: watcher.name,
                trigger,
            }),
            Err(why) => Err(Unfit::Watcher {
                asset: name.clone(),
                watcher: watcher.name,
                why,
            }),
        })
        .collect::<Result<_, _>>()?;
    Ok(AssetSpec {
        name,
        uri: asset.uri,
        group: asset.group,
        extra: asset.extra,
        watchers,
    })
}

fn callback(callback: wit::Callback) -> CallbackSpec {
    CallbackSpec {
        on: match callback.on {
            wit::CallbackKind::TaskExecute => CallbackKind::TaskExecute,
            wit::CallbackKind::TaskSuccess => CallbackKind::TaskSuccess,
            wit::CallbackKind::TaskFailure => CallbackKind::TaskFailure,
            wit::CallbackKind::TaskRetry => CallbackKind::TaskRetry,
            wit::CallbackKind::TaskSkipped => CallbackKind::TaskSkipped,
            wit::CallbackKind::DagSuccess => CallbackKind::DagSuccess,
            wit::CallbackKind::DagFailure => CallbackKind::DagFailure,
            wit::CallbackKind::Deadline => CallbackKind::Deadline,
        },
        entry: callback.entry,
        arguments: callback.arguments,
    }
}

fn deadline(deadline: wit::Deadline) -> Result<DeadlineSpec, TimeError> {
    Ok(DeadlineSpec {
        name: deadline.name,
        reference: match deadline.reference {
            wit::DeadlineReference::LogicalDate => DeadlineReference::LogicalDate,
            wit::DeadlineReference::QueuedAt => DeadlineReference::QueuedAt,
            wit::DeadlineReference::StartedAt => DeadlineReference::StartedAt,
            wit::DeadlineReference::Fixed(at) => {
                DeadlineReference::Fixed(Timestamp::from_micros(at)?)
            }
            wit::DeadlineReference::Average(average) => DeadlineReference::Average {
                runs: average.runs,
                at_least: average.at_least,
            },
        },
        interval: duration(deadline.interval),
        entry: deadline.entry,
        arguments: deadline.arguments,
    })
}

fn schedule(schedule: wit::Schedule) -> Schedule {
    let line = |cron: wit::Cron| CronLine {
        expression: cron.expression,
        timezone: cron.timezone,
    };
    match schedule {
        wit::Schedule::None => Schedule::None,
        wit::Schedule::Once => Schedule::Once,
        wit::Schedule::Continuous => Schedule::Continuous,
        wit::Schedule::CronTrigger(trigger) => Schedule::Cron {
            lines: trigger.lines.into_iter().map(line).collect(),
            interval: delta(trigger.interval),
            run_immediately: match trigger.run_immediately {
                wit::RunImmediately::No => RunImmediately::No,
                wit::RunImmediately::Yes => RunImmediately::Yes,
                wit::RunImmediately::Within(time) => RunImmediately::Within(duration(time)),
            },
        },
        wit::Schedule::CronInterval(cron) => Schedule::CronInterval(line(cron)),
        wit::Schedule::DeltaTrigger(trigger) => Schedule::Delta {
            every: delta(trigger.every),
            interval: delta(trigger.interval),
        },
        wit::Schedule::DeltaInterval(every) => Schedule::DeltaInterval {
            every: delta(every),
        },
        wit::Schedule::Custom(custom) => Schedule::Custom(CustomSchedule {
            entry: custom.entry,
            arguments: custom.arguments,
            description: custom.description,
        }),
    }
}

const fn delta(delta: wit::Delta) -> Delta {
    Delta {
        months: delta.months,
        time: duration(delta.time),
    }
}

fn group(group: wit::Group) -> GroupSpec {
    GroupSpec {
        group_id: group.group_id,
        parent: group.parent,
        mapping: group.mapping.into_iter().map(mapped).collect(),
        doc: group.doc,
        location: group.location.map(location),
    }
}

fn mapped(parameter: wit::MappedParameter) -> MappedParameter {
    MappedParameter {
        name: parameter.name,
        source: source(parameter.source),
    }
}

fn source(source: wit::Source) -> Source {
    match source {
        wit::Source::Literal(json) => Source::Literal(json),
        wit::Source::Output(task_id) => Source::Output(task_id),
        wit::Source::Zip(zip) => Source::Zip {
            sources: zip
                .sources
                .into_iter()
                .map(|source| match source {
                    wit::SimpleSource::Literal(json) => Source::Literal(json),
                    wit::SimpleSource::Output(task_id) => Source::Output(task_id),
                })
                .collect(),
            fill: zip.fill,
        },
    }
}

fn task(task: wit::Task) -> TaskSpec {
    TaskSpec {
        task_id: task.task_id,
        entry: task.entry,
        arguments: task
            .arguments
            .into_iter()
            .map(|argument| match argument {
                wit::Argument::Literal(json) => Argument::Literal(json),
                wit::Argument::Output(task_id) => Argument::Output(task_id),
                wit::Argument::Mapped(name) => Argument::Mapped(name),
            })
            .collect(),
        upstream: task.upstream,
        trigger_rule: trigger_rule(task.trigger_rule),
        retries: task.retries,
        retry_delay: duration(task.retry_delay),
        retry_exponential_backoff: task.retry_exponential_backoff,
        max_retry_delay: task.max_retry_delay.map(duration),
        execution_timeout: task.execution_timeout.map(duration),
        pool: task.pool,
        pool_slots: task.pool_slots,
        priority_weight: task.priority_weight,
        group: task.group,
        mapping: task.mapping.map(|mapping| match mapping {
            wit::Mapping::Product(lists) => {
                Mapping::Product(lists.into_iter().map(mapped).collect())
            }
            wit::Mapping::Keywords(from) => Mapping::Keywords(source(from)),
        }),
        role: match task.role {
            wit::Role::Work => Role::Work,
            wit::Role::Setup => Role::Setup,
            wit::Role::Teardown(on_failure_fail_dagrun) => Role::Teardown {
                on_failure_fail_dagrun,
            },
        },
        depends_on_past: task.depends_on_past,
        wait_for_downstream: task.wait_for_downstream,
        ignore_first_depends_on_past: task.ignore_first_depends_on_past,
        max_active_tis_per_dag: task.max_active_tis_per_dag,
        max_active_tis_per_dagrun: task.max_active_tis_per_dagrun,
        weight_rule: match task.weight_rule {
            wit::WeightRule::Downstream => WeightRule::Downstream,
            wit::WeightRule::Upstream => WeightRule::Upstream,
            wit::WeightRule::Absolute => WeightRule::Absolute,
        },
        inlets: task.inlets.into_iter().map(waits::asset).collect(),
        outlets: task.outlets.into_iter().map(waits::asset).collect(),
        callbacks: task.callbacks.into_iter().map(callback).collect(),
        doc: task.doc,
        location: task.location.map(location),
    }
}

const fn trigger_rule(rule: wit::TriggerRule) -> TriggerRule {
    match rule {
        wit::TriggerRule::AllSuccess => TriggerRule::AllSuccess,
        wit::TriggerRule::AllFailed => TriggerRule::AllFailed,
        wit::TriggerRule::AllDone => TriggerRule::AllDone,
        wit::TriggerRule::AllSkipped => TriggerRule::AllSkipped,
        wit::TriggerRule::OneSuccess => TriggerRule::OneSuccess,
        wit::TriggerRule::OneFailed => TriggerRule::OneFailed,
        wit::TriggerRule::OneDone => TriggerRule::OneDone,
        wit::TriggerRule::NoneFailed => TriggerRule::NoneFailed,
        wit::TriggerRule::NoneFailedMinOneSuccess => TriggerRule::NoneFailedMinOneSuccess,
        wit::TriggerRule::NoneSkipped => TriggerRule::NoneSkipped,
        wit::TriggerRule::AllDoneMinOneSuccess => TriggerRule::AllDoneMinOneSuccess,
        wit::TriggerRule::AllDoneSetupSuccess => TriggerRule::AllDoneSetupSuccess,
        wit::TriggerRule::Always => TriggerRule::Always,
    }
}
