//! A scheduler that does what it is asked at once, and one that keeps backfills.

use airlock_model::{
    callback::{CallbackId, CallbackState},
    id::{AssetEventId, BackfillId, DagId, MapIndex, RunId, RunKey, TaskId},
    port::*,
    run::Mark,
    state::{RunState, TaskState},
    time::Timestamp,
    timetable::{Interval, NextRun, Restriction},
};
use async_trait::async_trait;

use super::{RUN, World, at, part, run_row, team, uuid};

/// The first day makes a run, the second is there already.
fn steps(backfill: &Backfill) -> Vec<BackfillRun> {
    let step = |ordinal, day: &str, next: &str, run, skipped: Option<&str>| BackfillRun {
        backfill: backfill.id,
        ordinal,
        logical_date: at(day),
        interval: (at(day), at(next)),
        run,
        skipped: skipped.map(str::to_owned),
    };
    let run = Some(RunKey(uuid(1)));
    vec![
        step(1, "2012-01-01", "2012-01-02", run, None),
        step(
            2,
            "2012-01-02",
            "2012-01-03",
            None,
            Some("there is a run already"),
        ),
    ]
}

#[async_trait]
impl BackfillStore for World {
    async fn backfill(&self, id: BackfillId) -> Result<Option<Backfill>, StoreError> {
        self.called();
        let backfills = self.backfills.lock().unwrap();
        Ok(backfills.iter().find(|backfill| backfill.id == id).cloned())
    }
    async fn backfills(
        &self,
        filter: &BackfillFilter,
        page: Page,
    ) -> Result<Paged<Backfill>, StoreError> {
        self.called();
        let mut backfills = self.backfills.lock().unwrap().clone();
        backfills.retain(|backfill| {
            filter
                .dag_id
                .as_ref()
                .is_none_or(|id| backfill.dag_id == *id)
                && filter
                    .team
                    .as_ref()
                    .is_none_or(|team| backfill.team == *team)
                && !(filter.active && backfill.completed_at.is_some())
        });
        backfills.reverse();
        Ok(part(backfills, page))
    }
    async fn backfill_runs(&self, id: BackfillId) -> Result<Vec<BackfillRun>, StoreError> {
        self.called();
        let found = BackfillStore::backfill(self, id).await?;
        for run in self.runs.lock().unwrap().iter_mut() {
            run.backfill = Some(id);
        }
        Ok(found.map(|backfill| steps(&backfill)).unwrap_or_default())
    }
    async fn next_backfill_id(&self) -> Result<BackfillId, StoreError> {
        unreachable!("the API asks the scheduler")
    }
}

