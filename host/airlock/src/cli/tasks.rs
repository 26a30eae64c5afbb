//! `airlock tasks`.

mod repair;
mod test;
mod tree;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Common;
use crate::{
    api_client::{ApiClient, path},
    error::CliError,
    output::{self, Format, field, line, lines, print_line, print_list},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Asked(Asked),
    /// Run one task alone in the real sandbox, without a server
    ///
    /// What comes before it is not run and not waited for: say with --returned what it would have returned. The bundle
    /// is granted what it asks for, and nothing is kept. Exit code 1 when the task fails.
    #[command(
        after_help = "Examples:\n  airlock tasks test weather observe --logical-date 2012-01-15\n  airlock tasks test weather check --returned 'observe={\"rain\": 5.3}'\n  airlock tasks test rates fetch --bundle target/rates.wasm --map-index 2"
    )]
    Test(test::Arguments),
}

/// What a running server does.
#[derive(Debug, Subcommand)]
pub(crate) enum Asked {
    /// List the tasks of a DAG
    #[command(
        after_help = "Examples:\n  airlock tasks list weather\n  airlock tasks list weather --tree"
    )]
    List {
        /// The DAG
        dag_id: String,
        /// What comes after a task stands below it
        #[arg(long)]
        tree: bool,
    },
    /// Tell the state of a task instance
    #[command(
        after_help = "Example:\n  airlock tasks state weather observe scheduled__2012-01-15T00:00:00+00:00"
    )]
    State(Instance),
    /// Tell exactly why a task instance does not run
    #[command(
        after_help = "Example:\n  airlock tasks failed-deps weather check scheduled__2012-01-15T00:00:00+00:00"
    )]
    FailedDeps(Instance),
    /// Clear task instances, so that they run again; shows them and asks first
    ///
    /// One that runs is stopped first. A run that had ended is queued again.
    #[command(
        after_help = "Examples:\n  airlock tasks clear weather check --downstream --run-id scheduled__2012-01-15T00:00:00+00:00\n  airlock tasks clear weather --only-failed --start-date 2012-01-01 --end-date 2012-01-31 --yes\n  airlock tasks clear weather --start-date 2012-01-01 --latest-version --dry-run"
    )]
    Clear(repair::Clear),
    /// Mark task instances as succeeded, failed or skipped; shows them and asks first
    #[command(
        after_help = "Examples:\n  airlock tasks set-state weather observe scheduled__2012-01-15T00:00:00+00:00 success\n  airlock tasks set-state weather check scheduled__2012-01-15T00:00:00+00:00 failed --map-index 3 --downstream --yes"
    )]
    SetState(repair::SetState),
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
        /// Which instance of a mapped task
        #[arg(long, value_name = "N")]
        map_index: Option<i32>,
        /// Which try, counted from 1 [default: the newest]
        #[arg(long = "try", value_name = "NUMBER")]
        try_number: Option<u32>,
        /// Stay and show lines as they come, until the try ends
        #[arg(long, short)]
        follow: bool,
    },
}

/// Which task instance.
#[derive(Debug, Args)]
pub(crate) struct Instance {
    /// The DAG
    dag_id: String,
    /// The task
    task_id: String,
    /// The run
    run_id: String,
    /// Which instance of a mapped task
    #[arg(long, value_name = "N")]
    map_index: Option<i32>,
}

