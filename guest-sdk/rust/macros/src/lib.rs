//! The attribute macros of `airlock-sdk`, which re-exports and documents them.
//!
//! Whatever an attribute says is checked here, while the bundle compiles: a bad duration, date, time zone,
//! crontab line or trigger rule is a compile error at the author's own line, and reaches neither a parse
//! nor a run.

mod attribute;
mod callback;
mod cron;
mod dag;
mod kind;
mod resume;
mod schedule;
mod signature;
mod task;
mod time;
mod trigger;

use proc_macro::TokenStream;

/// Makes a function a DAG.
#[proc_macro_attribute]
pub fn dag(attributes: TokenStream, item: TokenStream) -> TokenStream {
    expand(dag::expand(attributes.into(), item.into()))
}

/// Makes a function a task.
#[proc_macro_attribute]
pub fn task(attributes: TokenStream, item: TokenStream) -> TokenStream {
    expand(task::expand(attributes.into(), item.into()))
}

/// Makes a type that is a `Trigger`, or a function that looks once, a trigger of the bundle.
///
/// On a function, all optional: `every = "1m"`, `exponential_backoff`, `max_wait = "10m"`, `timeout = "2h"`.
#[proc_macro_attribute]
pub fn trigger(attributes: TokenStream, item: TokenStream) -> TokenStream {
    expand(trigger::expand(attributes.into(), item.into()))
}

/// Makes a function one at which a deferred task goes on.
///
/// Its first parameter, after `&Context` if it takes that, is how the wait ended: `done: Waited<JobResult>`. A call
/// takes the others, and is given to `defer(…).resume(…)`.
#[proc_macro_attribute]
pub fn resume(attributes: TokenStream, item: TokenStream) -> TokenStream {
    expand(resume::expand(attributes.into(), item.into()))
}

/// Makes a function a callback.
///
/// It takes `&CallbackContext` first; a call takes the other parameters, and is given to an attribute:
/// `#[task(on_failure = tell("#alerts"))]`.
#[proc_macro_attribute]
pub fn callback(attributes: TokenStream, item: TokenStream) -> TokenStream {
    expand(callback::expand(attributes.into(), item.into()))
}

fn expand(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
