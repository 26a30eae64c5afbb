//! From a loaded version to live DAGs: one version at a time, so that which of two bundles gets a `dag_id`
//! that both claim is decided by who passes first.

use std::{
    collections::{BTreeSet, HashSet},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use airlock_grant::{Kind, port::Variables as _};
use airlock_model::{
    audit::{Actor, AuditAction, AuditEntry},
    id::{BundleHash, BundleName, TeamName},
    port::{
        AuditStore, BundleStore, BundleVersion, DagFilter, DagStore, Page, ParseKey, StoreError,
    },
};
use airlock_scheduler::import::{Imported, Inputs};
use async_trait::async_trait;
use serde_json::json;
use tracing::{error, info, warn};

use super::{Owner, Rooms, Shelf};
use crate::house;

/// Between two attempts at a parse that failed for want of pool, time or memory.
const AGAIN: Duration = Duration::from_secs(5);

/// A version that is loaded and waits to be imported.
pub(super) struct Arrival {
    version: BundleVersion,
    owner: Owner,
    /// What the parse depended on besides the bytes when it arrived.
    inputs: BundleHash,
}

/// The variables that are granted to the parse of a version.
struct Granted<'a> {
    shelf: &'a Shelf,
    rooms: &'a Rooms,
    version: &'a BundleVersion,
}

#[async_trait]
impl Inputs for Granted<'_> {
    async fn now(&self) -> Result<BundleHash, StoreError> {
        self.shelf.parse_inputs(self.rooms, self.version).await
    }
}

impl Shelf {
    /// What there is to import of a loaded version.
    pub(super) async fn arrival(
        &self,
        version: BundleVersion,
        owner: Owner,
    ) -> Result<Option<Arrival>, StoreError> {
        let Some(rooms) = self.rooms.get() else {
            return Ok(None);
        };
        let inputs = self.parse_inputs(rooms, &version).await?;
        Ok(Some(Arrival {
            version,
            owner,
            inputs,
        }))
    }

    /// Whether this version was parsed before, with the same variables.
    pub(super) async fn is_parsed(&self, arrival: &Arrival) -> Result<bool, StoreError> {
        let key = ParseKey {
            hash: arrival.version.hash,
            inputs: arrival.inputs,
        };
        self.store.is_parsed(&key).await
    }

    /// Imports a version, unless a newer one has come meanwhile.
    pub(super) async fn pass(self: &Arc<Self>, arrival: Arrival) -> Result<(), StoreError> {
        let Some(rooms) = self.rooms.get() else {
            return Ok(());
        };
        let Arrival { version, owner, .. } = &arrival;
        let policy = house::policy(&self.config, self.purpose, owner.rules());
        let passing = self.passing.lock().await;
        let current = self.standing(&version.bundle);
        if current.is_none_or(|standing| standing.inspection.hash != version.hash) {
            return Ok(());
        }
        let before = self.store.versions(&version.bundle).await?;
        // As they are when it is this version's turn: they may have changed since it arrived.
        let inputs = Granted {
            shelf: self,
            rooms,
            version,
        };
        let imported = rooms.importer.import(version, &inputs, &policy).await?;
        let bundle = &version.bundle;
        // That a newer one is kept out stays true whatever is imported of the older one.
        let kept_out = self.kept_out().get(bundle).cloned();
        if let (Imported::Live { .. }, Some((newer, why))) = (&imported, kept_out) {
            let importer = &rooms.importer;
            importer
                .refuse(&version.team, bundle, Some(newer), &why)
                .await?;
        }
        drop(passing);
        match imported {
            Imported::Live {
                dags,
                errors,
                from_cache,
            } => {
                let (count, wrong) = (dags.len(), errors.len());
                info!(%bundle, version = version.version, dags = count, import_errors = wrong, from_cache, "imported");
                for error in &errors {
                    warn!(%bundle, "{}", error.message.escape_debug());
                }
                let before = before.into_iter().find(|version| version.active);
                if before
                    .as_ref()
                    .is_none_or(|before| before.hash != version.hash)
                {
                    self.tell_activation(rooms, version, before).await?;
                }
            }
            Imported::Refused { error, again } => {
                warn!(%bundle, "{}", error.message.escape_debug());
                if again {
                    tokio::spawn(Arc::clone(self).pass_again(arrival));
                }
            }
        }
        Ok(())
    }

