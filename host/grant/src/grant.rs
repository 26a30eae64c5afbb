//! What a bundle is granted: the `[[team.bundle.grant.KIND]]` tables of the configuration.
//!
//! Every entry counts for the whole bundle in all phases that the bundle asked for, unless `phases`, `dags`
//! or `tasks` narrow it.

use std::path::{Path, PathBuf};

use airlock_model::id::{ConnectionId, DagId, TaskId, TeamName};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    effective::Side,
    http::{HttpPattern, Method},
    item::{Access, AssetAccess, GuestPath, Mode},
    pattern::{AssetPattern, VariablePattern},
    phase::Phases,
    quote::shown,
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
    /// This other team's, which shares it; without one, the own team's or that of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<TeamName>,
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
    /// This other team's, which shares it; without one, the own team's or that of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<TeamName>,
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

/// Assets that are granted. They are settled where DAGs are defined, so that there is no phase to narrow them to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetGrant {
    /// One name or URI, or a prefix such as `reports/*`.
    pub name: AssetPattern,
    /// What may be done with them.
    pub access: AssetAccess,
    /// For these DAGs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dags: Option<Vec<DagId>>,
    /// For these tasks only, and not for what is a DAG's own: its schedule and its watchers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<TaskId>>,
}

/// All that one bundle is granted. By default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Connections; for one caller an id means one connection.
    #[serde(
        default,
        deserialize_with = "distinct_connections",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub connection: Vec<ConnectionGrant>,
    /// Variables; for one caller a key means one variable.
    #[serde(
        default,
        deserialize_with = "distinct_variables",
        skip_serializing_if = "Vec::is_empty"
    )]
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
    /// Assets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asset: Vec<AssetGrant>,
}

/// The largest grant, in bytes of JSON.
pub const MAX_GRANT_BYTES: usize = 64 << 10;

/// A grant that nobody could mean.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It is too large for a person to read.
    #[error(
        "AL-0440: this grant has {bytes} bytes, more than the {MAX_GRANT_BYTES} that one may have; grant prefixes or patterns instead of single names"
    )]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// Two entries that cannot both be meant.
    #[error("AL-0451: this grant contradicts itself: {0}")]
    Contradictory(String),
    /// A directory without a place.
    #[error(
        "AL-0441: the grant of the directory `{path}` names `{}` on the host, which is not an absolute path; name where it lies from `/` on", shown(&host.to_string_lossy())
    )]
    Relative {
        /// As the guest sees it.
        path: GuestPath,
        /// What was given.
        host: PathBuf,
    },
}

impl Grant {
    /// What was given other than by the configuration file is bounded, and stands nowhere that a path could be
    /// relative to.
    ///
    /// # Errors
    /// A [`GrantError`].
    pub fn check(&self) -> Result<(), GrantError> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        if json.len() > MAX_GRANT_BYTES {
            return Err(GrantError::TooLarge { bytes: json.len() });
        }
        // What was put together is held against the same rules as what is read.
        if let Err(wrong) = serde_json::from_slice::<Self>(&json) {
            return Err(GrantError::Contradictory(wrong.to_string()));
        }
        let mut directories = self.directory.iter();
        match directories.find(|one| !one.host.is_absolute()) {
            Some(one) => Err(GrantError::Relative {
                path: one.path.clone(),
                host: one.host.clone(),
            }),
            None => Ok(()),
        }
    }

    /// All that it holds, a line each, with for whom it counts where that is not everybody; each safe to show.
    #[must_use]
    pub fn entries(&self) -> Vec<String> {
        Side::granted(self).lines()
    }

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

fn distinct_connections<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<ConnectionGrant>, D::Error> {
    let all = Vec::<ConnectionGrant>::deserialize(deserializer)?;
    for (i, one) in all.iter().enumerate() {
        let narrowing = Narrowing::new(one.phases, one.dags.as_ref(), one.tasks.as_ref());
        let clashes = |other: &&ConnectionGrant| {
            let theirs = Narrowing::new(other.phases, other.dags.as_ref(), other.tasks.as_ref());
            other.id == one.id && other.from != one.from && theirs.meets(&narrowing)
        };
        if all.iter().skip(i + 1).any(|other| clashes(&other)) {
            return Err(D::Error::custom(format_args!(
                "connection `{}` is granted to the same tasks of two teams: keep one of the two, or narrow them so that no task is in both",
                one.id
            )));
        }
    }
    Ok(all)
}

fn distinct_variables<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<VariableGrant>, D::Error> {
    let all = Vec::<VariableGrant>::deserialize(deserializer)?;
    for (i, one) in all.iter().enumerate() {
        if one.from.is_some() && one.key.exact().is_none() {
            return Err(D::Error::custom(format_args!(
                "`{}` is more than one variable: another team's are borrowed one by one, by their keys",
                one.key
            )));
        }
        let narrowing = Narrowing::new(one.phases, one.dags.as_ref(), one.tasks.as_ref());
        let clashes = |other: &&VariableGrant| {
            let theirs = Narrowing::new(other.phases, other.dags.as_ref(), other.tasks.as_ref());
            other.key.and(&one.key).is_some() && other.from != one.from && theirs.meets(&narrowing)
        };
        if all.iter().skip(i + 1).any(|other| clashes(&other)) {
            return Err(D::Error::custom(format_args!(
                "variable `{}` is granted to the same tasks of two teams: keep one of the two, or narrow them so that no task is in both",
                one.key
            )));
        }
    }
    Ok(all)
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
