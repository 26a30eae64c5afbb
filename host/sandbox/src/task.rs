//! The task phase: one try.

use std::{sync::Arc, time::Duration};

use airlock_grant::Caller;
use airlock_model::{
    dag::Location,
    outcome::{Downstream, Failure, FailureKind, Outcome, OutletEvent},
    port::{EventSource, SeenEvent, Work},
    time::Timestamp,
    trigger::{Deferral, Deferred, Resume, Trigger, TriggerEvent},
};

use crate::{
    adapter::{Pushed, Standing},
    bindings::{
        TaskBundlePre,
        task_phase::{self, Context as Names},
        waits as wit,
    },
    call::{self, MESSAGE_BYTES, Room, bounded, not_json},
    context::Context,
    limits::Reached,
    waits,
};

/// Causes that are kept of a guest's error.
const CAUSES: usize = 16;
/// What of an asset event a try may tell, over all its events: they are kept with the run, as XComs are.
const EVENTS: usize = 1_000;

/// On whose behalf a try's instance calls.
pub(crate) fn caller(work: &Work) -> Caller {
    Caller::task(work.names.dag_id.clone(), work.names.task_id.clone())
}

/// Runs a try to its end.
pub(crate) async fn run(
    room: &Room<'_>,
    standing: &Arc<Standing>,
    bundle: &TaskBundlePre<Context>,
    files: bool,
    work: &Work,
) -> Outcome {
    if let Err(denied) = standing.inlets_and_outlets(work) {
        return Outcome::Failed(denied);
    }
    let timeout: Option<Duration> = work.execution_timeout;
    let answer = call::run(room, standing, files, timeout, async |store| {
        let instance = bundle.instantiate_async(&mut *store).await?;
        let now = standing.ports.clock.now();
        let arguments: Vec<String> = work.arguments.iter().map(|json| (**json).into()).collect();
        let answer = instance
            .airlock_bundle_tasks()
            .call_run(&mut *store, &work.entry, &names(work, now), &arguments)
            .await?;
        let nothing = Pushed::new(0);
        let pushed = std::mem::replace(&mut store.data_mut().call.pushed, nothing);
        Ok((answer, pushed))
    })
    .await;
    match answer {
        Ok((Ok(task_phase::Outcome::Success(success)), pushed)) => {
            let most = room.limits.xcom_bytes;
            succeeded(standing, work, success, pushed, most).unwrap_or_else(Outcome::Failed)
        }
        Ok((Ok(task_phase::Outcome::Rescheduled(at)), _)) => match Timestamp::from_micros(at) {
            Ok(at) => Outcome::Rescheduled { at },
            Err(error) => Outcome::Failed(wrong(format!(
                "AL-0519: the time to which it rescheduled itself is none: {error}"
            ))),
        },
        Ok((Ok(task_phase::Outcome::Deferred(deferral)), _)) => {
            let most = room.limits.trigger_state_bytes;
            deferred(standing, deferral, most).unwrap_or_else(Outcome::Failed)
        }
        Ok((Ok(task_phase::Outcome::Skipped(reason)), _)) => Outcome::Skipped {
            reason: text(standing, &reason),
        },
        Ok((Err(failure), _)) => Outcome::Failed(failed(standing, failure)),
        Err(end) => Outcome::Failed(end.into_failure()),
    }
}

fn names(work: &Work, now: Timestamp) -> Names {
    Names {
        dag_id: work.names.dag_id.to_string(),
        run_id: work.names.run_id.to_string(),
        run_type: work.run_type.to_string(),
        task_id: work.names.task_id.to_string(),
        map_index: work.names.map_index.0,
        try_number: work.names.try_number,
        max_tries: work.max_tries,
        token: work.token.get(),
        logical_date: work.logical_date.map(Timestamp::micros),
        data_interval_start: work.data_interval.map(|(start, _)| start.micros()),
        data_interval_end: work.data_interval.map(|(_, end)| end.micros()),
        run_after: work.run_after.micros(),
        params: work.params.as_ref().into(),
        first_started_at: work.first_started_at.unwrap_or(now).micros(),
        is_latest: work.is_latest,
        triggering_asset_events: work.triggering_events.iter().map(seen).collect(),
        inlet_events: work.inlet_events.iter().map(seen).collect(),
        resumed: work.resume.as_deref().map(resumed),
    }
}

fn resumed(deferred: &Deferred) -> task_phase::Resumed {
    let Resume { method, arguments } = &deferred.resume;
    task_phase::Resumed {
        method: method.clone(),
        arguments: arguments.clone(),
        event: match &deferred.event {
            Some(TriggerEvent::Fired(value)) => wit::Event::Fired(value.as_ref().into()),
            Some(TriggerEvent::TimedOut) => wit::Event::TimedOut,
            Some(TriggerEvent::Failed(why)) => wit::Event::Failed(why.as_ref().into()),
            // It must not begin anew as if it had never waited.
            None => wit::Event::Failed("the wait was ended before anything happened".to_owned()),
        },
    }
}

