//! What one try was told in confidence, and what must not come out of it.
//!
//! The mask of the model replaces secrets in a text, also where they are encoded. Here is what a try's outputs
//! need besides: secrets of several lines, whose lines appear one by one in a log; and JSON, which must still be
//! JSON afterwards.

use std::{borrow::Cow, sync::Arc};

use airlock_model::mask::Mask;
use serde_json::Value;

/// The secrets revealed to one try.
#[derive(Default)]
pub(crate) struct Secrets(Mask);

impl Secrets {
    /// From now on this value does not come out, nor does any of its lines.
    pub(crate) fn reveal(&mut self, secret: &str) {
        let parts = std::iter::once(secret).chain(secret.lines());
        parts.for_each(|part| self.0.add(part));
    }

    /// From now on this setting does not come out, nor, where it is JSON, any text in it save the names of
    /// fields. A setting that is a mere number or truth value is no secret: to mask it would only falsify
    /// every figure that happens to be the same.
    pub(crate) fn reveal_setting(&mut self, setting: &str) {
        match serde_json::from_str(setting) {
            Ok(Value::Number(_) | Value::Bool(_) | Value::Null) => {}
            _ => self.reveal_texts(setting, false),
        }
    }

    /// From now on neither this JSON text comes out nor any text or number in it, save the names of fields.
    pub(crate) fn reveal_json(&mut self, secret: &str) {
        self.reveal_texts(secret, true);
    }

    fn reveal_texts(&mut self, secret: &str, numbers: bool) {
        self.reveal(secret);
        if let Ok(value) = serde_json::from_str(secret) {
            self.reveal_leaves(&value, numbers);
        }
    }

    fn reveal_leaves(&mut self, value: &Value, numbers: bool) {
        match value {
            Value::String(text) => self.reveal(text),
            Value::Number(number) if numbers => self.reveal(&number.to_string()),
            Value::Array(items) => {
                for item in items {
                    self.reveal_leaves(item, numbers);
                }
            }
            Value::Object(fields) => {
                for field in fields.values() {
                    self.reveal_leaves(field, numbers);
                }
            }
            Value::Number(_) | Value::Null | Value::Bool(_) => {}
        }
    }

    /// The text without secrets.
    pub(crate) fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.apply(text)
    }

    /// How many bytes at the end of a text that goes on may belong to a secret.
    pub(crate) fn unsure(&self, text: &[u8]) -> usize {
        self.0.unsure(text)
    }

    /// The JSON text without secrets, still JSON; none if it is not JSON to begin with.
    pub(crate) fn mask_json(&self, json: &str) -> Option<Arc<str>> {
        let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        match self.mask(json) {
            Cow::Borrowed(same) => is_json(same).then(|| same.into()),
            Cow::Owned(masked) => {
                let mut value = serde_json::from_str(json).ok()?;
                if is_json(&masked) {
                    return Some(masked.into());
                }
                // A secret that is a number, or reaches over quotes: mask value by value.
                self.mask_value(&mut value);
                Some(value.to_string().into())
            }
        }
    }

    fn mask_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.mask(text) {
                    *text = masked;
                }
            }
            Value::Number(number) => {
                // Only the secret itself: part of another number is another number.
                if self.0.holds(&number.to_string()) {
                    *value = Value::String("***".to_owned());
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_value(item)),
            Value::Object(fields) => {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(name, mut field)| {
                        self.mask_value(&mut field);
                        (self.mask(&name).into_owned(), field)
                    })
                    .collect();
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        values.iter().for_each(|value| secrets.reveal(value));
        secrets
    }

    #[test]
    fn each_line_of_a_secret_is_masked_by_itself() {
        let secrets = secrets(&["-----BEGIN KEY-----\nMIIEvQIBADANBg\n--"]);
        assert_eq!(secrets.mask("it is MIIEvQIBADANBg!"), "it is ***!");
        assert_eq!(secrets.mask("a -- b"), "a -- b");
    }

    #[test]
    fn the_texts_inside_a_secret_json_are_secret_too() {
        let mut secrets = Secrets::default();
        secrets.reveal_json(r#"{"token": "abcdef", "deep": [{"pin": 123456}], "on": true}"#);
        assert_eq!(secrets.mask("abcdef 123456 token"), "*** *** token");
    }

    #[test]
    fn a_setting_that_is_a_number_falsifies_no_figures() {
        let mut secrets = Secrets::default();
        secrets.reveal_setting("10000");
        secrets.reveal_setting(r#"{"limit": 20000, "token": "abcdef"}"#);
        secrets.reveal_setting("plain text");
        assert_eq!(
            secrets.mask("10000 20000 abcdef plain text"),
            "10000 20000 *** ***"
        );
    }

    #[test]
    fn json_stays_json_when_a_secret_is_a_number_or_a_name() {
        let secrets = secrets(&["123456", "hunter2"]);
        let masked = secrets
            .mask_json(r#"{"pin": 123456, "hunter2": ["hunter2", 51234567]}"#)
            .unwrap();
        let value: Value = serde_json::from_str(&masked).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"pin": "***", "***": ["***", 51_234_567]})
        );
        assert_eq!(secrets.mask_json("{not json"), None);
        assert_eq!(
            secrets.mask_json(r#"{"a":1}"#).as_deref(),
            Some(r#"{"a":1}"#)
        );
    }

    #[test]
    fn json_stays_json_and_shows_nothing_where_a_secret_is_encoded_in_it() {
        let secrets = secrets(&["correct horse"]);
        let masked = secrets
            .mask_json(r#"["Basic bWU6Y29ycmVjdCBob3JzZQ==", "c\u006frrect horse", "{\"p\":\"correct%20horse\"}"]"#)
            .unwrap();
        let value: Value = serde_json::from_str(&masked).unwrap();
        assert_eq!(
            value,
            serde_json::json!(["Basic bWU6***", "***", r#"{"p":"***"}"#])
        );
    }
}
