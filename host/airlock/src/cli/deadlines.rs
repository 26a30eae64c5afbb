//! `airlock deadlines`.

use clap::Subcommand;

use super::Common;
use crate::{
    api_client::path,
    error::CliError,
    output::{Format, print_line, print_list},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the deadlines of runs, earliest first: those that are ahead, and those that were missed
    #[command(
        after_help = "Examples:\n  airlock deadlines list --ahead\n  airlock deadlines list --dag-id weather --missed"
    )]
    List {
        /// Of this team only
        #[arg(long)]
        team: Option<String>,
        /// Of this DAG only
        #[arg(long)]
        dag_id: Option<String>,
        /// Only those that were missed
        #[arg(long)]
        missed: bool,
        /// Only those that are ahead
        #[arg(long, conflicts_with = "missed")]
        ahead: bool,
    },
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    let server = common.server()?;
    match command {
        Command::List {
            team,
            dag_id,
            missed,
            ahead,
        } => {
            let mut query = Vec::new();
            query.extend(team.map(|team| ("team", team)));
            query.extend(dag_id.map(|dag| ("dag_id", dag)));
            if missed || ahead {
                query.push(("missed", missed.to_string()));
            }
            let address = path(&["deadlines"]);
            let deadlines = server.list(&address, &query, "deadlines", None).await?;
            if deadlines.is_empty() && common.output == Format::Table {
                return print_line("no deadlines");
            }
            print_list(
                common.output,
                &deadlines,
                [
                    ("deadline", "deadline_time"),
                    ("name", "name"),
                    ("dag", "dag_id"),
                    ("run", "dag_run_id"),
                    ("team", "team_name"),
                    ("missed", "missed_at"),
                    ("told by", "callback_id"),
                ],
            )
        }
    }
}
