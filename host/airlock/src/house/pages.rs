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
        let (none, approved) = (Grant::default(), decided.approvals.current.as_ref());
        let approved = approved.map_or(&none, |approved| &approved.grant);
        let holding = match &standing.owner {
            Owner::Configured { team, bundle } => {
                Holding::Granted(team, bundle.grant.as_ref().unwrap_or(approved))
            }
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
