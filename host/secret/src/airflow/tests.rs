//! Against what Airflow itself writes and reads, and against ourselves.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// What Airflow made of connections and of URIs; the file says of which version.
fn vectors(list: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    all[list].as_array().unwrap().clone()
}

/// As the vectors have it; Airflow does not tell what is empty from what is not there.
fn told(connection: &Connection) -> Value {
    let secret = |secret: &Option<Sensitive>| secret.as_ref().map(|s| s.reveal().to_owned());
    let extra =
        secret(&connection.extra).map(|extra| serde_json::from_str::<Value>(&extra).unwrap());
    json!({
        "conn_type": connection.conn_type, "host": connection.host, "login": connection.login,
        "password": secret(&connection.password), "schema": connection.schema, "port": connection.port,
        "extra": extra,
    })
}

fn normalised(read: &Value) -> Value {
    let mut read = read.clone();
    for (_, value) in read.as_object_mut().unwrap() {
        if *value == json!("") || *value == json!({}) {
            *value = Value::Null;
        }
    }
    read
}

#[test]
fn a_uri_says_to_us_what_it_says_to_airflow() {
    for vector in vectors("read").iter().chain(&vectors("written")) {
        let uri = vector["uri"].as_str().unwrap();
        let read = from_uri("c", uri).map(|connection| told(&connection));
        // Without a type there is no connection here.
        let expected =
            Some(&vector["read"]).filter(|read| !read.is_null() && read["conn_type"] != "");
        assert_eq!(read.ok(), expected.map(normalised), "{uri}");
    }
}

#[test]
fn what_is_no_connection_is_refused_without_repeating_it() {
    let id = ConnectionId::new("c").unwrap();
    for bad in [
        "hunter2",
        "mailto:hunter2",
        "http://h:hunter2",
        "http://x/?__extra__=hunter2",
        "http://hunter2:%ff@h",
        "http://[hunter2",
        "{\"conn_type\": \"hunter2\"",
        "{\"conn_type\": \"x\", \"hunter2\": 1}",
    ] {
        let error = from_text(&id, bad).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(from_uri("a b", "http://x").is_err());
}

fn some(text: &'static str) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(text)
}

proptest! {
    #[test]
    fn what_is_written_as_a_uri_is_read_again(
        conn_type in "[a-z][a-z0-9_]{0,8}",
        host in some("([a-z]{1,4}://)?[a-z0-9.:@%é/ ?#-]{1,12}"),
        login in some("[ -~äß€\n]{1,12}"),
        password in some("[ -~äß€\n]{1,12}"),
        schema in some("[ -~äß€\n]{1,12}"),
        port in proptest::option::of(any::<u16>()),
        extra in proptest::collection::btree_map("[ -~]{0,6}", "[ -~é]{0,6}", 0..3),
    ) {
        let extra: Map<_, _> = extra.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
        let connection = Connection {
            id: ConnectionId::new("c").unwrap(),
            conn_type: uri::normal(&conn_type),
            description: None,
            host,
            port,
            login,
            password: password.map(Sensitive::new),
            schema,
            extra: (!extra.is_empty()).then(|| Sensitive::new(Value::Object(extra).to_string())),
        };
        let uri = to_uri(&connection);
        prop_assert_eq!(told(&from_uri("c", &uri).unwrap()), told(&connection), "{}", uri);
    }
}
