//! The graph of the DAG that is being built: a DAG function runs from its first line to its last, and each
//! call of a task adds one.
//!
//! The graph lies in a thread-local while that function runs, so that a call of a task is an ordinary call
//! and its result a small handle ([`Output`]). Mistakes are collected, so that a parse names all of them,
//! and only then is the DAG given up. Names are given at the end ([`definition`]), since a handle may still
//! change a task's id.
//!
//! That a task is called in the code of another compiles, since both are ordinary functions. There is no
//! graph then, so the call runs nothing: the try fails and says what was meant.

mod finish;

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    panic::Location,
};

use crate::{
    argument::Wire,
    definition::{Dag, DagSpec, DefinitionError, Role, TaskSpec, TriggerRule},
    mapping::{MappedWire, SourceWire},
    outcome::Failure,
    output::{Output, Side},
};

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

/// A group of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(hidden)]
pub struct GroupNode {
    graph: u32,
    index: usize,
}

impl Node {
    /// What a call gives that added nothing: a task of no graph.
    const NOWHERE: Self = Self {
        graph: u32::MAX,
        index: usize::MAX,
    };
}

impl GroupNode {
    /// What opening a group gives that added nothing.
    pub(crate) const NOWHERE: Self = Self {
        graph: u32::MAX,
        index: usize::MAX,
    };
}

