use airlock_sdk::prelude::*;

#[dag]
fn with_parameters(city: String) {}

#[dag]
async fn asynchronous() {}

#[task]
fn generic<T>(value: T) {}

#[task]
async fn waits() {}

#[task]
fn context_by_value(ctx: Context) {}

#[task]
fn context_last(number: u32, ctx: &Context) {}

#[task]
fn changes(list: &mut Vec<u32>) {}

#[task]
fn any(text: impl ToString) {}

struct Robot;

impl Robot {
    #[task]
    fn method(&self) {}
}

fn main() {}
