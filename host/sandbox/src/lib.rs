//! The sandbox: every line of a team's code runs here, and reaches what its grant names and nothing else.
//!
//! A team has an engine, a pool of instances and threads of its own ([`Sandbox::add_team`]). A bundle is
//! loaded with what it may reach ([`Sandbox::load`]), compiled in a child process when it is first needed,
//! and linked interface by interface. Each call (a parse, a timetable's answer, a try, a poll of a trigger, a
//! callback) gets a fresh instance, which lives as long as the call and has limits ([`TeamLimits`]) of memory,
//! tables, stack, CPU time, wall time, and of what it hands to the host. The scheduler meets all this as the
//! model's ports [`airlock_model::port::Executor`], [`airlock_model::port::Parser`],
//! [`airlock_model::port::Timetables`], [`airlock_model::port::Poller`] and
//! [`airlock_model::port::CallbackRunner`].

mod adapter;
mod assets;
mod bindings;
mod budget;
mod cache;
mod call;
mod callback;
mod code;
mod compile;
mod config;
mod context;
mod cpu;
mod engine;
mod errand;
mod limits;
mod link;
mod load;
mod log;
mod metrics;
mod parse;
mod reach;
mod sandbox;
mod secrets;
mod shape;
mod task;
mod team;
mod telling;
mod ticker;
mod timetable;
mod trigger;
mod waits;

pub use adapter::Ports;
pub use cache::CacheError;
pub use compile::{COMPILE_ARGUMENT, CompileError, CompileLimits, Compiler, compile_child_main};
pub use config::engine_config;
pub use engine::TeamError;
pub use limits::TeamLimits;
pub use load::{ComponentSource, LoadError, Sourced};
pub use metrics::{CAPABILITIES, ENDS, TeamMetrics};
pub use sandbox::{Options, Sandbox, SandboxError};
pub use shape::ShapeError;
