//! Deadlines: a run that is not done in time is told of, and goes on all the same.

use airlock_sdk::prelude::*;

use crate::callbacks::tell;

/// Takes three seconds, and is wanted within one of being queued. The other deadlines are met.
#[dag(deadlines = [
    deadline("at once", DeadlineReference::QueuedAt + seconds(1), tell("at once")),
    deadline("within the hour", DeadlineReference::StartedAt + hours(1), tell("within the hour")),
    deadline("by the day after", DeadlineReference::LogicalDate + days(1), tell("by the day after")),
    deadline("this century", DeadlineReference::Fixed("2100-01-01T00:00:00Z".parse()?), tell("this century")),
    deadline(
        "as fast as ever",
        DeadlineReference::Average { runs: 10, at_least: 3 } + minutes(1),
        tell("as fast as ever"),
    ),
])]
pub fn deadline_example() {
    takes_long();
}

#[task]
fn takes_long() -> Result<Deferred<()>> {
    defer(wait::after(seconds(3))).resume(at_last())
}

#[resume]
fn at_last(time: Waited<wait::Time>) -> Result<()> {
    time?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use airlock_sdk::testing;

    use super::*;

    #[test]
    fn the_definition_holds_all_deadlines() {
        let dag = testing::parse::<deadline_example>();
        let names = dag.map(|dag| {
            let names = dag.deadlines.iter().map(|deadline| deadline.name.clone());
            names.collect::<Vec<_>>()
        });
        let expected = [
            "at once",
            "within the hour",
            "by the day after",
            "this century",
            "as fast as ever",
        ];
        assert_eq!(names, Ok(expected.map(str::to_owned).to_vec()));
    }
}
