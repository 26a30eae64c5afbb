//! Under whose name a bundle stands, and what it may reach for that.

use std::path::{Path, PathBuf};

use airlock_grant::{Approvals, BundleLabel, DirectoryGrant, Effective, Request, Share};
use airlock_model::id::{BundleName, TeamName};
use airlock_scheduler::DagPolicy;

use super::{Shelf, approval::decided_of};
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
    pub(crate) fn team(&self) -> TeamName {
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

    /// Whether people decide on its grant: the configuration names the bundle, and grants it nothing itself.
    pub(crate) fn is_decided_by_people(&self) -> bool {
        match self {
            Self::Configured { bundle, .. } => bundle.grant.is_none(),
            Self::Automatic { .. } => false,
        }
    }

    /// What the bundle may reach, with what was approved for it where people decide. A version that is not
    /// covered may reach nothing.
    pub(super) fn effective(
        &self,
        label: BundleLabel,
        request: &Request,
        approvals: &Approvals,
        shares: &[Share],
    ) -> Effective {
        match self {
            Self::Configured { team, bundle } => match &bundle.grant {
                Some(grant) => {
                    let grant = grant.as_shared(&label.name, shares);
                    Effective::new(team.clone(), label, request, &grant)
                }
                None => {
                    let grant = approvals.grant(&label.hash, request).unwrap_or_default();
                    let grant = grant.as_shared(&label.name, shares);
                    Effective::approved(team.clone(), label, request, &grant)
                }
            },
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
    /// Who owns the bundle of this name; none where no configuration and no folder has it.
    pub(crate) fn owner_named(&self, bundle: &BundleName) -> Option<Owner> {
        if self.config.automatic.is_some() {
            return self.standing(bundle).map(|standing| standing.owner);
        }
        let mut teams = self.config.teams.iter();
        teams.find_map(|team| self.owner(&team.name, bundle))
    }

    /// What teams share with bundles of others.
    pub(in crate::house) fn shares(&self) -> &[Share] {
        &self.config.shares
    }

    /// The home folder of this host.
    pub(in crate::house) fn home(&self) -> PathBuf {
        self.config.home.clone()
    }

    /// The directories that all bundles but this one are granted, each with whose it is.
    pub(in crate::house) fn granted_to_others(
        &self,
        team: &TeamName,
        bundle: &BundleName,
    ) -> Vec<(TeamName, DirectoryGrant)> {
        let all = self.all_decided();
        let mut granted = Vec::new();
        for of in &self.config.teams {
            for one in &of.bundles {
                if of.name == *team && one.name == *bundle {
                    continue;
                }
                let decided = decided_of(&all, &of.name, &one.name);
                let current = decided.approvals.current.as_ref();
                let grant = one.grant.as_ref().or(current.map(|current| &current.grant));
                let directories = grant.into_iter().flat_map(|grant| &grant.directory);
                granted.extend(directories.map(|one| (of.name.clone(), one.clone())));
            }
        }
        granted
    }

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
