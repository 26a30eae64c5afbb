//! Each rule against DAGs that keep it and DAGs that break it.

use airlock_model::dag::{DagSpec, Location};

use super::*;

fn task(id: &str) -> TaskSpec {
    TaskSpec {
        task_id: id.into(),
        entry: id.into(),
        ..TaskSpec::default()
    }
}

fn dag(change: impl FnOnce(&mut DagSpec)) -> Dag {
    let mut spec = DagSpec {
        dag_id: "payments_daily".into(),
        tasks: vec![task("a"), task("b")],
        ..DagSpec::default()
    };
    change(&mut spec);
    Dag::new(spec).unwrap()
}

fn minutes(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(60 * count))
}

fn pool(name: &str) -> PoolName {
    PoolName::new(name).unwrap()
}

#[test]
fn no_rule_refuses_nothing() {
    assert!(DagPolicy::default().violations(&dag(|_| {})).is_empty());
}

/// A rule, a DAG that keeps it, one that breaks it, and what is told then.
#[test]
fn a_dag_that_breaks_a_rule_hears_which_and_why() {
    type Change = fn(&mut DagSpec);
    let rules: [(DagPolicy, Change, Change, &str); 15] = [
        (
            DagPolicy {
                dag_id_prefix: Some("payments_".into()),
                ..DagPolicy::default()
            },
            |_| {},
            |dag| dag.dag_id = "daily".into(),
            "AL-0332: `daily` does not begin with `payments_`",
        ),
        (
            DagPolicy {
                dag_id_regex: IdPattern::new("payments_(daily|hourly)").ok(),
                ..DagPolicy::default()
            },
            |_| {},
            |dag| dag.dag_id = "payments_daily2".into(),
            "AL-0370: `payments_daily2` does not match `payments_(daily|hourly)`",
        ),
        (
            DagPolicy {
                required_tags: vec!["prod".into(), "pii".into()],
                ..DagPolicy::default()
            },
            |dag| dag.tags = vec!["pii".into(), "x".into(), "prod".into()],
            |dag| dag.tags = vec!["prod".into()],
            "AL-0371: it lacks `pii`, which the operator's required_tags demands, and has `prod`",
        ),
        (
            DagPolicy {
                required_owners: vec!["ann".into(), "bob".into()],
                ..DagPolicy::default()
            },
            |dag| dag.owners = vec!["eve".into(), "bob".into()],
            |dag| dag.owners = vec!["eve".into()],
            "AL-0372: its owners are `eve`, and the operator's required_owners demands at least one of `ann`, `bob`",
        ),
        (
            DagPolicy {
                required_owners: vec!["ann".into()],
                ..DagPolicy::default()
            },
            |dag| dag.owners = vec!["ann".into()],
            |_| {},
            "AL-0372: its owners are none",
        ),
        (
            DagPolicy {
                description_required: true,
                ..DagPolicy::default()
            },
            |dag| dag.description = Some("books".into()),
            |dag| dag.description = Some(" ".into()),
            "AL-0373",
        ),
        (
            DagPolicy {
                max_tasks: Some(2),
                ..DagPolicy::default()
            },
            |_| {},
            |dag| dag.tasks.push(task("c")),
            "AL-0374: it may have 3 tasks, and the operator's max_tasks allows at most 2",
        ),
        (
            DagPolicy {
                max_active_runs: Some(4),
                ..DagPolicy::default()
            },
            |dag| dag.max_active_runs = Some(4),
            |dag| dag.max_active_runs = Some(5),
            "AL-0375: it may have 5 runs at once",
        ),
        (
            DagPolicy {
                max_active_tasks: Some(4),
                ..DagPolicy::default()
            },
            |dag| dag.max_active_tasks = Some(1),
            |dag| dag.max_active_tasks = Some(5),
            "AL-0376: it may have 5 tasks at once in a run",
        ),
        (
            DagPolicy {
                max_dagrun_timeout: minutes(60),
                ..DagPolicy::default()
            },
            |dag| dag.dagrun_timeout = minutes(60),
            |dag| dag.dagrun_timeout = minutes(61),
            "AL-0377: its dagrun_timeout is 3660s, and the operator's max_dagrun_timeout demands one of at most 3600s",
        ),
        (
            DagPolicy {
                max_dagrun_timeout: minutes(60),
                ..DagPolicy::default()
            },
            |dag| dag.dagrun_timeout = minutes(1),
            |_| {},
            "AL-0377: its dagrun_timeout is none",
        ),
        (
            DagPolicy {
                max_execution_timeout: minutes(10),
                ..DagPolicy::default()
            },
            |dag| {
                dag.tasks
                    .iter_mut()
                    .for_each(|task| task.execution_timeout = minutes(10))
            },
            |dag| {
                dag.tasks[0].execution_timeout = minutes(11);
                dag.tasks[1].location = Some(Location {
                    file: "src/lib.rs".into(),
                    line: 7,
                });
            },
            "AL-0378: the operator's max_execution_timeout demands of every task an execution_timeout of at most 600s: task `a` has 660s, task `b` has none at src/lib.rs:7; set it (DAG `payments_daily`)",
        ),
        (
            DagPolicy {
                max_retries: Some(3),
                ..DagPolicy::default()
            },
            |dag| dag.tasks[0].retries = 3,
            |dag| dag.tasks[1].retries = 4,
            "AL-0379: the operator's max_retries allows a task at most 3 retries: task `b` has 4;",
        ),
        (
            DagPolicy {
                allowed_pools: Some(vec!["api".into(), "default_pool".into()]),
                ..DagPolicy::default()
            },
            |dag| dag.tasks[0].pool = Some("api".into()),
            |dag| dag.tasks[0].pool = Some("other".into()),
            "AL-0380: the operator's allowed_pools allows of the pools `api`, `default_pool`: task `a` names `other`;",
        ),
        (
            DagPolicy {
                catchup_forbidden: true,
                ..DagPolicy::default()
            },
            |_| {},
            |dag| {
                dag.start_date = Some("2026-01-01T00:00:00Z".parse().unwrap());
                dag.schedule = airlock_model::dag::Schedule::Once;
                dag.catchup = true;
            },
            "AL-0381",
        ),
    ];
    for (policy, keeps, breaks, told) in rules {
        assert_eq!(policy.violations(&dag(keeps)), [""; 0], "{told}");
        let [violation] = <[String; 1]>::try_from(policy.violations(&dag(breaks))).unwrap();
        assert!(violation.starts_with(told), "{violation}");
        assert!(violation.contains("(DAG `"), "{violation}");
    }
}

