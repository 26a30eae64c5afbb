//! Tasks that try to take more than they may. The entry says which attack it is; the arguments, what for.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use hostile_raw::{
    airlock::{
        bundle::{definitions::Parsed, units::AssetRef},
        capability::{
            connections, directories, errors,
            log::{self, Level, Line},
            variables,
            xcom::{self, Address},
        },
    },
    dag,
    exports::airlock::bundle::{dags, tasks},
    parsed, success, task,
};

/// Every entry that needs no argument.
const ATTACKS: &[&str] = &[
    "busy",
    "grow",
    "recurse",
    "recurse_in_memory",
    "flood_log",
    "flood_print",
    "push_huge",
    "push_many",
    "return_huge",
    "not_json",
    "panic",
    "exit",
    "huge_string",
    "sleep",
    "open_many",
];

struct Attack;

impl dags::Guest for Attack {
    fn parse() -> Parsed {
        let one = |name: &&str| dag(&format!("hostile_{name}"), vec![task(name, name, &[])]);
        parsed(ATTACKS.iter().map(one).collect())
    }
}

/// How often this instance's memory has been used.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// Recursion that fills the machine's stack: nothing of it lies in the guest's memory.
fn recurse(depth: u64) -> u64 {
    match depth {
        u64::MAX => 0,
        _ => recurse(depth + 1).wrapping_mul(31) ^ depth,
    }
}

/// Recursion that fills the guest's own stack, which lies in its memory.
fn recurse_in_memory(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if frame[5] == u64::MAX {
        return 0;
    }
    frame[3] + recurse_in_memory(depth + 1) + std::hint::black_box(frame[7])
}

fn line(message: &str) -> Line {
    Line {
        level: Level::Info,
        target: "hostile".to_owned(),
        message: message.to_owned(),
        file: None,
        line: None,
    }
}

fn word(error: &errors::Error) -> &'static str {
    match error {
        errors::Error::Denied(_) => "denied",
        errors::Error::Invalid(_) => "invalid",
        errors::Error::Limit(_) => "limit",
        errors::Error::Unavailable(_) => "unavailable",
    }
}

fn told<T: std::fmt::Debug>(result: Result<T, errors::Error>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => word(&error).to_owned(),
    }
}

fn file_told(result: std::io::Result<String>) -> String {
    result.unwrap_or_else(|error| format!("{:?}", error.kind()))
}

fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out + "\""
}

/// A JSON text's own text, without escapes: enough for what the tests hand over.
fn plain(json: &str) -> &str {
    json.trim_matches('"')
}

