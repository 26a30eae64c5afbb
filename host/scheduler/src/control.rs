//! What people ask of the scheduler: what has to be read for it first is read here, and the engine decides.

use airlock_model::{
    callback::CallbackId,
    id::{BackfillId, DagId, MapIndex, RunId, TaskId, TaskInstanceKey},
    port::{
        AssetEvent, AssetKey, Backfill, BackfillOrder, BackfillRun, CallbackRow, Control,
        ControlError, FailedDep, NewAssetEvent, NewBackfill, Page, Repair, Repaired, RunFilter,
        RunOrder, RunRow, SchedulerHealth, Selection, TriggerRun,
    },
    state::RunState,
};
use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::{
    Handle,
    engine::{Event, Loaded, RepairOrder, backfill::BackfillRequest, event::Reply},
    import::pinned,
};

/// The most runs that one repair may concern.
const MAX_RUNS: u64 = 10_000;

impl Handle {
    /// Asks the engine and waits for its answer. A DAG that the store shows is known to the engine by then.
    pub(crate) async fn ask<T>(
        &self,
        event: impl FnOnce(Reply<T>) -> Event,
    ) -> Result<T, ControlError> {
        let (reply, answer) = oneshot::channel();
        let announced = self.announcing.read().await;
        self.tell(event(reply));
        drop(announced);
        answer.await.unwrap_or(Err(ControlError::ShuttingDown))
    }

    async fn row(&self, dag_id: &DagId, run_id: &RunId) -> Result<RunRow, ControlError> {
        let row = self.runs.run(dag_id, run_id).await?;
        row.ok_or_else(|| ControlError::NoSuchRun {
            dag_id: dag_id.clone(),
            run_id: run_id.clone(),
        })
    }

    /// A run with its definition; none when it was deleted meanwhile, or its definition is gone.
    async fn load(&self, row: &RunRow) -> Result<Option<Loaded>, ControlError> {
        let Some(stored) = self.runs.stored_run(row.key).await? else {
            return Ok(None);
        };
        let found = pinned(&*self.dags, stored).await?;
        Ok(found.map(|(stored, dag, bundle, paused)| Loaded {
            stored,
            dag,
            bundle,
            paused,
        }))
    }

    /// The runs that a selection means.
    async fn selected(
        &self,
        dag_id: &DagId,
        selection: &Selection,
    ) -> Result<Vec<RunRow>, ControlError> {
        let mut named = Vec::with_capacity(selection.run_ids.len());
        for run_id in &selection.run_ids {
            named.push(self.row(dag_id, run_id).await?);
        }
        let (past, future) = (selection.past, selection.future);
        let dates = || named.iter().filter_map(|row| row.logical_date);
        let (mut from, mut to) = (selection.from, selection.to);
        if !named.is_empty() {
            if !past && !future {
                return Ok(named);
            }
            (from, to) = (dates().min(), dates().max());
            if from.is_none() {
                return Ok(named);
            }
        }
        let filter = RunFilter {
            dag_id: Some(dag_id.clone()),
            logical_from: from.filter(|_| !past),
            logical_to: to.filter(|_| !future),
            order: RunOrder::LogicalDate,
            ..RunFilter::default()
        };
        let found = self.runs.runs(&filter, Page::ALL).await?;
        if found.total > MAX_RUNS {
            return Err(ControlError::Refused(format!(
                "{} runs are concerned, more than the {MAX_RUNS} of one request; narrow the dates",
                found.total
            )));
        }
        let mut rows = found.items;
        rows.extend(named.into_iter().filter(|row| row.logical_date.is_none()));
        Ok(rows)
    }

    async fn known(&self, dag_id: &DagId) -> Result<(), ControlError> {
        match self.dags.dag(dag_id).await? {
            Some(_) => Ok(()),
            None => Err(ControlError::NoSuchDag(dag_id.clone())),
        }
    }
}

#[async_trait]
impl Control for Handle {
    async fn trigger(&self, run: TriggerRun) -> Result<RunRow, ControlError> {
        self.ask(|reply| Event::Trigger(Box::new(run), reply)).await
    }

    async fn set_paused(&self, dag_id: &DagId, paused: bool) -> Result<(), ControlError> {
        let _announced = self.announcing.read().await;
        self.dags.set_paused(dag_id, paused).await?;
        self.tell(Event::Paused(dag_id.clone(), paused));
        Ok(())
    }

