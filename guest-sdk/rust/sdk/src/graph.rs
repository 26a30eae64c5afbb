//! The graph of the DAG that is being built: a DAG function runs from its first line to its last, and each
//! call of a task adds one.
//!
//! The graph lies in a thread-local while that function runs, so that a call of a task is an ordinary call
//! and its result a small handle ([`Output`]). Mistakes are collected, so that a parse names all of them,
//! and only then is the DAG given up.
//!
//! That a task is called in the code of another compiles, since both are ordinary functions. There is no
//! graph then, so the call runs nothing: the try fails and says what was meant.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::BTreeMap,
    panic::Location,
};

#[cfg(any(test, target_arch = "wasm32"))]
use crate::outcome::Failure;
use crate::{
    argument::Wire,
    definition::{Argument, Dag, DagSpec, DefinitionError, Task, TaskSpec},
    output::Output,
    registry,
};

/// The longest id, in bytes (Airflow 3.3.2).
const MAX_ID_BYTES: usize = 250;

thread_local! {
    static SCENE: RefCell<Scene> = const { RefCell::new(Scene::Neither) };
    static BUILT: Cell<u32> = const { Cell::new(0) };
}

/// A task of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(hidden)]
pub struct Node {
    /// Which graph: a handle that an author smuggles out of one DAG function is no task of another.
    graph: u32,
    index: usize,
}

impl Node {
    /// What a call gives that added nothing: a task of no graph.
    #[cfg(any(test, target_arch = "wasm32"))]
    const NOWHERE: Self = Self {
        graph: u32::MAX,
        index: usize::MAX,
    };
}

type Site = &'static Location<'static>;

/// What of the author's runs on this thread.
enum Scene {
    /// A DAG function: calls of tasks build its graph.
    Dag(Graph),
    /// A task's code, and the first call of another task in it, told as the failure that it is.
    #[cfg(any(test, target_arch = "wasm32"))]
    Try(Option<Failure>),
    /// Neither: the code of a test, since a host calls nothing else.
    Neither,
}

struct Graph {
    number: u32,
    spec: &'static DagSpec,
    tasks: Vec<Task>,
    ids: BTreeMap<Cow<'static, str>, usize>,
    errors: Vec<DefinitionError>,
}

/// Runs a DAG's function and gives its graph, or all its mistakes.
pub(crate) fn build(spec: &'static DagSpec) -> Result<Dag, Vec<DefinitionError>> {
    let number = BUILT.get();
    BUILT.set(number.wrapping_add(1));
    // Whatever graph a panic left behind on this thread is nobody's.
    SCENE.replace(Scene::Dag(Graph {
        number,
        spec,
        tasks: Vec::new(),
        ids: BTreeMap::new(),
        errors: Vec::new(),
    }));
    let result = (spec.graph)();
    let Scene::Dag(Graph {
        tasks, mut errors, ..
    }) = SCENE.replace(Scene::Neither)
    else {
        return Err(vec![DefinitionError {
            dag_id: spec.dag_id,
            message: "the DAG function parsed another DAG, which took this one's place; do that outside of it".to_owned(),
            location: spec.location,
        }]);
    };
    if let Err(error) = result {
        errors.push(DefinitionError {
            dag_id: spec.dag_id,
            message: format!("{error:#}"),
            location: error.location(),
        });
    }
    match errors.is_empty() {
        true => Ok(Dag { spec, tasks }),
        false => Err(errors),
    }
}

/// Runs a task's code. That it called a task fails it for good, whatever it gave: no other try would fare
/// better, and the author believes that something ran which did not.
#[cfg(any(test, target_arch = "wasm32"))]
pub(crate) fn within_try<T>(code: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    SCENE.replace(Scene::Try(None));
    let result = code();
    match (SCENE.replace(Scene::Neither), result) {
        (Scene::Try(Some(mut slip)), Err(failure)) => {
            slip.causes.push(failure.message);
            slip.causes.extend(failure.causes);
            Err(slip)
        }
        (Scene::Try(Some(slip)), Ok(_)) => Err(slip),
        (_, result) => result,
    }
}

