//! Grants, decided.

use clap::Args;
use serde_json::{Value, json};

use super::{
    listing::{changes, strings},
    proposal::{self, Places},
};
use crate::{
    api_client::{ApiClient, path},
    cli::{Common, confirm::Confirmation},
    error::CliError,
    output::{self, Format, field, line, print_json, text},
};

#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The bundle
    bundle: String,
    /// The proposal; without one, the newest that is open
    revision: Option<u32>,
    #[command(flatten)]
    places: Places,
    /// For the bytes of its version alone, and not for every version that asks for no more
    #[arg(long)]
    only_this_version: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    confirmation: Confirmation,
}

#[derive(Debug, Args)]
pub(crate) struct Deny {
    /// The bundle
    bundle: String,
    /// The proposal; without one, the newest that is open
    revision: Option<u32>,
    /// Why, for the author and the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The bundle
    bundle: String,
    /// This revision alone; without one, all that was approved
    revision: Option<u32>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// The newest proposal that is open, if there is one.
async fn open(server: &ApiClient, bundle: &str) -> Result<Option<u32>, CliError> {
    // That there is such a bundle is said by this, and not by an empty list.
    server
        .get(&path(&["bundles", bundle, "grant"]), &[])
        .await?;
    let query = [
        ("bundle", bundle.to_owned()),
        ("state", "proposed".to_owned()),
    ];
    let open = server
        .list("/api/v2/grants", &query, "grants", Some(1))
        .await?;
    let revision = open.first().map(|one| field(one, "revision").as_u64());
    Ok(revision
        .flatten()
        .and_then(|revision| u32::try_from(revision).ok()))
}

fn none_open(bundle: &str) -> CliError {
    let bundle = line(bundle);
    CliError::NotFound(format!(
        "nothing is proposed for `{bundle}`; `airlock grants show {bundle}` says what it has and what it waits for, and `airlock grants propose {bundle}` proposes it"
    ))
}

async fn decide(
    server: &ApiClient,
    bundle: &str,
    revision: u32,
    body: &Value,
) -> Result<Value, CliError> {
    let address = path(&["bundles", bundle, "grants", &revision.to_string()]);
    server.patch(&address, &[], body).await
}

pub(super) async fn approve(common: &Common, command: Approve) -> Result<(), CliError> {
    let server = common.server()?;
    let bundle = &command.bundle;
    let revision = match command.revision {
        Some(_) if !command.places.is_empty() => {
            return Err(CliError::Usage(
                "a proposal that was made has its directories; leave --directory or the number out"
                    .to_owned(),
            ));
        }
        Some(revision) => revision,
        None if !command.places.is_empty() => {
            let body = json!({"directories": command.places.body()});
            let proposed = proposal::send(&server, bundle, &body).await?;
            number(&proposed)?
        }
        None => open(&server, bundle)
            .await?
            .ok_or_else(|| none_open(bundle))?,
    };
    let address = path(&["bundles", bundle, "grants", &revision.to_string()]);
    let proposed = server.get(&address, &[]).await?;
    let (added, removed) = (strings(&proposed, "added"), strings(&proposed, "removed"));
    if common.output == Format::Table {
        let nothing = added.is_empty() && removed.is_empty();
        let changes = match nothing {
            true => "no change of what is granted\n".to_owned(),
            false => changes(&added, &removed),
        };
        let head = format!(
            "revision {revision} of the grant of {}, for version {}:\n",
            line(bundle),
            line(&text(&proposed, "bundle_version"))
        );
        output::print(&format!("{head}{changes}"))?;
    }
    command.confirmation.ask("Approve it?")?;
    let mut body = json!({"state": "approved", "reason": command.reason});
    if let Some(fields) = body.as_object_mut().filter(|_| command.only_this_version) {
        fields.insert("only_this_version".to_owned(), json!(true));
    }
    let approved = decide(&server, bundle, revision, &body).await?;
    told(common, &approved, "approved, and in force")
}

pub(super) async fn deny(common: &Common, command: Deny) -> Result<(), CliError> {
    let server = common.server()?;
    let revision = match command.revision {
        Some(revision) => revision,
        None => {
            let open = open(&server, &command.bundle).await?;
            open.ok_or_else(|| none_open(&command.bundle))?
        }
    };
    let body = json!({"state": "denied", "reason": command.reason});
    let denied = decide(&server, &command.bundle, revision, &body).await?;
    told(common, &denied, "refused")
}

pub(super) async fn revoke(common: &Common, command: Revoke) -> Result<(), CliError> {
    let server = common.server()?;
    let bundle = line(&command.bundle);
    let question = match command.revision {
        Some(revision) => format!("Take back revision {revision} of the grant of {bundle}?"),
        None => {
            format!("Take back all that was approved for {bundle}, so that it reaches nothing?")
        }
    };
    command.confirmation.ask(&question)?;
    match command.revision {
        Some(revision) => {
            let body = json!({"state": "revoked", "reason": command.reason});
            let revoked = decide(&server, &command.bundle, revision, &body).await?;
            told(common, &revoked, "taken back")
        }
        None => {
            let query: Vec<_> = command
                .reason
                .into_iter()
                .map(|why| ("reason", why))
                .collect();
            server
                .delete(&path(&["bundles", &command.bundle, "grant"]), &query)
                .await?;
            match common.output {
                Format::Json => {
                    print_json(&json!({"bundle_name": command.bundle, "state": "revoked"}))
                }
                Format::Table => output::print_line(&format!("{bundle} reaches nothing now")),
            }
        }
    }
}

fn number(revision: &Value) -> Result<u32, CliError> {
    let number = field(revision, "revision").as_u64();
    number
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| {
            CliError::NotFound(
                "the number of the proposal; look at `airlock grants list`".to_owned(),
            )
        })
}

fn told(common: &Common, revision: &Value, what: &str) -> Result<(), CliError> {
    match common.output {
        Format::Json => print_json(revision),
        Format::Table => output::print_line(&format!(
            "revision {} of the grant of {}: {what}",
            text(revision, "revision"),
            line(&text(revision, "bundle_name"))
        )),
    }
}
