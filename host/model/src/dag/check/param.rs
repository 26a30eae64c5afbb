//! The checks of params: their names, schemas and defaults.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Check, Mistake, Schedule};
use crate::{
    dag::ParamSpec,
    params::{MAX_PARAMS, MAX_SCHEMA_BYTES, Param, Params, Schema, SchemaError},
};

impl Check<'_> {
    /// The params, with their schemas compiled.
    pub(super) fn params(&mut self) -> Params {
        let spec = self.spec;
        if spec.params.len() > MAX_PARAMS {
            self.dag_mistake(Mistake::TooManyParams(spec.params.len()));
            return Params::new(Vec::new());
        }
        let mut seen = BTreeSet::new();
        let mut params = Vec::new();
        for param in &spec.params {
            if !seen.insert(&param.name) {
                self.dag_mistake(Mistake::DuplicateParam(param.name.clone()));
            }
            let by_itself = spec.schedule != Schedule::None || spec.asset_condition.is_some();
            if param.default.is_none() && by_itself {
                self.dag_mistake(Mistake::ParamWithoutDefault(param.name.clone()));
            }
            params.push(self.param(param));
        }
        Params::new(params)
    }

    fn param(&mut self, spec: &ParamSpec) -> Param {
        let default = self.json(&spec.name, "", spec.default.as_deref());
        let schema = self.schema(spec);
        if let (Some(default), Some(schema)) = (&default, &schema) {
            let refused = schema.refusals(&spec.name, default);
            if !refused.is_empty() {
                self.dag_mistake(Mistake::WrongDefault(refused));
            }
        }
        Param {
            name: spec.name.clone(),
            default,
            schema,
        }
    }

    fn schema(&mut self, spec: &ParamSpec) -> Option<Schema> {
        let text = spec.schema.as_deref()?;
        let schema = if text.len() > MAX_SCHEMA_BYTES {
            Err(SchemaError::TooLarge {
                of: "bytes",
                is: text.len(),
                most: MAX_SCHEMA_BYTES,
            })
        } else {
            Schema::new(&self.json(&spec.name, ".schema", Some(text))?)
        };
        let param = || spec.name.clone();
        schema
            .map_err(|source| {
                self.dag_mistake(Mistake::ParamSchema {
                    param: param(),
                    source,
                });
            })
            .ok()
    }

    fn json(&mut self, name: &str, part: &str, text: Option<&str>) -> Option<Value> {
        let mistake = |error: serde_json::Error| Mistake::NotJson {
            field: format!("params.{}{part}", name.escape_debug()),
            reason: error.to_string(),
        };
        serde_json::from_str(text?)
            .map_err(|error| self.dag_mistake(mistake(error)))
            .ok()
    }
}
