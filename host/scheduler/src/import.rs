//! The way in: a bundle version becomes live DAGs, or import errors that say what to do.
//!
//! A parse is a function of the component's bytes and the variables granted to it, so its result is kept
//! under both and asked for again only when one of them changes. One DAG's mistake leaves the bundle's
//! other DAGs live. A parse that failed for want of pool, time or memory is not an answer about the
//! bundle: it is tried again and never kept.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use airlock_model::{
    connection::Pool,
    dag::{Dag, DagSpec, Schedule},
    id::{BundleHash, BundleName, DagId, TeamName},
    port::{
        BundleStore, BundleVersion, Clock, DagStore, ImportError, ParseError, ParseKey,
        ParseResult, Parser, PoolStore, StoreError, StoredDag, StoredRun,
    },
};

use async_trait::async_trait;

use crate::{
    Handle,
    engine::LiveDag,
    policy::{DagPolicy, unrunnable},
};

/// What an operator demands of a bundle's DAGs, and what stands for those that do not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportPolicy {
    /// What every DAG has to keep.
    pub rules: DagPolicy,
    /// Runs at once of a DAG that does not say, as far as the rules allow.
    pub max_active_runs: u32,
    /// Tasks at once in a run of a DAG that does not say, as far as the rules allow.
    pub max_active_tasks: u32,
    /// Runs are made by hand only, whatever the schedules say: for trying a DAG out.
    pub by_hand: bool,
}

/// What an import gave.
#[derive(Debug)]
pub enum Imported {
    /// The version is the active one of its bundle.
    Live {
        /// DAGs that may run.
        dags: Vec<LiveDag>,
        /// What is wrong with the others.
        errors: Vec<ImportError>,
        /// The parse was answered from what was kept.
        from_cache: bool,
    },
    /// The version could not be parsed; the one before stays the active one.
    Refused {
        /// Why.
        error: ImportError,
        /// It was for want of pool, time or memory: worth another attempt.
        again: bool,
    },
}

/// What a parse depends on besides the bundle's bytes.
#[async_trait]
pub trait Inputs: Send + Sync {
    /// A hash over it, as it is now.
    ///
    /// # Errors
    /// When the store fails.
    async fn now(&self) -> Result<BundleHash, StoreError>;
}

/// Imports bundle versions.
#[derive(Clone)]
pub struct Importer {
    /// Runs the parse phase.
    pub parser: Arc<dyn Parser>,
    /// Keeps versions and parse results.
    pub bundles: Arc<dyn BundleStore>,
    /// Keeps DAGs and import errors.
    pub dags: Arc<dyn DagStore>,
    /// Knows the pools that tasks may name.
    pub pools: Arc<dyn PoolStore>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Hears which DAGs are live now.
    pub handle: Handle,
}

impl std::fmt::Debug for Importer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Importer").finish_non_exhaustive()
    }
}

impl Importer {
    /// Imports a version that is loaded in its team's pool, and tells the scheduler of its DAGs. `inputs`
    /// stands for the variables granted to the parse phase, as they are when it is asked. A result is kept only
    /// if they were the same before and after the parse: which of them it saw, nobody knows otherwise.
    ///
    /// # Errors
    /// When the store fails; nothing has changed then.
    pub async fn import(
        &self,
        version: &BundleVersion,
        inputs: &dyn Inputs,
        policy: &ImportPolicy,
    ) -> Result<Imported, StoreError> {
        let key = ParseKey {
            hash: version.hash,
            inputs: inputs.now().await?,
        };
        let kept = self.bundles.parse_result(&key).await?;
        let from_cache = kept.is_some();
        let parsed = match kept {
            Some(result) => Ok(result),
            None => match self
                .parser
                .parse(&version.team, &version.bundle, &version.hash)
                .await
            {
                Ok(parsed) => {
                    let result = ParseResult {
                        dags: parsed.dags,
                        errors: parsed.errors,
                    };
                    if inputs.now().await? == key.inputs {
                        self.bundles.keep_parse_result(&key, &result).await?;
                    }
                    Ok(result)
                }
                Err(error) => Err(error),
            },
        };
        let result = match parsed {
            Ok(result) => result,
            Err(error) => {
                let again = matches!(error, ParseError::Limit { .. } | ParseError::Unavailable(_));
                let error = self.error(version, None, &error.to_string());
                let live = self.live(&version.bundle).await?;
                let errors = std::slice::from_ref(&error);
                self.dags
                    .replace(&version.team, &version.bundle, &live, errors)
                    .await?;
                return Ok(Imported::Refused { error, again });
            }
        };
        let (mut dags, errors) = self.check(version, result, policy).await?;
        let stored: Vec<StoredDag> = dags.iter().map(|live| self.stored(live)).collect();
        let announcing = self.handle.announcing.write().await;
        let kept = match self.standing(version, &stored, &errors).await? {
            Some(kept) => kept,
            None => {
                self.bundles.activate(version).await?;
                self.dags
                    .replace(&version.team, &version.bundle, &stored, &errors)
                    .await?;
                self.live(&version.bundle).await?
            }
        };
        let paused = kept.iter().filter(|kept| kept.is_paused);
        let paused: HashSet<&DagId> = paused.map(|kept| &kept.dag_id).collect();
        for live in &mut dags {
            live.paused = paused.contains(live.dag.id());
        }
        self.handle.imported(version.bundle.clone(), dags.clone());
        drop(announcing);
        Ok(Imported::Live {
            dags,
            errors,
            from_cache,
        })
    }

