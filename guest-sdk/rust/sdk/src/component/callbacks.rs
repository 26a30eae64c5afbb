//! The callback phase.

use super::{Bundle, Component, failed, listen, time};
use crate::{
    bindings::{
        airlock::bundle::definitions as wit,
        exports::airlock::bundle::{
            callbacks::{Guest, Request},
            tasks::Failure,
        },
    },
    callback::{self, Attempt, CallbackContext, CallbackKind, MissedDeadline},
};

impl<B: Bundle> Guest for Component<B> {
    fn call(entry: String, arguments: String, request: Request) -> Result<(), Failure> {
        listen();
        let what = context_of(request).map_err(|wrong| failed(wrong.into()))?;
        callback::run(&entry, &arguments, &what).map_err(failed)
    }
}

fn context_of(from: Request) -> Result<CallbackContext, String> {
    Ok(CallbackContext {
        id: from.id,
        kind: match from.kind {
            wit::CallbackKind::TaskExecute => CallbackKind::TaskExecute,
            wit::CallbackKind::TaskSuccess => CallbackKind::TaskSuccess,
            wit::CallbackKind::TaskFailure => CallbackKind::TaskFailure,
            wit::CallbackKind::TaskRetry => CallbackKind::TaskRetry,
            wit::CallbackKind::TaskSkipped => CallbackKind::TaskSkipped,
            wit::CallbackKind::DagSuccess => CallbackKind::DagSuccess,
            wit::CallbackKind::DagFailure => CallbackKind::DagFailure,
            wit::CallbackKind::Deadline => CallbackKind::Deadline,
        },
        created_at: time(from.created_at)?,
        message: from.message,
        dag_id: from.dag_id,
        run_id: from.run_id,
        run_type: from.run_type,
        logical_date: from.logical_date.map(time).transpose()?,
        attempt: from.attempt.map(|attempt| Attempt {
            task_id: attempt.task_id,
            map_index: attempt.map_index,
            try_number: attempt.try_number,
            max_tries: attempt.max_tries,
        }),
        deadline: match from.deadline {
            None => None,
            Some((name, at)) => Some(MissedDeadline {
                name,
                at: time(at)?,
            }),
        },
        execution: from.execution,
    })
}
