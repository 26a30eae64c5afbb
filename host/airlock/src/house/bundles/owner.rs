//! Under whose name a bundle stands, and what it may reach for that.

use std::path::{Path, PathBuf};

use airlock_grant::{BundleLabel, Effective, Request};
use airlock_model::id::{BundleName, TeamName};
use airlock_scheduler::DagPolicy;

use super::Shelf;
use crate::config::Bundle;

/// Under whose name a file is taken in.
#[derive(Clone)]
pub(crate) enum Owner {
    /// A team's configured bundle.
    Configured { team: TeamName, bundle: Box<Bundle> },
    /// The default team's, which is granted what it asks for; directories below this folder, its own.
    Automatic { own: PathBuf },
}

impl Owner {
    pub(super) fn team(&self) -> TeamName {
        match self {
            Self::Configured { team, .. } => team.clone(),
            Self::Automatic { .. } => TeamName::default_team(),
        }
    }

    /// What its DAGs have to keep.
    pub(super) fn rules(&self) -> DagPolicy {
        match self {
            Self::Configured { bundle, .. } => bundle.policy.rules(bundle.dag_id_prefix.as_deref()),
            Self::Automatic { .. } => DagPolicy::default(),
        }
    }

    /// The name that its bundle has or, where it cannot be read from the file itself, would have.
    pub(super) fn bundle(&self, file: &Path) -> Option<BundleName> {
        match self {
            Self::Configured { bundle, .. } => Some(bundle.name.clone()),
            Self::Automatic { .. } => file
                .file_stem()
                .and_then(|stem| BundleName::new(stem.to_string_lossy()).ok()),
        }
    }

    /// What the bundle may reach.
    pub(super) fn effective(&self, label: BundleLabel, request: &Request) -> Effective {
        match self {
            Self::Configured { team, bundle } => {
                Effective::new(team.clone(), label, request, &bundle.grant)
            }
            Self::Automatic { own } => Effective::grant_all(label, request, own),
        }
    }

    /// The default team's bundle in this file: its folder lies beside the file, under the file's name.
    pub(super) fn of_file(file: &Path) -> Self {
        Self::Automatic {
            own: file.with_extension(""),
        }
    }
}

impl Shelf {
    /// Who owns a bundle now.
    pub(super) fn owner(&self, team: &TeamName, bundle: &BundleName) -> Option<Owner> {
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
