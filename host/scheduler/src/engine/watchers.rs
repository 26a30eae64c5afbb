//! Watchers: triggers that live as long as their DAG and tell of changes of an asset (AIP-82).
//!
//! An asset is its team's, so a watcher is found by team, asset and name, whichever DAGs declare it. One that is
//! a bundle's own code is a row that others poll, and goes on with what it has kept when its bundle has a new
//! version; for any other the host answers itself. Every change has a key, and of changes of one asset with
//! one key, one counts, however often it is seen. While all DAGs that wait for an asset are paused its
//! watchers rest: what they would see stays where it is.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use airlock_model::{
    id::{BundleName, DagId, TriggerId},
    port::{
        AssetKey, EventSource, FileWaiter, FoundFile, Lease, SeenKey, TriggerOwner,
        TriggerProgress, TriggerRow, WatchedEvent, WatcherMove,
    },
    time::Timestamp,
    trigger::{OwnTrigger, Trigger, TriggerEvent},
};

use super::{
    Engine, LiveDag, Timer,
    waits::{Heard, Waiter, file_heard},
};

/// The name of a watcher.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherKey {
    /// Whose asset it watches.
    pub asset: AssetKey,
    /// Its own name.
    pub name: Arc<str>,
}

/// What a watcher has seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// Which.
    pub watcher: WatcherKey,
    /// Its row, and what is new of it, where it is a bundle's own code.
    pub row: Option<(TriggerId, Lease, TriggerProgress)>,
    /// Changes.
    pub events: Vec<WatchedEvent>,
    /// They were there when it began: they are known from now on, and nobody is told of them.
    pub known: bool,
}

/// Code and its home.
#[derive(Debug, Clone, PartialEq)]
struct Declared {
    behalf: FileWaiter,
    trigger: Trigger,
}

#[derive(Debug)]
struct Watcher {
    declared: Declared,
    /// Its row, where it is a bundle's own code.
    id: Option<TriggerId>,
    /// It rests.
    rests: bool,
    /// For when a timer is set, where it waits for the clock.
    timer: Option<Timestamp>,
}

/// All that is known of watchers.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    all: BTreeMap<WatcherKey, Watcher>,
    /// Bundles that have come since the start.
    imported: HashSet<BundleName>,
    /// Rows of those that may be polled; none: as before.
    active: Option<Arc<HashSet<TriggerId>>>,
    /// Changes that are on their way to the database.
    told: HashSet<(AssetKey, String)>,
    /// What is to be looked up before it counts.
    sightings: Vec<Sighting>,
}

impl Engine {
    /// A watcher as it was written.
    pub(super) fn restore_watcher(&mut self, row: &TriggerRow) {
        let TriggerOwner::Watcher { asset, name } = &row.owner else {
            return;
        };
        let watcher = Watcher {
            declared: Declared {
                behalf: FileWaiter {
                    team: row.team.clone(),
                    bundle: row.bundle.clone(),
                    hash: row.hash,
                    dag_id: row.dag_id.clone(),
                    task_id: None,
                },
                trigger: Trigger::Own(row.own.clone()),
            },
            id: Some(row.id),
            // Until the bundle has come back.
            rests: true,
            timer: None,
        };
        let key = WatcherKey {
            asset: AssetKey {
                team: row.team.clone(),
                name: asset.as_str().into(),
            },
            name: name.as_str().into(),
        };
        self.watchers.all.insert(key, watcher);
    }

    /// Rows of watchers that may be polled, if that has changed.
    pub fn take_active_watchers(&mut self) -> Option<Arc<HashSet<TriggerId>>> {
        self.watchers.active.take()
    }

