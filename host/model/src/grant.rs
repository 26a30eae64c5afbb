//! A grant as it is kept: what was proposed for a bundle, and what became of it.
//!
//! Revisions of a bundle's grant are numbered from one and never deleted. At most one is in force: approving
//! another replaces it. What a grant and a request say is the business of the room that decides; here they are
//! JSON, which is kept as it was given.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    audit::{Actor, AuditAction, AuditEntry},
    id::{BundleHash, BundleName, TeamName},
    time::Timestamp,
};

/// The longest note or reason, in bytes.
pub const MAX_WORDS_BYTES: usize = 2_048;

/// What became of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// It waits for a decision.
    Proposed,
    /// It is in force.
    Approved,
    /// It was in force until another was approved. What it was approved for stays approved.
    Replaced,
    /// It was refused.
    Denied,
    /// It was approved, and taken back.
    Revoked,
    /// Nobody decided it before another was proposed or approved in its place.
    Lapsed,
}

impl GrantState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Proposed,
        Self::Approved,
        Self::Replaced,
        Self::Denied,
        Self::Revoked,
        Self::Lapsed,
    ];

    /// Its name, such as `approved`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Replaced => "replaced",
            Self::Denied => "denied",
            Self::Revoked => "revoked",
            Self::Lapsed => "lapsed",
        }
    }

    /// Whether versions may serve by it: it was approved and not taken back.
    #[must_use]
    pub const fn covers(self) -> bool {
        matches!(self, Self::Approved | Self::Replaced)
    }
}

impl fmt::Display for GrantState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no state of a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "AL-0639: `{}` is no state of a grant; it is one of proposed, approved, replaced, denied, revoked and lapsed", .0.escape_debug()
)]
pub struct UnknownGrantState(String);

impl FromStr for GrantState {
    type Err = UnknownGrantState;
    fn from_str(text: &str) -> Result<Self, UnknownGrantState> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| UnknownGrantState(text.chars().take(80).collect()))
    }
}

/// A grant that somebody proposes.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGrant {
    /// Whose bundle.
    pub team: TeamName,
    /// For which bundle.
    pub bundle: BundleName,
    /// The version of it that was read: the BLAKE3 of the component.
    pub hash: BundleHash,
    /// What that version calls itself.
    pub version: String,
    /// What that version asks for.
    pub request: Value,
    /// What is to be granted.
    pub grant: Value,
    /// Whether it is to count for that version's bytes alone, and not for every version that asks for no more.
    pub only: bool,
    /// Why, in the proposer's words.
    pub note: Option<String>,
}

/// Who decided, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// A revision of a bundle's grant.
#[derive(Debug, Clone, PartialEq)]
pub struct GrantRow {
    /// What was proposed.
    pub what: NewGrant,
    /// Its number, from one.
    pub revision: u32,
    /// What became of it.
    pub state: GrantState,
    /// Who proposed it.
    pub proposed_by: Actor,
    /// When.
    pub proposed_at: Timestamp,
    /// The last decision: who approved it, or refused it, or took it back.
    pub decided: Option<Decision>,
}

impl GrantRow {
    /// What the audit is told when this was done to it.
    #[must_use]
    pub fn entry(&self, action: AuditAction, decision: &Decision) -> AuditEntry {
        let what = &self.what;
        let subject = format!("grant {} revision {}", what.bundle, self.revision);
        let detail = json!({
            "revision": self.revision,
            "version": what.version,
            "hash": what.hash,
            "only_this_version": what.only,
            "grant": what.grant,
            "words": decision.reason,
        });
        AuditEntry::new(decision.at, decision.by.clone(), action, &subject)
            .of_team(Some(what.team.clone()))
            .of_bundle(Some(what.bundle.clone()))
            .with(&detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_as_it_is_written_and_others_are_refused() {
        for state in GrantState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), json!(state.as_str()));
        }
        assert!("Approved".parse::<GrantState>().is_err());
    }

    #[test]
    fn only_what_was_approved_and_not_taken_back_covers_a_version() {
        let covering: Vec<_> = GrantState::ALL.into_iter().filter(|s| s.covers()).collect();
        assert_eq!(covering, [GrantState::Approved, GrantState::Replaced]);
    }
}
