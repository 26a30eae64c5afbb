//! `airlock grants`: what bundles may reach, who approved it, and why.

mod decision;
mod explain;
mod listing;
mod proposal;

use std::process::ExitCode;

use clap::Subcommand;

use super::Common;
use crate::error::CliError;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the grants that were proposed, approved, refused and taken back, newest first
    #[command(
        after_help = "Examples:\n  airlock grants list --state proposed\n  airlock grants list --bundle ledger"
    )]
    List(listing::List),
    /// Show what a bundle is granted, by whose word, and whether a version waits for more
    #[command(
        after_help = "Examples:\n  airlock grants show ledger\n  airlock grants show ledger --toml > ledger.toml\n  airlock grants show ledger --revision 3"
    )]
    Show(listing::Show),
    /// Show how a revision differs from what is in force, or from another
    #[command(
        after_help = "Examples:\n  airlock grants diff ledger        # what waits, against what is in force\n  airlock grants diff ledger 4\n  airlock grants diff ledger 3 4"
    )]
    Diff(listing::Diff),
    /// Propose a grant; nothing changes until somebody approves it
    ///
    /// Without --file it is what the bundle has, and what the version that waits asks for beyond that.
    #[command(
        after_help = "Examples:\n  airlock grants propose ledger --note \"for the new bank\"\n  airlock grants propose ledger --directory inbox=/srv/inbox\n  airlock grants propose ledger --file ledger.toml"
    )]
    Propose(proposal::Propose),
    /// Approve a proposal: it is in force at once, and a version that waits for it comes in
    ///
    /// It counts for every version that asks for no more than the one that was read, unless it is bound to that one's
    /// bytes.
    #[command(
        after_help = "Examples:\n  airlock grants approve ledger\n  airlock grants approve ledger 4 --only-this-version --reason \"read on Monday\"\n  airlock grants approve ledger --directory inbox=/srv/inbox"
    )]
    Approve(decision::Approve),
    /// Refuse a proposal: the version that needs it stays out
    #[command(
        after_help = "Example:\n  airlock grants deny ledger --reason \"why does it need the bank?\""
    )]
    Deny(decision::Deny),
    /// Take back what was approved: calls that run lose it at once
    #[command(
        after_help = "Examples:\n  airlock grants revoke ledger --reason \"key leaked\"\n  airlock grants revoke ledger 3"
    )]
    Revoke(decision::Revoke),
    /// Say whether a bundle may reach something, and why, or what would allow it
    ///
    /// The running server takes the decision that a call would meet; nothing is reached. Exit code 1 for a no.
    #[command(
        after_help = "Examples:\n  airlock grants explain ledger --dag payments_daily --task pay --http https://evil.example\n  airlock grants explain ledger --variable ledger.currency --phase parse\n  airlock grants explain ledger --http https://api.bank.example/v1/pay --method POST"
    )]
    Explain(Box<explain::Explain>),
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::List(command) => listing::list(common, command).await?,
        Command::Show(command) => listing::show(common, command).await?,
        Command::Diff(command) => listing::diff(common, command).await?,
        Command::Propose(command) => proposal::run(common, command).await?,
        Command::Approve(command) => decision::approve(common, command).await?,
        Command::Deny(command) => decision::deny(common, command).await?,
        Command::Revoke(command) => decision::revoke(common, command).await?,
        Command::Explain(command) => return explain::run(common, *command).await,
    }
    Ok(ExitCode::SUCCESS)
}
