//! The asset events that a try sees: those that made its run, and the latest of its inlets.

use airlock_model::{
    id::RunKey,
    port::{AssetEvent, AssetKey, AssetStore, EventFilter, Page, SeenEvent},
};

use crate::lists::until_written;

/// Of each inlet.
const LATEST: u32 = 16;

/// Events as tries see them.
pub(crate) struct Seen<'a>(pub(crate) &'a dyn AssetStore);

impl Seen<'_> {
    /// The events that made a run, oldest first.
    pub(crate) async fn made(&self, run: RunKey) -> Vec<SeenEvent> {
        let events = until_written(|| self.0.consumed_by(run)).await;
        self.with_uris(events).await
    }

    /// The latest events of these assets, oldest first.
    pub(crate) async fn latest(&self, assets: &[AssetKey]) -> Vec<SeenEvent> {
        let page = Page {
            offset: 0,
            limit: LATEST,
        };
        let mut all = Vec::new();
        for asset in assets {
            let filter = EventFilter {
                team: Some(asset.team.clone()),
                asset: Some(asset.name.clone()),
                newest_first: true,
                ..EventFilter::default()
            };
            all.extend(until_written(|| self.0.events(&filter, page)).await.items);
        }
        all.sort_by_key(|event| (event.at, event.id));
        self.with_uris(all).await
    }

    async fn with_uris(&self, events: Vec<AssetEvent>) -> Vec<SeenEvent> {
        let mut seen = Vec::with_capacity(events.len());
        for event in events {
            let asset = until_written(|| self.0.asset(&event.asset)).await;
            let uri = asset.and_then(|asset| asset.uri);
            seen.push(SeenEvent { event, uri });
        }
        seen
    }
}
