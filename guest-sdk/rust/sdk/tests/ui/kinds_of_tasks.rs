use airlock_sdk::prelude::*;

#[task(branch, short_circuit)]
fn both() -> bool {
    true
}

#[task(poke_interval = "1m")]
fn no_sensor() {}

#[task(sensor, mode = "sleep", timeout = "0s")]
fn no_mode() -> bool {
    true
}

#[task(ignore_downstream_trigger_rules = false)]
fn no_circuit() {}

#[task(setup, teardown)]
fn both_ends() {}

#[task(on_failure_fail_dagrun)]
fn no_teardown() {}

#[task(teardown, trigger_rule = "always")]
fn own_rule() {}

#[task(weight_rule = "heavy", outlets = "prices")]
fn unknown_weight() {}

fn main() {}
