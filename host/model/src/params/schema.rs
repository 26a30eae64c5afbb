//! A param's JSON Schema, within bounds that make holding a value against it quick, whatever both say.
//!
//! A schema is a team's text, and the scheduler checks by it for all teams. So references stay in the schema
//! and never lead back to where they came from, regular expressions are matched in linear time, and the work
//! of one check, the size of the schema with its references followed times that of the value, has a bound.

use std::fmt;

use jsonschema::{PatternOptions, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;
use std::sync::Arc;

use super::{Refusal, Violation};

/// The text of one schema.
pub const MAX_SCHEMA_BYTES: usize = 64 << 10;
/// JSON values in a schema, each as often as references lead to it.
pub const MAX_SCHEMA_SIZE: usize = 4096;
/// How deep a schema is nested, references followed.
pub const MAX_SCHEMA_DEPTH: usize = 48;
/// Regular expressions in a schema, each as often as references lead to it.
pub const MAX_PATTERNS: usize = 16;
/// `unevaluatedProperties` and `unevaluatedItems` in a schema: each may double the work.
pub const MAX_UNEVALUATED: usize = 4;
/// Schema values times bytes of the value.
const MAX_WORK: usize = 1 << 20;
/// How many schema values a regular expression counts for.
const PATTERN_WEIGHT: usize = 64;
/// A compiled regular expression, and the memory in which it is matched, in bytes.
const PATTERN_BYTES: usize = 64 << 10;
/// Characters of what is told of one mistake.
const MAX_TOLD_CHARS: usize = 300;

/// What is wrong with a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It does not say what a JSON Schema may say.
    #[error("AL-0360: what should be a JSON Schema is none: {0}; correct it")]
    NotASchema(Violation),
    /// A reference that cannot be followed.
    #[error("AL-0362: at `{pointer}` the schema refers to `{}`, {why}; write out what is meant, or refer to `#/$defs/NAME`", reference.escape_debug())]
    Reference {
        /// Where it stands.
        pointer: String,
        /// What it says.
        reference: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is too large.
    #[error("AL-0363: the schema has {is} {of}, and may have {most}; simplify it")]
    TooLarge {
        /// Of what it has too many.
        of: &'static str,
        /// How many; counting stops early.
        is: usize,
        /// How many it may have.
        most: usize,
    },
}

/// A JSON Schema of the drafts 4 to 2020-12; 2020-12 where it does not say. `format` is checked where it is
/// known, as Airflow does (Airflow 3.3.2, `airflow/sdk/definitions/param.py`).
#[derive(Clone)]
pub struct Schema {
    validator: Arc<Validator>,
    /// The longest value that is held against it, in bytes of JSON text.
    most: usize,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// When it is none, refers to what lies outside of it or to itself, or is too large.
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        let mut walk = Walk::of(schema);
        walk.visit(schema, "", 0)?;
        let patterns = PatternOptions::regex()
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES);
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(patterns)
            .build(schema)
            .map_err(|error| SchemaError::NotASchema(mistake(&error)))?;
        let unevaluated = u32::try_from(walk.unevaluated).unwrap_or(u32::MAX);
        let cost = (walk.size + PATTERN_WEIGHT * walk.patterns).saturating_mul(1 << unevaluated);
        Ok(Self {
            validator: Arc::new(validator),
            most: MAX_WORK / cost.max(1),
        })
    }

    /// Why a value is not right for the param of this name.
    pub fn refusals(&self, name: &str, value: &Value) -> Vec<Refusal> {
        let name = || name.to_owned();
        let bytes = value.to_string().len();
        if bytes > self.most {
            let most = self.most;
            return vec![Refusal::TooLarge {
                name: name(),
                bytes,
                most,
            }];
        }
        let errors = self.validator.iter_errors(value);
        let violation = |error: ValidationError<'_>| Violation {
            pointer: shown(error.instance_path().as_str()),
            expected: match error.kind() {
                ValidationErrorKind::FalseSchema => "nothing is allowed here".to_owned(),
                _ => shown(&error.masked_with("it").to_string()),
            },
        };
        errors
            .map(|error| Refusal::Violates {
                name: name(),
                violation: violation(error),
            })
            .collect()
    }
}

