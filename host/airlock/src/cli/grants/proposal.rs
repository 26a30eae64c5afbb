//! Grants, proposed; and grants as text.

use std::path::{Path, PathBuf};

use airlock_grant::Grant;
use clap::Args;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::listing::strings;
use crate::{
    api_client::{ApiClient, path},
    cli::Common,
    error::CliError,
    output::{self, Format, line, print_json, text},
};

#[derive(Debug, Args)]
pub(crate) struct Propose {
    /// The bundle
    bundle: String,
    /// All that it is to be granted: a file with `[[grant.KIND]]` tables, or with the `[[team.bundle.grant.KIND]]`
    /// tables that errors print
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
    /// For the version with this BLAKE3; otherwise the one that waits, else the one that serves
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    /// For that version's bytes alone, and not for every version that asks for no more
    #[arg(long)]
    only_this_version: bool,
    /// Why, for whoever decides
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Where directories lie.
#[derive(Debug, Clone, Args)]
pub(crate) struct Places {
    /// Where a directory that it asks for lies on this host; once for each
    #[arg(long = "directory", value_name = "PATH=HOST", value_parser = place)]
    places: Vec<(String, PathBuf)>,
}

fn place(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((path, host)) if !path.is_empty() && Path::new(host).is_absolute() => {
            Ok((path.to_owned(), host.into()))
        }
        _ => Err("write PATH=/path/on/this/host".to_owned()),
    }
}

impl Places {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// As the API takes them.
    pub(super) fn body(&self) -> Value {
        let all = self.places.iter();
        let places: Map<String, Value> = all
            .map(|(path, host)| (path.clone(), json!(host)))
            .collect();
        Value::Object(places)
    }
}

pub(super) async fn run(common: &Common, command: Propose) -> Result<(), CliError> {
    let mut body = json!({
        "directories": command.places.body(),
        "only_this_version": command.only_this_version,
        "note": command.note,
        "bundle_hash": command.hash,
    });
    if let Some(file) = &command.file {
        let grant = read(file)?;
        if let Some(fields) = body.as_object_mut() {
            fields.insert("grant".to_owned(), json!(grant));
        }
    }
    let server = common.server()?;
    let proposed = send(&server, &command.bundle, &body).await?;
    match common.output {
        Format::Json => print_json(&proposed),
        Format::Table => {
            let (bundle, revision) = (line(&command.bundle), text(&proposed, "revision"));
            let entries = strings(&proposed, "entries").into_iter();
            let entries: String = entries
                .map(|entry| format!("  {}\n", line(&entry)))
                .collect();
            output::print(&format!(
                "proposed as revision {revision} of the grant of {bundle}:\n{entries}nothing changes until it is approved: airlock grants approve {bundle} {revision}\n"
            ))
        }
    }
}

pub(super) async fn send(
    server: &ApiClient,
    bundle: &str,
    body: &Value,
) -> Result<Value, CliError> {
    server
        .post(&path(&["bundles", bundle, "grants"]), &[], body)
        .await
}

/// A grant from a file: `[[grant.KIND]]` tables, or the tables of airlock.toml as errors print them.
fn read(file: &Path) -> Result<Grant, CliError> {
    let text =
        std::fs::read_to_string(file).map_err(|error| CliError::file("the grant", file, &error))?;
    parse(&text).map_err(|why| {
        CliError::Failed(format!(
            "AL-0845: `{}` holds no grant: {why}",
            line(&file.to_string_lossy())
        ))
    })
}

fn parse(text: &str) -> Result<Grant, String> {
    let mut file: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
    for steps in [["team", "bundle", "grant"].as_slice(), &["grant"]] {
        if file.contains_key(steps.first().copied().unwrap_or_default()) {
            let mut found = toml::Value::Table(file);
            for step in steps {
                let inner = match &mut found {
                    toml::Value::Table(table) if table.len() == 1 => table.remove(*step),
                    _ => None,
                };
                found = inner.ok_or("write `[[grant.KIND]]` tables and nothing beside them")?;
            }
            file = match found {
                toml::Value::Table(table) => table,
                _ => return Err("`grant` is to be a table".to_owned()),
            };
        }
    }
    Grant::deserialize(toml::Value::Table(file)).map_err(|error| error.to_string())
}

/// A grant as the tables of a file.
pub(super) fn as_toml(grant: &Value) -> Result<String, CliError> {
    let wrong = |error: &dyn std::fmt::Display| {
        CliError::Failed(format!(
            "AL-0846: the server's answer holds no grant that this program knows: {error}"
        ))
    };
    let grant: Grant = serde_json::from_value(grant.clone()).map_err(|error| wrong(&error))?;
    let nested = json!({"team": {"bundle": {"grant": grant}}});
    let text = toml::to_string(&nested).map_err(|error| wrong(&error))?;
    match text.is_empty() {
        true => Ok("# nothing is granted\n".to_owned()),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_in_each_of_its_forms_and_written_so_that_it_can_be_read() {
        let plain = "[[grant.connection]]\nid = \"bank\"\naccess = \"read\"\n";
        let pasted = "[[team.bundle.grant.connection]]\nid = \"bank\"\naccess = \"read\"\n";
        let grant = parse(plain).unwrap();
        assert_eq!(parse(pasted).unwrap(), grant);
        assert_eq!(grant.connection.len(), 1);
        let written = as_toml(&json!(grant)).unwrap();
        assert!(
            written.starts_with("[[team.bundle.grant.connection]]"),
            "{written}"
        );
        assert_eq!(parse(&written).unwrap(), grant);
        assert_eq!(parse("").unwrap(), Grant::default());
        assert_eq!(
            parse(&as_toml(&json!(Grant::default())).unwrap()).unwrap(),
            Grant::default()
        );
    }

    #[test]
    fn what_is_no_grant_is_said_to_be_none() {
        for wrong in [
            "[[grant.conection]]\nid = \"bank\"",
            "grant = 1",
            "[other]\nx = 1",
            "[[team]]\nname = \"a\"",
            "nonsense",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_is_a_path_of_the_guest_and_an_absolute_one_of_the_host() {
        assert_eq!(
            place("in=/srv/in").unwrap(),
            ("in".to_owned(), PathBuf::from("/srv/in"))
        );
        for wrong in ["in", "=/srv", "in=srv"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
