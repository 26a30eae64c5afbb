//! One component that tries every attack in every phase. The attacks stand in the folders beside this one, one
//! folder for each kind; here is only how each phase is asked for one, and how it answers.
//!
//! An attack is named `kind.attack`, and answers with a text. In the task phase its name is the entry, in the
//! trigger phase the kind, in the callback and timetable phases the entry. A parse is told by the variable
//! `attack.name`, where the grant lets it read that. The DAGs that it gives otherwise take the name from a run's id.

mod ask;
#[path = "../../bombs/mod.rs"]
mod bombs;
#[path = "../../cpu/mod.rs"]
mod cpu;
#[path = "../../escapes/mod.rs"]
mod escapes;
#[path = "../../floods/mod.rs"]
mod floods;
#[path = "../../memory/mod.rs"]
mod memory;
#[path = "../../neighbour/mod.rs"]
mod neighbour;
mod parse;
#[path = "../../paths/mod.rs"]
mod paths;
#[path = "../../persistence/mod.rs"]
mod persistence;
#[path = "../../purity/mod.rs"]
mod purity;
#[path = "../../reach/mod.rs"]
mod reach;
#[path = "../../stack/mod.rs"]
mod stack;
#[path = "../../victim/mod.rs"]
mod victim;

/// The border, as it is published.
mod generated {
    wit_bindgen::generate!({
        path: ["../../../../wit/capability", "../../../../wit/bundle"],
        world: "airlock:bundle/full-bundle",
        generate_all,
    });
}

use generated::{
    airlock::bundle::{
        definitions::Parsed,
        units::Interval,
        waits::{Event, OwnTrigger, Trigger},
    },
    exports::airlock::bundle::{
        callbacks, dags,
        tasks::{self, Context, Deferral, Failure, Outcome},
        timetables::{self, Restriction, RunInfo},
        triggers::{self, Polled},
    },
};

/// Why the instance runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Parse,
    Task,
    Trigger,
    Callback,
    Timetable,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Task => "task",
            Self::Trigger => "trigger",
            Self::Callback => "callback",
            Self::Timetable => "timetable",
        }
    }
}

/// Tries it, and tells what came of it. What comes after a second point only tells one run from another.
fn attack(phase: Phase, name: &str) -> String {
    let mut parts = name.split('.');
    let (kind, which) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    match kind {
        "nothing" => String::from("nothing"),
        "cpu" => cpu::attack(which),
        "memory" => memory::attack(which),
        "stack" => stack::attack(which),
        "floods" => floods::attack(which),
        "paths" => paths::attack(which),
        "persistence" => persistence::attack(which),
        "escapes" => escapes::attack(which),
        "purity" => purity::attack(which),
        "reach" => reach::attack(phase, which),
        "neighbour" => neighbour::attack(which),
        _ => format!("there is no attack `{name}`"),
    }
}

/// A text as JSON.
fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

fn failure(message: String) -> Failure {
    Failure {
        message,
        causes: Vec::new(),
        retry: false,
        location: None,
    }
}

struct Everywhere;

impl dags::Guest for Everywhere {
    fn parse() -> Parsed {
        parse::parse()
    }
}

impl tasks::Guest for Everywhere {
    fn run(entry: String, context: Context, _: Vec<String>) -> Result<Outcome, Failure> {
        if let Some(again) = neighbour::deferred(&context.run_id) {
            return Ok(again);
        }
        if let Some(resumed) = &context.resumed {
            return match &resumed.event {
                Event::Fired(json) => Ok(parse::success(Some(json.clone()))),
                Event::TimedOut => Ok(parse::success(Some(json("timed out")))),
                Event::Failed(why) => Err(failure(why.clone())),
            };
        }
        if let Some(given) = bombs::given(&entry) {
            return Ok(given);
        }
        let name = context.run_id.as_str();
        match entry.as_str() {
            "task" => match neighbour::outcome(name) {
                Some(outcome) => Ok(outcome),
                None => Ok(parse::success(Some(json(&attack(Phase::Task, name))))),
            },
            "trigger" => Ok(Outcome::Deferred(Deferral {
                trigger: Trigger::Own(OwnTrigger {
                    kind: name.to_owned(),
                    arguments: "{}".to_owned(),
                }),
                method: "goes on".to_owned(),
                arguments: "{}".to_owned(),
                timeout: Some(match name.starts_with("neighbour.hear") {
                    true => 1_500_000,
                    false => 60_000_000,
                }),
            })),
            "victim" => Ok(victim::keep(&context)),
            "nothing" => Ok(parse::success(None)),
            // And again, whatever came of it.
            "retry" => Err(Failure {
                retry: true,
                ..failure(attack(Phase::Task, name))
            }),
            name => match neighbour::outcome(name) {
                Some(outcome) => Ok(outcome),
                None => Ok(parse::success(Some(json(&attack(Phase::Task, name))))),
            },
        }
    }
}

impl triggers::Guest for Everywhere {
    fn poll(
        kind: String,
        _: String,
        state: Option<String>,
        _: triggers::Context,
    ) -> Result<Polled, String> {
        if let Some(polled) = neighbour::polled(&kind, state.as_deref()) {
            return Ok(polled);
        }
        Ok(Polled::Fired(json(&attack(Phase::Trigger, &kind))))
    }
}

impl callbacks::Guest for Everywhere {
    fn call(entry: String, _: String, request: callbacks::Request) -> Result<(), Failure> {
        let name = match entry.as_str() {
            "callback" => request.run_id,
            _ => entry,
        };
        Err(failure(attack(Phase::Callback, &name)))
    }
}

impl timetables::Guest for Everywhere {
    /// No run but those that somebody wants.
    fn next_run(
        _: String,
        _: String,
        _: Option<RunInfo>,
        _: Restriction,
        _: i64,
    ) -> Result<Option<RunInfo>, String> {
        Ok(None)
    }

    fn manual_interval(entry: String, _: String, _: i64) -> Result<Interval, String> {
        Err(attack(Phase::Timetable, &entry))
    }
}

#[expect(
    unsafe_code,
    reason = "generated: what crosses the border comes as addresses"
)]
mod border {
    use super::{Everywhere, generated};

    generated::export!(Everywhere with_types_in generated);
}
