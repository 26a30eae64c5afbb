//! Who waits for something that the host sees by itself: a change of an asset, a run or a task instance that
//! reaches a state, a file (Airflow's semantics, 3.10).
//!
//! A wait begins when the engine hears of it, and what the engine has seen since the waiter looked last counts.
//! What a run or task instance was before is asked of the database once the commit is durable in which the
//! wait began, so that nothing falls between the two. What is heard is told at the end of an event's
//! handling, one after the other, however long the chain of those who wait for each other.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use airlock_model::{
    dag::AssetRef,
    id::{DagId, InstanceIndex, RunKey, TeamName, Token, TriggerId},
    port::{AssetEvent, FileWaiter, FoundFile, RunRow, TaskRow},
    state::{RunState, TaskState},
    time::Timestamp,
    trigger::{FileEvent, HostEvent, RunRef, TriggerEvent},
};
use serde_json::json;

use super::{Engine, watchers::WatcherKey};

/// Who waits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Waiter {
    /// A deferred task instance, under the token with which it deferred.
    Task(RunKey, InstanceIndex, Token),
    /// A trigger that is a bundle's own code: it is polled when it has heard something.
    Trigger(TriggerId),
    /// A watcher for which the host answers.
    Watcher(WatcherKey),
}

/// Something that the database has to be asked: where a run or a task instance stands for which somebody waits.
#[derive(Debug, Clone, PartialEq)]
pub struct StateQuestion {
    /// Who waits.
    pub waiter: Waiter,
    /// Whose runs it may know of.
    pub team: TeamName,
    /// For what.
    pub event: HostEvent,
}

/// Where a run stands, and the task instance, if one was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct StateFound {
    /// The run.
    pub run: RunRow,
    /// The task instance.
    pub task: Option<TaskRow>,
}

/// What whoever looks at files is told.
#[derive(Debug, Clone, PartialEq)]
pub enum FileOrder {
    /// Look until it is found, or until it is forgotten.
    Look {
        /// For whom.
        waiter: Waiter,
        /// On whose behalf.
        behalf: FileWaiter,
        /// For what.
        event: FileEvent,
        /// Changes from then on count.
        since: Timestamp,
    },
    /// Nobody waits any more.
    Forget(Waiter),
}

/// What somebody has heard.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    /// An object.
    pub(super) value: Arc<str>,
    /// The same whenever the same is heard again, as after a restart.
    pub(super) key: String,
}

#[derive(Debug)]
struct Listening {
    team: TeamName,
    events: Vec<HostEvent>,
}

type Waiters = BTreeSet<Waiter>;

/// All who wait.
#[derive(Debug, Default)]
pub(super) struct Waits {
    listening: HashMap<Waiter, Listening>,
    assets: HashMap<TeamName, HashMap<AssetRef, Waiters>>,
    runs: HashMap<(DagId, RunRef), Waiters>,
    tasks: HashMap<(DagId, RunRef), Waiters>,
    heard: VecDeque<(Waiter, Heard)>,
    files: Vec<FileOrder>,
}

impl Waits {
    fn add(&mut self, waiter: &Waiter, team: &TeamName, event: &HostEvent) {
        let waiters = match event {
            HostEvent::Asset(asset) => self
                .assets
                .entry(team.clone())
                .or_default()
                .entry(asset.clone())
                .or_default(),
            HostEvent::DagRun { dag_id, run, .. } => {
                let key = (dag_id.clone(), run.clone());
                self.runs.entry(key).or_default()
            }
            HostEvent::TaskInstance { dag_id, run, .. } => {
                let key = (dag_id.clone(), run.clone());
                self.tasks.entry(key).or_default()
            }
            HostEvent::File(_) => return,
        };
        waiters.insert(waiter.clone());
    }

    fn remove(&mut self, waiter: &Waiter, team: &TeamName, event: &HostEvent) {
        match event {
            HostEvent::Asset(asset) => {
                if let Some(of_team) = self.assets.get_mut(team) {
                    leave(of_team, asset, waiter);
                }
            }
            HostEvent::DagRun { dag_id, run, .. } => {
                leave(&mut self.runs, &(dag_id.clone(), run.clone()), waiter);
            }
            HostEvent::TaskInstance { dag_id, run, .. } => {
                leave(&mut self.tasks, &(dag_id.clone(), run.clone()), waiter);
            }
            HostEvent::File(_) => self.files.push(FileOrder::Forget(waiter.clone())),
        }
    }

    /// Nobody of this name waits any more.
    pub(super) fn forget(&mut self, waiter: &Waiter) {
        let Some(listening) = self.listening.remove(waiter) else {
            return;
        };
        for event in &listening.events {
            self.remove(waiter, &listening.team, event);
        }
    }

    pub(super) fn has(&self, waiter: &Waiter) -> bool {
        self.listening.contains_key(waiter)
    }

