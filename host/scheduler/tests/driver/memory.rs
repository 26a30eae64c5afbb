//! A store in memory, which fails and waits when it is told to.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use airlock_model::{
    dag::DagSpec,
    id::{
        AssetEventId, BundleHash, BundleName, DagId, DefinitionHash, MapIndex, RunId, RunKey,
        TaskId, TaskIndex, TeamName,
    },
    port::{
        AssetEvent, AssetFilter, AssetKey, AssetStore, AssetUse, Batch, Blobs, CommitError,
        DagFilter, DagProgress, DagStore, EventFilter, ImportError, Page, Paged, QueueRow,
        RunFilter, RunRow, RunStore, StoreError, StoredAsset, StoredDag, StoredRun, TaskRow,
        TimetableCode, TimetableFailure, Timetables, XcomAddress, XcomRow, XcomStore,
    },
    state::RunState,
    time::Timestamp,
    timetable::{Interval, NextRun, Restriction},
};
use async_trait::async_trait;

/// A store in memory, which fails when it is told to.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) rows: Mutex<HashMap<RunKey, (RunRow, Vec<TaskRow>)>>,
    pub(crate) xcoms: Mutex<HashMap<(RunKey, TaskIndex), Arc<str>>>,
    pub(crate) blobs: Mutex<HashMap<BundleHash, Vec<u8>>>,
    pub(crate) commits: AtomicU32,
    pub(crate) full: AtomicBool,
    /// Refuse the next change of this run, as if another host had moved it.
    pub(crate) fence: Mutex<Option<RunKey>>,
    pub(crate) dags: Mutex<Vec<StoredDag>>,
    pub(crate) errors: Mutex<Vec<ImportError>>,
    /// Held by a test that wants DAGs to be written and not yet read again.
    pub(crate) reading: tokio::sync::Mutex<()>,
    pub(crate) replaced: tokio::sync::Notify,
    pub(crate) waiting: Mutex<crate::waiting::Rows>,
    /// Refuse the next batch in which a watcher has seen something, as if another host polled it by now.
    pub(crate) taken_over: AtomicBool,
    /// The parses whose results were kept.
    pub(crate) kept: Mutex<Vec<airlock_model::port::ParseKey>>,
}

#[async_trait]
impl RunStore for Memory {
    async fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        if self.full.load(SeqCst) {
            return Err(StoreError::Full("no room".into()).into());
        }
        let mut rows = self.rows.lock().unwrap();
        let twice = batch.new_runs.iter().filter(|new| {
            rows.values()
                .any(|(run, _)| (&run.dag_id, &run.run_id) == (&new.run.dag_id, &new.run.run_id))
        });
        let twice: Vec<RunKey> = twice.map(|new| new.run.key).collect();
        if !twice.is_empty() {
            return Err(CommitError::RunExists(twice));
        }
        if !batch.watched.is_empty() && self.taken_over.swap(false, SeqCst) {
            let lost: Vec<_> = batch.watched.iter().map(|(id, ..)| *id).collect();
            self.waiting.lock().unwrap().free(&lost);
            return Err(CommitError::LeaseLost(lost));
        }
        let fence = self
            .fence
            .lock()
            .unwrap()
            .take_if(|run| batch.tasks.iter().any(|c| c.key.run == *run));
        if let Some(run) = fence {
            let keys = batch
                .tasks
                .iter()
                .filter(|c| c.key.run == run)
                .map(|c| c.key)
                .collect();
            return Err(CommitError::Fenced(keys));
        }
        self.commits.fetch_add(1, SeqCst);
        for new in &batch.new_runs {
            rows.insert(new.run.key, (new.run.clone(), new.tasks.clone()));
        }
        for change in &batch.tasks {
            let row = &mut rows.get_mut(&change.key.run).unwrap().1[change.key.task.get()];
            if row.fields.token != change.expected {
                return Err(CommitError::Fenced(vec![change.key]));
            }
            row.fields = change.fields.clone();
        }
        for change in &batch.runs {
            rows.get_mut(&change.key).unwrap().0.state = change.state;
        }
        self.waiting.lock().unwrap().apply(batch);
        for xcom in &batch.xcoms {
            let text = match &xcom.spilled {
                Some(hash) => String::from_utf8(self.blobs.lock().unwrap()[hash].clone())
                    .unwrap()
                    .into(),
                None => xcom.value.clone().unwrap(),
            };
            self.xcoms
                .lock()
                .unwrap()
                .insert((xcom.key.run, xcom.key.task), text);
        }
        Ok(())
    }
    async fn durations(&self, _: &DagId, _: u32) -> Result<Vec<Duration>, StoreError> {
        Ok(vec![])
    }
    async fn unfinished(&self) -> Result<Vec<StoredRun>, StoreError> {
        Ok(vec![])
    }
    async fn stored_run(&self, key: RunKey) -> Result<Option<StoredRun>, StoreError> {
        let rows = self.rows.lock().unwrap();
        Ok(rows.get(&key).map(|(run, tasks)| StoredRun {
            run: run.clone(),
            tasks: tasks.clone(),
            returned: vec![],
        }))
    }
    async fn progress(&self) -> Result<Vec<DagProgress>, StoreError> {
        Ok(vec![])
    }
    async fn run(&self, _: &DagId, run_id: &RunId) -> Result<Option<RunRow>, StoreError> {
        let rows = self.rows.lock().unwrap();
        Ok(rows
            .values()
            .map(|(run, _)| run)
            .find(|run| run.run_id == *run_id)
            .cloned())
    }
    async fn run_at(&self, _: &DagId, _: Timestamp) -> Result<Option<RunRow>, StoreError> {
        Ok(None)
    }
    async fn runs(&self, _: &RunFilter, _: Page) -> Result<Paged<RunRow>, StoreError> {
        Ok(Paged {
            items: vec![],
            total: 0,
        })
    }
    async fn task_instances(&self, run: RunKey) -> Result<Vec<TaskRow>, StoreError> {
        Ok(self.rows.lock().unwrap()[&run].1.clone())
    }
    async fn previous(
        &self,
        _: &DagId,
        _: Timestamp,
        _: bool,
    ) -> Result<Option<RunRow>, StoreError> {
        Ok(None)
    }
    async fn next_after(&self, _: &DagId, _: Timestamp) -> Result<Option<RunRow>, StoreError> {
        Ok(None)
    }
    async fn last_states(&self, _: &DagId, _: u32) -> Result<Vec<RunState>, StoreError> {
        Ok(vec![])
    }
    async fn had_task(&self, _: &DagId, _: &TaskId, _: Timestamp) -> Result<bool, StoreError> {
        Ok(false)
    }
    async fn set_note(&self, _: RunKey, _: Option<&str>) -> Result<(), StoreError> {
        Ok(())
    }
    async fn delete_run(&self, _: RunKey) -> Result<(), StoreError> {
        Ok(())
    }
    async fn run_counts(&self) -> Result<Vec<(DagId, RunState, u64)>, StoreError> {
        Ok(vec![])
    }
}

