//! How far the catching up is, for somebody who watches a terminal.
//!
//! The bar counts runs that were due when the host started and have ended since; it goes when all have.

use std::{io::IsTerminal, sync::Arc, time::Duration};

use airlock_model::{
    dag::Dag,
    port::{Clock, Control, DagFilter, DagStore, Page, RunStore, SchedulerHealth, StoreError},
    state::RunState,
    timetable::{Answer, Restriction},
};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::house::House;

/// Between two looks at the database.
const LOOK: Duration = Duration::from_millis(250);
/// How long after the start something to catch up may turn up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Fewer runs than this are not worth a bar.
const WORTH: u64 = 20;
/// More are not counted: the bar then shows how many have ended, of at least so many.
const MOST: u64 = 200_000;

/// Shows a bar on standard error while there is something to catch up, if that is a terminal.
pub(super) fn show(house: &House) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let (store, control, clock) = (
        Arc::clone(&house.store),
        Arc::new(house.handle.clone()),
        Arc::clone(&house.clock),
    );
    let changes = control.watch();
    tokio::spawn(async move {
        // A bar that cannot be drawn is no reason to stop anything.
        let _ = catch_up(&*store, &*control, &*clock, changes).await;
    });
}

async fn catch_up(
    store: &(impl RunStore + DagStore),
    control: &dyn Control,
    clock: &dyn Clock,
    mut changes: watch::Receiver<SchedulerHealth>,
) -> Result<(), StoreError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let due = loop {
        let due = due(store, clock).await?;
        if due >= WORTH {
            break due;
        }
        // At the first start the bundles are compiled and parsed before anything is due.
        if !matches!(
            tokio::time::timeout_at(deadline, changes.changed()).await,
            Ok(Ok(()))
        ) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    };
    let before = ended(store).await?;
    let tasks_before = tasks(control);
    let bar = ProgressBar::new(due);
    let shape = "catching up  {bar:32}  {human_pos}/{human_len} runs  {msg}";
    if let Ok(style) = ProgressStyle::with_template(shape) {
        bar.set_style(style);
    }
    let began = tokio::time::Instant::now();
    loop {
        let done = ended(store).await?.saturating_sub(before);
        let count = tasks(control).saturating_sub(tasks_before);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = count as f64 / began.elapsed().as_secs_f64().max(0.001);
        bar.set_message(format!("{rate:.0} tasks/s"));
        bar.set_position(done.min(due));
        if done >= due {
            bar.finish();
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn tasks(control: &dyn Control) -> u64 {
    control
        .health()
        .teams
        .iter()
        .map(|team| team.tally.succeeded + team.tally.failed)
        .sum()
}

async fn ended(store: &impl RunStore) -> Result<u64, StoreError> {
    let counts = store.run_counts().await?;
    Ok(counts
        .iter()
        .filter(|(_, state, _)| state.is_terminal())
        .map(|(.., count)| count)
        .sum())
}

/// Runs that are due now and have not ended, of DAGs that make up for the past.
async fn due(store: &(impl RunStore + DagStore), clock: &dyn Clock) -> Result<u64, StoreError> {
    let now = clock.now();
    let progress = store.progress().await?;
    let counts = store.run_counts().await?;
    let mut due: u64 = counts
        .iter()
        .filter(|(_, state, _)| matches!(state, RunState::Queued | RunState::Running))
        .map(|c| c.2)
        .sum();
    for stored in store.dags(&DagFilter::default(), Page::ALL).await?.items {
        let Ok(dag) = Dag::new(stored.spec) else {
            continue;
        };
        if stored.is_paused || !dag.spec().catchup {
            continue;
        }
        let last = progress
            .iter()
            .find(|p| p.dag_id == *dag.id())
            .map(|p| p.last_interval);
        // What a bundle's own timetable will say is not known, and not counted.
        let bounds = Restriction::from(dag.spec());
        if let Answer::Known(runs) = dag.timetable().next_runs(last, bounds, now) {
            let runs = runs.take_while(|next| next.run_after <= now);
            due += runs
                .take(usize::try_from(MOST.saturating_sub(due)).unwrap_or(0))
                .count() as u64;
        }
    }
    Ok(due)
}
