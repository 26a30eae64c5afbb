//! A no, with all that is needed to turn it into a yes.

use std::fmt;

use airlock_model::{audit::Denied, id::TeamName};

use crate::{
    effective::{BundleLabel, Source},
    http::HttpTarget,
    interface::Kind,
    item::{Access, AssetAccess},
    phase::{Caller, Phase, Phases},
    quote::shown,
    snippet::{self, Entry, Listed},
};

/// What a bundle wanted, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A variable's key.
    Variable(String),
    /// A connection's id, and what was to be done with it.
    Connection(String, Access),
    /// A directory's path.
    Directory(String),
    /// An HTTP call.
    Http(HttpTarget),
    /// An asset's name or URI or an alias's name, and what was to be done with it.
    Asset(String, AssetAccess),
}

impl Item {
    /// Which capability it belongs to.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Variable(_) => Kind::Variable,
            Self::Connection(..) => Kind::Connection,
            Self::Directory(_) => Kind::Directory,
            Self::Http(_) => Kind::Http,
            Self::Asset(..) => Kind::Asset,
        }
    }
}

/// In a few words, escaped and bounded.
impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(key) => write!(f, "variable `{}`", shown(key)),
            Self::Connection(id, access) => {
                write!(f, "connection `{}`, {}", shown(id), access.as_str())
            }
            Self::Directory(path) => write!(f, "directory `{}`", shown(path)),
            Self::Http(target) => f.write_str(&shown(&target.to_string())),
            Self::Asset(name, access) => {
                write!(f, "asset `{}`, {}", shown(name), access.as_str())
            }
        }
    }
}

/// Why it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// What was wanted cannot be granted, because it is no key, id or path; the text says what would be.
    Malformed(String),
    /// Parsing is pure, and this is no variable.
    WhileParsing,
    /// One side, or both, does not hold it.
    NotHeld {
        /// Whether `bundle.toml` asks for it.
        asked: bool,
        /// Whether the grant holds it.
        held: bool,
        /// The text to paste.
        entry: Entry,
        /// Whether the grant holds the item for others, so that this caller is to be added by name.
        narrow: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Details {
    pub(crate) team: TeamName,
    pub(crate) bundle: BundleLabel,
    pub(crate) source: Source,
    pub(crate) caller: Caller,
    pub(crate) item: Item,
    pub(crate) why: Why,
    /// All that the bundle asks for, of this kind.
    pub(crate) asks: Vec<Listed>,
    /// All that it is granted, of this kind.
    pub(crate) grants: Vec<Listed>,
}

/// The decision that this bundle may not reach this item. Shown, it is the error's whole text, which a guest
/// may see: it says nothing of whether the item exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial(pub(crate) Box<Details>);

impl Denial {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match (&self.0.why, self.0.item.kind()) {
            (Why::Malformed(_), _) => "AL-0416",
            (_, Kind::Variable) => "AL-0411",
            (_, Kind::Connection) => "AL-0412",
            (_, Kind::Directory) => "AL-0413",
            (_, Kind::Http) => "AL-0414",
            (_, Kind::Asset) => "AL-0417",
        }
    }

    /// Whose bundle asked.
    #[must_use]
    pub fn team(&self) -> &TeamName {
        &self.0.team
    }

    /// Which bundle asked.
    #[must_use]
    pub fn bundle(&self) -> &BundleLabel {
        &self.0.bundle
    }

    /// In which phase, and for which task.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }

    /// What was wanted.
    #[must_use]
    pub fn item(&self) -> &Item {
        &self.0.item
    }

    /// What the audit is told of it.
    #[must_use]
    pub fn for_audit(&self) -> Denied {
        let Details {
            team,
            bundle,
            caller,
            item,
            ..
        } = &*self.0;
        Denied {
            team: team.clone(),
            bundle: bundle.name.clone(),
            code: self.code(),
            item: item.to_string(),
            phase: caller.phase.as_str(),
            dag_id: caller.dag_id.clone(),
            task_id: caller.task_id.clone(),
        }
    }

    /// Whether what was wanted is no key, id or path at all, so that nothing could allow it.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        matches!(self.0.why, Why::Malformed(_))
    }

    /// What to add to `bundle.toml`, unless it asks already.
    #[must_use]
    pub fn request_snippet(&self) -> Option<String> {
        match &self.0.why {
            Why::NotHeld {
                asked: false,
                entry,
                ..
            } => Some(entry.request(Phases::only(self.0.caller.phase))),
            _ => None,
        }
    }

    /// What to add to the grant, as a table of the bundle's `[[team.bundle]]`, unless it is granted already.
    #[must_use]
    pub fn grant_snippet(&self) -> Option<String> {
        match &self.0.why {
            Why::NotHeld {
                held: false,
                entry,
                narrow,
                ..
            } => Some(entry.grant(narrow.then_some(&self.0.caller))),
            _ => None,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details {
            team,
            bundle,
            source,
            caller,
            item,
            why,
            asks,
            grants,
        } = &*self.0;
        let noun = item.kind().noun();
        write!(f, "{}: ", self.code())?;
        match why {
            Why::Malformed(problem) => f.write_str(problem)?,
            Why::WhileParsing => write!(f, "this bundle uses {noun} while it is parsed")?,
            Why::NotHeld {
                asked: true,
                held: false,
                ..
            } => write!(
                f,
                "this bundle asks for {noun} that its grant does not hold"
            )?,
            Why::NotHeld { held: true, .. } => {
                write!(f, "this bundle uses {noun} that it does not ask for")?;
            }
            Why::NotHeld { .. } => write!(
                f,
                "this bundle uses {noun} that it neither asks for nor is granted"
            )?,
        }
        write!(f, "\n  bundle   {bundle}, team {team}\n  phase    ")?;
        match (caller.phase, &caller.task_id, &caller.dag_id) {
            (Phase::Task, Some(task), Some(dag)) => write!(f, "task `{task}` of DAG `{dag}`")?,
            (Phase::Parse, Some(task), Some(dag)) => {
                write!(f, "parse, of task `{task}` of DAG `{dag}`")?;
            }
            (Phase::Parse, None, Some(dag)) => write!(f, "parse, of DAG `{dag}`")?,
            (phase @ (Phase::Trigger | Phase::Callback), Some(task), Some(dag)) => {
                write!(f, "{}, for task `{task}` of DAG `{dag}`", phase.as_str())?;
            }
            (phase @ (Phase::Trigger | Phase::Callback), None, Some(dag)) => {
                write!(f, "{}, for DAG `{dag}`", phase.as_str())?;
            }
            (phase, ..) => f.write_str(phase.as_str())?,
        }
        write!(f, "\n  wanted   {item}")?;
        if self.is_malformed() {
            return Ok(());
        }
        if *why == Why::WhileParsing {
            return f.write_str(
                "\n  help     only variables can be had while parsing, which depends on nothing else: do this in a task",
            );
        }
        let plural = item.kind().plural();
        write!(f, "\n  asks for {}", snippet::list(asks, plural))?;
        write!(f, "\n  granted  {}", snippet::list(grants, plural))?;
        let place = source.place(team, &bundle.name);
        snippet::help(
            f,
            self.request_snippet().as_deref(),
            self.grant_snippet().as_deref().zip(place.as_deref()),
        )
    }
}

impl std::error::Error for Denial {}
