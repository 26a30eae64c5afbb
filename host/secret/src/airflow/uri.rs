//! A connection as one URI, as Airflow writes it: `TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA?NAME=VALUE`.
//!
//! It is not quite a URL: the host may be percent-encoded and hold anything, may be missing after a login, and may have a
//! protocol of its own (`http://https://api.example`). The rules are those of Airflow 3.3.2 (`Connection.get_uri`, and
//! `Connection(uri=…)`, which reads it).

use std::fmt::Write as _;

use airlock_model::{connection::Connection, id::ConnectionId, mask::Sensitive};
use serde_json::{Map, Value};
use url::form_urlencoded;

/// The name under which the query holds the whole `extra` as JSON.
const EXTRA: &str = "__extra__";

fn wrong() -> String {
    "this is no connection URI: write TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA, with special characters percent-encoded".to_owned()
}

/// A connection type as it is kept.
pub(super) fn normal(conn_type: &str) -> String {
    match conn_type {
        "postgresql" => "postgres".to_owned(),
        // A scheme has no `_`; Airflow writes `-` for it.
        other => other.replace('-', "_"),
    }
}

/// Whether this may stand before `://`.
fn is_scheme(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(good)
}

/// The connection that a URI writes. Query parameters become `extra`; `__extra__` holds it as JSON.
///
/// # Errors
/// A sentence that does not repeat the URI, which may hold a password.
pub fn from_uri(id: &str, uri: &str) -> Result<Connection, String> {
    let id = ConnectionId::new(id).map_err(|error| error.to_string())?;
    let (scheme, rest) = uri.split_once("://").ok_or_else(wrong)?;
    if !is_scheme(scheme) {
        return Err(wrong());
    }
    let (protocol, rest) = match rest.split_once("://") {
        Some((_, rest)) if rest.contains("://") => return Err(wrong()),
        Some((protocol, rest)) if is_scheme(protocol) => (Some(protocol), rest),
        Some((before, _)) if before.contains(['@', ':']) => return Err(wrong()),
        _ => (None, rest),
    };
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (login, password) = user.split_once(':').unwrap_or((user, ""));
    let (host, port) = match place.strip_prefix('[') {
        Some(address) => {
            let (address, port) = address.split_once(']').ok_or_else(wrong)?;
            (address, port.strip_prefix(':').unwrap_or(port))
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let port = match port {
        "" => None,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| wrong())?)
        }
        _ => return Err(wrong()),
    };
    let some = |text: &str| decoded(text).map(|text| (!text.is_empty()).then_some(text));
    // Names are the same in capitals; paths are not.
    let host = match decoded(host)?.contains('/') {
        true => some(host)?,
        false => some(&host.to_lowercase())?,
    };
    let host = host.map(|host| match protocol {
        Some(protocol) => format!("{}://{host}", protocol.to_ascii_lowercase()),
        None => host,
    });
    Ok(Connection {
        id,
        conn_type: normal(&scheme.to_ascii_lowercase()),
        description: None,
        host,
        port,
        login: some(login)?,
        password: some(password)?.map(Sensitive::new),
        schema: some(path)?,
        extra: extra(query)?,
    })
}

/// What a query says of `extra`: a value that is JSON is what it says, and any other a text.
fn extra(query: &str) -> Result<Option<Sensitive>, String> {
    let mut extra = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == EXTRA {
            extra = serde_json::from_str(&value)
                .map_err(|_| "`__extra__` of the URI is not a JSON object".to_owned())?;
            break;
        }
        let text = || Value::from(value.as_ref());
        let value = serde_json::from_str(&value).unwrap_or_else(|_| text());
        extra.insert(name.into_owned(), value);
    }
    Ok((!extra.is_empty()).then(|| Sensitive::new(Value::Object(extra).to_string())))
}

/// The text with its percent signs resolved; `+` is no space here.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = (first == b'%').then(|| after.split_at_checked(2)).flatten();
        let byte = escape.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = byte.unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn encoded(text: &str, to: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                to.push(byte.into());
            }
            other => {
                // Writing to a text cannot fail.
                let _ = write!(to, "%{other:02X}");
            }
        }
    }
}

/// The URI that writes this connection, its secrets included; Airflow and [`from_uri`] read the same from it. The
/// description has no place in it, and capitals of a host's name are lost.
#[must_use]
pub fn to_uri(connection: &Connection) -> String {
    let mut uri = format!(
        "{}://",
        connection.conn_type.to_lowercase().replace('_', "-")
    );
    let host = connection.host.as_deref().unwrap_or_default();
    let host = match host.split_once("://") {
        // It would not be told from a protocol that stands for itself.
        Some((protocol, rest)) if is_scheme(protocol) && !rest.contains("://") => {
            uri.push_str(protocol);
            uri.push_str("://");
            rest
        }
        _ => host,
    };
    if connection.login.is_some() || connection.password.is_some() {
        encoded(connection.login.as_deref().unwrap_or_default(), &mut uri);
        if let Some(password) = &connection.password {
            uri.push(':');
            encoded(password.reveal(), &mut uri);
        }
        uri.push('@');
    }
    encoded(host, &mut uri);
    if let Some(port) = connection.port {
        let _ = write!(uri, ":{port}");
    }
    uri.push('/');
    encoded(connection.schema.as_deref().unwrap_or_default(), &mut uri);
    if let Some(extra) = &connection.extra {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair(EXTRA, extra.reveal());
        uri.push('?');
        uri.push_str(&query.finish());
    }
    uri
}
