//! Callbacks hear of what became of tasks and runs. Each writes a line to a granted directory; a file of the request's
//! own makes a second execution of the same request harmless.

use std::fs;

use airlock_sdk::prelude::*;

/// One task for each thing that a task's callback can hear of; `dag_failure` comes at the end.
#[dag(on_success = tell("the run"), on_failure = tell("the run"))]
pub fn callbacks() {
    good();
    skipped();
    flaky().before(bad());
}

/// The same without a failure, for `dag_success`.
#[dag(on_success = tell("the run"), on_failure = tell("the run"))]
pub fn callbacks_of_success() {
    good();
}

#[task(on_execute = tell("good"), on_success = tell("good"))]
fn good() {}

#[task(on_skip = tell("skipped"))]
fn skipped() -> Result<()> {
    Err(skip("there is nothing to do"))
}

/// Succeeds at the second try.
#[task(retries = 1, retry_delay = "1s", on_retry = tell("flaky"), on_success = tell("flaky"))]
fn flaky(ctx: &Context) -> Result<()> {
    ensure!(ctx.try_number() > 1, "not at the first try");
    Ok(())
}

#[task(on_failure = [tell("bad"), shout])]
fn bad() -> Result<()> {
    bail!("as planned")
}

/// Writes a line: what happened to whom, and how it is told.
#[callback]
pub fn tell(what: &CallbackContext, whom: &str) -> Result<()> {
    let line = format!("{} {whom}: {}\n", what.kind().name(), what.message());
    let file = format!("{}.{}.txt", what.dag_id(), what.id());
    fs::write(directory("outbox")?.join(file), line)?;
    Ok(())
}

/// Needs nothing but the context.
#[callback]
fn shout(what: &CallbackContext) {
    error!("{}", what.message());
}

#[cfg(test)]
mod tests {
    use airlock_sdk::{
        CallbackKind,
        capability::Mode,
        testing::{self, Failure},
    };

    use super::*;

    #[test]
    fn a_second_execution_of_a_request_leaves_one_line() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("outbox-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        testing::directory("outbox", &folder, Mode::ReadWrite);
        let what = CallbackContext::test(CallbackKind::TaskFailure)
            .with_run("callbacks", "manual__1")
            .with_task("bad")
            .with_message("as planned");
        let told = |_| testing::call(tell("bad"), &what);
        let twice: Result<Vec<()>, Failure> = (0..2).map(told).collect();
        assert!(twice.is_ok(), "{twice:?}");
        let files: Vec<_> = fs::read_dir(&folder)?.collect::<Result<_, _>>()?;
        let [file] = files.as_slice() else {
            bail!("{} files", files.len());
        };
        assert_eq!(
            fs::read_to_string(file.path())?,
            "task_failure bad: as planned\n"
        );
        fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
