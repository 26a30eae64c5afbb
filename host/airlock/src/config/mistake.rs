//! What can be wrong in a configuration: collected, so that one check shows all of it.

use std::fmt;

use super::document::Origin;

/// One mistake, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Where the wrong thing stands.
    pub(crate) origin: Origin,
    /// Which option, as `team.payments.pool.threads`; empty where the text is no TOML at all.
    pub(crate) path: String,
    /// What is wrong.
    pub(crate) problem: Problem,
}

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// The text is not TOML.
    #[error("AL-0102: this is not TOML: {0}")]
    Syntax(String),
    /// There is no such option.
    #[error("AL-0103: there is no option `{}`{}", name.escape_debug(), suggestion(nearest.as_deref()))]
    UnknownOption {
        /// What was written.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// The option's value cannot be one.
    #[error("AL-0104: {0}")]
    Value(String),
    /// The option has to be set.
    #[error("AL-0105: `{0}` is missing here; set it")]
    Missing(String),
    /// Two things share a name that must be unique.
    #[error(
        "AL-0106: {what} `{name}` stands twice, first at {first}; give one of them another name"
    )]
    Duplicate {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// Where the first is.
        first: Origin,
    },
    /// An environment variable that fits nothing.
    #[error(
        "AL-0107: this environment variable overrides nothing; after AIRLOCK__ it must name an option, `__` between the parts, and lists by the name of an element of the file"
    )]
    NoSuchPlace,
    /// Options that contradict each other.
    #[error("AL-0108: {0}")]
    Contradiction(String),
    /// A file or folder that is not there now; it may come later.
    #[error("AL-0109: `{}` is not there (yet): nothing is loaded from it until it is", .0.escape_debug())]
    NotThere(String),
    /// A share with a bundle that no other team has.
    #[error("AL-0112: no other team has a bundle `{}`: nothing is shared with it", .0.escape_debug())]
    NoBorrower(String),
    /// A granted directory inside of another one.
    #[error(
        "AL-0111: `{}` and `{}`{whose}, granted at {first}, lie one inside of the other: who may write in the outer one decides what the inner one's path leads to; grant directories that lie side by side, or both with mode \"read\" and to one team",
        here.escape_debug(), there.escape_debug()
    )]
    Nested {
        /// The directory's path.
        here: String,
        /// The other's.
        there: String,
        /// ` of team …` where the other is another team's.
        whose: String,
        /// Where the other is granted.
        first: Origin,
    },
}

impl Problem {
    /// Whether the configuration can be used all the same.
    pub(crate) const fn is_warning(&self) -> bool {
        matches!(self, Self::NotThere(_) | Self::NoBorrower(_))
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => "; remove it, or see docs/configuration.md for what there is".to_owned(),
    }
}

/// The option that was most likely meant.
pub(crate) fn nearest<'a>(
    written: &str,
    options: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    options
        .into_iter()
        .map(|option| (strsim::damerau_levenshtein(written, option), option))
        .filter(|(distance, option)| *distance * 3 <= option.len().max(3))
        .min()
        .map(|(_, option)| option.to_owned())
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.problem.to_string();
        let (code, text) = text.split_once(": ").unwrap_or(("AL-0100", &text));
        let grade = if self.problem.is_warning() {
            "warning"
        } else {
            "error"
        };
        write!(f, "{grade}[{code}]: {}: ", self.origin)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path.escape_debug())?;
        }
        f.write_str(text)
    }
}
