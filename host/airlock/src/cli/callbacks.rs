//! `airlock callbacks`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Common, triggers::instance};
use crate::{
    api_client::path,
    error::CliError,
    output::{Format, field, print_fields, print_json, print_line, print_list, shorten, text},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List callbacks, newest first: of what each tells, and how far it is
    #[command(
        after_help = "Examples:\n  airlock callbacks list\n  airlock callbacks list --state failed\n  airlock callbacks list --dag-id weather --state pending --state running --limit 10"
    )]
    List {
        /// Of this team only
        #[arg(long)]
        team: Option<String>,
        /// Of this DAG only
        #[arg(long)]
        dag_id: Option<String>,
        /// In this state only; may stand several times
        #[arg(long, value_parser = ["pending", "running", "success", "failed"])]
        state: Vec<String>,
        /// How many at most
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show a callback: of what it tells, to which code, and why its last try failed
    #[command(
        after_help = "Example:\n  airlock callbacks show 01981c2e-9f00-7000-8000-000000000001"
    )]
    Show {
        /// Its id, as `callbacks list` shows it
        id: String,
    },
    /// Try callbacks again, at once, that have failed for good
    #[command(
        after_help = "Example:\n  airlock callbacks retry 01981c2e-9f00-7000-8000-000000000001"
    )]
    Retry {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

const FIELDS: [(&str, &str); 8] = [
    ("callback", "id"),
    ("made", "created_at"),
    ("tells of", "of"),
    ("kind", "kind"),
    ("state", "state"),
    ("tries", "tries"),
    ("next try", "next_try_at"),
    ("note", "note"),
];

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    let server = common.server()?;
    let format = common.output;
    match command {
        Command::List {
            team,
            dag_id,
            state,
            limit,
        } => {
            let mut query = Vec::new();
            query.extend(team.map(|team| ("team", team)));
            query.extend(dag_id.map(|dag| ("dag_id", dag)));
            query.extend(state.into_iter().map(|state| ("state", state)));
            let address = path(&["callbacks"]);
            let callbacks = server
                .list(&address, &query, "callbacks", Some(limit))
                .await?;
            if callbacks.is_empty() && format == Format::Table {
                return print_line("no callbacks");
            }
            print_rows(format, callbacks)
        }
        Command::Show { id } => {
            let mut callback = server.get(&path(&["callbacks", &id]), &[]).await?;
            if format == Format::Json {
                return print_json(&callback);
            }
            flatten(&mut callback);
            print_fields(
                format,
                &callback,
                [
                    ("callback", "id"),
                    ("team", "team_name"),
                    ("bundle", "bundle_name"),
                    ("version", "bundle_hash"),
                    ("kind", "kind"),
                    ("tells of", "of"),
                    ("message", "message"),
                    ("code", "entry"),
                    ("arguments", "arguments"),
                    ("priority", "priority_weight"),
                    ("made", "created_at"),
                    ("state", "state"),
                    ("tries", "tries"),
                    ("next try", "next_try_at"),
                    ("ended", "ended_at"),
                    ("note", "note"),
                ],
            )
        }
        Command::Retry { ids } => {
            let mut retried = Vec::new();
            for id in ids {
                let address = path(&["callbacks", &id, "retry"]);
                retried.push(server.post(&address, &[], &json!({})).await?);
            }
            print_rows(format, retried)
        }
    }
}

fn print_rows(format: Format, mut callbacks: Vec<Value>) -> Result<(), CliError> {
    if format == Format::Table {
        for callback in &mut callbacks {
            flatten(callback);
            shorten(callback, "note");
        }
    }
    print_list(format, &callbacks, FIELDS)
}

/// For people: of what it tells, in one cell.
fn flatten(callback: &mut Value) {
    let mut of = match field(callback, "task_id") {
        Value::String(_) => format!(
            "{}, try {}",
            instance(callback),
            text(callback, "try_number")
        ),
        _ => format!(
            "{}/{}",
            text(callback, "dag_id"),
            text(callback, "dag_run_id")
        ),
    };
    if let Value::String(deadline) = field(callback, "deadline_name") {
        of = format!("{of}, deadline {deadline}");
    }
    if let Some(fields) = callback.as_object_mut() {
        fields.insert("of".to_owned(), of.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_says_of_what_it_tells() {
        let mut of_try = json!({
            "dag_id": "weather", "dag_run_id": "today", "task_id": "observe", "map_index": -1, "try_number": 2,
        });
        flatten(&mut of_try);
        assert_eq!(text(&of_try, "of"), "weather/today/observe, try 2");
        let mut of_deadline = json!({
            "dag_id": "weather", "dag_run_id": "today", "task_id": null, "deadline_name": "by noon",
        });
        flatten(&mut of_deadline);
        assert_eq!(text(&of_deadline, "of"), "weather/today, deadline by noon");
    }
}
