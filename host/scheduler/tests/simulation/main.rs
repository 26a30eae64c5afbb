//! The engine in a simulated world: a clock that jumps, a store that fails, an executor that answers in any
//! order, people who repair, pause and delete, and hosts that die at any moment. Whatever happens, every run
//! that is due is made once, every run ends, no try is doubled or lost, what is written as ended stays as it
//! is until somebody changes it, no bound is exceeded, and nobody is passed over by one less important.
//!
//! `chaos` makes small worlds and many of them. `year` makes one large world from a seed: a year of a hundred
//! DAGs. It lives through a fixed seed and through one of chance, which is printed when something is wrong;
//! `AIRLOCK_SIMULATION_SEED=…` lives through that one alone, again and in the same way.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

mod bounds;
mod chaos;
mod dags;
mod database;
mod executor;
mod waiting;
mod world;
mod year;
