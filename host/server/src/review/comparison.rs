//! Two versions of a bundle beside each other: what the second asks for beyond the first, and what it lacks.

use airlock_bundle::{Import, Inspection};
use airlock_grant::{Difference, Request, RequestError, interface};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One of the two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The bundle's name.
    pub name: String,
    /// The version that its `bundle.toml` claims.
    pub version: String,
    /// The BLAKE3 of the file, in hexadecimal.
    pub hash: String,
    /// The file's size in bytes.
    pub size: u64,
    /// What it says it was made with.
    pub made_with: Vec<String>,
}

/// Something that one version asks for and the other does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// `variable`, `connection`, `directory` or `http`.
    pub kind: String,
    /// What exactly is asked for.
    pub asks_for: String,
    /// In which phases; the other version asks for it in others, or not at all.
    pub phases: Vec<String>,
    /// Why, in the author's words.
    pub reason: Option<String>,
}

/// An interface that one version imports and the other does not, or of which it calls other functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportChange {
    /// As the component names it.
    pub name: String,
    /// The functions that the other version does not call.
    pub functions: Vec<String>,
    /// What the interface is for.
    pub meaning: Option<String>,
}

/// What a version has that the other has not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Surplus {
    /// What it asks for.
    pub asks_for: Vec<Change>,
    /// What it imports.
    pub imports: Vec<ImportChange>,
    /// The phases that it has code for.
    pub phases: Vec<String>,
}

impl Surplus {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Two versions beside each other. Texts that come from the bundles are in it as they are: whoever shows them
/// escapes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// The first.
    pub old: Version,
    /// The second.
    pub new: Version,
    /// The second asks for something that the first does not: who approved the first has not approved it.
    pub is_wider: bool,
    /// What the second has beyond the first.
    pub added: Surplus,
    /// What it has no more.
    pub removed: Surplus,
}

impl Comparison {
    /// The second beside the first.
    ///
    /// # Errors
    /// A [`RequestError`] when what one of them asks for cannot be read.
    pub fn new(old: &Inspection, new: &Inspection) -> Result<Self, RequestError> {
        let asks = |of: &Inspection| Request::from_bundle_toml(&of.manifest.text);
        let (before, after) = (asks(old)?, asks(new)?);
        let surplus = |of: &Inspection, beyond: &Inspection, asks_for: Vec<Difference>| Surplus {
            asks_for: asks_for.into_iter().map(Change::from).collect(),
            imports: imports(&of.imports, &beyond.imports),
            phases: without(&super::phases(of), &super::phases(beyond)),
        };
        let wider = after.beyond(&before);
        Ok(Self {
            is_wider: !wider.is_empty(),
            added: surplus(new, old, wider),
            removed: surplus(old, new, before.beyond(&after)),
            old: version(old),
            new: version(new),
        })
    }
}

fn version(of: &Inspection) -> Version {
    Version {
        name: of.manifest.name.to_string(),
        version: of.manifest.version.to_string(),
        hash: of.hash.to_string(),
        size: of.size,
        made_with: super::made_with(of),
    }
}

impl From<Difference> for Change {
    fn from(one: Difference) -> Self {
        Self {
            kind: one.kind.as_str().to_owned(),
            phases: one.phase_names().into_iter().map(str::to_owned).collect(),
            asks_for: one.what,
            reason: one.reason,
        }
    }
}

fn without(some: &[String], others: &[String]) -> Vec<String> {
    let left = some.iter().filter(|one| !others.contains(one));
    left.cloned().collect()
}

fn imports(some: &[Import], others: &[Import]) -> Vec<ImportChange> {
    let change = |import: &Import| {
        let known = others.iter().find(|other| other.name == import.name);
        let functions = match known {
            Some(known) => without(&import.functions, &known.functions),
            None => import.functions.clone(),
        };
        (known.is_none() || !functions.is_empty()).then(|| ImportChange {
            name: import.name.clone(),
            functions,
            meaning: interface(&import.name).map(|known| known.meaning.to_owned()),
        })
    };
    some.iter().filter_map(change).collect()
}
