//! From a file's bytes to a version that is loaded in its team's pool.
//!
//! The costly half, [`Shelf::examine`], needs nothing of other bundles: many files are examined at once. The
//! other half, [`Shelf::take_in`], decides under whose name the version stands, and is done in the order that
//! its callers give.

use std::{error::Error, path::Path, sync::Arc};

use airlock_bundle::{ContentError, Depth, Inspection};
use airlock_capability as capability;
use airlock_grant::{BundleLabel, Caller, Phase, Request};
use airlock_model::{
    id::{BundleHash, BundleName, TeamName},
    port::{BundleStore as _, BundleVersion, StoreError},
};
use airlock_sandbox::{ComponentSource, Sourced};
use async_trait::async_trait;
use bytes::Bytes;
use tracing::{error, warn};

use super::{
    Owner, Rooms, Shelf, Standing,
    approval::{Waiting, decided_of, uncovered},
    importing::Arrival,
};

/// A file's bytes, kept and looked at.
pub(super) struct Examined {
    hash: BundleHash,
    wasm: Bytes,
    inspection: Result<Inspection, ContentError>,
    /// The signature beside it, unchecked.
    signature: Option<Vec<u8>>,
}

/// Why a file gave no version.
enum Refusal {
    /// The bundle's import error.
    Mistake(String),
    /// It asks for what nobody has approved yet.
    Waits(Box<Waiting>),
}

impl Refusal {
    fn of(error: &impl ToString) -> Self {
        Self::Mistake(error.to_string())
    }
}

impl Shelf {
    /// Looks at a file's bytes and keeps them; none where they are those of a version that stands already.
    pub(super) async fn examine(
        &self,
        bytes: Arc<[u8]>,
        signature: Option<Vec<u8>>,
    ) -> Option<Examined> {
        let rooms = self.rooms.get()?;
        let hash = airlock_bundle::hash(&bytes);
        if self.stands(&hash) {
            self.vouched_again(&hash, signature.as_deref()).await;
            return None;
        }
        let wasm = Bytes::from_owner(Arc::clone(&bytes));
        let inspection = self.content.keep(bytes, depth(rooms, &hash)).await;
        Some(Examined {
            hash,
            wasm,
            inspection,
            signature,
        })
    }

    fn stands(&self, hash: &BundleHash) -> bool {
        let standing = self.lock();
        standing
            .values()
            .any(|standing| standing.inspection.hash == *hash)
    }

    /// Loads what was examined, and tells what there is to import. A file's mistakes become import errors;
    /// only the store's failures come back.
    pub(super) async fn take_in(
        self: &Arc<Self>,
        owner: &Owner,
        file: &Path,
        examined: Examined,
    ) -> Result<Option<Arrival>, StoreError> {
        let Some(rooms) = self.rooms.get() else {
            return Ok(None);
        };
        let hash = examined.hash;
        // Another file with the same bytes may have come first meanwhile.
        if self.stands(&hash) {
            return Ok(None);
        }
        if let Ok(inspection) = &examined.inspection
            && let Err(error) = self
                .vouched(owner, inspection, examined.signature.as_deref())
                .await?
        {
            self.refuse_unsigned(rooms, owner, inspection, &error)
                .await?;
            return Ok(None);
        }
        match self.load(rooms, owner, examined) {
            Ok(version) => self.arrival(version, owner.clone()).await,
            Err(Refusal::Waits(waiting)) => {
                self.wait(rooms, *waiting).await?;
                Ok(None)
            }
            Err(Refusal::Mistake(message)) => {
                warn!(file = %file.display(), "{message}");
                if let Some(name) = owner.bundle(file) {
                    self.keep_out(rooms, owner, &name, hash, message).await?;
                }
                Ok(None)
            }
        }
    }

    /// Notes why a version is kept out, until one comes in. The one before goes on serving, if it may; else the
    /// bundle's DAGs are stale.
    pub(super) async fn keep_out(
        self: &Arc<Self>,
        rooms: &Rooms,
        owner: &Owner,
        bundle: &BundleName,
        hash: BundleHash,
        message: String,
    ) -> Result<(), StoreError> {
        let (team, importer) = (owner.team(), &rooms.importer);
        if (self.waiting(bundle)).is_some_and(|waiting| waiting.inspection.hash != hash) {
            // Its file is gone from its place: what nobody has put there is not to come in by an approval.
            self.forget_waiting(bundle);
        }
        self.kept_out()
            .insert(bundle.clone(), (hash, message.clone()));
        if self.standing(bundle).is_some() || self.serve_active(rooms, owner, bundle).await? {
            importer.refuse(&team, bundle, Some(hash), &message).await
        } else {
            importer.missing(&team, bundle, &message).await
        }
    }

    fn load(
        &self,
        rooms: &Rooms,
        owner: &Owner,
        examined: Examined,
    ) -> Result<BundleVersion, Refusal> {
        let Examined {
            hash,
            wasm,
            inspection,
            ..
        } = examined;
        let inspection = inspection.map_err(|error| Refusal::of(&error))?;
        let name = inspection.manifest.name.clone();
        if let Owner::Configured { bundle, .. } = owner
            && bundle.name != name
        {
            return Err(Refusal::Mistake(format!(
                "AL-0241: the file is the bundle `{name}`, but it is configured as `{}`; correct `name` of the [[team.bundle]] or its `source`",
                bundle.name
            )));
        }
        let version = inspection.manifest.version.to_string();
        self.stand(rooms, owner, wasm, inspection)?;
        self.forget_waiting(&name);
        self.kept_out().remove(&name);
        Ok(BundleVersion {
            bundle: name,
            team: owner.team(),
            hash,
            version,
            created_at: rooms.importer.clock.now(),
            active: true,
        })
    }

