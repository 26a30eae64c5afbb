//! A parse that never ends.

use hostile_raw::airlock::bundle::definitions::Parsed;

fn parse() -> Parsed {
    loop {
        std::hint::black_box(());
    }
}

hostile_raw::parses!(parse);
