//! `airlock pools`.

use clap::Subcommand;
use serde_json::Map;

use super::{Common, TeamOption};
use crate::{
    api_client::path,
    error::CliError,
    output::{print_fields, print_list},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a pool
    #[command(after_help = "Example:\n  airlock pools get bank_api --team payments")]
    Get {
        /// Its name
        name: String,
        #[command(flatten)]
        team: TeamOption,
    },
    /// List the pools: of a team, or all
    List {
        /// Of this team only
        #[arg(long)]
        team: Option<String>,
    },
    /// Create a pool, or change it
    #[command(
        after_help = "Examples:\n  airlock pools set bank_api 4 --team payments\n  airlock pools set default_pool 64 --team payments"
    )]
    Set {
        /// Its name
        name: String,
        /// How many tasks that name it may run at once; -1 for no bound
        #[arg(allow_negative_numbers = true)]
        slots: i32,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        /// Deferred tasks keep their slots
        #[arg(long)]
        include_deferred: Option<bool>,
        #[command(flatten)]
        team: TeamOption,
    },
    /// Delete a pool
    #[command(after_help = "Example:\n  airlock pools delete bank_api --team payments")]
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        team: TeamOption,
    },
}

const FIELDS: [(&str, &str); 9] = [
    ("pool", "name"),
    ("team", "team_name"),
    ("slots", "slots"),
    ("occupied", "occupied_slots"),
    ("waiting", "scheduled_slots"),
    ("deferred", "deferred_slots"),
    ("open", "open_slots"),
    ("in airlock.toml", "is_configured"),
    ("description", "description"),
];

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    let server = common.server()?;
    let collection = path(&["pools"]);
    match command {
        Command::Get { name, team } => {
            let pool = server.get(&path(&["pools", &name]), &team.query()).await?;
            print_fields(common.output, &pool, FIELDS)
        }
        Command::List { team } => {
            let query: Vec<_> = team.into_iter().map(|team| ("team", team)).collect();
            let pools = server.list(&collection, &query, "pools", None).await?;
            print_list(common.output, &pools, FIELDS)
        }
        Command::Set {
            name,
            slots,
            description,
            include_deferred,
            team,
        } => {
            let mut fields = Map::new();
            fields.insert("slots".to_owned(), slots.into());
            fields.extend(description.map(|text| ("description".to_owned(), text.into())));
            fields.extend(include_deferred.map(|yes| ("include_deferred".to_owned(), yes.into())));
            let pool = server
                .set(&collection, ("name", &name), &team.query(), fields)
                .await?;
            print_fields(common.output, &pool, FIELDS)
        }
        Command::Delete { name, team } => {
            server.delete(&path(&["pools", &name]), &team.query()).await
        }
    }
}
