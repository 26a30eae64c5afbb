//! The guest that tries any attack in any phase, and how each phase is asked for one.

use airlock_grant::{Grant, Request};
use airlock_model::{
    callback::{CallbackId, CallbackKind, CallbackState},
    dag::CustomSchedule,
    id::{DagId, MapIndex, RunId, RunKey, TeamName, Token, TriggerId},
    outcome::{FailureKind, Outcome},
    port::{
        CallbackRow, CallbackRunner, CallbackSubject, CallbackWork, Poll, Polled, Poller,
        TimetableCode, TimetableFailure, Timetables, TriggerOwner, TriggerProgress, TriggerRow,
    },
    state::RunType,
    trigger::OwnTrigger,
};

use crate::{
    guests::guest,
    stage::{Bundle, Stage, grant, request},
};

/// Why an instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Parse,
    Task,
    Trigger,
    Callback,
    Timetable,
}

impl Phase {
    pub(crate) const ALL: [Self; 5] = [
        Self::Parse,
        Self::Task,
        Self::Trigger,
        Self::Callback,
        Self::Timetable,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Task => "task",
            Self::Trigger => "trigger",
            Self::Callback => "callback",
            Self::Timetable => "timetable",
        }
    }

    /// Whether it must not depend on when and where it runs.
    pub(crate) const fn is_pure(self) -> bool {
        matches!(self, Self::Parse | Self::Timetable)
    }
}

/// What came of an attack: the guest's own words, or the host's on what ended it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    Answered(String),
    Ended(String),
}

impl Came {
    pub(crate) fn answer(self) -> String {
        match self {
            Self::Answered(text) => text,
            Self::Ended(text) => panic!("it was ended: {text}"),
        }
    }
}

/// Loads the guest with this request and grant, beside what tells its parse which attack is wanted, and beside what
/// its other imports need to be linked.
pub(crate) fn load(stage: &Stage, team: &TeamName, wanted: &str, granted: &str) -> Bundle {
    let (request, grant) = with_imports(wanted, granted);
    stage
        .load(team, guest("hostile_everywhere"), &request, &grant)
        .unwrap()
}

fn with_imports(wanted: &str, granted: &str) -> (Request, Grant) {
    let phases = "phases = [\"task\", \"trigger\", \"callback\"]";
    let wanted = format!(
        "[[request.variable]]\nkey = \"attack.name\"\nphases = [\"parse\"]\n\
         [[request.connection]]\nid = \"linked\"\naccess = \"read\"\n{phases}\n\
         [[request.http]]\nurl = \"https://linked.example/*\"\n{phases}\n\
         [[request.directory]]\npath = \"linked\"\nphases = [\"task\"]\n{wanted}"
    );
    let granted = format!(
        "[[variable]]\nkey = \"attack.name\"\n[[connection]]\nid = \"linked\"\naccess = \"read\"\n\
         [[http]]\nurl = \"https://linked.example/*\"\n\
         [[directory]]\npath = \"linked\"\nhost = \"/\"\ndags = [\"no\"]\n{granted}"
    );
    (request(&wanted), grant(&granted))
}

/// Has a bundle try an attack in a phase.
pub(crate) async fn attack(stage: &Stage, bundle: &Bundle, phase: Phase, name: &str) -> Came {
    match phase {
        Phase::Parse => parse(stage, bundle, name).await,
        Phase::Task => task(stage, bundle, name).await,
        Phase::Trigger => trigger(stage, bundle, name).await,
        Phase::Callback => callback(stage, bundle, name).await,
        Phase::Timetable => timetable(stage, bundle, name).await,
    }
}

/// Has it do nothing, which must come off.
pub(crate) async fn harmless(stage: &Stage, bundle: &Bundle, phase: Phase) {
    let came = attack(stage, bundle, phase, "nothing").await;
    assert_eq!(came, Came::Answered("nothing".to_owned()), "{phase:?}");
}

