//! From bytes to something that can be called: checked when it is loaded, compiled and linked when it is
//! first needed.
//!
//! Loading looks at the file's face only, so that a host with many bundles is ready at once. What is final
//! about a component (it does not compile, does not fit its world or its pool) is remembered with it; what
//! may be different next time (no room on the disk, no source) is not.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
};

use airlock_grant::{Effective, UngrantedImport};
use airlock_model::id::{BundleHash, BundleName, TeamName};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::{
    bindings::{
        CallbackBundlePre, DagBundlePre, TaskBundlePre, TimetableBundlePre, TriggerBundlePre,
    },
    cache::{CacheError, CodeCache},
    code,
    compile::{CompileError, Compiler},
    context::Context,
    engine::TeamEngine,
    errand::Errand,
    limits::{self, TeamLimits},
    link,
    metrics::TeamMetrics,
    reach::Reach,
    shape::{Shape, ShapeError},
};

/// Why a bundle version cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The team has no pool.
    #[error("AL-0549: team `{0}` has no pool; declare it with `[[team]]` in the configuration")]
    Team(TeamName),
    /// The file is too large.
    #[error(
        "AL-0550: the component has {bytes} bytes, more than {}; make it smaller (`opt-level = \"s\"`, `lto`, `strip`), or raise `component_bytes` of the team's pool",
        limits::bytes(*most)
    )]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
    /// The bytes are others than those that were reviewed.
    #[error("AL-0551: the component's content is {found:?}, not {expected:?} as it should be")]
    Hash {
        /// What they should hash to.
        expected: BundleHash,
        /// What they do.
        found: BundleHash,
    },
    /// It is no component.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// It imports what its grant does not hold. Each has its own text.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Imports(Vec<UngrantedImport>),
    /// It exports nothing that could be called.
    #[error(
        "AL-0536: this component exports no phase of a bundle (`airlock:bundle/dags` or `airlock:bundle/tasks`), so there is nothing to run; build it with an Airlock SDK"
    )]
    NoPhase,
    /// It is asked for a timetable that it does not have.
    #[error(
        "AL-0554: a DAG of this component has a timetable of its own, but the component does not export `airlock:bundle/timetables`; build it with an Airlock SDK"
    )]
    NoTimetables,
    /// It is to poll a trigger that it does not have.
    #[error(
        "AL-0559: a trigger of this component is to be polled, but the component does not export `airlock:bundle/triggers`; build it with an Airlock SDK"
    )]
    NoTriggers,
    /// It is to hear of something and has no ear.
    #[error(
        "AL-0560: a callback of this component is to be called, but the component does not export `airlock:bundle/callbacks`; build it with an Airlock SDK"
    )]
    NoCallbacks,
    /// It has the right names with other types.
    #[error(
        "AL-0537: this component does not fit this host's interfaces: {0:#}; build it with a version of the SDK that fits"
    )]
    Contract(wasmtime::Error),
    /// It wants more than an instance of this team may have.
    #[error(
        "AL-0538: this component needs more than an instance of its team has: {0:#}; raise `memory_per_instance` or `table_elements` of the team's pool"
    )]
    Pool(wasmtime::Error),
    /// It was not compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The compiled form was not kept.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Nobody knows this version.
    #[error(
        "AL-0539: the bundle version {bundle} {hash:?} is not there; put the bundle's file back where it came from"
    )]
    Unknown {
        /// The bundle.
        bundle: BundleName,
        /// Its content.
        hash: BundleHash,
    },
    /// Its bytes cannot be had now.
    #[error("AL-0542: the component cannot be read now: {0}")]
    Source(#[source] Box<dyn Error + Send + Sync>),
}

impl LoadError {
    /// Whether the same bytes with the same grant would fail again.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Compile(error) => error.is_final(),
            Self::Cache(_) | Self::Source(_) => false,
            _ => true,
        }
    }
}

/// A component and what it may reach, as a [`ComponentSource`] gives it.
#[derive(Debug, Clone)]
pub struct Sourced {
    /// The component file.
    pub wasm: Bytes,
    /// Its request and its grant.
    pub effective: Arc<Effective>,
}

