//! Parsing: what it gives, that it is pure, and what stops a hostile one.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use airlock_grant::{Grant, Request};
use airlock_model::{
    dag::{Dag, Mistake},
    outcome::Limit,
    port::ParseError,
};
use airlock_sandbox::TeamLimits;

use crate::{
    guests::guest,
    stage::{Bundle, Stage, request, small},
};

fn stage(name: &str) -> (Stage, Bundle, Bundle) {
    let stage = Stage::new();
    let team = stage.add_team("hostile", small());
    let bundle = stage.plain(&team, name);
    let other = stage.plain(&stage.add_team("other", small()), "noop");
    (stage, bundle, other)
}

/// Parses a hostile bundle, and then a harmless one of each team.
async fn refused(name: &str) -> ParseError {
    let (stage, bundle, other) = stage(name);
    let error = stage.parse(&bundle).await.unwrap_err();
    assert!(stage.parse(&other).await.is_ok());
    let own = stage.plain(&bundle.team, "noop");
    assert!(stage.parse(&own).await.is_ok());
    assert_eq!(stage.metrics(&bundle.team).memory.load(Relaxed), 0);
    error
}

fn assert_limit(error: &ParseError, wanted: Limit, parts: &[&str]) {
    let ParseError::Limit { limit, message } = error else {
        panic!("{error}")
    };
    assert_eq!(*limit, wanted, "{message}");
    for part in parts {
        assert!(message.contains(part), "{part} is not in {message}");
    }
}

#[tokio::test]
async fn a_bundle_tells_its_dags() {
    let (stage, _, noop) = stage("hostile_cycle");
    let parsed = stage.parse(&noop).await.unwrap();
    assert!(parsed.errors.is_empty());
    let wide = parsed
        .dags
        .into_iter()
        .find(|dag| dag.dag_id == "wide1000")
        .unwrap();
    assert_eq!(Dag::new(wide).unwrap().tasks().len(), 1000);
}

#[tokio::test]
async fn a_parse_that_never_ends_ends_with_its_cpu_time() {
    let error = refused("hostile_parse_loop").await;
    assert_limit(
        &error,
        Limit::CpuTime,
        &["AL-0501", "0.2 s", "`parse_cpu_time`"],
    );
}

#[tokio::test]
async fn a_parse_that_traps_says_why() {
    let error = refused("hostile_parse_trap").await;
    assert!(matches!(error, ParseError::Trap(_)), "{error}");
    assert!(error.to_string().contains("AL-0520"), "{error}");
}

#[tokio::test]
async fn a_million_tasks_do_not_cross_the_border() {
    let error = refused("hostile_million_tasks").await;
    // At 32 MiB of memory the guest cannot even hold them.
    assert_limit(&error, Limit::Memory, &["AL-0503"]);
    let stage = Stage::new();
    let limits = TeamLimits {
        memory_per_instance: 1 << 30,
        memory: 1 << 30,
        parse_cpu_time: Duration::from_secs(60),
        ..small()
    };
    let team = stage.add_team("a", limits);
    let error = stage
        .parse(&stage.plain(&team, "hostile_million_tasks"))
        .await
        .unwrap_err();
    assert_limit(
        &error,
        Limit::HostCall,
        &["AL-0507", "64 MiB", "`definition_bytes`"],
    );
    let limits = TeamLimits {
        definition_tasks: 100,
        ..small()
    };
    let team = stage.add_team("b", limits);
    let error = stage.parse(&stage.plain(&team, "noop")).await.unwrap_err();
    assert_limit(
        &error,
        Limit::Definition,
        &["AL-0510", "100", "`definition_tasks`"],
    );
}

#[tokio::test]
async fn while_parsing_time_stands_still_and_randomness_repeats() {
    let (stage, bundle, _) = stage("hostile_parse_clock");
    let first = stage.parse(&bundle).await.unwrap();
    let seen = first.dags[0].description.clone().unwrap();
    assert!(seen.starts_with("Ok(0ns) 0ns ["), "{seen}");
    assert!(seen.ends_with("true true"), "XComs are refused: {seen}");
    for _ in 0..3 {
        assert_eq!(stage.parse(&bundle).await.unwrap(), first);
    }
}

#[tokio::test]
async fn only_variables_granted_to_the_parse_phase_are_seen_while_parsing() {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    stage.world.set_variable("a", "for_parse", "eu");
    stage.world.set_variable("a", "for_task", "hidden");
    let wanted = request(
        "[[request.variable]]\nkey = \"for_parse\"\nphases = [\"parse\"]\n[[request.variable]]\nkey = \"for_task\"\n",
    );
    let grant = toml::from_str::<Grant>(
        "[[variable]]\nkey = \"for_parse\"\n[[variable]]\nkey = \"for_task\"",
    )
    .unwrap();
    let bundle = stage
        .load(&team, guest("hostile_parse_variables"), &wanted, &grant)
        .unwrap();
    let seen = stage.parse(&bundle).await.unwrap().dags[0]
        .description
        .clone()
        .unwrap();
    assert_eq!(seen, "Ok(Some(\"eu\")) denied");
}

#[tokio::test]
async fn definitions_pass_the_sandbox_as_they_are_and_the_model_judges_them() {
    let (stage, bundle, _) = stage("hostile_cycle");
    let circle = stage.parse(&bundle).await.unwrap().dags.remove(0);
    let mistakes = Dag::new(circle).unwrap_err();
    assert!(
        matches!(mistakes[0].mistake, Mistake::Cycle(_)),
        "{mistakes:?}"
    );
    let duplicates = stage.plain(&bundle.team, "hostile_duplicates");
    let dags = stage.parse(&duplicates).await.unwrap().dags;
    let ids: Vec<&str> = dags.iter().map(|dag| dag.dag_id.as_str()).collect();
    assert_eq!(ids, ["twice", "same", "same"]);
    let mistakes = Dag::new(dags.into_iter().next().unwrap()).unwrap_err();
    assert_eq!(mistakes[0].mistake, Mistake::DuplicateTask);
}

#[tokio::test]
async fn a_bundle_without_dags_has_nothing_to_parse() {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    let bundle = stage
        .load(
            &team,
            crate::synthetic::growing_table(),
            &Request::default(),
            &Grant::default(),
        )
        .unwrap();
    let error = stage.parse(&bundle).await.unwrap_err();
    assert!(
        matches!(&error, ParseError::Load(text) if text.contains("AL-0536")),
        "{error}"
    );
}