    /// What the store has of the bundle, if all of this stands there already, as it does at each start but the
    /// first: then nothing need be written.
    async fn standing(
        &self,
        version: &BundleVersion,
        dags: &[StoredDag],
        errors: &[ImportError],
    ) -> Result<Option<Vec<StoredDag>>, StoreError> {
        let known = self.bundles.version(&version.hash).await?;
        let known = known.is_some_and(|known| {
            known.active && (&known.bundle, &known.team) == (&version.bundle, &version.team)
        });
        if !known {
            return Ok(None);
        }
        let live = self.live(&version.bundle).await?;
        let by_id: HashMap<&DagId, &StoredDag> =
            live.iter().map(|kept| (&kept.dag_id, kept)).collect();
        let same = |dag: &StoredDag| {
            by_id.get(&dag.dag_id).is_some_and(|kept| {
                (&kept.team, &kept.hash) == (&dag.team, &dag.hash) && kept.spec == dag.spec
            })
        };
        if live.len() != dags.len() || !dags.iter().all(same) {
            return Ok(None);
        }
        let told = self.dags.import_errors(Some(&version.team)).await?;
        let told: Vec<_> = told
            .iter()
            .filter(|error| error.bundle == version.bundle)
            .collect();
        let same = |error: &ImportError| {
            told.iter()
                .any(|told| (&told.dag_id, &told.message) == (&error.dag_id, &error.message))
        };
        let all = told.len() == errors.len() && errors.iter().all(same);
        Ok(all.then_some(live))
    }

