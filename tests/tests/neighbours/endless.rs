//! Work without end, and work that would become more than anybody can hold.

use reqwest::Method;
use serde_json::{Value, json};

use crate::teams::{Phase, Teams};

/// What goes on without end: tasks that begin anew at once, triggers that want the next poll at once, tries that fail
/// and are made again, and waits that are over at once.
const ENDLESS: [(&str, &str); 4] = [
    ("attack_task", "neighbour.again"),
    ("attack_trigger", "neighbour.again"),
    ("attack_retry", "neighbour.again"),
    ("attack_task", "neighbour.defer"),
];

/// The first task instance of a run.
async fn first(teams: &Teams, dag: &str, run: &str) -> Value {
    let path = format!("/dags/{dag}/dagRuns/{run}/taskInstances");
    teams.host.get(&path).await["task_instances"][0].clone()
}

/// How many calls into instances of a team have ended, however they did.
async fn calls(teams: &Teams, team: &str) -> u64 {
    let metrics = teams.host.metrics().await;
    let start = format!("airlock_calls_total{{team=\"{team}\"");
    let own = metrics.lines().filter(|line| line.starts_with(&start));
    own.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

/// The other team's runs end all the same, what goes on without end ends when a person says so, and the host ends when
/// it is told to.
#[tokio::test]
async fn a_bundle_whose_work_never_ends_leaves_the_other_team_its_turn() {
    let mut teams = Teams::start("127.0.0.1:0").await;
    for n in 0..16 {
        for (dag, attack) in ENDLESS {
            teams.run(dag, &format!("{attack}.{n}")).await;
        }
    }
    teams
        .host
        .until("many tries", async || {
            let retried = first(&teams, "attack_retry", "neighbour.again.0").await;
            let tries = retried["try_number"].as_u64();
            tries.is_some_and(|tries| tries > 20).then_some(())
        })
        .await;
    for _ in 0..20 {
        teams.neighbour_runs().await;
    }
    teams.neighbour_is_untouched().await;
    for (dag, attack) in ENDLESS {
        let state = &first(&teams, dag, &format!("{attack}.0")).await["state"];
        assert!(
            *state != json!("success") && *state != json!("failed"),
            "{dag} {attack}: {state}"
        );
    }

    // All but one of each are ended by hand, and do nothing more.
    for n in 1..16 {
        for (dag, attack) in ENDLESS {
            let path = format!("/dags/{dag}/dagRuns/{attack}.{n}");
            let change = Some(json!({"state": "failed"}));
            let (status, told) = teams.host.call(Method::PATCH, &path, change).await;
            assert_eq!(status, 200, "{told}");
            let state = teams.host.ended(dag, &format!("{attack}.{n}")).await;
            assert_eq!(state, "failed", "{dag} {attack}");
        }
    }
    let ended = first(&teams, "attack_retry", "neighbour.again.1").await;
    let before = calls(&teams, "beta").await;
    teams
        .host
        .until("more work of what was not ended", async || {
            (calls(&teams, "beta").await > before + 50).then_some(())
        })
        .await;
    let after = first(&teams, "attack_retry", "neighbour.again.1").await;
    assert_eq!(after, ended);
    let rows = teams.ended_with();
    assert_eq!(rows.last().unwrap()["action"], "host.stop");
}

/// Mapping over five thousand elements, over a product of a thousand million, and over what is mapped itself: each is
/// stopped before it is made, and says by what.
#[tokio::test]
async fn what_would_map_into_more_than_anybody_can_hold_is_stopped_before_it_is_made() {
    let teams = Teams::start("127.0.0.1:0").await;
    for (dag, task, says, instances) in [
        ("bomb_list", "gives", "AL-0718", 2),
        ("bomb_product", "each", "AL-0716", 2),
        ("bomb_mapped", "again", "AL-0716", 402),
    ] {
        let run = teams.run(dag, "bomb").await;
        let (state, ()) = tokio::join!(teams.host.ended(dag, &run), teams.neighbour_runs());
        assert_eq!(state, "failed", "{dag}");
        let path = format!("/dags/{dag}/dagRuns/{run}/taskInstances");
        let all = teams.host.get(&format!("{path}?limit=1")).await;
        assert_eq!(all["total_entries"], instances, "{dag}");
        let stopped = teams.host.get(&format!("{path}/{task}")).await;
        assert_eq!(stopped["state"], "failed", "{stopped}");
        assert!(stopped.to_string().contains(says), "{dag}: {stopped}");
    }
    // One that says it when it is parsed is not taken in.
    let (told, ()) = tokio::join!(teams.tries(Phase::Parse, "bomb"), teams.neighbour_runs());
    assert!(told.contains("AL-0346"), "{told}");
    teams.neighbour_is_untouched().await;
}