/// Where the sandbox gets versions that nobody loaded, such as those that runs are pinned to.
#[async_trait]
pub trait ComponentSource: Send + Sync {
    /// This version, or none where there is no such version of this team's bundle.
    async fn component(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<Option<Sourced>, Box<dyn Error + Send + Sync>>;
}

/// A bundle version that was checked.
pub(crate) struct Loaded {
    reach: Arc<Reach>,
    shape: Shape,
    /// The file, until it is compiled.
    wasm: Mutex<Option<Bytes>>,
    prepared: OnceCell<Result<Arc<Prepared>, Arc<LoadError>>>,
}

/// A bundle version that can be called.
pub(crate) struct Prepared {
    pub(crate) reach: Arc<Reach>,
    /// Whether it wants to see granted directories.
    pub(crate) files: bool,
    pub(crate) dags: Option<DagBundlePre<Context>>,
    pub(crate) timetables: Option<TimetableBundlePre<Context>>,
    pub(crate) tasks: Option<TaskBundlePre<Context>>,
    pub(crate) triggers: Option<TriggerBundlePre<Context>>,
    pub(crate) callbacks: Option<CallbackBundlePre<Context>>,
}

/// What preparing needs of the team and of the house.
pub(crate) struct Workshop<'a> {
    pub(crate) engine: &'a TeamEngine,
    pub(crate) metrics: &'a TeamMetrics,
    pub(crate) cache: &'a CodeCache,
    pub(crate) compiler: &'a Compiler,
    pub(crate) source: &'a dyn ComponentSource,
    /// Held while the team compiles: one component at a time.
    pub(crate) compiling: &'a tokio::sync::Mutex<()>,
}

impl Loaded {
    /// Checks a file's size, content, kind, imports and exports.
    pub(crate) fn check(
        sourced: Sourced,
        limits: &TeamLimits,
        cache: &CodeCache,
    ) -> Result<Self, LoadError> {
        let Sourced { wasm, effective } = sourced;
        if wasm.len() > limits.component_bytes {
            return Err(LoadError::TooLarge {
                bytes: wasm.len(),
                most: limits.component_bytes,
            });
        }
        let found = BundleHash::from_bytes(*blake3::hash(&wasm).as_bytes());
        let expected = effective.bundle().hash;
        if found != expected {
            return Err(LoadError::Hash { expected, found });
        }
        let shape = Shape::of(&wasm)?;
        effective
            .check_imports(&shape.imports)
            .map_err(LoadError::Imports)?;
        if !shape.has(Errand::Parse) && !shape.has(Errand::Task) {
            return Err(LoadError::NoPhase);
        }
        let wasm = (!cache.holds(&expected)).then_some(wasm);
        Ok(Self {
            reach: Arc::new(Reach::new(effective)),
            shape,
            wasm: Mutex::new(wasm),
            prepared: OnceCell::new(),
        })
    }

    /// What it may reach, as it is now.
    pub(crate) fn effective(&self) -> Arc<Effective> {
        self.reach.now()
    }

    /// The same version again, which was checked anew: calls of the earlier one that run ask it from now on.
    pub(crate) fn after(mut self, earlier: &Self) -> Self {
        earlier.reach.replace(self.reach.now());
        self.reach = Arc::clone(&earlier.reach);
        self
    }

    /// The same version with something else to reach, also for calls that run. Where it imports what it may
    /// not reach any more, it cannot be called again.
    pub(crate) fn regranted(&self, effective: Arc<Effective>) -> Self {
        let checked = effective.check_imports(&self.shape.imports);
        self.reach.replace(effective);
        let prepared = match checked {
            Ok(_) => OnceCell::new(),
            Err(imports) => OnceCell::new_with(Some(Err(Arc::new(LoadError::Imports(imports))))),
        };
        Self {
            reach: Arc::clone(&self.reach),
            shape: self.shape.clone(),
            wasm: Mutex::new(self.wasm()),
            prepared,
        }
    }

