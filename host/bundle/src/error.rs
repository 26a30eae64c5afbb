//! Why bytes are not a bundle. Each error names what the bytes are, and the fix.

use crate::manifest::{MAX_MANIFEST_BYTES, SECTION};

/// Bytes that are not a bundle.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// More bytes than are accepted.
    #[error(
        "AL-0201: this bundle has {bytes} bytes, and at most {limit} are accepted; strip debug information (`strip = true` in the release profile), or raise the limit"
    )]
    TooLarge {
        /// How many it has.
        bytes: u64,
        /// How many are accepted.
        limit: u64,
    },
    /// No WebAssembly at all.
    #[error(
        "AL-0202: this is not WebAssembly: the file does not begin with `\\0asm`; build the bundle with `airlock bundle build`"
    )]
    NotWasm,
    /// A module, not a component.
    #[error(
        "AL-0203: this is a core WebAssembly module, not a component; build it with `--target wasm32-wasip2`, or with `airlock bundle build`"
    )]
    CoreModule,
    /// It says that it is a component, and is not a valid one.
    #[error(
        "AL-0204: this is no valid component, or needs a feature that is off here (threads, 64-bit memory, garbage collection): {0}; build it again with `airlock bundle build`"
    )]
    Invalid(#[source] wasmparser::BinaryReaderError),
    /// A component that is no bundle.
    #[error(
        "AL-0205: this component is of another world: it exports neither `airlock:bundle/dags@0.1` nor `airlock:bundle/tasks@0.1` (it exports {exports}); write it with the SDK of this version, or export one of them"
    )]
    OtherWorld {
        /// What it exports, escaped and bounded.
        exports: String,
    },
    /// No `bundle.toml` inside.
    #[error(
        "AL-0206: this component carries no bundle.toml (the custom section `{SECTION}`); build it with `airlock bundle build`, which embeds the one beside the code"
    )]
    NoManifest,
    /// More than one `bundle.toml` inside.
    #[error(
        "AL-0207: this component carries more than one bundle.toml (the custom section `{SECTION}`); build it again with `airlock bundle build`"
    )]
    ManyManifests,
    /// A `bundle.toml` that cannot be read. The text shows line and column.
    #[error("AL-0208: the bundle.toml is not understood: {0}")]
    Manifest(#[source] toml::de::Error),
    /// A `bundle.toml` that is no text.
    #[error("AL-0209: the bundle.toml is not UTF-8 text; save it as UTF-8")]
    ManifestText(#[source] std::str::Utf8Error),
    /// A `bundle.toml` with more bytes than are accepted.
    #[error(
        "AL-0210: the bundle.toml has {0} bytes, and at most {MAX_MANIFEST_BYTES} are accepted"
    )]
    ManifestTooLarge(usize),
    /// More imports or exports than any bundle has.
    #[error("AL-0211: this component has more than {limit} {what}; no bundle needs so many")]
    TooMany {
        /// Imports, exports, functions.
        what: &'static str,
        /// How many are accepted.
        limit: usize,
    },
}
