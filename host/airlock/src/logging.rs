//! The server's own log, on standard error: standard output belongs to what a command prints.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::{
    config::{Log, LogFormat},
    error::CliError,
    output,
};

/// From now on what the rooms log is written as the configuration says.
///
/// # Errors
/// A [`CliError`] when this process has a log already.
pub(crate) fn start(log: &Log) -> Result<(), CliError> {
    let filter = EnvFilter::try_new(&log.filter.0).map_err(CliError::room)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(output::error_colours());
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(CliError::Room)
}
