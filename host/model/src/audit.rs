//! What is kept of who did what: entries, and the chain of hashes that shows when one of them was touched.
//!
//! Each row carries the hash of the row before it, and its own hash covers that one and everything that it
//! says. Whoever changes, removes, inserts or reorders rows has to rewrite all that follow, and cannot do
//! even that unnoticed where a later hash is known elsewhere: that is what an exported [`AuditHead`] is for.

mod chain;
pub mod denials;

use std::{
    fmt::{self, Write as _},
    str::FromStr,
    sync::Arc,
};

use serde::Serialize;

use crate::{
    id::{BundleName, TeamName},
    time::Timestamp,
};

pub use chain::{AuditCheck, AuditHead, AuditRow, BrokenChain, HeadError, row_hash};
pub use denials::{Denials, Denied};

/// The longest subject, in bytes; what is longer is cut, and ends with `…`.
pub const MAX_SUBJECT_BYTES: usize = 1_024;
/// The longest details, in bytes of JSON; what is longer is left out, and its length is told instead.
pub const MAX_DETAIL_BYTES: usize = 8_192;
/// The longest name of a person, in bytes; what is longer is cut.
pub const MAX_PERSON_BYTES: usize = 250;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// Somebody who proved who they are.
    Person(Arc<str>),
    /// Airlock itself: its start, its end, what its configuration says.
    Host,
    /// A bundle's code.
    Bundle,
}

impl Actor {
    /// A person, by name; what is longer than [`MAX_PERSON_BYTES`] is cut.
    #[must_use]
    pub fn person(name: &str) -> Self {
        Self::Person(bounded(name, MAX_PERSON_BYTES).into())
    }
}

/// `person:NAME`, `host` or `bundle`.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(name) => write!(f, "person:{name}"),
            Self::Host => f.write_str("host"),
            Self::Bundle => f.write_str("bundle"),
        }
    }
}

/// A text that names no actor, or no action, that this program knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("AL-0630: `{}` is no {kind} that this program knows; a newer one may", text.escape_debug())]
pub struct UnknownName {
    kind: &'static str,
    text: String,
}

impl UnknownName {
    fn new(kind: &'static str, text: &str) -> Self {
        let text = text.chars().take(80).collect();
        Self { kind, text }
    }
}

impl FromStr for Actor {
    type Err = UnknownName;
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            "host" => Ok(Self::Host),
            "bundle" => Ok(Self::Bundle),
            _ => text
                .strip_prefix("person:")
                .map(|name| Self::Person(name.into()))
                .ok_or_else(|| UnknownName::new("actor", text)),
        }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $name:literal,)*) => {
        /// What was done. The names are stable: they are in exported rows, and in what is hashed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AuditAction {
            $($(#[$doc])* $action,)*
        }

        impl AuditAction {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$action,)*];

            /// Its name, such as `grant.approve`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)*
                }
            }
        }
    };
}

