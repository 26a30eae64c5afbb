//! The one place where machine code enters the process, and the only unsafe code of the house.
//!
//! Wasmtime runs what a compiled file holds without looking at it. So the file must have been written by
//! our own compiler and must not change while it is mapped. Both are [`Verified`]'s promise, and only
//! [`crate::cache`] makes one: the file lies in a folder that nobody but the host's own user can enter, its
//! keyed hash (over the engine's edition, the component's hash and the code) was checked a moment ago, and
//! files there are replaced by renaming, never written to in place.

#![expect(
    unsafe_code,
    reason = "wasmtime cannot check machine code; see the module's own words"
)]

use std::path::PathBuf;

use wasmtime::{Engine, component::Component};

/// A compiled file that holds what our compiler wrote.
pub(crate) struct Verified(pub(crate) PathBuf);

/// Maps machine code into the process.
///
/// # Errors
/// When the file was made by another version of the compiler, cannot be mapped, or needs more than this
/// engine's pool has.
pub(crate) fn map(engine: &Engine, file: &Verified) -> wasmtime::Result<Component> {
    // SAFETY: `Verified` promises that the file is the unmodified output of `Engine::precompile_component`
    // of this program, and that it stays so; see above.
    unsafe { Component::deserialize_file(engine, &file.0) }
}
