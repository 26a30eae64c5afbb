//! What a bundle asks for: the `[[request.KIND]]` tables of its `bundle.toml`.

use airlock_model::id::ConnectionId;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    http::{HttpPattern, Method},
    item::{Access, AssetAccess, GuestPath, Mode},
    pattern::{AssetPattern, VariablePattern},
    phase::{Phase, Phases},
    rule::Narrowing,
};

/// A `bundle.toml` that cannot be read as a request. The text shows line and column.
#[derive(Debug, thiserror::Error)]
#[error("AL-0401: bundle.toml asks in a way that is not understood; {0}")]
pub struct RequestError(#[source] toml::de::Error);

/// A connection that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionRequest {
    /// Its id.
    pub id: ConnectionId,
    /// What is to be done with it.
    #[serde(default)]
    pub access: Access,
    /// Why, for the reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In which phases; where nothing is said, in the task phase.
    #[serde(default, deserialize_with = "outside_parse")]
    pub phases: Phases,
}

/// Variables that are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableRequest {
    /// One key, or a prefix such as `ledger.*`.
    pub key: VariablePattern,
    /// Why, for the reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In which phases; where nothing is said, in the task phase.
    #[serde(default)]
    pub phases: Phases,
}

/// A directory that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryRequest {
    /// Where the guest sees it.
    pub path: GuestPath,
    /// What is to be done in it.
    #[serde(default)]
    pub mode: Mode,
    /// Why, for the reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In which phases; where nothing is said, in the task phase.
    #[serde(default, deserialize_with = "outside_parse")]
    pub phases: Phases,
}

/// HTTP calls that are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// Which URLs.
    pub url: HttpPattern,
    /// With which methods; where nothing is said, `GET`.
    #[serde(default = "get")]
    pub methods: Vec<Method>,
    /// Why, for the reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In which phases; where nothing is said, in the task phase.
    #[serde(default, deserialize_with = "outside_parse")]
    pub phases: Phases,
}

/// Assets that are asked for. They are settled where DAGs are defined, so that there is no phase to narrow them to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetRequest {
    /// One name or URI, or a prefix such as `reports/*`.
    pub name: AssetPattern,
    /// What is to be done with them.
    pub access: AssetAccess,
    /// Why, for the reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// All that a bundle asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connection: Vec<ConnectionRequest>,
    /// Variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variable: Vec<VariableRequest>,
    /// Directories, each path at most once per phase.
    #[serde(
        default,
        deserialize_with = "distinct_directories",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub directory: Vec<DirectoryRequest>,
    /// HTTP calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpRequest>,
    /// Assets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asset: Vec<AssetRequest>,
}

impl Request {
    /// What a whole `bundle.toml` asks for.
    ///
    /// # Errors
    /// A [`RequestError`] with line and column, also for a key that means nothing.
    pub fn from_bundle_toml(text: &str) -> Result<Self, RequestError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct BundleToml {
            /// Read where bundles are inspected.
            #[serde(rename = "bundle")]
            _bundle: Option<serde::de::IgnoredAny>,
            #[serde(default)]
            request: Request,
        }
        toml::from_str::<BundleToml>(text)
            .map(|file| file.request)
            .map_err(RequestError)
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub(crate) fn get() -> Vec<Method> {
    vec![Method::get()]
}

/// Parsing is pure: of all capabilities it may have variables only, which its result depends on knowingly.
pub(crate) fn outside_parse<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Phases, D::Error> {
    let phases = Phases::deserialize(deserializer)?;
    if phases.contains(Phase::Parse) {
        return Err(D::Error::custom(
            "only variables can be had in the parse phase: leave `parse` out here",
        ));
    }
    Ok(phases)
}

fn distinct_directories<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<DirectoryRequest>, D::Error> {
    let directories = Vec::<DirectoryRequest>::deserialize(deserializer)?;
    let rules = directories
        .iter()
        .map(|one| (&one.path, Narrowing::phases_only(one.phases)));
    match twice(rules) {
        Some(path) => Err(D::Error::custom(format_args!(
            "directory `{path}` is asked for twice in the same phase: keep one of the two"
        ))),
        None => Ok(directories),
    }
}

/// A path of which two rules count for one same caller.
pub(crate) fn twice<'a>(
    rules: impl Iterator<Item = (&'a GuestPath, Narrowing)>,
) -> Option<&'a GuestPath> {
    let mut seen: Vec<(&GuestPath, Narrowing)> = Vec::new();
    for (path, narrowing) in rules {
        if seen
            .iter()
            .any(|(other, theirs)| *other == path && theirs.meets(&narrowing))
        {
            return Some(path);
        }
        seen.push((path, narrowing));
    }
    None
}

#[cfg(test)]
mod tests;
