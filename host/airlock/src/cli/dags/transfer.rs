//! `airlock dags transfer`.

use clap::Args;
use serde_json::json;

use crate::{
    api_client::{ApiClient, path},
    cli::confirm::Confirmation,
    error::CliError,
    output::{Format, print_fields, text},
};

#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// The DAG
    dag_id: String,
    /// The bundle that owns it from now on
    #[arg(long, value_name = "BUNDLE")]
    to_bundle: String,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Transfer {
    pub(super) async fn run(self, server: &ApiClient, format: Format) -> Result<(), CliError> {
        let dag = server.get(&path(&["dags", &self.dag_id]), &[]).await?;
        self.confirmation.ask(&format!(
            "Give the DAG {}, now of the bundle {} of team {}, to the bundle {}? Its future runs will be that bundle's code, with that bundle's grants.",
            self.dag_id,
            text(&dag, "bundle_name"),
            text(&dag, "team_name"),
            self.to_bundle,
        ))?;
        let address = path(&["dags", &self.dag_id, "transfer"]);
        let body = json!({ "bundle_name": self.to_bundle });
        let dag = server.post(&address, &[], &body).await?;
        print_fields(
            format,
            &dag,
            [
                ("DAG", "dag_id"),
                ("team", "team_name"),
                ("bundle", "bundle_name"),
                ("stale", "is_stale"),
            ],
        )
    }
}
