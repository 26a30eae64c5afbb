//! Handing a part of the document to a serde type of another crate without losing the lines.
//!
//! serde stops at its first error. So the offending value is taken out and the rest is tried again, until
//! nothing is left to complain about; what only the removal broke is not told.

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor,
    value::StrDeserializer,
};

use super::{
    document::{Node, Origin, Value},
    mistake::Problem,
};

/// A mistake below the node that was handed over: its path, its place and what it is.
pub(crate) type Found = (Vec<String>, Origin, Problem);

/// Mistakes that are told of one part of the document at most, so that no file keeps the check busy.
const MOST_MISTAKES: usize = 100;

/// Reads a part of the document as `T`, or tells every mistake in it.
pub(crate) fn all_mistakes<T: DeserializeOwned>(node: &Node) -> Result<T, Vec<Found>> {
    let mut found: Vec<Found> = Vec::new();
    let mut left = node.clone();
    let mut taken: Vec<(Origin, String)> = Vec::new();
    while found.len() < MOST_MISTAKES {
        let error = match T::deserialize(&left) {
            Ok(value) if found.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => error,
        };
        let steps: Vec<&Step> = error.path.iter().rev().collect();
        let (path, parent, origin) = place(&left, &steps);
        let problem = problem(error.message);
        // A table from which a value was taken may miss it now.
        let consequence = match &problem {
            Problem::Missing(name) => taken.contains(&(origin.clone(), name.clone())),
            _ => false,
        };
        if !consequence {
            found.push((path, origin, problem));
        }
        taken.extend(steps.last().map(|step| (parent, step.to_string())));
        if !take_out(&mut left, &steps) {
            break;
        }
    }
    Err(found)
}

/// serde's own words for an unknown field, turned into ours.
fn problem(message: String) -> Problem {
    match message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'))
    {
        Some((name, rest)) => Problem::UnknownOption {
            name: name.to_owned(),
            nearest: super::mistake::nearest(name, rest.split('`').skip(1).step_by(2)),
        },
        None => match message
            .strip_prefix("missing field `")
            .and_then(|rest| rest.strip_suffix('`'))
        {
            Some(name) => Problem::Missing(name.to_owned()),
            None => Problem::Value(message),
        },
    }
}

/// What a path leads to: its steps as people name them, where its parent stands, and where it stands.
fn place(node: &Node, steps: &[&Step]) -> (Vec<String>, Origin, Origin) {
    let (mut at, mut parent) = (node, node);
    let mut path = Vec::with_capacity(steps.len());
    for step in steps {
        let Some(next) = child(at, step) else { break };
        (parent, at) = (at, next);
        path.push(match (step, next.name()) {
            (Step::Index(_), Some(name)) => name.to_owned(),
            _ => step.to_string(),
        });
    }
    (path, parent.origin.clone(), at.origin.clone())
}

fn child<'a>(node: &'a Node, step: &Step) -> Option<&'a Node> {
    match (&node.value, step) {
        (Value::Table(table), Step::Key(key)) => table.get(key),
        (Value::List(items), Step::Index(i)) => items.get(*i),
        _ => None,
    }
}

/// Removes what the path leads to; false when that is everything.
fn take_out(node: &mut Node, steps: &[&Step]) -> bool {
    let Some((first, rest)) = steps.split_first() else {
        return false;
    };
    match (&mut node.value, first) {
        (Value::Table(table), Step::Key(key)) => {
            let inner = table.get_mut(key);
            inner.is_some_and(|inner| take_out(inner, rest)) || table.remove(key).is_some()
        }
        (Value::List(items), Step::Index(i)) => {
            let inner = items.get_mut(*i);
            let there = inner.is_some();
            if !inner.is_some_and(|inner| take_out(inner, rest)) && there {
                items.remove(*i);
            }
            there
        }
        _ => false,
    }
}

/// A value as TOML writes it.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::Text(text) => super::value::quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Time(text) => text.clone(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| show(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let items: Vec<String> = table
                .iter()
                .map(|(key, node)| format!("{key} = {}", show(&node.value)))
                .collect();
            format!("{{ {} }}", items.join(", "))
        }
    }
}

/// One step of a path, told from the inside out.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Index(i) => write!(f, "{i}"),
        }
    }
}

/// serde's error, with the path from the inside out.
#[derive(Debug)]
pub(crate) struct PlacedError {
    path: Vec<Step>,
    message: String,
}

