//! Grants that people decide on: which versions they cover, which wait, and what a decision changes at once.
//!
//! Where the configuration names a bundle and says nothing of its grant, what was approved counts. It is read once,
//! and again after each decision; whoever loads a version holds it while it does, so that no version is taken in
//! under a grant that was taken back meanwhile.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, PoisonError},
};

use airlock_bundle::Inspection;
use airlock_grant::{
    Approval, Approvals, BundleLabel, Difference, Effective, Grant, Request, Uncovered,
};
use airlock_model::{
    audit::{Actor, AuditAction, AuditEntry},
    grant::{GrantRow, GrantState, NewGrant},
    id::{BundleHash, BundleName, TeamName},
    port::{AuditFilter, AuditStore, GrantFilter, GrantStore, Page, StoreError},
    time::Timestamp,
};
use serde_json::json;
use tracing::{error, info};

use super::{Owner, Rooms, Shelf, loading::label};

/// What was approved for a bundle.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    /// The revision that is in force.
    pub(crate) revision: Option<u32>,
    /// All of it.
    pub(crate) approvals: Approvals,
}

/// What was approved for all bundles.
pub(super) type AllDecided = HashMap<(TeamName, BundleName), Arc<Decided>>;

/// A version that waits for approval.
#[derive(Clone)]
pub(crate) struct Waiting {
    pub(crate) owner: Owner,
    pub(crate) inspection: Arc<Inspection>,
    pub(crate) request: Arc<Request>,
    pub(crate) uncovered: Uncovered,
    pub(crate) since: Timestamp,
}

/// How many things are named that a version asks for; `grants show` has all.
const NAMED: usize = 6;

impl Shelf {
    /// What was approved for a bundle.
    pub(crate) fn decided(&self, team: &TeamName, bundle: &BundleName) -> Arc<Decided> {
        decided_of(&self.all_decided(), team, bundle)
    }

    /// A bundle's version that waits for approval.
    pub(crate) fn waiting(&self, bundle: &BundleName) -> Option<Waiting> {
        let all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(bundle).cloned()
    }

    /// Reads anew what was approved, and applies it to the versions of this bundle that are loaded. Where it
    /// cannot be read, the bundle has nothing until it can.
    pub(in crate::house) async fn apply(
        &self,
        team: &TeamName,
        bundle: &BundleName,
    ) -> Result<(), StoreError> {
        let read = self.read_decided().await;
        let mut all = self.all_decided();
        let done = match read {
            Ok(decided) => {
                *all = decided;
                Ok(())
            }
            Err(error) => {
                all.remove(&(team.clone(), bundle.clone()));
                Err(error)
            }
        };
        let (Some(rooms), Some(owner)) = (self.rooms.get(), self.owner(team, bundle)) else {
            return done;
        };
        let decided = decided_of(&all, team, bundle);
        let now = |before: &Effective| {
            let label = before.bundle().clone();
            Arc::new(owner.effective(label, before.request(), &decided.approvals, self.shares()))
        };
        rooms.sandbox.regrant(team, bundle, now);
        if let Some(standing) = self.lock().get_mut(bundle) {
            standing.effective = now(&standing.effective);
        }
        done
    }

    /// After a decision: a version that waited and is covered now comes in; otherwise the one that serves is
    /// imported again, since what it is told while parsing may be another.
    pub(in crate::house) async fn look_again(
        self: &Arc<Self>,
        team: &TeamName,
        bundle: &BundleName,
    ) -> Result<(), StoreError> {
        let Some(rooms) = self.rooms.get() else {
            return Ok(());
        };
        let arrival = match self.waiting(bundle) {
            Some(waiting) => match self.examine_again(rooms, &waiting.inspection.hash).await {
                Some(examined) => {
                    let file = Path::new(bundle.as_str());
                    self.take_in(&waiting.owner, file, examined).await?
                }
                None => None,
            },
            None => self.serving(team, bundle).await?,
        };
        if let Some(arrival) = arrival {
            tokio::spawn(Arc::clone(self).pass_all([arrival]));
        }
        Ok(())
    }

    /// Reads what was approved before anything is loaded.
    pub(in crate::house) async fn learn_decided(&self) -> Result<(), StoreError> {
        let decided = self.read_decided().await?;
        *self.all_decided() = decided;
        Ok(())
    }

