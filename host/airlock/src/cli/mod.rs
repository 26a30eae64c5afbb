//! The command line: one module per noun.

mod assets;
mod audit;
mod backfill;
mod bundle;
mod callbacks;
mod config;
mod confirm;
mod connections;
mod dags;
mod db;
mod deadlines;
mod grants;
#[cfg(test)]
mod guides;
mod pools;
mod tasks;
mod teams;
mod triggers;
mod variables;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    api_client::ApiClient,
    config::{Config, Place},
    error::{CliError, EXIT_CODES},
    output::{self, Format},
    standalone::{self, StandaloneOptions},
};

/// Airlock schedules workflows: DAGs of several teams, each team's code in its own WebAssembly sandbox.
#[derive(Debug, Parser)]
#[command(
    name = "airlock",
    version,
    after_help = EXIT_CODES,
    after_long_help = concat!(
        "Start here:\n",
        "  airlock bundle new hello && cd hello   write a first DAG\n",
        "  airlock bundle test hello              run it once, without a server\n",
        "  airlock bundle build                   make the component\n",
        "  airlock standalone --bundles target    run everything\n\n",
        "Exit codes:\n",
        "  0  done\n",
        "  1  it failed; what and why is on standard error\n",
        "  2  the command line was not understood\n",
        "  3  it needs a server, and none is running: start one with `airlock standalone`\n",
        "  4  what it names was not found",
    )
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Chosen,
}

/// The heading of what every command takes.
const EVERYWHERE: &str = "Everywhere";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The home folder, which holds all state [default: ~/.airlock]
    #[arg(
        long,
        global = true,
        env = "AIRLOCK_HOME",
        value_name = "DIR",
        hide_env_values = true,
        help_heading = EVERYWHERE
    )]
    home: Option<PathBuf>,
    /// The configuration [default: ./airlock.toml, else airlock.toml in the home folder]
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    config: Option<PathBuf>,
    /// `table` for people, `json` for programs: its field names stay as they are from version to version
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true,
        help_heading = EVERYWHERE
    )]
    output: Format,
}

impl Common {
    fn place(&self) -> Place {
        Place {
            file: self.config.clone(),
            home: self.home.clone(),
            bundles: None,
        }
    }

    /// The home folder.
    fn home(&self) -> Result<PathBuf, CliError> {
        Ok(crate::config::home(self.home.as_deref())?)
    }

    /// The configuration, which must be right.
    fn config(&self) -> Result<Config, CliError> {
        Ok(crate::config::load(&self.place(), environment())?.checked()?)
    }

    /// The running server.
    fn server(&self) -> Result<ApiClient, CliError> {
        ApiClient::find(&self.home()?)
    }
}

/// The environment, as far as it is text: what is not cannot be an option.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// A command that restricts itself before it has threads, or any other.
#[derive(Debug, Subcommand)]
enum Chosen {
    /// Run everything in one process: scheduler, sandbox, API, with SQLite inside
    ///
    /// Without a configuration there is one team, `default`: every component in the bundle folder belongs to it
    /// and is granted what it asks for. Ctrl-C lets running tasks finish; a second one ends at once.
    #[command(
        after_help = "Examples:\n  airlock standalone\n  airlock standalone --bundles target\n  airlock standalone --config bundles/airlock.toml"
    )]
    Standalone {
        /// The folder of bundles, where no team is configured [default: bundles in the home folder]
        #[arg(long, value_name = "DIR")]
        bundles: Option<PathBuf>,
        /// Show no progress, also on a terminal
        #[arg(long, short)]
        quiet: bool,
    },
    #[command(flatten)]
    Other(Command),
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write, build, inspect and test bundles
    #[command(subcommand)]
    Bundle(bundle::Command),
    /// Look at DAGs, trigger, pause and delete them; clear, end and delete their runs
    #[command(subcommand)]
    Dags(dags::Command),
    /// Look at tasks, their instances and logs; clear and mark them; run one alone
    #[command(subcommand)]
    Tasks(tasks::Command),
    /// Backfills: runs for a past that was not run, or is to be run again
    #[command(subcommand)]
    Backfill(backfill::Command),
    /// Assets: what DAGs make and wait for
    #[command(subcommand)]
    Assets(assets::Command),
    /// Triggers: what deferred tasks and the watchers of assets have polled
    #[command(subcommand)]
    Triggers(triggers::Command),
    /// Callbacks: who is told of what became of tasks and runs
    #[command(subcommand)]
    Callbacks(callbacks::Command),
    /// What bundles may reach, and why
    #[command(subcommand)]
    Grants(grants::Command),
    /// Deadlines of runs
    #[command(subcommand)]
    Deadlines(deadlines::Command),
    /// Variables: settings outside the code
    #[command(subcommand)]
    Variables(variables::Command),
    /// Connections: where systems are and how to log in to them
    #[command(subcommand)]
    Connections(connections::Command),
    /// Pools: how many tasks run at once that name them
    #[command(subcommand)]
    Pools(pools::Command),
    /// Who approved, who changed, what was denied: list, export, verify
    #[command(subcommand)]
    Audit(audit::Command),
    /// Teams
    #[command(subcommand)]
    Teams(teams::Command),
    /// Check, list and document the configuration; rotate the key of the secrets
    #[command(subcommand)]
    Config(config::Command),
    /// The database
    #[command(subcommand)]
    Db(db::Command),
    /// Tell the version
    Version,
}