impl PlacedError {
    fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }
}

impl std::fmt::Display for PlacedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PlacedError {}

impl de::Error for PlacedError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self {
            path: Vec::new(),
            message: message.to_string(),
        }
    }
}

/// Text of the environment stands for whatever its text says.
macro_rules! from_environment {
    ($($method:ident => $type:ty, $visit:ident;)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PlacedError> {
            match &self.value {
                Value::Text(text) if self.is_environment() && let Ok(value) = text.parse::<$type>() => visitor.$visit(value),
                _ => self.deserialize_any(visitor),
            }
        }
    )* };
}

impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = PlacedError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PlacedError> {
        match &self.value {
            Value::Text(text) | Value::Time(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::List(items) => visitor.visit_seq(Items {
                items: items.iter().enumerate(),
            }),
            Value::Table(table) => visitor.visit_map(Entries {
                entries: table.iter(),
                current: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PlacedError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PlacedError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PlacedError> {
        match &self.value {
            Value::Text(text) => {
                let text: StrDeserializer<'_, PlacedError> = text.as_str().into_deserializer();
                de::Deserializer::deserialize_enum(text, name, variants, visitor)
            }
            Value::Table(table) => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Entries {
                    entries: table.iter(),
                    current: None,
                }))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    from_environment! {
        deserialize_bool => bool, visit_bool;
        deserialize_u8 => u8, visit_u8;
        deserialize_u16 => u16, visit_u16;
        deserialize_u32 => u32, visit_u32;
        deserialize_u64 => u64, visit_u64;
        deserialize_i32 => i32, visit_i32;
        deserialize_i64 => i64, visit_i64;
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = PlacedError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, PlacedError> {
        let Some((i, item)) = self.items.next() else {
            return Ok(None);
        };
        seed.deserialize(item)
            .map(Some)
            .map_err(|error| error.within(Step::Index(i)))
    }
}

struct Entries<'de> {
    entries: std::collections::btree_map::Iter<'de, String, Node>,
    current: Option<(&'de String, &'de Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = PlacedError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, PlacedError> {
        self.current = self.entries.next();
        let Some((key, _)) = self.current else {
            return Ok(None);
        };
        let text: StrDeserializer<'_, PlacedError> = key.as_str().into_deserializer();
        seed.deserialize(text)
            .map(Some)
            .map_err(|error: PlacedError| error.within(Step::Key(key.clone())))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, PlacedError> {
        let Some((key, node)) = self.current.take() else {
            return Err(de::Error::custom("a value without a key"));
        };
        seed.deserialize(node)
            .map_err(|error| error.within(Step::Key(key.clone())))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        id: String,
        #[serde(default)]
        port: u16,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(default)]
        inner: Vec<Inner>,
    }

    fn check(text: &str) -> Result<Outer, Vec<String>> {
        let mut mistakes = Vec::new();
        let table = super::super::document::parse(&"f".into(), text, &mut mistakes);
        all_mistakes(&Node {
            origin: Origin::Default,
            value: Value::Table(table),
        })
        .map_err(|found| {
            found
                .into_iter()
                .map(|(path, origin, problem)| format!("{origin} {} {problem}", path.join(".")))
                .collect()
        })
    }

    #[test]
    fn a_foreign_type_gets_its_value_or_every_mistake_with_its_line() {
        assert_eq!(
            check("[[inner]]\nid = 'a'\nport = 0x10").unwrap(),
            Outer {
                inner: vec![Inner {
                    id: "a".into(),
                    port: 16
                }]
            }
        );
        let mistakes = check(
            "[[inner]]\nid = 7\nprot = 3\n[[inner]]\nport = 70000\n[[inner]]\nid = 'x'\nport = 'y'\n[outer]\n",
        )
        .unwrap_err();
        assert_eq!(mistakes.len(), 6, "{mistakes:#?}");
        assert!(
            mistakes.iter().any(|m| m.starts_with("f:2 inner.0.id")),
            "{mistakes:#?}"
        );
        assert!(
            mistakes
                .iter()
                .any(|m| m.starts_with("f:3") && m.contains("did you mean `port`")),
            "{mistakes:#?}"
        );
        assert!(
            mistakes.iter().any(|m| m.starts_with("f:9")),
            "{mistakes:#?}"
        );
    }
}
