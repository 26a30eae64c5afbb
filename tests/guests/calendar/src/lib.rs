//! A thousand DAGs with a schedule, none of which is due while anybody measures. Their names hold a number that
//! the load generator overwrites in the compiled file, so that one build gives several such bundles.

use hostile_raw::{
    airlock::bundle::definitions::{
        Cron, CronTrigger, Dag, Delta, Parsed, RunImmediately, Schedule,
    },
    dag,
    exports::airlock::bundle::{dags, tasks},
    parsed, success, task,
};

const NAME: &str = "calendar_000000";

/// Once a year, each DAG in a minute of its own of the first days of January.
fn yearly(number: u32) -> Dag {
    let (day, hour, minute) = (1 + number / 1440, number / 60 % 24, number % 60);
    let tasks = vec![
        task("first", "noop", &[]),
        task("second", "noop", &["first"]),
        task("third", "noop", &["second"]),
    ];
    Dag {
        schedule: Schedule::CronTrigger(CronTrigger {
            lines: vec![Cron {
                expression: format!("{minute} {hour} {day} 1 *"),
                timezone: None,
            }],
            interval: Delta { months: 0, time: 0 },
            run_immediately: RunImmediately::No,
        }),
        ..dag(&format!("{NAME}_{number:04}"), tasks)
    }
}

struct Calendar;

impl dags::Guest for Calendar {
    fn parse() -> Parsed {
        parsed((0..1000).map(yearly).collect())
    }
}

impl tasks::Guest for Calendar {
    fn run(_: String, _: tasks::Context, _: Vec<String>) -> Result<tasks::Outcome, tasks::Failure> {
        Ok(success(None))
    }
}

hostile_raw::export!(Calendar with_types_in hostile_raw);