#[async_trait]
impl Control for World {
    async fn trigger(&self, run: TriggerRun) -> Result<RunRow, ControlError> {
        self.called();
        if !self
            .dags
            .lock()
            .unwrap()
            .iter()
            .any(|dag| dag.dag_id == run.dag_id)
        {
            return Err(ControlError::NoSuchDag(run.dag_id));
        }
        if run.conf.contains_key("unknown") {
            return Err(ControlError::Params("there is no param `unknown`".into()));
        }
        let run_type = run.run_type();
        let run_id = run
            .run_id
            .map_or_else(|| RUN.to_owned(), |id| id.to_string());
        let mut row = run_row(run.dag_id.as_str(), "default", &run_id, RunKey(uuid(9)));
        row.logical_date = run.logical_date;
        row.data_interval = run.data_interval;
        row.note = run.note.clone();
        row.run_type = run_type;
        row.conf = serde_json::Value::Object(run.conf).to_string().into();
        let mut runs = self.runs.lock().unwrap();
        if runs
            .iter()
            .any(|old| (&old.dag_id, &old.run_id) == (&row.dag_id, &row.run_id))
        {
            return Err(ControlError::RunExists {
                dag_id: row.dag_id,
                run_id: row.run_id,
            });
        }
        runs.push(row.clone());
        Ok(row)
    }
    async fn set_paused(&self, dag_id: &DagId, paused: bool) -> Result<(), ControlError> {
        Ok(DagStore::set_paused(self, dag_id, paused).await?)
    }
    async fn repair(
        &self,
        dag_id: &DagId,
        selection: Selection,
        repair: Repair,
        dry_run: bool,
    ) -> Result<Vec<Repaired>, ControlError> {
        self.called();
        let known = ["observe", "check"];
        let mut named = selection.tasks.iter().map(|(task, _)| task);
        if let Some(stranger) = named.find(|id| !known.contains(&id.as_str())) {
            return Err(ControlError::Refused(format!(
                "there is no task `{stranger}`"
            )));
        }
        let call = (dag_id.clone(), selection.clone(), repair, dry_run);
        self.repairs.lock().unwrap().push(call);
        let mut repaired = Vec::new();
        for run in self
            .runs
            .lock()
            .unwrap()
            .iter_mut()
            .filter(|run| run.dag_id == *dag_id)
        {
            if !selection.run_ids.is_empty() && !selection.run_ids.contains(&run.run_id) {
                continue;
            }
            for task in self
                .tasks
                .lock()
                .unwrap()
                .iter_mut()
                .filter(|task| task.run == run.key)
            {
                let meant = |(id, index): &(TaskId, Option<MapIndex>)| {
                    *id == task.task_id && index.is_none_or(|index| index == task.map_index)
                };
                if !selection.tasks.is_empty() && !selection.tasks.iter().any(meant) {
                    continue;
                }
                repaired.push(Repaired {
                    run_id: run.run_id.clone(),
                    task_id: task.task_id.clone(),
                    map_index: task.map_index,
                    was: task.fields.state,
                });
                if !dry_run {
                    task.fields.state = match repair {
                        Repair::Clear { .. } => None,
                        Repair::Mark(Mark::Success) => Some(TaskState::Success),
                        Repair::Mark(Mark::Failed) => Some(TaskState::Failed),
                        Repair::Mark(Mark::Skipped) => Some(TaskState::Skipped),
                    };
                    run.state = RunState::Queued;
                }
            }
        }
        Ok(repaired)
    }
    async fn mark_run(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        success: bool,
    ) -> Result<RunRow, ControlError> {
        self.called();
        let mut runs = self.runs.lock().unwrap();
        let run = (runs.iter_mut()).find(|run| run.dag_id == *dag_id && run.run_id == *run_id);
        let run = run.ok_or_else(|| ControlError::NoSuchRun {
            dag_id: dag_id.clone(),
            run_id: run_id.clone(),
        })?;
        run.state = if success {
            RunState::Success
        } else {
            RunState::Failed
        };
        Ok(run.clone())
    }
    async fn backfill(
        &self,
        wanted: NewBackfill,
    ) -> Result<(Backfill, Vec<BackfillRun>), ControlError> {
        self.called();
        if wanted.to > self.now() {
            return Err(ControlError::Refused("a backfill is for the past".into()));
        }
        let mut backfills = self.backfills.lock().unwrap();
        let backfill = Backfill {
            id: BackfillId(i64::try_from(backfills.len()).unwrap() + 1),
            dag_id: wanted.dag_id,
            team: team("default"),
            from: wanted.from,
            to: wanted.to,
            reprocess: wanted.reprocess,
            reverse: wanted.reverse,
            max_active_runs: wanted.max_active_runs,
            conf: serde_json::Value::Object(wanted.conf).to_string().into(),
            is_paused: false,
            created_at: self.now(),
            completed_at: None,
        };
        let steps = steps(&backfill);
        if !wanted.dry_run {
            backfills.push(backfill.clone());
        }
        Ok((backfill, steps))
    }
    async fn order_backfill(
        &self,
        id: BackfillId,
        order: BackfillOrder,
    ) -> Result<Backfill, ControlError> {
        self.called();
        let mut backfills = self.backfills.lock().unwrap();
        let backfill = (backfills.iter_mut()).find(|backfill| backfill.id == id);
        let backfill = backfill.ok_or_else(|| ControlError::Refused("none".into()))?;
        match order {
            BackfillOrder::Pause => backfill.is_paused = true,
            BackfillOrder::Unpause => backfill.is_paused = false,
            BackfillOrder::Cancel => backfill.completed_at = Some(self.now()),
        }
        Ok(backfill.clone())
    }
    async fn failed_deps(
        &self,
        _: &DagId,
        _: &RunId,
        task_id: &TaskId,
        map_index: MapIndex,
    ) -> Result<Vec<FailedDep>, ControlError> {
        self.called();
        Ok(vec![FailedDep {
            dependency: "Trigger Rule",
            reason: format!("{task_id} {} waits for `observe`", map_index.0),
        }])
    }
    async fn delete_dag(&self, dag_id: &DagId) -> Result<(), ControlError> {
        self.called();
        if self
            .runs
            .lock()
            .unwrap()
            .iter()
            .any(|run| run.dag_id == *dag_id)
        {
            return Err(ControlError::Refused(
                "it has runs that have not ended".into(),
            ));
        }
        self.dags
            .lock()
            .unwrap()
            .retain(|dag| dag.dag_id != *dag_id);
        Ok(())
    }
    async fn delete_run(&self, dag_id: &DagId, run_id: &RunId) -> Result<(), ControlError> {
        self.called();
        let gone = |run: &RunRow| run.dag_id == *dag_id && run.run_id == *run_id;
        self.runs.lock().unwrap().retain(|run| !gone(run));
        Ok(())
    }
    async fn asset_event(&self, event: NewAssetEvent) -> Result<AssetEvent, ControlError> {
        self.called();
        let event = AssetEvent {
            id: AssetEventId(uuid(7)),
            asset: event.asset,
            at: self.now(),
            extra: serde_json::Value::Object(event.extra).to_string().into(),
            source: EventSource::Api { by: event.by },
            aliases: Vec::new(),
        };
        self.events.lock().unwrap().push(event.clone());
        Ok(event)
    }
    async fn clear_queued_assets(
        &self,
        dag_id: &DagId,
        asset: Option<AssetKey>,
    ) -> Result<u32, ControlError> {
        let gone = self.delete_queued(dag_id, asset.as_ref()).await?;
        Ok(u32::try_from(gone).unwrap())
    }
    async fn retry_callback(&self, id: CallbackId) -> Result<CallbackRow, ControlError> {
        self.called();
        let mut callbacks = self.callbacks.lock().unwrap();
        let row = (callbacks.iter_mut()).find(|row| row.id == id);
        let row = row.ok_or(ControlError::NoSuchCallback(id))?;
        if row.state != CallbackState::Failed {
            return Err(ControlError::Refused(format!(
                "the callback is {}",
                row.state
            )));
        }
        row.state = CallbackState::Pending;
        row.next_try_at = at("2024-01-01");
        Ok(row.clone())
    }
    fn health(&self) -> SchedulerHealth {
        let sick = *self.sick.lock().unwrap();
        SchedulerHealth {
            last_heartbeat: at("2024-01-01"),
            store_ok: !sick,
            active_runs: 1,
            commits: 10,
            teams: vec![TeamLoad {
                team: team("payments"),
                running: 2,
                scheduled: 3,
                deferred: 4,
                tally: TeamTally {
                    succeeded: 5,
                    failed: 7,
                    fenced: 1,
                    resumed: 11,
                    polls: 20,
                    failed_polls: 6,
                    watched: 13,
                    callbacks: 14,
                    failed_callback_tries: 15,
                    failed_callbacks: 16,
                    missed_deadlines: 17,
                },
            }],
        }
    }
}

/// A run a day, each for the day before; it fails where its arguments say so.
#[async_trait]
impl Timetables for World {
    async fn next_run(
        &self,
        of: &TimetableCode,
        last: Option<NextRun>,
        _: Restriction,
        now: Timestamp,
    ) -> Result<Option<NextRun>, TimetableFailure> {
        self.called();
        if of.schedule.arguments.contains("broken") {
            return Err(TimetableFailure::Refused("no bank holidays known".into()));
        }
        let start = last.map_or(now, |last| last.interval.1);
        let end = start.after(std::time::Duration::from_secs(86_400));
        Ok(Some(NextRun {
            interval: (start, end),
            run_after: end,
        }))
    }
    async fn manual_interval(
        &self,
        _: &TimetableCode,
        _: Timestamp,
    ) -> Result<Interval, TimetableFailure> {
        unreachable!("the API asks the scheduler")
    }
}
