//! Masking: what a try was told in confidence must not come out in its log, its XComs or its errors.
//!
//! The mask holds the secrets that were revealed to one try and replaces each occurrence by `***`, longest
//! first, so that a secret that contains another leaves nothing of itself behind. Values shorter than
//! [`MIN_MASKED_BYTES`] are left alone, as Airflow does: masking `1` would only garble the text.

use std::fmt;

/// Shorter values are not masked (Airflow 3.3.2, `min_length_to_mask` of its secrets masker).
pub const MIN_MASKED_BYTES: usize = 5;

/// A value that must not be shown: it has no `Display`, and its `Debug` is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sensitive(String);

impl Sensitive {
    /// Takes the value into custody.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The secrets revealed to one try.
#[derive(Clone, Default)]
pub struct Mask(Vec<String>);

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} values)", self.0.len())
    }
}

impl Mask {
    /// From now on this value is masked, also as it looks inside a JSON text.
    pub fn add(&mut self, secret: &str) {
        if secret.len() < MIN_MASKED_BYTES {
            return;
        }
        let quoted = serde_json::to_string(secret).unwrap_or_default();
        let quoted = quoted.trim_matches('"').to_owned();
        for form in [secret.to_owned(), quoted] {
            if !self.0.contains(&form) {
                self.0.push(form);
            }
        }
        self.0.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// The text with every secret replaced; borrowed when there is none in it.
    #[must_use]
    pub fn apply<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        let mut masked = std::borrow::Cow::Borrowed(text);
        for secret in &self.0 {
            if masked.contains(secret.as_str()) {
                masked = masked.replace(secret.as_str(), "***").into();
            }
        }
        masked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_vanish_from_text_also_when_json_escaped_or_nested() {
        let mut mask = Mask::default();
        mask.add("hunter2!");
        mask.add("long \"hunter2!\" secret");
        assert_eq!(mask.apply("pw=hunter2!, all"), "pw=***, all");
        assert_eq!(
            mask.apply(r#"{"x":"long \"hunter2!\" secret"}"#),
            r#"{"x":"***"}"#
        );
        assert_eq!(mask.apply("nothing"), "nothing");
        mask.add("1");
        assert_eq!(mask.apply("11"), "11");
        assert_eq!(format!("{:?}", Sensitive::new("x")), "***");
    }
}
