//! Assets: a task's success changes some, and DAGs whose condition that meets get a run (Airflow's semantics,
//! 3.9).
//!
//! An event is part of the commit of the success that caused it, as are the queue entries of the DAGs that
//! wait for the asset and the run that it makes. Assets are a team's own: events reach DAGs of the same team
//! only.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use airlock_model::{
    dag::{AssetCondition, AssetRef},
    id::{AssetEventId, DagId, InstanceIndex, RunId, RunKey, TeamName},
    outcome::OutletEvent,
    port::{AssetEvent, AssetKey, ControlError, EventSource, NewAssetEvent, QueueChange, QueueRow},
    state::RunType,
    time::Timestamp,
};

use super::{Engine, event::Reply, runs::Wanted};

/// What a DAG that waits for assets has of it.
#[derive(Debug, Default)]
struct Waiting {
    /// Since when, of each asset that changed.
    queued: BTreeMap<AssetKey, Timestamp>,
    /// The events that its next run consumes, oldest first, and of which asset.
    events: Vec<(AssetEventId, AssetKey)>,
}

/// All that is known of assets.
#[derive(Debug, Default)]
pub(super) struct Assets {
    waiting: HashMap<DagId, Waiting>,
    aliases: HashMap<(TeamName, String), BTreeSet<AssetKey>>,
    uris: HashMap<(TeamName, String), Arc<str>>,
    /// The last change of each asset since the start.
    last: HashMap<AssetKey, AssetEvent>,
}

impl Assets {
    /// Nothing is queued for a DAG any more.
    pub(super) fn forget(&mut self, dag: &DagId) {
        self.waiting.remove(dag);
    }

    /// The URI of an asset.
    pub(super) fn uri(&self, key: &AssetKey) -> Option<String> {
        let known = |((team, uri), name): (&(TeamName, String), &Arc<str>)| {
            (*team == key.team && *name == key.name).then(|| uri.clone())
        };
        self.uris.iter().find_map(known)
    }

    /// The latest change since then of an asset that is meant.
    pub(super) fn last_change(
        &self,
        team: &TeamName,
        reference: &AssetRef,
        since: Timestamp,
    ) -> Option<AssetEvent> {
        let meant = self
            .last
            .values()
            .filter(|event| event.asset.team == *team && event.at >= since);
        meant
            .filter(|event| self.means(reference, &event.asset))
            .max_by_key(|event| event.at)
            .cloned()
    }

    /// Whether a reference means this asset.
    pub(super) fn means(&self, reference: &AssetRef, key: &AssetKey) -> bool {
        let of = |text: &String| (key.team.clone(), text.clone());
        match reference {
            AssetRef::Name(name) => **name == *key.name,
            AssetRef::Uri(uri) => self
                .uris
                .get(&of(uri))
                .is_some_and(|name| *name == key.name),
            AssetRef::Alias(alias) => self
                .aliases
                .get(&of(alias))
                .is_some_and(|all| all.contains(key)),
        }
    }

    /// The asset that a task names as its inlet.
    pub(super) fn key(&self, team: &TeamName, reference: &AssetRef) -> Option<AssetKey> {
        let known = |text: &String| self.uris.get(&(team.clone(), text.clone())).cloned();
        let name = match reference {
            AssetRef::Name(name) => name.as_str().into(),
            AssetRef::Uri(uri) => known(uri)?,
            AssetRef::Alias(_) => return None,
        };
        Some(AssetKey {
            team: team.clone(),
            name,
        })
    }

    /// Whether a condition may mean this asset: a URI may be that of an asset that is declared later.
    fn may_mention(&self, condition: &AssetCondition, key: &AssetKey) -> bool {
        let known = |uri: &String| self.uris.contains_key(&(key.team.clone(), uri.clone()));
        names_any(condition, &|reference| match reference {
            AssetRef::Uri(uri) if !known(uri) => true,
            _ => self.means(reference, key),
        })
    }

    pub(super) fn mentions(&self, condition: &AssetCondition, key: &AssetKey) -> bool {
        names_any(condition, &|reference| self.means(reference, key))
    }

    /// Whether what has changed meets a condition. A reference that nothing stands behind is not met.
    fn met(&self, condition: &AssetCondition, queued: &BTreeMap<AssetKey, Timestamp>) -> bool {
        match condition {
            AssetCondition::Of(reference) => queued.keys().any(|key| self.means(reference, key)),
            AssetCondition::All(parts) => parts.iter().all(|part| self.met(part, queued)),
            AssetCondition::Any(parts) => parts.iter().any(|part| self.met(part, queued)),
        }
    }
}

/// Whether any reference of a condition is one of these.
fn names_any(condition: &AssetCondition, is: &impl Fn(&AssetRef) -> bool) -> bool {
    match condition {
        AssetCondition::Of(reference) => is(reference),
        AssetCondition::All(parts) | AssetCondition::Any(parts) => {
            parts.iter().any(|part| names_any(part, is))
        }
    }
}

