//! What a guest reaches through its capabilities: what its grant names, and a typed no for all else.

use std::sync::atomic::Ordering::Relaxed;

use airlock_model::{
    connection::Connection,
    id::ConnectionId,
    log::{Level, Source},
    mask::Sensitive,
    outcome::Outcome,
};

use airlock_sandbox::CAPABILITIES;

use crate::{
    guests::guest,
    stage::{Bundle, Stage, failed, grant, request, small, usual},
};

fn two_teams() -> (Stage, Bundle, Bundle) {
    let stage = Stage::new();
    let one = stage.hostile(&stage.add_team("one", small()));
    let other = stage.hostile(&stage.add_team("other", small()));
    (stage, one, other)
}

#[tokio::test]
async fn a_granted_variable_is_its_own_teams_and_no_other() {
    let (stage, one, other) = two_teams();
    stage.world.set_variable("one", "granted.key", "of one");
    assert_eq!(
        stage.value(&one, "variable", &["\"granted.key\""]).await,
        "\"Some(\\\"***\\\")\""
    );
    assert_eq!(
        stage.value(&other, "variable", &["\"granted.key\""]).await,
        "\"None\""
    );
}

#[tokio::test]
async fn a_denial_is_the_typed_error_and_a_log_line_with_the_text_to_paste() {
    let (stage, one, _) = two_teams();
    stage.world.set_variable("one", "secret", "hidden");
    for key in ["\"secret\"", "\"absent\""] {
        assert_eq!(stage.value(&one, "variable", &[key]).await, "\"denied\"");
    }
    assert_eq!(
        stage.value(&one, "connection", &["\"bank\""]).await,
        "\"denied\""
    );
    assert_eq!(
        stage.value(&one, "directory", &["\"etc\""]).await,
        "\"denied\""
    );
    assert_eq!(
        stage.value(&one, "directory", &["\"/in/\""]).await,
        "\"\\\"/in\\\"\""
    );
    assert_eq!(
        stage.value(&one, "directory", &["\"../in\""]).await,
        "\"invalid\""
    );
    let lines = stage.world.lines.lock().unwrap();
    let (_, line) = lines
        .iter()
        .find(|(_, line)| line.message.contains("`bank`"))
        .unwrap();
    assert_eq!((line.source, line.level), (Source::Airlock, Level::Warn));
    for part in [
        "AL-0412",
        "task `task` of DAG `dag`",
        "[[request.connection]]",
        "[[team.bundle.grant.connection]]",
    ] {
        assert!(
            line.message.contains(part),
            "{part} is not in {}",
            line.message
        );
    }
    let metrics = stage.metrics(&one.team);
    let counted = CAPABILITIES.iter().zip(&metrics.denials);
    let counted: Vec<_> = counted
        .map(|(name, count)| (*name, count.load(Relaxed)))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(
        counted,
        [("variable", 2), ("connection", 1), ("directory", 2)]
    );
    let denied = stage.world.denied.lock().unwrap();
    let told: Vec<_> = (denied.iter())
        .map(|denied| (denied.code, denied.item.as_str(), denied.phase))
        .collect();
    assert_eq!(
        told,
        [
            ("AL-0411", "variable `secret`", "task"),
            ("AL-0411", "variable `absent`", "task"),
            ("AL-0412", "connection `bank`, read", "task"),
            ("AL-0413", "directory `etc`", "task"),
            ("AL-0416", "directory `../in`", "task"),
        ]
    );
    assert_eq!(denied[0].team, one.team);
}

