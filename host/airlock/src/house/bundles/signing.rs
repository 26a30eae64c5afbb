//! Who vouches for a version: its signature is checked whenever it is taken in and whenever it is fetched to be run, so
//! that a key that was revoked vouches for nothing, old versions included.

use std::sync::Arc;

use airlock_bundle::{Inspection, MAX_SIGNATURE_BYTES, SignatureError, signer};
use airlock_model::{
    audit::{Actor, AuditAction, AuditEntry},
    id::{BundleHash, TeamName},
    port::{AuditStore, StoreError},
};
use serde_json::json;
use tracing::{debug, warn};

use super::{Owner, Rooms, Shelf};

impl Shelf {
    /// Whether anybody vouches for a version, by the signature `beside` its file or by the one that is kept with its
    /// content. What a team does not require is only told. The default team has no keys.
    pub(super) async fn vouched(
        &self,
        owner: &Owner,
        inspection: &Inspection,
        beside: Option<&[u8]>,
    ) -> Result<Result<(), SignatureError>, StoreError> {
        let Owner::Configured { team, .. } = owner else {
            return Ok(Ok(()));
        };
        let Some(team) = self.config.teams.iter().find(|known| known.name == *team) else {
            return Ok(Ok(()));
        };
        let (bundle, keys) = (&inspection.manifest.name, &team.signing_keys);
        let kept = self.content.signature(&inspection.hash).await?;
        let by_kept = signer(inspection, kept.as_deref(), keys);
        let by_beside = signer(inspection, beside, keys);
        // One that counts takes the place of one that does not; of two that do not count now, the newer.
        if let Some(bytes) = beside
            && (by_beside.is_ok() || by_kept.is_err())
            && bytes.len() <= MAX_SIGNATURE_BYTES
            && kept.as_deref() != beside
        {
            self.content.keep_signature(&inspection.hash, bytes).await?;
        }
        // Of two errors, that of the file that somebody can see.
        let by = match beside {
            Some(_) => by_beside.or_else(|error| by_kept.map_err(|_| error)),
            None => by_kept,
        };
        match by {
            Ok(key) => {
                debug!(%bundle, hash = %inspection.hash, key, "signed");
                Ok(Ok(()))
            }
            Err(error) if team.require_signatures => Ok(Err(error)),
            Err(SignatureError::Missing { .. }) => Ok(Ok(())),
            // With no key there is nothing to be told.
            Err(_) if keys.is_empty() => Ok(Ok(())),
            Err(error) => {
                warn!(%bundle, "{error} (its team does not require it)");
                Ok(Ok(()))
            }
        }
    }

    /// A signature came to the file of a version that stands already: it is kept if it counts.
    pub(super) async fn vouched_again(&self, hash: &BundleHash, beside: Option<&[u8]>) {
        let standing = self.lock().values().find_map(|standing| {
            let same = standing.inspection.hash == *hash;
            same.then(|| (standing.owner.clone(), standing.inspection.clone()))
        });
        if let (Some((owner, inspection)), Some(_)) = (standing, beside)
            && let Err(error) = self.vouched(&owner, &inspection, beside).await
        {
            warn!(%error, "a signature could not be kept; it is looked at again at the next start");
        }
    }

    /// Notes that a version is refused since nobody vouches for it. The version before goes on serving, if somebody
    /// vouches for that one; else the bundle's DAGs are stale.
    pub(super) async fn refuse_unsigned(
        self: &Arc<Self>,
        rooms: &Rooms,
        owner: &Owner,
        inspection: &Inspection,
        error: &SignatureError,
    ) -> Result<(), StoreError> {
        let (team, bundle) = (owner.team(), &inspection.manifest.name);
        let message = error.to_string();
        warn!(%bundle, "{message}");
        self.tell_refused(rooms, &team, inspection, error).await?;
        self.keep_out(rooms, owner, bundle, inspection.hash, message)
            .await
    }

    /// Tells the audit that a version is refused: once for each reason, however often it is looked at, also when it is
    /// fetched for a run that is pinned to it.
    pub(super) async fn tell_refused(
        &self,
        rooms: &Rooms,
        team: &TeamName,
        inspection: &Inspection,
        error: &SignatureError,
    ) -> Result<(), StoreError> {
        let bundle = &inspection.manifest.name;
        let message = error.to_string();
        let (hash, code) = (inspection.hash.to_string(), message.split(':').next());
        let of_it =
            |detail: &str| detail.contains(&hash) && code.is_some_and(|code| detail.contains(code));
        let action = AuditAction::BundleRefuse;
        if self.was_told(team, bundle, action, of_it).await? {
            return Ok(());
        }
        let version = inspection.manifest.version.to_string();
        let detail = json!({"hash": hash, "version": version, "code": code});
        let (now, subject) = (rooms.importer.clock.now(), format!("bundle {bundle}"));
        let entry = AuditEntry::new(now, Actor::Host, action, &subject)
            .of_team(Some(team.clone()))
            .of_bundle(Some(bundle.clone()))
            .with(&detail);
        self.store.append_audit(&[entry]).await?;
        Ok(())
    }
}
