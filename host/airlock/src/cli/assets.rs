//! `airlock assets`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Common, object};
use crate::{
    api_client::path,
    error::CliError,
    output::{self, Format, field, print_fields, print_list},
};

/// Which asset.
#[derive(Debug, Args)]
pub(crate) struct Asset {
    /// Its name, as `assets list` shows it
    name: String,
    /// Whose it is
    #[arg(long, default_value = "default")]
    team: String,
}

impl Asset {
    /// Its id in the API.
    fn id(&self) -> String {
        format!("{}:{}", self.team, self.name)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the assets: what makes them, what waits for them, when they changed last
    List {
        /// Of this team only
        #[arg(long)]
        team: Option<String>,
        /// Only those that this DAG uses
        #[arg(long)]
        dag_id: Option<String>,
        /// Also those that no DAG uses any more
        #[arg(long)]
        unused: bool,
    },
    /// Show an asset
    #[command(after_help = "Example:\n  airlock assets show observations --team research")]
    Show {
        #[command(flatten)]
        asset: Asset,
    },
    /// List the events of assets, newest first: who changed which, and when
    #[command(
        after_help = "Examples:\n  airlock assets events\n  airlock assets events --name observations --team research --limit 10"
    )]
    Events {
        /// Of the asset of this name only; its team is `default`, or that of --team
        #[arg(long)]
        name: Option<String>,
        /// Of this team's assets only
        #[arg(long)]
        team: Option<String>,
        /// Caused by this DAG only
        #[arg(long)]
        dag_id: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Say that an asset has changed; DAGs that wait for it run
    #[command(
        after_help = "Example:\n  airlock assets create-event observations --extra '{\"day\": \"2012-01-15\"}'"
    )]
    CreateEvent {
        #[command(flatten)]
        asset: Asset,
        /// What there is to say about it, as a JSON object
        #[arg(long, value_name = "JSON", value_parser = object)]
        extra: Option<Map<String, Value>>,
    },
    /// Run the DAG that makes an asset
    #[command(
        after_help = "Examples:\n  airlock assets materialize observations\n  airlock assets materialize observations --team research --conf '{\"full\": true}'"
    )]
    Materialize {
        #[command(flatten)]
        asset: Asset,
        /// The time that the run stands for, as 2012-01-15 or 2012-01-15T06:00:00Z
        #[arg(long, value_name = "TIME")]
        logical_date: Option<String>,
        /// Values for the DAG's params, as a JSON object
        #[arg(long, value_name = "JSON", value_parser = object)]
        conf: Option<Map<String, Value>>,
    },
}

const EVENT: [(&str, &str); 6] = [
    ("time", "timestamp"),
    ("asset", "name"),
    ("team", "team_name"),
    ("dag", "source_dag_id"),
    ("task", "source_task_id"),
    ("extra", "extra"),
];

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    let server = common.server()?;
    let format = common.output;
    match command {
        Command::List {
            team,
            dag_id,
            unused,
        } => {
            let mut query = Vec::new();
            query.extend(team.map(|team| ("team", team)));
            query.extend(dag_id.map(|dag| ("dag_id", dag)));
            query.push(("only_active", (!unused).to_string()));
            let address = path(&["assets"]);
            let mut assets = server.list(&address, &query, "assets", None).await?;
            if format == Format::Table {
                assets.iter_mut().for_each(flatten);
            }
            print_list(
                format,
                &assets,
                [
                    ("asset", "name"),
                    ("team", "team_name"),
                    ("made by", "producers"),
                    ("runs", "consumers"),
                    ("changed", "changed"),
                ],
            )
        }
        Command::Show { asset } => {
            let address = path(&["assets", &asset.id()]);
            let mut asset = server.get(&address, &[]).await?;
            if format == Format::Table {
                flatten(&mut asset);
            }
            print_fields(
                format,
                &asset,
                [
                    ("asset", "name"),
                    ("team", "team_name"),
                    ("id", "id"),
                    ("uri", "uri"),
                    ("group", "group"),
                    ("extra", "extra"),
                    ("made by", "producers"),
                    ("seen by", "readers"),
                    ("runs", "consumers"),
                    ("aliases", "alias_names"),
                    ("changed", "changed"),
                ],
            )
        }
        Command::Events {
            name,
            team,
            dag_id,
            limit,
        } => {
            let mut query = vec![("order_by", "-timestamp".to_owned())];
            match (name, team) {
                (Some(name), team) => {
                    let team = team.unwrap_or_else(|| "default".to_owned());
                    query.push(("asset_id", Asset { name, team }.id()));
                }
                (None, Some(team)) => query.push(("team", team)),
                (None, None) => {}
            }
            query.extend(dag_id.map(|dag| ("source_dag_id", dag)));
            let address = path(&["assets", "events"]);
            let events = server
                .list(&address, &query, "asset_events", Some(limit))
                .await?;
            print_list(format, &events, EVENT)
        }
        Command::CreateEvent { asset, extra } => {
            let body = json!({ "asset_id": asset.id(), "extra": extra.unwrap_or_default() });
            let address = path(&["assets", "events"]);
            let event = server.post(&address, &[], &body).await?;
            print_fields(format, &event, EVENT)
        }
        Command::Materialize {
            asset,
            logical_date,
            conf,
        } => {
            let body = json!({ "logical_date": logical_date, "conf": conf.unwrap_or_default() });
            let address = path(&["assets", &asset.id(), "materialize"]);
            let run = server.post(&address, &[], &body).await?;
            print_fields(format, &run, super::dags::RUN_FIELDS)
        }
    }
}

/// For people: names in place of objects.
fn flatten(asset: &mut Value) {
    let names = |list: &str, parts: &[&str]| -> Value {
        let items = field(asset, list).as_array().cloned().unwrap_or_default();
        let name = |item: &Value| {
            let parts: Vec<String> = parts.iter().map(|part| output::text(item, part)).collect();
            parts.join("/")
        };
        items.iter().map(name).collect::<Vec<_>>().into()
    };
    let (task, dag) = (["dag_id", "task_id"], ["dag_id"]);
    let more = [
        ("producers", names("producing_tasks", &task)),
        ("readers", names("consuming_tasks", &task)),
        ("consumers", names("scheduled_dags", &dag)),
        ("alias_names", names("aliases", &["name"])),
        (
            "changed",
            field(field(asset, "last_asset_event"), "timestamp").clone(),
        ),
    ];
    if let Some(fields) = asset.as_object_mut() {
        fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_told_by_names() {
        let mut asset = json!({
            "producing_tasks": [{"dag_id": "a", "task_id": "t"}], "scheduled_dags": [{"dag_id": "b"}],
            "last_asset_event": {"timestamp": "2024-01-01T00:00:00+00:00"}, "aliases": [{"name": "x"}, {"name": "y"}],
        });
        flatten(&mut asset);
        assert_eq!(output::text(&asset, "producers"), "a/t");
        assert_eq!(output::text(&asset, "consumers"), "b");
        assert_eq!(output::text(&asset, "alias_names"), "x, y");
        assert_eq!(output::text(&asset, "changed"), "2024-01-01T00:00:00+00:00");
    }
}
