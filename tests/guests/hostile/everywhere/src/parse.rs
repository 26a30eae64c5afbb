//! What a parse gives: the attack's answer, the victim's DAGs, or the DAGs through which the other phases are asked.

use crate::{
    Phase, attack,
    generated::{
        airlock::bundle::{
            definitions::{
                Asset, Callback, CallbackKind, ConditionNode, CustomTimetable, Dag, Error, Group,
                Parsed, Role, Schedule, Task, TriggerRule, WeightRule,
            },
            units::{AssetRef, Location},
        },
        airlock::capability::variables,
        exports::airlock::bundle::tasks::{Downstream, Outcome, Success},
    },
};

/// What a timetable can be asked to try: it is asked through a DAG of its own.
const TIMETABLES: &[&str] = &[
    "neighbour.files",
    "neighbour.names",
    "neighbour.api",
    "neighbour.xcom",
    "neighbour.daemon",
    "neighbour.kill",
    "neighbour.exit",
    "cpu.loop",
    "memory.huge",
    "escapes.everywhere",
];

pub(crate) const fn success(return_value: Option<String>) -> Outcome {
    Outcome::Success(Success {
        return_value,
        downstream: Downstream::Free,
        outlet_events: Vec::new(),
    })
}

pub(crate) fn task(task_id: &str, entry: &str) -> Task {
    Task {
        task_id: task_id.to_owned(),
        entry: entry.to_owned(),
        arguments: Vec::new(),
        upstream: Vec::new(),
        trigger_rule: TriggerRule::AllSuccess,
        retries: 0,
        retry_delay: 0,
        retry_exponential_backoff: 0.0,
        max_retry_delay: None,
        execution_timeout: None,
        pool: None,
        pool_slots: 1,
        priority_weight: 1,
        weight_rule: WeightRule::Downstream,
        group: None,
        mapping: None,
        role: Role::Work,
        depends_on_past: false,
        wait_for_downstream: false,
        ignore_first_depends_on_past: true,
        max_active_tis_per_dag: None,
        max_active_tis_per_dagrun: None,
        inlets: Vec::new(),
        outlets: Vec::new(),
        callbacks: Vec::new(),
        doc: None,
        location: None,
    }
}

pub(crate) fn dag(dag_id: &str, tasks: Vec<Task>) -> Dag {
    Dag {
        dag_id: dag_id.to_owned(),
        description: None,
        schedule: Schedule::None,
        start_date: None,
        end_date: None,
        catchup: false,
        max_active_runs: None,
        max_active_tasks: None,
        dagrun_timeout: None,
        tags: Vec::new(),
        owners: Vec::new(),
        params: Vec::new(),
        fail_fast: false,
        max_consecutive_failed_dag_runs: 0,
        assets: Vec::new(),
        asset_condition: Vec::new(),
        callbacks: Vec::new(),
        deadlines: Vec::new(),
        groups: Vec::new(),
        tasks,
        location: None,
    }
}

fn callback(on: CallbackKind) -> Callback {
    Callback {
        on,
        entry: "callback".to_owned(),
        arguments: "{}".to_owned(),
    }
}

/// The DAGs whose runs are attacks.
fn attacks() -> Vec<Dag> {
    let asked = |name: &str| {
        let mut timetabled = dag(
            &format!("asked_{}", name.replace('.', "_")),
            vec![task("nothing", "nothing")],
        );
        timetabled.schedule = Schedule::Custom(CustomTimetable {
            entry: name.to_owned(),
            arguments: "{}".to_owned(),
            description: "an attack".to_owned(),
        });
        timetabled
    };
    let mut all: Vec<Dag> = TIMETABLES.iter().map(|name| asked(name)).collect();
    let mut tell = task("task", "task");
    tell.outlets = vec![AssetRef::Name(crate::victim::ASSET.to_owned())];
    let mut told = dag("attack_task", vec![tell]);
    told.assets = vec![asset()];
    all.push(told);
    all.push(dag("attack_trigger", vec![task("trigger", "trigger")]));
    let mut retried = task("retry", "retry");
    retried.retries = 1_000_000;
    all.push(dag("attack_retry", vec![retried]));
    let mut heard = dag("attack_callback", vec![task("nothing", "nothing")]);
    heard.callbacks = vec![callback(CallbackKind::DagSuccess)];
    all.push(heard);
    all.extend(crate::bombs::dags());
    all
}

fn asset() -> Asset {
    Asset {
        name: crate::victim::ASSET.to_owned(),
        uri: None,
        group: None,
        extra: None,
        watchers: Vec::new(),
    }
}

/// A DAG with a secret, and one that listens to the first one's asset.
fn victims() -> Vec<Dag> {
    let mut keeps = dag(crate::victim::DAG, vec![task("keeps", "victim")]);
    keeps.assets = vec![asset()];
    keeps.description = variables::get("note").ok().flatten();
    let mut listens = dag("victim_listens", vec![task("nothing", "nothing")]);
    listens.assets = vec![asset()];
    listens.asset_condition = vec![ConditionNode::Of(AssetRef::Name(
        crate::victim::ASSET.to_owned(),
    ))];
    vec![keeps, listens]
}

/// A DAG that has hostile words wherever it may have words; or, where a name may not hold them, such a name.
fn named(attack: &str) -> Dag {
    let text = || crate::escapes::TEXT.to_owned();
    let markup = || crate::escapes::MARKUP.to_owned();
    let mut work = task("work", "nothing");
    work.doc = Some(text());
    let mut told = dag("told_names", vec![work]);
    told.description = Some(text());
    told.tags = vec![text()];
    told.owners = vec![text()];
    told.schedule = Schedule::Custom(CustomTimetable {
        entry: text(),
        arguments: "{}".to_owned(),
        description: text(),
    });
    told.assets = vec![Asset {
        name: markup(),
        group: Some(markup()),
        ..asset()
    }];
    told.location = Some(Location {
        file: text(),
        line: 1,
    });
    told.groups = vec![Group {
        group_id: "group".to_owned(),
        parent: None,
        mapping: Vec::new(),
        doc: Some(text()),
        location: None,
    }];
    match attack {
        "names_asset" => {
            told.assets = vec![Asset {
                name: text(),
                ..asset()
            }];
        }
        "names_task" => told.tasks = vec![task(&text(), "nothing")],
        "names_dag" => told.dag_id = text(),
        _ => {}
    }
    told
}

pub(crate) fn parse() -> Parsed {
    let dags = match variables::get("attack.name") {
        Ok(Some(name)) if name == "victim" => victims(),
        Ok(Some(name)) if name == "hijack" => {
            let mut hijacked = dag(crate::victim::DAG, vec![task("task", "task")]);
            hijacked.description = Some("hijacked".to_owned());
            vec![hijacked]
        }
        Ok(Some(name)) if name == "bomb" => vec![crate::bombs::literal()],
        Ok(Some(name)) if name.starts_with("names") => vec![named(&name)],
        Ok(Some(name)) if name == "error" => {
            let error = Error {
                dag_id: Some("told".to_owned()),
                message: crate::escapes::TEXT.to_owned(),
                location: None,
            };
            return Parsed {
                dags: Vec::new(),
                errors: vec![error],
            };
        }
        Ok(Some(name)) => {
            let dag_id = format!("told_{}", name.replace('.', "_"));
            let mut told = dag(&dag_id, vec![task("nothing", "nothing")]);
            told.description = Some(attack(Phase::Parse, &name));
            vec![told]
        }
        _ => attacks(),
    };
    Parsed {
        dags,
        errors: Vec::new(),
    }
}