impl Engine {
    /// What the database knows at a start: which aliases were resolved, what DAGs have queued, and the events that
    /// their next runs consume.
    pub fn restore_assets(
        &mut self,
        aliases: Vec<(String, AssetKey)>,
        queued: Vec<QueueRow>,
        unconsumed: Vec<(DagId, AssetKey, AssetEventId)>,
    ) {
        for (alias, key) in aliases {
            let known = self
                .assets
                .aliases
                .entry((key.team.clone(), alias))
                .or_default();
            known.insert(key);
        }
        for row in queued {
            let waiting = self.assets.waiting.entry(row.dag_id).or_default();
            waiting.queued.insert(row.asset, row.queued_at);
        }
        for (dag, asset, id) in unconsumed {
            let waiting = self.assets.waiting.entry(dag).or_default();
            waiting.events.push((id, asset));
        }
    }

    /// A DAG was imported: the assets that it declares have the URIs that it says.
    pub(super) fn assets_declared(&mut self, dag: &DagId) {
        let Some(live) = self.dags.get(dag).map(|state| &state.live) else {
            return;
        };
        for asset in &live.dag.spec().assets {
            if let Some(uri) = &asset.uri {
                let name = asset.name.as_str().into();
                self.assets
                    .uris
                    .insert((live.team.clone(), uri.clone()), name);
            }
        }
        self.unwait(dag);
    }

    /// Forgets what a DAG has queued of assets that it no longer waits for. Should it wait for them again, events
    /// count from then on (Airflow 3.3.2: the queue goes with the reference).
    pub(super) fn unwait(&mut self, dag: &DagId) {
        let Some(mut waiting) = self.assets.waiting.remove(dag) else {
            return;
        };
        let live = self.dags.get(dag).map(|state| &state.live);
        let condition = live.and_then(|live| live.dag.spec().asset_condition.as_ref());
        let waits = |key: &AssetKey| {
            let own = live.is_some_and(|live| live.team == key.team);
            own && condition.is_some_and(|condition| self.assets.may_mention(condition, key))
        };
        let gone: Vec<AssetKey> = waiting
            .queued
            .keys()
            .filter(|key| !waits(key))
            .cloned()
            .collect();
        waiting.events.retain(|(_, key)| waits(key));
        for asset in gone {
            waiting.queued.remove(&asset);
            self.pending.queue(QueueChange {
                dag_id: dag.clone(),
                asset,
                queued_at: None,
            });
        }
        if !waiting.events.is_empty() || !waiting.queued.is_empty() {
            self.assets.waiting.insert(dag.clone(), waiting);
        }
    }

    /// A task has succeeded: its outlets have changed.
    pub(super) fn outlets_changed(
        &mut self,
        run: RunKey,
        at: InstanceIndex,
        told: Vec<OutletEvent>,
        now: Timestamp,
    ) {
        let Some(active) = self.runs.get(&run) else {
            return;
        };
        let Some((task, spec)) = active.run.dag().task(at.task) else {
            return;
        };
        if spec.outlets.is_empty() {
            return;
        }
        let source = EventSource::Task {
            dag_id: active.row.dag_id.clone(),
            run_id: active.row.run_id.clone(),
            task_id: task.id.clone(),
            map_index: at.map_index,
        };
        let team = active.row.team.clone();
        let outlets = spec.outlets.clone();
        // The name of the asset, its extra, and the alias through which it was reached.
        let mut changes: Vec<(Arc<str>, Arc<str>, Option<String>)> = Vec::new();
        for outlet in &outlets {
            let AssetRef::Alias(alias) = outlet else {
                let extra = told
                    .iter()
                    .find(|event| event.alias.is_none() && event.asset == *outlet);
                let extra = extra.map_or("{}", |event| event.extra.as_str());
                if let Some(name) = self.name_of(&team, outlet) {
                    changes.push((name, extra.into(), None));
                }
                continue;
            };
            for event in told
                .iter()
                .filter(|event| event.alias.as_deref() == Some(alias))
            {
                if let Some(name) = self.name_of(&team, &event.asset) {
                    changes.push((name, event.extra.as_str().into(), Some(alias.clone())));
                }
            }
        }
        for (name, extra, alias) in changes {
            let asset = AssetKey {
                team: team.clone(),
                name,
            };
            let aliases = alias.into_iter().collect();
            self.changed(asset, extra, source.clone(), aliases, now);
        }
    }

    /// The name of an asset; one that is known by its URI alone is named by that.
    fn name_of(&self, team: &TeamName, reference: &AssetRef) -> Option<Arc<str>> {
        match reference {
            AssetRef::Name(name) => Some(name.as_str().into()),
            AssetRef::Uri(uri) => {
                let known = self.assets.uris.get(&(team.clone(), uri.clone()));
                Some(known.map_or_else(|| uri.as_str().into(), Arc::clone))
            }
            AssetRef::Alias(_) => None,
        }
    }

