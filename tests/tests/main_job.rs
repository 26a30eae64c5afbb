//! The main job: two teams' bundles on real data, with the example configuration that `make run` uses.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
};

use airlock_tests::{Host, checkout, escape, example};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The example configuration with its paths replaced by this test's own.
fn example_config(home: &Path) -> String {
    let text = std::fs::read_to_string(checkout().join("bundles/airlock.toml")).unwrap();
    let reports = home.join("reports");
    std::fs::create_dir_all(&reports).unwrap();
    let replaced = [
        (
            "target/weather.wasm",
            example("weather").display().to_string(),
        ),
        ("target/rates.wasm", example("rates").display().to_string()),
        (
            "\"weather/archive\"",
            format!(
                "\"{}\"",
                checkout().join("bundles/weather/archive").display()
            ),
        ),
        ("../.airlock/reports/weather", reports.display().to_string()),
    ];
    replaced.iter().fold(text, |text, (old, new)| {
        assert!(
            text.contains(old),
            "the example configuration no longer says {old}"
        );
        text.replace(old, new)
    })
}

/// An exchange that answers every request with the same rates, and remembers what it was asked.
/// It listens where the bundle's request and the example's grant say.
fn exchange() -> std::sync::mpsc::Receiver<String> {
    let listener = TcpListener::bind("127.0.0.1:18180").unwrap();
    let (asked, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut part = [0; 1024];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut part) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&part[..read]),
                }
            }
            let body = json!({"base": "EUR", "date": "2024-01-05", "rates": {"CHF": 0.93, "GBP": 0.86, "USD": 1.09}});
            let body = body.to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
            if asked
                .send(String::from_utf8_lossy(&request).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    heard
}

#[tokio::test]
async fn four_years_of_weather_catch_up_and_the_reports_are_right() {
    let home = TempDir::new().unwrap();
    let host = Host::start_in(home.path(), &example_config(home.path()));
    host.until("the catch-up", async || {
        assert_eq!(
            host.runs("weather", Some("failed")).await,
            0,
            "a run failed:\n{}",
            host.log()
        );
        (host.runs("weather", Some("success")).await == 1461).then_some(())
    })
    .await;

    let expected = std::fs::read(checkout().join("bundles/weather/expected/monthly.json")).unwrap();
    let expected: BTreeMap<String, Value> = serde_json::from_slice(&expected).unwrap();
    assert_eq!(expected.len(), 48);
    for (month, figures) in expected {
        let report = home.path().join(format!("reports/monthly/{month}.json"));
        let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        assert_eq!(report, figures, "{month}");
    }
    let days = std::fs::read_dir(home.path().join("reports/daily"))
        .unwrap()
        .count();
    assert_eq!(days, 1461, "one report a day, and nothing left over");

    // One run for each day, which stands for that day, and what its tasks wrote is in their logs.
    let run = "scheduled__2012-01-15T00:00:00+00:00";
    let row = host
        .get(&format!("/dags/weather/dagRuns/{}", escape(run)))
        .await;
    assert_eq!(row["run_type"], "scheduled");
    let log = host.cli(&["tasks", "logs", "weather", run, "observe"]);
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    assert!(log.contains("2012-01-15"), "{log}");
    let metrics = host.metrics().await;
    for team in ["weather", "treasury"] {
        assert!(metrics.contains(&format!("team=\"{team}\"")), "{metrics}");
    }
}

#[tokio::test]
async fn the_second_team_calls_its_service_with_its_own_connection_and_variables() {
    let home = TempDir::new().unwrap();
    let heard = exchange();
    let host = Host::start_in(home.path(), &example_config(home.path()));
    host.dag("rates").await;
    let run = host
        .trigger(
            "rates",
            json!({"logical_date": null, "conf": {"day": "2024-01-05"}}),
        )
        .await;
    assert_eq!(host.ended("rates", &run).await, "success", "{}", host.log());
    let asked = heard.recv().unwrap();
    assert!(
        asked.starts_with("GET /2024-01-05?base=EUR HTTP/1.1"),
        "{asked}"
    );
    assert!(
        asked.contains("Bearer a key for the exchange"),
        "the guest reads the connection: {asked}"
    );
    let path = format!(
        "/dags/rates/dagRuns/{}/taskInstances/convert/xcomEntries/return_value",
        escape(&run)
    );
    let value = host.get(&path).await;
    assert!(value["value"].to_string().contains("CHF"), "{value}");

    // What the connection told the try in confidence appears nowhere.
    let logs = host.cli(&["tasks", "logs", "rates", &run, "fetch"]);
    assert!(!String::from_utf8_lossy(&logs.stdout).contains("a key for the exchange"));
    assert!(!host.log().contains("a key for the exchange"));
}

#[tokio::test]
async fn neither_team_sees_the_others_connections_variables_files_or_xcoms() {
    let home = TempDir::new().unwrap();
    let host = Host::start_in(home.path(), &example_config(home.path()));
    // The other team's XCom must be there, so that not seeing it means something.
    let xcom = format!(
        "/dags/weather/dagRuns/{}/taskInstances/observe/xcomEntries/return_value",
        escape("scheduled__2012-01-15T00:00:00+00:00")
    );
    host.until("the XCom of the other team", async || {
        let (status, _) = host.call(reqwest::Method::GET, &xcom, None).await;
        (status == 200).then_some(())
    })
    .await;
    host.dag("border").await;
    let run = host.trigger("border", json!({"logical_date": null})).await;
    assert_eq!(
        host.ended("border", &run).await,
        "success",
        "{}",
        host.log()
    );
    let saw = async |task: &str| {
        let path = format!(
            "/dags/border/dagRuns/{}/taskInstances/{task}/xcomEntries/return_value",
            escape(&run)
        );
        host.get(&path).await["value"].to_string()
    };
    // Granted by name, but not this team's: as if they did not exist.
    for task in ["try_connection", "try_variable", "try_xcom", "try_file"] {
        let told = saw(task).await;
        assert!(told.contains("nothing"), "{task}: {told}");
    }
    // Neither requested nor granted: denied, with the text that would allow it.
    for task in ["try_unrequested_connection", "try_unrequested_variable"] {
        let told = saw(task).await;
        assert!(
            told.contains("denied") && told.contains("[[team.bundle.grant."),
            "{task}: {told}"
        );
    }
}
