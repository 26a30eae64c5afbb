//! The graph of the DAG that is being built: a DAG function runs from its first line to its last, and each
//! call of a task adds one.
//!
//! The graph lies in a thread-local while that function runs, so that a call of a task is an ordinary call
//! and its result a handle of four bytes ([`Output`]). Mistakes are collected, so that a parse names all of
//! them, and only then is the DAG given up.

use std::{borrow::Cow, cell::RefCell, collections::BTreeMap, panic::Location};

use crate::{
    argument::Wire,
    definition::{Argument, Dag, DagSpec, DefinitionError, Task, TaskSpec},
    output::Output,
    registry,
};

/// The longest id, in bytes (Airflow 3.3.2).
const MAX_ID_BYTES: usize = 250;

thread_local! {
    static GRAPH: RefCell<Option<Graph>> = const { RefCell::new(None) };
}

struct Graph {
    spec: &'static DagSpec,
    tasks: Vec<Task>,
    ids: BTreeMap<Cow<'static, str>, usize>,
    errors: Vec<DefinitionError>,
}

/// Runs a DAG's function and gives its graph, or all its mistakes.
pub(crate) fn build(spec: &'static DagSpec) -> Result<Dag, Vec<DefinitionError>> {
    let graph = Graph {
        spec,
        tasks: Vec::new(),
        ids: BTreeMap::new(),
        errors: Vec::new(),
    };
    // A DAG function may not build another DAG; one that was left behind by a panic is nobody's.
    GRAPH.replace(Some(graph));
    let result = (spec.graph)();
    let Some(Graph {
        tasks, mut errors, ..
    }) = GRAPH.take()
    else {
        return Err(Vec::new());
    };
    if let Err(error) = result {
        let location = error.location();
        errors.push(DefinitionError {
            dag_id: spec.dag_id,
            message: format!("{error:#}"),
            location,
        });
    }
    match errors.is_empty() {
        true => Ok(Dag { spec, tasks }),
        false => Err(errors),
    }
}

/// Adds a task to the graph.
#[track_caller]
#[expect(
    clippy::panic,
    reason = "a programming error that nothing could be returned for"
)]
pub fn add<T>(spec: &'static TaskSpec, task_id: Option<String>, arguments: Vec<Wire>) -> Output<T> {
    let location = Location::caller();
    let added = GRAPH.with_borrow_mut(|graph| {
        graph
            .as_mut()
            .map(|graph| graph.add(spec, task_id, arguments, location))
    });
    match added {
        Some(index) => Output::new(index),
        None => {
            let name = spec.entry.rsplit("::").next().unwrap_or(spec.entry);
            panic!(
                "`{name}(…)` adds a task to a DAG and was called outside of a #[dag] function; to run the task's code, call `{name}::run(…)`"
            )
        }
    }
}

/// Makes `later` wait for `earlier`.
#[track_caller]
pub(crate) fn order(earlier: usize, later: usize) {
    let location = Location::caller();
    GRAPH.with_borrow_mut(|graph| {
        if let Some(graph) = graph {
            graph.order(earlier, later, location);
        }
    });
}

impl Graph {
    fn mistake(&mut self, message: String, location: &'static Location<'static>) {
        let dag_id = self.spec.dag_id;
        self.errors.push(DefinitionError {
            dag_id,
            message,
            location: location.into(),
        });
    }

    fn add(
        &mut self,
        spec: &'static TaskSpec,
        task_id: Option<String>,
        arguments: Vec<Wire>,
        location: &'static Location<'static>,
    ) -> usize {
        let index = self.tasks.len();
        let task_id = task_id.map_or(Cow::Borrowed(spec.task_id), Cow::Owned);
        self.check(spec, &task_id, location);
        let arguments = arguments
            .into_iter()
            .filter_map(|wire| match wire {
                Wire::Literal(json) => Some(Argument::Literal(json)),
                Wire::Output(upstream) => match self.tasks.get(upstream) {
                    Some(task) => Some(Argument::Output(task.task_id.to_string())),
                    None => {
                        self.foreign(&task_id, location);
                        None
                    }
                },
                Wire::Invalid(why) => {
                    self.mistake(
                        format!("an argument of task `{task_id}` has no JSON form: {why}"),
                        location,
                    );
                    None
                }
            })
            .collect();
        self.ids.entry(task_id.clone()).or_insert(index);
        self.tasks.push(Task {
            spec,
            task_id,
            arguments,
            upstream: Vec::new(),
            location: location.into(),
        });
        index
    }

    fn check(
        &mut self,
        spec: &'static TaskSpec,
        task_id: &str,
        location: &'static Location<'static>,
    ) {
        if let Some(first) = self
            .ids
            .get(task_id)
            .and_then(|first| self.tasks.get(*first))
        {
            let name = spec.entry.rsplit("::").next().unwrap_or(spec.entry);
            self.mistake(
                format!(
                    "there already is a task `{task_id}`, added at {}; give this call an id of its own: `{name}::with_id(\"{task_id}_2\", …)`",
                    first.location
                ),
                location,
            );
        }
        let good = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if task_id.is_empty()
            || task_id.len() > MAX_ID_BYTES
            || matches!(task_id, "." | "..")
            || !task_id.chars().all(good)
        {
            self.mistake(
                format!(
                    "\"{}\" is no task_id; use 1 to {MAX_ID_BYTES} letters (a to z, A to Z), digits, `_`, `-` and `.`",
                    task_id.escape_debug()
                ),
                location,
            );
        }
        if !registry::holds(spec) {
            self.mistake(
                format!(
                    "the code of task `{task_id}` (`{}`) cannot be told from another's, or was dropped by the linker; rename the function, or move it to the bundle's own crate",
                    spec.entry
                ),
                location,
            );
        }
    }

    fn foreign(&mut self, task_id: &str, location: &'static Location<'static>) {
        self.mistake(
            format!("task `{task_id}` is wired to a task of another DAG; call that task in this DAG function"),
            location,
        );
    }

    fn order(&mut self, earlier: usize, later: usize, location: &'static Location<'static>) {
        let earlier = self.tasks.get(earlier).map(|task| task.task_id.to_string());
        match (earlier, self.tasks.get_mut(later)) {
            (Some(earlier), Some(later)) => later.upstream.push(earlier),
            _ => self.foreign("?", location),
        }
    }
}
