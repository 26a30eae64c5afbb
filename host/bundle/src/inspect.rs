//! What a component file is: read from its bytes alone, validated before anything in it is believed.

use airlock_model::id::BundleHash;
use wasmparser::{
    BinaryReaderError, KnownCustom, Parser, Payload, ProducersSectionReader, ValidPayload,
    Validator, WasmFeatures,
    component_types::ComponentEntityType,
    types::{Types, TypesRef},
};

use crate::{
    error::InspectError,
    manifest::{Manifest, embedded},
};

/// The largest bundle that is accepted where nobody says otherwise: 32 MiB, as a team's pool has it.
pub const DEFAULT_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// How many imports, exports, and functions of one import are listed; more are an error.
const MAX_LISTED: usize = 500;
/// How many producers are listed; more are left out.
const MAX_PRODUCERS: usize = 64;

/// An interface that a component imports: its request, as the bytes state it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// As the component writes it, such as `wasi:io/streams@0.2.6`. Guest-written: escape before showing.
    pub name: String,
    /// The functions of it that the component may call.
    pub functions: Vec<String>,
}

impl AsRef<str> for Import {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

/// A tool that a component says it was made with. Guest-written: escape before showing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// `language`, `processed-by` or `sdk`.
    pub field: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A bundle, as its bytes tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The BLAKE3 of the file.
    pub hash: BundleHash,
    /// Its size in bytes.
    pub size: u64,
    /// What it imports, in its order.
    pub imports: Vec<Import>,
    /// What it exports, in its order. Guest-written: escape before showing.
    pub exports: Vec<String>,
    /// The full name of its `airlock:bundle/dags` export, where it has the parse phase.
    pub dags: Option<String>,
    /// The full name of its `airlock:bundle/tasks` export, where it has the task phase.
    pub tasks: Option<String>,
    /// What it says it was made with.
    pub producers: Vec<Producer>,
    /// Its `bundle.toml`.
    pub manifest: Manifest,
}

impl Inspection {
    /// Whether it exports `airlock:bundle/NAME` in a version that this host speaks.
    #[must_use]
    pub fn exports_phase(&self, name: &str) -> bool {
        self.exports.iter().any(|export| is_phase(export, name))
    }
}

/// How much of a component is validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// All of it, to the last instruction.
    Whole,
    /// All but the bodies of its functions, which take most of the time: for bytes that the sandbox's compiler
    /// has accepted before, since it validates them too. Nothing that an inspection tells depends on them.
    Structure,
}

