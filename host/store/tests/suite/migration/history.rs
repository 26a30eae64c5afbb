//! What the first schema's program was given to keep.

use airlock_model::{
    connection::Pool,
    dag::{AssetCondition, AssetRef, AssetSpec},
    id::*,
    outcome::{Downstream, FailureKind, Limit},
    port::*,
    state::{Reprocess, RunState, RunType, TaskState},
};
use airlock_store::PastTry;
use uuid::Uuid;

use crate::fixture::*;

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number)
}

pub(super) fn stored_dag() -> StoredDag {
    let mut spec = spec("weather");
    // A NUL becomes another character in some columns.
    spec.description = Some("for people \u{1b}[31m".into());
    spec.tags = vec!["wet".into()];
    spec.assets = vec![AssetSpec {
        name: "rain".into(),
        uri: Some("s3://rain".into()),
        group: Some("water".into()),
        extra: Some("{\"owner\": \"ä\"}".into()),
        watchers: Vec::new(),
    }];
    spec.asset_condition = Some(AssetCondition::Of(AssetRef::Name("rain".into())));
    StoredDag {
        dag_id: dag_id("weather"),
        team: team("default"),
        bundle: bundle("weather"),
        hash: hash(1),
        spec,
        is_paused: true,
        is_stale: false,
        last_parsed: at(77),
    }
}

/// Of the DAG's definition as it was when the runs began: the text may say more today.
pub(super) const DEFINITION: &str =
    "e8d82201a867d5e4e9ed483915a750f6160a07f3ff5b3b20ff38fcba7901c147";

/// Two runs as they were made: one that ends, and one that does not.
pub(super) fn runs() -> [NewRun; 2] {
    [1_u8, 2].map(|number| {
        let mut run = new_run("weather", i64::from(number), 3);
        let key = RunKey(uuid(u128::from(number)));
        run.run.key = key;
        run.run.definition = DEFINITION.parse().unwrap();
        run.run.conf = "{\"city\": \"☔ 'quoted'\"}".into();
        run.run.note = Some("first".into());
        for task in &mut run.tasks {
            task.run = key;
            task.pool_slots = 2;
            task.priority = -7;
        }
        run
    })
}

/// What became of them.
pub(super) fn runs_now() -> [NewRun; 2] {
    let [mut ended, mut running] = runs();
    ended.run.state = RunState::Success;
    ended.run.started_at = Some(at(12));
    ended.run.ended_at = Some(at(90));
    ended.run.backfill = Some(BackfillId(1));
    ended.run.run_type = RunType::Backfill;
    running.run.state = RunState::Running;
    running.run.ends_as = Some(RunState::Failed);
    running.run.started_at = Some(at(13));
    let done = TaskFields {
        state: Some(TaskState::Success),
        try_number: 1,
        max_tries: 3,
        token: Token::stored(1),
        queued_at: Some(at(10)),
        started_at: Some(at(11)),
        first_started_at: Some(at(11)),
        ended_at: Some(at(20)),
        ..TaskFields::untouched()
    };
    ended.tasks[0].fields = TaskFields {
        downstream: Some(std::sync::Arc::new(Downstream::Follow(vec![
            "task_1".into(),
        ]))),
        ..done.clone()
    };
    ended.tasks[1].fields = TaskFields {
        try_number: 2,
        token: Token::stored(2),
        ..done.clone()
    };
    ended.tasks[2].fields = TaskFields {
        state: Some(TaskState::Failed),
        note: Some("it took too much".into()),
        failure: Some(FailureKind::Limit(Limit::Memory)),
        ..done.clone()
    };
    running.tasks[0].fields = TaskFields {
        state: Some(TaskState::UpForReschedule),
        next_try_at: Some(at(500)),
        ..done
    };
    [ended, running]
}

pub(super) fn past_try() -> PastTry {
    PastTry {
        try_number: 1,
        token: Token::stored(1),
        state: TaskState::Failed,
        queued_at: Some(at(10)),
        started_at: None,
        ended_at: at(15),
        note: Some("no answer".into()),
        failure: Some(FailureKind::Error),
    }
}

pub(super) fn progress() -> DagProgress {
    DagProgress {
        dag_id: dag_id("weather"),
        last_interval: (at(1), at(2)),
        last_run_after: at(3),
    }
}