fn attack(entry: &str, arguments: &[String]) -> Option<String> {
    let argument = arguments.first().map_or("", |json| plain(json));
    let text = match entry {
        "nothing" => return None,
        "echo" => return arguments.first().cloned(),
        "busy" => loop {
            std::hint::black_box(());
        },
        "grow" => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1_u8; 1 << 20]);
                std::hint::black_box(&held);
            }
        }
        "recurse" => recurse(arguments.len() as u64).to_string(),
        "recurse_in_memory" => recurse_in_memory(0).to_string(),
        "flood_log" => {
            for number in 0..1_000_000 {
                log::write(&line(&format!("line {number}")));
            }
            "flooded".to_owned()
        }
        "flood_print" => {
            for number in 0..200_000 {
                println!("line {number}");
            }
            "flooded".to_owned()
        }
        "say" => {
            log::write(&line(argument));
            println!("{argument}");
            eprint!("{argument}");
            return arguments.first().cloned();
        }
        "push" => told(xcom::push("key", &arguments[0])),
        "leak_by_xcom" => {
            let password = connections::get("granted").ok().flatten()?.password?;
            xcom::push("key", &arguments[0]).ok()?;
            format!("the {password}")
        }
        "push_huge" => told(xcom::push("huge", &json(&"x".repeat(2 << 20)))),
        "push_many" => {
            let value = json(&"x".repeat(1000));
            let refused = (0..).find(|n| xcom::push(&format!("key{n}"), &value).is_err());
            format!("{refused:?}")
        }
        "return_huge" => "x".repeat(2 << 20),
        "return_too_much" => "x".repeat(9 << 20),
        "not_json" => return Some("{".to_owned()),
        "pull" => told(xcom::pull(&Address {
            dag_id: (!argument.is_empty()).then(|| argument.to_owned()),
            run_id: (!argument.is_empty()).then(|| "run".to_owned()),
            task_id: "before".to_owned(),
            map_index: -1,
            key: "return_value".to_owned(),
        })),
        "panic" => panic!("the row of 2012-01-15 is missing"),
        "panic_told" => {
            log::write(&Line {
                level: Level::Error,
                target: "panic".to_owned(),
                message: "panicked: no row".to_owned(),
                file: Some("src/archive.rs".to_owned()),
                line: Some(7),
            });
            panic!("no row");
        }
        "exit" => std::process::exit(3),
        "huge_string" => {
            log::write(&line(&"x".repeat(9 << 20)));
            "written".to_owned()
        }
        "sleep" => {
            std::thread::sleep(Duration::from_secs(86_400));
            "slept".to_owned()
        }
        "open_many" => {
            let open: Vec<_> = (0..10_000)
                .map_while(|_| fs::File::open("in/a.txt").ok())
                .collect();
            format!("opened {}", open.len())
        }
        "remember" => CALLS.fetch_add(1, Ordering::Relaxed).to_string(),
        "surroundings" => {
            let (variables, arguments) = (std::env::vars().count(), std::env::args().count());
            let mut input = String::new();
            let read = std::io::stdin().read_line(&mut input);
            format!("{variables} {arguments} {}", read.unwrap_or(usize::MAX))
        }
        "read" => file_told(fs::read_to_string(argument)),
        "write" => file_told(fs::write(argument, "written by a guest").map(|()| "ok".to_owned())),
        "link" => {
            #[expect(deprecated, reason = "the only portable way to make one")]
            let linked = fs::soft_link("../secret.txt", "out/link");
            let read = fs::read_to_string("out/link");
            format!("{} {}", linked.is_ok(), file_told(read))
        }
        "variable" => told(variables::get(argument)),
        "variables" => {
            let each = arguments
                .iter()
                .map(|json| told(variables::get(plain(json))));
            each.collect::<Vec<_>>().join(" ")
        }
        "connection" => told(connections::get(argument).map(|found| found.map(|c| c.password))),
        "directory" => told(directories::find(argument).map(|found| found.path)),
        other => panic!("there is no attack `{other}`"),
    };
    Some(json(&text))
}

impl tasks::Guest for Attack {
    fn run(
        entry: String,
        context: tasks::Context,
        arguments: Vec<String>,
    ) -> Result<tasks::Outcome, tasks::Failure> {
        match entry.as_str() {
            "skip" => Ok(tasks::Outcome::Skipped("nothing to do".to_owned())),
            "fail" | "fail_for_good" => Err(tasks::Failure {
                message: format!("failed with {}", arguments.join(" ")),
                causes: arguments,
                retry: entry == "fail",
                location: None,
            }),
            "leak" => {
                let known = connections::get("granted").is_ok();
                for argument in &arguments {
                    log::write(&line(plain(argument)));
                    println!("I know {argument}");
                }
                Err(tasks::Failure {
                    message: format!("{known} {}", arguments.join(" ")),
                    causes: arguments,
                    retry: true,
                    location: None,
                })
            }
            "context" => Ok(success(Some(json(&format!("{context:?}"))))),
            "reschedule" => Ok(tasks::Outcome::Rescheduled(
                arguments
                    .first()
                    .and_then(|at| at.parse().ok())
                    .unwrap_or(i64::MAX),
            )),
            "decide" => Ok(tasks::Outcome::Success(tasks::Success {
                return_value: None,
                downstream: tasks::Downstream::Follow(arguments),
                outlet_events: Vec::new(),
            })),
            "tell" => {
                let count = arguments.first().and_then(|count| count.parse().ok());
                let event = tasks::OutletEvent {
                    asset: AssetRef::Name("figures".to_owned()),
                    alias: Some("numbers".to_owned()),
                    extra: arguments.get(1).cloned().unwrap_or_default(),
                };
                Ok(tasks::Outcome::Success(tasks::Success {
                    return_value: None,
                    downstream: tasks::Downstream::Skip(true),
                    outlet_events: vec![event; count.unwrap_or(1)],
                }))
            }
            entry => Ok(success(attack(entry, &arguments))),
        }
    }
}

hostile_raw::export!(Attack with_types_in hostile_raw);
