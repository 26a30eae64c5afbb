//! The text to paste: one table of `bundle.toml`, one of `airlock.toml`, for one item.

use std::fmt::Write as _;

use airlock_model::id::TeamName;

use crate::{
    item::{Access, AssetAccess, Mode},
    phase::{Caller, Phase, Phases},
    quote::{shown, toml_array, toml_string},
};

/// An item as both files write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Variable {
        key: String,
        lender: Option<TeamName>,
    },
    Connection {
        id: String,
        access: Access,
        lender: Option<TeamName>,
    },
    Directory {
        path: String,
        mode: Mode,
    },
    Http {
        url: String,
        methods: Vec<String>,
    },
    Asset {
        name: String,
        access: AssetAccess,
    },
}

impl Entry {
    fn kind(&self) -> &'static str {
        match self {
            Self::Variable { .. } => "variable",
            Self::Connection { .. } => "connection",
            Self::Directory { .. } => "directory",
            Self::Http { .. } => "http",
            Self::Asset { .. } => "asset",
        }
    }

    fn lines(&self) -> String {
        match self {
            Self::Variable { key, lender } => {
                format!("key = {}\n{}", toml_string(key), from(lender.as_ref()))
            }
            Self::Connection { id, access, lender } => format!(
                "id = {}\naccess = {}\n{}",
                toml_string(id),
                toml_string(access.as_str()),
                from(lender.as_ref())
            ),
            Self::Directory { path, mode } => format!(
                "path = {}\nmode = {}\n",
                toml_string(path),
                toml_string(mode.as_str())
            ),
            Self::Http { url, methods } => format!(
                "url = {}\nmethods = {}\n",
                toml_string(url),
                toml_array(methods.iter().map(String::as_str))
            ),
            Self::Asset { name, access } => format!(
                "name = {}\naccess = {}\n",
                toml_string(name),
                toml_string(access.as_str())
            ),
        }
    }

    /// Whether both files narrow it to phases.
    const fn has_phases(&self) -> bool {
        !matches!(self, Self::Asset { .. })
    }

    /// The table for `bundle.toml`.
    pub(crate) fn request(&self, phases: Phases) -> String {
        let mut text = format!("[[request.{}]]\n{}", self.kind(), self.lines());
        if self.has_phases() && phases != Phases::only(Phase::Task) {
            let phases = toml_array(phases.iter().map(Phase::as_str));
            let _ = writeln!(text, "phases = {phases}");
        }
        text
    }

    /// The table for `airlock.toml`, narrowed to one caller where there is one.
    pub(crate) fn grant(&self, narrowed_to: Option<&Caller>) -> String {
        let mut text = format!("[[team.bundle.grant.{}]]\n{}", self.kind(), self.lines());
        if matches!(self, Self::Directory { .. }) {
            text.push_str("host = \"/path/on/this/host\"\n");
        }
        if let Some(caller) = narrowed_to {
            if self.has_phases() {
                let _ = writeln!(text, "phases = {}", toml_array([caller.phase.as_str()]));
            }
            if let Some(dag_id) = &caller.dag_id {
                let _ = writeln!(text, "dags = {}", toml_array([dag_id.as_str()]));
            }
            if let Some(task_id) = &caller.task_id {
                let _ = writeln!(text, "tasks = {}", toml_array([task_id.as_str()]));
            }
        }
        text
    }

    /// In a few words, safe to show.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Variable { key, lender } => {
                format!("variable `{}`{}", shown(key), of_team(lender.as_ref()))
            }
            Self::Connection { id, access, lender } => format!(
                "connection `{}`, {}{}",
                shown(id),
                access.as_str(),
                of_team(lender.as_ref())
            ),
            Self::Directory { path, mode } => {
                format!("directory `{}`, {}", shown(path), mode.as_str())
            }
            Self::Http { url, methods } => format!("{} {}", shown(&methods.join(", ")), shown(url)),
            Self::Asset { name, access } => format!("asset `{}`, {}", shown(name), access.as_str()),
        }
    }
}

fn from(lender: Option<&TeamName>) -> String {
    lender.map_or_else(String::new, |team| {
        format!("from = {}\n", toml_string(team.as_str()))
    })
}

fn of_team(lender: Option<&TeamName>) -> String {
    lender.map_or_else(String::new, |team| format!(" of team `{team}`"))
}

/// An item, and whom it counts for, where that is to be said.
pub(crate) type Listed = (Entry, Option<String>);

/// How many items are listed.
const LISTED: usize = 6;

/// The labels of several entries on one line, each with whom it counts for, where that is not everybody.
pub(crate) fn list(entries: &[Listed], plural: &str) -> String {
    if entries.is_empty() {
        return format!("(no {plural})");
    }
    let label = |(entry, narrowing): &Listed| match narrowing {
        Some(narrowing) => format!("{} ({narrowing})", entry.label()),
        None => entry.label(),
    };
    let mut labels: Vec<String> = entries.iter().take(LISTED).map(label).collect();
    if entries.len() > LISTED {
        labels.push(format!("and {} more", entries.len() - LISTED));
    }
    labels.join("; ")
}

/// The `help` part of an error: what to paste where.
pub(crate) fn help(
    f: &mut std::fmt::Formatter<'_>,
    request: Option<&str>,
    grant: Option<(&str, &str)>,
) -> std::fmt::Result {
    let mut lead = "help     ";
    if let Some(text) = request {
        write!(f, "\n  {lead}ask for it in bundle.toml:")?;
        indented(f, text)?;
        lead = "         and ";
    }
    if let Some((text, place)) = grant {
        write!(f, "\n  {lead}{place}")?;
        indented(f, text)?;
    }
    Ok(())
}

fn indented(f: &mut std::fmt::Formatter<'_>, text: &str) -> std::fmt::Result {
    text.lines()
        .try_for_each(|line| write!(f, "\n             {line}"))
}
