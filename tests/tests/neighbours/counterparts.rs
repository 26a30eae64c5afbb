//! What the code of one team was able to do to another in Airflow 3.3.2 with its multi-team mode, on one host: each of
//! it is tried here by a bundle of one team, in every phase that can express it, against a real host that serves
//! another team beside it. Each fails, and the other team's bundle, settings, XComs and logs stay as they were, and
//! its runs go on meanwhile.

use std::fs;

use serde_json::json;

use crate::teams::{LISTEN, Phase, Teams};

/// The bundle, the logs, the database and its URL, the keys, and the environments and memories of processes.
#[tokio::test]
async fn files_settings_and_keys_of_others_are_found_under_no_name_in_any_phase() {
    let teams = Teams::start("127.0.0.1:0").await;
    let told = ["env 0", "told where", "NotFound"];
    teams.only_says("neighbour.files", &told).await;
    let told = [
        "denied AL-0411",
        "denied AL-0412",
        "denied AL-0413",
        "denied AL-0526",
        "invalid AL-0416",
    ];
    teams.only_says("neighbour.names", &told).await;
    teams.audit_says("AL-0412", "connection `bank`").await;
    teams.audit_says("AL-0411", "variable `bank`").await;
}

/// An administrator's token, and a task's.
#[tokio::test]
async fn no_token_that_is_made_up_opens_the_api_from_any_phase() {
    let mut teams = Teams::start(LISTEN).await;
    // The server answers, and lets nobody in.
    let told = [
        "401",
        "404",
        "denied",
        "ErrorCode::HttpRequestUriInvalid",
        "ErrorCode::DestinationIpProhibited",
    ];
    teams.only_says("neighbour.api", &told).await;
    teams.audit_says("AL-0414", "127.0.0.1").await;
    // Among what was counted and told at the end: a name that is granted and leads to this machine, which the phases
    // that may call anything tried; and a server in a spelling that is none, which all did.
    let rows = teams.ended_with();
    let mut denied = rows
        .iter()
        .filter(|row| row["action"] == "capability.denied");
    let counted = denied.next_back().unwrap()["detail"]["items"]
        .as_array()
        .unwrap();
    for (code, wanted, count) in [
        ("AL-0421", "GET http://localhost/", 3),
        ("AL-0415", "`2130706433` cannot be called", 5),
    ] {
        let is_it = |one: &&serde_json::Value| {
            one["code"] == code && one["item"].as_str().unwrap().starts_with(wanted)
        };
        let told = counted.iter().find(is_it);
        let told = told.unwrap_or_else(|| panic!("{code} {wanted}: {counted:?}"));
        assert!(told["count"].as_u64() >= Some(count), "{told}");
    }
}

/// By the ordinary interface: pulling XComs, waiting for runs, telling of assets.
#[tokio::test]
async fn another_teams_xcoms_and_runs_are_neither_read_nor_heard_of_nor_set_off() {
    let teams = Teams::start("127.0.0.1:0").await;
    let told = ["nothing", "denied AL-0518", "invalid AL-0303", "invalid"];
    teams.only_says("neighbour.xcom", &told).await;
    for what in ["run", "asset", "task"] {
        let attack = format!("neighbour.hear_{what}");
        let (told, ()) = tokio::join!(teams.tries(Phase::Task, &attack), teams.neighbour_runs());
        assert_eq!(told, "\"timed out\"", "{attack}");
    }
    // A trigger of its own that listens to all three.
    let attack = "neighbour.hear";
    let (told, ()) = tokio::join!(teams.tries(Phase::Trigger, attack), teams.neighbour_runs());
    assert_eq!(told, "\"timed out\"");
    teams.tries(Phase::Task, "neighbour.run").await;
    let events = teams.host.get("/assets/events?limit=100").await;
    let of_beta = json!("attack_task");
    assert_eq!(
        events["asset_events"][0]["source_dag_id"], of_beta,
        "{events}"
    );
    // A run of the other team's that was made later has ended.
    teams.neighbour_runs().await;
    teams.neighbour_is_untouched().await;
}

#[tokio::test]
async fn a_dag_of_another_team_is_not_taken_over() {
    let teams = Teams::start("127.0.0.1:0").await;
    let (told, ()) = tokio::join!(teams.tries(Phase::Parse, "hijack"), teams.neighbour_runs());
    assert!(
        told.contains("AL-0333") && told.contains("victim"),
        "{told}"
    );
    assert!(!told.contains("alpha"), "whose it is, is not said: {told}");
    teams.neighbour_runs().await;
    teams.neighbour_is_untouched().await;
}

/// Beside each of them the other team runs, and is parsed.
#[tokio::test]
async fn four_gibibytes_and_endless_loops_end_in_every_phase() {
    let teams = Teams::start("127.0.0.1:0").await;
    let limit = |phase: Phase| {
        let option = format!("{}_cpu_time", format!("{phase:?}").to_lowercase());
        ["AL-0501".to_owned(), option]
    };
    teams.ends("cpu.loop", limit).await;
    let limit = |_| ["AL-0503", "memory_per_instance"].map(str::to_owned);
    teams.ends("memory.huge", limit).await;
}

#[tokio::test]
async fn nothing_is_left_behind_and_nobody_else_is_killed_from_any_phase() {
    let teams = Teams::start("127.0.0.1:0").await;
    teams.only_says("neighbour.daemon", &["Unsupported"]).await;
    let trap = |phase| {
        let code = match phase {
            Phase::Parse => "AL-0520",
            Phase::Timetable => "AL-0522",
            _ => "AL-0514",
        };
        [code, "unreachable"].map(str::to_owned)
    };
    teams.ends("neighbour.kill", trap).await;
    let exit = |_| ["ended its instance", "exit status 0"].map(str::to_owned);
    teams.ends("neighbour.exit", exit).await;
    for thread in fs::read_dir(format!("/proc/{}/task", teams.host.pid())).unwrap() {
        let children = fs::read_to_string(thread.unwrap().path().join("children"));
        // A kernel may be built without this list.
        assert_eq!(children.unwrap_or_default(), "");
    }
}
