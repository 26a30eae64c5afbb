//! `airlock tasks`.

use clap::Subcommand;
use serde_json::Value;

use super::Common;
use crate::{
    api_client::{ApiClient, path},
    error::CliError,
    output::{self, Format, field, line, lines, print_line, print_list},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell the states of all task instances of a run
    #[command(
        after_help = "Example:\n  airlock tasks states-for-dag-run weather scheduled__2012-01-15T00:00:00+00:00"
    )]
    StatesForDagRun {
        /// The DAG
        dag_id: String,
        /// The run
        run_id: String,
    },
    /// Show the log of a try
    #[command(
        after_help = "Examples:\n  airlock tasks logs weather scheduled__2012-01-15T00:00:00+00:00 observe\n  airlock tasks logs weather manual__2024-01-01T00:00:00+00:00 observe --try 1 --follow"
    )]
    Logs {
        /// The DAG
        dag_id: String,
        /// The run
        run_id: String,
        /// The task
        task_id: String,
        /// Which try, counted from 1 [default: the newest]
        #[arg(long = "try", value_name = "NUMBER")]
        try_number: Option<u32>,
        /// Stay and show lines as they come, until the try ends
        #[arg(long, short)]
        follow: bool,
    },
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    let server = common.server()?;
    match command {
        Command::StatesForDagRun { dag_id, run_id } => {
            let address = path(&["dags", &dag_id, "dagRuns", &run_id, "taskInstances"]);
            let mut tasks = server.list(&address, &[], "task_instances", None).await?;
            if common.output == Format::Table {
                tasks.iter_mut().for_each(shorten_note);
            }
            print_list(
                common.output,
                &tasks,
                [
                    ("task", "task_id"),
                    ("state", "state"),
                    ("try", "try_number"),
                    ("start", "start_date"),
                    ("seconds", "duration"),
                    ("note", "note"),
                ],
            )
        }
        Command::Logs {
            dag_id,
            run_id,
            task_id,
            try_number,
            follow,
        } => {
            let task = path(&[
                "dags",
                &dag_id,
                "dagRuns",
                &run_id,
                "taskInstances",
                &task_id,
            ]);
            let try_number = match try_number {
                Some(number) => number,
                None => newest_try(&server, &task).await?,
            };
            let address = format!("{task}/logs/{try_number}");
            let format = common.output;
            if follow {
                let query = [("follow", "true".to_owned())];
                return server
                    .follow(&address, &query, |entry| print_entry(format, &entry))
                    .await;
            }
            whole(&server, &address, format).await
        }
    }
}

/// In a table a note's first line says enough; a denial's snippet is in the log.
fn shorten_note(task: &mut Value) {
    if let Some(Value::String(note)) = task.get_mut("note")
        && let Some(end) = note.find('\n')
    {
        note.truncate(end);
        note.push_str(" …");
    }
}

async fn newest_try(server: &ApiClient, task: &str) -> Result<u32, CliError> {
    let task = server.get(task, &[]).await?;
    let newest = field(&task, "try_number")
        .as_u64()
        .and_then(|n| u32::try_from(n).ok());
    match newest {
        Some(number) if number > 0 => Ok(number),
        _ => Err(CliError::NotFound(format!(
            "task `{}` has not been tried yet; its state is {}",
            output::text(&task, "task_id"),
            output::text(&task, "state")
        ))),
    }
}

/// What there is of a log now.
async fn whole(server: &ApiClient, address: &str, format: Format) -> Result<(), CliError> {
    let mut token: Option<String> = None;
    loop {
        let query: Vec<_> = token.iter().map(|token| ("token", token.clone())).collect();
        let part = server.get(address, &query).await?;
        let entries = field(&part, "content")
            .as_array()
            .cloned()
            .unwrap_or_default();
        for entry in &entries {
            print_entry(format, entry)?;
        }
        match field(&part, "continuation_token") {
            Value::String(next) if !entries.is_empty() => token = Some(next.clone()),
            _ => return Ok(()),
        }
    }
}

/// One line of a log: JSON as one object per line, else time, level, source and text.
fn print_entry(format: Format, entry: &Value) -> Result<(), CliError> {
    if format == Format::Json {
        return output::print_json_line(entry);
    }
    print_line(&entry_text(entry))
}

fn entry_text(entry: &Value) -> String {
    let cell = |name: &str| output::text(entry, name);
    let who = match cell("source").as_str() {
        "task" => cell("logger"),
        other => other.to_owned(),
    };
    let place = match (field(entry, "filename"), field(entry, "lineno")) {
        (Value::String(file), number) if !number.is_null() => format!("  ({file}:{number})"),
        _ => String::new(),
    };
    let level = cell("level").to_uppercase();
    // A text of several lines is indented, so that no line of it can pass for an entry.
    let text = lines(&cell("event")).replace('\n', "\n    ");
    let who = line(&who);
    let who = if who.is_empty() {
        who
    } else {
        format!("{who}  ")
    };
    format!(
        "{}  {level:5}  {who}{text}{}",
        line(&cell("timestamp")),
        line(&place)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_task_can_pass_for_another_line_of_the_log() {
        let entry = serde_json::json!({
            "timestamp": "2024-01-01T00:00:00+00:00", "level": "info", "source": "task", "logger": "a\u{1b}[1mb",
            "event": "one\n2024-01-01T00:00:00+00:00  ERROR  airlock  forged\r", "filename": "src/lib.rs", "lineno": 3,
        });
        assert_eq!(
            entry_text(&entry),
            "2024-01-01T00:00:00+00:00  INFO   a\\u{1b}[1mb  one\n    2024-01-01T00:00:00+00:00  ERROR  airlock  forged\\r  (src/lib.rs:3)"
        );
    }
}
