use airlock_sdk::prelude::*;

#[task(branch)]
fn counts() -> u32 {
    3
}

#[task(short_circuit)]
fn says() -> String {
    "yes".to_owned()
}

#[task(sensor)]
fn sees() -> u32 {
    3
}

fn main() {}
