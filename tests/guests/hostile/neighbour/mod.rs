//! What code of one team could do to another in a scheduler whose teams share processes, files and a database.

use std::{env, fs, process::Command, thread};

use wasip2::http::types::Scheme;

use crate::{
    ask,
    generated::{
        airlock::bundle::{
            units::AssetRef,
            waits::{HostEvent, RunEvent, RunRef, TaskEvent, Trigger},
        },
        exports::airlock::bundle::{
            tasks::{Deferral, Downstream, Outcome, OutletEvent, Success},
            triggers::{Pause, Polled},
        },
    },
    victim,
};

/// What never ends; its runs are counted behind it.
const AGAIN: &str = "neighbour.again";
/// What waits without end.
const DEFER: &str = "neighbour.defer";
/// Where the host listens, and this team may call.
const API: &str = "127.0.0.1:18191";

/// Tries to read, and tells the error or the text.
fn read(path: &str) -> String {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// The other team's files and the host's: bundles, logs, the database, keys, environments, memories. The home folder
/// and the other bundle's path are asked for by the names that a host on this machine has for them.
fn files() -> String {
    let mut told = vec![format!("env {}", env::vars().count())];
    // Where they really are, as somebody may have told.
    let paths = ask::variable("paths");
    if paths.lines().count() > 5 {
        told.push("told where".to_owned());
    }
    for path in paths.lines() {
        told.push(read(path));
        told.push(read(path.trim_start_matches('/')));
        told.push(ask::file(
            fs::write(path, "overwritten").map(|()| "written"),
        ));
    }
    let homes = [
        "/home",
        "/root/.airlock",
        ".airlock",
        ".",
        "/tmp",
        "/home/airlock",
    ];
    let names = [
        "airlock.toml",
        "airlock.db",
        "token",
        "keys",
        "host.log",
        "logs",
        "content",
        "hostile_everywhere.wasm",
    ];
    for home in homes {
        for name in names {
            told.push(read(&format!("{home}/{name}")));
        }
    }
    for id in ["self", "1", "2", "thread-self"] {
        for name in [
            "environ",
            "mem",
            "maps",
            "cmdline",
            "cwd/airlock.toml",
            "root/etc/passwd",
            "fd/3",
        ] {
            told.push(read(&format!("/proc/{id}/{name}")));
        }
    }
    for folder in ["/", "/proc", "/tmp", "/home", ".", ".."] {
        let seen = fs::read_dir(folder).map(|all| all.count().to_string());
        told.push(ask::file(seen));
    }
    for place in [
        "/tmp/victim.wasm",
        "victim.wasm",
        "/etc/passwd",
        "airlock.toml",
    ] {
        told.push(ask::file(
            fs::write(place, "overwritten").map(|()| "written"),
        ));
    }
    said(told)
}

/// Each answer once, in the order in which it came.
fn said(told: Vec<String>) -> String {
    let mut once: Vec<String> = Vec::new();
    for answer in told {
        if !once.contains(&answer) {
            once.push(answer);
        }
    }
    once.join("|")
}

/// The other team's connection, variable and directory, by every name that might mean them.
fn names() -> String {
    let mut told = Vec::new();
    for name in [
        "bank",
        "alpha:bank",
        "alpha/bank",
        "alpha.bank",
        "../alpha/bank",
        "AIRFLOW_CONN_BANK",
        "bank\u{0}",
        "BANK",
        "%62ank",
        "bank' OR '1'='1",
        "*",
        "",
    ] {
        told.push(ask::connection(name));
        told.push(ask::variable(name));
        told.push(ask::directory(name));
    }
    for name in [
        "AIRLOCK_MASTER_KEY",
        "sql_alchemy_conn",
        "secret_key",
        "fernet_key",
        "jwt_secret",
        "token",
    ] {
        told.push(ask::connection(name));
        told.push(ask::variable(name));
    }
    said(told)
}

/// The host's own API, with no token, a guessed one and forged ones; at the address that this team may call.
fn api() -> String {
    // `{"alg":"none"}` and an administrator's claims.
    let forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIiwicm9sZSI6IkFkbWluIn0.";
    let mut told = Vec::new();
    for token in [None, Some(""), Some("admin"), Some(forged)] {
        for path in [
            "/api/v2/connections/bank",
            "/api/v2/variables",
            "/api/v2/dags/victim/dagRuns",
            "/execution/variables/secret",
            "/metrics",
        ] {
            let answer = ask::http(Scheme::Http, API, path, token);
            told.push(answer.split(' ').next().unwrap_or_default().to_owned());
        }
    }
    for server in [
        "127.0.0.1:8080",
        "localhost",
        "[::1]:8080",
        "169.254.169.254",
        "0.0.0.0",
        "2130706433",
    ] {
        told.push(ask::http(Scheme::Http, server, "/", None));
    }
    said(told)
}

/// The other team's XComs, in every run that has a name that can be known.
fn xcom() -> String {
    let mut told = Vec::new();
    for dag in [
        victim::DAG,
        "alpha:victim",
        "alpha/victim",
        "../alpha/victim",
    ] {
        for run in ["known", "manual__known", "../known", ""] {
            told.push(ask::pull(dag, run, "keeps"));
        }
    }
    said(told)
}

/// Something that goes on when the call has ended.
fn daemon() -> String {
    let mut told = Vec::new();
    for program in ["/bin/sh", "sh", "/proc/self/exe", "airlock"] {
        let spawned = Command::new(program).arg("-c").arg("sleep 1000").spawn();
        told.push(ask::file(spawned.map(|_| "spawned")));
    }
    let begun = thread::Builder::new().spawn(|| {
        loop {
            std::hint::black_box(());
        }
    });
    told.push(ask::file(begun.map(|_| "begun")));
    said(told)
}

pub(crate) fn attack(which: &str) -> String {
    match which {
        "files" => files(),
        "names" => names(),
        "api" => api(),
        "xcom" => xcom(),
        "daemon" => daemon(),
        "kill" => {
            for id in ["self", "1"] {
                drop(fs::write(format!("/proc/{id}/oom_score_adj"), "1000"));
                drop(fs::write(format!("/proc/{id}/mem"), "\0"));
            }
            std::process::abort()
        }
        "exit" => std::process::exit(0),
        other => format!("there is no neighbour `{other}`"),
    }
}

fn run(dag_id: &str) -> RunEvent {
    RunEvent {
        dag_id: dag_id.to_owned(),
        run: RunRef::RunId("known".to_owned()),
        states: vec![
            "success".to_owned(),
            "failed".to_owned(),
            "running".to_owned(),
        ],
    }
}

fn events() -> [HostEvent; 3] {
    let RunEvent {
        dag_id,
        run: of,
        states,
    } = run(victim::DAG);
    [
        HostEvent::DagRun(run(victim::DAG)),
        HostEvent::Asset(AssetRef::Name(victim::ASSET.to_owned())),
        HostEvent::TaskInstance(TaskEvent {
            dag_id,
            run: of,
            task_id: "keeps".to_owned(),
            map_index: -1,
            states,
        }),
    ]
}

/// A wait that is over at once, and then the next, without end.
pub(crate) fn deferred(name: &str) -> Option<Outcome> {
    name.starts_with(DEFER).then(|| {
        Outcome::Deferred(Deferral {
            trigger: Trigger::Duration(0),
            method: "again".to_owned(),
            arguments: "{}".to_owned(),
            timeout: None,
        })
    })
}

/// What a task answers that wants the host to do something for it; none for what it tries itself.
pub(crate) fn outcome(name: &str) -> Option<Outcome> {
    let [of_run, of_asset, of_task] = events();
    let event = match name {
        "neighbour.hear_run" => of_run,
        "neighbour.hear_asset" => of_asset,
        "neighbour.hear_task" => of_task,
        // A change of the other team's asset, so that its DAG runs.
        "neighbour.run" => {
            let event = OutletEvent {
                asset: AssetRef::Name(victim::ASSET.to_owned()),
                alias: None,
                extra: "{}".to_owned(),
            };
            return Some(Outcome::Success(Success {
                return_value: None,
                downstream: Downstream::Free,
                outlet_events: vec![event],
            }));
        }
        // A task that waits for nothing, again and again.
        again if again.starts_with(AGAIN) => return Some(Outcome::Rescheduled(0)),
        _ => return None,
    };
    Some(Outcome::Deferred(Deferral {
        trigger: Trigger::Host(event),
        method: "goes on".to_owned(),
        arguments: "{}".to_owned(),
        timeout: Some(1_500_000),
    }))
}

/// What a trigger answers that listens to the other team, and tells at the next poll whether it heard something.
pub(crate) fn polled(name: &str, state: Option<&str>) -> Option<Polled> {
    match (name, state) {
        // A trigger that wants the next poll at once, for ever.
        (again, _) if again.starts_with(AGAIN) => Some(Polled::Waiting(Pause {
            state: "{}".to_owned(),
            until: Some(0),
            on: Vec::new(),
        })),
        ("neighbour.hear", None) => Some(Polled::Waiting(Pause {
            state: "\"listening\"".to_owned(),
            until: None,
            on: events().into(),
        })),
        ("neighbour.hear", Some(_)) => Some(Polled::Fired("\"heard\"".to_owned())),
        _ => None,
    }
}
