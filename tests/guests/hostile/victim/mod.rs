//! The other team: it keeps a secret in its XCom and its log, logs in with its connection, and listens to an asset.

use crate::{
    ask,
    generated::exports::airlock::bundle::tasks::{Context, Outcome},
    parse,
};

/// Its DAG.
pub(crate) const DAG: &str = "victim";
/// Its asset.
pub(crate) const ASSET: &str = "ledger";

/// Writes what the run was triggered with into its log, and returns it.
pub(crate) fn keep(context: &Context) -> Outcome {
    ask::say("victim", &context.params);
    let own = ask::connection("bank").is_empty();
    ask::say("victim", if own { "without password" } else { "logged in" });
    parse::success(Some(context.params.clone()))
}
