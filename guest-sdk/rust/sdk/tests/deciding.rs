//! Tasks that decide and tasks that wait, run as the host runs them.

#![expect(clippy::panic, reason = "a test that gets another outcome has failed")]

use std::time::Duration;

use airlock_sdk::{
    definition::TriggerRule,
    prelude::*,
    testing::{self, Downstream, Outcome},
};
use jiff::{SignedDuration, Timestamp};

#[task(branch)]
fn choose(size: u32) -> Result<Branch> {
    Ok(match size {
        0 => Branch::nothing(),
        1..10 => Branch::follow([small::ID]),
        1000 => return Err(skip("too large to say")),
        _ => Branch::follow([large::ID, "group"]),
    })
}
#[task(branch)]
fn by_id(small: bool) -> Option<&'static str> {
    small.then_some("small")
}
#[task]
fn small() {}
#[task(task_id = "large.one")]
fn large() {}
#[task(short_circuit)]
fn goes_on(rows: u64) -> bool {
    rows > 0
}
#[task(short_circuit, ignore_downstream_trigger_rules = false)]
fn found(name: String) -> Option<String> {
    Some(name).filter(|name| !name.is_empty())
}

fn decided(outcome: Outcome) -> (Option<String>, Downstream) {
    match outcome {
        Outcome::Success { value, downstream } => (value, downstream),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_branch_follows_the_ids_that_it_returns() {
    let ctx = Context::builder().build();
    let follow = |size: u32| decided(testing::run::<choose>(&ctx, (size,)).unwrap());
    let ids = |ids: &[&str]| Downstream::Follow(ids.iter().map(|&id| id.to_owned()).collect());
    assert_eq!(follow(0), (Some("[]".to_owned()), ids(&[])));
    assert_eq!(follow(5), (Some("[\"small\"]".to_owned()), ids(&["small"])));
    assert_eq!(follow(50).1, ids(&["large.one", "group"]));
    assert_eq!(
        testing::run::<choose>(&ctx, (1000,)).unwrap(),
        Outcome::Skipped("too large to say".to_owned())
    );
    let by_id = |small: bool| decided(testing::run::<by_id>(&ctx, (small,)).unwrap());
    assert_eq!(by_id(true), (Some("\"small\"".to_owned()), ids(&["small"])));
    assert_eq!(by_id(false), (None, ids(&[])));
}

#[test]
fn a_short_circuit_skips_all_that_comes_after_or_only_what_comes_directly() {
    let ctx = Context::builder().build();
    let goes_on = |rows: u64| decided(testing::run::<goes_on>(&ctx, (rows,)).unwrap());
    assert_eq!(goes_on(1), (Some("true".to_owned()), Downstream::Free));
    assert_eq!(
        goes_on(0),
        (Some("false".to_owned()), Downstream::Skip { all: true })
    );
    let found = |name: &str| decided(testing::run::<found>(&ctx, (name,)).unwrap());
    assert_eq!(found("x"), (Some("\"x\"".to_owned()), Downstream::Free));
    assert_eq!(found(""), (None, Downstream::Skip { all: false }));
}

#[dag(schedule = "@daily")]
fn only_once() {
    small().after(latest_only());
}

#[test]
fn latest_only_lets_the_latest_run_go_on_and_those_by_hand() {
    let dag = testing::parse::<only_once>().unwrap();
    let task = dag.task("latest_only").unwrap();
    assert_eq!(task.spec.trigger_rule, TriggerRule::AllSuccess);
    let outcome = |run_type: &str, latest: bool| {
        let ctx = Context::builder()
            .run("r", run_type)
            .is_latest(latest)
            .build();
        decided((task.spec.run)(&ctx, Vec::new()).unwrap()).1
    };
    assert_eq!(outcome("scheduled", true), Downstream::Free);
    assert_eq!(outcome("scheduled", false), Downstream::Skip { all: false });
    assert_eq!(outcome("manual", false), Downstream::Free);
}

#[task(sensor, mode = "reschedule", poke_interval = "10s", timeout = "1h")]
fn arrived(there: bool) -> bool {
    there
}
#[task(sensor, mode = "reschedule", timeout = "1h", soft_fail)]
fn softly(there: String) -> Result<Poke<usize>> {
    match there.as_str() {
        "no" => Ok(Poke::NotYet),
        "never" => Err(fail("it is gone").context("looking")),
        "skip" => Err(skip("not today")),
        "error" => bail!("try again"),
        name => Ok(Poke::Done(name.len())),
    }
}
#[task(
    sensor,
    mode = "reschedule",
    poke_interval = "1m",
    exponential_backoff,
    max_wait = "10m"
)]
fn patient() -> bool {
    false
}
#[task(sensor, poke_interval = "1ms", timeout = "20ms")]
fn sleepless() -> Poke<()> {
    Poke::NotYet
}

