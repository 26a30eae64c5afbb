//! A DAG goes from one bundle to another because an operator says so.

use std::sync::Arc;

use airlock_model::{
    id::{BundleName, DagId, TeamName},
    port::ControlError,
};
use airlock_scheduler::Handle;
use airlock_server::Ownership;
use async_trait::async_trait;

use super::Shelf;

/// Who owns which DAG, as an operator changes it.
pub(crate) struct Owners {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) handle: Handle,
}

#[async_trait]
impl Ownership for Owners {
    async fn transfer(&self, dag_id: &DagId, bundle: &BundleName) -> Result<(), ControlError> {
        let Some(team) = self.shelf.team_of(bundle) else {
            return Err(ControlError::Refused(format!(
                "there is no bundle `{bundle}`; the configuration names what there is"
            )));
        };
        let given = self.handle.transfer(dag_id, bundle, &team).await;
        // Whether or not it was given: the scheduler has let go of it, and hears now whose it is.
        self.shelf.import_again().await?;
        given
    }
}

impl Shelf {
    /// The team of a bundle that is configured, or that stands in the folder of bundles without teams.
    fn team_of(&self, bundle: &BundleName) -> Option<TeamName> {
        let configured = self.config.teams.iter().find(|team| {
            let mut bundles = team.bundles.iter();
            bundles.any(|configured| configured.name == *bundle)
        });
        let standing = || Some(self.standing(bundle)?.owner.team());
        configured.map(|team| team.name.clone()).or_else(standing)
    }
}
