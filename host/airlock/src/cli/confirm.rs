//! Asking before something is done that cannot be taken back.

use std::io::{self, BufRead, IsTerminal, Write as _};

use clap::Args;

use crate::{error::CliError, output};

/// Whether to ask.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Confirmation {
    /// Do not ask: the answer is yes
    #[arg(long, short)]
    yes: bool,
}

impl Confirmation {
    /// Returns when the answer is yes. Without a terminal there is nobody to ask, and nothing is done.
    pub(super) fn ask(self, question: &str) -> Result<(), CliError> {
        if self.yes {
            return Ok(());
        }
        let refused = |why: &str| CliError::Failed(format!("AL-0827: nothing was changed: {why}"));
        let mut input = io::stdin().lock();
        if !io::stdin().is_terminal() {
            return Err(refused(
                "this asks first, and there is no terminal to ask on; give --yes",
            ));
        }
        let mut out = io::stderr().lock();
        let mut answer = String::new();
        write!(out, "{} [y/N] ", output::line(question))
            .and_then(|()| out.flush())
            .and_then(|()| input.read_line(&mut answer).map(drop))
            .map_err(|error| refused(&error.to_string()))?;
        match is_yes(&answer) {
            true => Ok(()),
            false => Err(refused("the answer was not yes")),
        }
    }
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, yes) in [
            ("y\n", true),
            ("YES\r\n", true),
            ("\n", false),
            ("", false),
            ("yep", false),
        ] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
