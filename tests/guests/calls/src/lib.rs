//! A task that calls one function of the host as often as its argument says: what a call costs is the difference between
//! many and none.

use std::{hint::black_box, time::Instant};

use hostile_raw::{
    airlock::{bundle::definitions::Parsed, capability::variables},
    exports::airlock::bundle::{dags, tasks},
    parsed, success,
};

struct Calls;

impl dags::Guest for Calls {
    fn parse() -> Parsed {
        parsed(Vec::new())
    }
}

impl tasks::Guest for Calls {
    fn run(
        entry: String,
        _: tasks::Context,
        arguments: Vec<String>,
    ) -> Result<tasks::Outcome, tasks::Failure> {
        let times = arguments.first().and_then(|times| times.parse().ok());
        for _ in 0..times.unwrap_or(0) {
            match entry.as_str() {
                // A capability: the host decides, and finds nothing.
                "variable" => drop(black_box(variables::get("v"))),
                // Inert: every bundle has it.
                _ => drop(black_box(Instant::now())),
            }
        }
        Ok(success(None))
    }
}

hostile_raw::export!(Calls with_types_in hostile_raw);
