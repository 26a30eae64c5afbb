//! Decisions on grants, made through the API and in force when the call returns.

use std::{path::PathBuf, sync::Arc};

use airlock_bundle::Depth;
use airlock_capability::directory;
use airlock_grant::{BundleLabel, DirectoryGrant, Grant, GuestPath, Request, Source};
use airlock_model::{
    audit::Actor,
    grant::{Decision, GrantRow, GrantState},
    id::{BundleHash, BundleName, TeamName},
    port::{BundleStore as _, Clock, GrantFilter, GrantStore as _, Page, StoreError, Verdict},
};
use airlock_server::granting::{
    GrantStanding, Granting, GrantingError, Proposal, WaitingVersion, Word,
};
use async_trait::async_trait;

use super::{
    Shelf,
    bundles::{Owner, new_grant},
};
use crate::nesting::Place;

/// Decides on the grants of the shelf's bundles.
pub(crate) struct Grants {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Grants {
    /// The team of a bundle that people decide on.
    fn team(&self, bundle: &BundleName) -> Result<TeamName, GrantingError> {
        match self.shelf.owner_named(bundle) {
            None => Err(GrantingError::Unknown(bundle.clone())),
            Some(Owner::Automatic { .. }) => Err(GrantingError::Automatic(bundle.clone())),
            Some(owner) if owner.is_decided_by_people() => Ok(owner.team()),
            Some(_) => Err(GrantingError::Configured(bundle.clone())),
        }
    }

    fn decision(&self, word: Word) -> Decision {
        Decision {
            by: word.by,
            at: self.clock.now(),
            reason: word.reason,
        }
    }

    /// The version that a proposal is for, and what it asks for.
    async fn version(
        &self,
        bundle: &BundleName,
        wanted: Option<BundleHash>,
    ) -> Result<(BundleLabel, Request), GrantingError> {
        let shelf = &self.shelf;
        let waiting = shelf.waiting(bundle).map(|waiting| waiting.inspection.hash);
        let serves = shelf
            .standing(bundle)
            .map(|standing| standing.inspection.hash);
        let Some(hash) = wanted.or(waiting).or(serves) else {
            return Err(GrantingError::Unknown(bundle.clone()));
        };
        let unknown = || GrantingError::Version {
            bundle: bundle.clone(),
            hash,
        };
        let known = [waiting, serves].contains(&Some(hash))
            || (shelf.store.versions(bundle).await?.iter()).any(|version| version.hash == hash);
        if !known {
            return Err(unknown());
        }
        let fetched = shelf.content.fetch(&hash, Depth::Structure).await;
        let (_, inspection) = fetched.map_err(|_| unknown())?;
        let request =
            Request::from_bundle_toml(&inspection.manifest.text).map_err(|_| unknown())?;
        Ok((super::bundles::label(&inspection), request))
    }

    /// Refuses directories that lie where no bundle may be, inside of another's, or that cannot be opened.
    async fn check_places(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        grant: &Grant,
    ) -> Result<(), GrantingError> {
        if grant.directory.is_empty() {
            return Ok(());
        }
        let others = self.shelf.granted_to_others(team, bundle);
        let (team, home) = (team.clone(), self.shelf.home());
        let wanted = grant.directory.clone();
        let checked = tokio::task::spawn_blocking(move || places(&team, &home, &wanted, &others));
        checked
            .await
            .map_err(|error| StoreError::Unavailable(error.into()))?
            .map_err(GrantingError::Directory)
    }
}

/// The same, where it may block.
fn places(
    team: &TeamName,
    home: &std::path::Path,
    wanted: &[DirectoryGrant],
    others: &[(TeamName, DirectoryGrant)],
) -> Result<(), String> {
    let mut there: Vec<Place> = (others.iter())
        .map(|(team, directory)| Place::new(Some(team), directory))
        .collect();
    for directory in wanted {
        let place = Place::new(Some(team), directory);
        let (path, host) = (&directory.path, directory.host.display());
        if place.meets(home) {
            return Err(format!(
                "AL-0448: the directory `{path}` would lie in the home folder of this host or around it, where its keys are; name another place than `{host}`"
            ));
        }
        if there.iter().any(|other| place.conflicts(other)) {
            // Whose it lies in is not said: it may be another team's.
            return Err(format!(
                "AL-0449: the directory `{path}` at `{host}` lies inside of one that is granted already, or around it; name a place beside it, or grant the same place"
            ));
        }
        directory::probe(directory).map_err(|error| error.to_string())?;
        there.push(place);
    }
    Ok(())
}

/// What is asked for beyond what was approved, with the places that a person named.
fn placed(
    mut grant: Grant,
    unplaced: Vec<GuestPath>,
    request: &Request,
    mut places: std::collections::BTreeMap<GuestPath, PathBuf>,
) -> Result<Grant, GrantingError> {
    let mut missing = Vec::new();
    for path in unplaced {
        let Some(host) = places.remove(&path) else {
            missing.push(path);
            continue;
        };
        let asked = request.directory.iter().filter(|one| one.path == path);
        grant.directory.extend(asked.map(|one| DirectoryGrant {
            path: path.clone(),
            host: host.clone(),
            mode: one.mode,
            phases: Some(one.phases),
            dags: None,
            tasks: None,
        }));
    }
    if !missing.is_empty() {
        return Err(GrantingError::Unplaced(missing));
    }
    match places.into_keys().next() {
        Some(path) => Err(GrantingError::Directory(format!(
            "AL-0450: it does not ask for the directory `{path}` beyond what it is granted; leave its place out, or say all that is to be granted (`--file`)"
        ))),
        None => Ok(grant),
    }
}

#[async_trait]
impl Granting for Grants {
    async fn standing(&self, bundle: &BundleName) -> Result<Option<GrantStanding>, StoreError> {
        let shelf = &self.shelf;
        let Some(owner) = shelf.owner_named(bundle) else {
            return Ok(None);
        };
        let team = owner.team();
        let decided = shelf.decided(&team, bundle);
        let serves = shelf.standing(bundle).map(|standing| {
            let manifest = &standing.inspection.manifest;
            (manifest.version.to_string(), standing.inspection.hash)
        });
        let waiting = shelf.waiting(bundle).map(|waiting| {
            let (needs, unplaced) = decided.approvals.proposal(&waiting.request);
            WaitingVersion {
                version: waiting.inspection.manifest.version.to_string(),
                hash: waiting.inspection.hash,
                uncovered: waiting.uncovered,
                needs,
                unplaced,
                since: waiting.since,
            }
        });
        let in_force = decided.approvals.current.as_ref();
        let (source, grant) = match &owner {
            Owner::Automatic { .. } => (Source::Automatic, Grant::default()),
            Owner::Configured { bundle, .. } => match &bundle.grant {
                Some(grant) => (Source::Configured, grant.clone()),
                None => (
                    Source::Approved,
                    in_force.map(|one| one.grant.clone()).unwrap_or_default(),
                ),
            },
        };
        let people = source == Source::Approved;
        let approved = in_force.map(|one| one.request.clone());
        Ok(Some(GrantStanding {
            team,
            source,
            serves,
            grant,
            revision: decided.revision.filter(|_| people),
            approved: approved.filter(|_| people),
            waiting: waiting.filter(|_| people),
        }))
    }

