//! Ids, each a type of its own, so that a task's id cannot stand where a DAG's belongs.
//!
//! Every textual id is checked once, when it enters the house, and is short, printable and safe as one
//! component of a path or a URL from then on. The character set is Airflow's (letters, digits, `_`, `-`,
//! `.`), less the names `.` and `..`, which would walk through the folders that are named after ids.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest textual id, in bytes (Airflow 3.3.2, `StringID`).
pub const MAX_ID_BYTES: usize = 250;

/// A text that cannot be an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("AL-0301: a {kind} must not be empty")]
    Empty {
        /// Which kind of id.
        kind: &'static str,
    },
    /// Longer than [`MAX_ID_BYTES`].
    #[error("AL-0302: a {kind} has at most {MAX_ID_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// Which kind of id.
        kind: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// A character, or the whole, is not allowed.
    #[error("AL-0303: `{}` is not a {kind}: {allowed}", text.escape_debug())]
    Malformed {
        /// Which kind of id.
        kind: &'static str,
        /// What was given.
        text: String,
        /// What would be right.
        allowed: &'static str,
    },
}

fn check(
    kind: &'static str,
    text: &str,
    extra: &str,
    allowed: &'static str,
) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { kind });
    }
    if text.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong {
            kind,
            bytes: text.len(),
        });
    }
    let good = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c) || extra.contains(c);
    if !text.chars().all(good) || text == "." || text == ".." {
        return Err(IdError::Malformed {
            kind,
            text: text.chars().take(80).collect(),
            allowed,
        });
    }
    Ok(())
}

macro_rules! textual_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $extra:literal, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id, if `text` is one.
            ///
            /// # Errors
            /// An [`IdError`] that says what is wrong with it.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                check($kind, text.as_ref(), $extra, $allowed)?;
                Ok(Self(text.as_ref().into()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}

textual_id!(
    /// A team: the owner of bundles, and the border that nothing crosses ungranted.
    TeamName, "team name", "", "use letters, digits, `_`, `-` and `.`"
);
textual_id!(
    /// A bundle, unique in the whole installation.
    BundleName, "bundle name", "", "use letters, digits, `_`, `-` and `.`"
);
textual_id!(
    /// A DAG, unique in the whole installation and owned by one bundle.
    DagId, "dag_id", "", "use letters, digits, `_`, `-` and `.`"
);
textual_id!(
    /// A task, unique in its DAG.
    TaskId, "task_id", "", "use letters, digits, `_`, `-` and `.`"
);
textual_id!(
    /// A DAG run, unique in its DAG, such as `scheduled__2012-01-15T00:00:00+00:00`.
    RunId, "run_id", "~:+", "use letters, digits and `_-.~:+`"
);
textual_id!(
    /// A pool, global or a team's.
    PoolName, "pool name", " ", "use letters, digits, spaces and `_-.`"
);
textual_id!(
    /// A connection, global or a team's.
    ConnectionId, "connection id", "/", "use letters, digits and `_-./`"
);
textual_id!(
    /// A variable's key, global or a team's.
    VariableKey, "variable key", "/:", "use letters, digits and `_-./:`"
);

impl TeamName {
    /// The team that is there when nobody configured one.
    #[must_use]
    pub fn default_team() -> Self {
        Self("default".into())
    }
}

impl PoolName {
    /// The pool of tasks that name none; each team has its own of this name.
    #[must_use]
    pub fn default_pool() -> Self {
        Self("default_pool".into())
    }
}

/// A BLAKE3 hash that names content, printed as 64 hexadecimal digits.
macro_rules! content_hash {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// The hash with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The hash's bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first eight hexadecimal digits, for people.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string().chars().take(8).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "b3:{self}")
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                unhex(text).map(Self).ok_or_else(|| IdError::Malformed {
                    kind: $kind,
                    text: text.chars().take(80).collect(),
                    allowed: "64 hexadecimal digits",
                })
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(hash: $name) -> String {
                hash.to_string()
            }
        }
    };
}

