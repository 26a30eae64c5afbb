//! What a host before left unfinished: backfills, what waits for assets, triggers, deadlines, and runs.

use airlock_model::{
    port::{
        AssetStore, BackfillFilter, BackfillStore, DagStore, DeadlineStore, Page, RunStore,
        StoreError, TriggerFilter, TriggerStore,
    },
    time::Timestamp,
};
use tracing::{error, info};

use crate::{engine::Engine, import::pinned};

/// Tells an engine that knows nothing yet what there is.
///
/// A run whose definition is gone or cannot be read stays as it is, with the reason in the log.
///
/// # Errors
/// When the store fails.
pub async fn adopt(
    engine: &mut Engine,
    store: &(impl RunStore + DagStore + BackfillStore + AssetStore + TriggerStore + DeadlineStore),
    now: Timestamp,
) -> Result<(), StoreError> {
    let active = BackfillFilter {
        active: true,
        ..BackfillFilter::default()
    };
    let backfills = store.backfills(&active, Page::ALL).await?.items;
    engine.restore_backfills(backfills, store.next_backfill_id().await?);
    let queued = store.queue().await?;
    engine.restore_assets(
        store.alias_assets().await?,
        queued,
        store.unconsumed().await?,
    );
    let everything = TriggerFilter::default();
    let triggers = store.triggers(&everything, Page::ALL).await?.items;
    engine.restore_triggers(triggers);
    engine.restore_deadlines(store.deadlines_ahead().await?);
    let unfinished = store.unfinished().await?;
    if !unfinished.is_empty() {
        info!(runs = unfinished.len(), "adopting runs that have not ended");
    }
    for stored in unfinished {
        let (dag_id, run_id) = (stored.run.dag_id.clone(), stored.run.run_id.clone());
        match pinned(store, stored).await {
            Ok(Some((stored, dag, bundle, paused))) => {
                engine.restore(stored, dag, bundle, paused, now);
            }
            Ok(None) => {
                error!(%dag_id, %run_id, "the run's definition is gone; the run stays as it is");
            }
            Err(StoreError::Corrupt(reason)) => {
                error!(%dag_id, %run_id, reason, "the run stays as it is");
            }
            Err(error) => return Err(error),
        }
    }
    engine.drop_stray_triggers();
    Ok(())
}
