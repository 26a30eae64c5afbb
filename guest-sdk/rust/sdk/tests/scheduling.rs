//! What a parse makes of schedules, assets, params, roles and dependencies on the past.

use std::time::Duration;

use airlock_sdk::{
    AssetCondition, AssetEvent, AssetRef,
    definition::{
        DagSource, Delta, Param, Role, RunImmediately, Schedule, TriggerRule, WeightRule,
    },
    prelude::*,
    testing,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const PRICES: Asset = Asset::new("prices")
    .uri("s3://market/prices")
    .group("market")
    .extra("{\"owner\":\"desk\"}");
const RATES: Asset = Asset::new("rates");
const NEWS: AssetAlias = AssetAlias::new("news");

#[task]
fn idle() {}

fn days(count: u64) -> Delta {
    Delta {
        months: 0,
        time: Duration::from_secs(count * 86_400),
    }
}

#[dag(schedule = "every 1h30m", start_date = "2024-01-01")]
fn interval() {}
#[dag(schedule = "every 1mo", start_date = "2024-01-01", data_interval)]
fn monthly() {}
#[dag(schedule = "@once")]
fn once() {}
#[dag(schedule = "@continuous", max_active_runs = 1)]
fn always() {}
#[dag(schedule = "@daily", data_interval, timezone = "Europe/Zurich")]
fn intervals() {}
#[dag(schedule = ["0 6 * * *", "0 18 * * fri"], data_interval = "1d", run_immediately)]
fn several() {}
#[dag(schedule = "@hourly", run_immediately = "10m")]
fn soon() {}

#[test]
fn every_schedule_that_airflow_has_can_be_said() {
    let ninety_minutes = Delta {
        months: 0,
        time: Duration::from_secs(5400),
    };
    assert!(matches!(
        interval::SPEC.schedule,
        Schedule::DeltaTrigger { every, interval } if every == ninety_minutes && interval == Delta::default()
    ));
    let month = Delta {
        months: 1,
        time: Duration::ZERO,
    };
    assert!(matches!(monthly::SPEC.schedule, Schedule::DeltaInterval(every) if every == month));
    assert!(matches!(once::SPEC.schedule, Schedule::Once));
    assert!(matches!(always::SPEC.schedule, Schedule::Continuous));
    assert!(matches!(
        intervals::SPEC.schedule,
        Schedule::CronInterval {
            line: "@daily",
            timezone: Some("Europe/Zurich")
        }
    ));
    assert!(matches!(
        several::SPEC.schedule,
        Schedule::CronTrigger {
            lines: ["0 6 * * *", "0 18 * * fri"],
            run_immediately: RunImmediately::Yes,
            interval,
            ..
        } if interval == days(1)
    ));
    let ten_minutes = Duration::from_secs(600);
    assert!(matches!(
        soon::SPEC.schedule,
        Schedule::CronTrigger { run_immediately: RunImmediately::Within(within), .. } if within == ten_minutes
    ));
}

#[derive(Serialize, Deserialize)]
struct Every {
    seconds: i64,
}

impl Timetable for Every {
    fn next_run(
        &self,
        last: Option<&RunInfo>,
        bounds: &Restriction,
        now: Timestamp,
    ) -> Result<Option<RunInfo>> {
        ensure!(self.seconds > 0, "{} seconds never pass", self.seconds);
        let from = bounds.resume_after(last, now);
        let to = from.checked_add(jiff::SignedDuration::from_secs(self.seconds))?;
        Ok(bounds.allow(RunInfo::over(from, to)))
    }
}

#[dag(timetable = Every { seconds: 90 }, start_date = "2024-01-01")]
fn own() {
    idle();
}

#[dag(timetable = Every { seconds: 0 })]
fn never() {
    idle();
}

#[test]
fn a_timetable_of_the_bundles_own_is_asked_by_its_fields() {
    let Schedule::Custom(timetable) = own::SPEC.schedule else {
        panic!("{:?}", own::SPEC.schedule)
    };
    assert_eq!(timetable.entry, "scheduling::own");
    assert_eq!(timetable.arguments().unwrap(), "{\"seconds\":90}");
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let now = at("2024-02-01T00:00:00Z");
    let past = Restriction {
        earliest: Some(at("2024-01-01T00:00:00Z")),
        latest: Some(at("2024-01-31T00:00:00Z")),
        catchup: true,
    };
    let last = RunInfo::at(at("2024-01-30T00:00:00Z"));
    let next = timetable.next_run(Some(&last), &past, now).unwrap();
    let expected = RunInfo::over(at("2024-01-30T00:00:00Z"), at("2024-01-30T00:01:30Z"));
    assert_eq!(next, Some(expected));
    let forgotten = Restriction {
        catchup: false,
        ..past
    };
    let next = timetable.next_run(Some(&last), &forgotten, now).unwrap();
    assert_eq!(next, None, "now is after the end date");
    assert_eq!(timetable.manual_interval(now).unwrap(), (now, now));
    let Schedule::Custom(broken) = never::SPEC.schedule else {
        panic!("{:?}", never::SPEC.schedule)
    };
    let error = broken.next_run(None, &past, now).unwrap_err();
    assert_eq!(error.to_string(), "0 seconds never pass");
}

#[task(outlets(PRICES, NEWS), inlets(RATES, Asset::by_uri("s3://other")))]
fn fetch(ctx: &Context) -> Result<()> {
    ctx.outlet_event(
        PRICES,
        [("rows", 7)]
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>(),
    )?;
    ctx.alias_event(NEWS, RATES, ())
}

#[dag(
    schedule = "@daily",
    schedule_assets = (PRICES | Asset::by_name("curves")) & RATES & NEWS
)]
fn collect() {
    fetch();
}