    async fn repair(
        &self,
        dag_id: &DagId,
        selection: Selection,
        repair: Repair,
        dry_run: bool,
    ) -> Result<Vec<Repaired>, ControlError> {
        self.known(dag_id).await?;
        let mut runs = Vec::new();
        for row in self.selected(dag_id, &selection).await? {
            runs.extend(self.load(&row).await?);
        }
        let known = |task: &TaskId| runs.iter().any(|run| run.dag.index_of(task).is_some());
        if let Some((stranger, _)) = selection.tasks.iter().find(|(task, _)| !known(task)) {
            return Err(ControlError::Refused(format!(
                "no run that is meant has a task `{stranger}`; `airlock tasks list {dag_id}` shows what there is"
            )));
        }
        let order = RepairOrder {
            runs,
            selection,
            repair,
            dry_run,
        };
        self.ask(|reply| Event::Repair(order, reply)).await
    }

    async fn mark_run(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        success: bool,
    ) -> Result<RunRow, ControlError> {
        let row = self.row(dag_id, run_id).await?;
        let Some(loaded) = self.load(&row).await? else {
            return Err(ControlError::Refused(format!(
                "the definition of run `{run_id}` is gone, so it cannot be changed any more"
            )));
        };
        self.ask(|reply| Event::MarkRun(Box::new(loaded), success, reply))
            .await
    }

    async fn backfill(
        &self,
        new: NewBackfill,
    ) -> Result<(Backfill, Vec<BackfillRun>), ControlError> {
        self.known(&new.dag_id).await?;
        let filter = RunFilter {
            dag_id: Some(new.dag_id.clone()),
            logical_from: Some(new.from),
            logical_to: Some(new.to),
            order: RunOrder::LogicalDate,
            ..RunFilter::default()
        };
        let existing = self.runs.runs(&filter, Page::ALL).await?.items;
        let mut loaded = Vec::new();
        for row in &existing {
            let ended = matches!(row.state, RunState::Success | RunState::Failed);
            if ended && !new.dry_run && new.reprocess != airlock_model::state::Reprocess::None {
                loaded.extend(self.load(row).await?);
            }
        }
        let request = BackfillRequest {
            new,
            existing,
            loaded,
        };
        self.ask(|reply| Event::Backfill(Box::new(request), reply))
            .await
    }

    async fn order_backfill(
        &self,
        id: BackfillId,
        order: BackfillOrder,
    ) -> Result<Backfill, ControlError> {
        self.ask(|reply| Event::OrderBackfill(id, order, reply))
            .await
    }

    async fn failed_deps(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        task_id: &TaskId,
        map_index: MapIndex,
    ) -> Result<Vec<FailedDep>, ControlError> {
        let row = self.row(dag_id, run_id).await?;
        let tasks = self.runs.task_instances(row.key).await?;
        let same = |task: &&airlock_model::port::TaskRow| {
            task.task_id == *task_id && task.map_index == map_index
        };
        let Some(task) = tasks.iter().find(same) else {
            return Err(ControlError::Refused(format!(
                "run `{run_id}` has no task instance `{task_id}` with map index {}; `airlock tasks states-for-dag-run {dag_id} {run_id}` shows what there is",
                map_index.0
            )));
        };
        let key = TaskInstanceKey {
            run: row.key,
            task: task.task,
            map_index,
        };
        self.ask(|reply| Event::Why(key, reply)).await
    }

    async fn delete_dag(&self, dag_id: &DagId) -> Result<(), ControlError> {
        self.known(dag_id).await?;
        self.ask(|reply| Event::Forget(dag_id.clone(), reply))
            .await?;
        Ok(self.dags.delete(dag_id).await?)
    }

    async fn delete_run(&self, dag_id: &DagId, run_id: &RunId) -> Result<(), ControlError> {
        let row = self.row(dag_id, run_id).await?;
        self.runs.delete_run(row.key).await?;
        self.tell(Event::RunDeleted(row.key));
        Ok(())
    }

    async fn asset_event(&self, event: NewAssetEvent) -> Result<AssetEvent, ControlError> {
        self.ask(|reply| Event::AssetChanged(event, reply)).await
    }

    async fn clear_queued_assets(
        &self,
        dag_id: &DagId,
        asset: Option<AssetKey>,
    ) -> Result<u32, ControlError> {
        self.known(dag_id).await?;
        self.ask(|reply| Event::Unqueue(dag_id.clone(), asset, reply))
            .await
    }

    async fn retry_callback(&self, id: CallbackId) -> Result<CallbackRow, ControlError> {
        let again = self.callbacks.retry_callback(id, self.clock.now()).await?;
        if again {
            self.beside.callbacks.notify_one();
        }
        match self.callbacks.callback(id).await? {
            None => Err(ControlError::NoSuchCallback(id)),
            Some(row) if again => Ok(row),
            Some(row) => Err(ControlError::Refused(format!(
                "the callback `{id}` is {}, and only one that has failed can be tried again",
                row.state
            ))),
        }
    }

    fn health(&self) -> SchedulerHealth {
        let mut health = self.health.borrow().clone();
        self.beside.add_to(&mut health.teams);
        health
    }
}