    /// Tells the audit that this version serves from now on.
    async fn tell_activation(
        &self,
        rooms: &Rooms,
        version: &BundleVersion,
        before: Option<BundleVersion>,
    ) -> Result<(), StoreError> {
        let now = rooms.importer.clock.now();
        let detail = json!({
            "hash": version.hash,
            "version": version.version,
            "before": before.map(|before| before.hash),
        });
        let subject = format!("bundle {}", version.bundle);
        let entry = AuditEntry::new(now, Actor::Host, AuditAction::BundleActivate, &subject)
            .of_team(Some(version.team.clone()))
            .of_bundle(Some(version.bundle.clone()))
            .with(&detail);
        self.store.append_audit(&[entry]).await.map(|_| ())
    }

    /// Another attempt at a parse, after a while.
    fn pass_again(self: Arc<Self>, arrival: Arrival) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            tokio::time::sleep(AGAIN).await;
            self.pass_all([arrival]).await;
        })
    }

    /// Imports these in their order, where nobody waits for them.
    pub(super) async fn pass_all(
        self: Arc<Self>,
        arrivals: impl IntoIterator<Item = Arrival, IntoIter: Send> + Send,
    ) {
        for arrival in arrivals {
            let bundle = arrival.version.bundle.clone();
            if let Err(error) = self.pass(arrival).await {
                error!(%bundle, %error, "the bundle could not be imported; it is tried again at the next start");
            }
        }
    }

    /// What there is to import anew of the version that serves.
    pub(super) async fn serving(
        &self,
        team: &TeamName,
        bundle: &BundleName,
    ) -> Result<Option<Arrival>, StoreError> {
        let Some(standing) = self.standing(bundle) else {
            return Ok(None);
        };
        let versions = self.store.versions(bundle).await?.into_iter();
        let mut serving = versions.filter(|version| {
            version.active && version.team == *team && version.hash == standing.inspection.hash
        });
        match serving.next() {
            Some(version) => self.arrival(version, standing.owner).await,
            None => Ok(None),
        }
    }

    /// Variables or pools have changed: what was imported may be different now. Parses that do not depend
    /// on what changed are answered from what is kept.
    pub(crate) async fn import_again(self: &Arc<Self>) -> Result<(), StoreError> {
        for version in self.store.active().await? {
            if let Some(standing) = self.standing(&version.bundle)
                && standing.inspection.hash == version.hash
                && let Some(arrival) = self.arrival(version, standing.owner).await?
            {
                self.pass(arrival).await?;
            }
        }
        Ok(())
    }

    /// A hash over what a parse depends on besides the bytes: the variables granted to it, and the assets that its
    /// definitions may name.
    async fn parse_inputs(
        &self,
        rooms: &Rooms,
        version: &BundleVersion,
    ) -> Result<BundleHash, StoreError> {
        let mut hash = blake3::Hasher::new();
        let mut add = |part: &str| {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        };
        add("airlock parse inputs 3");
        let standing = self.standing(&version.bundle);
        // Which definitions are believed depends on the assets that are granted.
        for rule in standing
            .iter()
            .flat_map(|standing| standing.effective.granted(Kind::Asset))
        {
            add(&rule);
        }
        for permit in standing
            .iter()
            .flat_map(|standing| standing.effective.parse_variables())
        {
            // That it may be read is told apart from that there is none.
            add(&permit.item().to_string());
            for variable in rooms.variables.matching(permit).await? {
                add(variable.key.as_str());
                add(variable.value.reveal());
            }
        }
        Ok(BundleHash::from_bytes(*hash.finalize().as_bytes()))
    }

    /// DAGs of bundles that are gone are stale, and no others; their history stays. A bundle is gone when the
    /// configuration does not name it any more or, in the folder of bundles without teams, when neither it
    /// nor a file of its name is there.
    pub(super) async fn retire(&self, files: &HashSet<BundleName>) -> Result<(), StoreError> {
        let automatic = self.config.automatic.is_some();
        let there = |team: &TeamName, bundle: &BundleName| {
            let of_default = *team == TeamName::default_team();
            of_default && (files.contains(bundle) || self.standing(bundle).is_some())
        };
        let all = self
            .store
            .dags(&DagFilter::default(), Page::ALL)
            .await?
            .items;
        let configured = |team: &TeamName, bundle: &BundleName| {
            self.config
                .teams
                .iter()
                .any(|t| t.name == *team && t.bundles.iter().any(|b| b.name == *bundle))
        };
        let gone: BTreeSet<_> = all
            .iter()
            .map(|dag| (&dag.team, &dag.bundle))
            .filter(|(team, bundle)| match automatic {
                true => !there(team, bundle),
                false => !configured(team, bundle),
            })
            .collect();
        for (team, bundle) in gone {
            info!(%bundle, "the bundle is gone; its DAGs are stale");
            self.store.replace(team, bundle, &[], &[]).await?;
        }
        Ok(())
    }
}
