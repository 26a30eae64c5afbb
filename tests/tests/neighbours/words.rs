//! Words that would command a terminal, and work without end.

use serde_json::json;

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

/// Tasks that begin anew at once, triggers that want the next poll at once, and tries that fail and are made again,
/// without end; the other team's runs end all the same, and so does the host.
#[tokio::test]
async fn a_bundle_whose_work_never_ends_leaves_the_other_team_its_turn() {
    let mut teams = Teams::start("127.0.0.1:0").await;
    for n in 0..16 {
        for dag in ["attack_task", "attack_trigger", "attack_retry"] {
            teams.run(dag, &format!("neighbour.again.{n}")).await;
        }
    }
    let again = async |dag: &str| {
        let run = "neighbour.again.0";
        let path = format!("/dags/{dag}/dagRuns/{run}/taskInstances");
        teams.host.get(&path).await["task_instances"][0].clone()
    };
    teams
        .host
        .until("many tries", async || {
            let tries = again("attack_retry").await["try_number"].as_u64();
            tries.is_some_and(|tries| tries > 20).then_some(())
        })
        .await;
    for _ in 0..20 {
        teams.neighbour_runs().await;
    }
    teams.neighbour_is_untouched().await;
    for dag in ["attack_task", "attack_trigger", "attack_retry"] {
        let state = &again(dag).await["state"];
        assert!(
            *state != json!("success") && *state != json!("failed"),
            "{dag}: {state}"
        );
    }
    teams.host.signal(rustix::process::Signal::TERM);
    assert_eq!(teams.host.wait(), Some(0));
}
