//! The callback phase: one request, heard once.

use std::sync::Arc;

use airlock_grant::Caller;
use airlock_model::{
    callback::CallbackKind,
    outcome::Failure,
    port::{CallbackRow, CallbackTry},
    time::Timestamp,
};

use crate::{
    adapter::Standing,
    bindings::{
        CallbackBundlePre, CallbackFailure, callback_phase as wit, definitions, task_phase,
    },
    call::{self, Room},
    context::Context,
    task,
};

/// On whose behalf a callback's instance calls.
pub(crate) fn caller(row: &CallbackRow) -> Caller {
    let attempt = row.subject.attempt.as_ref();
    let task_id = attempt.map(|attempt| attempt.task_id.clone());
    Caller::callback(row.subject.dag_id.clone(), task_id)
}

/// Who speaks, in the host's log.
pub(crate) fn speaker(row: &CallbackRow) -> String {
    let (kind, subject) = (row.kind, &row.subject);
    let (dag, run) = (&subject.dag_id, &subject.run_id);
    match &subject.attempt {
        Some(CallbackTry {
            task_id, map_index, ..
        }) => {
            let index = map_index
                .get()
                .map_or_else(String::new, |at| format!("[{at}]"));
            format!("from callback {kind} of task `{task_id}{index}` in run `{run}` of DAG `{dag}`")
        }
        None => format!("from callback {kind} of run `{run}` of DAG `{dag}`"),
    }
}

/// Runs a callback to its end.
pub(crate) async fn run(
    room: &Room<'_>,
    standing: &Arc<Standing>,
    bundle: &CallbackBundlePre<Context>,
    files: bool,
    row: &CallbackRow,
) -> Result<(), Failure> {
    let told = call::run(room, standing, files, None, async |store| {
        let instance = bundle.instantiate_async(&mut *store).await?;
        let (entry, arguments) = (row.entry.to_string(), row.arguments.to_string());
        instance
            .airlock_bundle_callbacks()
            .call_call(store, &entry, &arguments, &request(row))
            .await
    })
    .await;
    match told {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => {
            let CallbackFailure {
                message,
                causes,
                retry,
                location,
            } = failure;
            let failure = task_phase::Failure {
                message,
                causes,
                retry,
                location,
            };
            Err(task::failed(standing, failure))
        }
        Err(end) => Err(end.into_failure()),
    }
}

fn request(row: &CallbackRow) -> wit::Request {
    let subject = &row.subject;
    wit::Request {
        id: row.id.to_string(),
        kind: kind(row.kind),
        created_at: row.created_at.micros(),
        message: row.message.as_ref().into(),
        dag_id: subject.dag_id.to_string(),
        run_id: subject.run_id.to_string(),
        run_type: subject.run_type.to_string(),
        logical_date: subject.logical_date.map(Timestamp::micros),
        attempt: subject.attempt.as_ref().map(|attempt| wit::Attempt {
            task_id: attempt.task_id.to_string(),
            map_index: attempt.map_index.0,
            try_number: attempt.try_number,
            max_tries: attempt.max_tries,
        }),
        deadline: subject
            .deadline
            .as_ref()
            .map(|(name, at)| (name.clone(), at.micros())),
        // The claim under which it runs is counted already.
        execution: row.tries.max(1),
    }
}

const fn kind(kind: CallbackKind) -> definitions::CallbackKind {
    match kind {
        CallbackKind::TaskExecute => definitions::CallbackKind::TaskExecute,
        CallbackKind::TaskSuccess => definitions::CallbackKind::TaskSuccess,
        CallbackKind::TaskFailure => definitions::CallbackKind::TaskFailure,
        CallbackKind::TaskRetry => definitions::CallbackKind::TaskRetry,
        CallbackKind::TaskSkipped => definitions::CallbackKind::TaskSkipped,
        CallbackKind::DagSuccess => definitions::CallbackKind::DagSuccess,
        CallbackKind::DagFailure => definitions::CallbackKind::DagFailure,
        CallbackKind::Deadline => definitions::CallbackKind::Deadline,
    }
}
