//! Grants, kept in memory: the team `default` has the bundle `weather`, which people decide on.

use airlock_grant::{Grant, Share, Shared, Source, Uncovered};
use airlock_model::{
    audit::{Actor, AuditAction},
    grant::{Decision, GrantRow, GrantState, NewGrant},
    port::{AuditStore as _, GrantFilter, GrantStore, Verdict},
};

use super::*;
use crate::granting::{GrantStanding, Granting, GrantingError, Proposal, WaitingVersion, Word};

/// Team `payments` lends its `bank` to the bundle `weather`, for one DAG.
pub(super) fn share() -> Share {
    Share {
        lender: team("payments"),
        what: Shared::Connection(ConnectionId::new("bank").unwrap()),
        bundle: BundleName::new("weather").unwrap(),
        dags: Some(vec![DagId::new("monthly").unwrap()]),
    }
}

impl World {
    async fn told(&self, row: &GrantRow, action: AuditAction, decision: &Decision) {
        let entry = row.entry(action, decision);
        self.append_audit(&[entry]).await.unwrap();
    }

    fn found(&self, revision: u32) -> Result<usize, StoreError> {
        let grants = self.grants.lock().unwrap();
        let found = grants.iter().position(|row| row.revision == revision);
        found.ok_or_else(|| StoreError::NotFound("the revision".into()))
    }

    fn decided(&self, word: Word) -> Decision {
        Decision {
            by: word.by,
            at: self.now(),
            reason: word.reason,
        }
    }
}

#[async_trait]
impl GrantStore for World {
    async fn propose_grant(
        &self,
        _: &NewGrant,
        _: &Actor,
        _: Timestamp,
    ) -> Result<GrantRow, StoreError> {
        unreachable!("the API proposes through whoever decides")
    }

    async fn decide_grant(
        &self,
        _: (&TeamName, &BundleName),
        _: u32,
        _: Verdict,
        _: &Decision,
    ) -> Result<GrantRow, StoreError> {
        unreachable!("the API decides through whoever applies it")
    }

    async fn revoke_grant(
        &self,
        _: (&TeamName, &BundleName),
        _: Option<u32>,
        _: &Decision,
    ) -> Result<Vec<GrantRow>, StoreError> {
        unreachable!("the API takes back through whoever applies it")
    }

    async fn grants(
        &self,
        filter: &GrantFilter,
        page: Page,
    ) -> Result<Paged<GrantRow>, StoreError> {
        self.called();
        let grants = self.grants.lock().unwrap();
        let wanted = |row: &&GrantRow| {
            let GrantFilter {
                team,
                bundle,
                state,
            } = filter;
            (team.is_none() || team.as_ref() == Some(&row.what.team))
                && (bundle.is_none() || bundle.as_ref() == Some(&row.what.bundle))
                && state.is_none_or(|state| state == row.state)
        };
        Ok(part(
            grants.iter().rev().filter(wanted).cloned().collect(),
            page,
        ))
    }

    async fn approved_grants(&self) -> Result<Vec<GrantRow>, StoreError> {
        unreachable!("only the host asks")
    }
}

#[async_trait]
impl Granting for World {
    async fn standing(&self, bundle: &BundleName) -> Result<Option<GrantStanding>, StoreError> {
        self.called();
        let grants = self.grants.lock().unwrap();
        let in_force = grants.iter().find(|row| row.state == GrantState::Approved);
        let grant: Grant = in_force.map_or_else(Grant::default, |row| {
            serde_json::from_value(row.what.grant.clone()).unwrap()
        });
        Ok((bundle.as_str() == "weather").then(|| GrantStanding {
            team: TeamName::default_team(),
            source: Source::Approved,
            serves: Some(("0.1.0".into(), hash())),
            revision: in_force.map(|row| row.revision),
            approved: None,
            grant: grant.clone(),
            waiting: Some(WaitingVersion {
                version: "0.2.0".into(),
                hash: BundleHash::from_bytes([9; 32]),
                uncovered: Uncovered::Wider(Vec::new()),
                needs: grant,
                unplaced: Vec::new(),
                since: self.now(),
            }),
        }))
    }

    async fn propose(
        &self,
        bundle: &BundleName,
        proposal: Proposal,
        by: Actor,
    ) -> Result<GrantRow, GrantingError> {
        self.called();
        let grant = proposal.grant.unwrap_or_default();
        grant.check()?;
        let row = {
            let mut grants = self.grants.lock().unwrap();
            let row = GrantRow {
                what: NewGrant {
                    team: TeamName::default_team(),
                    bundle: bundle.clone(),
                    hash: proposal.hash.unwrap_or_else(hash),
                    version: "0.1.0".into(),
                    request: serde_json::json!({}),
                    grant: serde_json::to_value(grant).unwrap(),
                    only: proposal.only,
                    note: proposal.note,
                },
                revision: u32::try_from(grants.len() + 1).unwrap(),
                state: GrantState::Proposed,
                proposed_by: by.clone(),
                proposed_at: self.now(),
                decided: None,
            };
            grants.push(row.clone());
            row
        };
        let word = Word { by, reason: None };
        self.told(&row, AuditAction::GrantPropose, &self.decided(word))
            .await;
        Ok(row)
    }

    async fn decide(
        &self,
        _: &BundleName,
        revision: u32,
        verdict: Verdict,
        word: Word,
    ) -> Result<GrantRow, GrantingError> {
        self.called();
        let (at, decision) = (self.found(revision)?, self.decided(word));
        let (state, action) = match verdict {
            Verdict::Approve { .. } => (GrantState::Approved, AuditAction::GrantApprove),
            Verdict::Deny => (GrantState::Denied, AuditAction::GrantDeny),
        };
        let row = {
            let mut grants = self.grants.lock().unwrap();
            grants[at].state = state;
            grants[at].decided = Some(decision.clone());
            grants[at].clone()
        };
        self.told(&row, action, &decision).await;
        Ok(row)
    }

    async fn revoke(
        &self,
        _: &BundleName,
        revision: Option<u32>,
        word: Word,
    ) -> Result<Vec<GrantRow>, GrantingError> {
        self.called();
        let decision = self.decided(word);
        let revoked: Vec<GrantRow> = {
            let mut grants = self.grants.lock().unwrap();
            let chosen = grants.iter_mut().filter(|row| {
                row.state.covers() && revision.is_none_or(|revision| row.revision == revision)
            });
            chosen
                .map(|row| {
                    row.state = GrantState::Revoked;
                    row.decided = Some(decision.clone());
                    row.clone()
                })
                .collect()
        };
        for row in &revoked {
            self.told(row, AuditAction::GrantRevoke, &decision).await;
        }
        Ok(revoked)
    }
}
