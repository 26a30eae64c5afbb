//! `airlock dags`.

mod repair;
mod transfer;

use std::{collections::BTreeMap, process::ExitCode};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Common, bundle::test, object};
use crate::{
    api_client::path,
    error::CliError,
    output::{self, Format, field, line, print_fields, print_json, print_line, print_list},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Asked(Asked),
    /// Run a DAG once in the real sandbox, without a server: the same as `bundle test`
    #[command(
        after_help = "Examples:\n  airlock dags test weather --logical-date 2012-01-15\n  airlock dags test rates --bundle target/rates.wasm"
    )]
    Test(test::Arguments),
}

/// What a running server does.
#[derive(Debug, Subcommand)]
pub(crate) enum Asked {
    /// List the DAGs
    List {
        /// Of this team only
        #[arg(long)]
        team: Option<String>,
        /// With this tag only
        #[arg(long)]
        tag: Option<String>,
        /// Also those that are gone from their bundle
        #[arg(long)]
        stale: bool,
    },
    /// Show a DAG: its schedule, its limits, its tasks and what waits for what
    #[command(after_help = "Example:\n  airlock dags show weather")]
    Show {
        /// The DAG
        dag_id: String,
    },
    /// Start a run now
    #[command(
        after_help = "Examples:\n  airlock dags trigger weather\n  airlock dags trigger weather --logical-date 2012-01-15\n  airlock dags trigger report --conf '{\"region\": \"eu\"}' --note 'asked for by the board'"
    )]
    Trigger {
        /// The DAG
        dag_id: String,
        /// The time that the run stands for, as 2012-01-15 or 2012-01-15T06:00:00Z
        #[arg(long, value_name = "TIME")]
        logical_date: Option<String>,
        /// Values for the DAG's params, as a JSON object
        #[arg(long, value_name = "JSON", value_parser = object)]
        conf: Option<serde_json::Map<String, Value>>,
        /// The run's id [default: formed from the type and the time]
        #[arg(long)]
        run_id: Option<String>,
        /// What the run covers, from [default: what the DAG's timetable says of the logical date]
        #[arg(long, value_name = "TIME", requires = "data_interval_end")]
        data_interval_start: Option<String>,
        /// What the run covers, until before
        #[arg(long, value_name = "TIME", requires = "data_interval_start")]
        data_interval_end: Option<String>,
        /// Something about the run, for people; at most 1,000 characters
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Tell the state of a run
    #[command(
        after_help = "Example:\n  airlock dags state weather scheduled__2012-01-15T00:00:00+00:00"
    )]
    State {
        /// The DAG
        dag_id: String,
        /// The run
        run_id: String,
    },
    /// List the runs of a DAG, newest first
    #[command(
        after_help = "Examples:\n  airlock dags list-runs weather\n  airlock dags list-runs weather --state failed --limit 100"
    )]
    ListRuns {
        /// The DAG, or `~` for all
        dag_id: String,
        /// In this state only: queued, running, success or failed; may be given several times
        #[arg(long)]
        state: Vec<String>,
        /// How many at most
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Pause a DAG: no new runs and no new tries; running tries finish
    #[command(after_help = "Example:\n  airlock dags pause weather")]
    Pause {
        /// The DAG
        dag_id: String,
    },
    /// Unpause a DAG
    #[command(after_help = "Example:\n  airlock dags unpause weather")]
    Unpause {
        /// The DAG
        dag_id: String,
    },
    /// List what could not be imported, why, and what to do
    #[command(after_help = "Example:\n  airlock dags list-import-errors")]
    ListImportErrors {
        /// Of this team only
        #[arg(long)]
        team: Option<String>,
    },
    /// Tell when the next runs of a DAG are due
    #[command(
        after_help = "Examples:\n  airlock dags next-execution weather\n  airlock dags next-execution weather -n 5"
    )]
    NextExecution {
        /// The DAG
        dag_id: String,
        /// How many runs
        #[arg(short, long, value_name = "N", default_value_t = 1,
            value_parser = clap::value_parser!(u16).range(1..=1000))]
        num_executions: u16,
    },
    /// Clear a run: its task instances run again
    #[command(
        after_help = "Examples:\n  airlock dags clear weather scheduled__2012-01-15T00:00:00+00:00 --dry-run\n  airlock dags clear weather scheduled__2012-01-15T00:00:00+00:00 --only-failed --yes"
    )]
    Clear(repair::Clear),
    /// End a run by hand, as succeeded or as failed
    ///
    /// What of it runs is stopped; what has not ended is marked.
    #[command(
        after_help = "Example:\n  airlock dags set-state weather scheduled__2012-01-15T00:00:00+00:00 failed"
    )]
    SetState(repair::SetState),
    /// Delete a DAG with its runs; if its bundle still has it, its next version brings it back
    #[command(after_help = "Example:\n  airlock dags delete weather --yes")]
    Delete(repair::Delete),
    /// Give a DAG to another bundle, and with it to that bundle's team
    #[command(after_help = "Example:\n  airlock dags transfer weather --to-bundle forecasts")]
    Transfer(transfer::Transfer),
    /// Delete a run that has ended
    #[command(
        after_help = "Example:\n  airlock dags delete-run weather scheduled__2012-01-15T00:00:00+00:00"
    )]
    DeleteRun(repair::DeleteRun),
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
        Asked::Clear(clear) => clear.run(&server, format).await,
        Asked::SetState(end) => end.run(&server, format).await,
        Asked::Delete(delete) => delete.run(&server).await,
        Asked::Transfer(transfer) => transfer.run(&server, format).await,
        Asked::DeleteRun(delete) => delete.run(&server).await,
        Asked::List { team, tag, stale } => {
            let mut query = Vec::new();
            query.extend(team.map(|team| ("team", team)));
            query.extend(tag.map(|tag| ("tags", tag)));
            query.push(("exclude_stale", (!stale).to_string()));
            let dags = server.list(&path(&["dags"]), &query, "dags", None).await?;
            print_list(
                format,
                &dags,
                [
                    ("dag", "dag_id"),
                    ("team", "team_name"),
                    ("bundle", "bundle_name"),
                    ("schedule", "timetable_summary"),
                    ("paused", "is_paused"),
                    ("next run", "next_dagrun_run_after"),
                ],
            )
        }
        Asked::Show { dag_id } => {
            let dag = server
                .get(&path(&["dags", &dag_id, "details"]), &[])
                .await?;
            let tasks = server.get(&path(&["dags", &dag_id, "tasks"]), &[]).await?;
            show(format, dag, &tasks)
        }
        Asked::Trigger {
            dag_id,
            logical_date,
            conf,
            run_id,
            data_interval_start,
            data_interval_end,
            note,
        } => {
            let mut body = json!({ "conf": conf.unwrap_or_default() });
            let said = [
                ("dag_run_id", run_id),
                ("logical_date", logical_date),
                ("data_interval_start", data_interval_start),
                ("data_interval_end", data_interval_end),
                ("note", note),
            ];
            if let Some(fields) = body.as_object_mut() {
                let said = said.into_iter();
                fields.extend(
                    said.filter_map(|(name, value)| Some((name.to_owned(), value?.into()))),
                );
            }
            let run = server
                .post(&path(&["dags", &dag_id, "dagRuns"]), &[], &body)
                .await?;
            print_fields(format, &run, RUN_FIELDS)
        }
        Asked::State { dag_id, run_id } => {
            let run = server
                .get(&path(&["dags", &dag_id, "dagRuns", &run_id]), &[])
                .await?;
            match format {
                Format::Json => print_json(&run),
                Format::Table => print_line(&line(&output::text(&run, "state"))),
            }
        }
        Asked::ListRuns {
            dag_id,
            state,
            limit,
        } => {
            let mut query: Vec<_> = state.into_iter().map(|state| ("state", state)).collect();
            query.push(("order_by", "-run_after".to_owned()));
            let address = path(&["dags", &dag_id, "dagRuns"]);
            let runs = server
                .list(&address, &query, "dag_runs", Some(limit))
                .await?;
            print_list(
                format,
                &runs,
                [
                    ("dag", "dag_id"),
                    ("run", "dag_run_id"),
                    ("state", "state"),
                    ("start", "start_date"),
                    ("seconds", "duration"),
                ],
            )
        }
        Asked::Pause { dag_id } => {
            let body = json!({ "is_paused": true });
            let dag = server.patch(&path(&["dags", &dag_id]), &[], &body).await?;
            print_fields(format, &dag, PAUSE_FIELDS)
        }
        Asked::Unpause { dag_id } => {
            let body = json!({ "is_paused": false });
            let dag = server.patch(&path(&["dags", &dag_id]), &[], &body).await?;
            print_fields(format, &dag, PAUSE_FIELDS)
        }
        Asked::ListImportErrors { team } => {
            let query: Vec<_> = team.into_iter().map(|team| ("team", team)).collect();
            let address = path(&["importErrors"]);
            let errors = server.list(&address, &query, "import_errors", None).await?;
            import_errors(format, &errors)
        }
        Asked::NextExecution {
            dag_id,
            num_executions,
        } => {
            let address = path(&["dags", &dag_id, "nextRuns"]);
            let most = Some(num_executions.into());
            let runs = server.list(&address, &[], "next_runs", most).await?;
            if runs.is_empty() && format == Format::Table {
                return print_line("no further run is due");
            }
            print_list(
                format,
                &runs,
                [
                    ("logical date", "logical_date"),
                    ("interval start", "data_interval_start"),
                    ("interval end", "data_interval_end"),
                    ("run after", "run_after"),
                ],
            )
        }
    }
}

