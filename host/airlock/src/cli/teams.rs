//! `airlock teams`.

use clap::Subcommand;

use super::Common;
use crate::{api_client::path, error::CliError, output::print_list};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the teams, and how busy each is
    List,
    /// List what teams share with bundles of others, and whether it is borrowed
    #[command(
        after_help = "Examples:\n  airlock teams shares\n  airlock teams shares --team payments"
    )]
    Shares {
        /// Where this team lends or borrows only
        #[arg(long)]
        team: Option<String>,
    },
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    let server = common.server()?;
    match command {
        Command::Shares { team } => {
            let query: Vec<_> = team.into_iter().map(|team| ("team", team)).collect();
            let shares = server
                .list(&path(&["shares"]), &query, "shares", None)
                .await?;
            print_list(
                common.output,
                &shares,
                [
                    ("of team", "team_name"),
                    ("kind", "kind"),
                    ("name", "name"),
                    ("with bundle", "bundle_name"),
                    ("of team", "borrower_team_name"),
                    ("for DAGs", "dag_ids"),
                    ("borrowed", "is_borrowed"),
                ],
            )
        }
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
