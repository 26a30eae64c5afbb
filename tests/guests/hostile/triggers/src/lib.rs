//! Triggers: one that works, and others that try what they may not. The field says which; a run says it by its param.

use airlock_sdk::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Trouble {
    kind: String,
}

#[trigger]
impl Trigger for Trouble {
    type State = String;
    type Event = String;

    fn poll(&self, state: &mut String, cx: &TriggerContext) -> Result<Polled<String>> {
        match self.kind.as_str() {
            "fires" => Ok(Polled::fired("here".to_owned())),
            "waits" if cx.polls() > 2 => Ok(Polled::fired(format!("after {}", cx.polls()))),
            "waits" => Ok(Polled::wait(seconds(1))),
            "loop" => loop {
                std::hint::black_box(());
            },
            "trap" => std::process::abort(),
            "fails" => Err(fail("it never comes")),
            // A state that doubles with each poll, and one that is too large at once.
            "grows" => {
                let more = state.clone().max("state".to_owned());
                state.push_str(&more);
                Ok(Polled::wait(seconds(0)))
            }
            "huge" => {
                *state = "s".repeat(16 << 20);
                Ok(Polled::wait(seconds(1)))
            }
            "flood" => Ok(Polled::fired("e".repeat(16 << 20))),
            "busy" => Ok(Polled::wait(seconds(0))),
            "memory" => {
                let all = std::hint::black_box(vec![1_u8; 1 << 30]);
                Ok(Polled::fired(format!("{}", all.len())))
            }
            "sleeps" => {
                std::thread::sleep(hours(1));
                Ok(Polled::fired("late".to_owned()))
            }
            "listens" => {
                let mut polled = Polled::wait(hours(1));
                for n in 0..10_000 {
                    polled = polled.or_on(wait::file("inbox", format!("{n}.csv")));
                }
                Ok(polled)
            }
            "tells" => Ok(Polled::wait(hours(1)).seen("key", "only a watcher may".to_owned())),
            "variable" => {
                let said = variable("granted.name")?;
                Ok(Polled::fired(format!("{said:?}")))
            }
            kind => bail!("there is no kind `{kind}`"),
        }
    }
}

/// Tells a thousand changes at each poll, and wants the next poll at once.
#[derive(Serialize, Deserialize)]
struct Flood {
    each: u32,
}

#[derive(Serialize, Deserialize)]
struct Change {
    number: u64,
}

#[trigger]
impl Trigger for Flood {
    type State = u64;
    type Event = Change;

    fn poll(&self, told: &mut u64, _: &TriggerContext) -> Result<Polled<Change>> {
        let mut polled = Polled::wait(seconds(0));
        for _ in 0..self.each {
            *told += 1;
            polled = polled.seen(format!("{told}"), Change { number: *told });
        }
        Ok(polled)
    }
}

const FLOODED: Asset = Asset::new("flooded").watch("flood", &|| Flood { each: 1000 });

/// Waits for the trouble that the run asks for.
#[dag(params(kind = "fires", resume = "returns"))]
fn trouble() {
    waits();
}

#[task]
fn waits(ctx: &Context) -> Result<Deferred<String>> {
    let kind: String = ctx.param("kind")?;
    defer(Trouble { kind })
        .timeout(minutes(1))
        .resume(goes_on(&ctx.param::<String>("resume")?))
}

#[resume]
fn goes_on(event: Waited<String>, how: &str) -> Result<Deferred<String>> {
    match how {
        "panics" => std::process::abort(),
        "again" => defer(wait::after(seconds(0))).resume(once_more()),
        _ => Ok(Deferred::done(event?)),
    }
}

#[resume]
fn once_more(time: Waited<wait::Time>) -> Result<String> {
    Ok(time?.at.to_string())
}

/// Runs for each flood.
#[dag(schedule_assets = FLOODED)]
fn flooded() {
    nothing();
}

#[task]
fn nothing() {}

airlock_sdk::bundle!(trouble, flooded);
