//! Callbacks: one that works, and others that try what they may not. The argument says which.

use airlock_sdk::prelude::*;

#[callback]
fn trouble(what: &CallbackContext, kind: &str) -> Result<()> {
    match kind {
        "works" => {
            info!("{} {}", what.kind().name(), what.id());
            Ok(())
        }
        "loop" => loop {
            std::hint::black_box(());
        },
        "trap" => std::process::abort(),
        "once" if what.execution() > 1 => Ok(()),
        "once" | "fails" => bail!("not at execution {}", what.execution()),
        "gives up" => Err(fail("never")),
        "flood" => {
            for _ in 0..1_000 {
                info!("{}", "l".repeat(64 << 10));
            }
            Ok(())
        }
        "talk" => bail!("{}", "no ".repeat(1 << 20)),
        "sleeps" => {
            std::thread::sleep(hours(1));
            Ok(())
        }
        "variable" => {
            let said = variable("granted.name")?;
            Err(fail(format_args!("{said:?}")))
        }
        kind => bail!("there is no kind `{kind}`"),
    }
}

/// Fails, and has one callback of each kind hear of it.
#[dag(on_failure = [trouble("works"), trouble("once"), trouble("gives up")])]
fn failing() {
    fails();
}

#[task(on_failure = [
    trouble("loop"),
    trouble("trap"),
    trouble("fails"),
    trouble("flood"),
    trouble("talk"),
    trouble("works"),
])]
fn fails() -> Result<()> {
    bail!("as planned")
}

airlock_sdk::bundle!(failing);