    /// Compiled and linked, now or before.
    pub(crate) async fn prepared(
        &self,
        workshop: &Workshop<'_>,
    ) -> Result<Arc<Prepared>, Arc<LoadError>> {
        let once = || async {
            match self.prepare(workshop).await {
                Ok(prepared) => Ok(Ok(Arc::new(prepared))),
                Err(error) if error.is_final() => Ok(Err(Arc::new(error))),
                Err(error) => Err(Arc::new(error)),
            }
        };
        match self.prepared.get_or_try_init(once).await {
            Ok(Ok(prepared)) => Ok(Arc::clone(prepared)),
            Ok(Err(error)) => Err(Arc::clone(error)),
            Err(error) => Err(error),
        }
    }

    async fn prepare(&self, workshop: &Workshop<'_>) -> Result<Prepared, LoadError> {
        let effective = self.effective();
        let hash = effective.bundle().hash;
        let file = match workshop.cache.get(&hash) {
            Some(file) => {
                workshop.metrics.cached.fetch_add(1, Relaxed);
                file
            }
            None => self.compile(workshop, &hash).await?,
        };
        let component = code::map(workshop.engine.get(), &file).map_err(LoadError::Pool)?;
        let instance = link::linker(workshop.engine, &effective)
            .and_then(|linker| linker.instantiate_pre(&component))
            .map_err(LoadError::Contract)?;
        let export = |errand| self.shape.has(errand).then(|| instance.clone());
        let prepared = Prepared {
            reach: Arc::clone(&self.reach),
            files: self.shape.wants_files(),
            dags: export(Errand::Parse)
                .map(DagBundlePre::new)
                .transpose()
                .map_err(LoadError::Contract)?,
            timetables: export(Errand::Timetable)
                .map(TimetableBundlePre::new)
                .transpose()
                .map_err(LoadError::Contract)?,
            tasks: export(Errand::Task)
                .map(TaskBundlePre::new)
                .transpose()
                .map_err(LoadError::Contract)?,
            triggers: export(Errand::Trigger)
                .map(TriggerBundlePre::new)
                .transpose()
                .map_err(LoadError::Contract)?,
            callbacks: export(Errand::Callback)
                .map(CallbackBundlePre::new)
                .transpose()
                .map_err(LoadError::Contract)?,
        };
        self.forget_wasm();
        Ok(prepared)
    }

    async fn compile(
        &self,
        workshop: &Workshop<'_>,
        hash: &BundleHash,
    ) -> Result<code::Verified, LoadError> {
        let _one_at_a_time = workshop.compiling.lock().await;
        let wasm = match self.wasm() {
            Some(wasm) => wasm,
            None => self.fetch(workshop, hash).await?,
        };
        let code = workshop.compiler.compile(&wasm).await?;
        workshop.metrics.compiled.fetch_add(1, Relaxed);
        workshop.cache.put(hash, &code)?;
        workshop.cache.get(hash).ok_or_else(|| {
            LoadError::Source("what was just written to the code cache cannot be read".into())
        })
    }

    /// The file again, after its compiled form was lost.
    async fn fetch(&self, workshop: &Workshop<'_>, hash: &BundleHash) -> Result<Bytes, LoadError> {
        let effective = self.effective();
        let sourced = workshop
            .source
            .component(effective.team(), &effective.bundle().name, hash)
            .await
            .map_err(LoadError::Source)?;
        let wasm = sourced.map(|sourced| sourced.wasm).unwrap_or_default();
        let found = BundleHash::from_bytes(*blake3::hash(&wasm).as_bytes());
        if found == *hash {
            Ok(wasm)
        } else {
            Err(LoadError::Source(
                format!("its source gave {found:?} for {hash:?}").into(),
            ))
        }
    }

    fn wasm(&self) -> Option<Bytes> {
        let wasm = self.wasm.lock().unwrap_or_else(PoisonError::into_inner);
        wasm.clone()
    }

    fn forget_wasm(&self) {
        *self.wasm.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