    async fn read_decided(&self) -> Result<AllDecided, StoreError> {
        let mut all: HashMap<_, Decided> = HashMap::new();
        for row in self.store.approved_grants().await? {
            // One that cannot be read covers nothing.
            let approval = match approval(&row) {
                Ok(approval) => approval,
                Err(why) => {
                    error!(bundle = %row.what.bundle, revision = row.revision, "{why}");
                    continue;
                }
            };
            let of = (row.what.team.clone(), row.what.bundle.clone());
            let decided = all.entry(of).or_default();
            match row.state {
                GrantState::Approved => {
                    decided.revision = Some(row.revision);
                    decided.approvals.current = Some(approval);
                }
                _ => decided.approvals.earlier.push(approval),
            }
        }
        Ok(all
            .into_iter()
            .map(|(of, one)| (of, Arc::new(one)))
            .collect())
    }

    /// Keeps a version waiting: says so to its team and, the first time, to the audit, and proposes what it needs.
    pub(super) async fn wait(
        self: &Arc<Self>,
        rooms: &Rooms,
        waiting: Waiting,
    ) -> Result<(), StoreError> {
        let (team, label) = (waiting.owner.team(), label(&waiting.inspection));
        let bundle = label.name.clone();
        let standing = {
            let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let known = all
                .get(&bundle)
                .filter(|known| known.inspection.hash == label.hash);
            let since = known.map_or(waiting.since, |known| known.since);
            all.insert(
                bundle.clone(),
                Waiting {
                    since,
                    ..waiting.clone()
                },
            );
            self.standing(&bundle)
        };
        // What is said of it says which version serves meanwhile.
        if standing.is_none() {
            self.serve_active(rooms, &waiting.owner, &bundle).await?;
        }
        let filter = GrantFilter {
            team: Some(team.clone()),
            bundle: Some(bundle.clone()),
            state: None,
        };
        let mut rows = self.store.grants(&filter, Page::ALL).await?.items;
        rows.retain(|row| row.what.hash == label.hash);
        rows.sort_by_key(|row| std::cmp::Reverse(row.revision));
        let settled = |row: &GrantRow| {
            matches!(
                row.state,
                GrantState::Proposed | GrantState::Denied | GrantState::Revoked
            )
        };
        if !rows.iter().any(settled) {
            self.propose_what_it_needs(rooms, &waiting, &label).await?;
        }
        let message = self.waits_message(&waiting, &label, rows.first());
        info!(%bundle, version = label.version, "waits for approval");
        self.keep_out(rooms, &waiting.owner, &bundle, label.hash, message)
            .await
    }

    async fn propose_what_it_needs(
        &self,
        rooms: &Rooms,
        waiting: &Waiting,
        label: &BundleLabel,
    ) -> Result<(), StoreError> {
        let (team, now) = (waiting.owner.team(), rooms.importer.clock.now());
        let decided = self.decided(&team, &label.name);
        let (grant, unplaced) = decided.approvals.proposal(&waiting.request);
        let subject = format!("bundle {} {}", label.name, label.version);
        let wants = wider(&waiting.uncovered).iter().map(ToString::to_string);
        let detail = json!({"hash": label.hash, "version": label.version, "beyond": wants.collect::<Vec<_>>()});
        let of_it = |detail: &str| detail.contains(&label.hash.to_string());
        if !(self.was_told(&team, &label.name, AuditAction::BundleWait, of_it)).await? {
            let entry = AuditEntry::new(now, Actor::Host, AuditAction::BundleWait, &subject)
                .of_team(Some(team.clone()))
                .of_bundle(Some(label.name.clone()))
                .with(&detail);
            self.store.append_audit(&[entry]).await?;
        }
        // A proposal that cannot be meant as it stands is a person's to make: only they know the places.
        if unplaced.is_empty() && grant.check().is_ok() {
            let new = new_grant(team, label, &waiting.request, &grant)?;
            self.store.propose_grant(&new, &Actor::Host, now).await?;
        }
        Ok(())
    }

