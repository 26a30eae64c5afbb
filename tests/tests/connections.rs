//! Connections that bundles use and do not read, in a whole host: the system hears the credential, and nobody else does.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    sync::mpsc::{Receiver, channel},
};

use airlock_tests::{Host, escape, examples};
use serde_json::{Value, json};
use tempfile::TempDir;

const PASSWORD: &str = "t0ken-of-the-service";

/// A service that says back all that it hears.
fn service() -> Receiver<String> {
    let listener = TcpListener::bind("127.0.0.1:18182").unwrap();
    let (told, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut head = vec![0; 8192];
            let length = stream.read(&mut head).unwrap_or_default();
            head.truncate(length);
            let head = String::from_utf8_lossy(&head).into_owned();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{head}"
            );
            drop(stream.write_all(answer.as_bytes()));
            if told.send(head).is_err() {
                return;
            }
        }
    });
    heard
}

async fn returned(host: &Host, run: &str) -> Value {
    let run = escape(run);
    let path = format!("/dags/http_login/dagRuns/{run}/taskInstances/ask/xcomEntries/return_value");
    host.get(&path).await["value"].clone()
}

/// Whether a text stands in any file of the home folder.
fn is_kept(folder: &Path, text: &str) -> bool {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.into_iter().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => is_kept(&entry.path(), text),
        Ok(kind) if kind.is_file() => {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        }
        _ => false,
    })
}

#[tokio::test]
async fn a_service_hears_the_password_and_neither_the_code_nor_the_database_nor_a_log_does() {
    let (home, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let heard = service();
    let host = Host::start_in(home.path(), &examples("demo", folder.path()));
    let point_at = async |method, path: &str, port: u16| {
        let mut body = json!({
            "conn_type": "http", "host": "127.0.0.1", "port": port, "schema": "http", "password": PASSWORD,
        });
        if method == reqwest::Method::POST {
            body["connection_id"] = json!("service");
        }
        let (status, said) = host.call(method, path, Some(body)).await;
        assert!((200..300).contains(&status), "{said}");
    };
    point_at(reqwest::Method::POST, "/connections?team=demo", 18182).await;
    let run = host
        .trigger("http_login", json!({"logical_date": null}))
        .await;
    assert_eq!(host.ended("http_login", &run).await, "success");
    let head = heard.recv().unwrap();
    assert!(
        head.contains(&format!("authorization: Bearer {PASSWORD}\r\n")),
        "{head}"
    );
    assert!(!head.contains("airlock-connection"), "{head}");
    let answer = returned(&host, &run).await.to_string();
    let hidden = format!("authorization: Bearer {}", "*".repeat(PASSWORD.len()));
    assert!(answer.contains(&hidden), "{answer}");
    assert!(!is_kept(home.path(), PASSWORD));

    // At another server it is not sent: the connection is pointed elsewhere, and the code still calls the old one.
    point_at(
        reqwest::Method::PATCH,
        "/connections/service?team=demo",
        18183,
    )
    .await;
    let run = host
        .trigger("http_login", json!({"logical_date": null}))
        .await;
    assert_eq!(host.ended("http_login", &run).await, "failed");
    assert!(heard.try_recv().is_err(), "the service was called");
    let counted = "airlock_denials_total{team=\"demo\",capability=\"connection\"} 1";
    let metrics = host.metrics().await;
    assert!(metrics.contains(counted), "{metrics}");
}