    /// Those who wait for a run, by its name or its time, and for which states.
    fn of_run(&self, row: &RunRow) -> Vec<(Waiter, HostEvent)> {
        let fits = |event: &&HostEvent| matches!(event, HostEvent::DagRun { states, .. } if states.contains(&row.state));
        self.fitting(&self.runs, row, fits)
    }

    fn fitting(
        &self,
        index: &HashMap<(DagId, RunRef), Waiters>,
        row: &RunRow,
        fits: impl Fn(&&HostEvent) -> bool,
    ) -> Vec<(Waiter, HostEvent)> {
        let refs = refs(row);
        let waiters = refs.iter().filter_map(|run| {
            let key = (row.dag_id.clone(), run.clone());
            index.get(&key)
        });
        let mut found = Vec::new();
        for waiter in waiters.flatten() {
            let Some(listening) = self.listening.get(waiter) else {
                continue;
            };
            // What another team's run does is nobody's business.
            if listening.team != row.team {
                continue;
            }
            let meant = |event: &&HostEvent| match event {
                HostEvent::DagRun { dag_id, run, .. }
                | HostEvent::TaskInstance { dag_id, run, .. } => {
                    *dag_id == row.dag_id && refs.contains(run)
                }
                _ => false,
            };
            let events = listening
                .events
                .iter()
                .filter(meant)
                .filter(|event| fits(event));
            found.extend(events.map(|event| (waiter.clone(), event.clone())));
        }
        found
    }
}

fn leave<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Waiters>, key: &K, waiter: &Waiter) {
    if let Some(waiters) = index.get_mut(key) {
        waiters.remove(waiter);
        if waiters.is_empty() {
            index.remove(key);
        }
    }
}

/// The ways in which a run may be meant.
fn refs(row: &RunRow) -> Vec<RunRef> {
    let by_time = row.logical_date.map(RunRef::LogicalDate);
    [Some(RunRef::RunId(row.run_id.clone())), by_time]
        .into_iter()
        .flatten()
        .collect()
}

fn run_heard(row: &RunRow) -> Heard {
    let value = json!({ "dag_id": row.dag_id.as_str(), "run_id": row.run_id.as_str(), "state": row.state.as_str() });
    Heard {
        value: value.to_string().into(),
        key: format!(
            "run {} {} {} {}",
            row.dag_id, row.run_id, row.state, row.clear_number
        ),
    }
}

fn task_heard(
    row: &RunRow,
    (task, at): (&str, InstanceIndex),
    state: TaskState,
    token: Token,
) -> Heard {
    let (dag_id, run_id) = (row.dag_id.as_str(), row.run_id.as_str());
    let value = json!({
        "dag_id": dag_id, "run_id": run_id, "task_id": task,
        "map_index": at.map_index.0, "state": state.as_str(),
    });
    Heard {
        value: value.to_string().into(),
        key: format!(
            "task {dag_id} {run_id} {task} {} {state} {}",
            at.map_index.0,
            token.get()
        ),
    }
}

pub(super) fn file_heard(file: &FoundFile) -> Heard {
    let value =
        json!({ "path": file.path, "bytes": file.bytes, "modified": file.modified.to_string() });
    Heard {
        value: value.to_string().into(),
        key: format!(
            "file {} {} {} {}",
            file.path,
            file.bytes,
            file.modified.micros(),
            file.changed.micros()
        ),
    }
}

impl Engine {
    /// Somebody waits for these from now on, instead of what they waited for before; what was seen since they
    /// looked last counts.
    pub(super) fn listen(
        &mut self,
        waiter: Waiter,
        behalf: FileWaiter,
        events: Vec<HostEvent>,
        since: Timestamp,
    ) {
        self.waits.forget(&waiter);
        if events.is_empty() {
            return;
        }
        for event in &events {
            self.waits.add(&waiter, &behalf.team, event);
            match event {
                HostEvent::Asset(asset) => {
                    let seen = self.assets.last_change(&behalf.team, asset, since);
                    if let Some(heard) = seen.map(|event| self.asset_heard(&event)) {
                        self.waits.heard.push_back((waiter.clone(), heard));
                    }
                }
                HostEvent::DagRun { .. } | HostEvent::TaskInstance { .. } => {
                    self.pending.state_question(StateQuestion {
                        waiter: waiter.clone(),
                        team: behalf.team.clone(),
                        event: event.clone(),
                    });
                }
                HostEvent::File(event) => self.waits.files.push(FileOrder::Look {
                    waiter: waiter.clone(),
                    behalf: behalf.clone(),
                    event: event.clone(),
                    since,
                }),
            }
        }
        let team = behalf.team;
        self.waits
            .listening
            .insert(waiter, Listening { team, events });
    }

    /// What whoever looks at files is to be told.
    pub fn take_file_orders(&mut self) -> Vec<FileOrder> {
        std::mem::take(&mut self.waits.files)
    }

    fn asset_heard(&self, event: &AssetEvent) -> Heard {
        let uri = self.assets.uri(&event.asset);
        let extra: serde_json::Value = serde_json::from_str(&event.extra).unwrap_or_default();
        let value = json!({
            "asset": &*event.asset.name, "uri": uri.as_deref(),
            "timestamp": event.at.to_string(), "extra": extra,
        });
        Heard {
            value: value.to_string().into(),
            key: format!("asset {}", event.id.0),
        }
    }

