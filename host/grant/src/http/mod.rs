//! HTTP: what a bundle wants to call, and the patterns that allow it.
//!
//! Both sides are taken apart once, strictly, into the same pieces, and only pieces are compared. A
//! spelling that two programs could read differently (user information, odd forms of IPv4 addresses, paths
//! that climb, characters encoded twice) is refused rather than understood.

mod authority;
mod index;
mod path;
mod pattern;
mod target;

pub use authority::Host;
pub(crate) use index::HttpIndex;
pub use pattern::HttpPattern;
pub use target::HttpTarget;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::quote::shown;

/// The longest URL, in bytes.
pub const MAX_URL_BYTES: usize = 8 * 1024;

/// A URL, or a part of one, that is not accepted. Code AL-0415.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("AL-0415: `{shown}` cannot be called: {problem}")]
pub struct TargetError {
    shown: String,
    problem: &'static str,
}

impl TargetError {
    pub(crate) fn new(text: &str, problem: &'static str) -> Self {
        Self {
            shown: shown(text),
            problem,
        }
    }

    /// The stable code.
    pub const CODE: &'static str = "AL-0415";
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS, the server's certificate being checked.
    Https,
}

impl Scheme {
    /// The scheme as it stands in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that need not be written.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn new(text: &str) -> Result<Self, TargetError> {
        if text.eq_ignore_ascii_case("http") {
            Ok(Self::Http)
        } else if text.eq_ignore_ascii_case("https") {
            Ok(Self::Https)
        } else {
            Err(TargetError::new(text, "use `http` or `https`"))
        }
    }
}

/// An HTTP method, in its exact spelling (RFC 9110: methods are case-sensitive).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Method(String);

impl Method {
    /// The method that `text` names.
    ///
    /// # Errors
    /// A [`TargetError`] for what is not 1 to 32 capital letters, digits, `-` and `_`, and for `CONNECT` and
    /// `TRACE`, which are not for applications.
    pub fn new(text: &str) -> Result<Self, TargetError> {
        let good = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "-_".contains(c);
        if text.is_empty() || text.len() > 32 || !text.chars().all(good) {
            return Err(TargetError::new(
                text,
                "a method is written in capital letters, such as `GET`",
            ));
        }
        if ["CONNECT", "TRACE"].contains(&text) {
            return Err(TargetError::new(text, "this method is never allowed"));
        }
        Ok(Self(text.to_owned()))
    }

    /// `GET`.
    #[must_use]
    pub fn get() -> Self {
        Self("GET".to_owned())
    }

    /// The method as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for Method {
    type Error = TargetError;
    fn try_from(text: String) -> Result<Self, TargetError> {
        Self::new(&text)
    }
}
impl From<Method> for String {
    fn from(method: Method) -> Self {
        method.0
    }
}

#[cfg(test)]
mod tests;