#[test]
fn assets_are_constants_that_conditions_and_tasks_name() {
    let dag = testing::parse::<collect>().unwrap();
    let Some(AssetCondition::All { of }) = dag.spec.asset_condition else {
        panic!("{:?}", dag.spec.asset_condition)
    };
    let [AssetCondition::Any { of: any }, rates, news] = of else {
        panic!("{of:?}")
    };
    assert_eq!(any[0], AssetCondition::Of(PRICES.into()));
    assert_eq!(any[1], AssetCondition::Of(AssetRef::Name("curves")));
    assert_eq!(*rates, AssetCondition::Of(RATES.into()));
    assert_eq!(*news, AssetCondition::Of(NEWS.into()));
    let fetch = &dag.task("fetch").unwrap().spec;
    assert_eq!(fetch.outlets, [PRICES.into(), NEWS.into()]);
    assert_eq!(fetch.inlets, [RATES.into(), AssetRef::Uri("s3://other")]);
    assert_eq!(
        dag.assets,
        [PRICES, RATES],
        "what the bundle describes, once"
    );
}

#[test]
fn a_task_says_more_of_its_outlets_and_sees_what_made_its_run() {
    let event = AssetEvent {
        extra: "{\"rows\":3}".to_owned(),
        ..AssetEvent::new(RATES, "2024-01-01T00:00:00Z".parse().unwrap())
    };
    let ctx = Context::builder().triggering_event(event).build();
    fetch::run(&ctx).unwrap();
    let told = ctx.outlet_events();
    assert_eq!(told[0].asset, PRICES.into());
    assert_eq!(
        (told[0].extra.as_str(), told[0].alias),
        ("{\"rows\":7}", None)
    );
    assert_eq!((told[1].asset, told[1].alias), (RATES.into(), Some(NEWS)));
    assert_eq!(told[1].extra, "{}");
    let [event] = ctx.triggering_events() else {
        panic!("{ctx:?}")
    };
    let extra: std::collections::BTreeMap<String, u32> = event.extra().unwrap();
    assert_eq!((event.asset.as_str(), extra["rows"]), ("rates", 3));
    assert!(
        event
            .extra::<Vec<u8>>()
            .unwrap_err()
            .to_string()
            .contains("`rates`")
    );
    let error = ctx.outlet_event(PRICES, 7).unwrap_err();
    assert!(error.to_string().contains("is an object"), "{error}");
    assert!(!error.is_retryable());
}

