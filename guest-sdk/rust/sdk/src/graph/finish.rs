//! From the calls of a DAG function to the definition: ids are given, handles become ids, and what only the
//! bundle itself can know to be wrong is told. What the host judges (cycles, lengths, rules that do not go
//! together) is left to it.

use std::{borrow::Cow, collections::BTreeMap};

use super::{Call, CallMapping, Graph, GroupNode, Node, Parameters, Site, name};
use crate::{
    argument::Wire,
    asset::{Asset, AssetRef},
    callback::Deadline,
    definition::{self, Argument, Dag, DefinitionError, Group, Mapping, Source, Task},
    mapping::SourceWire,
    registry,
};

/// The longest id, in bytes (Airflow 3.3.2).
const MAX_ID_BYTES: usize = 250;

/// Ids as they stand in the definition.
struct Names {
    tasks: Vec<Cow<'static, str>>,
    groups: Vec<String>,
}

impl Graph {
    /// The definition, or all mistakes.
    pub(super) fn finish(mut self) -> Result<Dag, Vec<DefinitionError>> {
        let names = self.names();
        self.check_ids(&names);
        for (at, id) in names.groups.iter().enumerate() {
            let empty = !self.calls.iter().any(|call| self.within(call.group, at));
            if let Some(group) = self.groups.get(at).filter(|_| empty) {
                let message = format!("group `{id}` has no task; call at least one in it");
                self.mistake(message, group.site);
            }
        }
        let opened = std::mem::take(&mut self.groups);
        let mut groups = Vec::with_capacity(opened.len());
        for (group, group_id) in opened.iter().zip(&names.groups) {
            let what = format!("group `{group_id}`");
            if !group.mapping.is_empty() && nearest_mapped(&opened, group.parent).is_some() {
                self.mistake(
                    format!("{what} is mapped, and so is a group around it; map one of the two"),
                    group.site,
                );
            }
            groups.push(Group {
                group_id: group_id.clone(),
                parent: group.parent.and_then(|at| names.groups.get(at)).cloned(),
                mapping: self.sources(&group.mapping, &names, &what, group.site),
                doc: group.doc.clone(),
                location: group.site.into(),
            });
        }
        let calls = std::mem::take(&mut self.calls);
        let around: Vec<Option<usize>> = calls
            .iter()
            .map(|call| nearest_mapped(&opened, call.group))
            .collect();
        let mut tasks = Vec::with_capacity(calls.len());
        for ((call, task_id), mapped) in calls.into_iter().zip(&names.tasks).zip(around) {
            tasks.push(self.task(call, task_id.clone(), mapped, &names));
        }
        let assets = self.assets(&tasks);
        self.check_watchers(&assets);
        self.check_callbacks(&tasks);
        let deadlines = self.deadlines();
        match self.errors.is_empty() {
            true => Ok(Dag {
                spec: self.spec,
                assets,
                deadlines,
                groups,
                tasks,
            }),
            false => Err(self.errors),
        }
    }

