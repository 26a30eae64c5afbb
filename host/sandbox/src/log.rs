//! A try's log: everything that its instance says, and what the host says of it.
//!
//! Lines are masked, counted against the team's limit, and handed on in batches: when the instance waits or
//! ends, or when there are many. Nothing is escaped here; whoever shows a line escapes it for where it is
//! shown. Where there is no try (while a bundle is parsed, a trigger polled, a callback run), what the instance
//! says goes to the host's own log, escaped, as far as its bundle's allowance there goes.

mod allowance;

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use airlock_model::{
    dag::Location,
    id::{BundleName, TeamName},
    log::{Level, Line, Source, TryKey},
    port::{Clock, TaskLogs},
};
use bytes::Bytes;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

pub(crate) use self::allowance::Allowance;
use crate::{call::bounded, limits, secrets::Secrets};

/// A line on a standard stream that is longer is cut into several.
const STREAM_LINE_BYTES: usize = 16 << 10;
/// What stands of a line in the host's log.
const HOUSE_LINE_BYTES: usize = 4 << 10;
/// What a line costs besides its text, so that a flood of empty lines has an end too.
const LINE_BYTES: usize = 64;
/// Lines that are handed on at once.
const BATCH_LINES: usize = 256;
/// Bytes that are handed on at once.
const BATCH_BYTES: usize = 64 << 10;
/// Lines of the host's own in one log. Each tells something new; no instance needs more.
const HOST_LINES: usize = 100;
/// The target under which a guest's panic is logged.
const PANIC_TARGET: &str = "panic";

/// Where the lines go.
pub(crate) enum Destination {
    /// Into the log of a try.
    Try(Arc<dyn TaskLogs>, TryKey),
    /// Into the host's log, with what the instance is there for.
    House(TeamName, BundleName, Cow<'static, str>, Arc<Allowance>),
}

/// The log of one instance.
pub(crate) struct TryLog {
    destination: Destination,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    waiting: Vec<Line>,
    waiting_bytes: usize,
    left: u64,
    most: u64,
    full: bool,
    host_lines: Vec<String>,
    secrets: Secrets,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    panic: Option<(String, Option<Location>)>,
}

impl TryLog {
    pub(crate) fn new(destination: Destination, clock: Arc<dyn Clock>, most: u64) -> Self {
        Self {
            destination,
            clock,
            state: Mutex::new(State {
                waiting: Vec::new(),
                waiting_bytes: 0,
                left: most,
                most,
                full: false,
                host_lines: Vec::new(),
                secrets: Secrets::default(),
                stdout: Vec::new(),
                stderr: Vec::new(),
                panic: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the guest's logger.
    pub(crate) fn write(
        &self,
        level: Level,
        target: &str,
        message: &str,
        location: Option<Location>,
    ) {
        let mut state = self.state();
        if target == PANIC_TARGET && level == Level::Error {
            state.panic = Some((message.to_owned(), location.clone()));
        }
        self.guest_line(&mut state, level, Source::Task, target, message, location);
        self.hand_on_if_many(state);
    }

    /// Bytes that the guest wrote to a standard stream.
    pub(crate) fn stream(&self, source: Source, bytes: &[u8]) {
        let mut state = self.state();
        let mut text = std::mem::take(state.stream(source));
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let before = text.len();
            text.extend_from_slice(piece);
            if text.ends_with(b"\n") {
                self.stream_line(&mut state, source, &text);
                text.clear();
            } else if doublings(before) != doublings(text.len()) {
                let held = state.secrets.unsure(&text);
                let rest = text.split_off(text.len() - held);
                if !text.is_empty() {
                    self.stream_line(&mut state, source, &text);
                }
                text = rest;
            }
        }
        *state.stream(source) = text;
        self.hand_on_if_many(state);
    }

    /// Something the host has to say of this try. The same text is said once.
    pub(crate) fn host(&self, level: Level, message: &str) {
        let mut state = self.state();
        if state.host_lines.len() >= HOST_LINES || state.host_lines.iter().any(|m| m == message) {
            return;
        }
        state.host_lines.push(message.to_owned());
        self.line(&mut state, level, Source::Airlock, "", message, None);
        self.hand_on_if_many(state);
    }

    /// From now on this value does not come out.
    pub(crate) fn reveal(&self, secret: &str) {
        self.state().secrets.reveal(secret);
    }

    /// From now on this setting does not come out, unless it is a mere number.
    pub(crate) fn reveal_setting(&self, setting: &str) {
        self.state().secrets.reveal_setting(setting);
    }

    /// From now on no text of this JSON comes out.
    pub(crate) fn reveal_json(&self, secret: &str) {
        self.state().secrets.reveal_json(secret);
    }

    /// The text without secrets.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.state().secrets.mask(text).into_owned()
    }

    /// The JSON text without secrets; none if it is not JSON.
    pub(crate) fn mask_json(&self, json: &str) -> Option<Arc<str>> {
        self.state().secrets.mask_json(json)
    }

    /// The guest's last panic, masked, and where it was.
    pub(crate) fn panic(&self) -> Option<(String, Option<Location>)> {
        let state = self.state();
        let (message, location) = state.panic.clone()?;
        Some((state.secrets.mask(&message).into_owned(), location))
    }

    /// Hands on what waits.
    pub(crate) fn hand_on(&self) {
        let mut state = self.state();
        state.waiting_bytes = 0;
        let lines = std::mem::take(&mut state.waiting);
        drop(state);
        if lines.is_empty() {
            return;
        }
        match &self.destination {
            Destination::Try(logs, key) => logs.append(key, &lines),
            Destination::House(team, bundle, why, allowance) => {
                let told = lines.iter().map(|line| {
                    let message = bounded(&line.message, HOUSE_LINE_BYTES);
                    format!("{} {why}: {}", line.level, message.escape_debug())
                });
                allowance.pass(Instant::now(), told, |line| {
                    tracing::info!(%team, %bundle, "{line}");
                });
            }
        }
    }

    /// The instance has ended: what it left unfinished on its streams is a line too.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        for source in [Source::Stdout, Source::Stderr] {
            let text = std::mem::take(state.stream(source));
            if !text.is_empty() {
                self.stream_line(&mut state, source, &text);
            }
        }
        drop(state);
        self.hand_on();
    }

