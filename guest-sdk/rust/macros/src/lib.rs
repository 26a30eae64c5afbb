//! The attribute macros of `airlock-sdk`, which re-exports and documents them.
//!
//! Whatever an attribute says is checked here, while the bundle compiles: a bad duration, date, time zone,
//! crontab line or trigger rule is a compile error at the author's own line, and reaches neither a parse
//! nor a run.

mod attribute;
mod cron;
mod dag;
mod kind;
mod schedule;
mod signature;
mod task;
mod time;

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

fn expand(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
