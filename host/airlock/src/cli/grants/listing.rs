//! Grants, looked at.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::proposal::as_toml;
use crate::{
    api_client::path,
    cli::Common,
    error::CliError,
    output::{self, Format, field, line, print_fields, print_json, print_list, text},
};

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Of this team only
    #[arg(long)]
    team: Option<String>,
    /// Of this bundle only
    #[arg(long)]
    bundle: Option<String>,
    /// In this state only
    #[arg(long, value_parser = ["proposed", "approved", "replaced", "denied", "revoked", "lapsed"])]
    state: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The bundle
    bundle: String,
    /// This revision, whatever became of it
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u32>,
    /// The grant alone, as the tables of a file for `grants propose --file` or for airlock.toml
    #[arg(long)]
    toml: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The bundle
    bundle: String,
    /// This revision; without one, what the version that waits needs
    revision: Option<u32>,
    /// Against it this one, instead of what is in force
    other: Option<u32>,
}

pub(super) async fn list(common: &Common, command: List) -> Result<(), CliError> {
    let mut query = Vec::new();
    query.extend(command.team.map(|team| ("team", team)));
    query.extend(command.bundle.map(|bundle| ("bundle", bundle)));
    query.extend(command.state.map(|state| ("state", state)));
    let server = common.server()?;
    let grants = server
        .list("/api/v2/grants", &query, "grants", None)
        .await?;
    print_list(
        common.output,
        &grants,
        [
            ("bundle", "bundle_name"),
            ("team", "team_name"),
            ("revision", "revision"),
            ("state", "state"),
            ("for version", "bundle_version"),
            ("proposed by", "proposed_by"),
            ("proposed at", "proposed_at"),
            ("decided by", "decided_by"),
            ("decided at", "decided_at"),
        ],
    )
}

pub(super) async fn show(common: &Common, command: Show) -> Result<(), CliError> {
    let server = common.server()?;
    let address = match command.revision {
        Some(revision) => path(&["bundles", &command.bundle, "grants", &revision.to_string()]),
        None => path(&["bundles", &command.bundle, "grant"]),
    };
    let mut grant = server.get(&address, &[]).await?;
    if command.toml {
        return output::print(&as_toml(field(&grant, "grant"))?);
    }
    match (common.output, command.revision) {
        (Format::Json, _) => print_json(&grant),
        (Format::Table, None) => output::print(&page(&grant)),
        (Format::Table, Some(_)) => {
            let entries = strings(&grant, "entries").join("\n");
            if let Some(fields) = grant.as_object_mut() {
                fields.insert("entries".to_owned(), json!(entries));
            }
            print_fields(
                Format::Table,
                &grant,
                [
                    ("bundle", "bundle_name"),
                    ("team", "team_name"),
                    ("revision", "revision"),
                    ("state", "state"),
                    ("for version", "bundle_version"),
                    ("of content", "bundle_hash"),
                    ("only this version", "only_this_version"),
                    ("grants", "entries"),
                    ("note", "note"),
                    ("proposed by", "proposed_by"),
                    ("proposed at", "proposed_at"),
                    ("decided by", "decided_by"),
                    ("decided at", "decided_at"),
                    ("reason", "reason"),
                ],
            )
        }
    }
}

pub(super) async fn diff(common: &Common, command: Diff) -> Result<(), CliError> {
    let server = common.server()?;
    let of = async |revision: u32| {
        let address = path(&["bundles", &command.bundle, "grants", &revision.to_string()]);
        server.get(&address, &[]).await
    };
    let in_force = async || {
        server
            .get(&path(&["bundles", &command.bundle, "grant"]), &[])
            .await
    };
    let (before, now) = match (command.revision, command.other) {
        (Some(one), Some(other)) => (
            strings(&of(one).await?, "entries"),
            strings(&of(other).await?, "entries"),
        ),
        (Some(one), None) => (
            strings(&in_force().await?, "entries"),
            strings(&of(one).await?, "entries"),
        ),
        (None, _) => {
            let grant = in_force().await?;
            let waiting = field(&grant, "waiting");
            if waiting.is_null() {
                return Err(CliError::NotFound(format!(
                    "no version of `{}` waits for approval; name a revision to compare it with what is in force",
                    line(&command.bundle)
                )));
            }
            (strings(&grant, "entries"), strings(waiting, "entries"))
        }
    };
    let without = |from: &[String], others: &[String]| -> Vec<String> {
        let there = from.iter().filter(|entry| !others.contains(entry));
        there.cloned().collect()
    };
    let (added, removed) = (without(&now, &before), without(&before, &now));
    match common.output {
        Format::Json => print_json(&json!({"added": added, "removed": removed})),
        Format::Table if added.is_empty() && removed.is_empty() => {
            output::print_line("no difference")
        }
        Format::Table => output::print(&changes(&added, &removed)),
    }
}

