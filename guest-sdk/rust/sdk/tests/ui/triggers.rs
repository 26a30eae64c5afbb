use airlock_sdk::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Forgotten;

impl Trigger for Forgotten {
    type State = ();
    type Event = u8;

    fn poll(&self, _: &mut (), _: &TriggerContext) -> Result<Polled<u8>> {
        Ok(Polled::fired(1))
    }
}

#[task]
fn waits() -> Result<Deferred<u8>> {
    defer(Forgotten).resume(goes_on())
}

#[resume]
fn goes_on(number: Waited<u8>) -> Result<u8> {
    Ok(number?)
}

const INBOX: Asset = Asset::new("inbox").watch("files", &|| "every file");

#[trigger]
fn counts() -> u32 {
    3
}

fn main() {}