    /// Whether the audit knows of something already, by a row of this kind with such a detail: what stays as it is
    /// is told once, however often it is looked at.
    pub(super) async fn was_told(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        action: AuditAction,
        of_it: impl Fn(&str) -> bool,
    ) -> Result<bool, StoreError> {
        let filter = AuditFilter {
            team: Some(team.clone()),
            bundle: Some(bundle.clone()),
            action: Some(action),
            since: None,
        };
        let newest = Page {
            offset: 0,
            limit: 100,
        };
        let rows = self.store.audit(&filter, newest).await?.items;
        Ok(rows.iter().any(|row| of_it(row.entry.detail())))
    }

    /// The import error of a version that waits.
    fn waits_message(
        &self,
        waiting: &Waiting,
        label: &BundleLabel,
        newest: Option<&GrantRow>,
    ) -> String {
        let (bundle, version) = (&label.name, shown(&label.version));
        let hash = label.hash.short();
        let serves = match self.standing(bundle) {
            Some(standing) => format!(
                "version {} serves meanwhile",
                standing.inspection.manifest.version
            ),
            None => "no version serves yet".to_owned(),
        };
        let what = format!("version {version} (b3:{hash}…)");
        if let Some(GrantRow {
            state: GrantState::Denied,
            decided: Some(decided),
            revision,
            ..
        }) = newest
        {
            let why = decided
                .reason
                .as_deref()
                .map_or_else(String::new, |why| format!(": {}", shown(why)));
            return format!(
                "AL-0261: {what} is kept out, since revision {revision} of the grant that it needs was refused by {}{why}; {serves}. Change what it asks for, or propose another grant with `airlock grants propose {bundle}`",
                decided.by
            );
        }
        let why = match &waiting.uncovered {
            Uncovered::OtherBytes(_) => "other bytes were approved, and those alone".to_owned(),
            Uncovered::Wider(wider) => {
                let mut named: Vec<String> =
                    wider.iter().take(NAMED).map(ToString::to_string).collect();
                if wider.len() > NAMED {
                    named.push(format!("and {} more", wider.len() - NAMED));
                }
                format!("it asks for more than was approved: {}", named.join("; "))
            }
        };
        format!(
            "AL-0260: {what} waits for approval, since {why}; {serves}. Read what it needs with `airlock grants show {bundle}`, and have it approved with `airlock grants approve {bundle}`"
        )
    }

    /// The version that waited has come in, or is not there any more: none waits.
    pub(super) fn forget_waiting(&self, bundle: &BundleName) {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(bundle);
    }
}

/// What was approved for a bundle.
pub(super) fn decided_of(all: &AllDecided, team: &TeamName, bundle: &BundleName) -> Arc<Decided> {
    let of = (team.clone(), bundle.clone());
    all.get(&of).cloned().unwrap_or_default()
}

fn approval(row: &GrantRow) -> Result<Approval, String> {
    let read = |error: serde_json::Error| {
        format!(
            "AL-0262: an approved grant cannot be read, so it covers nothing: {error}; propose and approve it again"
        )
    };
    Ok(Approval {
        grant: serde_json::from_value(row.what.grant.clone()).map_err(read)?,
        request: serde_json::from_value(row.what.request.clone()).map_err(read)?,
        only: row.what.only.then_some(row.what.hash),
    })
}

/// A proposal for a version, as it is kept.
pub(in crate::house) fn new_grant(
    team: TeamName,
    label: &BundleLabel,
    request: &Request,
    grant: &Grant,
) -> Result<NewGrant, StoreError> {
    let json = |value: Result<_, serde_json::Error>| {
        value.map_err(|error| StoreError::Statement(error.into()))
    };
    Ok(NewGrant {
        team,
        bundle: label.name.clone(),
        hash: label.hash,
        version: label.version.clone(),
        request: json(serde_json::to_value(request))?,
        grant: json(serde_json::to_value(grant))?,
        only: false,
        note: None,
    })
}

fn wider(uncovered: &Uncovered) -> &[Difference] {
    match uncovered {
        Uncovered::Wider(wider) => wider,
        Uncovered::OtherBytes(_) => &[],
    }
}

/// What a person or a bundle wrote, on one line.
fn shown(text: &str) -> String {
    text.chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect()
}

/// Whether what somebody wants to be loaded is covered; and if not, why it waits.
pub(super) fn uncovered(
    owner: &Owner,
    approvals: &Approvals,
    hash: &BundleHash,
    request: &Request,
) -> Option<Uncovered> {
    owner
        .is_decided_by_people()
        .then(|| approvals.grant(hash, request).err())
        .flatten()
}