pub(super) fn xcoms(run: &NewRun) -> Vec<XcomWrite> {
    let of = |task, name: &str, value: &str, length| XcomWrite {
        key: key(run, task),
        name: name.into(),
        value: Some(value.into()),
        spilled: None,
        length,
        at: at(20),
    };
    vec![
        of(0, RETURN_VALUE, "[1, 2, 3]", Some(3)),
        of(1, "it's", "{\"a\": \"☔\"}", None),
    ]
}

pub(super) fn backfill(run: &NewRun) -> (Backfill, Vec<BackfillRun>) {
    let backfill = Backfill {
        id: BackfillId(1),
        dag_id: dag_id("weather"),
        team: team("default"),
        from: at(1),
        to: at(9),
        reprocess: Reprocess::Completed,
        reverse: true,
        max_active_runs: 4,
        conf: "{}".into(),
        is_paused: true,
        created_at: at(6),
        completed_at: Some(at(91)),
    };
    let row = |ordinal, run, skipped: Option<&str>| BackfillRun {
        backfill: backfill.id,
        ordinal,
        logical_date: at(i64::from(ordinal)),
        interval: (at(1), at(2)),
        run,
        skipped: skipped.map(Into::into),
    };
    let rows = vec![
        row(1, Some(run.run.key), None),
        row(2, None, Some("it runs")),
    ];
    (backfill, rows)
}

pub(super) fn rain() -> AssetKey {
    AssetKey {
        team: team("default"),
        name: "rain".into(),
    }
}

pub(super) fn asset_events(run: &NewRun) -> Vec<AssetEvent> {
    let event = |number: u8, source| AssetEvent {
        id: AssetEventId(uuid(100 + u128::from(number))),
        asset: rain(),
        at: at(29 + i64::from(number)),
        extra: "{\"mm\": 4}".into(),
        source,
        aliases: Vec::new(),
    };
    let task = EventSource::Task {
        dag_id: run.run.dag_id.clone(),
        run_id: run.run.run_id.clone(),
        task_id: run.tasks[0].task_id.clone(),
        map_index: MapIndex(4),
    };
    let mut events = vec![
        event(1, task),
        event(2, EventSource::Api { by: "ada".into() }),
    ];
    events[0].aliases = vec!["any rain".into()];
    events
}

pub(super) fn queued() -> QueueChange {
    QueueChange {
        dag_id: dag_id("weather"),
        asset: rain(),
        queued_at: Some(at(31)),
    }
}

pub(super) fn queue_change(row: QueueRow) -> QueueChange {
    QueueChange {
        dag_id: row.dag_id,
        asset: row.asset,
        queued_at: Some(row.queued_at),
    }
}

pub(super) fn import_error() -> ImportError {
    ImportError {
        team: team("default"),
        bundle: bundle("weather"),
        hash: Some(hash(1)),
        dag_id: Some("storm".into()),
        code: "AL-0310".into(),
        message: "it has a cycle".into(),
        at: at(77),
    }
}

pub(super) fn version() -> BundleVersion {
    BundleVersion {
        bundle: bundle("weather"),
        team: team("default"),
        hash: hash(1),
        version: "1.0.0".into(),
        created_at: at(70),
        active: true,
    }
}

pub(super) fn parse_key() -> ParseKey {
    ParseKey {
        hash: hash(1),
        inputs: hash(3),
    }
}

pub(super) fn parse_result() -> ParseResult {
    ParseResult {
        dags: vec![stored_dag().spec],
        errors: Vec::new(),
    }
}

pub(super) fn variable() -> SealedVariable {
    SealedVariable {
        scope: Scope::Global,
        key: VariableKey::new("city").unwrap(),
        sealed: vec![0, 255, 1],
        description: None,
    }
}

pub(super) fn connection() -> SealedConnection {
    SealedConnection {
        scope: Scope::Global,
        id: ConnectionId::new("bank").unwrap(),
        conn_type: "http".into(),
        description: Some("for people".into()),
        host: Some("db.example".into()),
        port: Some(u16::MAX),
        login: None,
        schema: None,
        sealed: vec![7; 40],
    }
}

pub(super) fn pool() -> Pool {
    Pool {
        scope: Scope::Global,
        name: PoolName::new("narrow").unwrap(),
        slots: 3,
        description: Some("for people".into()),
        include_deferred: true,
    }
}
