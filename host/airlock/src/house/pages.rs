//! The reviewer's pages of the bundles that serve.

use std::sync::Arc;

use airlock_grant::{Effective, Grant};
use airlock_model::{id::BundleName, port::StoreError};
use airlock_server::{
    Reviews,
    review::{Holding, Review},
};
use async_trait::async_trait;

use super::{Shelf, bundles::Owner};

/// Pages by the shelf's bundles.
pub(crate) struct Pages {
    pub(crate) shelf: Arc<Shelf>,
}

#[async_trait]
impl Reviews for Pages {
    async fn review(&self, bundle: &BundleName) -> Result<Option<Review>, StoreError> {
        let Some(standing) = self.shelf.standing(bundle) else {
            return Ok(None);
        };
        let decided = self.shelf.decided(&standing.owner.team(), bundle);
        let none = Grant::default();
        let approved = decided.approvals.current.as_ref();
        let approved = approved.map_or(&none, |approved| &approved.grant);
        let shares = self.shelf.shares();
        let granted = match &standing.owner {
            Owner::Configured { bundle: of, .. } => {
                let grant = of.grant.as_ref().unwrap_or(approved);
                grant.as_shared(bundle, shares)
            }
            Owner::Automatic { .. } => Grant::default(),
        };
        let holding = match &standing.owner {
            Owner::Configured { team, .. } if standing.owner.is_decided_by_people() => {
                Holding::Approved(team, &granted)
            }
            Owner::Configured { team, .. } => Holding::Granted(team, &granted),
            Owner::Automatic { own } => Holding::Automatic(own),
        };
        let page = Review::new(&standing.inspection, holding);
        page.map(Some)
            .map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    async fn effective(&self, bundle: &BundleName) -> Result<Option<Arc<Effective>>, StoreError> {
        let standing = self.shelf.standing(bundle);
        Ok(standing.map(|standing| standing.effective))
    }
}