    fn hand_on_if_many(&self, state: MutexGuard<'_, State>) {
        let many = state.waiting.len() >= BATCH_LINES || state.waiting_bytes >= BATCH_BYTES;
        drop(state);
        if many {
            self.hand_on();
        }
    }

    fn stream_line(&self, state: &mut State, source: Source, text: &[u8]) {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text));
        let level = match source {
            Source::Stderr => Level::Warn,
            _ => Level::Info,
        };
        self.guest_line(state, level, source, "", &text, None);
    }

    fn guest_line(
        &self,
        state: &mut State,
        level: Level,
        source: Source,
        target: &str,
        message: &str,
        location: Option<Location>,
    ) {
        let file = location.as_ref().map_or(0, |at| at.file.len());
        let cost = LINE_BYTES + target.len() + message.len() + file;
        match state.left.checked_sub(cost as u64) {
            Some(left) if !state.full => {
                state.left = left;
                self.line(state, level, source, target, message, location);
            }
            _ if !state.full => {
                state.full = true;
                let most = limits::bytes(usize::try_from(state.most).unwrap_or(usize::MAX));
                let message = format!(
                    "AL-0511: the log holds {most}; what comes now is dropped. Log less, or raise `log_bytes` of the team's pool"
                );
                self.line(state, Level::Warn, Source::Airlock, "", &message, None);
            }
            _ => {}
        }
    }

    fn line(
        &self,
        state: &mut State,
        level: Level,
        source: Source,
        target: &str,
        message: &str,
        location: Option<Location>,
    ) {
        state.waiting_bytes += LINE_BYTES + target.len() + message.len();
        let line = Line {
            at: self.clock.now(),
            level,
            source,
            target: state.secrets.mask(target).into_owned(),
            message: state.secrets.mask(message).into_owned(),
            location: location.map(|at| Location {
                file: state.secrets.mask(&at.file).into_owned(),
                line: at.line,
            }),
        };
        state.waiting.push(line);
    }
}

/// How often an unfinished line of so many bytes has doubled beyond its bound, if it has reached it. It is looked at
/// only then, so that what has to be kept back is not looked at again with every byte.
const fn doublings(bytes: usize) -> Option<u32> {
    (bytes.saturating_sub(1) / STREAM_LINE_BYTES).checked_ilog2()
}

impl State {
    const fn stream(&mut self, source: Source) -> &mut Vec<u8> {
        match source {
            Source::Stderr => &mut self.stderr,
            _ => &mut self.stdout,
        }
    }
}

/// A standard stream of the guest.
#[derive(Clone)]
pub(crate) struct LogStream {
    pub(crate) log: Arc<TryLog>,
    pub(crate) source: Source,
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    /// For WASI 0.3 only, which is not linked.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

#[async_trait::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.stream(self.source, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(BATCH_BYTES)
    }
}

#[cfg(test)]
mod tests;