    fn names(&self) -> Names {
        let mut groups: Vec<String> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let id = match group.parent.and_then(|at| groups.get(at)) {
                Some(parent) => format!("{parent}.{}", group.id),
                None => group.id.clone(),
            };
            groups.push(id);
        }
        let tasks = self
            .calls
            .iter()
            .map(|call| {
                let own = match &call.id {
                    Some(id) => Cow::Owned(id.clone()),
                    None => Cow::Borrowed(call.spec.task_id),
                };
                match call.group.and_then(|at| groups.get(at)) {
                    Some(group) => Cow::Owned(format!("{group}.{own}")),
                    None => own,
                }
            })
            .collect();
        Names { tasks, groups }
    }

    /// Ids that are none, that there are twice, or whose code is not to be found.
    fn check_ids(&mut self, names: &Names) {
        let mut seen: BTreeMap<&str, Site> = BTreeMap::new();
        let mut errors = Vec::new();
        for (group, id) in self.groups.iter().zip(&names.groups) {
            if let Some(first) = seen.get(id.as_str()) {
                let first = definition::Location::from(*first);
                let message = format!(
                    "there already is a group `{id}`, opened at {first}; give one of the two another id"
                );
                errors.push((message, group.site));
            }
            if !is_id(id) {
                errors.push((no_id(id, "group_id"), group.site));
            }
            seen.entry(id).or_insert(group.site);
        }
        for (call, id) in self.calls.iter().zip(&names.tasks) {
            if let Some(first) = seen.get(&**id) {
                let first = definition::Location::from(*first);
                let (name, own) = (name(call.code), call.id.as_deref());
                let own = own.unwrap_or(call.spec.task_id);
                let another = match &call.mapping {
                    None => format!("`{name}::with_id(\"{own}_2\", …)`"),
                    Some(_) => format!("`.id(\"{own}_2\")` after it"),
                };
                let message = format!(
                    "there already is a task `{id}`, added at {first}; give this call an id of its own: {another}"
                );
                errors.push((message, call.site));
            }
            if !is_id(id) {
                errors.push((no_id(id, "task_id"), call.site));
            }
            if !registry::holds(call.code) {
                let entry = call.code.entry;
                let message = format!(
                    "a try of task `{id}` would not find its code: `{entry}` is the name of two task functions, or the linker dropped it; rename the function, or move it to the bundle's own crate"
                );
                errors.push((message, call.site));
            }
            seen.entry(id).or_insert(call.site);
        }
        for (message, site) in errors {
            self.mistake(message, site);
        }
    }

    fn task(
        &mut self,
        call: Call,
        task_id: Cow<'static, str>,
        around: Option<usize>,
        names: &Names,
    ) -> Task {
        let site = call.site;
        let what = format!("task `{task_id}`");
        let mapping = match &call.mapping {
            None => None,
            Some(_) if around.is_some() => {
                let message =
                    format!("{what} is mapped, and so is the group around it; map one of the two");
                self.mistake(message, site);
                None
            }
            Some(CallMapping::Product(lists)) if lists.is_empty() => {
                let message = format!(
                    "{what} is expanded over nothing; wrap the list to map over in `each(…)`"
                );
                self.mistake(message, site);
                None
            }
            Some(CallMapping::Product(lists)) => {
                Some(Mapping::Product(self.sources(lists, names, &what, site)))
            }
            Some(CallMapping::Keywords(source)) => self
                .source(source, names, &what, site)
                .map(Mapping::Keywords),
        };
        let arguments = call
            .arguments
            .into_iter()
            .filter_map(|wire| self.argument(wire, around, names, &what, site))
            .collect();
        let upstream = call.upstream.iter().filter_map(|at| names.tasks.get(*at));
        Task {
            task_id,
            arguments,
            mapping,
            group: call.group.and_then(|at| names.groups.get(at)).cloned(),
            upstream: upstream.map(|id| id.to_string()).collect(),
            location: site.into(),
            spec: call.spec,
        }
    }

    fn argument(
        &mut self,
        wire: Wire,
        around: Option<usize>,
        names: &Names,
        what: &str,
        site: Site,
    ) -> Option<Argument> {
        match wire {
            Wire::Literal(json) => Some(Argument::Literal(json)),
            Wire::Output(node) => self.id(node, names, site).map(Argument::Output),
            Wire::Mapped(name) => Some(Argument::Mapped(name.into())),
            Wire::Part(GroupNode { graph, index }, name) => {
                if graph == self.number && around == Some(index) {
                    return Some(Argument::Mapped(name));
                }
                let message = format!(
                    "{what} uses a part of a mapped group that it does not stand in; call it in that group's function"
                );
                self.mistake(message, site);
                None
            }
            Wire::Invalid(why) => {
                let message = format!("an argument of {what} has no JSON form: {why}");
                self.mistake(message, site);
                None
            }
        }
    }

    /// The id of a task of this graph.
    fn id(&mut self, node: Node, names: &Names, site: Site) -> Option<String> {
        let own = names
            .tasks
            .get(node.index)
            .filter(|_| node.graph == self.number);
        if own.is_none() {
            let message = "this uses the output of a task of another DAG; call that task in this DAG function too";
            self.mistake(message.to_owned(), site);
        }
        own.map(|id| id.to_string())
    }

    fn sources(
        &mut self,
        lists: &Parameters<SourceWire>,
        names: &Names,
        what: &str,
        site: Site,
    ) -> Parameters<Source> {
        lists
            .iter()
            .filter_map(|(name, wire)| {
                let source = self.source(wire, names, what, site)?;
                Some((name.clone(), source))
            })
            .collect()
    }

    fn source(
        &mut self,
        wire: &SourceWire,
        names: &Names,
        what: &str,
        site: Site,
    ) -> Option<Source> {
        match wire {
            SourceWire::Literal(json) => Some(Source::Literal(json.clone())),
            SourceWire::Output(node) => self.id(*node, names, site).map(Source::Output),
            SourceWire::Zip(sources, fill) => {
                if sources
                    .iter()
                    .any(|inner| matches!(inner, SourceWire::Zip(..)))
                {
                    let message = format!(
                        "{what} is mapped over a zip of a zip; zip the lists themselves, with `zip3` where there are three"
                    );
                    self.mistake(message, site);
                    return None;
                }
                let sources = sources
                    .iter()
                    .filter_map(|inner| self.source(inner, names, what, site))
                    .collect();
                Some(Source::Zip {
                    sources,
                    fill: *fill,
                })
            }
            SourceWire::Invalid(why) => {
                let message = format!("{what} is mapped over a list without a JSON form: {why}");
                self.mistake(message, site);
                None
            }
        }
    }

    /// Watchers of one name, and those whose trigger is none.
    fn check_watchers(&mut self, assets: &[Asset]) {
        for asset in assets {
            let mut seen = Vec::new();
            for watcher in asset.watchers() {
                let name = watcher.name;
                if seen.contains(&name) {
                    let what = format!(
                        "asset `{}` has two watchers `{name}`; give one of the two another name",
                        asset.name
                    );
                    self.mistake_of_the_dag(what);
                }
                seen.push(name);
                if let Err(error) = watcher.awaited() {
                    self.mistake_of_the_dag(format!("asset `{}`: {error:#}", asset.name));
                }
            }
        }
    }

    /// Callbacks whose arguments have no JSON form, or whose code would not be found.
    fn check_callbacks(&mut self, tasks: &[Task]) {
        for spec in self.spec.callbacks {
            if let Err(error) = (spec.callback)().arguments() {
                self.mistake_of_the_dag(format!("{}: {error:#}", spec.on.name()));
            }
        }
        for task in tasks {
            for spec in task.spec.callbacks {
                if let Err(error) = (spec.callback)().arguments() {
                    self.errors.push(DefinitionError {
                        dag_id: self.spec.dag_id,
                        message: format!("task `{}`, {}: {error:#}", task.task_id, spec.on.name()),
                        location: task.location,
                    });
                }
            }
        }
    }

    fn deadlines(&mut self) -> Vec<Deadline> {
        let deadlines = match (self.spec.deadlines)() {
            Ok(deadlines) => deadlines,
            Err(error) => {
                self.errors.push(DefinitionError {
                    dag_id: self.spec.dag_id,
                    message: format!("deadlines: {error:#}"),
                    location: error.location(),
                });
                return Vec::new();
            }
        };
        for (at, deadline) in deadlines.iter().enumerate() {
            let name = &deadline.name;
            if deadlines.iter().take(at).any(|other| other.name == *name) {
                let what =
                    format!("there are two deadlines `{name}`; give one of the two another name");
                self.mistake_of_the_dag(what);
            }
            if let Err(error) = deadline.callback.arguments() {
                self.mistake_of_the_dag(format!("deadline `{name}`: {error:#}"));
            }
        }
        deadlines
    }

    fn mistake_of_the_dag(&mut self, message: String) {
        self.errors.push(DefinitionError {
            dag_id: self.spec.dag_id,
            message,
            location: self.spec.location,
        });
    }

    /// The assets that the definition describes.
    fn assets(&mut self, tasks: &[Task]) -> Vec<Asset> {
        let condition = self.spec.asset_condition;
        let all = tasks
            .iter()
            .flat_map(|task| task.spec.outlets.iter().chain(task.spec.inlets).copied())
            .chain(condition.iter().flat_map(|all| all.references()));
        let mut found: Vec<Asset> = Vec::new();
        let mut errors = Vec::new();
        for reference in all {
            let AssetRef::Asset(asset) = reference else {
                continue;
            };
            match found.iter().find(|other| other.name == asset.name) {
                None => found.push(asset),
                Some(other) if *other == asset => {}
                Some(_) => errors.push(asset.name),
            }
        }
        for name in errors {
            self.mistake_of_the_dag(format!(
                "asset `{name}` is described in two ways; make it one constant, and name that everywhere"
            ));
        }
        found
    }
}

/// The innermost group around that is mapped.
fn nearest_mapped(groups: &[super::Opened], group: Option<usize>) -> Option<usize> {
    let mut at = group;
    while let Some(index) = at {
        let group = groups.get(index)?;
        if !group.mapping.is_empty() {
            return Some(index);
        }
        at = group.parent;
    }
    None
}

fn is_id(id: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (1..=MAX_ID_BYTES).contains(&id.len()) && !matches!(id, "." | "..") && id.chars().all(good)
}

fn no_id(id: &str, what: &str) -> String {
    let shown = id.escape_debug();
    format!(
        "\"{shown}\" is no {what}; use 1 to {MAX_ID_BYTES} letters (a to z, A to Z), digits, `_`, `-` and `.`"
    )
}