pub(super) const RUN_FIELDS: [(&str, &str); 4] = [
    ("dag", "dag_id"),
    ("run", "dag_run_id"),
    ("logical date", "logical_date"),
    ("state", "state"),
];

const PAUSE_FIELDS: [(&str, &str); 2] = [("dag", "dag_id"), ("paused", "is_paused")];

fn show(format: Format, mut dag: Value, tasks: &Value) -> Result<(), CliError> {
    let tasks = field(tasks, "tasks")
        .as_array()
        .cloned()
        .unwrap_or_default();
    if format == Format::Json {
        if let Some(fields) = dag.as_object_mut() {
            fields.insert("tasks".to_owned(), Value::Array(tasks));
        }
        return print_json(&dag);
    }
    print_fields(
        format,
        &dag,
        [
            ("dag", "dag_id"),
            ("team", "team_name"),
            ("bundle", "bundle_name"),
            ("description", "description"),
            ("schedule", "timetable_summary"),
            ("start", "start_date"),
            ("end", "end_date"),
            ("catch-up", "catchup"),
            ("paused", "is_paused"),
            ("next run", "next_dagrun_run_after"),
            ("runs at once", "max_active_runs"),
            ("tasks at once", "max_active_tasks"),
            ("owners", "owners"),
        ],
    )?;
    let rows = tasks.iter().map(|task| {
        let cell = |name: &str| output::text(task, name);
        [
            cell("task_id"),
            cell("upstream_task_ids"),
            cell("trigger_rule"),
            cell("retries"),
            cell("pool"),
        ]
    });
    output::print("\n")?;
    output::print(&output::table(
        ["task", "waits for", "when", "retries", "pool"],
        rows,
    ))
}

/// Grouped by bundle; each error a paragraph, since it says what to do.
fn import_errors(format: Format, errors: &[Value]) -> Result<(), CliError> {
    if format == Format::Json {
        return print_json(&errors);
    }
    if errors.is_empty() {
        return print_line("everything could be imported");
    }
    let mut bundles: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for error in errors {
        let bundle = format!(
            "{}, team {}",
            output::text(error, "bundle_name"),
            output::text(error, "team_name")
        );
        bundles.entry(bundle).or_default().push(error);
    }
    for (bundle, errors) in bundles {
        print_line(&line(&bundle))?;
        for error in errors {
            let text = output::text(error, "stack_trace");
            let code = output::text(error, "code");
            let text = text.strip_prefix(&format!("{code}: ")).unwrap_or(&text);
            let dag = match field(error, "dag_id") {
                Value::String(dag) => format!("DAG {dag}: "),
                _ => String::new(),
            };
            let text = output::lines(&format!("{dag}{text}")).replace('\n', "\n  ");
            print_line(&format!("  {}: {text}", line(&code)))?;
        }
    }
    Ok(())
}
