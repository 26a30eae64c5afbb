//! A parse that traps.

use hostile_raw::airlock::bundle::definitions::Parsed;

fn parse() -> Parsed {
    panic!("no DAGs today");
}

hostile_raw::parses!(parse);
