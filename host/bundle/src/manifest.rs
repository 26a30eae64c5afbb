//! `bundle.toml`: read, embedded into a component, found again.
//!
//! It is embedded as a custom section at the top level of the component when the bundle is built, so that
//! the hash of the file covers what the bundle asks for.

use airlock_model::id::BundleName;
use serde::Deserialize;
use wasm_encoder::{ComponentSection as _, CustomSection};
use wasmparser::{Encoding, Parser, Payload};

use crate::error::InspectError;

/// The custom section that holds the text of `bundle.toml`.
pub const SECTION: &str = "airlock:bundle.toml";

/// The largest `bundle.toml`, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 64 * 1024;

/// A `bundle.toml` that says what it must. What it asks for is in the text, for `airlock-grant` to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The bundle's name.
    pub name: BundleName,
    /// Its version, by the rules of Semantic Versioning.
    pub version: semver::Version,
    /// The whole file.
    pub text: String,
}

impl Manifest {
    /// Reads the text of a `bundle.toml`.
    ///
    /// # Errors
    /// An [`InspectError`] with line and column; also for tables and keys that mean nothing.
    pub fn parse(text: &str) -> Result<Self, InspectError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            bundle: Bundle,
            /// Read by `airlock-grant`, which knows its meaning.
            #[serde(rename = "request")]
            _request: Option<toml::Table>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bundle {
            name: BundleName,
            #[serde(deserialize_with = "version")]
            version: semver::Version,
        }
        fn version<'de, D: serde::Deserializer<'de>>(
            deserializer: D,
        ) -> Result<semver::Version, D::Error> {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(|problem| {
                serde::de::Error::custom(format_args!(
                    "`{}` is no version such as `0.1.0`: {problem}",
                    text.escape_debug()
                ))
            })
        }
        if text.len() > MAX_MANIFEST_BYTES {
            return Err(InspectError::ManifestTooLarge(text.len()));
        }
        let File { bundle, .. } = toml::from_str(text).map_err(InspectError::Manifest)?;
        Ok(Self {
            name: bundle.name,
            version: bundle.version,
            text: text.to_owned(),
        })
    }
}

/// The component with this `bundle.toml` embedded, in place of any that was there before. The same component
/// and text give the same bytes.
///
/// # Errors
/// An [`InspectError`] when `component` is not a component, or the text is no `bundle.toml`.
pub fn embed(component: &[u8], manifest: &str) -> Result<Vec<u8>, InspectError> {
    Manifest::parse(manifest)?;
    let mut out = Vec::with_capacity(component.len() + manifest.len() + 64);
    let mut copied = 0;
    walk(component, |section| {
        let keep = !section.is_manifest;
        if keep && let Some(bytes) = component.get(copied..section.end) {
            out.extend_from_slice(bytes);
        }
        copied = section.end;
        Ok(())
    })?;
    CustomSection {
        name: SECTION.into(),
        data: manifest.as_bytes().into(),
    }
    .append_to_component(&mut out);
    Ok(out)
}

/// The text of the `bundle.toml` that a component carries.
///
/// # Errors
/// An [`InspectError`] when there is none, more than one, or it is no text; and when `component` is not a
/// component.
pub fn embedded(component: &[u8]) -> Result<&str, InspectError> {
    let mut found = None;
    walk(component, |section| match (section.is_manifest, found) {
        (true, None) => {
            found = Some(section.data);
            Ok(())
        }
        (true, Some(_)) => Err(InspectError::ManyManifests),
        (false, _) => Ok(()),
    })?;
    let data = found.ok_or(InspectError::NoManifest)?;
    if data.len() > MAX_MANIFEST_BYTES {
        return Err(InspectError::ManifestTooLarge(data.len()));
    }
    std::str::from_utf8(data).map_err(InspectError::ManifestText)
}

/// A part of a component's top level: its header or one section.
struct Section<'a> {
    /// Where it ends; it begins where the one before ends.
    end: usize,
    is_manifest: bool,
    /// The content of a custom section, without its name; empty for others.
    data: &'a [u8],
}

/// Visits the parts of a component's top level, in order; what is nested counts as part of its section.
fn walk<'a>(
    component: &'a [u8],
    mut visit: impl FnMut(Section<'a>) -> Result<(), InspectError>,
) -> Result<(), InspectError> {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(InspectError::Invalid)?;
        if depth == 0 {
            let (is_manifest, data) = match &payload {
                Payload::CustomSection(custom) => (custom.name() == SECTION, custom.data()),
                _ => (false, <&[u8]>::default()),
            };
            let end = match &payload {
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                } => return Err(InspectError::CoreModule),
                Payload::Version { range, .. } => Some(range.end),
                other => other.as_section().map(|(_, range)| range.end),
            };
            if let Some(end) = end {
                visit(Section {
                    end,
                    is_manifest,
                    data,
                })?;
            }
        }
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
