//! Over what a task or a group is mapped, with its sources resolved (Airflow 3.3.2,
//! `airflow/models/expandinput.py`).
//!
//! Which value an instance gets follows from its map index and the lengths of the sources alone, so that
//! ten thousand instances need no more than their number until one of them starts.

use std::sync::Arc;

use crate::id::TaskIndex;

/// The values of one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// Fixed when the DAG was parsed: JSON texts.
    Literal(Arc<[Arc<str>]>),
    /// The elements of what this task returned.
    Output(TaskIndex),
    /// One of each, side by side.
    Zip {
        /// None of them a zip.
        sources: Vec<Self>,
        /// For what a shorter source lacks; none: the shortest ends the list.
        fill: Option<Arc<str>>,
    },
}

impl Values {
    fn tasks(&self, found: &mut Vec<TaskIndex>) {
        match self {
            Self::Literal(_) => {}
            Self::Output(task) => found.push(*task),
            Self::Zip { sources, .. } => sources.iter().for_each(|source| source.tasks(found)),
        }
    }

    fn length(&self, of: &impl Fn(TaskIndex) -> Option<u32>) -> Option<u32> {
        match self {
            Self::Literal(values) => Some(u32::try_from(values.len()).unwrap_or(u32::MAX)),
            Self::Output(task) => of(*task),
            Self::Zip { sources, fill } => {
                let lengths: Option<Vec<u32>> =
                    sources.iter().map(|source| source.length(of)).collect();
                let lengths = lengths?.into_iter();
                if fill.is_some() {
                    lengths.max()
                } else {
                    lengths.min()
                }
            }
        }
    }

    fn part(&self, index: u32) -> Option<Part> {
        Some(match self {
            Self::Literal(values) => Part::Value(Arc::clone(values.get(index as usize)?)),
            Self::Output(task) => Part::Element(*task, index),
            Self::Zip { sources, fill } => {
                let missing = || Part::Value(fill.clone().unwrap_or_else(|| "null".into()));
                let parts = sources.iter().map(|source| match source {
                    Self::Output(task) => match fill {
                        Some(fill) => Part::ElementOr(*task, index, Arc::clone(fill)),
                        None => Part::Element(*task, index),
                    },
                    other => other.part(index).unwrap_or_else(missing),
                });
                Part::Row(parts.collect())
            }
        })
    }
}

/// How something becomes many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped {
    /// One instance for each combination; the last parameter changes fastest.
    Product(Vec<(Arc<str>, Values)>),
    /// One instance for each object, whose keys are the parameters.
    Keywords(Values),
}

/// Where an instance's part of a parameter is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Here: a JSON text.
    Value(Arc<str>),
    /// An element of what a task returned. An object's element is a `[key, value]` pair; of a mapped task it is
    /// what the so-manieth instance that returned something returned.
    Element(TaskIndex, u32),
    /// The same, or this where there are fewer.
    ElementOr(TaskIndex, u32, Arc<str>),
    /// An array of these.
    Row(Vec<Self>),
    /// The value under this key of an object; `null` when it has none.
    Under(Box<Self>, Arc<str>),
}

impl Mapped {
    /// The tasks whose return values it needs, each once, ascending.
    #[must_use]
    pub fn sources(&self) -> Vec<TaskIndex> {
        let mut found = Vec::new();
        match self {
            Self::Product(parameters) => parameters.iter().for_each(|(_, v)| v.tasks(&mut found)),
            Self::Keywords(values) => values.tasks(&mut found),
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// How many instances; none as long as a length is unknown.
    #[must_use]
    pub fn length(&self, of: impl Fn(TaskIndex) -> Option<u32>) -> Option<u64> {
        match self {
            Self::Product(parameters) => {
                parameters.iter().try_fold(1_u64, |product, (_, values)| {
                    Some(product.saturating_mul(values.length(&of)?.into()))
                })
            }
            Self::Keywords(values) => values.length(&of).map(u64::from),
        }
    }

    /// Whether it gives a value to this parameter.
    #[must_use]
    pub fn gives(&self, name: &str) -> bool {
        match self {
            Self::Product(parameters) => parameters.iter().any(|(given, _)| **given == *name),
            Self::Keywords(_) => true,
        }
    }

    /// The part of a parameter that belongs to the instance of this map index.
    #[must_use]
    pub fn part(
        &self,
        name: &str,
        map_index: u32,
        of: impl Fn(TaskIndex) -> Option<u32>,
    ) -> Option<Part> {
        match self {
            Self::Product(parameters) => {
                let mut rest = map_index;
                for (given, values) in parameters.iter().rev() {
                    let length = values.length(&of).filter(|&length| length > 0)?;
                    if **given == *name {
                        return values.part(rest % length);
                    }
                    rest /= length;
                }
                None
            }
            Self::Keywords(values) => {
                let object = values.part(map_index)?;
                Some(Part::Under(Box::new(object), name.into()))
            }
        }
    }
}

/// The elements of a JSON array, or the `[key, value]` pairs of an object, each as JSON text; none when it
/// is neither.
#[must_use]
pub fn elements(json: &str) -> Option<Vec<Arc<str>>> {
    use serde_json::value::RawValue;
    if let Ok(array) = serde_json::from_str::<Vec<&RawValue>>(json) {
        return Some(array.into_iter().map(|value| value.get().into()).collect());
    }
    let object = serde_json::from_str::<Pairs<'_>>(json).ok()?;
    let pair = |(key, value): (String, &RawValue)| {
        format!("[{},{}]", serde_json::Value::String(key), value.get()).into()
    };
    Some(object.0.into_iter().map(pair).collect())
}

/// How many [`elements`] there are.
#[must_use]
pub fn length(json: &str) -> Option<u32> {
    use serde::de::IgnoredAny;
    let count = match serde_json::from_str::<Vec<IgnoredAny>>(json) {
        Ok(array) => array.len(),
        Err(_) => serde_json::from_str::<Pairs<'_>>(json).ok()?.0.len(),
    };
    u32::try_from(count).ok()
}

/// An object's pairs in the order of its text, of a key that stands there twice the last.
struct Pairs<'a>(Vec<(String, &'a serde_json::value::RawValue)>);

