//! The params of a DAG: what a run gets for each of them, and whether a given value is right.
//!
//! Schemas are compiled once, with the DAG. A run that nobody gives anything gets the defaults, which were
//! held against their schemas when the DAG was imported; of a run with a `conf`, what is given is.

mod schema;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use serde_json::{Map, Value};

pub use schema::{
    MAX_PATTERNS, MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, MAX_SCHEMA_SIZE, MAX_UNEVALUATED, Schema,
    SchemaError,
};

/// Params of one DAG.
pub const MAX_PARAMS: usize = 200;
/// Wrong values that one refusal tells of; of the others it tells how many they are.
const MAX_TOLD: usize = 20;

/// One value at odds with a schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Where in the value, as a JSON pointer; empty: all of it.
    pub pointer: String,
    /// What is expected there. Fit for a terminal.
    pub expected: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "at `{}`: ", self.pointer)?;
        }
        f.write_str(&self.expected)
    }
}

/// Several, as one sentence has them; beyond the first few, their number.
pub(crate) fn told<T: fmt::Display>(all: &[T]) -> String {
    let mut told: Vec<_> = all.iter().take(MAX_TOLD).map(T::to_string).collect();
    if let Some(more) = all.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
        told.push(format!("and {more} more"));
    }
    told.join("; ")
}

/// A param of a valid DAG.
#[derive(Debug, Clone)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// What it is when nobody gives it; none: it has to be given.
    pub default: Option<Value>,
    /// What its value has to satisfy.
    pub schema: Option<Schema>,
}

/// All params of a valid DAG.
#[derive(Debug, Clone)]
pub struct Params {
    params: Vec<Param>,
    /// The `conf` of a run that is given nothing; none: something has to be given.
    defaults: Option<Arc<str>>,
}

/// Why a `conf` is refused: all that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", told(.0))]
pub struct Refused(pub Vec<Refusal>);

/// Why a param has no right value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was not given.
    #[error("the param `{name}` has no default: give it with --conf '{{\"{name}\": …}}'", name = .0.escape_debug())]
    Missing(String),
    /// It is not what its schema wants.
    #[error("the param `{}` is wrong: {violation}", name.escape_debug())]
    Violates {
        /// Its name.
        name: String,
        /// What is wrong.
        violation: Violation,
    },
    /// It is too large to be held against its schema.
    #[error(
        "the param `{}` has {bytes} bytes, and with its schema it may have {most}: give a smaller value, or simplify the schema", name.escape_debug()
    )]
    TooLarge {
        /// Its name.
        name: String,
        /// Bytes of its JSON text.
        bytes: usize,
        /// How many it may have.
        most: usize,
    },
}

impl Params {
    /// These, whose defaults satisfy their schemas.
    pub(crate) fn new(params: Vec<Param>) -> Self {
        let values = params
            .iter()
            .map(|param| Some((param.name.clone(), param.default.clone()?)));
        let defaults: Option<Map<_, _>> = values.collect();
        let defaults = defaults.map(|map| Value::Object(map).to_string().into());
        Self { params, defaults }
    }

    /// The `conf` of a run: the defaults, and over them what is `given`, which may hold more than params, as
    /// in Airflow.
    ///
    /// # Errors
    /// All that is wrong, by name.
    pub fn conf(&self, mut given: Map<String, Value>) -> Result<Arc<str>, Refused> {
        if given.is_empty()
            && let Some(defaults) = &self.defaults
        {
            return Ok(Arc::clone(defaults));
        }
        let mut refused = Vec::new();
        for param in &self.params {
            let name = || param.name.clone();
            match (given.get(&param.name), &param.default, &param.schema) {
                (Some(value), _, Some(schema)) => refused.extend(schema.refusals(&name(), value)),
                (Some(_), _, None) => {}
                (None, Some(default), _) => {
                    given.insert(name(), default.clone());
                }
                (None, None, _) => refused.push(Refusal::Missing(name())),
            }
        }
        if refused.is_empty() {
            Ok(Value::Object(given).to_string().into())
        } else {
            Err(Refused(refused))
        }
    }
}
