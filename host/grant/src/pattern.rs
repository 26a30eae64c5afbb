//! Names as they are asked for and granted: one, or all that begin with a prefix.

use std::{fmt, sync::Arc};

use airlock_model::{dag::asset_name, id::VariableKey};
use serde::{Deserialize, Serialize};

use crate::item::ItemError;

/// What a pattern names.
pub trait Name: Clone + PartialEq + AsRef<str> + fmt::Display {
    /// The name that `text` is.
    fn read(text: &str) -> Option<Self>;
    /// What is wrong with a text that is neither a name nor a prefix.
    fn wrong(text: &str) -> ItemError;
}

/// Which variables: one key, or all that begin with a prefix (`ledger.*`).
pub type VariablePattern = Pattern<VariableKey>;
/// Which assets: one name or URI, or all that begin with a prefix (`reports/*`, `s3://market/*`).
pub type AssetPattern = Pattern<AssetName>;

impl Name for VariableKey {
    fn read(text: &str) -> Option<Self> {
        Self::new(text).ok()
    }
    fn wrong(text: &str) -> ItemError {
        ItemError::Variable(text.to_owned())
    }
}

/// The name or URI of an asset, or the name of an alias, as code and grants write it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetName(Arc<str>);

impl AssetName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for AssetName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Name for AssetName {
    /// A `*` in the middle would look as if it stood for something.
    fn read(text: &str) -> Option<Self> {
        let valid = asset_name(text).is_ok() && !text.contains('*');
        valid.then(|| Self(text.into()))
    }
    fn wrong(text: &str) -> ItemError {
        ItemError::Asset(text.to_owned())
    }
}

/// One name, or all that begin with a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(
    try_from = "String",
    into = "String",
    bound(serialize = "T: Name", deserialize = "T: Name")
)]
pub enum Pattern<T> {
    /// This one.
    Exact(T),
    /// Every one that begins with this text, which is not empty.
    Prefix(String),
}

impl<T> Pattern<T> {
    /// The name, where it is one and no prefix.
    #[must_use]
    pub const fn exact(&self) -> Option<&T> {
        match self {
            Self::Exact(name) => Some(name),
            Self::Prefix(_) => None,
        }
    }
}

impl<T: Name> Pattern<T> {
    /// The pattern that `text` writes.
    ///
    /// # Errors
    /// An [`ItemError`] that names the text and what would be right.
    pub fn new(text: &str) -> Result<Self, ItemError> {
        let wrong = || T::wrong(text);
        match text.strip_suffix('*') {
            None => T::read(text).map(Self::Exact).ok_or_else(wrong),
            // A prefix is the beginning of a name: it has a name's characters, though it may be `.` or `..`.
            Some(prefix) => T::read(&format!("{prefix}x"))
                .filter(|_| !prefix.is_empty())
                .map(|_| Self::Prefix(prefix.to_owned()))
                .ok_or_else(wrong),
        }
    }

    /// Whether it names this.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => exact.as_ref() == name,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }

    /// Whether it names all that `other` names.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.and(other).as_ref() == Some(other)
    }

    /// What both name.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Prefix(a), Self::Prefix(b)) => {
                match (a.starts_with(&**b), b.starts_with(&**a)) {
                    (true, _) => Some(self.clone()),
                    (_, true) => Some(other.clone()),
                    _ => None,
                }
            }
            (Self::Exact(name), pattern) | (pattern, Self::Exact(name)) => pattern
                .matches(name.as_ref())
                .then(|| Self::Exact(name.clone())),
        }
    }
}

impl<T: Name> fmt::Display for Pattern<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name.as_ref()),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}
impl<T: Name> TryFrom<String> for Pattern<T> {
    type Error = ItemError;
    fn try_from(text: String) -> Result<Self, ItemError> {
        Self::new(&text)
    }
}
impl<T: Name> From<Pattern<T>> for String {
    fn from(pattern: Pattern<T>) -> Self {
        pattern.to_string()
    }
}
