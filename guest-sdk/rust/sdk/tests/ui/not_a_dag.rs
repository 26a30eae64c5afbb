use airlock_sdk::prelude::*;

#[task]
fn lonely() {}

airlock_sdk::bundle!(lonely);

fn main() {}
