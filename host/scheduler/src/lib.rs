//! The engine: plans runs, resolves dependencies, dispatches tries, reconciles.
//!
//! Two halves. [`engine`] decides and holds everything in memory; it does no I/O, is told the time, and
//! can be driven by a simulated world. [`driver`] brings it events, writes what it decided, one batch a
//! transaction, and only then hands the tries of that batch to the executor. While one batch is being
//! written the next one gathers, so that one `fsync` carries as much as has come to pass meanwhile: a
//! lone step costs one `fsync`, a thousand parallel ones cost a few.
//!
//! Beside the driver's loop work those that poll triggers, run callbacks and look for files (`abroad`): they
//! take rows by lease and tell the engine what came of them.
//!
//! [`import`] is the way in: it turns a bundle version into live DAGs or into import errors.

mod abroad;
mod control;
pub mod driver;
pub mod engine;
mod handle;
pub mod import;
mod lists;
pub mod policy;
mod ports;
mod questions;
pub mod restart;
mod seen;

pub use abroad::{CallbackOptions, TriggerOptions};
pub use driver::{Channel, Scheduler};
pub use engine::{Engine, LiveDag, Options, TeamSetup};
pub use handle::Handle;
pub use import::{ImportPolicy, Importer};
pub use policy::DagPolicy;
pub use ports::Ports;
