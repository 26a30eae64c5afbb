//! All code of the bundle that the host calls by name: tasks, where deferred tasks go on, triggers, callbacks.
//!
//! The attribute macros enter what they stand on before anything else of the bundle runs. So a call finds its code by
//! name and never runs a DAG function: a graph of a thousand tasks costs a try nothing, and what a DAG function
//! reads (variables of the parse phase, say) is read in the parse phase only.
//!
//! A name is the path of a function or type. Two that stand in the bodies of functions of one module may have the same;
//! what would be found twice is refused before anybody relies on it.

use crate::{
    Context, Result,
    callback::{CallbackCode, CallbackContext},
    deferral::{ResumeCode, Waited},
    definition::TaskSpec,
    fail,
    outcome::{Failure, Outcome},
    sensor,
    trigger::{Answer, TriggerCode, TriggerContext},
};

/// The entry of one `#[task]` function.
pub struct Registered(pub &'static TaskSpec);

/// The entry of one `#[resume]` function.
pub struct RegisteredResume(pub &'static ResumeCode);

/// The entry of one `#[trigger]`.
pub struct RegisteredTrigger(pub TriggerCode);

/// The entry of one `#[callback]` function.
pub struct RegisteredCallback(pub CallbackCode);

inventory::collect!(Registered);
inventory::collect!(RegisteredResume);
inventory::collect!(RegisteredTrigger);
inventory::collect!(RegisteredCallback);

fn find(entry: &str) -> Option<&'static TaskSpec> {
    inventory::iter::<Registered>()
        .map(|task| task.0)
        .find(|spec| spec.entry == entry)
}

/// Whether a try of this task would find this code.
pub(crate) fn holds(spec: &'static TaskSpec) -> bool {
    find(spec.entry).is_some_and(|found| std::ptr::eq(found, spec))
}

/// The one of its name.
fn only<T>(what: &str, name: &str, mut all: impl Iterator<Item = T>) -> Result<T> {
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(fail(format_args!(
            "this version of the bundle has no {what} `{name}`: it was renamed or removed, or the linker dropped it; move it to the bundle's own crate"
        ))),
        (Some(_), Some(_)) => Err(fail(format_args!(
            "`{name}` is the name of two {what}s of the bundle; rename one of them"
        ))),
    }
}

fn triggers(kind: &str) -> impl Iterator<Item = TriggerCode> {
    inventory::iter::<RegisteredTrigger>()
        .map(|trigger| trigger.0)
        .filter(move |code| code.kind == kind)
}

fn resumes(method: &str) -> impl Iterator<Item = &'static ResumeCode> {
    inventory::iter::<RegisteredResume>()
        .map(|resume| resume.0)
        .filter(move |code| code.method == method)
}

fn callbacks(entry: &str) -> impl Iterator<Item = CallbackCode> {
    inventory::iter::<RegisteredCallback>()
        .map(|callback| callback.0)
        .filter(move |code| code.entry == entry)
}

/// Refuses a trigger whose code would not be found.
pub(crate) fn only_trigger(code: TriggerCode) -> Result<()> {
    only("trigger", code.kind, triggers(code.kind)).map(drop)
}

/// Refuses a way on whose code would not be found.
pub(crate) fn only_resume(code: &'static ResumeCode) -> Result<()> {
    only("#[resume] function", code.method, resumes(code.method)).map(drop)
}

/// Refuses a callback whose code would not be found.
pub(crate) fn only_callback(code: CallbackCode) -> Result<()> {
    only("callback", code.entry, callbacks(code.entry)).map(drop)
}

/// Runs one try of the task whose code is called `entry`, with its arguments as JSON texts.
pub(crate) fn run(
    entry: &str,
    context: &Context,
    arguments: Vec<String>,
) -> Result<Outcome, Failure> {
    let Some(spec) = find(entry) else {
        return Err(Failure {
            message: format!(
                "this version of the bundle has no task code `{entry}`: it was renamed or removed after the run began"
            ),
            causes: Vec::new(),
            retry: false,
            location: None,
        });
    };
    crate::graph::within_try(|| Ok((spec.run)(context, arguments)?))
}

/// Goes on with a deferred task; a sensor goes on at its own code.
pub(crate) fn resume(
    method: &str,
    context: &Context,
    waited: Waited<String>,
    arguments: &str,
) -> Result<Outcome> {
    if let Some(code) = find(method).and_then(|spec| spec.sensor) {
        return sensor::resume(code, waited);
    }
    let code = only("#[resume] function", method, resumes(method))?;
    (code.run)(context, waited, arguments)
}

/// Polls a trigger, or a sensor that waits as one.
pub(crate) fn poll(
    kind: &str,
    arguments: &str,
    state: Option<&str>,
    cx: &TriggerContext,
) -> Result<Answer> {
    if let Some(code) = find(kind).and_then(|spec| spec.sensor) {
        return sensor::poll(code, arguments, state, cx);
    }
    let code = only("trigger", kind, triggers(kind))?;
    (code.poll)(arguments, state, cx)
}

/// Runs a callback.
pub(crate) fn call(entry: &str, arguments: &str, what: &CallbackContext) -> Result<()> {
    let code = only("callback", entry, callbacks(entry))?;
    (code.run)(what, arguments)
}