content_hash!(
    /// A bundle's content: the BLAKE3 of the component file.
    BundleHash,
    "bundle hash"
);

content_hash!(
    /// What a DAG's definition is: the hash of its text. One component may give several, because its parse
    /// may read variables; a run keeps the one that it began with.
    DefinitionHash,
    "definition hash"
);

content_hash!(
    /// A row of the audit: the hash of all that it says and of the row before it.
    AuditHash,
    "audit hash"
);

impl AuditHash {
    /// What the first row has before it.
    pub const FIRST: Self = Self([0; 32]);
}

impl DefinitionHash {
    /// The hash of a definition's JSON text.
    #[must_use]
    pub fn of(json: &str) -> Self {
        Self(*blake3::hash(json.as_bytes()).as_bytes())
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0_u8; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// A DAG run's key in the database: a UUIDv7, so that runs sort by creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunKey(pub Uuid);

/// A backfill, counted from one in the installation, for people who name it on a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BackfillId(pub i64);

/// A change of an asset: a UUIDv7, so that events sort by their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AssetEventId(pub Uuid);

/// A trigger that is a bundle's own code: a UUIDv7, so that triggers sort by their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TriggerId(pub Uuid);

/// A host process, from its start to its end: whoever holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub Uuid);

/// A task's position in its DAG definition's list of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskIndex(pub u32);

impl TaskIndex {
    /// As an index into a slice.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// Which instance of a mapped task; -1 is a task that is not mapped (Airflow 3.3.2, `map_index`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MapIndex(pub i32);

impl MapIndex {
    /// The index of what is not mapped.
    pub const UNMAPPED: Self = Self(-1);

    /// As an index into a slice of mapped instances; none for one that is not mapped.
    #[must_use]
    pub fn get(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }
}

/// A task instance's place in its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceIndex {
    /// The task.
    pub task: TaskIndex,
    /// Which instance of it.
    pub map_index: MapIndex,
}

impl InstanceIndex {
    /// The one instance of a task that is not mapped, or not yet.
    #[must_use]
    pub const fn unmapped(task: TaskIndex) -> Self {
        Self {
            task,
            map_index: MapIndex::UNMAPPED,
        }
    }
}

/// The fencing token of a try: a counter per task instance, which each claim raises. Only the holder of
/// the newest may change the task instance's state, and outside systems may compare it for the same end.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Token(u64);

impl Token {
    /// A token as it was stored; zero before the first claim.
    #[must_use]
    pub const fn stored(value: u64) -> Self {
        Self(value)
    }

    /// The token of the next claim.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number, for the database and the guest.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// One task instance: a task in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskInstanceKey {
    /// The run.
    pub run: RunKey,
    /// The task.
    pub task: TaskIndex,
    /// Which instance of it.
    pub map_index: MapIndex,
}

impl TaskInstanceKey {
    /// Its place in its run.
    #[must_use]
    pub const fn index(self) -> InstanceIndex {
        InstanceIndex {
            task: self.task,
            map_index: self.map_index,
        }
    }
}

/// What something belongs to: a team, or everyone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Seen by every team that has none of its own of that name.
    Global,
    /// Seen by this team only.
    Team(TeamName),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_walk_through_folders_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a\\b",
            "a\0",
            "ä",
            "a b",
            &"x".repeat(251),
        ] {
            assert!(DagId::new(bad).is_err(), "{bad:?}");
        }
        assert!(DagId::new("payments_2.daily-x").is_ok());
        assert!(RunId::new("scheduled__2012-01-15T00:00:00+00:00").is_ok());
        assert!(RunId::new("../../etc").is_err());
    }

    #[test]
    fn a_bundle_hash_survives_text() {
        let hash = BundleHash::from_bytes([0xab; 32]);
        assert_eq!(hash.to_string().parse::<BundleHash>().unwrap(), hash);
        assert!("xyz".parse::<BundleHash>().is_err());
        assert!("é".repeat(32).parse::<BundleHash>().is_err());
    }
}
