//! The component's exports: the phases that the host calls, for whichever bundle [`bundle!`](crate::bundle)
//! names.

use std::{marker::PhantomData, panic, sync::Once, time::Duration};

use jiff::Timestamp;
use log::{LevelFilter, Log, Metadata, Record};

use crate::{
    Context,
    bindings::{
        airlock::{
            bundle::{definitions as wit, units},
            capability::log as wit_log,
        },
        exports::airlock::bundle::{dags, tasks},
    },
    definition::{self, Argument, Dag, DagSpec, Schedule, Task, TriggerRule},
    host,
    outcome::{Failure, Outcome},
    registry,
};

/// What [`bundle!`](crate::bundle) makes of its DAGs.
pub trait Bundle {
    /// Its DAGs.
    const DAGS: &'static [&'static DagSpec];
}

/// The exports of a bundle.
#[derive(Debug)]
pub struct Component<B>(PhantomData<B>);

impl<B: Bundle> dags::Guest for Component<B> {
    fn parse() -> dags::Parsed {
        listen();
        let parsed = definition::parse(B::DAGS);
        wit::Parsed {
            dags: parsed.dags.into_iter().map(dag).collect(),
            errors: parsed
                .errors
                .into_iter()
                .map(|error| wit::Error {
                    dag_id: Some(error.dag_id.to_owned()),
                    message: error.message,
                    location: Some(location(error.location)),
                })
                .collect(),
        }
    }
}

impl<B: Bundle> tasks::Guest for Component<B> {
    fn run(
        entry: String,
        context: tasks::Context,
        arguments: Vec<String>,
    ) -> Result<tasks::Outcome, tasks::Failure> {
        listen();
        let outcome =
            context_of(context).and_then(|context| registry::run(&entry, &context, arguments));
        match outcome {
            Ok(Outcome::Success(json)) => Ok(tasks::Outcome::Success(json)),
            Ok(Outcome::Skipped(why)) => Ok(tasks::Outcome::Skipped(why)),
            Err(failure) => Err(tasks::Failure {
                message: failure.message,
                causes: failure.causes,
                retry: failure.retry,
                location: failure.location.map(location),
            }),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn location(location: definition::Location) -> units::Location {
    units::Location {
        file: location.file.to_owned(),
        line: location.line,
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn dag(Dag { spec, tasks }: Dag) -> wit::Dag {
    wit::Dag {
        dag_id: spec.dag_id.to_owned(),
        description: spec.description.map(str::to_owned),
        schedule: match spec.schedule {
            Schedule::None => wit::Schedule::None,
            Schedule::Once => wit::Schedule::Once,
            Schedule::Cron {
                expression,
                timezone,
            } => wit::Schedule::Cron(wit::Cron {
                expression: expression.to_owned(),
                timezone: timezone.map(str::to_owned),
            }),
            Schedule::Interval(interval) => wit::Schedule::Interval(micros(interval)),
        },
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
            })
            .collect(),
        tasks: tasks.into_iter().map(task).collect(),
        location: Some(location(spec.location)),
    }
}

fn task(task: Task) -> wit::Task {
    let spec = task.spec;
    wit::Task {
        task_id: task.task_id.into_owned(),
        entry: spec.entry.to_owned(),
        arguments: task
            .arguments
            .into_iter()
            .map(|argument| match argument {
                Argument::Literal(json) => wit::Argument::Literal(json),
                Argument::Output(task_id) => wit::Argument::Output(task_id),
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
        doc: spec.doc.map(str::to_owned),
        location: Some(location(task.location)),
    }
}

fn context_of(from: tasks::Context) -> Result<Context, Failure> {
    // Without jiff's own text, which would put the printing of every kind of date error into each bundle.
    let time = |micros: i64| match Timestamp::from_microsecond(micros) {
        Ok(time) => Ok(time),
        Err(_) => Err(Failure {
            message: format!("{micros} microseconds since 1970 are beyond the calendar"),
            causes: Vec::new(),
            retry: false,
            location: None,
        }),
    };
    let start = from.data_interval_start.map(time).transpose()?;
    let end = from.data_interval_end.map(time).transpose()?;
    Ok(Context {
        logical_date: from.logical_date.map(time).transpose()?,
        data_interval: start.zip(end),
        run_after: time(from.run_after)?,
        dag_id: from.dag_id,
        run_id: from.run_id,
        run_type: from.run_type,
        task_id: from.task_id,
        map_index: from.map_index,
        try_number: from.try_number,
        max_tries: from.max_tries,
        token: from.token,
        params: from.params,
    })
}

/// The `log` facade's end: each record is a line of the try's log.
struct TryLog;

impl Log for TryLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        host::log(&wit_log::Line {
            level: match record.level() {
                log::Level::Error => wit_log::Level::Error,
                log::Level::Warn => wit_log::Level::Warn,
                log::Level::Info => wit_log::Level::Info,
                log::Level::Debug => wit_log::Level::Debug,
                log::Level::Trace => wit_log::Level::Trace,
            },
            target: record.target().to_owned(),
            message: record.args().to_string(),
            file: record.file().map(str::to_owned),
            line: record.line(),
        });
    }

    fn flush(&self) {}
}

/// Puts log records and panics into the try's log. A bundle that installs a logger of its own keeps it.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if log::set_logger(&TryLog).is_ok() {
            log::set_max_level(LevelFilter::Trace);
        }
        panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("(a panic without a text)");
            let at = panic.location();
            host::log(&wit_log::Line {
                level: wit_log::Level::Error,
                target: "panic".to_owned(),
                message: format!("panicked: {message}"),
                file: at.map(|at| at.file().to_owned()),
                line: at.map(|at| at.line()),
            });
        }));
    });
}
