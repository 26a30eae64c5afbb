//! A branch returns the ids of the tasks and groups directly after it that are followed. The others are
//! skipped, and so is what comes after them, as its trigger rules say. What the branch decided stays with its
//! task instance: a skipped task that is cleared alone is skipped again.

use airlock_sdk::{definition::TriggerRule, prelude::*};

/// Sends a parcel by the right means. Try it with `--conf '{"kilograms": 50}'`.
#[dag(params(kilograms = 3))]
pub fn branch() {
    let choice = choose();
    let sent = (bicycle(), van());
    choice.before((&sent.0, &sent.1));
    // What joins branches must not mind that one of them was skipped.
    tell()
        .with(|task| task.trigger_rule = TriggerRule::NoneFailedMinOneSuccess)
        .after((&sent.0, &sent.1));
}

#[task(branch)]
fn choose(ctx: &Context) -> Result<Branch> {
    Ok(match ctx.param::<u32>("kilograms")? {
        0 => Branch::nothing(),
        1..10 => Branch::follow([bicycle::ID]), // the id of that task: a slip does not compile
        _ => Branch::follow([van::ID]),
    })
}

#[task]
fn bicycle() {}

#[task]
fn van() {}

#[task]
fn tell() {
    info!("it is on its way");
}
