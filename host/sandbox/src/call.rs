//! One call: a fresh instance, its limits, and what came of it.
//!
//! The store lives as long as the call and no longer. Whatever ends it (an answer, a trap, a limit, a
//! time-out, a kill), the store is dropped with the call, and never used again.

use std::{sync::Arc, time::Duration};

use airlock_grant::{Directory, port::DirectoryError};
use airlock_model::{
    dag::Location,
    log::Level,
    outcome::{Failure, FailureKind, Limit},
};
use wasmtime::{Store, Trap, WasmBacktrace, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

use crate::{
    adapter::Standing,
    budget::TeamMemory,
    context::{Context, RESOURCES},
    cpu,
    engine::TeamEngine,
    limits::{Reached, TeamLimits},
    ticker::Ticker,
};

/// What is kept of a backtrace, whose names the guest chose.
const BACKTRACE_BYTES: usize = 8 << 10;
/// What is kept of any other text of a guest that becomes part of a failure.
pub(crate) const MESSAGE_BYTES: usize = 4 << 10;

/// What every call of a team needs.
pub(crate) struct Room<'a> {
    pub(crate) engine: &'a TeamEngine,
    pub(crate) limits: &'a TeamLimits,
    pub(crate) memory: &'a Arc<TeamMemory>,
    pub(crate) ticker: &'a Ticker,
}

/// Why a call gave no answer.
#[derive(Debug)]
pub(crate) enum End {
    /// A limit.
    Reached(Reached),
    /// The task's own time-out.
    Timeout(Duration),
    /// A granted directory cannot be opened; nothing ran.
    Directory(DirectoryError),
    /// The grant of a directory was taken back that it had open.
    Withdrawn(Directory),
    /// A trap: what it was, and where in the author's code, if the guest said so.
    Trap(String, Option<Location>),
}

impl End {
    /// As a failure of a try.
    pub(crate) fn into_failure(self) -> Failure {
        let (kind, message, location) = match self {
            Self::Reached(reached) => (FailureKind::Limit(reached.limit), reached.message, None),
            Self::Timeout(after) => {
                let message = format!(
                    "AL-0512: it did not end within its `execution_timeout` of {} s",
                    after.as_secs_f64()
                );
                (FailureKind::Timeout, message, None)
            }
            Self::Directory(error) => (FailureKind::Error, error.to_string(), None),
            Self::Withdrawn(directory) => {
                let path = directory.path();
                let message = format!(
                    "AL-0566: it was ended because the grant of the directory `{path}`, which it had open, was taken back or narrowed; have it granted again, or stop asking for it"
                );
                (FailureKind::Error, message, None)
            }
            Self::Trap(cause, location) => {
                (FailureKind::Trap, format!("AL-0514: {cause}"), location)
            }
        };
        Failure {
            kind,
            message,
            causes: Vec::new(),
            location,
        }
    }
}

/// Makes an instance's store, runs `call` on it, and bounds it. `timeout` is the task's own.
pub(crate) async fn run<R>(
    room: &Room<'_>,
    standing: &Arc<Standing>,
    files: bool,
    timeout: Option<Duration>,
    call: impl AsyncFnOnce(&mut Store<Context>) -> wasmtime::Result<R>,
) -> Result<R, End> {
    let mut used = Duration::ZERO;
    run_counted(room, standing, files, timeout, &mut used, call).await
}

/// The same, with what it took of a processor counted into `used`.
pub(crate) async fn run_counted<R>(
    room: &Room<'_>,
    standing: &Arc<Standing>,
    files: bool,
    timeout: Option<Duration>,
    used: &mut Duration,
    call: impl AsyncFnOnce(&mut Store<Context>) -> wasmtime::Result<R>,
) -> Result<R, End> {
    let errand = standing.errand;
    let mut context =
        Context::new(standing, room.limits, room.memory, files).map_err(End::Directory)?;
    let shown = std::mem::take(&mut context.shown);
    let _ticking = room.ticker.activity();
    let (cpu_time, border) = (room.limits.cpu_time(errand), room.limits.border(errand));
    let mut store = Store::new(room.engine.get(), context);
    store.limiter(|context| &mut context.budget);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| cpu::tick(cpu_time));
    store.set_hostcall_fuel(border.0);

    let wall_time = room.limits.wall_time(errand);
    let own = timeout.filter(|timeout| *timeout <= wall_time.0);
    let metered = cpu::metered(call(&mut store), used, || standing.log.hand_on());
    let timed = tokio::time::timeout(own.unwrap_or(wall_time.0), metered);
    let ended = if shown.is_empty() {
        Ok(timed.await)
    } else {
        tokio::select! {
            biased;
            directory = standing.reach.withdrawn(&standing.caller, &shown) => Err(directory),
            ended = timed => Ok(ended),
        }
    };
    drop(store);
    standing.metrics.used(*used);
    match ended {
        Err(directory) => Err(End::Withdrawn(directory)),
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(error))) => Err(explain(&error, standing, border)),
        Ok(Err(_)) => Err(match own {
            Some(own) => End::Timeout(own),
            None => End::Reached(Reached::wall_time(wall_time)),
        }),
    }
}

/// What wasmtime's error means.
fn explain(error: &wasmtime::Error, standing: &Standing, border: (usize, &str)) -> End {
    if let Some(reached) = error.downcast_ref::<Reached>() {
        return End::Reached(reached.clone());
    }
    if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
        return End::Reached(Reached::stack());
    }
    if let Some(error) = error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>() {
        let message = format!("AL-0513: the team's pool has no room for this component: {error}");
        return End::Reached(Reached::new(Limit::Instances, message));
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        let message = format!(
            "AL-0516: it holds more than {RESOURCES} files, streams and the like at once; close what is not needed"
        );
        return End::Reached(Reached::new(Limit::HostCall, message));
    }
    let cause = error.root_cause().to_string();
    // Wasmtime keeps the type of this error to itself.
    if cause.contains("fuel allocated for hostcalls has been exhausted") {
        return End::Reached(Reached::border(border));
    }
    if let Some(I32Exit(status)) = error.downcast_ref() {
        let message = format!(
            "the code ended its instance with exit status {status} instead of answering; return an error instead"
        );
        return End::Trap(message, None);
    }
    if let Some(frames) = error.downcast_ref::<WasmBacktrace>() {
        standing.log.host(Level::Error, &backtrace(frames));
    }
    match standing.log.panic() {
        Some((panic, location)) => End::Trap(bounded(&panic, MESSAGE_BYTES), location),
        None => {
            let cause = bounded(&standing.log.mask(&cause), MESSAGE_BYTES);
            let hint = match error.downcast_ref() {
                // Compiled languages keep part of their stack at the begin of the guest's memory.
                Some(Trap::MemoryOutOfBounds) => " (often a recursion without end)",
                _ => "",
            };
            End::Trap(format!("the instance trapped: {cause}{hint}"), None)
        }
    }
}

/// The functions that were running, innermost first.
fn backtrace(frames: &WasmBacktrace) -> String {
    bounded(&frames.to_string(), BACKTRACE_BYTES)
}

/// What is said of an answer that should have been JSON.
pub(crate) fn not_json(what: &str) -> String {
    format!("AL-0517: {what} is not JSON; let the SDK serialise it")
}

/// A guest's text, cut where it is longer than anybody reads.
pub(crate) fn bounded(text: &str, most: usize) -> String {
    match text.char_indices().find(|(at, _)| *at >= most) {
        Some((at, _)) => format!("{} …", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