#[test]
fn all_broken_rules_are_told_at_once() {
    let policy = DagPolicy {
        dag_id_prefix: Some("x_".into()),
        required_tags: vec!["prod".into()],
        max_tasks: Some(1),
        max_execution_timeout: minutes(1),
        ..DagPolicy::default()
    };
    let found = policy.violations(&dag(|_| {}));
    let codes: Vec<_> = found.iter().map(|text| &text[..7]).collect();
    assert_eq!(codes, ["AL-0332", "AL-0371", "AL-0374", "AL-0378"]);
}

#[test]
fn a_rule_that_many_tasks_break_is_one_error_of_bounded_length() {
    let policy = DagPolicy {
        max_execution_timeout: minutes(1),
        ..DagPolicy::default()
    };
    let many = dag(|dag| dag.tasks = (0..500).map(|i| task(&format!("t{i}"))).collect());
    let [found] = <[String; 1]>::try_from(policy.violations(&many)).unwrap();
    assert_eq!(found.matches("has none").count(), MAX_NAMED);
    assert!(found.contains("and 480 more; set it"), "{found}");
}

#[test]
fn a_pattern_is_one_by_itself_and_matches_the_whole_id() {
    assert!(IdPattern::new("a)|(?:b").is_err());
    assert!(IdPattern::new("(").is_err());
    assert!(IdPattern::new("(a").is_err());
    let either = IdPattern::new("a|b").unwrap();
    assert!(either.whole.is_match("a") && !either.whole.is_match("ab"));
}

#[test]
fn a_task_that_could_never_run_is_told_with_its_pool() {
    let team = TeamName::new("payments").unwrap();
    let of = |scope: Scope, name: &str, slots| Pool {
        scope,
        name: pool(name),
        slots,
        description: None,
        include_deferred: false,
    };
    let other = Scope::Team(TeamName::new("other").unwrap());
    let pools = [
        of(Scope::Team(team.clone()), "api", 2),
        of(Scope::Global, "api", 8),
        of(Scope::Global, "shared", 3),
        of(Scope::Global, "endless", -1),
        of(other, "theirs", 9),
    ];
    for (name, slots, told) in [
        (None, 1, None),
        (Some("api"), 2, None),
        (
            Some("api"),
            3,
            Some("AL-0335: pool_slots is 3, but pool `api` has 2"),
        ),
        (Some("shared"), 3, None),
        (Some("endless"), 1000, None),
        (
            Some("theirs"),
            1,
            Some("AL-0334: team `payments` has no pool `theirs`"),
        ),
        (
            Some("nowhere"),
            1,
            Some("AL-0334: team `payments` has no pool `nowhere`"),
        ),
        (
            None,
            129,
            Some("AL-0335: pool_slots is 129, but pool `default_pool` has 128"),
        ),
    ] {
        let dag = dag(|dag| {
            dag.tasks[0].pool = name.map(str::to_owned);
            dag.tasks[0].pool_slots = slots;
        });
        let found = unrunnable(&dag, &team, &pools);
        assert_eq!(found.len(), usize::from(told.is_some()), "{name:?} {slots}");
        if let (Some(found), Some(told)) = (found.first(), told) {
            assert!(found.starts_with(told), "{found}");
            assert!(
                found.contains("(DAG `payments_daily`, task `a`)"),
                "{found}"
            );
        }
    }
}
