//! `airlock tasks clear` and `airlock tasks set-state`: first what it concerns, then the question, then it is
//! done.

use clap::{ArgGroup, Args, ValueEnum};
use serde_json::{Value, json};

use crate::{
    api_client::{ApiClient, path},
    cli::confirm::Confirmation,
    error::CliError,
    output::{Format, field, print_json, print_line, print_list},
};

/// What else, around the tasks that are named.
#[derive(Debug, Args)]
struct Around {
    /// Also what comes before
    #[arg(long, short)]
    upstream: bool,
    /// Also what comes after
    #[arg(long, short)]
    downstream: bool,
    /// Also the same tasks in all earlier runs
    #[arg(long)]
    past: bool,
    /// Also the same tasks in all later runs
    #[arg(long)]
    future: bool,
}

/// Whether it is meant.
#[derive(Debug, Args)]
struct Meant {
    /// Only show which task instances it concerns
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("runs").required(true).multiple(true).args(["run_id", "start_date", "end_date"]))]
pub(crate) struct Clear {
    /// The DAG
    dag_id: String,
    /// The tasks [default: all]
    #[arg(value_name = "TASK_ID")]
    tasks: Vec<String>,
    /// Of this run
    #[arg(long, value_name = "RUN", conflicts_with_all = ["start_date", "end_date"])]
    run_id: Option<String>,
    /// Of all runs from this logical date on, as 2012-01-15 or 2012-01-15T06:00:00Z
    #[arg(long, value_name = "TIME")]
    start_date: Option<String>,
    /// Of all runs up to this logical date
    #[arg(long, value_name = "TIME")]
    end_date: Option<String>,
    /// Of mapped tasks, these instances only; may be given several times
    #[arg(long, value_name = "N", requires = "tasks")]
    map_index: Vec<i32>,
    #[command(flatten)]
    around: Around,
    /// Only those that failed or could not run
    #[arg(long, short = 'f')]
    only_failed: bool,
    /// Only those that are queued, running or waiting
    #[arg(long, short = 'r')]
    only_running: bool,
    /// Their runs move to the newest version of the DAG
    #[arg(long)]
    latest_version: bool,
    #[command(flatten)]
    meant: Meant,
}

/// What a task instance can be marked as.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mark {
    Success,
    Failed,
    Skipped,
}

impl Mark {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct SetState {
    /// The DAG
    dag_id: String,
    /// The task
    task_id: String,
    /// The run
    run_id: String,
    /// What it is to be
    state: Mark,
    /// Of a mapped task, this instance only
    #[arg(long, value_name = "N")]
    map_index: Option<i32>,
    #[command(flatten)]
    around: Around,
    #[command(flatten)]
    meant: Meant,
}

impl Clear {
    fn body(&self, dry_run: bool) -> Value {
        let tasks: Vec<Value> = match self.map_index.as_slice() {
            [] => self.tasks.iter().map(|task| json!(task)).collect(),
            indexes => (self.tasks.iter())
                .flat_map(|task| indexes.iter().map(move |index| json!([task, index])))
                .collect(),
        };
        json!({
            "dry_run": dry_run,
            "dag_run_id": self.run_id,
            "start_date": self.start_date,
            "end_date": self.end_date,
            "task_ids": (!tasks.is_empty()).then_some(tasks),
            "include_upstream": self.around.upstream,
            "include_downstream": self.around.downstream,
            "include_past": self.around.past,
            "include_future": self.around.future,
            "only_failed": self.only_failed,
            "only_running": self.only_running,
            "run_on_latest_version": self.latest_version,
        })
    }

    pub(super) async fn run(self, server: &ApiClient, format: Format) -> Result<(), CliError> {
        let address = path(&["dags", &self.dag_id, "clearTaskInstances"]);
        let concerned = server.post(&address, &[], &self.body(true)).await?;
        if !self.meant.goes_on(format, &concerned, "Clear")? {
            return Ok(());
        }
        let cleared = server.post(&address, &[], &self.body(false)).await?;
        done(format, &cleared, "cleared")
    }
}

impl SetState {
    pub(super) async fn run(self, server: &ApiClient, format: Format) -> Result<(), CliError> {
        let index = self.map_index.map(|index| index.to_string());
        let mut segments = vec![
            "dags",
            self.dag_id.as_str(),
            "dagRuns",
            self.run_id.as_str(),
            "taskInstances",
            self.task_id.as_str(),
        ];
        segments.extend(index.as_deref());
        let address = path(&segments);
        let body = json!({
            "new_state": self.state.as_str(),
            "include_upstream": self.around.upstream,
            "include_downstream": self.around.downstream,
            "include_past": self.around.past,
            "include_future": self.around.future,
        });
        let asked = format!("{address}/dry_run");
        let concerned = server.patch(&asked, &[], &body).await?;
        let verb = format!("Mark as {}", self.state.as_str());
        if !self.meant.goes_on(format, &concerned, &verb)? {
            return Ok(());
        }
        let marked = server.patch(&address, &[], &body).await?;
        done(
            format,
            &marked,
            &format!("marked as {}", self.state.as_str()),
        )
    }
}

impl Meant {
    /// Shows what is concerned, and asks; false: it ends here.
    fn goes_on(&self, format: Format, concerned: &Value, verb: &str) -> Result<bool, CliError> {
        let count = instances(concerned).len();
        match (format, self.dry_run) {
            (Format::Json, true) => print_json(concerned)?,
            (Format::Json, false) => {}
            (Format::Table, _) if count == 0 => print_line("this concerns no task instance")?,
            (Format::Table, _) => show(concerned)?,
        }
        if self.dry_run {
            return Ok(false);
        }
        if count > 0 {
            let question = format!("{verb}: {count} task instances?");
            self.confirmation.ask(&question)?;
        } else if format == Format::Json {
            print_json(concerned)?;
        }
        Ok(count > 0)
    }
}

fn instances(answer: &Value) -> &[Value] {
    field(answer, "task_instances")
        .as_array()
        .map_or(&[], Vec::as_slice)
}

fn show(answer: &Value) -> Result<(), CliError> {
    print_list(
        Format::Table,
        instances(answer),
        [
            ("run", "dag_run_id"),
            ("task", "task_id"),
            ("map index", "map_index"),
            ("state", "state"),
        ],
    )
}

fn done(format: Format, answer: &Value, verb: &str) -> Result<(), CliError> {
    match format {
        Format::Json => print_json(answer),
        Format::Table => {
            let count = instances(answer).len();
            print_line(&format!("{verb}: {count} task instances"))
        }
    }
}
