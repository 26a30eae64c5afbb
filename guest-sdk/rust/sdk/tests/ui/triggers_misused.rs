use airlock_sdk::prelude::*;

#[trigger]
struct Alone;

#[trigger]
impl Clone for Alone {
    fn clone(&self) -> Self {
        Self
    }
}

struct Of<T>(T);

#[trigger(every = "10s")]
impl<T> Trigger for Of<T> {}

#[trigger(evry = "10s", max_wait = "1m")]
fn looks() -> bool {
    true
}

#[trigger]
fn with_a_tasks_context(ctx: &Context) -> bool {
    true
}

#[resume(retries = 3)]
fn with_retries(waited: Waited<u8>) {}

#[resume]
fn without_an_end(ctx: &Context) {}

#[resume]
fn with_a_borrowed_end(waited: &Waited<u8>) {}

fn main() {}