#[async_trait]
impl DagStore for Memory {
    async fn replace(
        &self,
        _: &TeamName,
        bundle: &BundleName,
        new: &[StoredDag],
        errors: &[ImportError],
    ) -> Result<(), StoreError> {
        let mut dags = self.dags.lock().unwrap();
        let own = dags.iter_mut().filter(|dag| dag.bundle == *bundle);
        own.for_each(|dag| dag.is_stale = true);
        for new in new {
            match dags.iter_mut().find(|dag| dag.dag_id == new.dag_id) {
                Some(dag) => *dag = new.clone(),
                None => dags.push(new.clone()),
            }
        }
        let mut all = self.errors.lock().unwrap();
        all.retain(|error| error.bundle != *bundle);
        all.extend_from_slice(errors);
        self.replaced.notify_one();
        Ok(())
    }
    async fn owner(&self, id: &DagId) -> Result<Option<BundleName>, StoreError> {
        Ok(self.kept(id).map(|dag| dag.bundle))
    }
    async fn dag(&self, id: &DagId) -> Result<Option<StoredDag>, StoreError> {
        Ok(self.kept(id))
    }
    async fn dags(&self, filter: &DagFilter, _: Page) -> Result<Paged<StoredDag>, StoreError> {
        let _reading = self.reading.lock().await;
        let dags = self.dags.lock().unwrap();
        let meant = |dag: &&StoredDag| {
            let bundle = filter.bundle.as_ref();
            (filter.include_stale || !dag.is_stale) && bundle.is_none_or(|b| *b == dag.bundle)
        };
        let items: Vec<_> = dags.iter().filter(meant).cloned().collect();
        let total = items.len() as u64;
        Ok(Paged { items, total })
    }
    async fn definition(&self, hash: &DefinitionHash) -> Result<Option<DagSpec>, StoreError> {
        let dags = self.dags.lock().unwrap();
        let mut specs = dags.iter().map(|dag| &dag.spec);
        let named = specs.find(|spec| DefinitionHash::of(&spec.text().unwrap()) == *hash);
        Ok(named.cloned())
    }
    async fn set_paused(&self, _: &DagId, _: bool) -> Result<(), StoreError> {
        Ok(())
    }
    async fn delete(&self, _: &DagId) -> Result<(), StoreError> {
        Ok(())
    }
    async fn transfer(
        &self,
        id: &DagId,
        bundle: &BundleName,
        team: &TeamName,
    ) -> Result<(), StoreError> {
        let mut dags = self.dags.lock().unwrap();
        let dag = dags.iter_mut().find(|dag| dag.dag_id == *id).unwrap();
        (dag.bundle, dag.team, dag.is_stale) = (bundle.clone(), team.clone(), true);
        Ok(())
    }
    async fn import_errors(&self, _: Option<&TeamName>) -> Result<Vec<ImportError>, StoreError> {
        Ok(self.errors.lock().unwrap().clone())
    }
}