/// A difference, a line for each entry.
pub(super) fn changes(added: &[String], removed: &[String]) -> String {
    let mut text = String::new();
    for (sign, entries) in [('-', removed), ('+', added)] {
        for entry in entries {
            let _ = writeln!(text, "{sign} {}", line(entry));
        }
    }
    text
}

/// The texts of a list.
pub(super) fn strings(of: &Value, name: &str) -> Vec<String> {
    let all = field(of, name).as_array().into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What is in force and what waits, for people.
fn page(grant: &Value) -> String {
    let mut page = String::new();
    let (bundle, team) = (text(grant, "bundle_name"), text(grant, "team_name"));
    let (bundle, team) = (line(&bundle), line(&team));
    let _ = write!(page, "{bundle}, team {team}: ");
    let _ = match (&*text(grant, "source"), field(grant, "revision").as_u64()) {
        ("automatic", _) => writeln!(
            page,
            "granted what it asks for, since no team is declared (set [[team]] to change that)"
        ),
        ("configured", _) => writeln!(page, "granted in airlock.toml"),
        (_, Some(revision)) => writeln!(page, "granted by revision {revision}"),
        (_, None) => writeln!(page, "nothing was approved"),
    };
    if let Value::String(version) = field(grant, "bundle_version") {
        let hash: String = text(grant, "bundle_hash").chars().take(8).collect();
        let nothing = text(grant, "source") == "approved" && field(grant, "revision").is_null();
        let without = if nothing {
            ", and may reach nothing"
        } else {
            ""
        };
        let _ = writeln!(
            page,
            "version {} (b3:{hash}…) serves{without}",
            line(version)
        );
    }
    for entry in strings(grant, "entries") {
        let _ = writeln!(page, "  {}", line(&entry));
    }
    let waiting = field(grant, "waiting");
    if waiting.is_null() {
        return page;
    }
    let hash: String = text(waiting, "bundle_hash").chars().take(8).collect();
    let version = text(waiting, "version");
    let _ = writeln!(
        page,
        "\nversion {} (b3:{hash}…) waits since {}",
        line(&version),
        line(&text(waiting, "since"))
    );
    let wider = field(waiting, "wider").as_array().into_iter().flatten();
    let mut any = false;
    for one in wider {
        any = true;
        let reason = match field(one, "reason") {
            Value::String(reason) => format!("  ({})", line(reason)),
            _ => String::new(),
        };
        let phases = strings(one, "phases").join(", ");
        let phases = match phases.is_empty() {
            true => phases,
            false => format!("  in {phases}"),
        };
        let _ = writeln!(page, "  + {}{phases}{reason}", line(&text(one, "what")));
    }
    if !any {
        let _ = writeln!(
            page,
            "  it asks for nothing more; what was approved counts for other bytes alone"
        );
    }
    let places: Vec<String> = strings(waiting, "unplaced")
        .iter()
        .map(|path| format!(" --directory {}=/path/on/this/host", line(path)))
        .collect();
    let _ = writeln!(
        page,
        "to let it in: airlock grants approve {bundle}{}",
        places.concat()
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_is_in_force_and_what_waits_and_nothing_controls_the_terminal() {
        let grant = json!({
            "bundle_name": "ledger", "team_name": "payments", "source": "approved", "revision": 3,
            "bundle_version": "2.2.1", "bundle_hash": "51ac09ffee", "entries": ["variable `ledger.*`"],
            "waiting": {
                "version": "2.3.0", "bundle_hash": "beefbeefbeef", "since": "2026-01-01T00:00:00+00:00",
                "wider": [{"kind": "connection", "what": "connection `bank`, read", "phases": ["task", "trigger"],
                    "reason": "to \u{1b}[31mpay"}],
                "entries": [], "unplaced": ["inbox"], "proposal": null,
            },
        });
        assert_eq!(
            page(&grant),
            "ledger, team payments: granted by revision 3\n\
             version 2.2.1 (b3:51ac09ff…) serves\n  variable `ledger.*`\n\n\
             version 2.3.0 (b3:beefbeef…) waits since 2026-01-01T00:00:00+00:00\n  \
             + connection `bank`, read  in task, trigger  (to \\u{1b}[31mpay)\n\
             to let it in: airlock grants approve ledger --directory inbox=/path/on/this/host\n"
        );
        let nothing = json!({
            "bundle_name": "ledger", "team_name": "payments", "source": "approved", "revision": null,
            "bundle_version": null, "entries": [], "waiting": null,
        });
        assert_eq!(
            page(&nothing),
            "ledger, team payments: nothing was approved\n"
        );
    }

    #[test]
    fn a_difference_has_a_line_for_each_entry() {
        let (added, removed) = (["a\u{1b}".to_owned()], ["b".to_owned()]);
        assert_eq!(changes(&added, &removed), "- b\n+ a\\u{1b}\n");
    }
}
