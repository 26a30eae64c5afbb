//! The checks of watchers, callbacks and deadlines: their names, what they are made with, and how many there are,
//! for each of them becomes rows whenever something comes to pass.

use std::{collections::BTreeSet, time::Duration};

use super::{Check, Mistake, not_json};
use crate::{
    callback::{CallbackKind, CallbackSpec, DeadlineReference, DeadlineSpec},
    dag::{AssetRef, AssetSpec, TaskSpec, WatcherSpec},
    trigger::{FilePattern, HostEvent, Trigger},
};

/// The most watchers that one asset may have.
const MAX_WATCHERS: usize = 16;
/// The most callbacks that one task, or the DAG itself, may have.
const MAX_CALLBACKS: usize = 64;
/// The most deadlines that one DAG may have.
const MAX_DEADLINES: usize = 64;
/// The longest name of a watcher or deadline, in bytes.
const MAX_NAME_BYTES: usize = 250;
/// The longest name of code, in bytes.
const MAX_ENTRY_BYTES: usize = 1000;
/// What code is made with, in bytes of JSON: each request for it keeps a copy.
const MAX_ARGUMENT_BYTES: usize = 64 << 10;
/// The shortest time that a watcher may wait for, as it begins anew whenever it is over.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

impl Check<'_> {
    pub(super) fn watchers(&mut self, asset: &AssetSpec) {
        let count = asset.watchers.len();
        let shown = asset.name.escape_debug();
        self.number(
            &format!("asset `{shown}` has"),
            "watchers",
            count,
            MAX_WATCHERS,
        );
        let mut names = BTreeSet::new();
        for watcher in asset.watchers.iter().take(MAX_WATCHERS) {
            let what = format!("watcher of the asset `{shown}`");
            self.name(&what, &watcher.name);
            if !names.insert(&watcher.name) {
                self.dag_mistake(duplicate(what, &watcher.name));
            }
            self.watch(asset, watcher);
        }
    }

    /// Whether it is something that can come to pass again and again, and not by its own doing.
    fn watch(&mut self, asset: &AssetSpec, watcher: &WatcherSpec) {
        let field = || {
            let (asset, name) = (asset.name.escape_debug(), watcher.name.escape_debug());
            format!("assets.{asset}.watchers.{name}")
        };
        let why = match &watcher.trigger {
            Trigger::Own(own) => {
                self.code(&field(), &own.kind, &own.arguments, |check, mistake| {
                    check.dag_mistake(mistake);
                });
                return;
            }
            Trigger::Time(_) => "a point in time, which comes once",
            Trigger::Duration(length) if *length < SHORTEST_WATCH => "less than a second",
            Trigger::Host(HostEvent::DagRun { .. } | HostEvent::TaskInstance { .. }) => {
                "one run, which reaches a state once"
            }
            Trigger::Host(HostEvent::Asset(of)) if is(asset, of) => {
                "a change of its own asset, which it makes itself"
            }
            Trigger::Host(HostEvent::File(event)) => {
                if let Err(error) = FilePattern::new(&event.pattern) {
                    let field = field();
                    self.dag_mistake(Mistake::Pattern { field, error });
                }
                return;
            }
            Trigger::Duration(_) | Trigger::Host(HostEvent::Asset(_)) => return,
        };
        self.dag_mistake(Mistake::Unwatchable {
            asset: asset.name.clone(),
            watcher: watcher.name.clone(),
            why,
        });
    }

    pub(super) fn dag_callbacks(&mut self) {
        let spec = self.spec;
        let callbacks = &spec.callbacks;
        self.number("the DAG has", "callbacks", callbacks.len(), MAX_CALLBACKS);
        for (at, callback) in callbacks.iter().enumerate().take(MAX_CALLBACKS) {
            let told = |check: &mut Self, mistake| check.dag_mistake(mistake);
            let heard = matches!(
                callback.on,
                CallbackKind::DagSuccess | CallbackKind::DagFailure
            );
            self.callback(at, callback, heard, "DAG", told);
        }
    }

    pub(super) fn task_callbacks(&mut self, task: &TaskSpec) {
        let callbacks = &task.callbacks;
        if let Some(mistake) = too_many("it has", "callbacks", callbacks.len(), MAX_CALLBACKS) {
            self.task_mistake(task, mistake);
        }
        for (at, callback) in callbacks.iter().enumerate().take(MAX_CALLBACKS) {
            let told = |check: &mut Self, mistake| check.task_mistake(task, mistake);
            let heard = match callback.on {
                CallbackKind::TaskExecute
                | CallbackKind::TaskSuccess
                | CallbackKind::TaskFailure
                | CallbackKind::TaskRetry
                | CallbackKind::TaskSkipped => true,
                CallbackKind::DagSuccess | CallbackKind::DagFailure | CallbackKind::Deadline => {
                    false
                }
            };
            self.callback(at, callback, heard, "task", told);
        }
    }

    fn callback(
        &mut self,
        at: usize,
        callback: &CallbackSpec,
        heard: bool,
        of: &'static str,
        told: impl Fn(&mut Self, Mistake),
    ) {
        if !heard {
            let on = callback.on;
            told(self, Mistake::Unheard { of, on });
        }
        let field = format!("callbacks[{at}]");
        self.code(&field, &callback.entry, &callback.arguments, told);
    }

    pub(super) fn deadlines(&mut self) {
        let spec = self.spec;
        let count = spec.deadlines.len();
        self.number("the DAG has", "deadlines", count, MAX_DEADLINES);
        let mut names = BTreeSet::new();
        for deadline in spec.deadlines.iter().take(MAX_DEADLINES) {
            let name = &deadline.name;
            self.name("deadline", name);
            if !names.insert(name) {
                self.dag_mistake(duplicate("deadline".to_owned(), name));
            }
            let field = format!("deadlines.{}", name.escape_debug());
            let (entry, arguments) = (&deadline.entry, &deadline.arguments);
            self.code(&field, entry, arguments, |check, mistake| {
                check.dag_mistake(mistake);
            });
            self.average(deadline);
        }
    }

    /// An average is one of something (Airflow 3.3.2, `airflow/serialization/definitions/deadline.py`).
    fn average(&mut self, deadline: &DeadlineSpec) {
        let DeadlineReference::Average { runs, at_least } = deadline.reference else {
            return;
        };
        let (field, value, allowed) = if at_least == 0 {
            ("deadlines.average.at_least", at_least, "at least 1")
        } else if runs < at_least {
            (
                "deadlines.average.runs",
                runs,
                "no fewer than it takes at least",
            )
        } else {
            return;
        };
        let value = value.to_string();
        self.dag_mistake(Mistake::OutOfRange {
            field,
            value,
            allowed,
        });
    }

    /// Which code, and what it is made with.
    fn code(
        &mut self,
        field: &str,
        entry: &str,
        arguments: &str,
        told: impl Fn(&mut Self, Mistake),
    ) {
        for (part, bytes, most) in [
            ("entry", entry.len(), MAX_ENTRY_BYTES),
            ("arguments", arguments.len(), MAX_ARGUMENT_BYTES),
        ] {
            if bytes > most {
                let field = format!("{field}.{part}");
                told(self, Mistake::TooLong { field, bytes, most });
            }
        }
        if let Some(reason) = not_json(arguments) {
            let field = format!("{field}.arguments");
            told(self, Mistake::NotJson { field, reason });
        }
    }

    fn name(&mut self, what: &str, name: &str) {
        let fits = (1..=MAX_NAME_BYTES).contains(&name.len());
        if !fits || name.trim() != name || name.chars().any(char::is_control) {
            self.dag_mistake(Mistake::Name {
                what: what.to_owned(),
                name: name.chars().take(80).collect(),
            });
        }
    }

    fn number(&mut self, who: &str, what: &'static str, count: usize, most: usize) {
        if let Some(mistake) = too_many(who, what, count, most) {
            self.dag_mistake(mistake);
        }
    }
}

fn too_many(who: &str, what: &'static str, count: usize, most: usize) -> Option<Mistake> {
    (count > most).then(|| Mistake::TooMany {
        who: who.to_owned(),
        what,
        count,
        most,
    })
}

fn duplicate(what: String, name: &str) -> Mistake {
    Mistake::Duplicate {
        what,
        name: name.to_owned(),
    }
}

/// Whether this is the asset's own name or URI.
fn is(asset: &AssetSpec, named: &AssetRef) -> bool {
    match named {
        AssetRef::Name(name) => *name == asset.name,
        AssetRef::Uri(uri) => asset.uri.as_ref() == Some(uri),
        AssetRef::Alias(_) => false,
    }
}