    /// Loads a version under what is granted now, and makes it the bundle's current one.
    fn stand(
        &self,
        rooms: &Rooms,
        owner: &Owner,
        wasm: Bytes,
        inspection: Inspection,
    ) -> Result<(), Refusal> {
        let request = Request::from_bundle_toml(&inspection.manifest.text)
            .map_err(|error| Refusal::of(&error))?;
        let label = label(&inspection);
        // Held until the version is loaded: what is taken back meanwhile is taken from it too.
        let decided = self.all_decided();
        let of_bundle = decided_of(&decided, &owner.team(), &label.name);
        let approvals = &of_bundle.approvals;
        if let Some(uncovered) = uncovered(owner, approvals, &label.hash, &request) {
            return Err(Refusal::Waits(Box::new(Waiting {
                owner: owner.clone(),
                inspection: Arc::new(inspection),
                request: Arc::new(request),
                uncovered,
                since: rooms.importer.clock.now(),
            })));
        }
        let name = label.name.clone();
        let effective = Arc::new(owner.effective(label, &request, approvals, self.shares()));
        // What is granted to the whole bundle; a grant narrowed to a DAG is looked at when that DAG runs.
        let whole = Caller {
            phase: Phase::Task,
            dag_id: None,
            task_id: None,
        };
        for missing in capability::directory::check(&effective.directories(&whole)) {
            warn!(bundle = %name, "{missing}");
        }
        let sourced = Sourced {
            wasm,
            effective: Arc::clone(&effective),
        };
        rooms
            .sandbox
            .load(sourced)
            .map_err(|error| Refusal::of(&error))?;
        let standing = Standing {
            owner: owner.clone(),
            inspection: Arc::new(inspection),
            effective,
        };
        self.lock().insert(name, standing);
        Ok(())
    }

    /// Brings back the version that served when the host last worked, where a newer one is kept out: if it is
    /// covered by what is granted now, somebody vouches for it where that is required, and it loads.
    pub(super) async fn serve_active(
        self: &Arc<Self>,
        rooms: &Rooms,
        owner: &Owner,
        bundle: &BundleName,
    ) -> Result<bool, StoreError> {
        let versions = self.store.versions(bundle).await?;
        let team = owner.team();
        let active = |version: &BundleVersion| version.active && version.team == team;
        let Some(active) = versions.into_iter().find(active) else {
            return Ok(false);
        };
        let depth = depth(rooms, &active.hash);
        let (bytes, inspection) = match self.content.fetch(&active.hash, depth).await {
            Ok(fetched) => fetched,
            Err(error) => {
                error!(%bundle, %error, "the version that served cannot be read");
                return Ok(false);
            }
        };
        if let Err(error) = self.vouched(owner, &inspection, None).await? {
            self.tell_refused(rooms, &team, &inspection, &error).await?;
            return Ok(false);
        }
        match self.stand(rooms, owner, Bytes::from_owner(bytes), inspection) {
            Ok(()) => {}
            Err(Refusal::Mistake(why)) => {
                error!(%bundle, "the version that served cannot be loaded: {why}");
                return Ok(false);
            }
            Err(Refusal::Waits(_)) => return Ok(false),
        }
        if let Some(arrival) = self.arrival(active, owner.clone()).await? {
            self.pass(arrival).await?;
        }
        Ok(true)
    }

    /// A version that is kept, looked at once more.
    pub(super) async fn examine_again(&self, rooms: &Rooms, hash: &BundleHash) -> Option<Examined> {
        match self.content.fetch(hash, depth(rooms, hash)).await {
            Ok((bytes, inspection)) => Some(Examined {
                hash: *hash,
                wasm: Bytes::from_owner(bytes),
                inspection: Ok(inspection),
                signature: None,
            }),
            Err(error) => {
                error!(%error, "a version that waited cannot be read");
                None
            }
        }
    }
}

/// As errors and decisions name it.
pub(in crate::house) fn label(inspection: &Inspection) -> BundleLabel {
    BundleLabel {
        name: inspection.manifest.name.clone(),
        version: inspection.manifest.version.to_string(),
        hash: inspection.hash,
    }
}

/// What was compiled before was validated then: a start with many bundles whose code is kept need not do it
/// again. An inspection decides nothing about what runs; code is checked on its own when it is mapped, and
/// where it does not pass, the component is compiled and so validated again.
fn depth(rooms: &Rooms, hash: &BundleHash) -> Depth {
    if rooms.sandbox.has_compiled(hash) {
        Depth::Structure
    } else {
        Depth::Whole
    }
}

#[async_trait]
impl ComponentSource for Shelf {
    /// Any version that was ever kept, under the grant and the keys that its bundle has now: a revoked grant and a
    /// revoked key bind old versions too.
    async fn component(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<Option<Sourced>, Box<dyn Error + Send + Sync>> {
        let (Some(rooms), Some(owner)) = (self.rooms.get(), self.owner(team, bundle)) else {
            return Ok(None);
        };
        let (bytes, inspection) = self.content.fetch(hash, depth(rooms, hash)).await?;
        if inspection.manifest.name != *bundle {
            return Ok(None);
        }
        if let Err(error) = self.vouched(&owner, &inspection, None).await? {
            if let Err(error) = self.tell_refused(rooms, team, &inspection, &error).await {
                error!(%bundle, %error, "that a version is refused could not be told to the audit");
            }
            return Err(error.into());
        }
        let request = Request::from_bundle_toml(&inspection.manifest.text)?;
        let decided = self.decided(team, bundle);
        let effective = owner.effective(
            label(&inspection),
            &request,
            &decided.approvals,
            self.shares(),
        );
        Ok(Some(Sourced {
            wasm: Bytes::from_owner(bytes),
            effective: effective.into(),
        }))
    }
}