    /// Somebody tells of a change.
    pub(super) fn asset_told(
        &mut self,
        new: NewAssetEvent,
        reply: Reply<AssetEvent>,
        now: Timestamp,
    ) {
        if self.draining {
            drop(reply.send(Err(ControlError::ShuttingDown)));
            return;
        }
        let extra = serde_json::Value::Object(new.extra).to_string().into();
        let source = EventSource::Api { by: new.by };
        let event = self.changed(new.asset, extra, source, Vec::new(), now);
        self.pending.answer(reply, event);
    }

    pub(super) fn changed(
        &mut self,
        asset: AssetKey,
        extra: Arc<str>,
        source: EventSource,
        aliases: Vec<String>,
        now: Timestamp,
    ) -> AssetEvent {
        for alias in &aliases {
            let known = self
                .assets
                .aliases
                .entry((asset.team.clone(), alias.clone()));
            known.or_default().insert(asset.clone());
        }
        let event = AssetEvent {
            id: AssetEventId(self.keys.next(now).0),
            asset: asset.clone(),
            at: now,
            extra,
            source,
            aliases,
        };
        self.pending.asset_event(event.clone());
        self.assets.last.insert(asset.clone(), event.clone());
        self.tell_of_asset(&event);
        let waits = |(id, state): (&DagId, &super::DagState)| {
            let condition = state.live.dag.spec().asset_condition.as_ref()?;
            let reached = state.live.team == asset.team;
            let waits = reached && self.assets.mentions(condition, &asset);
            waits.then(|| (id.clone(), state.live.paused))
        };
        let mut dags: Vec<(DagId, bool)> = self.dags.iter().filter_map(waits).collect();
        dags.sort_unstable();
        for (dag, paused) in dags {
            let waiting = self.assets.waiting.entry(dag.clone()).or_default();
            waiting.events.push((event.id, asset.clone()));
            // For a paused DAG nothing is queued; its next run consumes the event nevertheless (Airflow's
            // semantics, 3.9).
            if !paused && !waiting.queued.contains_key(&asset) {
                waiting.queued.insert(asset.clone(), now);
                self.pending.queue(QueueChange {
                    dag_id: dag.clone(),
                    asset: asset.clone(),
                    queued_at: Some(now),
                });
            }
            self.answer_assets(&dag, now);
        }
        event
    }

    /// Makes a DAG's run, if what has changed meets its condition and it may have another.
    pub(super) fn answer_assets(&mut self, dag: &DagId, now: Timestamp) {
        let Some(state) = self.dags.get(dag) else {
            return;
        };
        let Some(condition) = &state.live.dag.spec().asset_condition else {
            return;
        };
        let active = state.running as usize + state.waiting.len();
        let full = active >= state.live.dag.max_active_runs() as usize;
        if state.live.paused || self.draining || full {
            return;
        }
        let met = |waiting: &&Waiting| self.assets.met(condition, &waiting.queued);
        let Some((last, _)) = self
            .assets
            .waiting
            .get(dag)
            .filter(met)
            .and_then(|w| w.events.last())
        else {
            return;
        };
        let suffix = last.0.simple().to_string();
        let suffix = suffix.get(24..).unwrap_or_default();
        let name = format!("{}__{now}_{suffix}", RunType::AssetTriggered);
        let (Ok(run_id), Ok(conf)) = (
            RunId::new(name),
            super::dags::conf(&state.live.dag, serde_json::Map::new()),
        ) else {
            return;
        };
        let Some(waiting) = self.assets.waiting.remove(dag) else {
            return;
        };
        for asset in waiting.queued.into_keys() {
            self.pending.queue(QueueChange {
                dag_id: dag.clone(),
                asset,
                queued_at: None,
            });
        }
        let wanted = Wanted {
            run_id,
            run_type: RunType::AssetTriggered,
            interval: None,
            run_after: now,
            conf,
            backfill: None,
            note: None,
        };
        let run = self.create_run(dag, wanted, now);
        let events = waiting.events.into_iter().map(|(id, _)| id);
        self.pending.consumed(run, events.collect());
    }

    /// Forgets what a DAG has queued of an asset, or of all. The events are there, and its next run consumes them
    /// with the one that makes it.
    pub(super) fn unqueue(&mut self, dag: &DagId, asset: Option<AssetKey>, reply: Reply<u32>) {
        let mut count = 0;
        if let Some(waiting) = self.assets.waiting.get_mut(dag) {
            let gone = |key: &AssetKey| asset.as_ref().is_none_or(|asset| asset == key);
            let keys: Vec<AssetKey> = waiting
                .queued
                .keys()
                .filter(|key| gone(key))
                .cloned()
                .collect();
            for key in keys {
                waiting.queued.remove(&key);
                count += 1;
                self.pending.queue(QueueChange {
                    dag_id: dag.clone(),
                    asset: key,
                    queued_at: None,
                });
            }
        }
        self.pending.answer(reply, count);
    }
}
