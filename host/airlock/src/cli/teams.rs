//! `airlock teams`.

use clap::Subcommand;

use super::Common;
use crate::{api_client::path, error::CliError, output::print_list};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the teams, and how busy each is
    List,
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    let server = common.server()?;
    match command {
        Command::List => {
            let teams = server.list(&path(&["teams"]), &[], "teams", None).await?;
            print_list(
                common.output,
                &teams,
                [
                    ("team", "name"),
                    ("weight", "weight"),
                    ("bundles", "bundles"),
                    ("running", "running"),
                    ("waiting", "scheduled"),
                    ("deferred", "deferred"),
                    ("succeeded", "succeeded"),
                    ("failed", "failed"),
                ],
            )
        }
    }
}
