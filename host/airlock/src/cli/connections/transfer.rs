//! Connections from Airflow's files, and to them.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
};

use airlock_model::{connection::Connection, id::ConnectionId};
use airlock_secret::airflow::{from_text, to_uri};
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::{
    api_client::{ApiClient, path},
    error::CliError,
    output::{Format, line, print, print_list},
};

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// How a file of connections is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    #[default]
    Json,
    Env,
}

/// What to do with those that are there already, and whether to do anything.
pub(super) struct How {
    pub(super) overwrite: bool,
    pub(super) dry_run: bool,
}

fn file_error(name: &str, error: &std::io::Error) -> CliError {
    CliError::Failed(format!("AL-0914: {}: {error}", name.escape_debug()))
}

/// The text of a file, or of standard input.
pub(super) fn read(name: &str) -> Result<String, CliError> {
    let mut text = String::new();
    let read = match name {
        "-" => std::io::stdin().take(MAX_BYTES).read_to_string(&mut text),
        name => std::fs::File::open(name)
            .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)),
    };
    read.map_err(|error| file_error(name, &error))?;
    Ok(text)
}

/// The connections that a file writes, or everything that is wrong with it.
fn connections(text: &str) -> Result<Vec<Connection>, CliError> {
    let mut wrong = Vec::new();
    let mut found = BTreeMap::new();
    let mut take = |place: String, id: &str, text: &str| {
        let id = ConnectionId::new(id).map_err(|error| error.to_string());
        match id.and_then(|id| from_text(&id, text)) {
            Ok(connection) => {
                let id = connection.id.clone();
                if found.insert(id, connection).is_some() {
                    wrong.push(format!("{place}: it stands there twice"));
                }
            }
            Err(error) => wrong.push(format!("{place}: {error}")),
        }
    };
    if text.trim_start().starts_with('{') {
        let all: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            // The parser's own words could quote a password.
            CliError::Usage(format!(
                "line {} of the file is no JSON; write an object of connections by their ids",
                error.line()
            ))
        })?;
        for (id, written) in all {
            let place = format!("connection `{}`", id.escape_debug());
            match written {
                Value::String(text) => take(place, &id, &text),
                mut object => {
                    // Airflow 3.3.2 exports both beside what a connection is.
                    if let Some(fields) = object.as_object_mut() {
                        fields.retain(|name, value| {
                            !value.is_null()
                                && !["conn_id", "is_encrypted", "is_extra_encrypted"]
                                    .contains(&name.as_str())
                        });
                    }
                    take(place, &id, &object.to_string());
                }
            }
        }
    } else {
        for (index, content) in text.lines().enumerate() {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let place = format!("line {}", index + 1);
            match content.split_once('=') {
                Some((id, text)) => take(place, id.trim(), text.trim()),
                None => take(place, "c", ""),
            }
        }
    }
    if !wrong.is_empty() {
        return Err(CliError::Usage(format!(
            "the file is not imported, and nothing was changed:\n  {}",
            wrong.join("\n  ")
        )));
    }
    Ok(found.into_values().collect())
}

/// The fields of a body that the API takes.
fn body(connection: &Connection) -> Map<String, Value> {
    let fields = [
        ("conn_type", Some(Value::from(connection.conn_type.clone()))),
        (
            "description",
            connection.description.clone().map(Value::from),
        ),
        ("host", connection.host.clone().map(Value::from)),
        ("port", connection.port.map(Value::from)),
        ("login", connection.login.clone().map(Value::from)),
        ("schema", connection.schema.clone().map(Value::from)),
        (
            "password",
            connection.password.as_ref().map(|one| one.reveal().into()),
        ),
        (
            "extra",
            connection.extra.as_ref().map(|one| one.reveal().into()),
        ),
    ];
    let given = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    given.collect()
}