impl<'de> serde::Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Pairs<'de>, A::Error> {
                let mut pairs: Vec<(String, &'de serde_json::value::RawValue)> = Vec::new();
                let mut seen = std::collections::HashMap::new();
                while let Some((key, value)) =
                    map.next_entry::<String, &'de serde_json::value::RawValue>()?
                {
                    match seen.get(&key).and_then(|&at: &usize| pairs.get_mut(at)) {
                        Some(pair) => pair.1 = value,
                        None => {
                            seen.insert(key.clone(), pairs.len());
                            pairs.push((key, value));
                        }
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(values: &[&str]) -> Values {
        Values::Literal(values.iter().map(|&v| v.into()).collect())
    }

    fn value(part: Option<Part>) -> String {
        match part.unwrap() {
            Part::Value(text) => text.to_string(),
            Part::Row(parts) => format!(
                "[{}]",
                parts
                    .into_iter()
                    .map(|p| value(Some(p)))
                    .collect::<Vec<_>>()
                    .join(",")
            ),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_last_parameter_of_a_product_changes_fastest() {
        let mapped = Mapped::Product(vec![
            ("a".into(), literal(&["1", "2"])),
            ("b".into(), literal(&["x", "y", "z"])),
        ]);
        assert_eq!(mapped.length(|_| None), Some(6));
        let pair = |i| {
            let of = |name| value(mapped.part(name, i, |_| None));
            of("a") + &of("b")
        };
        let pairs: Vec<String> = (0..6).map(pair).collect();
        assert_eq!(pairs, ["1x", "1y", "1z", "2x", "2y", "2z"]);
    }

    #[test]
    fn a_zip_ends_with_its_shortest_source_or_is_filled_to_its_longest() {
        let zip = |fill: Option<&str>| {
            Mapped::Product(vec![(
                "row".into(),
                Values::Zip {
                    sources: vec![literal(&["1", "2", "3"]), literal(&["\"a\""])],
                    fill: fill.map(Into::into),
                },
            )])
        };
        assert_eq!(zip(None).length(|_| None), Some(1));
        let filled = zip(Some("0"));
        assert_eq!(filled.length(|_| None), Some(3));
        assert_eq!(value(filled.part("row", 2, |_| None)), "[3,0]");
    }

    #[test]
    fn an_object_stands_for_its_pairs_and_other_values_for_nothing() {
        let of = |json| elements(json).map(|found| found.join(" "));
        assert_eq!(of("[1, {\"a\": 2}]").as_deref(), Some("1 {\"a\": 2}"));
        assert_eq!(
            of("{\"b\": 1, \"a\\n\": [2]}").as_deref(),
            Some("[\"b\",1] [\"a\\n\",[2]]")
        );
        assert_eq!(of("{\"a\": 1, \"a\": 2}").as_deref(), Some("[\"a\",2]"));
        for neither in ["3", "\"text\"", "null", "{"] {
            assert_eq!((of(neither), length(neither)), (None, None));
        }
        assert_eq!(
            (length("[1,2]"), length("{\"a\":1,\"a\":2}"), length("[]")),
            (Some(2), Some(1), Some(0))
        );
    }
}
