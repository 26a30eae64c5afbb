//! A parse that defines a million tasks.

use hostile_raw::{airlock::bundle::definitions::Parsed, dag, parsed, task};

fn parse() -> Parsed {
    let one = task("t", "", &[]);
    parsed(vec![dag("million", vec![one; 1_000_000])])
}

hostile_raw::parses!(parse);
