//! One walk over the document: it reads every option, notes where each value came from, and collects what is
//! wrong instead of stopping at it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use super::{
    document::{Node, Origin, Table, Value},
    mistake::{Mistake, Problem, nearest},
    value::{Bases, Setting, wrong_value},
};

/// An option's value as it is in force, for `airlock config list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effective {
    /// Which option, as `team.payments.pool.threads`.
    pub(crate) path: String,
    /// As TOML would write it; secrets are masked.
    pub(crate) value: String,
    /// Where it came from.
    pub(crate) origin: Origin,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) effective: Vec<Effective>,
}

/// A table that is being read.
pub(crate) struct Reader<'a> {
    findings: &'a RefCell<Findings>,
    bases: &'a Bases,
    table: Option<&'a Table>,
    /// Where the table stands, for what is missing in it.
    origin: Origin,
    path: String,
    known: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    /// A reader of the whole document.
    pub(crate) fn new(
        findings: &'a RefCell<Findings>,
        bases: &'a Bases,
        root: &'a Table,
        origin: Origin,
    ) -> Self {
        Self {
            findings,
            bases,
            table: Some(root),
            origin,
            path: String::new(),
            known: BTreeSet::new(),
        }
    }

    /// Where this table stands.
    pub(crate) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Where relative paths of the file begin.
    pub(crate) fn folder(&self) -> &'a std::path::Path {
        &self.bases.file
    }

    /// The path of an option of this table.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Notes a mistake in an option of this table, or in the table itself where `name` is empty.
    pub(crate) fn mistake(&self, name: &str, problem: Problem) {
        let origin = self
            .table
            .and_then(|table| table.get(name))
            .map_or_else(|| self.origin.clone(), |node| node.origin.clone());
        let path = if name.is_empty() {
            self.path.clone()
        } else {
            self.path_of(name)
        };
        self.note(Mistake {
            origin,
            path,
            problem,
        });
    }

    fn note(&self, mistake: Mistake) {
        self.findings.borrow_mut().mistakes.push(mistake);
    }

    /// The value of an option as it stands in the document.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'a Node> {
        self.known.insert(name);
        self.table.and_then(|table| table.get(name))
    }

    /// Notes a value that is in force.
    pub(crate) fn effective(&self, name: &str, value: String, origin: Origin) {
        self.findings.borrow_mut().effective.push(Effective {
            path: self.path_of(name),
            value,
            origin,
        });
    }

    /// An option's value, if it is set and right.
    fn value<T: Setting + PartialOrd>(
        &mut self,
        name: &'static str,
        range: Option<&RangeInclusive<T>>,
    ) -> Option<T> {
        let node = self.take(name)?;
        let read = T::read(node, self.bases).and_then(|value| match range {
            Some(range) if !range.contains(&value) => Err(wrong_value(
                node,
                &format!("{} to {}", range.start().show(), range.end().show()),
            )),
            _ => Ok(value),
        });
        match read {
            Ok(value) => {
                self.effective(name, value.show(), node.origin.clone());
                Some(value)
            }
            Err(reason) => {
                self.mistake(name, Problem::Value(reason));
                None
            }
        }
    }

    /// An option that has a default.
    pub(crate) fn option<T: Setting + PartialOrd>(
        &mut self,
        name: &'static str,
        range: Option<&RangeInclusive<T>>,
        default: T,
        inherited: Option<&'static str>,
    ) -> T {
        let set = self.table.is_some_and(|table| table.contains_key(name));
        if let Some(value) = self.value(name, range) {
            return value;
        }
        if !set {
            let origin = inherited.map_or(Origin::Default, Origin::Inherited);
            self.effective(name, default.show(), origin);
        }
        default
    }

    /// An option that must be set.
    pub(crate) fn required<T: Setting + PartialOrd>(&mut self, name: &'static str) -> Option<T> {
        let missing = self.take(name).is_none();
        if missing {
            self.mistake("", Problem::Missing(name.to_owned()));
        }
        self.value(name, None)
    }

    /// An option that may be unset, and is not listed then.
    pub(crate) fn optional<T: Setting>(&mut self, name: &'static str) -> Option<T> {
        let node = self.take(name)?;
        match T::read(node, self.bases) {
            Ok(value) => {
                self.effective(name, value.show(), node.origin.clone());
                Some(value)
            }
            Err(reason) => {
                self.mistake(name, Problem::Value(reason));
                None
            }
        }
    }

    /// A table in this one; empty where it is not set.
    pub(crate) fn section(&mut self, name: &'static str) -> Reader<'a> {
        let node = self.take(name);
        let (table, origin) = match node.map(|node| (&node.value, node)) {
            Some((Value::Table(table), node)) => (Some(table), node.origin.clone()),
            Some((_, node)) => {
                self.mistake(
                    name,
                    Problem::Value(wrong_value(
                        node,
                        &format!("a table [{}]", self.path_of(name)),
                    )),
                );
                (None, self.origin.clone())
            }
            None => (None, self.origin.clone()),
        };
        self.below(table, origin, self.path_of(name))
    }

    /// The tables of a list `[[name]]`.
    pub(crate) fn list(&mut self, name: &'static str) -> Vec<Reader<'a>> {
        let Some(node) = self.take(name) else {
            return Vec::new();
        };
        let wanted = format!("a table [[{name}]] for each");
        let Value::List(items) = &node.value else {
            self.mistake(name, Problem::Value(wrong_value(node, &wanted)));
            return Vec::new();
        };
        let mut readers = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let called = item.name().map_or_else(|| i.to_string(), str::to_owned);
            let path = format!("{}.{called}", self.path_of(name));
            match &item.value {
                Value::Table(table) => {
                    readers.push(self.below(Some(table), item.origin.clone(), path));
                }
                _ => self.note(Mistake {
                    origin: item.origin.clone(),
                    path,
                    problem: Problem::Value(wrong_value(item, &wanted)),
                }),
            }
        }
        readers
    }

    const fn below(&self, table: Option<&'a Table>, origin: Origin, path: String) -> Reader<'a> {
        Reader {
            findings: self.findings,
            bases: self.bases,
            table,
            origin,
            path,
            known: BTreeSet::new(),
        }
    }

    /// Hands a whole sub-document to serde, and notes every mistake in it.
    pub(crate) fn deserialize<T: serde::de::DeserializeOwned>(
        &mut self,
        name: &'static str,
    ) -> Option<T> {
        let node = self.take(name)?;
        self.list_leaves(&self.path_of(name), node);
        match super::deserialize::all_mistakes(node) {
            Ok(value) => Some(value),
            Err(mistakes) => {
                for (path, origin, problem) in mistakes {
                    let path = path
                        .iter()
                        .fold(self.path_of(name), |path, step| format!("{path}.{step}"));
                    self.note(Mistake {
                        origin,
                        path,
                        problem,
                    });
                }
                None
            }
        }
    }

    /// Lists every value of a sub-document as it stands.
    fn list_leaves(&self, path: &str, node: &Node) {
        match &node.value {
            Value::Table(table) => {
                for (key, inner) in table {
                    self.list_leaves(&format!("{path}.{key}"), inner);
                }
            }
            Value::List(items) if items.iter().any(|i| matches!(i.value, Value::Table(_))) => {
                for (i, item) in items.iter().enumerate() {
                    let called = item.name().map_or_else(|| i.to_string(), str::to_owned);
                    self.list_leaves(&format!("{path}.{called}"), item);
                }
            }
            value => self.findings.borrow_mut().effective.push(Effective {
                path: path.to_owned(),
                value: super::deserialize::show(value),
                origin: node.origin.clone(),
            }),
        }
    }

    /// Notes every option of the table that nobody read.
    pub(crate) fn finish(self) {
        for (key, node) in self.table.into_iter().flatten() {
            if !self.known.contains(key.as_str()) {
                self.note(Mistake {
                    origin: node.origin.clone(),
                    path: self.path.clone(),
                    problem: Problem::UnknownOption {
                        name: key.clone(),
                        nearest: nearest(key, self.known.iter().copied()),
                    },
                });
            }
        }
    }
}

/// Names that must be unique, and where each was first given.
pub(crate) struct Unique {
    what: &'static str,
    seen: BTreeMap<String, Origin>,
}

impl Unique {
    pub(crate) const fn new(what: &'static str) -> Self {
        Self {
            what,
            seen: BTreeMap::new(),
        }
    }

    /// Notes a mistake when the name was there before.
    pub(crate) fn check(&mut self, name: &str, reader: &Reader<'_>) {
        match self.seen.get(name) {
            Some(first) => reader.mistake(
                "",
                Problem::Duplicate {
                    what: self.what,
                    name: name.to_owned(),
                    first: first.clone(),
                },
            ),
            None => {
                self.seen.insert(name.to_owned(), reader.origin().clone());
            }
        }
    }
}