async fn parse(stage: &Stage, bundle: &Bundle, name: &str) -> Came {
    let team = bundle.team.as_str();
    stage.world.set_variable(team, "attack.name", name);
    match stage.parse(bundle).await {
        Ok(parsed) => Came::Answered(parsed.dags[0].description.clone().unwrap()),
        Err(error) => Came::Ended(error.to_string()),
    }
}

fn unquoted(json: &str) -> String {
    serde_json::from_str(json).unwrap()
}

async fn task(stage: &Stage, bundle: &Bundle, name: &str) -> Came {
    match stage.run(bundle, name, &[]).await {
        Outcome::Success { xcoms, .. } => {
            let returned = xcoms.iter().find(|(key, _)| key == "return_value");
            let answer = returned.map(|(_, json)| unquoted(json));
            Came::Answered(answer.unwrap_or_else(|| "nothing".to_owned()))
        }
        Outcome::Failed(failure) => Came::Ended(failure.message),
        other => panic!("{other:?}"),
    }
}

async fn trigger(stage: &Stage, bundle: &Bundle, name: &str) -> Came {
    let names = stage.work(bundle, "", &[]);
    let trigger = TriggerRow {
        id: TriggerId(uuid::Uuid::nil()),
        owner: TriggerOwner::Task {
            key: names.key,
            token: names.token,
            run_id: names.names.run_id,
            task_id: names.names.task_id,
            map_index: MapIndex::UNMAPPED,
        },
        team: bundle.team.clone(),
        dag_id: names.names.dag_id,
        bundle: bundle.name.clone(),
        hash: bundle.hash,
        own: OwnTrigger {
            kind: name.to_owned(),
            arguments: "{}".to_owned(),
        },
        created_at: "2012-01-15".parse().unwrap(),
        progress: TriggerProgress {
            state: None,
            next_poll_at: None,
            on: Vec::new(),
            polls: 0,
            last_poll_at: None,
            cpu: std::time::Duration::ZERO,
            failures: 0,
            note: None,
        },
    };
    let token = Token::stored(1);
    match stage.sandbox.poll(Poll { trigger, token }).await.answer {
        Ok(Polled::Fired(json)) => Came::Answered(unquoted(&json)),
        Ok(other) => panic!("{other:?}"),
        Err(failure) => Came::Ended(failure.message),
    }
}

async fn callback(stage: &Stage, bundle: &Bundle, name: &str) -> Came {
    let now = "2012-01-15".parse().unwrap();
    let row = CallbackRow {
        id: CallbackId(uuid::Uuid::nil()),
        created_at: now,
        priority_weight: 1,
        kind: CallbackKind::DagSuccess,
        message: "the run has succeeded".into(),
        team: bundle.team.clone(),
        bundle: bundle.name.clone(),
        hash: bundle.hash,
        entry: name.into(),
        arguments: "{}".into(),
        subject: CallbackSubject {
            run: RunKey(uuid::Uuid::nil()),
            dag_id: DagId::new("dag").unwrap(),
            run_id: RunId::new("run").unwrap(),
            run_type: RunType::Manual,
            logical_date: None,
            attempt: None,
            deadline: None,
        },
        state: CallbackState::Running,
        tries: 1,
        next_try_at: now,
        ended_at: None,
        note: None,
    };
    let token = Token::stored(1);
    let failure = stage.sandbox.call(CallbackWork { row, token }).await;
    let failure = failure.unwrap_err();
    match failure.kind {
        FailureKind::Final => Came::Answered(failure.message),
        _ => Came::Ended(failure.message),
    }
}

async fn timetable(stage: &Stage, bundle: &Bundle, name: &str) -> Came {
    let code = TimetableCode {
        team: bundle.team.clone(),
        bundle: bundle.name.clone(),
        hash: bundle.hash,
        schedule: CustomSchedule {
            entry: name.to_owned(),
            arguments: "{}".to_owned(),
            description: String::new(),
        },
    };
    let at = "2012-01-15".parse().unwrap();
    match stage.sandbox.manual_interval(&code, at).await {
        Err(TimetableFailure::Refused(text)) => Came::Answered(text),
        Err(other) => Came::Ended(other.to_string()),
        Ok(covered) => panic!("{covered:?}"),
    }
}
