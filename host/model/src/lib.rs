//! The vocabulary and the rules: what a DAG, a run, a task instance and a try are, and how they move.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and randomness are arguments, so
//! that every rule can be held against a table and every state machine against a simulated world. What
//! the rooms need of each other they ask for through the small traits in [`port`].

pub mod admission;
pub mod audit;
pub mod callback;
pub mod connection;
pub mod dag;
pub mod grant;
pub mod id;
pub mod log;
pub mod mask;
pub mod outcome;
pub mod params;
pub mod port;
pub mod priority;
pub mod retry;
pub mod run;
pub mod state;
pub mod time;
pub mod timetable;
pub mod trigger;
pub mod trigger_rule;
