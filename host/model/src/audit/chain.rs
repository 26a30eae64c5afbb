//! The chain of hashes: how a row follows another, and what shows that one was touched.

use std::{fmt, str::FromStr};

use super::AuditEntry;
use crate::id::{AuditHash, BundleName, TeamName};

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
    /// What is to be checked begins behind what was noted.
    #[error(
        "AL-0637: row {noted} was noted as written, and what is checked here begins with row {first}: check the whole audit, or an earlier export"
    )]
    Before {
        /// The first row that is there.
        first: u64,
        /// The row that was noted.
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

/// Follows a chain from its beginning, or from where a part of it begins, and holds it against ends that
/// were noted somewhere else: a chain whose end was cut off, or that was written anew, follows as well.
#[derive(Debug, Clone)]
pub struct AuditCheck {
    head: AuditHead,
    noted: Vec<AuditHead>,
}

impl AuditCheck {
    /// What goes on behind `start`, and has to go through all of `noted`.
    ///
    /// # Errors
    /// When one of these lies before `start`, or is another row than it.
    pub fn new(start: AuditHead, noted: Vec<AuditHead>) -> Result<Self, BrokenChain> {
        for head in &noted {
            if head.sequence < start.sequence {
                return Err(BrokenChain::Before {
                    first: start.sequence.saturating_add(1),
                    noted: head.sequence,
                });
            }
        }
        let check = Self { head: start, noted };
        check.holds()?;
        Ok(check)
    }

    /// Takes the next row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn follow(&mut self, row: &AuditRow) -> Result<(), BrokenChain> {
        self.head = self.head.follow(row)?;
        self.holds()
    }

    fn holds(&self) -> Result<(), BrokenChain> {
        let here = |head: &&AuditHead| head.sequence == self.head.sequence;
        match self
            .noted
            .iter()
            .filter(here)
            .all(|head| *head == self.head)
        {
            true => Ok(()),
            false => Err(BrokenChain::Noted {
                sequence: self.head.sequence,
            }),
        }
    }

    /// Where the chain ends, when there are no more rows.
    ///
    /// # Errors
    /// When it ends before a row that was noted.
    pub fn end(self) -> Result<AuditHead, BrokenChain> {
        let found = self.head.sequence;
        match self.noted.iter().map(|head| head.sequence).max() {
            Some(noted) if noted > found => Err(BrokenChain::End { found, noted }),
            _ => Ok(self.head),
        }
    }
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
    text(entry.subject());
    text(entry.detail());
    AuditHash::from_bytes(*hasher.finalize().as_bytes())
}
