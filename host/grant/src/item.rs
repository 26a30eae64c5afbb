//! What can be asked for, besides HTTP targets and what [patterns](crate::pattern) name: access to connections and
//! assets, directories.

use std::{fmt, path::Path, sync::Arc};

use airlock_model::id::ConnectionId;
use serde::{Deserialize, Serialize};

use crate::quote::shown;

/// The longest guest path, in bytes.
pub(crate) const MAX_PATH_BYTES: usize = 1024;

/// A text that names nothing that could be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// Not a variable's key, nor a prefix.
    #[error(
        "`{}` is neither a variable's key nor a prefix such as `ledger.*`: use letters, digits and `_-./:`, with a `*` at the end only and something before it",
        shown(.0)
    )]
    Variable(String),
    /// Not an asset's name or URI, nor a prefix.
    #[error(
        "`{}` is neither the name or URI of an asset nor a prefix such as `reports/*`: use 1 to 1,500 bytes without control characters and without spaces around them, with a `*` at the end only and something before it",
        shown(.0)
    )]
    Asset(String),
    /// Not a path inside the sandbox.
    #[error(
        "`{}` is not a directory that a guest could see: use a path such as `archive` or `data/in`, without `..`, of at most {MAX_PATH_BYTES} bytes",
        shown(.0)
    )]
    Path(String),
}

/// What may be done with a connection. Ordered: the smaller allows less, and the larger all of it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// The host reaches the system for the bundle, and logs in; the bundle's code never sees how.
    #[default]
    Use,
    /// The bundle's code sees the connection, its password included.
    Read,
}

impl Access {
    /// The word for it in `bundle.toml` and `airlock.toml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Read => "read",
        }
    }
}

/// A connection that the host may use for a bundle. A permit for it shows nobody what it holds: who is to show the
/// connection itself takes one for its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UsedConnection(pub(crate) ConnectionId);

impl UsedConnection {
    /// Which.
    #[must_use]
    pub const fn id(&self) -> &ConnectionId {
        &self.0
    }
}

/// What may be done with an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssetAccess {
    /// Its changes make runs, end waits and are seen by tasks.
    Consume,
    /// It is changed: by the success of tasks, and by watchers.
    Produce,
}

impl AssetAccess {
    /// The word for it in `bundle.toml` and `airlock.toml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consume => "consume",
            Self::Produce => "produce",
        }
    }
}

/// What may be done in a directory. Ordered: the smaller allows less.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Files are listed and read.
    #[default]
    Read,
    /// Files are also created, written, renamed and removed.
    ReadWrite,
}

impl Mode {
    /// The word for it in `bundle.toml` and `airlock.toml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadWrite => "read-write",
        }
    }
}

/// A path inside the sandbox, relative to its root and in one spelling: `archive`, `data/in`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuestPath(Arc<str>);

impl GuestPath {
    /// The path that `text` spells; `/archive/`, `./archive` and `archive` are the same.
    ///
    /// # Errors
    /// [`ItemError::Path`] for the root itself, `..`, a backslash, a control character, or too long a text.
    pub fn new(text: &str) -> Result<Self, ItemError> {
        let wrong = || ItemError::Path(text.to_owned());
        if text.len() > MAX_PATH_BYTES || text.contains(|c: char| c.is_control() || c == '\\') {
            return Err(wrong());
        }
        let parts: Vec<&str> = text
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        if parts.is_empty() || parts.contains(&"..") {
            return Err(wrong());
        }
        Ok(Self(parts.join("/").into()))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for GuestPath {
    type Error = ItemError;
    fn try_from(text: String) -> Result<Self, ItemError> {
        Self::new(&text)
    }
}
impl From<GuestPath> for String {
    fn from(path: GuestPath) -> Self {
        path.0.as_ref().to_owned()
    }
}

/// A directory of the host, as a guest may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    pub(crate) path: GuestPath,
    pub(crate) host: Arc<Path>,
    pub(crate) mode: Mode,
    pub(crate) within: Option<Arc<Path>>,
}

impl Directory {
    /// Where the guest sees it.
    #[must_use]
    pub const fn path(&self) -> &GuestPath {
        &self.path
    }

    /// Where it is on the host.
    #[must_use]
    pub fn host(&self) -> &Path {
        &self.host
    }

    /// What may be done in it.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The folder which it must not be outside of, symbolic links followed; none where a person wrote the
    /// host's path into the configuration.
    #[must_use]
    pub fn within(&self) -> Option<&Path> {
        self.within.as_deref()
    }
}
