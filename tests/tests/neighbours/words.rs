//! Words that would command a terminal, close a tag, or begin a line of their own.

use crate::teams::{EVERY, Phase, Teams};

/// What moves a terminal's cursor, turns text around or ends a line before its time.
fn commands(text: &str) -> Option<char> {
    let is_command = |c: &char| {
        let hidden = ('\u{202a}'..='\u{202e}').contains(c) || ('\u{2066}'..='\u{2069}').contains(c);
        hidden || (c.is_control() && *c != '\n')
    };
    text.chars().find(is_command)
}

#[tokio::test]
async fn what_a_bundle_says_commands_no_terminal_and_forges_no_line_in_any_phase() {
    let teams = Teams::start("127.0.0.1:0").await;
    for phase in EVERY {
        let (_, ()) = tokio::join!(
            teams.tries(phase, "escapes.everywhere"),
            teams.neighbour_runs()
        );
    }
    teams.tries(Phase::Parse, "error").await;
    let run = "escapes.everywhere";
    let of_run = format!("/dags/attack_task/dagRuns/{run}/taskInstances");
    let paths = [
        of_run.clone(),
        format!("{of_run}/task/logs/1"),
        format!("{of_run}/task/xcomEntries/return_value"),
        "/callbacks".to_owned(),
        "/audit".to_owned(),
    ];
    answers_are_data(&teams, &paths.each_ref().map(String::as_str)).await;
    let mut shown = vec![("the host's log", teams.host.log())];
    for (what, arguments) in [
        ("a log", &["tasks", "logs", "attack_task", run, "task"][..]),
        (
            "tasks",
            &["tasks", "states-for-dag-run", "attack_task", run],
        ),
        ("callbacks", &["callbacks", "list"]),
        ("DAGs", &["dags", "list"]),
        ("a DAG", &["dags", "show", "told_escapes_everywhere"]),
        ("import errors", &["dags", "list-import-errors"]),
        ("the audit", &["audit", "list"]),
    ] {
        let out = teams.host.cli(arguments);
        let said = [out.stdout, out.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        shown.push((what, said));
    }
    for (what, text) in &shown {
        assert_eq!(commands(text), None, "{what}: {text:?}");
        let forged = text
            .lines()
            .find(|line| line.starts_with("2026-01-01T00:00:00Z ERROR forged"));
        assert_eq!(forged, None, "{what}");
    }
    teams.neighbour_is_untouched().await;
}

/// What the API answers is data, and says so to whoever might take it for a page.
async fn answers_are_data(teams: &Teams, paths: &[&str]) {
    let client = reqwest::Client::new();
    for path in paths {
        let url = format!("http://{}/api/v2{path}", teams.host.address());
        let asked = client.get(url).bearer_auth(teams.host.token());
        let answer = asked.send().await.unwrap();
        let headers = answer.headers().clone();
        let kind = headers["content-type"].to_str().unwrap();
        assert!(kind.contains("json"), "{path}: {kind}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let text = answer.text().await.unwrap();
        let raw = text
            .chars()
            .find(|c| u32::from(*c) < 0x20 || *c == '\u{7f}');
        assert_eq!(raw, None, "{path}: {text:?}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }
}

#[tokio::test]
async fn names_and_docs_command_no_terminal_and_are_markup_on_no_page() {
    let teams = Teams::start("127.0.0.1:0").await;
    // Names that may hold no such characters keep their DAG out, and are said escaped.
    for (attack, code) in [
        ("names_asset", "AL-0350"),
        ("names_task", "AL-03"),
        ("names_dag", "AL-03"),
    ] {
        let (told, ()) = tokio::join!(teams.tries(Phase::Parse, attack), teams.neighbour_runs());
        assert!(told.contains(code), "{attack}: {told}");
    }
    let told = teams.tries(Phase::Parse, "names").await;
    assert!(told.contains("owned"), "{told}");
    // One that is kept out, so that there is an import error to be shown.
    teams.set("beta", "attack.name", "names_dag").await;
    let host = &teams.host;
    let kept_out = async || teams.import_error().await;
    host.until("an import error", kept_out).await;
    let paths = [
        "/dags",
        "/dags/told_names",
        "/dags/told_names/details",
        "/dags/told_names/tasks",
        "/assets",
        "/importErrors",
        "/bundles/hostile/review",
        "/audit",
        "/dags/<script>alert(1)<%2Fscript>",
    ];
    answers_are_data(&teams, &paths).await;
    let mut shown = vec![("the host's log".to_owned(), teams.host.log())];
    let file = "of-hostile/hostile_everywhere.wasm";
    for (arguments, part) in [
        (&["dags", "list", "--stale"][..], "owned"),
        (&["dags", "show", "told_names"], "drawkcab"),
        (&["tasks", "list", "told_names"], "work"),
        (&["assets", "list", "--unused"], "alert(1)"),
        (&["dags", "list-import-errors"], "drawkcab"),
        (&["grants", "show", "hostile"], "localhost"),
        (&["bundle", "inspect", file], "alert(1)"),
        (&["bundle", "inspect", file, "--html"], "alert(1)"),
    ] {
        let out = teams.host.cli(arguments);
        let said = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        assert!(said.contains(part), "{arguments:?}: {part} in {said:?}");
        shown.push((arguments.join(" "), said));
    }
    for (what, text) in &shown {
        assert_eq!(commands(text), None, "{what}: {text:?}");
        if what.ends_with("--html") {
            assert!(text.contains("&lt;script&gt;"), "{what}: {text}");
            for forbidden in ["<script", "<img", "onerror=\""] {
                assert!(!text.contains(forbidden), "{what}: {forbidden} in {text}");
            }
        }
    }
    teams.neighbour_is_untouched().await;
}
