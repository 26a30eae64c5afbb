//! Connections as Airflow writes them: a JSON object, or a URI.

mod uri;

use airlock_model::{connection::Connection, id::ConnectionId, mask::Sensitive};
use serde::Deserialize;

pub use uri::{from_uri, to_uri};

/// The connection that this text writes, as a JSON object or as a URI.
///
/// # Errors
/// A sentence that does not repeat the text, which may hold a password.
pub fn from_text(id: &ConnectionId, text: &str) -> Result<Connection, String> {
    match text.trim_start().starts_with('{') {
        true => from_json(id, text),
        false => from_uri(id.as_str(), text.trim()),
    }
}

/// A connection as Airflow writes it in JSON (Airflow 3.3.2, `Connection.from_json`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    conn_type: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    login: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    port: Option<Port>,
    #[serde(default)]
    extra: Option<Extra>,
}

/// Airflow takes both.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Extra {
    Object(serde_json::Map<String, serde_json::Value>),
    Text(String),
}

/// The connection that a JSON object writes.
///
/// # Errors
/// A sentence that does not repeat the text, which may hold a password.
pub fn from_json(id: &ConnectionId, text: &str) -> Result<Connection, String> {
    const WANTED: &str = "write a JSON object with `conn_type`, and what else there is of `description`, `host`, `port`, `login`, `password`, `schema` and `extra`";
    let written: Written = serde_json::from_str(text)
        .map_err(|error| format!("line {} is not understood: {WANTED}", error.line()))?;
    let extra = match written.extra {
        Some(Extra::Text(text)) if text.is_empty() => None,
        Some(Extra::Text(text)) => {
            let object = serde_json::from_str::<serde_json::Map<_, _>>(&text);
            object.map_err(|_| "its `extra` is no JSON object".to_owned())?;
            Some(Sensitive::new(text))
        }
        Some(Extra::Object(object)) => Some(Sensitive::new(
            serde_json::Value::Object(object).to_string(),
        )),
        None => None,
    };
    let port = match written.port {
        Some(Port::Text(text)) => {
            let port = text.parse();
            Some(port.map_err(|_| "its `port` is no number up to 65535".to_owned())?)
        }
        Some(Port::Number(port)) => Some(port),
        None => None,
    };
    // An empty text is Airflow's way to say that there is none.
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(Connection {
        id: id.clone(),
        conn_type: uri::normal(&written.conn_type),
        description: some(written.description),
        host: some(written.host),
        port,
        login: some(written.login),
        password: some(written.password).map(Sensitive::new),
        schema: some(written.schema),
        extra,
    })
}

#[cfg(test)]
mod tests;
