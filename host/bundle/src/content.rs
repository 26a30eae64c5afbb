//! Bundles by their hash: inspected before they are kept, and again when they are fetched.

use std::sync::Arc;

use airlock_model::{
    id::BundleHash,
    port::{Blobs, StoreError},
};

use crate::{
    error::InspectError,
    inspect::{Depth, Inspection, inspect_to},
};

/// Why a bundle could not be kept or fetched.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The bytes are no bundle.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// The content store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such content is kept.
    #[error(
        "AL-0212: the bundle with content b3:{0} is not kept here; put its file back where it came from"
    )]
    Unknown(BundleHash),
    /// The host could not read the bytes now.
    #[error("AL-0213: the bundle could not be inspected now: {0}")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// The bundles that are kept.
#[derive(Clone)]
pub struct Content {
    blobs: Arc<dyn Blobs>,
    max_bytes: u64,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content")
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

impl Content {
    /// Keeps bundles of at most `max_bytes` in `blobs`.
    #[must_use]
    pub fn new(blobs: Arc<dyn Blobs>, max_bytes: u64) -> Self {
        Self { blobs, max_bytes }
    }

    /// Inspects a bundle to this depth and keeps it, durably. Keeping one again changes nothing.
    ///
    /// # Errors
    /// A [`ContentError`]; what is no bundle is not kept.
    pub async fn keep(&self, bytes: Arc<[u8]>, depth: Depth) -> Result<Inspection, ContentError> {
        let inspection = self.inspected(Arc::clone(&bytes), depth).await?;
        self.blobs.put(&bytes).await?;
        Ok(inspection)
    }

    /// A kept bundle with its inspection, to this depth.
    ///
    /// # Errors
    /// A [`ContentError`], also for content that an older version kept and this one does not accept.
    pub async fn fetch(
        &self,
        hash: &BundleHash,
        depth: Depth,
    ) -> Result<(Arc<[u8]>, Inspection), ContentError> {
        let bytes = self.blobs.get(hash).await?;
        let bytes: Arc<[u8]> = bytes.ok_or(ContentError::Unknown(*hash))?.into();
        let inspection = self.inspected(Arc::clone(&bytes), depth).await?;
        Ok((bytes, inspection))
    }

    /// Keeps a bundle's signature beside it, durably, in place of the one before.
    ///
    /// # Errors
    /// When the content store fails.
    pub async fn keep_signature(
        &self,
        of: &BundleHash,
        signature: &[u8],
    ) -> Result<(), StoreError> {
        self.blobs.put_signature(of, signature).await
    }

    /// The signature that is kept of a bundle. It is to be checked again: the key may have been revoked since.
    ///
    /// # Errors
    /// When the content store fails.
    pub async fn signature(&self, of: &BundleHash) -> Result<Option<Vec<u8>>, StoreError> {
        self.blobs.signature(of).await
    }

    async fn inspected(&self, bytes: Arc<[u8]>, depth: Depth) -> Result<Inspection, ContentError> {
        let max_bytes = self.max_bytes;
        tokio::task::spawn_blocking(move || inspect_to(depth, &bytes, max_bytes))
            .await
            .map_err(ContentError::Interrupted)?
            .map_err(ContentError::from)
    }
}

#[cfg(test)]
mod tests;