/// Adds a task to the graph.
///
/// # Panics
/// In a test's own code, where there is neither a graph nor a try that could fail.
#[track_caller]
#[doc(hidden)]
#[expect(
    clippy::panic,
    reason = "only a test's own code can come there, and that is how a test fails"
)]
pub fn add<T>(spec: &'static TaskSpec, task_id: Option<String>, arguments: Vec<Wire>) -> Output<T> {
    let site = Location::caller();
    let node = SCENE.with_borrow_mut(|scene| match scene {
        Scene::Dag(graph) => graph.add(spec, task_id, arguments, site),
        #[cfg(any(test, target_arch = "wasm32"))]
        Scene::Try(slip) => {
            slip.get_or_insert_with(|| Failure {
                message: outside(spec),
                causes: Vec::new(),
                retry: false,
                location: Some(site.into()),
            });
            Node::NOWHERE
        }
        Scene::Neither => panic!("{}", outside(spec)),
    });
    Output::new(node)
}

/// What there is to say to a call of a task that no DAG function made.
fn outside(spec: &TaskSpec) -> String {
    let name = name(spec);
    format!(
        "`{name}(…)` adds a task to a DAG, and was called outside of a #[dag] function; to run the task's code, call `{name}::run(…)`"
    )
}

/// Makes `later` wait for `earlier`.
#[track_caller]
pub(crate) fn order(earlier: Node, later: Node) {
    let site = Location::caller();
    SCENE.with_borrow_mut(|scene| {
        if let Scene::Dag(graph) = scene {
            graph.order(earlier, later, site);
        }
    });
}

/// The task function's name.
fn name(spec: &TaskSpec) -> &'static str {
    spec.entry.rsplit("::").next().unwrap_or(spec.entry)
}

impl Graph {
    fn mistake(&mut self, message: String, site: Site) {
        let dag_id = self.spec.dag_id;
        self.errors.push(DefinitionError {
            dag_id,
            message,
            location: site.into(),
        });
    }

    fn add(
        &mut self,
        spec: &'static TaskSpec,
        task_id: Option<String>,
        arguments: Vec<Wire>,
        site: Site,
    ) -> Node {
        let index = self.tasks.len();
        let task_id = task_id.map_or(Cow::Borrowed(spec.task_id), Cow::Owned);
        self.check(spec, &task_id, site);
        let arguments = arguments
            .into_iter()
            .filter_map(|wire| match wire {
                Wire::Literal(json) => Some(Argument::Literal(json)),
                Wire::Output(upstream) => self.id(upstream, site).map(Argument::Output),
                Wire::Invalid(why) => {
                    let message =
                        format!("an argument of task `{task_id}` has no JSON form: {why}");
                    self.mistake(message, site);
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
            location: site.into(),
        });
        Node {
            graph: self.number,
            index,
        }
    }

    fn check(&mut self, spec: &'static TaskSpec, task_id: &str, site: Site) {
        if let Some(first) = self
            .ids
            .get(task_id)
            .and_then(|first| self.tasks.get(*first))
        {
            let (name, first) = (name(spec), first.location);
            let message = format!(
                "there already is a task `{task_id}`, added at {first}; give this call an id of its own: `{name}::with_id(\"{task_id}_2\", …)`"
            );
            self.mistake(message, site);
        }
        let good = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let fits = (1..=MAX_ID_BYTES).contains(&task_id.len()) && !matches!(task_id, "." | "..");
        if !fits || !task_id.chars().all(good) {
            let shown = task_id.escape_debug();
            let message = format!(
                "\"{shown}\" is no task_id; use 1 to {MAX_ID_BYTES} letters (a to z, A to Z), digits, `_`, `-` and `.`"
            );
            self.mistake(message, site);
        }
        if !registry::holds(spec) {
            let entry = spec.entry;
            let message = format!(
                "a try of task `{task_id}` would not find its code: `{entry}` is the name of two task functions, or the linker dropped it; rename the function, or move it to the bundle's own crate"
            );
            self.mistake(message, site);
        }
    }

    /// The id of a task of this graph.
    fn id(&mut self, node: Node, site: Site) -> Option<String> {
        let own = self
            .tasks
            .get(node.index)
            .filter(|_| node.graph == self.number);
        let id = own.map(|task| task.task_id.to_string());
        if id.is_none() {
            let message = "this uses the output of a task of another DAG; call that task in this DAG function too";
            self.mistake(message.to_owned(), site);
        }
        id
    }

    fn order(&mut self, earlier: Node, later: Node, site: Site) {
        let (Some(earlier), Some(_)) = (self.id(earlier, site), self.id(later, site)) else {
            return;
        };
        if let Some(later) = self.tasks.get_mut(later.index) {
            later.upstream.push(earlier);
        }
    }
}
