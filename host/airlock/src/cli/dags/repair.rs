//! What people do about a DAG and its runs: clear, end by hand, delete.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::RUN_FIELDS;
use crate::{
    api_client::{ApiClient, path},
    cli::confirm::Confirmation,
    error::CliError,
    output::{Format, field, print_fields, print_list},
};

#[derive(Debug, Args)]
pub(crate) struct Clear {
    /// The DAG
    dag_id: String,
    /// The run
    run_id: String,
    /// Only task instances that failed or could not run
    #[arg(long, short = 'f')]
    only_failed: bool,
    /// The run moves to the newest version of the DAG
    #[arg(long)]
    latest_version: bool,
    /// Only show which task instances it concerns
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// How a run can be ended by hand.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum End {
    Success,
    Failed,
}

#[derive(Debug, Args)]
pub(crate) struct SetState {
    /// The DAG
    dag_id: String,
    /// The run
    run_id: String,
    /// How it is to end
    state: End,
    #[command(flatten)]
    confirmation: Confirmation,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The DAG
    dag_id: String,
    #[command(flatten)]
    confirmation: Confirmation,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteRun {
    /// The DAG
    dag_id: String,
    /// The run
    run_id: String,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Clear {
    pub(super) async fn run(self, server: &ApiClient, format: Format) -> Result<(), CliError> {
        let address = path(&["dags", &self.dag_id, "dagRuns", &self.run_id, "clear"]);
        let body = |dry_run| {
            json!({
                "dry_run": dry_run,
                "only_failed": self.only_failed,
                "run_on_latest_version": self.latest_version,
            })
        };
        if self.dry_run || format == Format::Table {
            let concerned = server.post(&address, &[], &body(true)).await?;
            let tasks = field(&concerned, "task_instances");
            let tasks = tasks.as_array().map_or(&[][..], Vec::as_slice);
            print_list(
                format,
                tasks,
                [
                    ("task", "task_id"),
                    ("map index", "map_index"),
                    ("state", "state"),
                ],
            )?;
        }
        if self.dry_run {
            return Ok(());
        }
        self.confirmation.ask(&format!(
            "Clear the run {} of {}?",
            self.run_id, self.dag_id
        ))?;
        let run = server.post(&address, &[], &body(false)).await?;
        print_fields(format, &run, RUN_FIELDS)
    }
}

impl SetState {
    pub(super) async fn run(self, server: &ApiClient, format: Format) -> Result<(), CliError> {
        let state = match self.state {
            End::Success => "success",
            End::Failed => "failed",
        };
        let address = path(&["dags", &self.dag_id, "dagRuns", &self.run_id]);
        let run = server.get(&address, &[]).await?;
        self.confirmation.ask(&format!(
            "End the run {} of {} as {state}? It is {}.",
            self.run_id,
            self.dag_id,
            crate::output::text(&run, "state")
        ))?;
        let body = json!({ "state": state });
        let run = server.patch(&address, &[], &body).await?;
        print_fields(format, &run, RUN_FIELDS)
    }
}

impl Delete {
    pub(super) async fn run(self, server: &ApiClient) -> Result<(), CliError> {
        let address = path(&["dags", &self.dag_id]);
        server.get(&address, &[]).await?;
        self.confirmation.ask(&format!(
            "Delete the DAG {} with all its runs, tries and XComs?",
            self.dag_id
        ))?;
        server.delete(&address, &[]).await
    }
}

impl DeleteRun {
    pub(super) async fn run(self, server: &ApiClient) -> Result<(), CliError> {
        let address = path(&["dags", &self.dag_id, "dagRuns", &self.run_id]);
        server.get(&address, &[]).await?;
        self.confirmation.ask(&format!(
            "Delete the run {} of {}?",
            self.run_id, self.dag_id
        ))?;
        server.delete(&address, &[]).await
    }
}
