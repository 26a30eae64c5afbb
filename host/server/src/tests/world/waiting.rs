//! What waits and what reacts: a deferred task's trigger of `weather` and a watcher of `ledger`'s team, callbacks in
//! three states, two deadlines.

use std::{sync::Arc, time::Duration};

use airlock_model::{
    callback::{CallbackId, CallbackKind, CallbackState},
    dag::AssetRef,
    id::{
        BundleName, DagId, HostId, MapIndex, RunId, RunKey, TaskId, TaskIndex, TaskInstanceKey,
        TeamName, Token, TriggerId,
    },
    port::*,
    state::RunType,
    time::Timestamp,
    trigger::{HostEvent, OwnTrigger},
};
use async_trait::async_trait;

use super::{RUN, World, at, hash, part, team, uuid};

/// The id of the thing of this number.
pub(in crate::tests) fn id(number: u8) -> String {
    uuid(number).to_string()
}

fn trigger(number: u8, owner: TriggerOwner, dag: &str, of: &str) -> TriggerRow {
    TriggerRow {
        id: TriggerId(uuid(number)),
        owner,
        team: team(of),
        dag_id: DagId::new(dag).unwrap(),
        bundle: BundleName::new(dag).unwrap(),
        hash: hash(),
        own: OwnTrigger {
            kind: "arrived".into(),
            arguments: r#"{"station":3}"#.into(),
        },
        created_at: at("2024-01-01"),
        progress: TriggerProgress {
            polls: 7,
            last_poll_at: Some(at("2024-01-02")),
            cpu: Duration::from_millis(1500),
            ..TriggerProgress::unpolled(at("2024-01-03"))
        },
    }
}

fn callback(number: u8, state: CallbackState, dag: &str, of: &str) -> CallbackRow {
    CallbackRow {
        id: CallbackId(uuid(number)),
        created_at: at("2024-01-01"),
        priority_weight: 2,
        kind: CallbackKind::TaskFailure,
        message: "`observe` failed".into(),
        team: team(of),
        bundle: BundleName::new(dag).unwrap(),
        hash: hash(),
        entry: "tell".into(),
        arguments: "not JSON".into(),
        subject: CallbackSubject {
            run: RunKey(uuid(1)),
            dag_id: DagId::new(dag).unwrap(),
            run_id: RunId::new(RUN).unwrap(),
            run_type: RunType::Manual,
            logical_date: None,
            attempt: Some(CallbackTry {
                task_id: TaskId::new("observe").unwrap(),
                map_index: MapIndex::UNMAPPED,
                try_number: 2,
                max_tries: 2,
            }),
            deadline: None,
        },
        state,
        tries: 5,
        next_try_at: at("2024-01-02"),
        ended_at: Some(at("2024-01-01")),
        note: Some("\u{1b}[31mno".into()),
    }
}

pub(super) fn fill(world: &World) {
    let task = TriggerOwner::Task {
        key: TaskInstanceKey {
            run: RunKey(uuid(1)),
            task: TaskIndex(0),
            map_index: MapIndex::UNMAPPED,
        },
        token: Token::stored(1),
        run_id: RunId::new(RUN).unwrap(),
        task_id: TaskId::new("observe").unwrap(),
        map_index: MapIndex::UNMAPPED,
    };
    let watcher = TriggerOwner::Watcher {
        asset: "books".into(),
        name: "inbox".into(),
    };
    let mut rows = vec![
        trigger(1, task, "weather", "default"),
        trigger(2, watcher, "ledger", "payments"),
    ];
    rows[0].progress.state = Some("[1]".into());
    rows[0].progress.next_poll_at = None;
    rows[0].progress.on = vec![HostEvent::Asset(AssetRef::Name("rain".into()))];
    rows[1].progress.failures = 3;
    rows[1].progress.note = Some("no answer".into());
    *world.triggers.lock().unwrap() = rows;

    let mut rows = vec![
        callback(1, CallbackState::Failed, "weather", "default"),
        callback(2, CallbackState::Pending, "weather", "default"),
        callback(3, CallbackState::Success, "ledger", "payments"),
    ];
    rows[2].kind = CallbackKind::Deadline;
    rows[2].subject.attempt = None;
    rows[2].subject.deadline = Some(("by noon".into(), at("2024-01-01")));
    let deadline = |request: &CallbackRow, missed| DeadlineRow {
        run: request.subject.run,
        name: "by noon".into(),
        at: at("2024-01-01"),
        missed_at: missed,
        request: Arc::new(request.clone()),
    };
    *world.deadlines.lock().unwrap() = vec![
        deadline(&rows[2], Some(at("2024-01-02"))),
        deadline(&rows[1], None),
    ];
    *world.callbacks.lock().unwrap() = rows;
}

