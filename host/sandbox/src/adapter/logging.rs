//! `airlock:capability/log`.

use airlock_model::{dag::Location, log::Level};

use super::Call;
use crate::bindings::log;

impl log::Host for Call {
    fn write(&mut self, line: log::Line) {
        let level = match line.level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        let location = line.file.map(|file| Location {
            file,
            line: line.line.unwrap_or(0),
        });
        self.standing
            .log
            .write(level, &line.target, &line.message, location);
    }
}
