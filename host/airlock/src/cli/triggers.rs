//! `airlock triggers`.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use super::Common;
use crate::{
    api_client::path,
    error::CliError,
    output::{self, Format, field, print_fields, print_line, print_list, shorten, text},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the triggers that are bundles' own code, oldest first: who waits, how often each was polled, what it cost
    ///
    /// A task that waits for a time, an asset, a run, a task or a file has none: `tasks states-for-dag-run` shows what
    /// it waits for.
    #[command(
        after_help = "Examples:\n  airlock triggers list\n  airlock triggers list --team research --failing\n  airlock triggers list --dag-id weather --tasks"
    )]
    List {
        /// Of this team only
        #[arg(long)]
        team: Option<String>,
        /// Of this DAG only
        #[arg(long)]
        dag_id: Option<String>,
        /// Only those that watch assets
        #[arg(long)]
        watchers: bool,
        /// Only those of deferred tasks
        #[arg(long, conflicts_with = "watchers")]
        tasks: bool,
        /// Only those whose last poll failed
        #[arg(long)]
        failing: bool,
    },
    /// Show a trigger: what its code is made with, what it keeps, and how its polls went
    #[command(
        after_help = "Example:\n  airlock triggers show 01981c2e-9f00-7000-8000-000000000001"
    )]
    Show {
        /// Its id, as `triggers list` shows it
        id: String,
    },
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    let server = common.server()?;
    let format = common.output;
    match command {
        Command::List {
            team,
            dag_id,
            watchers,
            tasks,
            failing,
        } => {
            let mut query = Vec::new();
            query.extend(team.map(|team| ("team", team)));
            query.extend(dag_id.map(|dag| ("dag_id", dag)));
            if watchers || tasks {
                query.push(("watchers", watchers.to_string()));
            }
            query.push(("failing", failing.to_string()));
            let address = path(&["triggers"]);
            let mut triggers = server.list(&address, &query, "triggers", None).await?;
            if format == Format::Table {
                if triggers.is_empty() {
                    return print_line("no code of a bundle is being waited for");
                }
                triggers.iter_mut().for_each(flatten);
                triggers
                    .iter_mut()
                    .for_each(|trigger| shorten(trigger, "note"));
            }
            print_list(
                format,
                &triggers,
                [
                    ("trigger", "id"),
                    ("team", "team_name"),
                    ("who waits", "who"),
                    ("kind", "kind"),
                    ("polls", "polls"),
                    ("last poll", "last_poll_at"),
                    ("next poll", "next"),
                    ("cpu", "cpu"),
                    ("failures", "failures"),
                    ("note", "note"),
                ],
            )
        }
        Command::Show { id } => {
            let mut trigger = server.get(&path(&["triggers", &id]), &[]).await?;
            if format == Format::Table {
                flatten(&mut trigger);
            }
            print_fields(
                format,
                &trigger,
                [
                    ("trigger", "id"),
                    ("team", "team_name"),
                    ("bundle", "bundle_name"),
                    ("version", "bundle_hash"),
                    ("dag", "dag_id"),
                    ("who waits", "who"),
                    ("kind", "kind"),
                    ("arguments", "arguments"),
                    ("keeps", "state"),
                    ("since", "created_at"),
                    ("polls", "polls"),
                    ("last poll", "last_poll_at"),
                    ("next poll", "next"),
                    ("cpu", "cpu"),
                    ("failures", "failures"),
                    ("note", "note"),
                ],
            )
        }
    }
}

/// A task instance as people name it.
pub(super) fn instance(item: &Value) -> String {
    let index = match field(item, "map_index").as_i64() {
        Some(index) if index >= 0 => format!("[{index}]"),
        _ => String::new(),
    };
    let [dag, run, task] = ["dag_id", "dag_run_id", "task_id"].map(|name| text(item, name));
    format!("{dag}/{run}/{task}{index}")
}

/// For people: who waits and when it is polled next, each in one cell.
fn flatten(trigger: &mut Value) {
    let who = match field(trigger, "asset_id") {
        Value::String(asset) => format!("{asset}, watched by {}", text(trigger, "watcher_name")),
        _ => instance(trigger),
    };
    let wakes = field(trigger, "wakes_on").as_array().into_iter().flatten();
    let clock = field(trigger, "next_poll_at").as_str().map(str::to_owned);
    let next: Vec<String> = clock
        .into_iter()
        .chain(wakes.map(|wait| text(wait, "what")))
        .collect();
    let cpu = field(trigger, "cpu_seconds").as_f64().unwrap_or_default();
    let cpu = Duration::try_from_secs_f64(cpu).unwrap_or_default();
    let more = [
        ("who", who),
        ("next", next.join(", or: ")),
        ("cpu", output::duration(cpu)),
    ];
    if let Some(fields) = trigger.as_object_mut() {
        fields.extend(more.map(|(name, value)| (name.to_owned(), value.into())));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trigger_says_who_waits_and_what_wakes_it() {
        let mut of_task = json!({
            "dag_id": "weather", "dag_run_id": "today", "task_id": "observe", "map_index": 3, "asset_id": null,
            "next_poll_at": "2024-01-01T00:00:00+00:00", "wakes_on": [{"kind": "asset", "what": "asset rain"}],
            "cpu_seconds": 0.0123,
        });
        flatten(&mut of_task);
        assert_eq!(text(&of_task, "who"), "weather/today/observe[3]");
        assert_eq!(
            text(&of_task, "next"),
            "2024-01-01T00:00:00+00:00, or: asset rain"
        );
        assert_eq!(text(&of_task, "cpu"), "12 ms");
        let mut watcher = json!({
            "dag_id": "weather", "asset_id": "default:rain", "watcher_name": "inbox", "next_poll_at": null,
            "wakes_on": [],
        });
        flatten(&mut watcher);
        assert_eq!(text(&watcher, "who"), "default:rain, watched by inbox");
        assert_eq!(text(&watcher, "next"), "");
    }
}
