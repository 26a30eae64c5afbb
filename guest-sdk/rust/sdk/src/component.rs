//! The component's exports: the phases that the host calls, for whichever bundle [`bundle!`](crate::bundle)
//! names.

mod callbacks;
mod definitions;
mod triggers;

use std::{cell::RefCell, marker::PhantomData, panic, sync::Once};

use jiff::Timestamp;
use log::{LevelFilter, Log, Metadata, Record};

use crate::{
    AssetEvent, AssetRef, Context, Error, EventSource, OutletEvent, Restriction, RunInfo,
    bindings::{
        airlock::{
            bundle::{definitions as wit, units},
            capability::log as wit_log,
        },
        exports::airlock::bundle::{dags, tasks, timetables},
    },
    deferral,
    definition::{self, CustomTimetable, DagSpec, Schedule},
    host,
    outcome::{Downstream, Failure, Outcome},
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
        let mut errors: Vec<wit::Error> = parsed
            .errors
            .into_iter()
            .map(|error| wit::Error {
                dag_id: Some(error.dag_id.to_owned()),
                message: error.message,
                location: Some(location(error.location)),
            })
            .collect();
        let mut dags = Vec::with_capacity(parsed.dags.len());
        for dag in parsed.dags {
            let spec = dag.spec;
            match definitions::dag(dag) {
                Ok(dag) => dags.push(dag),
                Err(error) => errors.push(wit::Error {
                    dag_id: Some(spec.dag_id.to_owned()),
                    message: format!("{error:#}"),
                    location: Some(location(spec.location)),
                }),
            }
        }
        wit::Parsed { dags, errors }
    }
}

impl<B: Bundle> tasks::Guest for Component<B> {
    fn run(
        entry: String,
        context: tasks::Context,
        arguments: Vec<String>,
    ) -> Result<tasks::Outcome, tasks::Failure> {
        listen();
        let resumed = context.resumed.clone();
        let context = context_of(context);
        let outcome = context.and_then(|context| {
            let outcome = match resumed {
                None => registry::run(&entry, &context, arguments)?,
                Some(at) => {
                    let waited = triggers::waited(at.event);
                    deferral::run(&at.method, &context, waited, &at.arguments)?
                }
            };
            Ok((outcome, context.outlet_events.take()))
        });
        match outcome {
            Ok((Outcome::Success { value, downstream }, events)) => {
                Ok(tasks::Outcome::Success(tasks::Success {
                    return_value: value,
                    downstream: match downstream {
                        Downstream::Free => tasks::Downstream::Free,
                        Downstream::Follow(ids) => tasks::Downstream::Follow(ids),
                        Downstream::Skip { all } => tasks::Downstream::Skip(all),
                    },
                    outlet_events: events.into_iter().map(outlet_event).collect(),
                }))
            }
            Ok((Outcome::Skipped(why), _)) => Ok(tasks::Outcome::Skipped(why)),
            Ok((Outcome::Rescheduled(at), _)) => {
                Ok(tasks::Outcome::Rescheduled(at.as_microsecond()))
            }
            Ok((Outcome::Deferred(to), _)) => Ok(tasks::Outcome::Deferred(tasks::Deferral {
                trigger: triggers::awaited(to.awaited),
                method: to.method,
                arguments: to.arguments,
                timeout: to.timeout.map(definitions::micros),
            })),
            Err(failure) => Err(failed(failure)),
        }
    }
}

fn failed(failure: Failure) -> tasks::Failure {
    tasks::Failure {
        message: failure.message,
        causes: failure.causes,
        retry: failure.retry,
        location: failure.location.map(location),
    }
}

