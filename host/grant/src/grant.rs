//! What a bundle is granted: the `[[team.bundle.grant.KIND]]` tables of the configuration.
//!
//! Every entry counts for the whole bundle in all phases that the bundle asked for, unless `phases`, `dags`
//! or `tasks` narrow it.

use std::path::{Path, PathBuf};

use airlock_model::id::{ConnectionId, DagId, TaskId};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    http::{HttpPattern, Method},
    item::{Access, GuestPath, Mode, VariablePattern},
    phase::Phases,
    request::{get, outside_parse, twice},
    rule::Narrowing,
};

/// A connection that is granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionGrant {
    /// Its id.
    pub id: ConnectionId,
    /// What may be done with it.
    #[serde(default)]
    pub access: Access,
    /// In these phases only.
    #[serde(
        default,
        deserialize_with = "some_outside_parse",
        skip_serializing_if = "Option::is_none"
    )]
    pub phases: Option<Phases>,
    /// For these DAGs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dags: Option<Vec<DagId>>,
    /// For these tasks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<TaskId>>,
}

/// Variables that are granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableGrant {
    /// One key, or a prefix such as `ledger.*`.
    pub key: VariablePattern,
    /// In these phases only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<Phases>,
    /// For these DAGs only; then not while parsing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dags: Option<Vec<DagId>>,
    /// For these tasks only; then not while parsing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<TaskId>>,
}

/// A directory that is granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryGrant {
    /// Where the guest sees it.
    pub path: GuestPath,
    /// Where it is on this host.
    pub host: PathBuf,
    /// What may be done in it.
    #[serde(default)]
    pub mode: Mode,
    /// In these phases only.
    #[serde(
        default,
        deserialize_with = "some_outside_parse",
        skip_serializing_if = "Option::is_none"
    )]
    pub phases: Option<Phases>,
    /// For these DAGs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dags: Option<Vec<DagId>>,
    /// For these tasks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<TaskId>>,
}

/// HTTP calls that are granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpGrant {
    /// Which URLs.
    pub url: HttpPattern,
    /// With which methods; where nothing is said, `GET`.
    #[serde(default = "get")]
    pub methods: Vec<Method>,
    /// In these phases only.
    #[serde(
        default,
        deserialize_with = "some_outside_parse",
        skip_serializing_if = "Option::is_none"
    )]
    pub phases: Option<Phases>,
    /// For these DAGs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dags: Option<Vec<DagId>>,
    /// For these tasks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<TaskId>>,
}

/// All that one bundle is granted. By default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connection: Vec<ConnectionGrant>,
    /// Variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variable: Vec<VariableGrant>,
    /// Directories; for one caller a path means one directory.
    #[serde(
        default,
        deserialize_with = "distinct_directories",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub directory: Vec<DirectoryGrant>,
    /// HTTP calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
}

impl Grant {
    /// The same grant with each relative host path taken from `folder`, which is where the configuration
    /// file stands.
    #[must_use]
    pub fn relative_to(mut self, folder: &Path) -> Self {
        for directory in &mut self.directory {
            directory.host = folder.join(&directory.host);
        }
        self
    }
}

fn some_outside_parse<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Phases>, D::Error> {
    outside_parse(deserializer).map(Some)
}

fn distinct_directories<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<DirectoryGrant>, D::Error> {
    let directories = Vec::<DirectoryGrant>::deserialize(deserializer)?;
    let rules = directories.iter().map(|one| {
        let narrowing = Narrowing::new(one.phases, one.dags.as_ref(), one.tasks.as_ref());
        (&one.path, narrowing)
    });
    match twice(rules) {
        Some(path) => Err(D::Error::custom(format_args!(
            "directory `{path}` is granted twice to the same tasks: keep one of the two, or narrow them with `dags` or `tasks` so that no task is in both"
        ))),
        None => Ok(directories),
    }
}