/// The content's name: BLAKE3.
#[must_use]
pub fn hash(bytes: &[u8]) -> BundleHash {
    BundleHash::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// Reads a bundle of at most `max_bytes`, all of it. Takes time in proportion to the size (about a second for the
/// largest): not for a thread that others wait on.
///
/// # Errors
/// An [`InspectError`] that says what the bytes are and what to do.
pub fn inspect(bytes: &[u8], max_bytes: u64) -> Result<Inspection, InspectError> {
    inspect_to(Depth::Whole, bytes, max_bytes)
}

/// Reads a bundle as deeply as that.
pub(crate) fn inspect_to(
    depth: Depth,
    bytes: &[u8],
    max_bytes: u64,
) -> Result<Inspection, InspectError> {
    let size = bytes.len() as u64;
    if size > max_bytes {
        return Err(InspectError::TooLarge {
            bytes: size,
            limit: max_bytes,
        });
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(InspectError::NotWasm);
    }
    if Parser::is_core_wasm(bytes) {
        return Err(InspectError::CoreModule);
    }
    let types = validate(depth, bytes).map_err(InspectError::Invalid)?;
    let outline = outline(bytes, types.as_ref())?;
    let phase = |name: &str| {
        let found = outline.exports.iter().find(|export| is_phase(export, name));
        found.cloned()
    };
    let (dags, tasks) = (phase("dags"), phase("tasks"));
    if dags.is_none() && tasks.is_none() {
        return Err(InspectError::OtherWorld {
            exports: listed(&outline.exports),
        });
    }
    Ok(Inspection {
        hash: hash(bytes),
        size,
        manifest: Manifest::parse(embedded(bytes)?)?,
        dags,
        tasks,
        imports: outline.imports,
        exports: outline.exports,
        producers: outline.producers,
    })
}

fn validate(depth: Depth, bytes: &[u8]) -> Result<Types, BinaryReaderError> {
    let mut validator = Validator::new_with_features(features());
    if depth == Depth::Whole {
        return validator.validate_all(bytes);
    }
    let mut parser = Parser::new(0);
    parser.set_features(features());
    let mut outermost = None;
    for payload in parser.parse_all(bytes) {
        if let ValidPayload::End(types) = validator.payload(&payload?)? {
            outermost = Some(types);
        }
    }
    // What ends has types; whatever has none is the whole validation's to refuse.
    outermost.map_or_else(
        || Validator::new_with_features(features()).validate_all(bytes),
        Ok,
    )
}

/// What a guest may use of WebAssembly: the defaults, without what the sandbox is built without.
fn features() -> WasmFeatures {
    WasmFeatures::default()
        .difference(WasmFeatures::THREADS)
        .difference(WasmFeatures::SHARED_EVERYTHING_THREADS)
        .difference(WasmFeatures::MEMORY64)
        .difference(WasmFeatures::GC)
        .difference(WasmFeatures::EXCEPTIONS)
        .difference(WasmFeatures::CM_ASYNC)
}

/// Whether `export` is `airlock:bundle/NAME` in a version that this host speaks.
fn is_phase(export: &str, name: &str) -> bool {
    export
        .strip_prefix("airlock:bundle/")
        .and_then(|rest| rest.strip_prefix(name))
        .and_then(|rest| rest.strip_prefix('@'))
        .and_then(|version| semver::Version::parse(version).ok())
        .is_some_and(|version| (version.major, version.minor) == (0, 1) && version.pre.is_empty())
}

#[derive(Default)]
struct Outline {
    imports: Vec<Import>,
    exports: Vec<String>,
    producers: Vec<Producer>,
}

/// Imports and exports of the top level, and the producers of every level.
fn outline(bytes: &[u8], types: TypesRef<'_>) -> Result<Outline, InspectError> {
    let mut outline = Outline::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(InspectError::Invalid)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let name = import.map_err(InspectError::Invalid)?.name.name;
                    outline.imports.push(Import {
                        name: name.to_owned(),
                        functions: functions(name, types)?,
                    });
                }
                bounded("imports", outline.imports.len())?;
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    let name = export.map_err(InspectError::Invalid)?.name.name;
                    outline.exports.push(name.to_owned());
                }
                bounded("exports", outline.exports.len())?;
            }
            Payload::CustomSection(custom) => {
                if let KnownCustom::Producers(section) = custom.as_known() {
                    note_producers(section, &mut outline.producers);
                }
            }
            _ => {}
        }
    }
    Ok(outline)
}

fn functions(import: &str, types: TypesRef<'_>) -> Result<Vec<String>, InspectError> {
    let item = types.component_item_for_import(import);
    let Some(ComponentEntityType::Instance(instance)) = item.map(|item| item.ty) else {
        return Ok(Vec::new());
    };
    let Some(instance) = types.get(instance) else {
        return Ok(Vec::new());
    };
    let functions: Vec<String> = instance
        .exports
        .iter()
        .filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)))
        .map(|(name, _)| name.clone())
        .collect();
    bounded("functions of one import", functions.len())?;
    Ok(functions)
}

fn bounded(what: &'static str, count: usize) -> Result<(), InspectError> {
    if count > MAX_LISTED {
        return Err(InspectError::TooMany {
            what,
            limit: MAX_LISTED,
        });
    }
    Ok(())
}

/// Whatever of the section is readable: it is a hint for people, and nothing depends on it.
fn note_producers(section: ProducersSectionReader<'_>, producers: &mut Vec<Producer>) {
    for field in section.into_iter().flatten() {
        for value in field.values.into_iter().flatten() {
            let producer = Producer {
                field: field.name.to_owned(),
                name: value.name.to_owned(),
                version: value.version.to_owned(),
            };
            if producers.len() < MAX_PRODUCERS && !producers.contains(&producer) {
                producers.push(producer);
            }
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<String> = (names.iter().take(5))
        .map(|name| {
            name.chars()
                .take(100)
                .flat_map(char::escape_debug)
                .collect()
        })
        .map(|name: String| format!("`{name}`"))
        .collect();
    let more = if names.len() > 5 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests;