    /// What has to be looked up in the database before it counts.
    pub fn take_sightings(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.watchers.sightings)
    }

    /// The watchers that the DAGs declare now; of those that declare the same, the first by name counts.
    fn declared_watchers(&self) -> BTreeMap<WatcherKey, Declared> {
        let mut found: BTreeMap<WatcherKey, Declared> = BTreeMap::new();
        for LiveDag {
            dag,
            team,
            bundle,
            hash,
            ..
        } in self.dags.values().map(|state| &state.live)
        {
            for asset in &dag.spec().assets {
                for spec in &asset.watchers {
                    let key = WatcherKey {
                        asset: AssetKey {
                            team: team.clone(),
                            name: asset.name.as_str().into(),
                        },
                        name: spec.name.as_str().into(),
                    };
                    let behalf = FileWaiter {
                        team: team.clone(),
                        bundle: bundle.clone(),
                        hash: *hash,
                        dag_id: dag.id().clone(),
                        task_id: None,
                    };
                    let declared = Declared {
                        behalf,
                        trigger: spec.trigger.clone(),
                    };
                    let first = found
                        .get(&key)
                        .is_none_or(|known| declared.behalf.dag_id < known.behalf.dag_id);
                    if first {
                        found.insert(key, declared);
                    }
                }
            }
        }
        found
    }

    /// DAGs have come, changed or gone: so do their watchers. Those of a bundle that has not come back since the
    /// start rest.
    pub(super) fn reconcile_watchers(&mut self, bundle: Option<&BundleName>, now: Timestamp) {
        self.watchers.imported.extend(bundle.cloned());
        let mut declared = self.declared_watchers();
        if declared.is_empty() && self.watchers.all.is_empty() {
            return;
        }
        let keys: Vec<WatcherKey> = self.watchers.all.keys().cloned().collect();
        for key in keys {
            let Some(known) = self.watchers.all.get(&key) else {
                continue;
            };
            let wanted = declared.remove(&key);
            let back = self
                .watchers
                .imported
                .contains(&known.declared.behalf.bundle);
            match wanted {
                None if !back => {}
                None => self.end_watcher(&key),
                Some(wanted) if wanted.trigger != known.declared.trigger => {
                    self.end_watcher(&key);
                    self.begin_watcher(key, wanted, now);
                }
                Some(wanted) if wanted != known.declared => self.move_watcher(key, wanted, now),
                Some(_) => {}
            }
        }
        for (key, declared) in declared {
            self.begin_watcher(key, declared, now);
        }
        self.rest_watchers(now);
    }

    fn begin_watcher(&mut self, key: WatcherKey, declared: Declared, now: Timestamp) {
        let id = match &declared.trigger {
            Trigger::Own(own) => Some(self.new_watcher(&key, &declared.behalf, own, now)),
            _ => None,
        };
        let watcher = Watcher {
            declared,
            id,
            rests: true,
            timer: None,
        };
        self.watchers.all.insert(key, watcher);
    }

    fn new_watcher(
        &mut self,
        key: &WatcherKey,
        behalf: &FileWaiter,
        own: &OwnTrigger,
        now: Timestamp,
    ) -> TriggerId {
        let id = TriggerId(self.keys.next(now).0);
        let owner = TriggerOwner::Watcher {
            asset: key.asset.name.as_ref().into(),
            name: key.name.as_ref().into(),
        };
        self.pending.new_trigger(TriggerRow {
            id,
            owner,
            team: behalf.team.clone(),
            dag_id: behalf.dag_id.clone(),
            bundle: behalf.bundle.clone(),
            hash: behalf.hash,
            own: own.clone(),
            created_at: now,
            progress: TriggerProgress::unpolled(now),
        });
        id
    }

    fn end_watcher(&mut self, key: &WatcherKey) {
        let Some(watcher) = self.watchers.all.remove(key) else {
            return;
        };
        match watcher.id {
            Some(id) => {
                self.waits.forget(&Waiter::Trigger(id));
                self.pending.gone_trigger(id);
            }
            None => self.waits.forget(&Waiter::Watcher(key.clone())),
        }
    }

    /// The same code in another version, DAG or bundle.
    fn move_watcher(&mut self, key: WatcherKey, wanted: Declared, now: Timestamp) {
        let Some(watcher) = self.watchers.all.get_mut(&key) else {
            return;
        };
        let behalf = wanted.behalf.clone();
        watcher.declared = wanted;
        match watcher.id {
            Some(id) => self.pending.moved_watcher(WatcherMove {
                id,
                dag_id: behalf.dag_id,
                bundle: behalf.bundle,
                hash: behalf.hash,
            }),
            None if watcher.rests => {}
            None => self.watch(&key, now),
        }
    }

    /// Watchers rest, or go on, as somebody waits for their assets.
    pub(super) fn rest_watchers(&mut self, now: Timestamp) {
        if self.watchers.all.is_empty() {
            return;
        }
        let lives = self.dags.values().map(|state| &state.live);
        let listeners: Vec<&LiveDag> = lives
            .filter(|live| live.dag.spec().asset_condition.is_some())
            .collect();
        let mut turned = Vec::new();
        for (key, watcher) in &self.watchers.all {
            let home = self.dags.get(&watcher.declared.behalf.dag_id);
            let lives = home.is_some_and(|state| state.live.team == key.asset.team);
            let rests = !lives || self.nobody_listens(&listeners, &key.asset);
            if rests != watcher.rests {
                turned.push((key.clone(), rests));
            }
        }
        for (key, rests) in turned {
            let Some(watcher) = self.watchers.all.get_mut(&key) else {
                continue;
            };
            watcher.rests = rests;
            match (watcher.id, rests) {
                (Some(id), false) => self.pending.woken(id),
                (Some(_), true) => {}
                (None, true) => self.waits.forget(&Waiter::Watcher(key)),
                (None, false) => self.watch(&key, now),
            }
        }
        let active = self.watchers.all.values().filter(|watcher| !watcher.rests);
        let active = active.filter_map(|watcher| watcher.id).collect();
        self.watchers.active = Some(Arc::new(active));
    }

    /// Whether there are DAGs that wait for an asset, and all of them are paused.
    fn nobody_listens(&self, listeners: &[&LiveDag], asset: &AssetKey) -> bool {
        let waits = |live: &&&LiveDag| {
            let condition = live.dag.spec().asset_condition.as_ref();
            let own = live.team == asset.team;
            own && condition.is_some_and(|condition| self.assets.mentions(condition, asset))
        };
        let mut waiting = listeners.iter().filter(waits).peekable();
        waiting.peek().is_some() && waiting.all(|live| live.paused)
    }

    /// The host begins to watch on a watcher's behalf.
    fn watch(&mut self, key: &WatcherKey, now: Timestamp) {
        let Some(watcher) = self.watchers.all.get_mut(key) else {
            return;
        };
        let due = match &watcher.declared.trigger {
            Trigger::Own(_) => return,
            Trigger::Host(event) => {
                let (behalf, event) = (watcher.declared.behalf.clone(), event.clone());
                return self.listen(Waiter::Watcher(key.clone()), behalf, vec![event], now);
            }
            Trigger::Time(at) => *at,
            Trigger::Duration(every) => next_beat(*every, now),
        };
        if watcher.timer.replace(due) != Some(due) {
            let timer = Timer::Watcher(key.clone());
            self.timers.push(Reverse((due, timer)));
        }
    }

    /// A watcher's time has come.
    pub(super) fn watcher_due(&mut self, key: &WatcherKey, at: Timestamp, now: Timestamp) {
        let Some(watcher) = self.watchers.all.get_mut(key) else {
            return;
        };
        // One that was declared anew meanwhile has a timer of its own; one that rests sets another.
        if watcher.timer.take_if(|timer| *timer == at).is_none() || watcher.rests {
            return;
        }
        let beats = matches!(watcher.declared.trigger, Trigger::Duration(_));
        let heard = Heard {
            value: TriggerEvent::at(at),
            key: format!("time {} {}", key.name, at.micros()),
        };
        self.ask_sighting(key, heard);
        if beats {
            self.watch(key, now);
        }
    }

    /// Something that the engine itself has seen: it and what follows from it are one commit.
    pub(super) fn watcher_heard(&mut self, key: &WatcherKey, heard: Heard, now: Timestamp) {
        self.sighted(sighting(key, vec![event(heard)], false), now);
    }

    /// Something that may have been told of before: the database has to be asked first.
    pub(super) fn ask_sighting(&mut self, key: &WatcherKey, heard: Heard) {
        let sighting = sighting(key, vec![event(heard)], false);
        self.watchers.sightings.push(sighting);
    }

    /// Files that a watcher waits for.
    pub(super) fn files_sighted(&mut self, key: &WatcherKey, files: &[FoundFile], known: bool) {
        let events = files.iter().map(|file| event(file_heard(file))).collect();
        self.watchers.sightings.push(sighting(key, events, known));
    }

    /// A watcher has seen changes of which nobody was told.
    pub(super) fn sighted(&mut self, sighting: Sighting, now: Timestamp) {
        let Sighting {
            watcher: key,
            row,
            events,
            known,
        } = sighting;
        let Some(watcher) = self.watchers.all.get(&key) else {
            return;
        };
        // One of the same name that was ended meanwhile is another watcher.
        if row.as_ref().map(|(id, ..)| *id) != watcher.id {
            return;
        }
        let dag_id: DagId = watcher.declared.behalf.dag_id.clone();
        let source = EventSource::Other(format!("watcher `{}` of DAG `{dag_id}`", key.name));
        for event in events {
            let told = (key.asset.clone(), event.key.clone());
            if !self.watchers.told.insert(told) {
                continue;
            }
            self.pending.seen_key(SeenKey {
                asset: key.asset.clone(),
                key: event.key,
                at: now,
            });
            if known {
                continue;
            }
            if let Some(team) = self.teams.get_mut(&key.asset.team) {
                team.tally.watched += 1;
            }
            let asset = key.asset.clone();
            self.changed(asset, event.extra.into(), source.clone(), Vec::new(), now);
        }
        if let Some(row) = row {
            self.pending.watched(row);
        }
    }

    /// These are in the database: whoever asks finds them there.
    pub(super) fn told_of(&mut self, keys: &[(AssetKey, String)]) {
        for key in keys {
            self.watchers.told.remove(key);
        }
    }
}

fn sighting(key: &WatcherKey, events: Vec<WatchedEvent>, known: bool) -> Sighting {
    Sighting {
        watcher: key.clone(),
        row: None,
        events,
        known,
    }
}

fn event(heard: Heard) -> WatchedEvent {
    WatchedEvent {
        key: heard.key,
        extra: heard.value.as_ref().into(),
    }
}

/// The next whole multiple of a length of time, so that a restart does not shift the beat.
fn next_beat(every: Duration, now: Timestamp) -> Timestamp {
    let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
    let beat = now.micros().div_euclid(every).saturating_add(1);
    Timestamp::from_micros(beat.saturating_mul(every)).unwrap_or(now.after(Duration::MAX))
}