fn seen(SeenEvent { event, uri }: &SeenEvent) -> task_phase::AssetEvent {
    task_phase::AssetEvent {
        asset: event.asset.name.as_ref().into(),
        uri: uri.clone(),
        timestamp: event.at.micros(),
        extra: event.extra.as_ref().into(),
        source: match &event.source {
            EventSource::Task {
                dag_id,
                run_id,
                task_id,
                map_index,
            } => Some(task_phase::EventSource {
                dag_id: dag_id.to_string(),
                run_id: run_id.to_string(),
                task_id: task_id.to_string(),
                map_index: map_index.0,
            }),
            EventSource::Api { .. } | EventSource::Other(_) => None,
        },
    }
}

/// A failure for which the guest's answer itself is the reason.
const fn wrong(message: String) -> Failure {
    Failure {
        kind: FailureKind::Error,
        message,
        causes: Vec::new(),
        location: None,
    }
}

fn succeeded(
    standing: &Standing,
    work: &Work,
    success: task_phase::Success,
    pushed: Pushed,
    most: usize,
) -> Result<Outcome, Failure> {
    let reached = |reached: Reached| Failure {
        kind: FailureKind::Limit(reached.limit),
        ..wrong(reached.message)
    };
    let masked = |json: &str, what: &str| {
        standing
            .log
            .mask_json(json)
            .ok_or_else(|| wrong(not_json(what)))
    };
    let xcoms = pushed
        .with_returned(success.return_value.map(Into::into))
        .map_err(reached)?
        .into_iter()
        .map(|(key, value)| {
            Ok((
                text(standing, &key),
                masked(&value, "what the task returned")?,
            ))
        })
        .collect::<Result<_, Failure>>()?;
    let told: usize = success
        .outlet_events
        .iter()
        .map(|event| event.extra.len())
        .sum();
    if told > most || success.outlet_events.len() > EVENTS {
        return Err(reached(Reached::outlet_events(most, EVENTS)));
    }
    let events: Vec<OutletEvent> = success
        .outlet_events
        .into_iter()
        .map(|event| {
            Ok(OutletEvent {
                asset: waits::asset(event.asset),
                alias: event.alias,
                extra: masked(&event.extra, "the extra of an outlet event")?
                    .as_ref()
                    .into(),
            })
        })
        .collect::<Result<_, Failure>>()?;
    standing.changes(work, &events)?;
    let downstream = match success.downstream {
        task_phase::Downstream::Free => Downstream::Free,
        task_phase::Downstream::Follow(ids) => Downstream::Follow(
            ids.into_iter()
                .map(|id| bounded(&id, MESSAGE_BYTES))
                .collect(),
        ),
        task_phase::Downstream::Skip(all) => Downstream::Skip { all },
    };
    Ok(Outcome::Success {
        xcoms,
        downstream,
        events,
    })
}

fn deferred(
    standing: &Standing,
    deferral: task_phase::Deferral,
    most: usize,
) -> Result<Outcome, Failure> {
    let task_phase::Deferral {
        trigger,
        method,
        arguments,
        timeout,
    } = deferral;
    let mut trigger = waits::trigger(trigger).map_err(|error| wrong(error.to_string()))?;
    if waits::bytes(&trigger) + method.len() + arguments.len() > most {
        let reached = Reached::wait(most);
        return Err(Failure {
            kind: FailureKind::Limit(reached.limit),
            ..wrong(reached.message)
        });
    }
    standing.deferred_until(&trigger)?;
    // What a try has learned in confidence is kept no more than what it returns.
    let masked = |json: &str, what| {
        let masked = standing.log.mask_json(json);
        masked.ok_or_else(|| wrong(not_json(what)))
    };
    if let Trigger::Own(own) = &mut trigger {
        own.arguments = masked(&own.arguments, "what its trigger is made with")?
            .as_ref()
            .into();
    }
    let arguments = masked(&arguments, "what it goes on with")?;
    Ok(Outcome::Deferred(Box::new(Deferral {
        trigger,
        resume: Resume {
            method: standing.log.mask(&method),
            arguments: arguments.as_ref().into(),
        },
        timeout: timeout.map(Duration::from_micros),
    })))
}

/// What a guest says of its failure.
pub(crate) fn failed(standing: &Standing, failure: task_phase::Failure) -> Failure {
    Failure {
        kind: if failure.retry {
            FailureKind::Error
        } else {
            FailureKind::Final
        },
        message: text(standing, &failure.message),
        causes: failure
            .causes
            .iter()
            .take(CAUSES)
            .map(|cause| text(standing, cause))
            .collect(),
        location: failure.location.map(|at| Location {
            file: text(standing, &at.file),
            line: at.line,
        }),
    }
}

/// A guest's text without secrets, and no longer than anybody reads.
fn text(standing: &Standing, text: &str) -> String {
    bounded(&standing.log.mask(text), MESSAGE_BYTES)
}
