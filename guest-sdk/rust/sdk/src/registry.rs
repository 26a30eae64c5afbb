//! All task code of the bundle, by entry.
//!
//! `#[task]` enters its function before anything else of the bundle runs. So a try finds its code by name
//! and never runs a DAG function: a graph of a thousand tasks costs a try nothing, and what a DAG function
//! reads (variables of the parse phase, say) is read in the parse phase only.

use crate::definition::TaskSpec;

/// The entry of one `#[task]` function.
pub struct Registered(pub &'static TaskSpec);

inventory::collect!(Registered);

fn find(entry: &str) -> Option<&'static TaskSpec> {
    inventory::iter::<Registered>()
        .map(|task| task.0)
        .find(|spec| spec.entry == entry)
}

/// Whether a try of this task would find this code.
pub(crate) fn holds(spec: &'static TaskSpec) -> bool {
    find(spec.entry).is_some_and(|found| std::ptr::eq(found, spec))
}

/// Runs one try of the task whose code is called `entry`, with its arguments as JSON texts.
pub(crate) fn run(
    entry: &str,
    context: &crate::Context,
    arguments: Vec<String>,
) -> Result<crate::outcome::Outcome, crate::outcome::Failure> {
    let Some(spec) = find(entry) else {
        return Err(crate::outcome::Failure {
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
