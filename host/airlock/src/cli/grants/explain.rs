//! `airlock grants explain`: why a bundle may reach something, or may not.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::{
    api_client::path,
    cli::Common,
    error::CliError,
    output::{Format, field, line, lines, print_json, print_line, text},
};

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The bundle
    bundle: String,
    /// In which phase
    #[arg(long, default_value = "task", value_parser = ["parse", "task", "trigger", "callback"])]
    phase: String,
    /// For this DAG
    #[arg(long, value_name = "DAG_ID")]
    dag: Option<String>,
    /// For this task
    #[arg(long, value_name = "TASK_ID")]
    task: Option<String>,
    #[command(flatten)]
    thing: Thing,
    /// With this access to the connection: `read` is to have its password
    #[arg(long, requires = "connection", default_value = "use", value_parser = ["use", "read"])]
    access: String,
    /// With this HTTP method
    #[arg(long, requires = "http", default_value = "GET")]
    method: String,
}

/// What is to be reached.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Thing {
    /// The variable with this key
    #[arg(long, value_name = "KEY")]
    variable: Option<String>,
    /// The connection with this id
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// The directory that the guest sees here
    #[arg(long, value_name = "PATH")]
    directory: Option<String>,
    /// This URL
    #[arg(long, value_name = "URL")]
    http: Option<String>,
    /// To follow the asset of this name or URI, or those behind the alias of this name
    #[arg(long, value_name = "ASSET")]
    consume: Option<String>,
    /// To change it
    #[arg(long, value_name = "ASSET")]
    produce: Option<String>,
}

pub(super) async fn run(common: &Common, asked: Explain) -> Result<ExitCode, CliError> {
    let mut query = vec![("phase", asked.phase)];
    query.extend(asked.dag.map(|dag| ("dag_id", dag)));
    query.extend(asked.task.map(|task| ("task_id", task)));
    let Thing {
        variable,
        connection,
        directory,
        http,
        consume,
        produce,
    } = asked.thing;
    query.extend(consume.map(|asset| ("consume", asset)));
    query.extend(produce.map(|asset| ("produce", asset)));
    query.extend(variable.map(|key| ("variable", key)));
    if let Some(id) = connection {
        query.extend([("connection", id), ("access", asked.access)]);
    }
    query.extend(directory.map(|path| ("directory", path)));
    if let Some(url) = http {
        query.extend([("url", url), ("method", asked.method)]);
    }
    let address = path(&["bundles", &asked.bundle, "explain"]);
    let explanation = common.server()?.get(&address, &query).await?;
    match common.output {
        Format::Json => print_json(&explanation)?,
        Format::Table => print_line(&page(&explanation))?,
    }
    Ok(match field(&explanation, "allowed") {
        Value::Bool(true) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The answer, for people.
fn page(explanation: &Value) -> String {
    let hash: String = text(explanation, "bundle_hash").chars().take(8).collect();
    let of = format!(
        "{} (b3:{hash}…), team {}",
        line(&text(explanation, "bundle_name")),
        line(&text(explanation, "team_name"))
    );
    if let Value::String(denial) = field(explanation, "denial") {
        return format!("no: {of}\n{}", lines(denial));
    }
    let list = |name: &str| -> String {
        let rules = field(explanation, name).as_array().into_iter().flatten();
        let rules: Vec<String> = rules.filter_map(Value::as_str).map(line).collect();
        rules.join("; ")
    };
    format!(
        "yes: {of}\n  asks for {}\n  granted  {}",
        list("asks_for"),
        list("granted")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_yes_names_its_rules_and_a_no_shows_what_the_call_would_meet() {
        let yes = json!({
            "allowed": true, "bundle_name": "ledger", "team_name": "payments", "bundle_hash": "51ac09ffee",
            "asks_for": ["variable `a.*`"], "granted": ["variable `a.b` (only for task `pay`)"], "denial": null,
        });
        assert_eq!(
            page(&yes),
            "yes: ledger (b3:51ac09ff…), team payments\n  asks for variable `a.*`\n  granted  variable `a.b` (only for task `pay`)"
        );
        let no = json!({
            "allowed": false, "bundle_name": "ledger", "team_name": "payments", "bundle_hash": "51ac09ffee",
            "asks_for": [], "granted": [], "denial": "AL-0414: no\u{1b}\n  help",
        });
        assert_eq!(
            page(&no),
            "no: ledger (b3:51ac09ff…), team payments\nAL-0414: no\\u{1b}\n  help"
        );
    }
}