type Site = &'static Location<'static>;
type Parameters<W> = Vec<(Cow<'static, str>, W)>;

/// What of the author's runs on this thread.
enum Scene {
    /// A DAG function: calls of tasks build its graph.
    Dag(Graph),
    /// A task's code, and the first call of another task in it, told as the failure that it is.
    Try(Option<Failure>),
    /// Neither: the code of a test, since a host calls nothing else.
    Neither,
}

struct Graph {
    number: u32,
    spec: &'static DagSpec,
    calls: Vec<Call>,
    groups: Vec<Opened>,
    /// The group in which calls stand now.
    inside: Option<usize>,
    errors: Vec<DefinitionError>,
}

/// A call of a task.
struct Call {
    /// As its attribute has it.
    code: &'static TaskSpec,
    /// As this call has it.
    spec: Cow<'static, TaskSpec>,
    id: Option<String>,
    group: Option<usize>,
    arguments: Vec<Wire>,
    mapping: Option<CallMapping>,
    upstream: Vec<usize>,
    site: Site,
}

enum CallMapping {
    Product(Parameters<SourceWire>),
    Keywords(SourceWire),
}

/// A group that was opened.
struct Opened {
    id: String,
    parent: Option<usize>,
    mapping: Parameters<SourceWire>,
    doc: Option<String>,
    site: Site,
}

/// Runs a DAG's function and gives its graph, or all its mistakes.
pub(crate) fn build(spec: &'static DagSpec) -> Result<Dag, Vec<DefinitionError>> {
    let number = BUILT.get();
    BUILT.set(number.wrapping_add(1));
    // Whatever graph a panic left behind on this thread is nobody's.
    SCENE.replace(Scene::Dag(Graph {
        number,
        spec,
        calls: Vec::new(),
        groups: Vec::new(),
        inside: None,
        errors: Vec::new(),
    }));
    let result = (spec.graph)();
    let Scene::Dag(mut graph) = SCENE.replace(Scene::Neither) else {
        return Err(vec![DefinitionError {
            dag_id: spec.dag_id,
            message: "the DAG function parsed another DAG, which took this one's place; do that outside of it".to_owned(),
            location: spec.location,
        }]);
    };
    if let Err(error) = result {
        graph.errors.push(DefinitionError {
            dag_id: spec.dag_id,
            message: format!("{error:#}"),
            location: error.location(),
        });
    }
    graph.finish()
}

/// Runs a task's code. That it called a task fails it for good, whatever it gave: no other try would fare
/// better, and the author believes that something ran which did not.
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
pub fn add<T>(spec: &'static TaskSpec, task_id: Option<String>, arguments: Vec<Wire>) -> Output<T> {
    Output::new(call(spec, task_id, arguments, None, Location::caller()))
}

/// Adds a task that is mapped over those of its arguments that are lists.
///
/// # Panics
/// As [`add`].
#[track_caller]
#[doc(hidden)]
pub fn expand<T>(
    spec: &'static TaskSpec,
    arguments: Vec<(&'static str, MappedWire)>,
) -> Output<Vec<T>> {
    let mut lists = Vec::new();
    let arguments = arguments
        .into_iter()
        .map(|(name, wire)| match wire {
            MappedWire::Same(wire) => wire,
            MappedWire::Each(source) => {
                lists.push((Cow::Borrowed(name), source));
                Wire::Mapped(name)
            }
        })
        .collect();
    let mapping = Some(CallMapping::Product(lists));
    Output::new(call(spec, None, arguments, mapping, Location::caller()))
}

/// Adds a task that is mapped over a list of objects, whose keys are its parameters.
///
/// # Panics
/// As [`add`].
#[track_caller]
#[doc(hidden)]
pub fn expand_kwargs<T>(
    spec: &'static TaskSpec,
    names: &[&'static str],
    source: SourceWire,
) -> Output<Vec<T>> {
    let arguments = names.iter().map(|name| Wire::Mapped(name)).collect();
    let mapping = Some(CallMapping::Keywords(source));
    Output::new(call(spec, None, arguments, mapping, Location::caller()))
}

#[expect(
    clippy::panic,
    reason = "only a test's own code can come there, and that is how a test fails"
)]
fn call(
    spec: &'static TaskSpec,
    id: Option<String>,
    arguments: Vec<Wire>,
    mapping: Option<CallMapping>,
    site: Site,
) -> Node {
    SCENE.with_borrow_mut(|scene| match scene {
        Scene::Dag(graph) => {
            let index = graph.calls.len();
            graph.calls.push(Call {
                code: spec,
                spec: Cow::Borrowed(spec),
                id,
                group: graph.inside,
                arguments,
                mapping,
                upstream: Vec::new(),
                site,
            });
            Node {
                graph: graph.number,
                index,
            }
        }
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
    })
}

/// What there is to say to a call of a task that no DAG function made.
fn outside(spec: &TaskSpec) -> String {
    let name = name(spec);
    format!(
        "`{name}(…)` adds a task to a DAG, and was called outside of a #[dag] function; to run the task's code, call `{name}::run(…)`"
    )
}

/// Does something to the graph, if there is one: where there is none, the call that gave the handle has
/// said so already.
fn with(edit: impl FnOnce(&mut Graph)) {
    SCENE.with_borrow_mut(|scene| {
        if let Scene::Dag(graph) = scene {
            edit(graph);
        }
    });
}

/// Makes `later` wait for `earlier`.
#[track_caller]
pub(crate) fn order(earlier: Node, later: Node) {
    let site = Location::caller();
    with(|graph| {
        let (Some(earlier), Some(later)) = (graph.own(earlier, site), graph.own(later, site))
        else {
            return;
        };
        if let Some(later) = graph.calls.get_mut(later) {
            later.upstream.push(earlier);
        }
    });
}

/// Gives a task another id.
#[track_caller]
pub(crate) fn rename(node: Node, id: String) {
    let site = Location::caller();
    with(|graph| {
        if let Some(call) = graph.call(node, site) {
            call.id = Some(id);
        }
    });
}

/// Changes what is said of a task.
#[track_caller]
pub(crate) fn change(node: Node, change: impl FnOnce(&mut TaskSpec)) {
    let site = Location::caller();
    with(|graph| {
        if let Some(call) = graph.call(node, site) {
            change(call.spec.to_mut());
        }
    });
}

/// Makes a task a teardown, if it is not one.
#[track_caller]
pub(crate) fn teardown(node: Node) {
    change(node, |task| {
        task.trigger_rule = TriggerRule::AllDoneSetupSuccess;
        if !matches!(task.role, Role::Teardown { .. }) {
            task.role = Role::Teardown {
                on_failure_fail_dagrun: false,
            };
        }
    });
}

/// Opens a group, in which the calls that follow stand.
#[track_caller]
pub(crate) fn open_group(
    id: String,
    doc: Option<String>,
    mapping: Parameters<SourceWire>,
) -> Option<GroupNode> {
    let site = Location::caller();
    let mut node = None;
    with(|graph| {
        let index = graph.groups.len();
        graph.groups.push(Opened {
            id,
            parent: graph.inside,
            mapping,
            doc,
            site,
        });
        graph.inside = Some(index);
        node = Some(GroupNode {
            graph: graph.number,
            index,
        });
    });
    node
}

/// Closes the group that was opened last.
pub(crate) fn close_group(node: Option<GroupNode>) {
    with(|graph| {
        let own = node.filter(|node| node.graph == graph.number);
        if let Some(opened) = own.and_then(|node| graph.groups.get(node.index)) {
            graph.inside = opened.parent;
        }
    });
}

/// The tasks that stand for a group on this side of it. Teardowns do not stand at its end, since what comes
/// after a group does not wait for its tidying up (Airflow 3.3.2, `airflow/sdk/definitions/taskgroup.py`).
pub(crate) fn edge(group: GroupNode, side: Side) -> Vec<Node> {
    let mut found = Vec::new();
    with(|graph| {
        if group.graph == graph.number {
            found = graph.edge(group.index, side);
        }
    });
    found
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

    /// The place of a task of this graph.
    fn own(&mut self, node: Node, site: Site) -> Option<usize> {
        let own = node.graph == self.number && node.index < self.calls.len();
        if !own {
            let message = "this uses the output of a task of another DAG; call that task in this DAG function too";
            self.mistake(message.to_owned(), site);
        }
        own.then_some(node.index)
    }

    fn call(&mut self, node: Node, site: Site) -> Option<&mut Call> {
        let index = self.own(node, site)?;
        self.calls.get_mut(index)
    }

    /// Whether a group is another one, or stands in it.
    fn within(&self, group: Option<usize>, outer: usize) -> bool {
        let mut at = group;
        while let Some(index) = at {
            if index == outer {
                return true;
            }
            at = self.groups.get(index).and_then(|group| group.parent);
        }
        false
    }

    fn edge(&self, group: usize, side: Side) -> Vec<Node> {
        let inside = |index: usize| {
            let call = self.calls.get(index);
            call.is_some_and(|call| self.within(call.group, group))
        };
        let counts =
            |call: &Call| side == Side::First || !matches!(call.spec.role, Role::Teardown { .. });
        let members: Vec<usize> = (0..self.calls.len())
            .filter(|index| inside(*index))
            .collect();
        let mut inner = vec![false; self.calls.len()];
        for index in &members {
            let Some(call) = self.calls.get(*index).filter(|call| counts(call)) else {
                continue;
            };
            for earlier in call.earlier(self.number).filter(|index| inside(*index)) {
                let not_at_the_edge = match side {
                    Side::First => *index,
                    Side::Last => earlier,
                };
                if let Some(inner) = inner.get_mut(not_at_the_edge) {
                    *inner = true;
                }
            }
        }
        members
            .into_iter()
            .filter(|index| {
                let call = self.calls.get(*index);
                inner.get(*index) == Some(&false) && call.is_some_and(counts)
            })
            .map(|index| Node {
                graph: self.number,
                index,
            })
            .collect()
    }
}

impl SourceWire {
    fn nodes(&self) -> Vec<Node> {
        match self {
            Self::Literal(_) | Self::Invalid(_) => Vec::new(),
            Self::Output(node) => vec![*node],
            Self::Zip(sources, _) => sources.iter().flat_map(Self::nodes).collect(),
        }
    }
}

impl Call {
    /// The tasks of its graph that it waits for.
    fn earlier(&self, graph: u32) -> impl Iterator<Item = usize> {
        let arguments = self.arguments.iter().filter_map(|wire| match wire {
            Wire::Output(node) => Some(*node),
            _ => None,
        });
        let lists = match &self.mapping {
            None => Vec::new(),
            Some(CallMapping::Keywords(source)) => source.nodes(),
            Some(CallMapping::Product(lists)) => lists
                .iter()
                .flat_map(|(_, source)| source.nodes())
                .collect(),
        };
        let nodes = arguments.chain(lists);
        nodes
            .filter(move |node| node.graph == graph)
            .map(|node| node.index)
            .chain(self.upstream.iter().copied())
    }
}
