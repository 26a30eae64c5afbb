//! A sensor that waits as a trigger: its function is polled by the host, and the try goes on with what it saw.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Poke, Sensor, SensorCode, done};
use crate::{
    AssetEvent, Context, Error, Result, ResultExt as _,
    deferral::{Deferral, WaitError, Waited},
    fail,
    outcome::Outcome,
    trigger::{Answer, Pause, TriggerContext, Waiting, later},
    wait::Awaited,
};

/// What the function is polled with: its arguments, and of the try's context what the trigger's does not say.
#[derive(Serialize, Deserialize)]
struct Arguments {
    arguments: Vec<String>,
    run_type: String,
    try_number: u32,
    max_tries: u32,
    token: u64,
    logical_date: Option<Timestamp>,
    data_interval: Option<(Timestamp, Timestamp)>,
    run_after: Timestamp,
    params: String,
    first_started_at: Timestamp,
    is_latest: bool,
    triggering_events: Vec<AssetEvent>,
    inlet_events: Vec<AssetEvent>,
}

impl Arguments {
    fn new(context: &Context, arguments: Vec<String>) -> Self {
        Self {
            arguments,
            run_type: context.run_type.clone(),
            try_number: context.try_number,
            max_tries: context.max_tries,
            token: context.token,
            logical_date: context.logical_date,
            data_interval: context.data_interval,
            run_after: context.run_after,
            params: context.params.clone(),
            first_started_at: context.first_started_at,
            is_latest: context.is_latest,
            triggering_events: context.triggering_events.clone(),
            inlet_events: context.inlet_events.clone(),
        }
    }

    fn context(self, cx: &TriggerContext) -> Result<(Context, Vec<String>)> {
        let Waiting::Task {
            run_id,
            task_id,
            map_index,
        } = cx.waiting.clone()
        else {
            return Err(fail("a sensor waits for a task, and watches no asset"));
        };
        let context = Context {
            dag_id: cx.dag_id.clone(),
            run_id,
            task_id,
            map_index,
            run_type: self.run_type,
            try_number: self.try_number,
            max_tries: self.max_tries,
            token: self.token,
            logical_date: self.logical_date,
            data_interval: self.data_interval,
            run_after: self.run_after,
            params: self.params,
            first_started_at: self.first_started_at,
            is_latest: self.is_latest,
            triggering_events: self.triggering_events,
            inlet_events: self.inlet_events,
            outlet_events: Default::default(),
        };
        Ok((context, self.arguments))
    }
}

/// What came of the wait. A failure comes through as the author's code told it, so that the try ends as it would have
/// in another mode.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sight {
    /// The JSON text of what the task returns.
    Done(String),
    Skipped(String),
    Failed {
        message: String,
        retry: bool,
    },
}

impl Sight {
    fn of(settings: &Sensor, error: Error) -> Self {
        match settings.end(error) {
            Ok(Outcome::Skipped(why)) => Self::Skipped(why),
            Ok(_) => Self::Done("null".to_owned()),
            Err(error) => Self::Failed {
                message: format!("{error:#} ({})", error.location()),
                retry: error.is_retryable(),
            },
        }
    }
}

pub(super) fn defer(
    code: &SensorCode,
    context: &Context,
    arguments: Vec<String>,
    left: Duration,
) -> Result<Outcome> {
    let arguments = serde_json::to_string(&Arguments::new(context, arguments))
        .context("the sensor's context has no JSON form")?;
    Ok(Outcome::Deferred(Box::new(Deferral {
        awaited: Awaited::Own {
            kind: code.entry.to_owned(),
            arguments,
        },
        method: code.entry.to_owned(),
        arguments: "null".to_owned(),
        timeout: Some(left),
    })))
}

/// One poll. The first only waits, since the task has looked just before.
pub(crate) fn poll(
    code: &SensorCode,
    arguments: &str,
    state: Option<&str>,
    cx: &TriggerContext,
) -> Result<Answer> {
    let arguments: Arguments = serde_json::from_str(arguments)
        .context("the wait began with another version of the bundle: its arguments do not fit")?;
    let settings = &code.settings;
    let started = arguments.first_started_at;
    let sight = match state {
        None => None,
        Some(_) => {
            let (context, arguments) = arguments.context(cx)?;
            match (code.look)(&context, arguments) {
                Ok(Poke::NotYet) => None,
                Ok(Poke::Done(value)) => Some(Sight::Done(value)),
                Err(error) => Some(Sight::of(settings, error)),
            }
        }
    };
    if let Some(sight) = sight {
        return Ok(Answer::Fired(serde_json::to_string(&sight)?));
    }
    let elapsed = Duration::try_from(cx.now.duration_since(started)).unwrap_or_default();
    Ok(Answer::Waiting(Pause {
        state: "0".to_owned(),
        until: Some(later(cx.now, settings.pause(elapsed))),
        on: Vec::new(),
    }))
}

/// The try goes on with what came of the wait, and ends.
pub(crate) fn resume(code: &SensorCode, waited: Waited<String>) -> Result<Outcome> {
    let sight = match waited {
        Ok(sight) => sight,
        Err(WaitError::TimedOut) => return code.settings.over(),
        Err(error) => return Err(error.into()),
    };
    match serde_json::from_str(&sight).context("what the sensor saw")? {
        Sight::Done(value) => Ok(done(value)),
        Sight::Skipped(why) => Ok(Outcome::Skipped(why)),
        Sight::Failed {
            message,
            retry: true,
        } => Err(Error::msg(message)),
        Sight::Failed { message, .. } => Err(fail(message)),
    }
}
