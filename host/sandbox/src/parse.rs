//! The parse phase: DAG definitions, turned from the border's records into the model's.
//!
//! Nothing is judged here but how much it is. Whether a definition makes sense is for the model to say,
//! which reports all mistakes of all DAGs at once; a time that no calendar can show is the one thing that
//! the model has no room for, and becomes an error of its DAG.

use std::{sync::Arc, time::Duration};

use airlock_model::{
    dag::{Argument, DagSpec, Location, ParamSpec, Schedule, TaskSpec},
    port::{ParsedBundle, SpecError},
    time::{TimeError, Timestamp},
    trigger_rule::TriggerRule,
};

use crate::{
    adapter::Standing,
    bindings::{DagBundlePre, definitions as wit, parse_units as units},
    call::{self, End, MESSAGE_BYTES, Room, bounded},
    context::Context,
    limits::Reached,
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
            Ok(dag) => dags.push(dag),
            Err(error) => errors.push(SpecError {
                dag_id: Some(dag_id),
                message: error.to_string(),
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

fn dag(dag: wit::Dag) -> Result<DagSpec, TimeError> {
    Ok(DagSpec {
        dag_id: dag.dag_id,
        description: dag.description,
        schedule: match dag.schedule {
            wit::Schedule::None => Schedule::None,
            wit::Schedule::Once => Schedule::Once,
            wit::Schedule::Cron(cron) => Schedule::cron(cron.expression, cron.timezone.as_deref()),
            wit::Schedule::Interval(every) => Schedule::every(duration(every)),
        },
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
                ..ParamSpec::default()
            })
            .collect(),
        tasks: dag.tasks.into_iter().map(task).collect(),
        location: dag.location.map(location),
        ..DagSpec::default()
    })
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
        doc: task.doc,
        location: task.location.map(location),
        ..TaskSpec::default()
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
