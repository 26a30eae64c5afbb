//! A hostile team beside another one, in a real host.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on is to fail"
)]

// Marked as tests, so that the lints take them for what they are.
#[cfg(test)]
mod counterparts;
#[cfg(test)]
mod teams;
#[cfg(test)]
mod words;
