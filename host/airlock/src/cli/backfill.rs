//! `airlock backfill`.

use clap::{ArgGroup, Subcommand};
use serde_json::{Map, Value, json};

use super::{Common, confirm::Confirmation, object};
use crate::{
    api_client::path,
    error::CliError,
    output::{Format, field, print_fields, print_json, print_line, print_list, text},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a DAG for a past that was not run, or is to be run again
    ///
    /// One run for each logical date that the DAG's schedule has between the two. They go behind the DAG's other runs,
    /// and have a bound of active runs of their own. A DAG has at most one backfill at a time.
    #[command(
        group = ArgGroup::new("which_dag").required(true).args(["dag_id", "dag"]),
        after_help = "Examples:\n  airlock backfill create weather --from-date 2012-01-01 --to-date 2012-12-31 --dry-run\n  airlock backfill create weather --from-date 2012-01-01 --to-date 2012-12-31 --reprocess-behavior failed\n  airlock backfill create weather --from-date 2012-01-01 --to-date 2012-12-31 --run-backwards --max-active-runs 4"
    )]
    Create {
        /// The DAG
        #[arg(value_name = "DAG_ID")]
        dag: Option<String>,
        /// The DAG, as Airflow has it
        #[arg(long)]
        dag_id: Option<String>,
        /// The first logical date, as 2012-01-15 or 2012-01-15T06:00:00Z
        #[arg(long, value_name = "TIME")]
        from_date: String,
        /// The last logical date
        #[arg(long, value_name = "TIME")]
        to_date: String,
        /// Which runs that are there already run again: none, those that failed, or all that ended
        #[arg(long, default_value = "none", value_parser = ["none", "failed", "completed"])]
        reprocess_behavior: String,
        /// The latest logical date comes first
        #[arg(long)]
        run_backwards: bool,
        /// How many of its runs are active at once
        #[arg(long, value_name = "N", default_value_t = 10,
            value_parser = clap::value_parser!(u32).range(1..))]
        max_active_runs: u32,
        /// Values for the DAG's params, as a JSON object
        #[arg(long, value_name = "JSON", value_parser = object)]
        dag_run_conf: Option<Map<String, Value>>,
        /// Only show what would be run
        #[arg(long)]
        dry_run: bool,
    },
    /// List the backfills, newest first
    List {
        /// Of this DAG only
        #[arg(long)]
        dag_id: Option<String>,
        /// Of this team only
        #[arg(long)]
        team: Option<String>,
        /// Only those that are not completed
        #[arg(long)]
        active: bool,
    },
    /// Show a backfill: what it asks for, and what came of each logical date
    #[command(after_help = "Example:\n  airlock backfill show 1")]
    Show {
        /// Its number, as `backfill list` shows it
        id: i64,
    },
    /// Pause a backfill: none of its runs starts any more; what runs goes on
    #[command(after_help = "Example:\n  airlock backfill pause 1")]
    Pause {
        /// Its number
        id: i64,
    },
    /// Unpause a backfill
    #[command(after_help = "Example:\n  airlock backfill unpause 1")]
    Unpause {
        /// Its number
        id: i64,
    },
    /// Cancel a backfill: what of it has not begun is not to begin; what runs goes on
    #[command(after_help = "Example:\n  airlock backfill cancel 1 --yes")]
    Cancel {
        /// Its number
        id: i64,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

const FIELDS: [(&str, &str); 10] = [
    ("id", "id"),
    ("dag", "dag_id"),
    ("from", "from_date"),
    ("to", "to_date"),
    ("reprocess", "reprocess_behavior"),
    ("backwards", "run_backwards"),
    ("active runs", "max_active_runs"),
    ("paused", "is_paused"),
    ("created", "created_at"),
    ("completed", "completed_at"),
];

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    let server = common.server()?;
    let format = common.output;
    let one = |id: i64, more: &[&str]| {
        let id = id.to_string();
        let mut segments = vec!["backfills", id.as_str()];
        segments.extend(more);
        path(&segments)
    };
    match command {
        Command::Create {
            dag,
            dag_id,
            from_date,
            to_date,
            reprocess_behavior,
            run_backwards,
            max_active_runs,
            dag_run_conf,
            dry_run,
        } => {
            let body = json!({
                "dag_id": dag.or(dag_id),
                "from_date": from_date,
                "to_date": to_date,
                "reprocess_behavior": reprocess_behavior,
                "run_backwards": run_backwards,
                "max_active_runs": max_active_runs,
                "dag_run_conf": dag_run_conf.unwrap_or_default(),
            });
            if dry_run {
                let address = path(&["backfills", "dry_run"]);
                return plan(format, &server.post(&address, &[], &body).await?);
            }
            let backfill = server.post(&path(&["backfills"]), &[], &body).await?;
            print_fields(format, &backfill, FIELDS)
        }
        Command::List {
            dag_id,
            team,
            active,
        } => {
            let mut query = Vec::new();
            query.extend(dag_id.map(|dag| ("dag_id", dag)));
            query.extend(team.map(|team| ("team", team)));
            query.push(("active", active.to_string()));
            let address = path(&["backfills"]);
            let backfills = server.list(&address, &query, "backfills", None).await?;
            print_list(format, &backfills, FIELDS)
        }
        Command::Show { id } => {
            let mut backfill = server.get(&one(id, &[]), &[]).await?;
            let address = one(id, &["runs"]);
            let runs = server.list(&address, &[], "backfill_runs", None).await?;
            if format == Format::Json {
                if let Some(fields) = backfill.as_object_mut() {
                    fields.insert("runs".to_owned(), runs.into());
                }
                return print_json(&backfill);
            }
            print_fields(format, &backfill, FIELDS)?;
            print_line("")?;
            print_list(
                format,
                &runs,
                [
                    ("logical date", "logical_date"),
                    ("run", "dag_run_id"),
                    ("state", "state"),
                    ("why none", "exception_reason"),
                ],
            )
        }
        Command::Pause { id } => {
            let backfill = server.put(&one(id, &["pause"])).await?;
            print_fields(format, &backfill, FIELDS)
        }
        Command::Unpause { id } => {
            let backfill = server.put(&one(id, &["unpause"])).await?;
            print_fields(format, &backfill, FIELDS)
        }
        Command::Cancel { id, confirmation } => {
            let backfill = server.get(&one(id, &[]), &[]).await?;
            confirmation.ask(&format!(
                "Cancel backfill {id} of {} from {} to {}?",
                text(&backfill, "dag_id"),
                text(&backfill, "from_date"),
                text(&backfill, "to_date")
            ))?;
            let backfill = server.put(&one(id, &["cancel"])).await?;
            print_fields(format, &backfill, FIELDS)
        }
    }
}

/// What a backfill would do.
fn plan(format: Format, plan: &Value) -> Result<(), CliError> {
    if format == Format::Json {
        return print_json(plan);
    }
    let list = |name: &str| field(plan, name).as_array().cloned().unwrap_or_default();
    let (runs, skipped) = (list("backfills"), list("skipped"));
    print_line(&format!("{} runs, nothing was started", runs.len()))?;
    if !runs.is_empty() {
        print_list(
            format,
            &runs,
            [
                ("logical date", "logical_date"),
                ("interval start", "data_interval_start"),
                ("interval end", "data_interval_end"),
            ],
        )?;
    }
    if skipped.is_empty() {
        return Ok(());
    }
    print_line(&format!("\n{} dates without a run", skipped.len()))?;
    print_list(
        format,
        &skipped,
        [("logical date", "logical_date"), ("why", "reason")],
    )
}
