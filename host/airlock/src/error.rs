//! Why a command did not do what was asked, and how that is told: a code, a sentence, what led to it, and
//! what to do.

use std::{error::Error, fmt::Write as _, path::PathBuf};

use crate::{config::ConfigError, output};

/// Exit code of a command that failed.
pub(crate) const FAILED: u8 = 1;
/// Exit code of a command line that is not understood; the parser of the command line uses it too.
pub(crate) const USAGE: u8 = 2;
/// Exit code of a command that needs a server, when none is running.
pub(crate) const NO_SERVER: u8 = 3;
/// Exit code of a command that names something that is not there.
pub(crate) const NOT_FOUND: u8 = 4;

/// What the exit codes mean, for `airlock --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed; what and why is on standard error
  2  the command line was not understood
  3  it needs a server, and none is running: start one with `airlock standalone`
  4  what it names was not found";

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The configuration is wrong or missing.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No server works in this home folder.
    #[error(
        "AL-0820: no Airlock server is running for `{}`\n  help  start one in another terminal: airlock standalone\n  help  for a server with another home folder, set AIRLOCK_HOME or give --home",
        home.display()
    )]
    NoServer {
        /// The home folder.
        home: PathBuf,
    },
    /// A server is there and does not answer as it should.
    #[error("AL-0821: the server at {address} did not answer: {reason}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What happened.
        reason: String,
        /// What led to it.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The server refused.
    #[error("{code}: {detail}")]
    Refused {
        /// The server's code.
        code: String,
        /// The server's sentence.
        detail: String,
        /// The HTTP status.
        status: u16,
    },
    /// What a command names is not there.
    #[error("AL-0822: {0}")]
    NotFound(String),
    /// An argument cannot be what it is.
    #[error("AL-0823: {0}")]
    Usage(String),
    /// Something on this machine is missing or in the way.
    #[error("{0}")]
    Failed(String),
    /// What another room said.
    #[error(transparent)]
    Room(Box<dyn Error + Send + Sync>),
    /// Everything that was to be said was said already.
    #[error("AL-0824: it failed")]
    Told,
}

impl CliError {
    /// Takes another room's error as it is.
    pub(crate) fn room(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Room(Box::new(error))
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Failed(format!("AL-0825: {what} `{}`: {error}", path.display()))
    }

    /// What the process ends with.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::NoServer { .. } => NO_SERVER,
            Self::NotFound(_) | Self::Refused { status: 404, .. } => NOT_FOUND,
            Self::Usage(_) => USAGE,
            _ => FAILED,
        }
    }

    /// Several lines for standard error: `error[AL-nnnn]: …`, then what led to it. Nothing in it controls a
    /// terminal, whoever wrote the texts.
    pub(crate) fn report(&self, colours: bool) -> String {
        if matches!(self, Self::Told) {
            return String::new();
        }
        // Configuration mistakes bring a heading for each line.
        if let Self::Config(ConfigError::Mistakes(mistakes)) = self {
            let lines = mistakes.0.iter().map(|mistake| {
                let line = output::line(&mistake.to_string());
                match line.split_once(": ") {
                    Some((head, rest)) if colours => {
                        format!("\u{1b}[1;31m{head}\u{1b}[0m: {rest}\n")
                    }
                    _ => line + "\n",
                }
            });
            return lines.collect();
        }
        let text = self.to_string();
        let (code, text) = text
            .split_once(": ")
            .filter(|(code, _)| code.len() == "AL-0000".len() && code.starts_with("AL-"))
            .unwrap_or(("AL-0800", &text));
        let head = format!("error[{code}]");
        let head = if colours {
            format!("\u{1b}[1;31m{head}\u{1b}[0m")
        } else {
            head
        };
        let mut report = format!("{head}: {}\n", output::lines(text));
        let mut told = text.to_owned();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors already quote what led to them.
            if !told.contains(&text) {
                let _ = writeln!(report, "  because  {}", output::lines(&text));
                told = text;
            }
            cause = error.source();
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("AL-0501: outer: {0}")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("inner \u{1b}[2Jtext")]
    struct Inner(#[source] std::io::Error);

    #[test]
    fn a_report_names_its_code_and_each_cause_once_and_controls_no_terminal() {
        let error = CliError::room(Outer(Inner(std::io::Error::other("disk\r on fire"))));
        assert_eq!(
            error.report(false),
            "error[AL-0501]: outer: inner \\u{1b}[2Jtext\n  because  disk\\r on fire\n"
        );
        assert_eq!(error.exit_code(), FAILED);
        let home = PathBuf::from("/h");
        assert_eq!(CliError::NoServer { home }.exit_code(), NO_SERVER);
        assert_eq!(CliError::NotFound("x".into()).exit_code(), NOT_FOUND);
    }
}
