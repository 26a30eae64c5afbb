//! The task phase: one try.

use std::{sync::Arc, time::Duration};

use airlock_grant::Caller;
use airlock_model::{
    dag::Location,
    outcome::{Failure, FailureKind, Outcome},
    port::Work,
    time::Timestamp,
};

use crate::{
    adapter::{Pushed, Standing},
    bindings::{
        TaskBundlePre,
        task_phase::{self, Context as Names},
    },
    call::{self, MESSAGE_BYTES, Room, bounded},
    context::Context,
    limits::Reached,
};

/// Causes that are kept of a guest's error.
const CAUSES: usize = 16;

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
    let timeout: Option<Duration> = work.execution_timeout;
    let answer = call::run(room, standing, files, timeout, async |store| {
        let instance = bundle.instantiate_async(&mut *store).await?;
        let arguments: Vec<String> = work.arguments.iter().map(|json| (**json).into()).collect();
        let answer = instance
            .airlock_bundle_tasks()
            .call_run(&mut *store, &work.entry, &names(work), &arguments)
            .await?;
        let nothing = Pushed::new(0);
        let pushed = std::mem::replace(&mut store.data_mut().call.pushed, nothing);
        Ok((answer, pushed))
    })
    .await;
    match answer {
        Ok((Ok(task_phase::Outcome::Success(value)), pushed)) => {
            success(standing, value, pushed).unwrap_or_else(Outcome::Failed)
        }
        Ok((Ok(task_phase::Outcome::Skipped(reason)), _)) => Outcome::Skipped {
            reason: text(standing, &reason),
        },
        Ok((Err(failure), _)) => Outcome::Failed(failed(standing, failure)),
        Err(end) => Outcome::Failed(end.into_failure()),
    }
}

fn names(work: &Work) -> Names {
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
    }
}

fn success(standing: &Standing, value: Option<String>, pushed: Pushed) -> Result<Outcome, Failure> {
    let failure = |kind, message| Failure {
        kind,
        message,
        causes: Vec::new(),
        location: None,
    };
    let reached = |reached: Reached| failure(FailureKind::Limit(reached.limit), reached.message);
    let masked = |json: &str| {
        standing.log.mask_json(json).ok_or_else(|| {
            let message = "AL-0517: what the task returned is not JSON; let the SDK serialise it";
            failure(FailureKind::Error, message.to_owned())
        })
    };
    let xcoms = pushed
        .with_returned(value.map(Into::into))
        .map_err(reached)?
        .into_iter()
        .map(|(key, value)| Ok((text(standing, &key), masked(&value)?)))
        .collect::<Result<_, Failure>>()?;
    Ok(Outcome::success(xcoms))
}

fn failed(standing: &Standing, failure: task_phase::Failure) -> Failure {
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
