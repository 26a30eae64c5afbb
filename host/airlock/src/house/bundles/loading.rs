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
    port::{BundleVersion, StoreError},
};
use airlock_sandbox::{ComponentSource, Sourced};
use async_trait::async_trait;
use bytes::Bytes;
use tracing::warn;

use super::{Owner, Rooms, Shelf, Standing, importing::Arrival};

/// A file's bytes, kept and looked at.
pub(super) struct Examined {
    pub(super) hash: BundleHash,
    pub(super) wasm: Bytes,
    pub(super) inspection: Result<Inspection, ContentError>,
    /// The signature beside it, unchecked.
    pub(super) signature: Option<Vec<u8>>,
}

/// Why a file gave no version: the bundle's import error.
pub(super) struct Refusal(String);

impl Refusal {
    fn of(error: &impl ToString) -> Self {
        Self(error.to_string())
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
            Err(Refusal(message)) => {
                warn!(file = %file.display(), "{message}");
                if let Some(name) = owner.bundle(file) {
                    rooms
                        .importer
                        .refuse(&owner.team(), &name, Some(hash), &message)
                        .await?;
                }
                Ok(None)
            }
        }
    }

    pub(super) fn load(
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
            return Err(Refusal(format!(
                "AL-0241: the file is the bundle `{name}`, but it is configured as `{}`; correct `name` of the [[team.bundle]] or its `source`",
                bundle.name
            )));
        }
        let request = Request::from_bundle_toml(&inspection.manifest.text)
            .map_err(|error| Refusal::of(&error))?;
        let label = label(&inspection);
        let version = label.version.clone();
        let effective = Arc::new(owner.effective(label, &request));
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
        self.lock().insert(name.clone(), standing);
        Ok(BundleVersion {
            bundle: name,
            team: owner.team(),
            hash,
            version,
            created_at: rooms.importer.clock.now(),
            active: true,
        })
    }
}

fn label(inspection: &Inspection) -> BundleLabel {
    BundleLabel {
        name: inspection.manifest.name.clone(),
        version: inspection.manifest.version.to_string(),
        hash: inspection.hash,
    }
}

/// What was compiled before was validated then: a start with many bundles whose code is kept need not do it
/// again. An inspection decides nothing about what runs; code is checked on its own when it is mapped, and
/// where it does not pass, the component is compiled and so validated again.
pub(super) fn depth(rooms: &Rooms, hash: &BundleHash) -> Depth {
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
        self.vouched(&owner, &inspection, None).await??;
        let request = Request::from_bundle_toml(&inspection.manifest.text)?;
        let effective = Arc::new(owner.effective(label(&inspection), &request));
        Ok(Some(Sourced {
            wasm: Bytes::from_owner(bytes),
            effective,
        }))
    }
}