/// Whose.
#[derive(Debug, Args)]
pub(crate) struct TeamOption {
    /// Whose; without it, the global one, which every team sees that has none of its own of that name
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
}

impl TeamOption {
    fn query(&self) -> Vec<(&'static str, String)> {
        self.team
            .iter()
            .map(|team| ("team", team.clone()))
            .collect()
    }
}

/// Runs the command line, and tells what went wrong.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            eprint!("{}", error.report(output::error_colours()));
            ExitCode::from(error.exit_code())
        }
    }
}

fn start(Cli { common, command }: Cli) -> Result<ExitCode, CliError> {
    match command {
        Chosen::Standalone { bundles, quiet } => {
            let place = Place {
                bundles,
                ..common.place()
            };
            let config = crate::config::load(&place, environment())?.checked()?;
            crate::logging::start(&config.log)?;
            let wall = crate::hardening::harden(&config)?;
            crate::memory::give_back();
            let options = StandaloneOptions { quiet, wall };
            threads()?.block_on(standalone::run(config, options))
        }
        Chosen::Other(command) => threads()?.block_on(run(common, command)),
    }
}

fn threads() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Failed(format!("AL-0829: no threads could be started: {error}")))
}

async fn run(common: Common, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Bundle(command) => return bundle::run(&common, command).await,
        Command::Dags(command) => return dags::run(&common, command).await,
        Command::Tasks(command) => return tasks::run(&common, command).await,
        Command::Backfill(command) => backfill::run(&common, command).await?,
        Command::Assets(command) => assets::run(&common, command).await?,
        Command::Triggers(command) => triggers::run(&common, command).await?,
        Command::Callbacks(command) => callbacks::run(&common, command).await?,
        Command::Grants(command) => return grants::run(&common, command).await,
        Command::Deadlines(command) => deadlines::run(&common, command).await?,
        Command::Variables(command) => variables::run(&common, command).await?,
        Command::Connections(command) => connections::run(&common, command).await?,
        Command::Pools(command) => pools::run(&common, command).await?,
        Command::Audit(command) => audit::run(&common, command).await?,
        Command::Teams(command) => teams::run(&common, command).await?,
        Command::Config(command) => return config::run(&common, command).await,
        Command::Db(command) => db::run(&common, command).await?,
        Command::Version => version(common.output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn version(format: Format) -> Result<(), CliError> {
    let version = env!("CARGO_PKG_VERSION");
    match format {
        Format::Table => output::print_line(&format!("airlock {version}")),
        Format::Json => output::print_json(&serde_json::json!({ "version": version })),
    }
}

/// Text from the argument, or from standard input where it is `-`: so that a secret need not stand in the
/// shell's history.
fn text_or_stdin(text: String) -> Result<String, CliError> {
    if text != "-" {
        return Ok(text);
    }
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::stdin(), &mut text)
        .map_err(|error| CliError::Failed(format!("AL-0830: standard input: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A JSON object that was given as an argument.
fn object(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("this is not a JSON object such as '{{\"n\": 3}}': {error}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_explains_itself() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        fn walk(command: &clap::Command, path: &str) {
            for sub in command
                .get_subcommands()
                .filter(|sub| sub.get_name() != "help")
            {
                let path = format!("{path} {}", sub.get_name());
                assert!(sub.get_about().is_some(), "{path} says nothing");
                for argument in sub.get_arguments() {
                    assert!(
                        argument.get_help().is_some(),
                        "{path} {} says nothing",
                        argument.get_id()
                    );
                }
                let is_leaf = sub.get_subcommands().next().is_none();
                let simple = [
                    "version",
                    "list",
                    "check",
                    "migrate",
                    "example",
                    "reference",
                ];
                if is_leaf && !simple.contains(&sub.get_name()) {
                    let help = sub
                        .get_after_help()
                        .map(ToString::to_string)
                        .unwrap_or_default();
                    assert!(help.contains("Example"), "{path} shows no example");
                }
                walk(sub, &path);
            }
        }
        walk(&command, "airlock");
    }
}
