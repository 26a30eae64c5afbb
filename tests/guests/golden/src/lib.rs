//! A bundle with every phase, whose task calls every interface that a bundle may import from Airlock. Hosts run a
//! component that was made of it with the WIT packages of version 0.1: `tests/golden/0.1`.

use std::time::Duration;

use airlock_sdk::prelude::*;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A run an hour after the last.
#[derive(Serialize, Deserialize)]
struct Hourly {
    hours: u64,
}

impl Timetable for Hourly {
    fn next_run(
        &self,
        last: Option<&RunInfo>,
        bounds: &Restriction,
        now: Timestamp,
    ) -> Result<Option<RunInfo>> {
        let from = bounds.resume_after(last, now);
        let to = from.checked_add(Duration::from_secs(3600 * self.hours))?;
        Ok(bounds.allow(RunInfo::over(from, to)))
    }
}

/// Fires at the second poll.
#[derive(Serialize, Deserialize)]
struct Twice {
    word: String,
}

#[trigger]
impl Trigger for Twice {
    type State = u32;
    type Event = String;

    fn poll(&self, polls: &mut u32, _: &TriggerContext) -> Result<Polled<String>> {
        *polls += 1;
        Ok(match *polls {
            1 => Polled::wait(seconds(1)),
            _ => Polled::fired(format!("{} {polls}", self.word)),
        })
    }
}

#[callback]
fn heard(what: &CallbackContext, word: &str) -> Result<()> {
    ensure!(word == "golden", "the argument was {word}");
    info!("heard of {}", what.kind().name());
    Ok(())
}

/// What a task learns of the world.
#[derive(Serialize, Deserialize)]
struct Seen {
    variable: Option<String>,
    login: Option<String>,
    file: String,
    answer: String,
    pulled: Option<String>,
    day: String,
}

#[dag(timetable = Hourly { hours: 1 }, start_date = "2024-01-01", on_failure = [heard("golden")])]
fn golden() {
    let seen = sees();
    let waited = waits();
    says(seen).after(waited);
}

/// Calls every interface.
#[task]
fn sees(ctx: &Context) -> Result<Seen> {
    info!("sees");
    xcom::push("pushed", "by golden")?;
    let connection = connection("granted")?;
    Ok(Seen {
        variable: variable("granted.name")?,
        login: connection.and_then(|connection| connection.login),
        file: std::fs::read_to_string(directory("in")?.join("a.txt"))?,
        answer: http::get("https://rates.example/v1")
            .send()?
            .ok()?
            .text()?
            .to_owned(),
        pulled: xcom::pull("earlier")?,
        day: ctx.date()?.to_string(),
    })
}

/// Waits for the bundle's own trigger, and goes on.
#[task]
fn waits() -> Result<Deferred<String>> {
    let word = "poll".to_owned();
    defer(Twice { word }).timeout(minutes(1)).resume(fired())
}

#[resume]
fn fired(event: Waited<String>) -> Result<String> {
    Ok(event?)
}

/// Takes what an upstream task returned.
#[task(retries = 1, retry_delay = "1s")]
fn says(seen: Seen) -> Result<String> {
    Ok(format!("{} on {}", seen.file, seen.day))
}

airlock_sdk::bundle!(golden);
