//! `airlock config`.

use std::{process::ExitCode, sync::Arc};

use airlock_server::auth::Token;
use airlock_store::HomeLock;
use clap::Subcommand;
use serde_json::json;

use super::{Common, environment};
use crate::{
    config::{self, ConfigError, Mistakes},
    error::CliError,
    house,
    output::{self, Format, line, print, print_json, print_line},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show every option that is in force and where it comes from; secrets are masked
    List {
        /// Every option at its default, whatever is set
        #[arg(long)]
        defaults: bool,
    },
    /// Find every mistake at once, each with its line
    Check,
    /// Print a file with every option, commented out, to begin with
    Example,
    /// Print the reference of all options, as Markdown
    Reference,
    /// Make a token for a reviewer, and print what lets it in
    ///
    /// The token is shown once and kept nowhere: airlock.toml has its hash alone. The server knows it after a restart.
    #[command(after_help = "Example:\n  airlock config new-token rita")]
    NewToken {
        /// The reviewer's name, as the audit will have it
        name: String,
    },
    /// Replace the key that seals connections and variables, and seal them anew
    ///
    /// Stop the server first: it holds the old key in memory.
    #[command(after_help = "Example:\n  airlock config rotate-key")]
    RotateKey,
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::List { defaults } => list(common, defaults)?,
        Command::Check => check(common)?,
        Command::Example => print(&config::example())?,
        Command::Reference => print(&config::reference())?,
        Command::NewToken { name } => new_token(common, &name)?,
        Command::RotateKey => rotate_key(common).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn new_token(common: &Common, name: &str) -> Result<(), CliError> {
    if let Some(wrong) = config::wrong_name(name) {
        return Err(CliError::Usage(wrong));
    }
    let token = Token::new_random();
    let (hash, secret) = (token.hash().to_string(), token.reveal());
    match common.output {
        Format::Json => {
            output::print_json(&json!({"name": name, "token": secret, "token_hash": hash}))
        }
        Format::Table => print(&format!(
            "the token of {}, shown this once:\n  {secret}\nwhat lets it in, for airlock.toml:\n  [[reviewer]]\n  name = \"{}\"\n  token_hash = \"{hash}\"\n",
            line(name),
            line(name)
        )),
    }
}

fn list(common: &Common, defaults: bool) -> Result<(), CliError> {
    let loaded = if defaults {
        config::defaults(&common.place())?
    } else {
        config::load(&common.place(), environment())?
    };
    let effective = loaded.effective.clone();
    loaded.checked()?;
    match common.output {
        Format::Json => {
            let options: Vec<_> = effective
                .iter()
                .map(|option| json!({"option": option.path, "value": option.value, "origin": option.origin.to_string()}))
                .collect();
            print_json(&options)
        }
        Format::Table => {
            let rows = effective.iter().map(|option| {
                [
                    option.path.clone(),
                    option.value.clone(),
                    option.origin.to_string(),
                ]
            });
            print(&output::table(["option", "value", "from"], rows))
        }
    }
}

fn check(common: &Common) -> Result<(), CliError> {
    let loaded = config::load(&common.place(), environment())?;
    let file = loaded.config.file.clone();
    if common.output == Format::Json {
        let mistakes: Vec<_> = loaded
            .mistakes
            .iter()
            .map(|mistake| {
                json!({
                    "origin": mistake.origin.to_string(),
                    "option": mistake.path,
                    "warning": mistake.problem.is_warning(),
                    "message": mistake.problem.to_string(),
                })
            })
            .collect();
        print_json(&mistakes)?;
        return loaded.checked().map(drop).map_err(|_| CliError::Told);
    }
    let (warnings, wrong): (Vec<_>, Vec<_>) = loaded
        .mistakes
        .into_iter()
        .partition(|mistake| mistake.problem.is_warning());
    for warning in &warnings {
        eprintln!("{}", line(&warning.to_string()));
    }
    if !wrong.is_empty() {
        return Err(ConfigError::Mistakes(Mistakes(wrong)).into());
    }
    match file {
        Some(file) => print_line(&format!("{} is right", line(&file.to_string_lossy()))),
        None => print_line("there is no airlock.toml; the defaults hold"),
    }
}

async fn rotate_key(common: &Common) -> Result<(), CliError> {
    let config = common.config()?;
    let store = Arc::new(super::db::open(&config).await?);
    // A server that is at work has the old key in memory and would go on sealing with it.
    let _lock = HomeLock::acquire(&config.home).map_err(CliError::room)?;
    store.check().await.map_err(CliError::room)?;
    let vault = house::vault(&config, &config.home, &store).map_err(CliError::room)?;
    let rotation = vault.rotate().await.map_err(CliError::room)?;
    store.close().await;
    match common.output {
        Format::Json => print_json(&json!({
            "key": rotation.key.to_string(),
            "resealed": rotation.resealed,
            "resumed": rotation.resumed,
        })),
        Format::Table => print_line(&format!(
            "{} settings are sealed with the new key {}{}",
            rotation.resealed,
            rotation.key,
            if rotation.resumed {
                "; a rotation that was begun before is finished"
            } else {
                ""
            }
        )),
    }
}
