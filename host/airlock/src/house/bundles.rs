//! The shelf: which bundle versions there are, and the way of each from a file to live DAGs.
//!
//! A file is kept and inspected, its request is held against its team's grant, the sandbox checks its imports
//! against both, and the importer parses it or answers from what it parsed before. Whatever is wrong on that
//! way becomes the bundle's import error, and the version before keeps serving.

use std::{
    collections::HashMap,
    error::Error,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use airlock_bundle::{Content, DEFAULT_MAX_BYTES, Inspection, Source, SourceEvent, SourceOptions};
use airlock_capability as capability;
use airlock_grant::{BundleLabel, Caller, Effective, Phase, Request, port::Variables as _};
use airlock_model::{
    id::{BundleHash, BundleName, TeamName},
    port::{BundleStore, BundleVersion, DagFilter, DagStore, Page, StoreError},
};
use airlock_sandbox::{ComponentSource, Sandbox, Sourced};
use airlock_scheduler::{Importer, import::Imported};
use airlock_store::Store;
use async_trait::async_trait;
use bytes::Bytes;
use tracing::{error, info, warn};

use super::Purpose;
use crate::config::{Bundle, Config};

/// Between two attempts at a parse that failed for want of pool, time or memory.
const AGAIN: Duration = Duration::from_secs(5);

/// A bundle's current version, as reviewers see it.
#[derive(Clone)]
pub(crate) struct Standing {
    pub(crate) owner: Owner,
    pub(crate) inspection: Arc<Inspection>,
    effective: Arc<Effective>,
}

/// Under whose name a file is taken in.
#[derive(Clone)]
pub(crate) enum Owner {
    /// A team's configured bundle.
    Configured { team: TeamName, bundle: Box<Bundle> },
    /// The default team's, which is granted what it asks for; directories below this folder, its own.
    Automatic { own: PathBuf },
}

impl Owner {
    fn team(&self) -> TeamName {
        match self {
            Self::Configured { team, .. } => team.clone(),
            Self::Automatic { .. } => TeamName::default_team(),
        }
    }

    fn prefix(&self) -> Option<&str> {
        match self {
            Self::Configured { bundle, .. } => bundle.dag_id_prefix.as_deref(),
            Self::Automatic { .. } => None,
        }
    }

    /// What the bundle may reach.
    fn effective(&self, label: BundleLabel, request: &Request) -> Effective {
        match self {
            Self::Configured { team, bundle } => {
                Effective::new(team.clone(), label, request, &bundle.grant)
            }
            Self::Automatic { own } => Effective::grant_all(label, request, own),
        }
    }

    /// The default team's bundle in this file: its folder lies beside the file, under the file's name.
    fn of_file(file: &Path) -> Self {
        Self::Automatic {
            own: file.with_extension(""),
        }
    }
}

/// Why a file gave no DAGs.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// The bundle's fault: an import error.
    #[error("{message}")]
    Bundle {
        hash: Option<BundleHash>,
        message: String,
    },
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal {
    fn bundle(hash: Option<BundleHash>, error: &impl ToString) -> Self {
        Self::Bundle {
            hash,
            message: error.to_string(),
        }
    }
}

/// The rooms that a version passes through.
struct Rooms {
    importer: Importer,
    sandbox: Arc<Sandbox>,
    variables: capability::Variables,
}

/// All bundles.
pub(crate) struct Shelf {
    config: Arc<Config>,
    purpose: Purpose,
    store: Arc<Store>,
    content: Arc<Content>,
    rooms: OnceLock<Rooms>,
    standing: Mutex<HashMap<BundleName, Standing>>,
    /// One version passes at a time, so that two cannot both find a `dag_id` free.
    passing: tokio::sync::Mutex<()>,
}

impl Shelf {
    pub(crate) fn new(
        config: &Arc<Config>,
        purpose: Purpose,
        store: Arc<Store>,
        content: Arc<Content>,
    ) -> Self {
        Self {
            config: Arc::clone(config),
            purpose,
            store,
            content,
            rooms: OnceLock::new(),
            standing: Mutex::default(),
            passing: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn open(
        &self,
        importer: Importer,
        sandbox: Arc<Sandbox>,
        variables: capability::Variables,
    ) {
        // Opened once, by the house.
        let _ = self.rooms.set(Rooms {
            importer,
            sandbox,
            variables,
        });
    }

    /// A bundle's current version.
    pub(crate) fn standing(&self, bundle: &BundleName) -> Option<Standing> {
        self.lock().get(bundle).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<BundleName, Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads what is there now; what was parsed before is live when this returns, what was not is parsed
    /// meanwhile. Then watches all sources.
    pub(crate) async fn fill(self: &Arc<Self>) -> Result<(), StoreError> {
        self.retire().await?;
        let mut sources: Vec<(Option<Owner>, PathBuf)> = Vec::new();
        for team in &self.config.teams {
            for bundle in &team.bundles {
                let (team, bundle) = (team.name.clone(), Box::new(bundle.clone()));
                let source = bundle.source.clone();
                sources.push((Some(Owner::Configured { team, bundle }), source));
            }
        }
        sources.extend(
            self.config
                .automatic
                .iter()
                .map(|folder| (None, folder.clone())),
        );
        for (owner, path) in &sources {
            for file in components(path) {
                if let Ok(bytes) = tokio::fs::read(&file).await {
                    let owner = owner.clone().unwrap_or_else(|| Owner::of_file(&file));
                    self.take_in(&owner, &file, bytes.into(), false).await?;
                }
            }
        }
        for (owner, path) in sources {
            let shelf = Arc::clone(self);
            tokio::spawn(async move { shelf.watch(owner, &path).await });
        }
        Ok(())
    }

    /// Takes in the one bundle of a house that is thrown away, with `own` as its folder.
    pub(crate) async fn put(
        self: &Arc<Self>,
        own: &Path,
        bytes: Vec<u8>,
    ) -> Result<(), StoreError> {
        let owner = Owner::Automatic {
            own: own.to_owned(),
        };
        self.take_in(&owner, own, bytes.into(), true).await
    }

    /// DAGs of bundles that nobody owns any more are stale; their history stays.
    async fn retire(&self) -> Result<(), StoreError> {
        if self.config.automatic.is_some() {
            return Ok(());
        }
        let all = self
            .store
            .dags(&DagFilter::default(), Page::ALL)
            .await?
            .items;
        let owned = |team: &TeamName, bundle: &BundleName| {
            self.config
                .teams
                .iter()
                .any(|t| t.name == *team && t.bundles.iter().any(|b| b.name == *bundle))
        };
        for dag in all.iter().filter(|dag| !owned(&dag.team, &dag.bundle)) {
            info!(bundle = %dag.bundle, "the bundle is no longer configured; its DAGs are stale");
            self.store.replace(&dag.team, &dag.bundle, &[], &[]).await?;
        }
        Ok(())
    }

    async fn watch(self: Arc<Self>, owner: Option<Owner>, path: &Path) {
        let options = SourceOptions {
            max_bytes: most_bytes(&self.config),
            ..SourceOptions::default()
        };
        let mut source = if path.is_dir() {
            Source::folder(path, options)
        } else {
            Source::file(path, options)
        };
        while let Some(event) = source.next().await {
            let told = match event {
                SourceEvent::Found { path, bytes, .. } => {
                    let owner = owner.clone().unwrap_or_else(|| Owner::of_file(&path));
                    self.take_in(&owner, &path, bytes.into(), true).await
                }
                SourceEvent::Gone { path } => {
                    warn!(file = %path.display(), "the bundle's file is gone; its last version keeps serving");
                    Ok(())
                }
                SourceEvent::Failed(error) => self.unreadable(owner.as_ref(), &error).await,
            };
            if let Err(error) = told {
                error!(%error, "a bundle could not be taken in; its file is looked at again when it changes");
            }
        }
    }

    async fn unreadable(
        &self,
        owner: Option<&Owner>,
        error: &impl ToString,
    ) -> Result<(), StoreError> {
        let Some(Owner::Configured { team, bundle }) = owner else {
            warn!(error = error.to_string(), "a bundle cannot be read");
            return Ok(());
        };
        let Some(rooms) = self.rooms.get() else {
            return Ok(());
        };
        rooms
            .importer
            .refuse(team, &bundle.name, None, &error.to_string())
            .await
    }

    /// Takes in a file. Its mistakes become import errors; only the store's failures come back.
    async fn take_in(
        self: &Arc<Self>,
        owner: &Owner,
        file: &Path,
        bytes: Arc<[u8]>,
        wait: bool,
    ) -> Result<(), StoreError> {
        match self.load(owner, bytes).await {
            Ok(None) => Ok(()),
            Ok(Some(version)) => self.import(version, owner.clone(), wait).await,
            Err(Refusal::Store(error)) => Err(error),
            Err(Refusal::Bundle { hash, message }) => {
                let name = match owner {
                    Owner::Configured { bundle, .. } => Some(bundle.name.clone()),
                    Owner::Automatic { .. } => file
                        .file_stem()
                        .and_then(|stem| BundleName::new(stem.to_string_lossy()).ok()),
                };
                warn!(file = %file.display(), "{message}");
                match (name, self.rooms.get()) {
                    (Some(name), Some(rooms)) => {
                        rooms
                            .importer
                            .refuse(&owner.team(), &name, hash, &message)
                            .await
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// From bytes to a version that is loaded in its team's pool; none when it is the current one.
    async fn load(
        &self,
        owner: &Owner,
        bytes: Arc<[u8]>,
    ) -> Result<Option<BundleVersion>, Refusal> {
        let Some(rooms) = self.rooms.get() else {
            return Ok(None);
        };
        let hash = airlock_bundle::hash(&bytes);
        if self
            .lock()
            .values()
            .any(|standing| standing.inspection.hash == hash)
        {
            return Ok(None);
        }
        let wasm = Bytes::from_owner(Arc::clone(&bytes));
        let inspection = self
            .content
            .keep(bytes)
            .await
            .map_err(|error| Refusal::bundle(Some(hash), &error))?;
        let name = inspection.manifest.name.clone();
        if let Owner::Configured { bundle, .. } = owner
            && bundle.name != name
        {
            let message = format!(
                "AL-0241: the file is the bundle `{name}`, but it is configured as `{}`; correct `name` of the [[team.bundle]] or its `source`",
                bundle.name
            );
            return Err(Refusal::Bundle {
                hash: Some(hash),
                message,
            });
        }
        let request = Request::from_bundle_toml(&inspection.manifest.text)
            .map_err(|error| Refusal::bundle(Some(hash), &error))?;
        let version = inspection.manifest.version.to_string();
        let label = BundleLabel {
            name: name.clone(),
            version: version.clone(),
            hash,
        };
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
        rooms
            .sandbox
            .load(Sourced {
                wasm,
                effective: Arc::clone(&effective),
            })
            .map_err(|error| Refusal::bundle(Some(hash), &error))?;
        let inspection = Arc::new(inspection);
        let standing = Standing {
            owner: owner.clone(),
            inspection,
            effective,
        };
        self.lock().insert(name.clone(), standing);
        let (team, created_at) = (owner.team(), rooms.importer.clock.now());
        Ok(Some(BundleVersion {
            bundle: name,
            team,
            hash,
            version,
            created_at,
            active: true,
        }))
    }

    /// Imports a loaded version; one that has to be parsed first does so in the background unless `wait`.
    async fn import(
        self: &Arc<Self>,
        version: BundleVersion,
        owner: Owner,
        wait: bool,
    ) -> Result<(), StoreError> {
        let Some(rooms) = self.rooms.get() else {
            return Ok(());
        };
        let inputs = self.parse_inputs(rooms, &version).await?;
        let key = airlock_model::port::ParseKey {
            hash: version.hash,
            inputs,
        };
        if wait || self.store.parse_result(&key).await?.is_some() {
            return self.pass(version, owner, inputs).await;
        }
        let shelf = Arc::clone(self);
        tokio::spawn(async move {
            let bundle = version.bundle.clone();
            if let Err(error) = shelf.pass(version, owner, inputs).await {
                error!(%bundle, %error, "the bundle could not be imported; it is tried again at the next start");
            }
        });
        Ok(())
    }

    async fn pass(
        self: &Arc<Self>,
        version: BundleVersion,
        owner: Owner,
        inputs: BundleHash,
    ) -> Result<(), StoreError> {
        let Some(rooms) = self.rooms.get() else {
            return Ok(());
        };
        let policy = super::policy(&self.config, self.purpose, owner.prefix());
        let passing = self.passing.lock().await;
        let imported = rooms.importer.import(&version, inputs, &policy).await?;
        drop(passing);
        let bundle = &version.bundle;
        match imported {
            Imported::Live {
                dags,
                errors,
                from_cache,
            } => {
                let (count, wrong) = (dags.len(), errors.len());
                info!(%bundle, version = version.version, dags = count, import_errors = wrong, from_cache, "imported");
                for error in &errors {
                    warn!(%bundle, "{}", error.message);
                }
            }
            Imported::Refused { error, again } => {
                warn!(%bundle, "{}", error.message);
                if again {
                    let shelf = Arc::clone(self);
                    tokio::spawn(async move { shelf.pass_again(version, owner, inputs).await });
                }
            }
        }
        Ok(())
    }

    /// Another attempt at a parse, unless a newer version has come meanwhile.
    fn pass_again(
        self: Arc<Self>,
        version: BundleVersion,
        owner: Owner,
        inputs: BundleHash,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            tokio::time::sleep(AGAIN).await;
            let current = self
                .standing(&version.bundle)
                .map(|standing| standing.inspection.hash);
            if current == Some(version.hash)
                && let Err(error) = self.pass(version, owner, inputs).await
            {
                error!(%error, "the bundle could not be imported; it is tried again at the next start");
            }
        })
    }

    /// Variables or pools have changed: what was imported may be different now. Parses that do not depend
    /// on what changed are answered from what is kept.
    pub(crate) async fn import_again(self: &Arc<Self>) -> Result<(), StoreError> {
        for version in self.store.active().await? {
            if let Some(standing) = self.standing(&version.bundle)
                && standing.inspection.hash == version.hash
            {
                self.import(version, standing.owner, true).await?;
            }
        }
        Ok(())
    }

    /// What the parse depends on besides the bytes: a hash over the variables granted to that phase.
    async fn parse_inputs(
        &self,
        rooms: &Rooms,
        version: &BundleVersion,
    ) -> Result<BundleHash, StoreError> {
        let mut hash = blake3::Hasher::new();
        hash.update(b"airlock parse inputs 1");
        let standing = self.standing(&version.bundle);
        for permit in standing
            .iter()
            .flat_map(|standing| standing.effective.parse_variables())
        {
            for variable in rooms.variables.matching(permit).await? {
                for part in [variable.key.as_str(), variable.value.reveal()] {
                    hash.update(&(part.len() as u64).to_le_bytes());
                    hash.update(part.as_bytes());
                }
            }
        }
        Ok(BundleHash::from_bytes(*hash.finalize().as_bytes()))
    }

    /// Who owns a bundle now.
    fn owner(&self, team: &TeamName, bundle: &BundleName) -> Option<Owner> {
        if let Some(folder) = &self.config.automatic {
            let known = self.standing(bundle).map(|standing| standing.owner);
            let owner = known.unwrap_or_else(|| Owner::Automatic {
                own: folder.join(bundle.as_str()),
            });
            return (*team == TeamName::default_team()).then_some(owner);
        }
        let team = self
            .config
            .teams
            .iter()
            .find(|configured| configured.name == *team)?;
        let bundle = team
            .bundles
            .iter()
            .find(|configured| configured.name == *bundle)?;
        Some(Owner::Configured {
            team: team.name.clone(),
            bundle: Box::new(bundle.clone()),
        })
    }
}

#[async_trait]
impl ComponentSource for Shelf {
    /// Any version that was ever kept, under the grant that its bundle has now: a revoked grant binds old
    /// versions too.
    async fn component(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<Option<Sourced>, Box<dyn Error + Send + Sync>> {
        let Some(owner) = self.owner(team, bundle) else {
            return Ok(None);
        };
        let (bytes, inspection) = self.content.fetch(hash).await?;
        if inspection.manifest.name != *bundle {
            return Ok(None);
        }
        let request = Request::from_bundle_toml(&inspection.manifest.text)?;
        let label = BundleLabel {
            name: bundle.clone(),
            version: inspection.manifest.version.to_string(),
            hash: *hash,
        };
        let effective = Arc::new(owner.effective(label, &request));
        Ok(Some(Sourced {
            wasm: Bytes::from_owner(bytes),
            effective,
        }))
    }
}

/// The largest component that any team may have.
pub(super) fn most_bytes(config: &Config) -> u64 {
    let most = config
        .teams
        .iter()
        .map(|team| team.limits.component_bytes.get())
        .max();
    most.unwrap_or(DEFAULT_MAX_BYTES)
}

/// The component files of a source, in the order of their names.
fn components(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .map_while(Result::ok);
    let wasm = |path: &PathBuf| {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !hidden && path.extension().is_some_and(|end| end == "wasm")
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(wasm).collect();
    files.sort();
    files
}