#[task(outlets(Asset::new("prices")))]
fn other() {}

#[dag]
fn torn() {
    fetch();
    other();
}

#[test]
fn an_asset_that_is_described_in_two_ways_is_refused() {
    let errors = testing::parse::<torn>().unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0]
            .message
            .starts_with("asset `prices` is described in two ways")
    );
}

#[dag(
    params(
        limit(
            default = 10,
            schema = r#"{"type":"integer","minimum":1}"#,
            description = "Rows at most"
        ),
        city(description = "Where"),
        day = "latest"
    ),
    fail_fast,
    max_consecutive_failed_dag_runs = 3
)]
fn strict() {
    idle();
}

#[test]
fn params_have_a_schema_and_a_description_where_they_are_wanted() {
    let spec = strict::SPEC;
    assert_eq!(
        spec.params,
        [
            Param {
                name: "limit",
                default: Some("10"),
                schema: Some("{\"type\":\"integer\",\"minimum\":1}"),
                description: Some("Rows at most"),
            },
            Param {
                name: "city",
                default: None,
                schema: None,
                description: Some("Where"),
            },
            Param {
                name: "day",
                default: Some("\"latest\""),
                schema: None,
                description: None,
            },
        ]
    );
    assert!(spec.fail_fast);
    assert_eq!(spec.max_consecutive_failed_dag_runs, 3);
}

#[task(
    depends_on_past,
    wait_for_downstream,
    ignore_first_depends_on_past = false,
    max_active_tis_per_dag = 2,
    max_active_tis_per_dagrun = 1,
    weight_rule = "absolute"
)]
fn careful() {}
#[task(setup)]
fn create() -> String {
    "c-1".to_owned()
}
#[task(teardown, on_failure_fail_dagrun)]
fn delete(cluster: String) {
    info!("{cluster}");
}

#[dag]
fn guarded() {
    let cluster = create();
    let work = careful();
    let other = idle();
    work.after(&cluster);
    delete(&cluster).as_teardown((&cluster, &other)).after(work);
    idle::with_id("plain").as_setup();
}

#[test]
fn setups_teardowns_and_dependencies_on_the_past_are_said_by_attribute_or_by_call() {
    let dag = testing::parse::<guarded>().unwrap();
    let spec = |id: &str| *dag.task(id).unwrap().spec;
    let careful = spec("careful");
    assert!(careful.depends_on_past && careful.wait_for_downstream);
    assert!(!careful.ignore_first_depends_on_past);
    assert_eq!(
        (
            careful.max_active_tis_per_dag,
            careful.max_active_tis_per_dagrun
        ),
        (Some(2), Some(1))
    );
    assert_eq!(careful.weight_rule, WeightRule::Absolute);
    assert_eq!(spec("create").role, Role::Setup);
    assert_eq!(
        spec("idle").role,
        Role::Setup,
        "a teardown's setups become such"
    );
    assert_eq!(spec("plain").role, Role::Setup);
    let delete = spec("delete");
    let role = Role::Teardown {
        on_failure_fail_dagrun: true,
    };
    assert_eq!(delete.role, role);
    assert_eq!(delete.trigger_rule, TriggerRule::AllDoneSetupSuccess);
    assert_eq!(
        dag.task("delete").unwrap().upstream,
        ["create", "idle", "careful"]
    );
}

#[dag]
fn changed() {
    idle().with(|task| {
        task.retries = 3;
        task.trigger_rule = TriggerRule::Always;
    });
    idle().id("second");
}

#[test]
fn a_call_may_change_what_the_attribute_says() {
    let dag = testing::parse::<changed>().unwrap();
    let (first, second) = (&dag.tasks[0], &dag.tasks[1]);
    assert_eq!(
        (first.spec.retries, first.spec.trigger_rule),
        (3, TriggerRule::Always)
    );
    assert_eq!((&*second.task_id, second.spec.retries), ("second", 0));
}
