use airlock_sdk::prelude::*;

#[task]
fn list() -> Vec<String> {
    Vec::new()
}

#[task]
fn count(number: u32) {
    info!("{number}");
}

#[dag]
fn mapped() {
    count::expand(each(list()));
    count::expand(list());
    count(each([1]));
}

fn main() {}