    /// Notes that a bundle could not be loaded at all. Its DAGs stay as they were.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn refuse(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        hash: Option<BundleHash>,
        message: &str,
    ) -> Result<(), StoreError> {
        let live = self.live(bundle).await?;
        let error = self.of_bundle(team, bundle, hash, message);
        self.dags.replace(team, bundle, &live, &[error]).await
    }

    /// Notes at a start that a bundle is not there at all. Its DAGs are stale until it is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn missing(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        message: &str,
    ) -> Result<(), StoreError> {
        let error = self.of_bundle(team, bundle, None, message);
        self.dags.replace(team, bundle, &[], &[error]).await
    }

    fn of_bundle(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        hash: Option<BundleHash>,
        message: &str,
    ) -> ImportError {
        ImportError {
            team: team.clone(),
            bundle: bundle.clone(),
            hash,
            dag_id: None,
            code: code_of(message),
            message: message.to_owned(),
            at: self.clock.now(),
        }
    }

    async fn live(&self, bundle: &BundleName) -> Result<Vec<StoredDag>, StoreError> {
        let filter = airlock_model::port::DagFilter {
            bundle: Some(bundle.clone()),
            ..Default::default()
        };
        Ok(self
            .dags
            .dags(&filter, airlock_model::port::Page::ALL)
            .await?
            .items)
    }

    fn stored(&self, live: &LiveDag) -> StoredDag {
        StoredDag {
            dag_id: live.dag.id().clone(),
            team: live.team.clone(),
            bundle: live.bundle.clone(),
            hash: live.hash,
            spec: live.dag.spec().clone(),
            is_paused: live.paused,
            is_stale: false,
            last_parsed: self.clock.now(),
        }
    }

    fn error(&self, version: &BundleVersion, dag_id: Option<&str>, message: &str) -> ImportError {
        ImportError {
            team: version.team.clone(),
            bundle: version.bundle.clone(),
            hash: Some(version.hash),
            dag_id: dag_id.map(str::to_owned),
            code: code_of(message),
            message: message.to_owned(),
            at: self.clock.now(),
        }
    }

    async fn check(
        &self,
        version: &BundleVersion,
        parsed: ParseResult,
        policy: &ImportPolicy,
    ) -> Result<(Vec<LiveDag>, Vec<ImportError>), StoreError> {
        let mut errors = Vec::new();
        for error in &parsed.errors {
            let place = error
                .location
                .as_ref()
                .map(|at| format!(" ({at})"))
                .unwrap_or_default();
            let message = match error.of_host {
                true => format!("{}{place}", error.message),
                false => format!("AL-0330: {}{place}", error.message),
            };
            errors.push(self.error(version, error.dag_id.as_deref(), &message));
        }
        let pools = self.pools.pools().await?;
        let mut seen: HashMap<String, u32> = HashMap::new();
        for spec in &parsed.dags {
            *seen.entry(spec.dag_id.clone()).or_default() += 1;
        }
        let mut dags = Vec::new();
        for spec in parsed.dags {
            let id = spec.dag_id.clone();
            if let Some(count) = seen.get_mut(&id).filter(|count| **count > 1) {
                // Neither of the two is live; the error is told once.
                if *count != u32::MAX {
                    let text = format!(
                        "AL-0331: the bundle has {count} DAGs named `{id}`; rename all but one"
                    );
                    errors.push(self.error(version, Some(&id), &text));
                    *count = u32::MAX;
                }
                continue;
            }
            match self.check_dag(version, spec, policy, &pools).await? {
                Ok(dag) => dags.push(LiveDag {
                    dag: Arc::new(dag),
                    team: version.team.clone(),
                    bundle: version.bundle.clone(),
                    hash: version.hash,
                    paused: false,
                }),
                Err(found) => errors.extend(
                    found
                        .iter()
                        .map(|text| self.error(version, Some(&id), text)),
                ),
            }
        }
        Ok((dags, errors))
    }

    async fn check_dag(
        &self,
        version: &BundleVersion,
        mut spec: DagSpec,
        policy: &ImportPolicy,
        pools: &[Pool],
    ) -> Result<Result<Dag, Vec<String>>, StoreError> {
        let at_most =
            |default: u32, most: Option<u32>| most.map_or(default, |most| default.min(most));
        let rules = &policy.rules;
        let runs = at_most(policy.max_active_runs, rules.max_active_runs);
        let tasks = at_most(policy.max_active_tasks, rules.max_active_tasks);
        spec.max_active_runs.get_or_insert(runs);
        spec.max_active_tasks.get_or_insert(tasks);
        let valid = Dag::new(spec.clone());
        if policy.by_hand && valid.is_ok() {
            spec.schedule = Schedule::None;
        }
        let dag = match valid.and_then(|_| Dag::new(spec)) {
            Ok(dag) => dag,
            Err(mistakes) => return Ok(Err(mistakes.iter().map(ToString::to_string).collect())),
        };
        let mut errors = policy.rules.violations(&dag);
        errors.extend(unrunnable(&dag, &version.team, pools));
        let id = dag.id();
        if self
            .dags
            .owner(id)
            .await?
            .is_some_and(|owner| owner != version.bundle)
        {
            errors.push(taken(id));
        }
        Ok(if errors.is_empty() {
            Ok(dag)
        } else {
            Err(errors)
        })
    }
}

/// A `dag_id` belongs to one bundle. The error says that it is taken, never by whom: existence is the one
/// thing about another team that may be learnt (AIP-67 discussion).
fn taken(id: &DagId) -> String {
    format!("AL-0333: the dag_id `{id}` is taken by another bundle; choose another one")
}

/// The stable code at the beginning of a message.
fn code_of(message: &str) -> String {
    let at = message.find("AL-").and_then(|at| message.get(at..at + 7));
    at.filter(|code| code.bytes().skip(3).all(|b| b.is_ascii_digit()))
        .unwrap_or("AL-0330")
        .to_owned()
}

/// A stored run with the definition that it is pinned to, its bundle, and whether it is paused; none when
/// that definition is gone.
///
/// # Errors
/// When the store fails or the definition cannot be read.
pub async fn pinned(
    dags: &dyn DagStore,
    stored: StoredRun,
) -> Result<Option<(StoredRun, Arc<Dag>, BundleName, bool)>, StoreError> {
    let (id, definition) = (&stored.run.dag_id, &stored.run.definition);
    let (Some(spec), Some(dag)) = (dags.definition(definition).await?, dags.dag(id).await?) else {
        return Ok(None);
    };
    match Dag::new(spec) {
        Ok(valid) => Ok(Some((stored, Arc::new(valid), dag.bundle, dag.is_paused))),
        Err(mistakes) => {
            let text = mistakes
                .first()
                .map(ToString::to_string)
                .unwrap_or_default();
            Err(StoreError::Corrupt(format!(
                "the definition {} of `{id}`: {text}",
                definition.short()
            )))
        }
    }
}
