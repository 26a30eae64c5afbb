//! Triggers, deferral, deferred sensors and watchers, run as the host runs them.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that gets another outcome has failed"
)]

use std::{cell::Cell, time::Duration};

use airlock_sdk::{
    Deferral,
    definition::Awaited,
    prelude::*,
    testing::{self, Downstream, Failure, Outcome, Polling},
    wait::{FileChange, HostEvent, RunRef, RunState, TaskState},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

thread_local! {
    /// How often the world outside was looked at on this thread.
    static LOOKS: Cell<u32> = const { Cell::new(0) };
}

fn looks() -> u32 {
    LOOKS.replace(LOOKS.get() + 1) + 1
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct JobDone {
    job: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct JobResult {
    rows: u64,
}

/// Done when it was asked three times; its state counts.
#[trigger]
impl Trigger for JobDone {
    type State = u32;
    type Event = JobResult;

    fn poll(&self, asked: &mut u32, cx: &TriggerContext) -> Result<Polled<JobResult>> {
        ensure!(self.job != "lost", "job {} is not known", self.job);
        assert_eq!(u64::from(*asked), cx.polls());
        *asked += 1;
        Ok(match *asked {
            3 => Polled::fired(JobResult { rows: 7 }),
            1 => Polled::wait(seconds(30)),
            _ => Polled::until(cx.created_at().checked_add(SignedDuration::from_mins(5))?)
                .or_on(wait::file("inbox", "*.csv")),
        })
    }
}

#[trigger(every = "10s", exponential_backoff, max_wait = "1m", timeout = "5m")]
fn ready(after: u32, name: &str) -> Result<Poke<String>> {
    Ok(match looks() > after {
        true => Poke::Done(name.to_owned()),
        false => Poke::NotYet,
    })
}

#[trigger]
fn settled(cx: &TriggerContext) -> bool {
    cx.waited() >= minutes(3)
}

#[task(retries = 1)]
fn export(id: u32) -> Result<Deferred<String>> {
    if id == 0 {
        return Ok(Deferred::done("nothing to export".to_owned()));
    }
    let job = format!("job-{id}");
    defer(JobDone { job })
        .timeout(hours(2))
        .resume(collect(id, "first"))
}

/// Where it goes on; job 9 has a second part.
#[resume]
fn collect(
    ctx: &Context,
    done: Waited<JobResult>,
    id: u32,
    part: &str,
) -> Result<Deferred<String>> {
    let rows = done?.rows;
    if id == 9 && part == "first" {
        return defer(wait::after(minutes(1))).resume(finish());
    }
    Ok(Deferred::done(format!(
        "{} {id} {part}: {rows}",
        ctx.task_id()
    )))
}

#[resume]
fn finish(time: Waited<wait::Time>) -> Result<String> {
    match time {
        Ok(time) => Ok(time.at.to_string()),
        Err(WaitError::TimedOut) => Err(skip("it took too long")),
        Err(error) => Err(fail(error)),
    }
}

#[task]
fn report(text: String, twice: Option<String>) {
    info!("{text} {twice:?}");
}

#[dag]
fn exports() {
    let text = export(3);
    report(&text, &text);
}

fn deferred(outcome: Result<Outcome, Failure>) -> Deferral {
    match outcome.unwrap() {
        Outcome::Deferred(deferral) => *deferral,
        other => panic!("{other:?}"),
    }
}

fn value(outcome: Result<Outcome, Failure>) -> Option<String> {
    match outcome.unwrap() {
        Outcome::Success {
            value,
            downstream: Downstream::Free,
        } => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trigger_is_polled_with_what_it_kept_until_it_fires() {
    let job = "a".to_owned();
    let mut polling = Polling::of(JobDone { job }).unwrap();
    assert_eq!(polling.poll().unwrap(), None);
    assert_eq!(polling.state(), Some("1"));
    assert_eq!(polling.wakes_on(), []);
    polling.wait().unwrap();
    assert_eq!(polling.poll().unwrap(), None);
    let file = HostEvent::File {
        directory: "inbox".to_owned(),
        pattern: "*.csv".to_owned(),
        change: FileChange::Exists,
    };
    assert_eq!(polling.wakes_on(), [file]);
    polling.wait().unwrap();
    assert_eq!(polling.poll().unwrap(), Some(JobResult { rows: 7 }));
    assert_eq!(polling.waits(), [30, 270].map(seconds));
    assert_eq!(polling.state(), None, "it begins anew");
}

#[test]
fn a_trigger_that_fails_says_why() {
    let job = "lost".to_owned();
    let error = Polling::of(JobDone { job }).unwrap().fires().unwrap_err();
    assert_eq!(error.to_string(), "job lost is not known");
}

#[test]
fn a_function_that_looks_once_is_a_trigger_that_looks_every_so_often() {
    let mut polling = Polling::of(ready(4, "table")).unwrap();
    assert_eq!(polling.fires().unwrap(), "table");
    assert_eq!(polling.waits(), [10, 20, 40, 60].map(seconds));
    assert_eq!(ready::run(0, "x").unwrap(), Poke::Done("x".to_owned()));
    let mut polling = Polling::of(settled()).unwrap();
    polling.fires().unwrap();
    assert_eq!(polling.waits(), [minutes(1); 3]);
}

#[test]
fn a_trigger_that_looks_has_a_last_look_when_its_time_is_over() {
    let mut polling = Polling::of(ready(100, "never")).unwrap();
    let error = polling.fires().unwrap_err();
    let expected = "what it waits for was not there by 2024-01-01T00:05:00Z";
    assert_eq!(error.to_string(), expected);
    assert_eq!(polling.waits().iter().sum::<Duration>(), minutes(5));
    let mut polling = Polling::of(ready(100, "late")).unwrap();
    polling.poll().unwrap();
    polling.pass(minutes(4) + seconds(55));
    polling.poll().unwrap();
    polling.wait().unwrap();
    assert_eq!(polling.waits().last(), Some(&seconds(5)));
}

#[test]
fn those_that_come_after_a_task_that_defers_get_its_value() {
    let dag = testing::parse::<exports>().unwrap();
    assert_eq!(dag.task("report").unwrap().arguments.len(), 2);
}

#[test]
fn a_deferred_task_goes_on_with_what_came_of_its_wait() {
    let ctx = Context::builder().build();
    let wait = deferred(testing::run::<export>(&ctx, (3,)));
    assert_eq!(wait.trigger::<JobDone>().unwrap().job, "job-3");
    assert_eq!(wait.timeout, Some(hours(2)));
    let mut polling = Polling::<JobResult>::deferral(&ctx, &wait).unwrap();
    let event = polling.fires().unwrap();
    let text = value(testing::resume(&ctx, &wait, Ok(event)));
    assert_eq!(text.as_deref(), Some("\"test 3 first: 7\""));
    let now = value(testing::run::<export>(&ctx, (0,)));
    assert_eq!(now.as_deref(), Some("\"nothing to export\""));
}

#[test]
fn a_task_may_be_deferred_again_where_it_went_on() {
    let ctx = Context::builder().build();
    let first = deferred(testing::run::<export>(&ctx, (9,)));
    let second = deferred(testing::resume(&ctx, &first, Ok(JobResult { rows: 1 })));
    assert_eq!(second.awaited, Awaited::Duration(minutes(1)));
    assert_eq!(second.timeout, None);
    let at = Timestamp::UNIX_EPOCH;
    let text = value(testing::resume(&ctx, &second, Ok(wait::Time { at })));
    assert_eq!(text.as_deref(), Some("\"1970-01-01T00:00:00Z\""));
    let outcome = testing::resume(&ctx, &second, Err::<(), _>(WaitError::TimedOut));
    assert_eq!(
        outcome.unwrap(),
        Outcome::Skipped("it took too long".to_owned())
    );
}

#[test]
fn a_time_out_or_a_trigger_that_failed_is_the_tasks_failure_to_be_tried_again() {
    let ctx = Context::builder().build();
    let wait = deferred(testing::run::<export>(&ctx, (3,)));
    let end = |error| testing::resume(&ctx, &wait, Err::<(), _>(error)).unwrap_err();
    let failure = end(WaitError::TimedOut);
    assert_eq!(
        failure.message,
        "what the task waited for did not happen in time"
    );
    assert!(failure.retry);
    let failure = end(WaitError::Failed("it trapped".to_owned()));
    assert!(
        failure.message.ends_with("failed: it trapped"),
        "{failure:?}"
    );
    let failure = testing::resume(&ctx, &wait, Ok("no result")).unwrap_err();
    assert!(failure.message.contains("JobResult"), "{failure:?}");
    assert!(!failure.retry, "what does not fit fits no better again");
}

#[test]
fn a_deferral_of_another_version_of_the_bundle_fails_with_the_reason() {
    let ctx = Context::builder().build();
    let mut wait = deferred(testing::run::<export>(&ctx, (3,)));
    wait.arguments = "[\"three\"]".to_owned();
    let failure = testing::resume(&ctx, &wait, Ok(JobResult { rows: 1 })).unwrap_err();
    assert!(failure.message.contains("another version"), "{failure:?}");
    wait.method = "waiting::gone".to_owned();
    let failure = testing::resume(&ctx, &wait, Ok(JobResult { rows: 1 })).unwrap_err();
    assert!(failure.message.contains("`waiting::gone`"), "{failure:?}");
    let Awaited::Own { arguments, .. } = &mut wait.awaited else {
        panic!("it waits for a trigger")
    };
    *arguments = "{}".to_owned();
    let mut polling = Polling::<JobResult>::deferral(&ctx, &wait).unwrap();
    let error = polling.fires().unwrap_err();
    assert!(error.to_string().contains("another version"), "{error}");
}

#[task]
fn waits_for(what: String) -> Result<Deferred<String>> {
    let date: Timestamp = "2024-01-15T00:00:00Z".parse()?;
    match what.as_str() {
        "time" => defer(wait::at(date)).resume(finish()),
        "run" => defer(wait::dag_run("weekly", date)).resume(ended()),
        "running" => {
            let run = wait::dag_run("weekly", "manual__1").reaches([RunState::Running]);
            defer(run).resume(ended())
        }
        "task" => {
            let task = wait::task("weekly", date, "load").map_index(2);
            defer(task.reaches([TaskState::Success])).resume(loaded())
        }
        "asset" => defer(wait::asset(PRICES)).resume(changed()),
        _ => defer(wait::file_change("inbox", "a?.csv")).resume(found()),
    }
}
#[resume]
fn ended(run: Waited<wait::RunReached>) -> Result<String> {
    Ok(format!("{:?}", run?.state))
}
#[resume]
fn loaded(task: Waited<wait::TaskReached>) -> Result<String> {
    Ok(task?.state.name().to_owned())
}
#[resume]
fn changed(event: Waited<airlock_sdk::AssetEvent>) -> Result<String> {
    Ok(event?.extra::<JobResult>()?.rows.to_string())
}
#[resume]
fn found(file: Waited<wait::FoundFile>) -> Result<String> {
    let file = file?;
    Ok(format!("{} {}", file.path, file.bytes))
}

const PRICES: Asset = Asset::new("prices").uri("s3://market/prices.csv");

#[test]
fn what_the_host_sees_by_itself_is_waited_for_by_value() {
    let ctx = Context::builder().build();
    let awaited = |what: &str| deferred(testing::run::<waits_for>(&ctx, (what,))).awaited;
    let date: Timestamp = "2024-01-15T00:00:00Z".parse().unwrap();
    assert_eq!(awaited("time"), Awaited::Time(date));
    let run = |run, states| {
        Awaited::Host(HostEvent::DagRun {
            dag_id: "weekly".to_owned(),
            run,
            states,
        })
    };
    let ended = vec![RunState::Success, RunState::Failed];
    assert_eq!(awaited("run"), run(RunRef::LogicalDate(date), ended));
    let manual = RunRef::RunId("manual__1".to_owned());
    assert_eq!(awaited("running"), run(manual, vec![RunState::Running]));
    let task = HostEvent::TaskInstance {
        dag_id: "weekly".to_owned(),
        run: RunRef::LogicalDate(date),
        task_id: "load".to_owned(),
        map_index: 2,
        states: vec![TaskState::Success],
    };
    assert_eq!(awaited("task"), Awaited::Host(task));
    let asset = HostEvent::Asset(PRICES.into());
    assert_eq!(awaited("asset"), Awaited::Host(asset));
    let file = HostEvent::File {
        directory: "inbox".to_owned(),
        pattern: "a?.csv".to_owned(),
        change: FileChange::Changes,
    };
    assert_eq!(awaited("file"), Awaited::Host(file));
}

#[test]
fn what_the_host_gives_is_read_as_it_writes_it() {
    let ctx = Context::builder().build();
    let goes_on = |what: &str, json: &str| {
        let wait = deferred(testing::run::<waits_for>(&ctx, (what,)));
        let event: serde_json::Value = serde_json::from_str(json).unwrap();
        value(testing::resume(&ctx, &wait, Ok(event))).unwrap()
    };
    let time = goes_on("time", r#"{"at": "2024-01-15T00:00:00.5+00:00"}"#);
    assert_eq!(time, "\"2024-01-15T00:00:00.5Z\"");
    let run = r#"{"dag_id": "weekly", "run_id": "r", "state": "failed"}"#;
    assert_eq!(goes_on("run", run), "\"Failed\"");
    let task = r#"{"dag_id": "weekly", "run_id": "r", "task_id": "load", "map_index": 2, "state": "upstream_failed"}"#;
    assert_eq!(goes_on("task", task), "\"upstream_failed\"");
    let asset = r#"{"asset": "prices", "uri": null, "timestamp": "2024-01-15T00:00:00+00:00", "extra": {"rows": 3}}"#;
    assert_eq!(goes_on("asset", asset), "\"3\"");
    let file = r#"{"path": "a1.csv", "bytes": 12, "modified": "2024-01-15T00:00:00+00:00"}"#;
    assert_eq!(goes_on("file", file), "\"a1.csv 12\"");
}

#[test]
fn there_is_nothing_to_poll_where_the_host_answers() {
    let error = Polling::of(wait::after(hours(1))).unwrap_err();
    assert!(error.to_string().starts_with("the host answers"), "{error}");
}

#[task(
    sensor,
    mode = "defer",
    poke_interval = "1m",
    exponential_backoff,
    max_wait = "4m",
    timeout = "1h",
    soft_fail
)]
fn arrived(ctx: &Context, what: String) -> Result<Poke<String>> {
    let date = ctx.date()?;
    match (what.as_str(), looks()) {
        ("skip", 3..) => Err(skip("not today")),
        ("gone", 3..) => Err(fail("it is gone")),
        ("error", 3..) => bail!("try again"),
        (_, 5..) => Ok(Poke::Done(format!("{what} of {date}"))),
        _ => Ok(Poke::NotYet),
    }
}

/// Lets a deferred sensor come to its end.
fn sense(what: &str) -> Result<Outcome, Failure> {
    let begin: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
    let ctx = Context::builder()
        .task("files", "arrived")
        .logical_date(begin)
        .build();
    let wait = deferred(testing::run::<arrived>(&ctx, (what,)));
    let left = wait.timeout.unwrap();
    assert!(left <= hours(1) && left > minutes(59), "{left:?}");
    let mut polling = Polling::<serde_json::Value>::deferral(&ctx, &wait)
        .unwrap()
        .begin_at(ctx.first_started_at());
    let event = polling.fires().unwrap();
    if what == "file" {
        let waits: Vec<u64> = polling.waits().iter().map(Duration::as_secs).collect();
        assert_eq!(waits, [60, 120, 240, 240]);
    }
    testing::resume(&ctx, &wait, Ok(event))
}

#[test]
fn a_deferred_sensor_is_polled_and_ends_as_in_any_other_mode() {
    let text = value(sense("file"));
    assert_eq!(text.as_deref(), Some("\"file of 2024-01-01\""));
}

#[test]
fn a_deferred_sensor_that_goes_wrong_is_skipped_or_fails_as_it_says() {
    let skipped = |why: &str| Outcome::Skipped(why.to_owned());
    assert_eq!(sense("skip").unwrap(), skipped("not today"));
    LOOKS.set(0);
    assert_eq!(sense("gone").unwrap(), skipped("it is gone"));
    LOOKS.set(0);
    let failure = sense("error").unwrap_err();
    assert!(failure.retry, "an ordinary error is tried again");
    let expected = format!("try again ({}:", file!());
    assert!(failure.message.starts_with(&expected), "{failure:?}");
}

#[test]
fn a_deferred_sensor_whose_time_is_over_ends_as_in_any_other_mode() {
    let ctx = Context::builder()
        .logical_date(Timestamp::UNIX_EPOCH)
        .build();
    let wait = deferred(testing::run::<arrived>(&ctx, ("file",)));
    let over = testing::resume(&ctx, &wait, Err::<(), _>(WaitError::TimedOut));
    let expected = "what it waits for was not there within 1h";
    assert_eq!(over.unwrap(), Outcome::Skipped(expected.to_owned()));
    let failed = WaitError::Failed("it trapped".to_owned());
    let failure = testing::resume(&ctx, &wait, Err::<(), _>(failed)).unwrap_err();
    assert!(failure.retry, "{failure:?}");
}

/// Tells each new number once; at five it fires and begins anew.
#[derive(Serialize, Deserialize)]
struct Numbers {
    step: u64,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Number {
    number: u64,
}

#[trigger]
impl Trigger for Numbers {
    type State = u64;
    type Event = Number;

    fn poll(&self, last: &mut u64, _: &TriggerContext) -> Result<Polled<Number>> {
        *last += self.step;
        let number = *last;
        if number > 4 {
            return Ok(Polled::fired(Number { number }));
        }
        Ok(Polled::wait(minutes(1)).seen(format!("number-{number}"), Number { number }))
    }
}

/// What it tells is no object.
#[trigger(every = "1s")]
fn counts() -> Poke<u8> {
    Poke::Done(3)
}

const NUMBERS: Asset = Asset::new("numbers")
    .watch("numbers", &|| Numbers { step: 2 })
    .watch("file", &|| wait::file("inbox", "numbers"));

#[dag(schedule_assets = NUMBERS)]
fn reacts() {
    report("x", None::<String>);
}

const TWICE: Asset = Asset::new("twice")
    .watch("files", &|| counts())
    .watch("files", &|| wait::after(hours(1)));

#[dag(schedule_assets = TWICE)]
fn twice() {
    report("x", None::<String>);
}

#[test]
fn an_assets_watchers_are_part_of_its_description() {
    let dag = testing::parse::<reacts>().unwrap();
    let watchers: Vec<_> = dag.assets[0]
        .watchers()
        .map(|watcher| (watcher.name, watcher.awaited().unwrap()))
        .collect();
    let own = Awaited::Own {
        kind: "waiting::Numbers".to_owned(),
        arguments: r#"{"step":2}"#.to_owned(),
    };
    let file = HostEvent::File {
        directory: "inbox".to_owned(),
        pattern: "numbers".to_owned(),
        change: FileChange::Exists,
    };
    assert_eq!(watchers, [("numbers", own), ("file", Awaited::Host(file))]);
    let errors = testing::parse::<twice>().unwrap_err();
    let expected = "asset `twice` has two watchers `files`; give one of the two another name";
    assert_eq!(errors[0].message, expected);
}

#[test]
fn a_watcher_tells_what_it_has_seen_and_goes_on() {
    let mut polling = Polling::watcher(Numbers { step: 2 }).unwrap();
    assert_eq!(polling.fires().unwrap(), Number { number: 6 });
    let seen = [
        ("number-2".to_owned(), r#"{"number":2}"#.to_owned()),
        ("number-4".to_owned(), r#"{"number":4}"#.to_owned()),
    ];
    assert_eq!(polling.seen(), seen);
    assert_eq!(polling.waits(), [minutes(1); 2]);
}

#[test]
fn only_a_watcher_tells_of_changes_and_only_objects() {
    let error = Polling::of(Numbers { step: 2 })
        .unwrap()
        .fires()
        .unwrap_err();
    assert!(
        error.to_string().starts_with("only an asset's watcher"),
        "{error}"
    );
    let error = Polling::watcher(counts()).unwrap().fires().unwrap_err();
    assert!(error.to_string().contains("is an object"), "{error}");
}

/// Two types of one path.
fn first() -> Result<Deferred<u8>> {
    #[derive(Serialize, Deserialize)]
    struct Same;
    #[trigger]
    impl Trigger for Same {
        type State = ();
        type Event = u8;
        fn poll(&self, _: &mut (), _: &TriggerContext) -> Result<Polled<u8>> {
            Ok(Polled::fired(1))
        }
    }
    defer(Same).resume(same())
}
fn second() -> Result<Deferred<u8>> {
    #[derive(Serialize, Deserialize)]
    struct Same;
    #[trigger]
    impl Trigger for Same {
        type State = ();
        type Event = u8;
        fn poll(&self, _: &mut (), _: &TriggerContext) -> Result<Polled<u8>> {
            Ok(Polled::fired(2))
        }
    }
    defer(Same).resume(same())
}
#[resume]
fn same(number: Waited<u8>) -> Result<u8> {
    Ok(number?)
}

#[test]
fn two_triggers_of_one_name_are_refused_before_anybody_waits() {
    for code in [first, second] {
        let error = code().unwrap_err();
        let expected = "`waiting::Same` is the name of two triggers of the bundle";
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(!error.is_retryable());
    }
}