actions! {
    /// The host began to work.
    HostStart = "host.start",
    /// The host was told to end.
    HostStop = "host.stop",
    /// A grant was proposed.
    GrantPropose = "grant.propose",
    /// A proposed grant was approved.
    GrantApprove = "grant.approve",
    /// A proposed grant was refused.
    GrantDeny = "grant.deny",
    /// An approved grant was taken back.
    GrantRevoke = "grant.revoke",
    /// A version of a bundle began to serve.
    BundleActivate = "bundle.activate",
    /// A version of a bundle waits for approval, and the one before it goes on serving.
    BundleWait = "bundle.wait",
    /// A version of a bundle was not taken in, since nobody vouches for it whose key counts.
    BundleRefuse = "bundle.refuse",
    /// A bundle's code wanted what it may not have.
    CapabilityDenied = "capability.denied",
    /// A DAG was handed to another bundle.
    DagTransfer = "dag.transfer",
    /// A DAG and its runs were deleted.
    DagDelete = "dag.delete",
    /// A DAG makes no further runs.
    DagPause = "dag.pause",
    /// A DAG makes runs again.
    DagUnpause = "dag.unpause",
    /// A run was asked for.
    RunTrigger = "run.trigger",
    /// A run, or tasks of it, are to run again.
    RunClear = "run.clear",
    /// A run was given a state or a note.
    RunMark = "run.mark",
    /// A run was deleted.
    RunDelete = "run.delete",
    /// Task instances are to run again.
    TaskClear = "task.clear",
    /// Task instances were given a state or a note.
    TaskMark = "task.mark",
    /// A backfill was asked for.
    BackfillCreate = "backfill.create",
    /// A backfill starts no further runs.
    BackfillPause = "backfill.pause",
    /// A backfill starts runs again.
    BackfillUnpause = "backfill.unpause",
    /// A backfill was called off.
    BackfillCancel = "backfill.cancel",
    /// A variable was made or changed.
    VariableSet = "variable.set",
    /// A variable was deleted.
    VariableDelete = "variable.delete",
    /// A connection was made or changed.
    ConnectionSet = "connection.set",
    /// A connection was deleted.
    ConnectionDelete = "connection.delete",
    /// A pool was made or changed.
    PoolSet = "pool.set",
    /// A pool was deleted.
    PoolDelete = "pool.delete",
    /// Somebody told of a change of an asset.
    AssetEventCreate = "asset.event",
    /// Changes of assets that waited for a DAG were dropped.
    AssetQueueDelete = "asset.dequeue",
    /// A DAG's run was made in an asset's name.
    AssetMaterialize = "asset.materialize",
    /// A callback that gave up is to be tried again.
    CallbackRetry = "callback.retry",
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for AuditAction {
    type Err = UnknownName;
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.iter().find(|action| action.as_str() == text);
        found
            .copied()
            .ok_or_else(|| UnknownName::new("action", text))
    }
}

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: AuditAction,
    /// To whose.
    pub team: Option<TeamName>,
    /// To which bundle's.
    pub bundle: Option<BundleName>,
    subject: Arc<str>,
    detail: Arc<str>,
}

impl AuditEntry {
    /// Something that was done to `subject`, which is cut to [`MAX_SUBJECT_BYTES`].
    #[must_use]
    pub fn new(at: Timestamp, actor: Actor, action: AuditAction, subject: &str) -> Self {
        Self {
            at,
            actor,
            action,
            team: None,
            bundle: None,
            subject: bounded(subject, MAX_SUBJECT_BYTES).into(),
            detail: "{}".into(),
        }
    }

    /// It concerns this team.
    #[must_use]
    pub fn of_team(mut self, team: Option<TeamName>) -> Self {
        self.team = team;
        self
    }

    /// It concerns this bundle.
    #[must_use]
    pub fn of_bundle(mut self, bundle: Option<BundleName>) -> Self {
        self.bundle = bundle;
        self
    }

    /// With more about it, kept as JSON. What is longer than [`MAX_DETAIL_BYTES`] is replaced by
    /// `{"omitted_bytes":N}`. No secret belongs here: audit rows are exported, and never deleted.
    #[must_use]
    pub fn with(mut self, detail: &impl Serialize) -> Self {
        let text = ascii(&serde_json::to_string(detail).unwrap_or_else(|_| "{}".into()));
        self.detail = if text.len() > MAX_DETAIL_BYTES {
            format!("{{\"omitted_bytes\":{}}}", text.len()).into()
        } else {
            text.into()
        };
        self
    }

    /// An entry as it was kept or exported, its texts as they are.
    #[must_use]
    pub fn kept(
        at: Timestamp,
        actor: Actor,
        action: AuditAction,
        of: (Option<TeamName>, Option<BundleName>),
        (subject, detail): (Arc<str>, Arc<str>),
    ) -> Self {
        let (team, bundle) = of;
        Self {
            at,
            actor,
            action,
            team,
            bundle,
            subject,
            detail,
        }
    }

    /// What it was done to.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// More about it: JSON text.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// The same JSON in printable ASCII: so that no escaping on its way to a terminal or into a file changes the text
/// that is hashed.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, ' '..='~') {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

/// Without NUL, which PostgreSQL has not, and no longer than `most` bytes.
fn bounded(text: &str, most: usize) -> String {
    let mut text = text.replace('\0', "\u{FFFD}");
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - '…'.len_utf8()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
