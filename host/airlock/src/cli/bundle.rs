//! `airlock bundle`: what authors and reviewers do with bundles. Needs no server.

mod approved;
mod build;
mod diff;
mod html;
mod inspect;
mod signature;
pub(super) mod test;

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use super::Common;
use crate::{
    error::CliError,
    output::{Format, line, print_json, print_line},
    sdk,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a new bundle: a DAG of three tasks to begin with
    #[command(
        after_help = "Example:\n  airlock bundle new hello && cd hello && airlock bundle test hello"
    )]
    New {
        /// Its name, and that of its folder
        name: String,
    },
    /// Compile a bundle to one component with its bundle.toml inside
    ///
    /// Needs Rust with the target wasm32-wasip2. The component is written into cargo's target folder.
    #[command(
        after_help = "Examples:\n  airlock bundle build\n  airlock bundle build bundles/weather --output json"
    )]
    Build {
        /// The bundle's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Do not optimise: compiles faster, runs slower
        #[arg(long)]
        debug: bool,
    },
    /// Show what a component can reach: what it asks for, what it is granted, what it imports
    ///
    /// Reads the bytes and runs nothing of them. Grants are those of the configuration, or without one those of the
    /// running server, if it serves these bytes.
    #[command(
        after_help = "Examples:\n  airlock bundle inspect target/weather.wasm --config airlock.toml\n  airlock bundle inspect target/weather.wasm --html > weather.html"
    )]
    Inspect {
        /// The component
        file: PathBuf,
        /// Write one page of HTML that needs nothing else, to be mailed or kept
        #[arg(long, conflicts_with = "output")]
        html: bool,
    },
    /// Show what a new version asks for beyond an old one, what it imports besides, and what it lacks
    ///
    /// Reads the bytes of both and runs nothing of them. What is written differently and means the same is no
    /// difference.
    #[command(
        after_help = "Examples:\n  airlock bundle diff approved/ledger.wasm target/ledger.wasm\n  airlock bundle diff old.wasm new.wasm --exit-code || echo 'somebody has to look'"
    )]
    Diff {
        /// The version that is known
        old: PathBuf,
        /// The version to look at
        new: PathBuf,
        /// Exit with code 1 where the new one asks for more
        #[arg(long)]
        exit_code: bool,
    },
    /// Print the text that is signed for a component: its name, its version, and the hashes of it and of its request
    #[command(
        after_help = "Example:\n  airlock bundle manifest target/ledger.wasm > ledger.manifest && minisign -S -m ledger.manifest -x target/ledger.wasm.minisig"
    )]
    Manifest {
        /// The component
        file: PathBuf,
    },
    /// Make a key pair to sign bundles with: NAME.key, which is secret, and NAME.pub
    ///
    /// The keys are minisign's. Asks for a password, without which the secret key is of no use.
    #[command(
        after_help = "Example:\n  airlock bundle keygen release && airlock bundle sign target/ledger.wasm --key release.key"
    )]
    Keygen {
        /// Where, without the ending
        name: PathBuf,
        /// Make a secret key that needs no password: whoever reads the file can sign
        #[arg(long)]
        no_password: bool,
    },
    /// Sign a component: writes FILE.minisig beside it
    #[command(after_help = "Example:\n  airlock bundle sign target/ledger.wasm --key release.key")]
    Sign {
        /// The component
        file: PathBuf,
        /// The file of the secret key
        #[arg(long)]
        key: PathBuf,
    },
    /// Check that the signature beside a component is by a key
    #[command(
        after_help = "Example:\n  airlock bundle verify target/ledger.wasm --key release.pub"
    )]
    Verify {
        /// The component
        file: PathBuf,
        /// The public key, or its file
        #[arg(long)]
        key: String,
    },
    /// Run one DAG once in the real sandbox, without a server
    ///
    /// The bundle is granted what it asks for; the directories it asks for lie in its own folder. Nothing is
    /// kept. Exit code 1 when the run fails.
    #[command(
        after_help = "Examples:\n  airlock bundle test weather --logical-date 2012-01-15\n  airlock bundle test report --conf '{\"region\": \"eu\"}' --variable report.currency=CHF\n  airlock bundle test rates --bundle target/rates.wasm --connection exchange=http://127.0.0.1:8000"
    )]
    Test(test::Arguments),
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::New { name } => new(common, &name)?,
        Command::Build { folder, debug } => {
            let built = build::build(&common.home()?, &folder, debug).await?;
            built.tell(common.output)?;
        }
        Command::Inspect { file, html } => inspect::run(common, &file, html).await?,
        Command::Diff {
            old,
            new,
            exit_code,
        } => return diff::run(common.output, &old, &new, exit_code),
        Command::Manifest { file } => signature::manifest(&file)?,
        Command::Keygen { name, no_password } => {
            signature::keygen(common.output, &name, no_password)?;
        }
        Command::Sign { file, key } => signature::sign(common.output, &file, &key)?,
        Command::Verify { file, key } => signature::verify(common.output, &file, &key)?,
        Command::Test(arguments) => return test::run(common, arguments).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn new(common: &Common, name: &str) -> Result<(), CliError> {
    // Cargo allows less in a package's name than Airlock in a bundle's.
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && name.len() <= 64;
    if !good {
        return Err(CliError::Usage(format!(
            "`{}` is no name for a new bundle: use letters, digits, `-` and `_`, and begin with a letter",
            line(name)
        )));
    }
    let sdk = sdk::unpack(&common.home()?)?;
    let folder = PathBuf::from(name);
    sdk::write_template(&folder, name, &sdk)?;
    let dag = sdk::dag_id(name);
    match common.output {
        Format::Json => print_json(&serde_json::json!({
            "name": name,
            "path": std::path::absolute(&folder).unwrap_or(folder),
            "dag_id": dag,
        })),
        Format::Table => print_line(&format!(
            "wrote {name}/ with the DAG `{dag}`; next:\n  cd {name}\n  airlock bundle test {dag}"
        )),
    }
}
