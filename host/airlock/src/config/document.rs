//! A configuration file as a tree that remembers where each value came from.
//!
//! The tree is what makes one pass find every mistake: nothing is rejected while it is built, and each value
//! can be traced to its line or to the environment variable that replaced it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Problem};

/// Environment variables that begin so override the file: `AIRLOCK__SERVER__LISTEN` is `server.listen`.
pub(crate) const ENVIRONMENT_PREFIX: &str = "AIRLOCK__";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// Nobody set it here; this option was taken instead.
    Inherited(&'static str),
    /// A line of the file, counted from one.
    File {
        /// The file as it was named.
        file: Arc<str>,
        /// Counted from one.
        line: usize,
    },
    /// This environment variable.
    Environment(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Inherited(option) => write!(f, "default, from {option}"),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

/// What TOML knows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A date or time; no option takes one, so its text is enough to say so.
    Time(String),
    List(Vec<Node>),
    Table(Table),
}

/// Options by name.
pub(crate) type Table = BTreeMap<String, Node>;

impl Node {
    /// Of what kind it is, for people.
    pub(crate) const fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a text",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Time(_) => "a time",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// Environment variables are text and stand for whatever their text says.
    pub(crate) const fn is_environment(&self) -> bool {
        matches!(self.origin, Origin::Environment(_))
    }

    /// What the element of a list of tables is called.
    pub(crate) fn name(&self) -> Option<&str> {
        let Value::Table(table) = &self.value else {
            return None;
        };
        ["name", "id", "key"].into_iter().find_map(|key| {
            match table.get(key).map(|node| &node.value) {
                Some(Value::Text(name)) => Some(name.as_str()),
                _ => None,
            }
        })
    }
}

/// Reads a file's text. What is not TOML is told as mistakes, and the rest of the file is read all the same.
pub(crate) fn parse(file: &Arc<str>, text: &str, mistakes: &mut Vec<Mistake>) -> Table {
    let lines = Lines {
        file: Arc::clone(file),
        starts: std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect(),
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    mistakes.extend(errors.into_iter().map(|error| Mistake {
        origin: lines.origin(error.span().map_or(0, |span| span.start)),
        path: String::new(),
        problem: Problem::Syntax(error.message().trim().replace('\n', ", ")),
    }));
    lines.table(document.get_ref())
}

/// The lines of a file, to turn positions into origins.
struct Lines {
    file: Arc<str>,
    /// Where each line begins, in bytes.
    starts: Vec<usize>,
}

impl Lines {
    fn origin(&self, position: usize) -> Origin {
        Origin::File {
            file: Arc::clone(&self.file),
            line: self.starts.partition_point(|&start| start <= position),
        }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let node = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
            let origin = self.origin(key.span().start);
            let key: &std::borrow::Cow<'_, str> = key.get_ref();
            let value = self.value(value.get_ref());
            (key.to_string(), Node { origin, value })
        };
        table.iter().map(node).collect()
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            // Beyond 64 bits it is no option's value; as text, the option that it is given to says so.
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Value::Time(number.to_string()), Value::Integer),
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .map_or_else(|_| Value::Time(number.to_string()), Value::Float),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(time) => Value::Time(time.to_string()),
            DeValue::Array(list) => Value::List(
                list.iter()
                    .map(|item| Node {
                        origin: self.origin(item.span().start),
                        value: self.value(item.get_ref()),
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table)),
        }
    }
}

/// Puts environment variables over the file. The segments of a name walk down the tree; in a list of tables
/// a segment is the element's name, in capitals, with `_` for what a variable's name cannot hold.
pub(crate) fn overlay(
    root: &mut Table,
    environment: impl IntoIterator<Item = (String, String)>,
    mistakes: &mut Vec<Mistake>,
) {
    for (name, text) in environment {
        let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
            continue;
        };
        let segments: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        let origin = Origin::Environment(name.as_str().into());
        let node = Node {
            origin: origin.clone(),
            value: Value::Text(text),
        };
        if segments.iter().any(String::is_empty) || !set(root, &segments, node) {
            mistakes.push(Mistake {
                origin,
                path: segments.join("."),
                problem: Problem::NoSuchPlace,
            });
        }
    }
}

/// Sets the value at a path below a table; false when the path leads nowhere.
fn set(table: &mut Table, path: &[String], node: Node) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return false;
    };
    if rest.is_empty() {
        table.insert(first.clone(), node);
        return true;
    }
    let next = table.entry(first.clone()).or_insert_with(|| Node {
        origin: node.origin.clone(),
        value: Value::Table(Table::new()),
    });
    match &mut next.value {
        Value::Table(inner) => set(inner, rest, node),
        Value::List(items) => {
            let Some((wanted, rest)) = rest.split_first() else {
                return false;
            };
            let named = items
                .iter_mut()
                .find(|item| item.name().is_some_and(|name| plain(name) == *wanted));
            match named.map(|item| &mut item.value) {
                Some(Value::Table(inner)) => set(inner, rest, node),
                _ => false,
            }
        }
        _ => false,
    }
}

/// A name as the name of an environment variable can hold it.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect()
}