    async fn propose(
        &self,
        bundle: &BundleName,
        proposal: Proposal,
        by: Actor,
    ) -> Result<GrantRow, GrantingError> {
        let team = self.team(bundle)?;
        let (label, request) = self.version(bundle, proposal.hash).await?;
        let grant = match proposal.grant {
            Some(grant) => placed(grant, Vec::new(), &request, proposal.places)?,
            None => {
                let decided = self.shelf.decided(&team, bundle);
                let (grant, unplaced) = decided.approvals.proposal(&request);
                let grant = placed(grant, unplaced, &request, proposal.places)?;
                let in_force = decided.approvals.current.as_ref();
                if in_force.is_some_and(|current| current.grant == grant) && !proposal.only {
                    return Err(GrantingError::NothingMore(bundle.clone()));
                }
                grant
            }
        };
        grant.check()?;
        self.check_places(&team, bundle, &grant).await?;
        let mut new = new_grant(team, &label, &request, &grant)?;
        (new.only, new.note) = (proposal.only, proposal.note);
        let now = self.clock.now();
        Ok(self.shelf.store.propose_grant(&new, &by, now).await?)
    }

    async fn decide(
        &self,
        bundle: &BundleName,
        revision: u32,
        verdict: Verdict,
        word: Word,
    ) -> Result<GrantRow, GrantingError> {
        let team = self.team(bundle)?;
        let _one_after_the_other = self.shelf.deciding.lock().await;
        if matches!(verdict, Verdict::Approve { .. }) {
            let filter = GrantFilter {
                team: Some(team.clone()),
                bundle: Some(bundle.clone()),
                state: Some(GrantState::Proposed),
            };
            let open = self.shelf.store.grants(&filter, Page::ALL).await?.items;
            if let Some(row) = open.into_iter().find(|row| row.revision == revision) {
                let grant: Grant = serde_json::from_value(row.what.grant)
                    .map_err(|error| StoreError::Corrupt(error.to_string()))?;
                grant.check()?;
                self.check_places(&team, bundle, &grant).await?;
            }
        }
        let decision = self.decision(word);
        let of = (&team, bundle);
        let row = self
            .shelf
            .store
            .decide_grant(of, revision, verdict, &decision)
            .await?;
        self.shelf.apply(&team, bundle).await?;
        self.shelf.look_again(&team, bundle).await?;
        Ok(row)
    }

    async fn revoke(
        &self,
        bundle: &BundleName,
        revision: Option<u32>,
        word: Word,
    ) -> Result<Vec<GrantRow>, GrantingError> {
        let team = self.team(bundle)?;
        let _one_after_the_other = self.shelf.deciding.lock().await;
        let decision = self.decision(word);
        let rows = self
            .shelf
            .store
            .revoke_grant((&team, bundle), revision, &decision)
            .await?;
        self.shelf.apply(&team, bundle).await?;
        self.shelf.look_again(&team, bundle).await?;
        Ok(rows)
    }
}