/// Creates and changes the connections of a scope, or none where one may not be changed.
pub(super) async fn import(
    server: &ApiClient,
    output: Format,
    text: &str,
    how: &How,
    query: &[(&str, String)],
) -> Result<(), CliError> {
    let collection = path(&["connections"]);
    let wanted = connections(text)?;
    let there = server.list(&collection, query, "connections", None).await?;
    let standing = |connection: &Connection| {
        there
            .iter()
            .find(|one| one["connection_id"] == connection.id.as_str())
    };
    let refused: Vec<_> = wanted
        .iter()
        .filter_map(|one| {
            let fixed = standing(one)?["is_configured"] == true;
            let why = match fixed {
                true => "stands in airlock.toml or in the folder of secrets",
                false => "is there already; --overwrite changes it",
            };
            (fixed || !how.overwrite).then(|| format!("`{}` {why}", one.id))
        })
        .collect();
    if !refused.is_empty() {
        return Err(CliError::Failed(format!(
            "AL-0915: nothing was changed, because of {} of {} connections:\n  {}",
            refused.len(),
            wanted.len(),
            refused.join("\n  ")
        )));
    }
    let mut done = Vec::new();
    for connection in &wanted {
        let change = standing(connection).is_some();
        if !how.dry_run {
            let name = ("connection_id", connection.id.as_str());
            let set = server.set(&collection, name, query, body(connection)).await;
            if let Err(error) = set {
                let before: Vec<_> = done
                    .iter()
                    .map(|one: &Value| one["connection"].to_string())
                    .collect();
                eprintln!(
                    "{}",
                    line(&match before.len() {
                        0 => "nothing was changed before".to_owned(),
                        _ => format!("before that, these were imported: {}", before.join(", ")),
                    })
                );
                return Err(error);
            }
        }
        let what = match (how.dry_run, change) {
            (false, false) => "created",
            (false, true) => "changed",
            (true, false) => "would be created",
            (true, true) => "would be changed",
        };
        done.push(json!({"connection": connection.id.as_str(), "type": connection.conn_type, "done": what}));
    }
    print_list(
        output,
        &done,
        [
            ("connection", "connection"),
            ("type", "type"),
            ("done", "done"),
        ],
    )
}

/// Writes the connections of a scope, without what is secret of them.
pub(super) async fn export(
    server: &ApiClient,
    file: &str,
    form: Form,
    query: &[(&str, String)],
) -> Result<(), CliError> {
    let all = server
        .list(&path(&["connections"]), query, "connections", None)
        .await?;
    let without = all
        .iter()
        .filter(|one| one["has_password"] == true || one["has_extra"] == true)
        .count();
    let text = match form {
        Form::Json => json_of(&all)?,
        Form::Env => env_of(&all)?,
    };
    match file {
        "-" => print(&text)?,
        name => OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(name)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| file_error(name, &error))?,
    }
    if without > 0 {
        eprintln!("the passwords and extras of {without} connections are left out");
    }
    Ok(())
}

/// What both forms write of a connection.
const WRITTEN: [&str; 6] = [
    "conn_type",
    "description",
    "host",
    "login",
    "port",
    "schema",
];

fn json_of(all: &[Value]) -> Result<String, CliError> {
    let mut object = Map::new();
    for one in all {
        let fields = WRITTEN
            .iter()
            .map(|name| ((*name).to_owned(), one[*name].clone()));
        let id = one["connection_id"].as_str().unwrap_or_default();
        object.insert(id.to_owned(), Value::Object(fields.collect()));
    }
    let text = serde_json::to_string_pretty(&object).map_err(CliError::room)?;
    Ok(format!("{text}\n"))
}

fn env_of(all: &[Value]) -> Result<String, CliError> {
    let mut text = String::new();
    for one in all {
        let field = |name: &str| one[name].as_str().map(ToOwned::to_owned);
        let id = field("connection_id").unwrap_or_default();
        let connection = Connection {
            id: ConnectionId::new(&id).map_err(CliError::room)?,
            conn_type: field("conn_type").unwrap_or_default(),
            description: None,
            host: field("host"),
            port: one["port"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok()),
            login: field("login"),
            password: None,
            schema: field("schema"),
            extra: None,
        };
        text.push_str(&format!("{id}={}\n", to_uri(&connection)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_airflows_is_read_whatever_its_form() {
        let json = r#"{
            "bank": {"conn_type": "http", "description": "", "login": "me", "password": "p w", "host": "bank.example", "port": 443, "schema": null, "extra": "{\"a\": 1}"},
            "db": "postgres://me@db.example/ledger"
        }"#;
        let env = "# as exported\nbank=http://me:p%20w@bank.example:443/?a=1\n\ndb = postgres://me@db.example/ledger\n";
        let mut read = [json, env].map(|text| connections(text).unwrap());
        for one in read.iter_mut().flatten() {
            let extra = one
                .extra
                .take()
                .map(|extra| extra.reveal().replace(' ', ""));
            assert_eq!(
                extra.as_deref(),
                (one.id.as_str() == "bank").then_some(r#"{"a":1}"#)
            );
        }
        assert_eq!(read[0], read[1]);
        assert_eq!(read[0].len(), 2);
        assert_eq!(body(&read[0][0])["password"], "p w");
        assert!(!body(&read[0][1]).contains_key("password"));
    }

    #[test]
    fn everything_that_is_wrong_with_a_file_is_said_at_once_and_no_password() {
        let text =
            "one=http://h:hunter2\ntwo words=http://h\nhunter2\nthree=http://h\nthree=http://i\n";
        let error = connections(text).unwrap_err().report(false);
        for said in [
            "line 1",
            "line 2",
            "line 3",
            "line 5",
            "twice",
            "nothing was changed",
        ] {
            assert!(error.contains(said), "{said}: {error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
        let error = connections("{\"a\": \"hunter2\n")
            .unwrap_err()
            .report(false);
        assert!(!error.contains("hunter2"), "{error}");
    }
}
