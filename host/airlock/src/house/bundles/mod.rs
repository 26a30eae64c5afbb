//! The shelf: which bundle versions there are, and the way of each from a file to live DAGs.
//!
//! A file is examined and kept, its request is held against its team's grant or against what people approved
//! ([`approval`]), the sandbox checks its imports against both ([`loading`]), and the importer parses it or answers from what it parsed before
//! ([`importing`]). Whatever is wrong on that way becomes the bundle's import error, and the version before
//! keeps serving. Where files come from, and in which order, is [`watching`]'s.

mod approval;
mod importing;
mod loading;
mod owner;
mod ownership;
mod signing;
mod watching;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use airlock_bundle::{Content, Inspection};
use airlock_capability as capability;
use airlock_grant::Effective;
use airlock_model::id::{BundleHash, BundleName};
use airlock_sandbox::Sandbox;
use airlock_scheduler::Importer;
use airlock_store::Store;

use super::Purpose;
use crate::config::Config;
use approval::{AllDecided, Waiting};

pub(super) use approval::new_grant;
pub(super) use loading::label;
pub(crate) use owner::Owner;
pub(crate) use ownership::Owners;
pub(super) use watching::most_bytes;

/// A bundle's current version, as reviewers see it.
#[derive(Clone)]
pub(crate) struct Standing {
    pub(crate) owner: Owner,
    pub(crate) inspection: Arc<Inspection>,
    pub(crate) effective: Arc<Effective>,
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
    pub(super) store: Arc<Store>,
    pub(super) content: Arc<Content>,
    rooms: OnceLock<Rooms>,
    standing: Mutex<HashMap<BundleName, Standing>>,
    /// What people approved. Whoever loads a version holds it; it is taken before `standing`.
    decided: Mutex<AllDecided>,
    waiting: Mutex<HashMap<BundleName, Waiting>>,
    /// Why the newest version of a bundle is kept out, where it is.
    kept_out: Mutex<HashMap<BundleName, (BundleHash, String)>>,
    /// One decision is made at a time, and in force before the next.
    pub(super) deciding: tokio::sync::Mutex<()>,
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
            decided: Mutex::default(),
            waiting: Mutex::default(),
            kept_out: Mutex::default(),
            deciding: tokio::sync::Mutex::default(),
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

    fn all_decided(&self) -> MutexGuard<'_, AllDecided> {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept_out(&self) -> MutexGuard<'_, HashMap<BundleName, (BundleHash, String)>> {
        self.kept_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BundleName, Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
