//! What a file is, read from its outermost sections in the time of a look: which interfaces it imports, and
//! which phases it exports.
//!
//! Nothing here is checked beyond what is read. The compiler validates the whole; this is only to refuse
//! early, with a reason, what could never load.

use wasmparser::{Chunk, Encoding, Parser, Payload};

use crate::errand::Errand;

/// The export that a call of this kind is made to, without its version.
const fn export(errand: Errand) -> &'static str {
    match errand {
        Errand::Parse => "airlock:bundle/dags",
        Errand::Timetable => "airlock:bundle/timetables",
        Errand::Task => "airlock:bundle/tasks",
        Errand::Trigger => "airlock:bundle/triggers",
        Errand::Callback => "airlock:bundle/callbacks",
    }
}

/// A component's face.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Names of imports, as the component writes them.
    pub(crate) imports: Vec<String>,
    /// Names of exports.
    pub(crate) exports: Vec<String>,
}

/// Why a file is no component.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    /// It is no WebAssembly at all.
    #[error(
        "AL-0533: this is not a WebAssembly file; build the bundle with `airlock bundle build`, or `cargo build --target wasm32-wasip2`"
    )]
    NotWasm,
    /// It is a module.
    #[error(
        "AL-0534: this is a core WebAssembly module, not a component; build the bundle for `wasm32-wasip2`"
    )]
    CoreModule,
    /// It is damaged.
    #[error("AL-0535: this WebAssembly component cannot be read: {0}; build it again")]
    Malformed(#[from] wasmparser::BinaryReaderError),
    /// Its end is missing.
    #[error("AL-0535: this WebAssembly component ends too early; build it again")]
    Cut,
}

impl Shape {
    /// Reads the outermost sections.
    pub(crate) fn of(wasm: &[u8]) -> Result<Self, ShapeError> {
        if !wasm.starts_with(b"\0asm") {
            return Err(ShapeError::NotWasm);
        }
        if Parser::is_core_wasm(wasm) {
            return Err(ShapeError::CoreModule);
        }
        Self::read(wasm)
    }

    fn read(wasm: &[u8]) -> Result<Self, ShapeError> {
        let mut shape = Self::default();
        let (mut parser, mut at) = (Parser::new(0), 0);
        loop {
            let rest = wasm.get(at..).ok_or(ShapeError::Cut)?;
            let Chunk::Parsed { consumed, payload } = parser.parse(rest, true)? else {
                return Ok(shape);
            };
            at += consumed;
            match payload {
                Payload::Version { encoding, .. } => {
                    debug_assert_eq!(encoding, Encoding::Component);
                }
                Payload::ComponentImportSection(section) => {
                    for import in section {
                        shape.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) => {
                    for export in section {
                        shape.exports.push(export?.name.name.to_owned());
                    }
                }
                // What is nested is left out: it cannot import anything by itself.
                Payload::ModuleSection {
                    unchecked_range, ..
                }
                | Payload::ComponentSection {
                    unchecked_range, ..
                } => at = unchecked_range.end,
                Payload::End(_) => return Ok(shape),
                _ => {}
            }
        }
    }

    /// Whether it has the export for this.
    pub(crate) fn has(&self, errand: Errand) -> bool {
        self.exports
            .iter()
            .any(|name| name.split('@').next() == Some(export(errand)))
    }

    /// Whether it opens files by a path, and so wants to see granted directories.
    pub(crate) fn wants_files(&self) -> bool {
        self.imports
            .iter()
            .any(|name| name.starts_with("wasi:filesystem/preopens@"))
    }
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{Component, Module, ModuleSection};

    use super::*;

    #[test]
    fn what_is_no_component_is_told_apart() {
        assert!(matches!(Shape::of(b""), Err(ShapeError::NotWasm)));
        assert!(matches!(Shape::of(b"#!/bin/sh"), Err(ShapeError::NotWasm)));
        let module = Module::new().finish();
        assert!(matches!(Shape::of(&module), Err(ShapeError::CoreModule)));
        let mut component = Component::new();
        component.section(&ModuleSection(&Module::new()));
        let bytes = component.finish();
        assert_eq!(Shape::of(&bytes).unwrap(), Shape::default());
        let cut = bytes.get(..bytes.len() - 3).unwrap();
        assert!(matches!(Shape::of(cut), Err(ShapeError::Cut)));
        let torn = [&bytes[..], &[6, 200]].concat();
        assert!(matches!(Shape::of(&torn), Err(ShapeError::Malformed(_))));
    }
}
