//! What is kept of who did what: entries, and the chain of hashes that shows when one of them was touched.
//!
//! Each row carries the hash of the row before it, and its own hash covers that one and everything that it
//! says. Whoever changes, removes, inserts or reorders rows has to rewrite all that follow, and cannot do
//! even that unnoticed where a later hash is known elsewhere: that is what an exported [`AuditHead`] is for.

use std::{fmt, str::FromStr, sync::Arc};

use serde::Serialize;

use crate::{
    id::{AuditHash, BundleName, TeamName},
    time::Timestamp,
};

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
    /// A trigger is to be polled at once.
    TriggerPoll = "trigger.poll",
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
        let text = serde_json::to_string(detail).unwrap_or_else(|_| "{}".into());
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

/// Without NUL, which PostgreSQL has not, and no longer than `most` bytes.
fn bounded(text: &str, most: usize) -> String {
    let mut text = text.replace('\0', "\u{FFFD}");
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// An entry in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place, from one on, without gaps.
    pub sequence: u64,
    /// What was done.
    pub entry: AuditEntry,
    /// The hash of the row before it; [`AuditHash::FIRST`] for the first.
    pub previous: AuditHash,
    /// Its own hash.
    pub hash: AuditHash,
}

impl AuditRow {
    /// The end of the chain that ends with it.
    #[must_use]
    pub const fn head(&self) -> AuditHead {
        AuditHead {
            sequence: self.sequence,
            hash: self.hash,
        }
    }
}

/// Where a chain ends: the row there, and its hash. Printed as `SEQUENCE:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// The last row's place; zero where there is none.
    pub sequence: u64,
    /// Its hash.
    pub hash: AuditHash,
}

impl AuditHead {
    /// The end of a chain that has not begun.
    pub const EMPTY: Self = Self {
        sequence: 0,
        hash: AuditHash::FIRST,
    };

    /// The row that this entry becomes behind this end.
    #[must_use]
    pub fn chain(&self, entry: AuditEntry) -> AuditRow {
        let sequence = self.sequence.saturating_add(1);
        AuditRow {
            sequence,
            hash: row_hash(self.hash, sequence, &entry),
            previous: self.hash,
            entry,
        }
    }

    /// The end of the chain that goes on with `row`.
    ///
    /// # Errors
    /// What is wrong with the row, in this place.
    pub fn follow(&self, row: &AuditRow) -> Result<Self, BrokenChain> {
        let expected = self.sequence.saturating_add(1);
        let sequence = row.sequence;
        if sequence != expected {
            return Err(BrokenChain::Gap { expected, sequence });
        }
        if row.previous != self.hash {
            return Err(BrokenChain::Previous { sequence });
        }
        if row.hash != row_hash(row.previous, sequence, &row.entry) {
            return Err(BrokenChain::Hash { sequence });
        }
        Ok(row.head())
    }
}

impl fmt::Display for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

/// A text that is not `SEQUENCE:HASH`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("AL-0631: `{}` is no end of an audit: write SEQUENCE:HASH as `airlock audit export` and `airlock audit verify` print it", .0.escape_debug())]
pub struct HeadError(String);

impl FromStr for AuditHead {
    type Err = HeadError;
    fn from_str(text: &str) -> Result<Self, HeadError> {
        let parse = || {
            let (sequence, hash) = text.split_once(':')?;
            let (sequence, hash) = (sequence.parse().ok()?, hash.parse().ok()?);
            Some(Self { sequence, hash })
        };
        parse().ok_or_else(|| HeadError(text.chars().take(120).collect()))
    }
}

/// The first place where a chain is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenChain {
    /// Another row stands where one should.
    #[error(
        "AL-0632: where row {expected} should be, row {sequence} is: rows were removed, added or put in another order"
    )]
    Gap {
        /// Which should be there.
        expected: u64,
        /// Which is.
        sequence: u64,
    },
    /// The row follows another than the one before it.
    #[error(
        "AL-0633: row {sequence} does not follow the row before it: one of the two was replaced"
    )]
    Previous {
        /// The row.
        sequence: u64,
    },
    /// The row does not say what it said when it was written.
    #[error("AL-0634: row {sequence} was changed after it was written")]
    Hash {
        /// The row.
        sequence: u64,
    },
    /// The chain ends elsewhere than was noted.
    #[error(
        "AL-0635: the audit ends with row {found}, and row {noted} was noted as written: its end was cut off"
    )]
    End {
        /// The last row that is there.
        found: u64,
        /// The row that should be.
        noted: u64,
    },
    /// The row that was noted is another.
    #[error(
        "AL-0636: row {sequence} is another than the one that was noted: the audit was written anew from there or before"
    )]
    Noted {
        /// The row.
        sequence: u64,
    },
}

/// The hash of a row: BLAKE3 over everything in it, each text with its length before it, so that no two
/// rows have the same encoding.
#[must_use]
pub fn row_hash(previous: AuditHash, sequence: u64, entry: &AuditEntry) -> AuditHash {
    let mut hasher = blake3::Hasher::new();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    // The encoding's version.
    text("airlock.audit.1");
    text(&previous.to_string());
    text(&sequence.to_string());
    text(&entry.at.micros().to_string());
    text(&entry.actor.to_string());
    text(entry.action.as_str());
    // No team's and no bundle's name is empty.
    text(entry.team.as_ref().map_or("", TeamName::as_str));
    text(entry.bundle.as_ref().map_or("", BundleName::as_str));
    text(&entry.subject);
    text(&entry.detail);
    AuditHash::from_bytes(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests;
