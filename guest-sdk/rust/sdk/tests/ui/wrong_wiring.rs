use airlock_sdk::prelude::*;

#[task]
fn count() -> u32 {
    3
}

#[task]
fn shout(text: String) {
    info!("{text}!");
}

#[dag]
fn wired() {
    shout(count());
    shout(5);
}

fn main() {}
