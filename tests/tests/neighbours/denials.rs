//! What the audit of a whole host keeps of a bundle that asks for what it may not have, again and again.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::teams::{Phase, Teams};

#[tokio::test]
async fn a_flood_of_denials_becomes_few_rows_of_that_bundle_that_count_all_of_it_also_at_the_end() {
    let mut teams = Teams::start("127.0.0.1:0").await;
    let flood = teams.tries(Phase::Task, "floods.denials");
    let (told, ()) = tokio::join!(flood, teams.neighbour_runs());
    assert_eq!(told, "\"10000 denied\"");
    // The first guesses are told at once, each for itself; the rest is counted.
    let list = ["audit", "list", "--action", "capability.denied"];
    let rows = teams
        .host
        .until("the first rows", async || {
            let rows = teams.host.cli_json(&list);
            let rows = rows.as_array()?.clone();
            (rows.len() >= 10).then_some(rows)
        })
        .await;
    assert_eq!(rows.len(), 10, "{rows:?}");
    let metrics = teams.host.metrics().await;
    for (team, capability, count) in [("beta", "variable", 10_000), ("alpha", "variable", 0)] {
        let line =
            format!("airlock_denials_total{{team=\"{team}\",capability=\"{capability}\"}} {count}");
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    let all = teams.ended_with();
    assert_eq!(all.last().unwrap()["action"], "host.stop");
    let denied: Vec<&Value> = all
        .iter()
        .filter(|row| row["action"] == "capability.denied")
        .collect();
    assert_eq!(denied.len(), 11, "{denied:?}");
    assert_eq!(denied[10]["subject"], "9990 further denials");
    let (mut count, mut subjects) = (0, BTreeSet::new());
    for row in &denied {
        let whose = (&row["team_name"], &row["bundle_name"]);
        assert_eq!(whose, (&"beta".into(), &"hostile".into()), "{row}");
        count += row["detail"]["count"].as_u64().unwrap();
        subjects.insert(row["subject"].as_str().unwrap());
    }
    assert_eq!(count, 10_000);
    assert!(
        (0..10).all(|guess| subjects.contains(&*format!("variable `guess{guess}`"))),
        "{subjects:?}"
    );
    assert_eq!(denied[0]["detail"]["dag_id"], "attack_task");
    let verified = teams.host.cli(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}