impl Memory {
    fn kept(&self, id: &DagId) -> Option<StoredDag> {
        let dags = self.dags.lock().unwrap();
        dags.iter().find(|dag| dag.dag_id == *id).cloned()
    }
}

#[async_trait]
impl AssetStore for Memory {
    async fn assets(&self, _: &AssetFilter, _: Page) -> Result<Paged<StoredAsset>, StoreError> {
        Ok(Paged {
            items: vec![],
            total: 0,
        })
    }
    async fn asset(&self, _: &AssetKey) -> Result<Option<StoredAsset>, StoreError> {
        Ok(None)
    }
    async fn consumers(&self) -> Result<Vec<AssetUse>, StoreError> {
        Ok(vec![])
    }
    async fn alias_assets(&self) -> Result<Vec<(String, AssetKey)>, StoreError> {
        Ok(vec![])
    }
    async fn events(&self, _: &EventFilter, _: Page) -> Result<Paged<AssetEvent>, StoreError> {
        Ok(Paged {
            items: vec![],
            total: 0,
        })
    }
    async fn unconsumed(&self) -> Result<Vec<(DagId, AssetKey, AssetEventId)>, StoreError> {
        Ok(vec![])
    }
    async fn consumed_by(&self, _: RunKey) -> Result<Vec<AssetEvent>, StoreError> {
        Ok(vec![])
    }
    async fn queue(&self) -> Result<Vec<QueueRow>, StoreError> {
        Ok(vec![])
    }
    async fn queued(&self, _: &DagId) -> Result<Vec<QueueRow>, StoreError> {
        Ok(vec![])
    }
    async fn delete_queued(&self, _: &DagId, _: Option<&AssetKey>) -> Result<u64, StoreError> {
        Ok(0)
    }
    async fn seen_keys(&self, _: &AssetKey, keys: &[String]) -> Result<Vec<String>, StoreError> {
        let seen = self.waiting.lock().unwrap();
        let known = |key: &&String| seen.keys.contains(*key);
        Ok(keys.iter().filter(known).cloned().collect())
    }
    async fn forget_seen_keys(&self, _: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl Timetables for Memory {
    async fn next_run(
        &self,
        _: &TimetableCode,
        _: Option<NextRun>,
        _: Restriction,
        _: Timestamp,
    ) -> Result<Option<NextRun>, TimetableFailure> {
        Ok(None)
    }
    async fn manual_interval(
        &self,
        _: &TimetableCode,
        run_after: Timestamp,
    ) -> Result<Interval, TimetableFailure> {
        Ok((run_after, run_after))
    }
}

#[async_trait]
impl XcomStore for Memory {
    async fn xcom(&self, _: &TeamName, _: &XcomAddress) -> Result<Option<Arc<str>>, StoreError> {
        Ok(None)
    }
    async fn xcom_of(
        &self,
        run: RunKey,
        task: TaskIndex,
        _: MapIndex,
        _: &str,
    ) -> Result<Option<Arc<str>>, StoreError> {
        Ok(self.xcoms.lock().unwrap().get(&(run, task)).cloned())
    }
    async fn xcoms(
        &self,
        _: &DagId,
        _: &RunId,
        _: &TaskId,
        _: MapIndex,
    ) -> Result<Vec<XcomRow>, StoreError> {
        Ok(vec![])
    }
}

#[async_trait]
impl Blobs for Memory {
    async fn put(&self, bytes: &[u8]) -> Result<BundleHash, StoreError> {
        let mut blobs = self.blobs.lock().unwrap();
        let hash = BundleHash::from_bytes([u8::try_from(blobs.len()).unwrap(); 32]);
        blobs.insert(hash, bytes.to_vec());
        Ok(hash)
    }
    async fn get(&self, hash: &BundleHash) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.blobs.lock().unwrap().get(hash).cloned())
    }
    async fn put_signature(&self, _: &BundleHash, _: &[u8]) -> Result<(), StoreError> {
        unreachable!("the scheduler knows no signatures")
    }
    async fn signature(&self, _: &BundleHash) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
}
