//! Bundles as bytes: what a component file is and claims, who vouches for it, and where such files come from.
//!
//! A bundle is one WebAssembly component with its `bundle.toml` embedded, named by the BLAKE3 of the final
//! file. Nothing here runs guest code or decides what a bundle may reach: [`inspect`] reads the bytes, with
//! bounds on all that an author controls, and says what is there.

mod content;
mod error;
mod inspect;
mod manifest;
mod signature;
mod source;

pub use content::{Content, ContentError};
pub use error::InspectError;
pub use inspect::{DEFAULT_MAX_BYTES, Depth, Import, Inspection, Producer, hash, inspect};
pub use manifest::{MAX_MANIFEST_BYTES, Manifest, SECTION, embed, embedded};
pub use signature::{
    MAX_SIGNATURE_BYTES, NoKey, PublicKey, SignatureError, SigningKey, canonical_manifest,
    read_signature, signature_path, signer,
};
pub use source::{Source, SourceError, SourceEvent, SourceOptions};
