//! What bundles do with assets. None is imported: they are named in definitions and in answers, so that is where the
//! grant is asked, before anything comes of them.
//!
//! Definitions are asked for when they are parsed. A grant may be taken back afterwards, while runs that are pinned to
//! them go on: so each try is asked for again before it begins and when it ends, and each answer of a trigger.

use airlock_grant::{AssetAccess, Denial};
use airlock_model::{
    dag::{AssetRef, DagSpec},
    outcome::{Failure, FailureKind, OutletEvent},
    port::{SpecError, Work},
    trigger::{HostEvent, Trigger},
};

use crate::{
    adapter::Standing,
    call::{MESSAGE_BYTES, bounded},
};

impl Standing {
    fn asset(&self, asset: &AssetRef, access: AssetAccess) -> Result<(), String> {
        let decision = self.effective().asset_ref(&self.caller, asset, access);
        decision.map_err(|denial| self.told(&denial))
    }

    fn told(&self, denial: &Denial) -> String {
        self.denied(denial);
        denial.to_string()
    }

    /// The definition, if all that it does with assets is granted.
    ///
    /// # Errors
    /// What is not, with what would allow it.
    pub(crate) fn defined(&self, dag: DagSpec) -> Result<DagSpec, Vec<SpecError>> {
        let denials = self.effective().denied_assets(&dag);
        if denials.is_empty() {
            return Ok(dag);
        }
        let error = |denial: &Denial| SpecError {
            dag_id: Some(dag.dag_id.clone()),
            message: bounded(&self.told(denial), MESSAGE_BYTES),
            of_host: true,
            // The text ends with what is to be pasted.
            location: None,
        };
        Err(denials.iter().map(error).collect())
    }

    /// Whether a task may see its inlets, and change its outlets, as it is granted now.
    ///
    /// # Errors
    /// The failure of its try.
    pub(crate) fn inlets_and_outlets(&self, work: &Work) -> Result<(), Failure> {
        let inlets = work.inlets.iter();
        let inlets = inlets.map(|asset| (asset, AssetAccess::Consume));
        let outlets = work.outlets.iter();
        let outlets = outlets.map(|asset| (asset, AssetAccess::Produce));
        inlets
            .chain(outlets)
            .try_for_each(|(asset, access)| self.asset(asset, access))
            .map_err(refused)
    }

    /// Whether a task may change what it says has changed: its outlets, and what it reached through an alias of them.
    ///
    /// # Errors
    /// The failure of its try.
    pub(crate) fn changes(&self, work: &Work, events: &[OutletEvent]) -> Result<(), Failure> {
        self.inlets_and_outlets(work)?;
        let aliased = |event: &&OutletEvent| {
            let alias = event.alias.clone().map(AssetRef::Alias);
            alias.is_some_and(|alias| work.outlets.contains(&alias))
        };
        let mut aliased = events.iter().filter(aliased);
        aliased
            .try_for_each(|event| self.asset(&event.asset, AssetAccess::Produce))
            .map_err(refused)
    }

    /// Whether this may be waited for.
    ///
    /// # Errors
    /// The denial.
    pub(crate) fn awaited(&self, event: &HostEvent) -> Result<(), String> {
        match event {
            HostEvent::Asset(asset) => self.asset(asset, AssetAccess::Consume),
            HostEvent::DagRun { .. } | HostEvent::TaskInstance { .. } | HostEvent::File(_) => {
                Ok(())
            }
        }
    }

    /// Whether a task may wait for this.
    ///
    /// # Errors
    /// The failure of its try.
    pub(crate) fn deferred_until(&self, trigger: &Trigger) -> Result<(), Failure> {
        match trigger {
            Trigger::Host(event) => self.awaited(event).map_err(refused),
            Trigger::Time(_) | Trigger::Duration(_) | Trigger::Own(_) => Ok(()),
        }
    }

    /// Whether a watcher may change its asset.
    ///
    /// # Errors
    /// The denial.
    pub(crate) fn watched(&self, asset: &str) -> Result<(), String> {
        let asset = AssetRef::Name(asset.to_owned());
        self.asset(&asset, AssetAccess::Produce)
    }
}

/// Another try would be refused too.
const fn refused(message: String) -> Failure {
    Failure {
        kind: FailureKind::Final,
        message,
        causes: Vec::new(),
        location: None,
    }
}
