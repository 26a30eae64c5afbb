//! What a try gets for its arguments: values fixed in the definition, what earlier tasks returned, and its
//! part of a mapping.
//!
//! An argument is first a [`Piece`], which says where its value is found. Most values are in memory; the
//! rest (large ones, and all after a restart) is read from the store before the try is dispatched.

use std::{collections::HashMap, sync::Arc};

use airlock_model::{
    dag::{Input, Part, mapping},
    id::{InstanceIndex, MapIndex, TaskIndex},
    run::Run,
};

/// Return values, by the instance that returned them; none: it returned nothing.
pub(crate) type Returned = HashMap<InstanceIndex, Option<Arc<str>>>;

/// What a task gets for a return value that was never pushed.
const NULL: &str = "null";

/// Where a value is found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    /// Here.
    Value(Arc<str>),
    /// What this instance returned.
    Return(InstanceIndex),
    /// An array of what these returned, leaving out those that returned nothing.
    List(Vec<InstanceIndex>),
    /// An element of what this instance returned.
    Element(InstanceIndex, u32),
    /// An array.
    Row(Vec<Self>),
    /// The value under a key of an object.
    Under(Box<Self>, Arc<str>),
}

impl Piece {
    /// The piece that an input stands for.
    pub(crate) fn of(run: &Run, at: InstanceIndex, input: &Input) -> Self {
        match input {
            Input::Literal(json) => Self::Value(Arc::clone(json)),
            Input::Output(up) => Self::output(run, at, *up),
            Input::Mapped(name) => {
                let place = at.map_index.get().and_then(|i| u32::try_from(i).ok());
                let mapping = run.dag().mapping(at.task).zip(place);
                let part = mapping.and_then(|(m, i)| m.part(name, i, |s| run.length(s)));
                part.map_or(Self::Value(NULL.into()), |part| Self::part(run, part))
            }
        }
    }

    fn output(run: &Run, at: InstanceIndex, up: TaskIndex) -> Self {
        let group = |task: TaskIndex| run.dag().tasks().get(task.get()).and_then(|t| t.group);
        let together = group(up).is_some() && group(up) == group(at.task);
        let own = InstanceIndex {
            task: up,
            map_index: at.map_index,
        };
        let instances = run.instances_of(up);
        match instances.as_slice() {
            _ if together && run.fields(own).is_some() => Self::Return(own),
            [one] if one.map_index == MapIndex::UNMAPPED => {
                // A mapped task that never became many has no results.
                match run.dag().mapping(up) {
                    Some(_) => Self::List(Vec::new()),
                    None => Self::Return(*one),
                }
            }
            _ => Self::List(instances),
        }
    }

    fn part(run: &Run, part: Part) -> Self {
        let element = |source, place| match run.element_of(source, place) {
            Some(at) if at.map_index == MapIndex::UNMAPPED => Self::Element(at, place),
            Some(at) => Self::Return(at),
            None => Self::Value(NULL.into()),
        };
        match part {
            Part::Value(json) => Self::Value(json),
            Part::Element(source, place) => element(source, place),
            Part::ElementOr(source, place, fill) => {
                match run.length(source).is_some_and(|length| place < length) {
                    true => element(source, place),
                    false => Self::Value(fill),
                }
            }
            Part::Row(parts) => Self::Row(parts.into_iter().map(|p| Self::part(run, p)).collect()),
            Part::Under(part, key) => Self::Under(Box::new(Self::part(run, *part)), key),
        }
    }

    /// The instances whose return values it needs, whole and split into elements.
    pub(crate) fn needs(&self, whole: &mut Vec<InstanceIndex>, split: &mut Vec<InstanceIndex>) {
        match self {
            Self::Value(_) => {}
            Self::Return(at) => whole.push(*at),
            Self::Element(at, _) => split.push(*at),
            Self::List(all) => whole.extend(all),
            Self::Row(parts) => parts.iter().for_each(|part| part.needs(whole, split)),
            Self::Under(part, _) => part.needs(whole, split),
        }
    }

    /// The value, where all that it needs is there.
    pub(crate) fn value(&self, values: &impl Values) -> Option<Arc<str>> {
        Some(match self {
            Self::Value(json) => Arc::clone(json),
            Self::Return(at) => values.returned(*at)?.unwrap_or_else(|| NULL.into()),
            Self::List(all) => {
                let all: Option<Vec<_>> = all.iter().map(|at| values.returned(*at)).collect();
                array(all?.into_iter().flatten())
            }
            Self::Element(at, place) => {
                let elements = values.elements(*at)?;
                elements
                    .get(*place as usize)
                    .map_or_else(|| NULL.into(), Arc::clone)
            }
            Self::Row(parts) => {
                let parts: Option<Vec<_>> = parts.iter().map(|part| part.value(values)).collect();
                array(parts?.into_iter())
            }
            Self::Under(part, key) => under(&part.value(values)?, key),
        })
    }
}

/// Where return values are looked up; none when one is not there.
pub(crate) trait Values {
    /// What an instance returned, if anything.
    fn returned(&self, at: InstanceIndex) -> Option<Option<Arc<str>>>;
    /// The elements of what an instance returned.
    fn elements(&self, at: InstanceIndex) -> Option<Arc<[Arc<str>]>>;
}

/// The elements of a return value; none for what is no list.
pub(crate) fn split(json: Option<&str>) -> Arc<[Arc<str>]> {
    json.and_then(mapping::elements).unwrap_or_default().into()
}

fn array(values: impl Iterator<Item = Arc<str>>) -> Arc<str> {
    let values: Vec<Arc<str>> = values.collect();
    format!("[{}]", values.join(",")).into()
}

fn under(object: &str, key: &str) -> Arc<str> {
    let object: Result<HashMap<String, &serde_json::value::RawValue>, _> =
        serde_json::from_str(object);
    let value = object
        .ok()
        .and_then(|object| object.get(key).map(|value| value.get().into()));
    value.unwrap_or_else(|| NULL.into())
}