#[dag]
fn waits() {
    let size = softly("file");
    report(size).after(arrived(true));
}
#[task]
fn report(size: usize) {
    info!("{size}");
}

fn started(before: SignedDuration) -> (Context, Timestamp) {
    let now = Timestamp::now();
    let ctx = Context::builder().first_started_at(now.checked_sub(before).unwrap_or(now));
    (ctx.build(), now)
}

#[test]
fn a_sensor_gives_its_slot_back_until_what_it_waits_for_is_there() {
    testing::parse::<waits>().unwrap();
    let (ctx, now) = started(SignedDuration::ZERO);
    let done = testing::run::<arrived>(&ctx, (true,)).unwrap();
    assert_eq!(decided(done), (None, Downstream::Free));
    let Outcome::Rescheduled(at) = testing::run::<arrived>(&ctx, (false,)).unwrap() else {
        panic!("it is not there")
    };
    let after = SignedDuration::from_secs(10);
    assert!(at.duration_since(now) >= after, "{at}");
    let file = testing::run::<softly>(&ctx, ("file",)).unwrap();
    assert_eq!(decided(file).0.as_deref(), Some("4"));
}

#[test]
fn a_sensor_whose_time_is_over_fails_for_good_or_softly() {
    let (ctx, _) = started(SignedDuration::from_hours(2));
    let failure = testing::run::<arrived>(&ctx, (false,)).unwrap_err();
    assert_eq!(failure.message, "what it waits for was not there within 1h");
    assert!(!failure.retry);
    let there = testing::run::<arrived>(&ctx, (true,)).unwrap();
    assert_eq!(
        decided(there).1,
        Downstream::Free,
        "a last look, whatever the time"
    );
    assert_eq!(
        testing::run::<softly>(&ctx, ("no",)).unwrap(),
        Outcome::Skipped("what it waits for was not there within 1h".to_owned())
    );
    assert_eq!(
        testing::run::<softly>(&ctx, ("never",)).unwrap(),
        Outcome::Skipped("looking: it is gone".to_owned())
    );
    let skipped = Outcome::Skipped("not today".to_owned());
    assert_eq!(testing::run::<softly>(&ctx, ("skip",)).unwrap(), skipped);
    let failure = testing::run::<softly>(&ctx, ("error",)).unwrap_err();
    assert!(
        failure.retry,
        "an ordinary error is one, and tried again: {failure:?}"
    );
}

#[test]
fn pauses_double_with_back_off_up_to_a_bound() {
    let pause = |since: i64| {
        let (ctx, _) = started(SignedDuration::from_secs(since));
        let Outcome::Rescheduled(at) = testing::run::<patient>(&ctx, ()).unwrap() else {
            panic!("it waits")
        };
        let pause = at.duration_since(Timestamp::now()).as_secs_f64();
        (pause / 60.0).round()
    };
    // After 0, 1, 3 and 7 minutes, which is when such pauses end.
    assert_eq!([0, 61, 181, 421].map(pause), [1.0, 2.0, 4.0, 8.0]);
    assert_eq!(pause(86_400), 10.0);
}

#[test]
fn a_sensor_in_the_mode_poke_looks_again_in_the_same_try() {
    let ctx = Context::builder().build();
    let failure = testing::run::<sleepless>(&ctx, ()).unwrap_err();
    assert!(failure.message.contains("within 20ms"), "{failure:?}");
    let waited = Timestamp::now().duration_since(ctx.first_started_at());
    assert!(Duration::try_from(waited).unwrap() > Duration::from_millis(20));
}
