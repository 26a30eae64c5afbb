use airlock_sdk::prelude::*;

#[task]
fn mistaken(number: u32) -> Result<String> {
    let text: String = number;
    Ok(text)
}

#[dag]
fn unwired() {
    mistaken();
}

fn main() {}
