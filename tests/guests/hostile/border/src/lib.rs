//! Triggers and callbacks without the SDK, whose answers make no sense. There is no task: what a callback knows of
//! tasks are the types.

mod generated {
    wit_bindgen::generate!({
        path: ["../../../../wit/capability", "../../../../wit/bundle"],
        inline: "
            package hostile:border;
            world border {
                include airlock:bundle/dag-bundle@0.1.1;
                include airlock:bundle/trigger-bundle@0.1.1;
                include airlock:bundle/callback-bundle@0.1.1;
            }
        ",
        world: "hostile:border/border",
        generate_all,
    });
}

use generated::{
    airlock::bundle::{
        definitions::Parsed,
        tasks::Failure,
        waits::{FileChange, FileEvent, HostEvent, RunEvent, RunRef},
    },
    exports::airlock::bundle::{
        callbacks::{self, Request},
        dags,
        triggers::{self, Context, Pause, Polled, Seen, Sightings},
    },
};

struct Border;

impl dags::Guest for Border {
    fn parse() -> Parsed {
        Parsed {
            dags: Vec::new(),
            errors: Vec::new(),
        }
    }
}

fn pause(state: &str, until: Option<i64>, on: Vec<HostEvent>) -> Pause {
    Pause {
        state: state.to_owned(),
        until,
        on,
    }
}

/// A later poll, and nothing else.
fn later() -> Pause {
    pause("{}", Some(4_000_000_000_000_000), Vec::new())
}

fn seen(key: &str, extra: &str) -> Polled {
    Polled::Seen(Sightings {
        events: vec![Seen {
            key: key.to_owned(),
            extra: extra.to_owned(),
        }],
        next: later(),
    })
}

fn run(dag_id: &str, states: &[&str]) -> HostEvent {
    HostEvent::DagRun(RunEvent {
        dag_id: dag_id.to_owned(),
        run: RunRef::RunId("run".to_owned()),
        states: states.iter().map(|&state| state.to_owned()).collect(),
    })
}

fn file(pattern: &str) -> HostEvent {
    HostEvent::File(FileEvent {
        directory: "inbox".to_owned(),
        pattern: pattern.to_owned(),
        change: FileChange::Exists,
    })
}

impl triggers::Guest for Border {
    fn poll(
        kind: String,
        arguments: String,
        _: Option<String>,
        _: Context,
    ) -> Result<Polled, String> {
        Ok(match kind.as_str() {
            "waits" => Polled::Waiting(later()),
            "fires nonsense" => Polled::Fired("{".to_owned()),
            "keeps nonsense" => Polled::Waiting(pause("{", Some(0), Vec::new())),
            "for nothing" => Polled::Waiting(pause("{}", None, Vec::new())),
            "beyond time" => Polled::Waiting(pause("{}", Some(i64::MAX), Vec::new())),
            "for no dag" => Polled::Waiting(pause("{}", None, vec![run("../dag", &["success"])])),
            "for no state" => Polled::Waiting(pause("{}", None, vec![run("dag", &[])])),
            "for any file" => Polled::Waiting(pause("{}", None, vec![file("../*")])),
            "sees" => seen("key", "{}"),
            "sees without key" => seen("", "{}"),
            "sees under a long key" => seen(&"k".repeat(1000), "{}"),
            "sees nonsense" => seen("key", "{"),
            "sees a list" => seen("key", "[]"),
            "talks" => {
                for _ in 0..1000 {
                    eprintln!("{}", "t".repeat(1000));
                }
                Polled::Waiting(later())
            }
            _ => return Err(arguments),
        })
    }
}

impl callbacks::Guest for Border {
    fn call(_: String, arguments: String, _: Request) -> Result<(), Failure> {
        match arguments.as_str() {
            "{}" => Ok(()),
            _ => Err(Failure {
                message: arguments,
                causes: vec!["cause".repeat(1000); 1000],
                retry: true,
                location: None,
            }),
        }
    }
}

#[expect(
    unsafe_code,
    reason = "generated: what crosses the border comes as addresses"
)]
mod border {
    use super::{Border, generated};

    generated::export!(Border with_types_in generated);
}