#[async_trait]
impl TriggerStore for World {
    async fn claim_triggers(
        &self,
        _: (HostId, Timestamp),
        _: Timestamp,
        _: u32,
        _: u32,
    ) -> Result<Vec<(TriggerRow, Lease)>, StoreError> {
        unreachable!("the API polls nothing")
    }
    async fn polled(
        &self,
        _: &[(TriggerId, Lease, TriggerProgress)],
    ) -> Result<Vec<TriggerId>, StoreError> {
        unreachable!("the API polls nothing")
    }
    async fn renew_triggers(&self, _: HostId, _: Timestamp) -> Result<(), StoreError> {
        unreachable!("the API polls nothing")
    }
    async fn next_trigger_due(&self) -> Result<Option<Timestamp>, StoreError> {
        unreachable!("the API polls nothing")
    }
    async fn wake_triggers(&self, _: &[TriggerId], _: Timestamp) -> Result<(), StoreError> {
        unreachable!("the API wakes nothing")
    }
    async fn trigger(&self, id: TriggerId) -> Result<Option<TriggerRow>, StoreError> {
        self.called();
        let rows = self.triggers.lock().unwrap();
        Ok(rows.iter().find(|row| row.id == id).cloned())
    }
    async fn triggers(
        &self,
        filter: &TriggerFilter,
        page: Page,
    ) -> Result<Paged<TriggerRow>, StoreError> {
        self.called();
        let mut rows = self.triggers.lock().unwrap().clone();
        rows.retain(|row| {
            let watches = matches!(row.owner, TriggerOwner::Watcher { .. });
            filter.team.as_ref().is_none_or(|team| row.team == *team)
                && filter.dag_id.as_ref().is_none_or(|dag| row.dag_id == *dag)
                && filter.watchers.is_none_or(|wanted| wanted == watches)
                && (!filter.failing || row.progress.failures > 0)
        });
        Ok(part(rows, page))
    }
}

#[async_trait]
impl CallbackStore for World {
    async fn claim_callbacks(
        &self,
        _: (HostId, Timestamp),
        _: Timestamp,
        _: u32,
        _: u32,
    ) -> Result<Vec<(CallbackRow, Lease)>, StoreError> {
        unreachable!("the API runs nothing")
    }
    async fn callbacks_ended(
        &self,
        _: &[(CallbackId, Lease, Timestamp, CallbackEnd)],
    ) -> Result<Vec<CallbackId>, StoreError> {
        unreachable!("the API runs nothing")
    }
    async fn renew_callbacks(&self, _: HostId, _: Timestamp) -> Result<(), StoreError> {
        unreachable!("the API runs nothing")
    }
    async fn next_callback_due(&self) -> Result<Option<Timestamp>, StoreError> {
        unreachable!("the API runs nothing")
    }
    async fn retry_callback(&self, _: CallbackId, _: Timestamp) -> Result<bool, StoreError> {
        unreachable!("the API asks the scheduler")
    }
    async fn callback(&self, id: CallbackId) -> Result<Option<CallbackRow>, StoreError> {
        self.called();
        let rows = self.callbacks.lock().unwrap();
        Ok(rows.iter().find(|row| row.id == id).cloned())
    }
    async fn callback_counts(&self) -> Result<Vec<(TeamName, CallbackState, u64)>, StoreError> {
        self.called();
        Ok(vec![
            (team("default"), CallbackState::Pending, 1),
            (team("default"), CallbackState::Failed, 1),
            (team("gone"), CallbackState::Failed, 1),
        ])
    }
    async fn callbacks(
        &self,
        filter: &CallbackFilter,
        page: Page,
    ) -> Result<Paged<CallbackRow>, StoreError> {
        self.called();
        let mut rows = self.callbacks.lock().unwrap().clone();
        rows.reverse();
        rows.retain(|row| {
            let dag_id = &row.subject.dag_id;
            filter.team.as_ref().is_none_or(|team| row.team == *team)
                && filter.dag_id.as_ref().is_none_or(|dag| dag_id == dag)
                && (filter.states.is_empty() || filter.states.contains(&row.state))
        });
        Ok(part(rows, page))
    }
}

#[async_trait]
impl DeadlineStore for World {
    async fn deadlines_ahead(&self) -> Result<Vec<DeadlineRow>, StoreError> {
        unreachable!("the API has no timers")
    }
    async fn deadlines(
        &self,
        filter: &DeadlineFilter,
        page: Page,
    ) -> Result<Paged<DeadlineRow>, StoreError> {
        self.called();
        let mut rows = self.deadlines.lock().unwrap().clone();
        rows.retain(|row| {
            let dag_id = &row.request.subject.dag_id;
            filter
                .team
                .as_ref()
                .is_none_or(|team| row.request.team == *team)
                && filter.dag_id.as_ref().is_none_or(|dag| dag_id == dag)
                && filter
                    .missed
                    .is_none_or(|missed| row.missed_at.is_some() == missed)
        });
        Ok(part(rows, page))
    }
}
