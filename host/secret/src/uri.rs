//! A connection as one URI, as Airflow writes it: `TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA?NAME=VALUE`.

use std::borrow::Cow;

use airlock_model::{connection::Connection, id::ConnectionId, mask::Sensitive};
use url::{Url, form_urlencoded};

/// The connection that a URI writes. Query parameters become `extra`; `__extra__` holds it as JSON.
///
/// # Errors
/// A sentence that does not repeat the URI, which may hold a password.
pub fn from_uri(id: &str, uri: &str) -> Result<Connection, String> {
    let id = ConnectionId::new(id).map_err(|error| error.to_string())?;
    let wrong = |_| {
        "this is no connection URI: write TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA, with special characters percent-encoded".to_owned()
    };
    let url = Url::parse(uri).map_err(|error| wrong(error.to_string()))?;
    if url.cannot_be_a_base() {
        return Err(wrong(String::new()));
    }
    let some = |text: &str| (!text.is_empty()).then(|| decoded(text).into_owned());
    let mut extra = serde_json::Map::new();
    for (name, value) in form_urlencoded::parse(url.query().unwrap_or_default().as_bytes()) {
        if name == "__extra__" {
            extra = serde_json::from_str(&value)
                .map_err(|_| "`__extra__` of the URI is not a JSON object".to_owned())?;
        } else {
            extra.insert(name.into_owned(), value.into_owned().into());
        }
    }
    Ok(Connection {
        id,
        // A scheme has no `_`; Airflow writes `-` for it.
        conn_type: url.scheme().replace('-', "_"),
        description: None,
        host: url.host_str().and_then(some),
        port: url
            .port_or_known_default()
            .filter(|_| url.port().is_some() || names_port(uri)),
        login: some(url.username()),
        password: url.password().and_then(some).map(Sensitive::new),
        schema: some(url.path().trim_start_matches('/')),
        extra: (!extra.is_empty())
            .then(|| Sensitive::new(serde_json::Value::Object(extra).to_string())),
    })
}

/// Whether a URI whose port is the usual one of its scheme, which the parser drops, does name it.
fn names_port(uri: &str) -> bool {
    let authority = uri.split_once("://").map_or("", |(_, rest)| rest);
    let end = authority.find(['/', '?', '#']).unwrap_or(authority.len());
    let host = authority.get(..end).unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    host.rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

fn decoded(text: &str) -> Cow<'_, str> {
    // The form's parser decodes percent signs; its `+` and `&` are no such signs here.
    let escaped = text
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map_or(Cow::Borrowed(""), |(name, _)| Cow::Owned(name.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_taken_apart_as_airflow_does() {
        let read = |uri| from_uri("c", uri).unwrap();
        let full = read("my-type://me:p%40ss%2Bw+x@db.example:5432/ledger?timeout=10&mode=a%20b");
        assert_eq!(full.conn_type, "my_type");
        assert_eq!(full.host.as_deref(), Some("db.example"));
        assert_eq!(full.port, Some(5432));
        assert_eq!(full.login.as_deref(), Some("me"));
        assert_eq!(full.password.unwrap().reveal(), "p@ss+w+x");
        assert_eq!(full.schema.as_deref(), Some("ledger"));
        let extra: serde_json::Value = serde_json::from_str(full.extra.unwrap().reveal()).unwrap();
        assert_eq!(extra, serde_json::json!({"timeout": "10", "mode": "a b"}));
        let short = read("http://api.example");
        assert_eq!((short.port, short.schema, short.login), (None, None, None));
        assert_eq!(read("http://api.example:80").port, Some(80));
        assert_eq!(
            read("http://x/?__extra__=%7B%22a%22%3A1%7D")
                .extra
                .unwrap()
                .reveal(),
            r#"{"a":1}"#
        );
    }

    #[test]
    fn what_is_no_uri_is_refused_without_repeating_it() {
        for bad in [
            "hunter2",
            "mailto:hunter2",
            "http://:hunter2",
            "http://x/?__extra__=hunter2",
        ] {
            let error = from_uri("c", bad).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(from_uri("a b", "http://x").is_err());
    }
}
