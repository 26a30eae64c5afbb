//! The `airlock` binary: commands, configuration, and the wiring of the rooms.

mod api_client;
mod cli;
mod config;
mod dag_test;
mod error;
mod hardening;
mod house;
mod logging;
mod memory;
mod nesting;
mod output;
mod sdk;
mod standalone;
mod task_test;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The compiler's child must limit itself before anything else runs in it.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == airlock_sandbox::COMPILE_ARGUMENT)
    {
        return airlock_sandbox::compile_child_main();
    }
    cli::main()
}