impl Instance {
    /// Its address, or of what lies below it.
    fn address(&self, below: &[&str]) -> String {
        let index = self.map_index.map(|index| index.to_string());
        let names = [
            &self.dag_id,
            "dagRuns",
            &self.run_id,
            "taskInstances",
            &self.task_id,
        ];
        let mut segments = vec!["dags"];
        segments.extend(names);
        segments.extend(index.as_deref());
        segments.extend(below);
        path(&segments)
    }
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Test(arguments) => return test::run(common, arguments).await,
        Command::Asked(command) => asked(common, command).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn asked(common: &Common, command: Asked) -> Result<(), CliError> {
    let server = common.server()?;
    let format = common.output;
    match command {
        Asked::List { dag_id, tree } => {
            let address = path(&["dags", &dag_id, "tasks"]);
            let answer = server.get(&address, &[]).await?;
            let tasks = field(&answer, "tasks")
                .as_array()
                .cloned()
                .unwrap_or_default();
            if tree && format == Format::Table {
                return output::print(&tree::drawn(&tasks));
            }
            print_list(
                format,
                &tasks,
                [
                    ("task", "task_id"),
                    ("waits for", "upstream_task_ids"),
                    ("when", "trigger_rule"),
                    ("retries", "retries"),
                    ("pool", "pool"),
                    ("mapped", "is_mapped"),
                ],
            )
        }
        Asked::State(instance) => {
            let task = server.get(&instance.address(&[]), &[]).await?;
            match format {
                Format::Json => output::print_json(&task),
                Format::Table => print_line(&line(&output::text(&task, "state"))),
            }
        }
        Asked::FailedDeps(instance) => {
            let answer = server
                .get(&instance.address(&["dependencies"]), &[])
                .await?;
            let failed = field(&answer, "dependencies")
                .as_array()
                .cloned()
                .unwrap_or_default();
            if failed.is_empty() && format == Format::Table {
                return print_line("nothing keeps it from running");
            }
            print_list(
                format,
                &failed,
                [("waits for", "name"), ("because", "reason")],
            )
        }
        Asked::Clear(clear) => clear.run(&server, format).await,
        Asked::SetState(mark) => mark.run(&server, format).await,
        Asked::StatesForDagRun { dag_id, run_id } => {
            let address = path(&["dags", &dag_id, "dagRuns", &run_id, "taskInstances"]);
            let mut tasks = server.list(&address, &[], "task_instances", None).await?;
            if format == Format::Table {
                tasks.iter_mut().for_each(flatten);
            }
            print_list(
                format,
                &tasks,
                [
                    ("task", "task_id"),
                    ("map index", "map_index"),
                    ("state", "state"),
                    ("try", "try_number"),
                    ("start", "start_date"),
                    ("seconds", "duration"),
                    ("waits for", "waits_for"),
                    ("note", "note"),
                ],
            )
        }
        Asked::Logs {
            dag_id,
            run_id,
            task_id,
            map_index,
            try_number,
            follow,
        } => {
            let instance = Instance {
                dag_id,
                task_id,
                run_id,
                map_index,
            };
            let try_number = match try_number {
                Some(number) => number,
                None => newest_try(&server, &instance.address(&[])).await?,
            };
            let mut query = Vec::new();
            query.extend(map_index.map(|index| ("map_index", index.to_string())));
            let whole_task = Instance {
                map_index: None,
                ..instance
            };
            let address = whole_task.address(&["logs", &try_number.to_string()]);
            if follow {
                query.push(("follow", "true".to_owned()));
                return server
                    .follow(&address, &query, |entry| print_entry(format, &entry))
                    .await;
            }
            whole(&server, &address, &query, format).await
        }
    }
}

/// For people: a note's first line, as a denial's snippet is in the log, and what a deferred task waits for.
fn flatten(task: &mut Value) {
    output::shorten(task, "note");
    let wait = field(field(task, "deferred"), "waits_for");
    let what = field(wait, "what").clone();
    if let Some(fields) = task.as_object_mut() {
        fields.insert("waits_for".to_owned(), what);
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
async fn whole(
    server: &ApiClient,
    address: &str,
    query: &[(&str, String)],
    format: Format,
) -> Result<(), CliError> {
    let mut token: Option<String> = None;
    loop {
        let mut query = query.to_vec();
        query.extend(token.iter().map(|token| ("token", token.clone())));
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
    fn a_deferred_task_says_what_it_waits_for_and_a_note_its_first_line() {
        let mut task = serde_json::json!({
            "note": "denied\nask for it", "deferred": {"waits_for": {"kind": "asset", "what": "asset rain"}},
        });
        flatten(&mut task);
        let cells = ["note", "waits_for"].map(|name| output::text(&task, name));
        assert_eq!(cells, ["denied …", "asset rain"]);
    }

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
