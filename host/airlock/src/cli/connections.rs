//! `airlock connections`.

mod transfer;

use airlock_secret::airflow::from_uri;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{Common, TeamOption, object, text_or_stdin};
use crate::{
    api_client::path,
    error::CliError,
    output::{print_fields, print_list},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a connection, without its secrets
    #[command(after_help = "Example:\n  airlock connections get bank --team payments")]
    Get {
        /// Its id
        connection_id: String,
        #[command(flatten)]
        team: TeamOption,
    },
    /// List the connections, without their secrets
    List {
        #[command(flatten)]
        team: TeamOption,
    },
    /// Create a connection, or change what is given of it
    #[command(
        after_help = "Examples:\n  airlock connections set bank --team payments --conn-type http --host api.bank.example --port 443\n  airlock connections set bank --team payments --password - < password.txt\n  airlock connections set warehouse --uri 'postgres://reader@db.example/ledger'"
    )]
    Set {
        /// Its id
        connection_id: String,
        #[command(flatten)]
        fields: Box<Fields>,
        #[command(flatten)]
        team: TeamOption,
    },
    /// Create connections from a file, as Airflow exports them
    ///
    /// JSON, an object of ids, or lines of ID=URI or ID=JSON. The file is read to its end, and what it would change is
    /// looked up, before anything is changed.
    #[command(
        after_help = "Examples:\n  airlock connections import airflow.json --team payments --dry-run\n  airlock connections import airflow.env --overwrite"
    )]
    Import {
        /// The file; `-` is standard input
        file: String,
        /// Change those that are there already: what the file says of them. What it leaves out, such as a password, stays
        #[arg(long)]
        overwrite: bool,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        team: TeamOption,
    },
    /// Write the connections to a file, in a form that Airflow imports; passwords and extras are left out
    #[command(
        after_help = "Examples:\n  airlock connections export payments.json --team payments\n  airlock connections export - --form env"
    )]
    Export {
        /// A new file; `-` is standard output
        #[arg(default_value = "-")]
        file: String,
        /// An object of ids, or lines of ID=URI
        #[arg(long, value_enum, default_value_t)]
        form: transfer::Form,
        #[command(flatten)]
        team: TeamOption,
    },
    /// Delete a connection
    #[command(after_help = "Example:\n  airlock connections delete bank --team payments")]
    Delete {
        /// Its id
        connection_id: String,
        #[command(flatten)]
        team: TeamOption,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Fields {
    /// All of it as a URI: TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA?EXTRA=…
    #[arg(long, conflicts_with_all = ["conn_type", "host", "port", "login", "password", "schema", "extra"])]
    uri: Option<String>,
    /// The kind of system, such as http or postgres
    #[arg(long)]
    conn_type: Option<String>,
    /// Host name or address
    #[arg(long)]
    host: Option<String>,
    /// Port
    #[arg(long)]
    port: Option<u16>,
    /// User name
    #[arg(long)]
    login: Option<String>,
    /// Password or token; `-` reads it from standard input
    #[arg(long)]
    password: Option<String>,
    /// Database, or what the system calls it
    #[arg(long)]
    schema: Option<String>,
    /// Whatever else the system needs, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    extra: Option<Map<String, Value>>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
}

impl Fields {
    fn into_json(self, id: &str) -> Result<Map<String, Value>, CliError> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            fields.extend(value.map(|value| (name.to_owned(), value)));
        };
        if let Some(uri) = self.uri {
            let connection = from_uri(id, &text_or_stdin(uri)?).map_err(CliError::Usage)?;
            put("conn_type", Some(connection.conn_type.into()));
            put("host", connection.host.map(Value::from));
            put("port", connection.port.map(Value::from));
            put("login", connection.login.map(Value::from));
            put("schema", connection.schema.map(Value::from));
            put("password", connection.password.map(|p| p.reveal().into()));
            put("extra", connection.extra.map(|extra| extra.reveal().into()));
        } else {
            put("conn_type", self.conn_type.map(Value::from));
            put("host", self.host.map(Value::from));
            put("port", self.port.map(Value::from));
            put("login", self.login.map(Value::from));
            put("schema", self.schema.map(Value::from));
            put(
                "password",
                self.password
                    .map(text_or_stdin)
                    .transpose()?
                    .map(Value::from),
            );
            put("extra", self.extra.map(Value::Object));
        }
        put("description", self.description.map(Value::from));
        if fields.is_empty() {
            return Err(CliError::Usage(
                "nothing is to be set; see --help for what can be".to_owned(),
            ));
        }
        Ok(fields)
    }
}

const FIELDS: [(&str, &str); 10] = [
    ("connection", "connection_id"),
    ("type", "conn_type"),
    ("host", "host"),
    ("port", "port"),
    ("login", "login"),
    ("schema", "schema"),
    ("password", "has_password"),
    ("extra", "has_extra"),
    ("team", "team_name"),
    ("in airlock.toml", "is_configured"),
];

/// The server speaks of the fields of a body; a new connection that lacks its type is told in options.
fn told(error: CliError, id: &str) -> CliError {
    match error {
        CliError::Refused { detail, .. } if detail.contains("missing field `conn_type`") => {
            CliError::Usage(format!(
                "there is no connection `{}` yet; a new one needs `--conn-type`, such as http, and what else there is to say of it, or all of it as `--uri`",
                id.escape_debug()
            ))
        }
        other => other,
    }
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    let server = common.server()?;
    let collection = path(&["connections"]);
    match command {
        Command::Get {
            connection_id,
            team,
        } => {
            let address = path(&["connections", &connection_id]);
            let connection = server.get(&address, &team.query()).await?;
            print_fields(common.output, &connection, FIELDS)
        }
        Command::List { team } => {
            let all = server
                .list(&collection, &team.query(), "connections", None)
                .await?;
            print_list(common.output, &all, FIELDS)
        }
        Command::Set {
            connection_id,
            fields,
            team,
        } => {
            let fields = fields.into_json(&connection_id)?;
            let name = ("connection_id", connection_id.as_str());
            let set = server.set(&collection, name, &team.query(), fields).await;
            let connection = set.map_err(|error| told(error, &connection_id))?;
            print_fields(common.output, &connection, FIELDS)
        }
        Command::Import {
            file,
            overwrite,
            dry_run,
            team,
        } => {
            let file = transfer::read(&file)?;
            let how = transfer::How { overwrite, dry_run };
            transfer::import(&server, common.output, &file, &how, &team.query()).await
        }
        Command::Export { file, form, team } => {
            transfer::export(&server, &file, form, &team.query()).await
        }
        Command::Delete {
            connection_id,
            team,
        } => {
            let address = path(&["connections", &connection_id]);
            server.delete(&address, &team.query()).await
        }
    }
}
