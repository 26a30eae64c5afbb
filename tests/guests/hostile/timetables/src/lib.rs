//! Timetables: one that works, and others that try what they may not. The field says which.

use std::time::{Duration, SystemTime};

use airlock_sdk::prelude::*;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Timetabled {
    kind: String,
}

fn of(kind: &str) -> Timetabled {
    Timetabled {
        kind: kind.to_owned(),
    }
}

impl Timetable for Timetabled {
    fn next_run(
        &self,
        last: Option<&RunInfo>,
        bounds: &Restriction,
        now: Timestamp,
    ) -> Result<Option<RunInfo>> {
        match self.kind.as_str() {
            "hourly" => {
                let from = bounds.resume_after(last, now);
                let to = from.checked_add(Duration::from_secs(3600))?;
                Ok(bounds.allow(RunInfo::over(from, to)))
            }
            "loop" => loop {
                std::hint::black_box(());
            },
            "talk" => bail!("{}", "no ".repeat(1 << 20)),
            "flood" => bail!("{}", "n".repeat(16 << 20)),
            "trap" => std::process::abort(),
            "repeat" => Ok(last.copied().or(Some(RunInfo::at(now)))),
            "backwards" => Ok(Some(RunInfo::over(
                now,
                now.checked_sub(Duration::from_secs(1))?,
            ))),
            "variable" => {
                let said = variable("granted.name")?;
                Err(fail(format_args!("{said:?}")))
            }
            "clock" => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
                Err(fail(format_args!("{now:?}")))
            }
            _ => Ok(None),
        }
    }
}

#[task]
fn nothing() {}

#[dag(timetable = of("hourly"), start_date = "2024-01-01", catchup)]
fn hourly() {
    nothing();
}

airlock_sdk::bundle!(hourly);
