//! A DAG whose tasks wait for each other in a circle.

use hostile_raw::{airlock::bundle::definitions::Parsed, dag, parsed, task};

fn parse() -> Parsed {
    parsed(vec![dag(
        "circle",
        vec![
            task("a", "", &["c"]),
            task("b", "", &["a"]),
            task("c", "", &["b"]),
        ],
    )])
}

hostile_raw::parses!(parse);