    /// An asset has changed.
    pub(super) fn tell_of_asset(&mut self, event: &AssetEvent) {
        let Some(of_team) = self.waits.assets.get(&event.asset.team) else {
            return;
        };
        let meant = of_team
            .iter()
            .filter(|(asset, _)| self.assets.means(asset, &event.asset));
        let waiters: Vec<Waiter> = meant
            .flat_map(|(_, waiters)| waiters.iter().cloned())
            .collect();
        if waiters.is_empty() {
            return;
        }
        let heard = self.asset_heard(event);
        let all = waiters.into_iter().map(|waiter| (waiter, heard.clone()));
        self.waits.heard.extend(all);
    }

    /// A run is in another state.
    pub(super) fn tell_of_run(&mut self, run: RunKey) {
        if self.waits.runs.is_empty() {
            return;
        }
        let Some(active) = self.runs.get(&run) else {
            return;
        };
        let mut row = active.row.clone();
        row.state = active.run.state();
        let heard = run_heard(&row);
        let found = self.waits.of_run(&row).into_iter();
        let all: Vec<_> = found.map(|(waiter, _)| (waiter, heard.clone())).collect();
        self.waits.heard.extend(all);
    }

    /// Task instances of a run are in other states.
    pub(super) fn tell_of_tasks(&mut self, run: RunKey, changed: &[InstanceIndex]) {
        if self.waits.tasks.is_empty() {
            return;
        }
        let Some(active) = self.runs.get(&run) else {
            return;
        };
        let mut all = Vec::new();
        for &at in changed {
            let fields = active.run.fields(at);
            let (Some((task, _)), Some((state, token))) = (
                active.run.dag().task(at.task),
                fields.and_then(|fields| Some((fields.state?, fields.token))),
            ) else {
                continue;
            };
            let fits = |event: &&HostEvent| matches!(event, HostEvent::TaskInstance { task_id, map_index, states, .. } if *task_id == task.id && *map_index == at.map_index && states.contains(&state));
            let found = self.waits.fitting(&self.waits.tasks, &active.row, fits);
            let heard = task_heard(&active.row, (task.id.as_str(), at), state, token);
            all.extend(found.into_iter().map(|(waiter, _)| (waiter, heard.clone())));
        }
        self.waits.heard.extend(all);
    }

    /// The database has said where a run or task instance stands for which somebody waits.
    pub(super) fn state_known(&mut self, question: StateQuestion, found: Option<StateFound>) {
        let Some(found) = found.filter(|found| found.run.team == question.team) else {
            return;
        };
        let reached = |states: &[RunState]| states.contains(&found.run.state);
        let heard = match (&question.event, &found.task) {
            (HostEvent::DagRun { states, .. }, _) if reached(states) => run_heard(&found.run),
            (HostEvent::TaskInstance { states, .. }, Some(task)) => match task.fields.state {
                Some(state) if states.contains(&state) => {
                    let named = (task.task_id.as_str(), task.index());
                    task_heard(&found.run, named, state, task.fields.token)
                }
                _ => return,
            },
            _ => return,
        };
        match question.waiter {
            // It may have been told of it before the restart.
            Waiter::Watcher(key) => self.ask_sighting(&key, heard),
            waiter => self.waits.heard.push_back((waiter, heard)),
        }
    }

    /// Files that somebody waits for are there.
    pub(super) fn files_found(&mut self, waiter: Waiter, files: &[FoundFile], known: bool) {
        match (&waiter, files.first()) {
            (Waiter::Watcher(key), _) => self.files_sighted(key, files, known),
            (_, Some(first)) => self.waits.heard.push_back((waiter, file_heard(first))),
            (_, None) => {}
        }
    }

    /// The host may not look at a file for which somebody waits.
    pub(super) fn file_refused(&mut self, waiter: Waiter, reason: &str, now: Timestamp) {
        match waiter {
            Waiter::Task(run, at, token) => {
                self.resume(run, at, token, TriggerEvent::Failed(reason.into()), now);
            }
            // Its next poll tells it, when it looks itself.
            Waiter::Trigger(id) => self.pending.woken(id),
            Waiter::Watcher(_) => {}
        }
    }

    /// Tells all who wait what was heard, also of what follows from that.
    pub(super) fn tell_heard(&mut self, now: Timestamp) {
        while let Some((waiter, heard)) = self.waits.heard.pop_front() {
            if !self.waits.has(&waiter) {
                continue;
            }
            match waiter {
                Waiter::Task(run, at, token) => {
                    self.resume(run, at, token, TriggerEvent::Fired(heard.value), now);
                }
                Waiter::Trigger(id) => self.pending.woken(id),
                Waiter::Watcher(key) => self.watcher_heard(&key, heard, now),
            }
        }
    }
}