#[tokio::test]
async fn what_was_revealed_is_masked_in_the_log_the_xcoms_and_the_failure() {
    let (stage, one, _) = two_teams();
    let id = ConnectionId::new("granted").unwrap();
    let connection = Connection {
        id,
        conn_type: "http".into(),
        description: None,
        host: None,
        port: None,
        login: None,
        password: Some(Sensitive::new("correct horse")),
        schema: None,
        extra: Some(Sensitive::new(r#"{"token": "battery staple"}"#)),
    };
    let name = ("one".to_owned(), "granted".to_owned());
    stage
        .world
        .connections
        .lock()
        .unwrap()
        .insert(name, connection);
    let report = stage
        .run(&one, "leak", &["\"correct horse\"", "\"battery staple\""])
        .await;
    let failure = failed(report);
    let shown = format!("{failure:?} {:?}", stage.world.messages());
    assert!(
        !shown.contains("correct horse") && !shown.contains("battery staple"),
        "{shown}"
    );
    assert!(shown.contains("***"));
    let xcoms = stage
        .run(&one, "leak_by_xcom", &["\"correct horse\""])
        .await;
    assert_eq!(
        xcoms,
        Outcome::success(vec![
            ("key".into(), "\"***\"".into()),
            ("return_value".into(), "\"the ***\"".into())
        ])
    );
}

#[tokio::test]
async fn a_store_that_cannot_answer_is_unavailable_and_its_reason_stays_with_the_host() {
    let (stage, one, _) = two_teams();
    assert_eq!(
        stage.value(&one, "variable", &["\"broken\""]).await,
        "\"unavailable\""
    );
    let messages = stage.world.messages();
    assert!(
        messages.iter().any(|message| message.contains("AL-0603")),
        "{messages:?}"
    );
}

#[tokio::test]
async fn xcoms_are_pulled_from_the_own_run_and_the_own_team_only() {
    let (stage, one, other) = two_teams();
    let path = "dag/run/before/-1/return_value".to_owned();
    let elsewhere = "elsewhere/run/before/-1/return_value".to_owned();
    for path in [path, elsewhere] {
        stage
            .world
            .xcoms
            .lock()
            .unwrap()
            .insert(("one".into(), path), "42".into());
    }
    for place in ["\"\"", "\"elsewhere\""] {
        assert_eq!(
            stage.value(&one, "pull", &[place]).await,
            "\"Some(\\\"42\\\")\""
        );
        assert_eq!(stage.value(&other, "pull", &[place]).await, "\"None\"");
    }
    assert_eq!(
        stage.value(&one, "pull", &["\"no/id\""]).await,
        "\"invalid\""
    );
    assert_eq!(
        stage.value(&one, "push", &["not json"]).await,
        "\"invalid\""
    );
    let pushed = stage.run(&one, "push", &["[1]"]).await;
    let Outcome::Success { xcoms, .. } = pushed else {
        panic!("{pushed:?}")
    };
    assert_eq!(xcoms.first().unwrap(), &("key".to_owned(), "[1]".into()));
}

#[tokio::test]
async fn what_is_narrowed_to_a_dag_or_task_is_denied_to_the_others() {
    let stage = Stage::new();
    let team = stage.add_team("one", small());
    let (request, mut all) = usual(stage.folder());
    let other = "[[variable]]\nkey = \"granted.*\"\ntasks = [\"another\"]\n[[directory]]\npath = \"in\"\nhost = \"/nowhere\"\ntasks = [\"another\"]";
    let other = grant(other);
    (all.variable, all.directory) = (other.variable, other.directory);
    let bundle = stage
        .load(&team, guest("hostile_tasks"), &request, &all)
        .unwrap();
    let variable = stage.value(&bundle, "variable", &["\"granted.key\""]).await;
    assert_eq!(variable, "\"denied\"");
    let read = stage.value(&bundle, "read", &["\"in/a.txt\""]).await;
    assert_ne!(read, "\"a granted file\"");
}

#[tokio::test]
async fn a_granted_url_is_called_and_any_other_is_denied_with_its_reason_in_the_log() {
    let stage = Stage::new();
    let team = stage.add_team("one", small());
    let wanted = request("[[request.http]]\nurl = \"https://rates.example/*\"");
    let grant = grant("[[http]]\nurl = \"https://rates.example/*\"");
    let bundle = stage
        .load(&team, guest("hostile_http"), &wanted, &grant)
        .unwrap();
    let value = stage
        .value(&bundle, "https", &["\"rates.example\"", "\"/v1/latest\""])
        .await;
    assert_eq!(value, "\"200 {'rate':1.5}\"");
    for (scheme, server, path) in [
        ("https", "evil.example", "/"),
        ("http", "rates.example", "/v1"),
        ("https", "rates.example:8443", "/v1"),
    ] {
        let (server, path) = (format!("\"{server}\""), format!("\"{path}\""));
        let value = stage.value(&bundle, scheme, &[&server, &path]).await;
        assert_eq!(value, "\"HttpRequestDenied\"");
    }
    assert_eq!(
        *stage.world.sent.lock().unwrap(),
        ["GET https://rates.example/v1/latest"]
    );
    let messages = stage.world.messages();
    assert!(
        messages
            .iter()
            .any(|m| m.contains("AL-0414") && m.contains("evil.example")),
        "{messages:?}"
    );
}

#[tokio::test]
async fn a_request_is_sent_by_the_connection_that_it_names_if_that_may_be_used() {
    let stage = Stage::new();
    let team = stage.add_team("one", small());
    let http = "[[http]]\nurl = \"https://rates.example/*\"\n";
    let connections =
        "[[connection]]\nid = \"rates\"\n[[connection]]\nid = \"other\"\ntasks = [\"no\"]\n";
    let held = grant(&format!("{http}{connections}"));
    let asks = format!("{http}[[connection]]\nid = \"rates\"\n[[connection]]\nid = \"other\"\n");
    let asks = request(&asks.replace("[[", "[[request."));
    let bundle = stage.load(&team, guest("hostile_http"), &asks, &held);
    let bundle = bundle.unwrap();
    let call = async |headers: &[&str]| {
        let mut arguments = vec!["\"rates.example\"", "\"/v1\""];
        arguments.extend(headers);
        stage.value(&bundle, "https", &arguments).await
    };
    let ours = "\"airlock-connection: rates\"";
    assert_eq!(call(&[ours]).await, "\"200 {'rate':1.5}\"");
    assert_eq!(
        call(&["\"Airlock-Connection: rates\""]).await,
        "\"200 {'rate':1.5}\""
    );
    assert_eq!(call(&[]).await, "\"200 {'rate':1.5}\"");
    for denied in ["other", "theirs", "../rates", ""] {
        let header = format!("\"airlock-connection: {denied}\"");
        assert_eq!(call(&[&header]).await, "\"HttpRequestDenied\"", "{denied}");
    }
    assert!(
        call(&[ours, "\"airlock-connection: other\""])
            .await
            .contains("HttpProtocolError")
    );
    let sent = stage.world.sent.lock().unwrap().clone();
    let v1 = "GET https://rates.example/v1";
    assert_eq!(
        sent,
        [
            format!("{v1} as rates"),
            format!("{v1} as rates"),
            v1.to_owned()
        ]
    );
    let denied = stage.world.denied.lock().unwrap();
    let told: Vec<(&str, &str)> = denied.iter().map(|one| (one.code, &*one.item)).collect();
    assert_eq!(
        told,
        [
            ("AL-0412", "connection `other`, use"),
            ("AL-0412", "connection `theirs`, use"),
            ("AL-0412", "connection `../rates`, use"),
            ("AL-0416", "connection ``, use"),
        ]
    );
}

#[tokio::test]
async fn a_new_grant_counts_for_the_next_call() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("one", small()));
    let key = ["\"granted.key\""];
    assert_eq!(stage.value(&bundle, "variable", &key).await, "\"None\"");
    let (request, mut less) = usual(stage.folder());
    less.variable =
        grant("[[variable]]\nkey = \"granted.*\"\nphases = [\"task\"]\ndags = [\"another\"]")
            .variable;
    stage
        .load(&bundle.team, guest("hostile_tasks"), &request, &less)
        .unwrap();
    assert_eq!(stage.value(&bundle, "variable", &key).await, "\"denied\"");
}
