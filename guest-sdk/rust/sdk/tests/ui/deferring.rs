use airlock_sdk::prelude::*;

#[resume]
fn found(file: Waited<wait::FoundFile>, name: &str) -> Result<u64> {
    Ok(file?.bytes)
}

#[resume]
fn goes_on(file: wait::FoundFile) -> u64 {
    file.bytes
}

#[task]
fn waits_for_another() -> Result<Deferred<u64>> {
    defer(wait::after(hours(1))).resume(found("a"))
}

#[task]
fn returns_another() -> Result<Deferred<String>> {
    defer(wait::file("inbox", "a")).resume(found("a"))
}

#[task]
fn forgets_an_argument() -> Result<Deferred<u64>> {
    defer(wait::file("inbox", "a")).resume(found())
}

#[task(branch)]
fn a_branch_that_defers() -> Result<Deferred<Branch>> {
    Ok(Deferred::done(Branch::nothing()))
}

#[task]
fn wants_text(text: String) {}

#[task]
fn gives_a_number() -> Result<Deferred<u64>> {
    Ok(Deferred::done(3))
}

#[dag]
fn wired() {
    wants_text(gives_a_number());
}

fn main() {}
