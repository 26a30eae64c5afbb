//! One DAG whose name holds a number that the load generator overwrites in the compiled file, so that one
//! build gives as many different bundles as a measurement wants.

use airlock_sdk::prelude::*;

/// Runs by hand only.
#[dag]
fn many_000000() {
    nothing();
}

#[task]
fn nothing() {}

airlock_sdk::bundle!(many_000000);