impl<B: Bundle> timetables::Guest for Component<B> {
    fn next_run(
        entry: String,
        arguments: String,
        last: Option<timetables::RunInfo>,
        restriction: timetables::Restriction,
        now: i64,
    ) -> Result<Option<timetables::RunInfo>, String> {
        listen();
        let bounds = Restriction {
            earliest: restriction.earliest.map(time).transpose()?,
            latest: restriction.latest.map(time).transpose()?,
            catchup: restriction.catchup,
        };
        let last = last
            .map(|run| {
                Ok::<_, String>(RunInfo {
                    data_interval: (time(run.data_interval.start)?, time(run.data_interval.end)?),
                    run_after: time(run.run_after)?,
                })
            })
            .transpose()?;
        let timetable = timetable::<B>(&entry)?;
        let next = (timetable.next_run)(&arguments, last.as_ref(), &bounds, time(now)?);
        Ok(next.map_err(told)?.map(|run| timetables::RunInfo {
            data_interval: interval(run.data_interval),
            run_after: run.run_after.as_microsecond(),
        }))
    }

    fn manual_interval(
        entry: String,
        arguments: String,
        run_after: i64,
    ) -> Result<units::Interval, String> {
        listen();
        let timetable = timetable::<B>(&entry)?;
        let answer = (timetable.manual_interval)(&arguments, time(run_after)?);
        answer.map(interval).map_err(told)
    }
}

fn timetable<B: Bundle>(entry: &str) -> Result<CustomTimetable, String> {
    let mut all = B::DAGS.iter().filter_map(|spec| match spec.schedule {
        Schedule::Custom(timetable) => Some(timetable),
        _ => None,
    });
    all.find(|timetable| timetable.entry == entry)
        .ok_or_else(|| format!("this version of the bundle has no timetable `{entry}`"))
}

fn told(error: Error) -> String {
    format!("{error:#}")
}

fn interval((start, end): (Timestamp, Timestamp)) -> units::Interval {
    units::Interval {
        start: start.as_microsecond(),
        end: end.as_microsecond(),
    }
}

fn location(location: definition::Location) -> units::Location {
    units::Location {
        file: location.file.to_owned(),
        line: location.line,
    }
}

fn asset_ref(asset: &AssetRef) -> units::AssetRef {
    match asset {
        AssetRef::Asset(asset) => units::AssetRef::Name(asset.name.to_owned()),
        AssetRef::Name(name) => units::AssetRef::Name((*name).to_owned()),
        AssetRef::Uri(uri) => units::AssetRef::Uri((*uri).to_owned()),
        AssetRef::Alias(alias) => units::AssetRef::Alias(alias.name.to_owned()),
    }
}

fn outlet_event(event: OutletEvent) -> tasks::OutletEvent {
    tasks::OutletEvent {
        asset: asset_ref(&event.asset),
        alias: event.alias.map(|alias| alias.name.to_owned()),
        extra: event.extra,
    }
}

fn asset_event(event: tasks::AssetEvent) -> Result<AssetEvent, String> {
    Ok(AssetEvent {
        asset: event.asset,
        uri: event.uri,
        timestamp: time(event.timestamp)?,
        extra: event.extra,
        source: event.source.map(|source| EventSource {
            dag_id: source.dag_id,
            run_id: source.run_id,
            task_id: source.task_id,
            map_index: source.map_index,
        }),
    })
}

fn time(micros: i64) -> Result<Timestamp, String> {
    // Without jiff's own text, which would put the printing of every kind of date error into each bundle.
    match Timestamp::from_microsecond(micros) {
        Ok(time) => Ok(time),
        Err(_) => Err(format!(
            "{micros} microseconds since 1970 are beyond the calendar"
        )),
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self {
            message,
            causes: Vec::new(),
            retry: false,
            location: None,
        }
    }
}

fn context_of(from: tasks::Context) -> Result<Context, Failure> {
    let start = from.data_interval_start.map(time).transpose()?;
    let end = from.data_interval_end.map(time).transpose()?;
    let events = |all: Vec<tasks::AssetEvent>| all.into_iter().map(asset_event).collect();
    let triggering: Result<_, String> = events(from.triggering_asset_events);
    let inlets: Result<_, String> = events(from.inlet_events);
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
        first_started_at: time(from.first_started_at)?,
        is_latest: from.is_latest,
        triggering_events: triggering?,
        inlet_events: inlets?,
        outlet_events: RefCell::default(),
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
