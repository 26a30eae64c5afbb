//! The parts of a batch that are about backfills.

use std::sync::Arc;

use airlock_model::port::{Batch, StoreError};

use super::{Key, json, rows};
use crate::column::plain;

/// `backfill` rows.
pub(in crate::runs) fn new_backfills(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(&batch.new_backfills, |(backfill, _)| {
        (
            backfill.id,
            &backfill.dag_id,
            &backfill.team,
            (backfill.from, backfill.to),
            backfill.reprocess,
            backfill.reverse,
            backfill.max_active_runs,
            plain(&backfill.conf),
            backfill.is_paused,
            backfill.created_at,
            backfill.completed_at,
        )
    })
}

/// `backfill_run` rows.
pub(in crate::runs) fn backfill_runs(batch: &Batch) -> Result<Arc<str>, StoreError> {
    let runs = batch.new_backfills.iter().flat_map(|(_, runs)| runs);
    rows(runs, |run| {
        (
            run.backfill,
            run.ordinal,
            run.logical_date,
            run.interval,
            run.run.map(Key::from),
            run.skipped.as_deref().map(plain),
        )
    })
}

/// What becomes of `backfill` rows.
pub(in crate::runs) fn backfill_changes(batch: &Batch) -> Result<Arc<str>, StoreError> {
    json(
        &batch
            .backfills
            .iter()
            .map(|change| (change.id, change.is_paused, change.completed_at))
            .collect::<Vec<_>>(),
    )
}
