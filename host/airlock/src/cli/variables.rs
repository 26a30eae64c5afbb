//! `airlock variables`.

use clap::Subcommand;
use serde_json::Map;

use super::{Common, TeamOption, text_or_stdin};
use crate::{
    api_client::path,
    error::CliError,
    output::{Format, field, lines, print_fields, print_json, print_line, print_list},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the value of a variable
    #[command(after_help = "Example:\n  airlock variables get ledger.currency --team payments")]
    Get {
        /// Its key
        key: String,
        #[command(flatten)]
        team: TeamOption,
    },
    /// List the variables, without their values
    List {
        #[command(flatten)]
        team: TeamOption,
    },
    /// Create a variable, or change its value
    #[command(
        after_help = "Examples:\n  airlock variables set ledger.currency CHF --team payments\n  airlock variables set api.key - --team payments < key.txt"
    )]
    Set {
        /// Its key
        key: String,
        /// Its value; `-` reads it from standard input
        value: String,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        team: TeamOption,
    },
    /// Delete a variable
    #[command(after_help = "Example:\n  airlock variables delete ledger.currency --team payments")]
    Delete {
        /// Its key
        key: String,
        #[command(flatten)]
        team: TeamOption,
    },
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    let server = common.server()?;
    let collection = path(&["variables"]);
    match command {
        Command::Get { key, team } => {
            let variable = server
                .get(&path(&["variables", &key]), &team.query())
                .await?;
            match (common.output, field(&variable, "value").as_str()) {
                (Format::Table, Some(value)) => print_line(&lines(value)),
                _ => print_json(&variable),
            }
        }
        Command::List { team } => {
            let variables = server
                .list(&collection, &team.query(), "variables", None)
                .await?;
            print_list(
                common.output,
                &variables,
                [
                    ("variable", "key"),
                    ("team", "team_name"),
                    ("in airlock.toml", "is_configured"),
                    ("description", "description"),
                ],
            )
        }
        Command::Set {
            key,
            value,
            description,
            team,
        } => {
            let mut fields = Map::new();
            fields.insert("value".to_owned(), text_or_stdin(value)?.into());
            fields.extend(description.map(|text| ("description".to_owned(), text.into())));
            let variable = server
                .set(&collection, ("key", &key), &team.query(), fields)
                .await?;
            print_fields(
                common.output,
                &variable,
                [("variable", "key"), ("team", "team_name")],
            )
        }
        Command::Delete { key, team } => {
            server
                .delete(&path(&["variables", &key]), &team.query())
                .await
        }
    }
}
