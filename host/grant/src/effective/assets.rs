//! Decisions about assets.
//!
//! An asset is no import: DAGs name it in their definitions, and tasks and triggers in their answers. So the decision
//! is taken where those are read, for all that a definition names before it is believed, and again for each try and
//! each answer, since a grant may have been taken back meanwhile.

use airlock_model::{
    dag::{AssetCondition, AssetRef, DagSpec, asset_name},
    id::{DagId, TaskId},
    trigger::{HostEvent, Trigger},
};

use super::{Effective, not_held};
use crate::{
    denial::{Denial, Item},
    item::AssetAccess,
    phase::{Caller, Phase},
    snippet::Entry,
};

/// How many denials of one definition are told: whoever wrote it mends some and sees the rest.
const TOLD: usize = 32;

/// A use of an asset that a definition makes.
struct Use<'a> {
    task_id: Option<TaskId>,
    name: &'a str,
    access: AssetAccess,
}

impl Effective {
    /// Whether this may be done with the asset of this name or URI, or with those behind the alias of this name.
    ///
    /// # Errors
    /// A [`Denial`], the same whether or not the asset exists.
    pub fn asset(&self, caller: &Caller, name: &str, access: AssetAccess) -> Result<(), Denial> {
        let asked = self.asked.assets.of(access).find(name, caller).is_some();
        let held = self.held.assets.of(access).find(name, caller).is_some();
        if asked && held {
            return Ok(());
        }
        let entry = Entry::Asset {
            name: name.to_owned(),
            access,
        };
        let mut rules = self.held.assets.of(access).iter();
        let narrow = rules.any(|(pattern, _)| pattern.matches(name));
        let why = not_held(asset_name(name).err(), asked, held, entry, narrow);
        Err(self.denial(caller, Item::Asset(name.to_owned(), access), why))
    }

    /// Whether this may be done with what a DAG, a task or an answer refers to.
    ///
    /// # Errors
    /// A [`Denial`], the same whether or not the asset exists.
    pub fn asset_ref(
        &self,
        caller: &Caller,
        reference: &AssetRef,
        access: AssetAccess,
    ) -> Result<(), Denial> {
        self.asset(caller, text(reference), access)
    }

    /// Whether a name or URI may be described: anything at all must be allowed with it. Who says which asset a URI means says whose changes its followers hear of.
    fn described(&self, caller: &Caller, text: &str) -> Result<(), Denial> {
        match self.asset(caller, text, AssetAccess::Produce) {
            Ok(()) => Ok(()),
            Err(_) => self.asset(caller, text, AssetAccess::Consume),
        }
    }

    /// What a definition does with assets and may not, each thing once and the first 32 of them. Names that could be
    /// none are left to whoever checks the definition.
    #[must_use]
    pub fn denied_assets(&self, dag: &DagSpec) -> Vec<Denial> {
        // What has no possible name has no DAG to be narrowed to.
        let Ok(dag_id) = DagId::new(dag.dag_id.as_str()) else {
            return Vec::new();
        };
        let caller = |task_id: Option<TaskId>| Caller {
            phase: Phase::Parse,
            dag_id: Some(dag_id.clone()),
            task_id,
        };
        let mut denials: Vec<Denial> = Vec::new();
        for used in uses(dag) {
            if denials.len() == TOLD {
                break;
            }
            if let Err(denial) = self.asset(&caller(used.task_id), used.name, used.access)
                && !denial.is_malformed()
                && !denials.iter().any(|known| known.item() == denial.item())
            {
                denials.push(denial);
            }
        }
        let texts = dag.assets.iter().flat_map(|asset| {
            let uri = asset.uri.as_deref().filter(|uri| *uri != asset.name);
            std::iter::once(asset.name.as_str()).chain(uri)
        });
        for text in texts {
            if denials.len() == TOLD {
                break;
            }
            let told =
                |known: &Denial| matches!(known.item(), Item::Asset(name, _) if name == text);
            if let Err(denial) = self.described(&caller(None), text)
                && !denial.is_malformed()
                && !denials.iter().any(told)
            {
                denials.push(denial);
            }
        }
        denials
    }
}

fn text(reference: &AssetRef) -> &str {
    let (AssetRef::Name(text) | AssetRef::Uri(text) | AssetRef::Alias(text)) = reference;
    text
}

fn uses(dag: &DagSpec) -> Vec<Use<'_>> {
    fn leaves<'a>(condition: &'a AssetCondition, found: &mut Vec<Use<'a>>) {
        match condition {
            AssetCondition::Of(asset) => found.push(Use {
                task_id: None,
                name: text(asset),
                access: AssetAccess::Consume,
            }),
            AssetCondition::All(parts) | AssetCondition::Any(parts) => {
                parts.iter().for_each(|part| leaves(part, found));
            }
        }
    }
    let mut found = Vec::new();
    if let Some(condition) = &dag.asset_condition {
        leaves(condition, &mut found);
    }
    for task in &dag.tasks {
        let task_id = TaskId::new(task.task_id.as_str()).ok();
        let of = |asset, access| Use {
            task_id: task_id.clone(),
            name: text(asset),
            access,
        };
        let inlets = task.inlets.iter().map(|one| of(one, AssetAccess::Consume));
        let outlets = task.outlets.iter().map(|one| of(one, AssetAccess::Produce));
        found.extend(inlets.chain(outlets));
    }
    for asset in &dag.assets {
        if asset.watchers.is_empty() {
            continue;
        }
        found.push(Use {
            task_id: None,
            name: &asset.name,
            access: AssetAccess::Produce,
        });
        for watcher in &asset.watchers {
            if let Trigger::Host(HostEvent::Asset(waited)) = &watcher.trigger {
                found.push(Use {
                    task_id: None,
                    name: text(waited),
                    access: AssetAccess::Consume,
                });
            }
        }
    }
    found
}