/// What the compiler says of a schema that it refuses.
fn mistake(error: &ValidationError<'_>) -> Violation {
    let regex = matches!(error.kind(), ValidationErrorKind::Format { format } if format == "regex");
    let expected = if regex {
        format!(
            "{error}; a pattern has neither look-around nor back-references, and no large repetitions"
        )
    } else {
        error.to_string()
    };
    Violation {
        pointer: shown(error.instance_path().as_str()),
        expected: shown(&expected),
    }
}

/// Fit for a terminal, and not too long; quotes stay as they are.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == MAX_TOLD_CHARS => {
                shown.push('…');
                break;
            }
            '"' | '\'' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// Measures a schema. Every object counts as a schema, also where it stands for a value: what the compiler
/// could ever follow is followed.
struct Walk<'a> {
    root: &'a Value,
    /// Draft 4 calls `$id` so.
    id: &'static str,
    size: usize,
    patterns: usize,
    unevaluated: usize,
    /// References on the way to here.
    following: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn of(root: &'a Value) -> Self {
        let dialect = root.get("$schema").and_then(Value::as_str);
        let old = dialect.is_some_and(|uri| uri.contains("draft-04"));
        Self {
            root,
            id: if old { "id" } else { "$id" },
            size: 0,
            patterns: 0,
            unevaluated: 0,
            following: Vec::new(),
        }
    }

    fn bounded(of: &'static str, is: usize, most: usize) -> Result<(), SchemaError> {
        if is <= most {
            return Ok(());
        }
        Err(SchemaError::TooLarge { of, is, most })
    }

    fn visit(&mut self, value: &'a Value, pointer: &str, depth: usize) -> Result<(), SchemaError> {
        self.size += 1;
        Self::bounded("values", self.size, MAX_SCHEMA_SIZE)?;
        Self::bounded("levels", depth, MAX_SCHEMA_DEPTH)?;
        match value {
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.visit(item, &format!("{pointer}/{i}"), depth + 1)?;
                }
            }
            Value::Object(members) => {
                for (key, member) in members {
                    let escaped = key.replace('~', "~0").replace('/', "~1");
                    let at = format!("{pointer}/{}", shown(&escaped));
                    self.keyword(key, member, &at, depth)?;
                    self.visit(member, &at, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn keyword(
        &mut self,
        key: &str,
        member: &'a Value,
        at: &str,
        depth: usize,
    ) -> Result<(), SchemaError> {
        let refused = |reference: &str, why| {
            Err(SchemaError::Reference {
                pointer: at.to_owned(),
                reference: reference.to_owned(),
                why,
            })
        };
        match (key, member) {
            ("$ref", Value::String(to)) => {
                let target = match to.strip_prefix('#') {
                    Some(path) if !path.contains('%') => self.root.pointer(path),
                    Some(_) => None,
                    None => return refused(to, "which lies outside of it"),
                };
                let Some(target) = target else {
                    return refused(to, "which is not there");
                };
                if self.following.contains(&to.as_str()) {
                    return refused(to, "which leads back to here");
                }
                self.following.push(to);
                self.visit(target, at, depth + 1)?;
                self.following.pop();
            }
            ("$dynamicRef" | "$recursiveRef", Value::String(to)) => {
                return refused(to, "and where that leads depends on who asks");
            }
            ("$id", Value::String(to)) => {
                return refused(to, "but a param's schema has no address of its own");
            }
            (key, Value::String(to)) if key == self.id => {
                return refused(to, "but a param's schema has no address of its own");
            }
            ("$schema", Value::String(to)) if depth > 0 => {
                return refused(to, "but only the whole of it has a dialect");
            }
            ("pattern", Value::String(_)) => self.patterns += 1,
            ("patternProperties", Value::Object(patterns)) => self.patterns += patterns.len(),
            ("unevaluatedProperties" | "unevaluatedItems", _) => self.unevaluated += 1,
            _ => {}
        }
        Self::bounded("regular expressions", self.patterns, MAX_PATTERNS)?;
        Self::bounded("`unevaluated…`", self.unevaluated, MAX_UNEVALUATED)
    }
}
