//! A bundle's page for the reviewer: what it asks for, what it is granted, and what no bundle can do.
//!
//! It is derived from the bytes and from the configuration by the same code for `airlock bundle inspect` and
//! for the API. Texts that come from the bundle are in it as they are: whoever shows them escapes them.

mod comparison;

use std::path::Path;

use airlock_bundle::Inspection;
use airlock_grant::{
    BundleLabel, Effective, Grant, Kind, Phases, Request, RequestError, Standing, interface,
};
use airlock_model::id::TeamName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use comparison::{Change, Comparison, ImportChange, Surplus, Version};

/// What is known of a bundle's grant.
#[derive(Debug, Clone, Copy)]
pub enum Holding<'a> {
    /// Nothing: no configuration names the bundle.
    Unknown,
    /// It is granted what it asks for, with directories below this folder.
    Automatic(&'a Path),
    /// This team grants it this.
    Granted(&'a TeamName, &'a Grant),
    /// People approved this for a bundle of this team.
    Approved(&'a TeamName, &'a Grant),
    /// It is this team's, and what people approved for it is not at hand.
    Undecided(&'a TeamName),
}

/// Whether something that is asked for is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granted {
    /// In all phases that it is asked for, for the whole bundle.
    Yes,
    /// In some phases, or for some DAGs or tasks.
    Partly,
    /// Nowhere.
    No,
    /// No configuration is at hand.
    Unknown,
}

/// One thing that a bundle asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReviewRow {
    /// `variable`, `connection`, `directory` or `http`.
    pub kind: String,
    /// What it lets the bundle do.
    pub can: String,
    /// What exactly is asked for.
    pub asks_for: String,
    /// Why, in the author's words.
    pub reason: Option<String>,
    /// Whether it is granted.
    pub granted: Granted,
    /// The phases in which it is granted, or asked for where no configuration is at hand.
    pub phases: Vec<String>,
}

/// An interface that the component imports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReviewImport {
    /// As the component names it.
    pub name: String,
    /// The functions of it that it may call.
    pub functions: Vec<String>,
    /// `inert`: every bundle may have it; `capability`: it needs a grant; `never`: no bundle gets it;
    /// `unknown`: this host does not have it.
    pub standing: String,
    /// What it is for.
    pub meaning: Option<String>,
    /// What can go wrong with it.
    pub risk: Option<String>,
}

/// A bundle's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Review {
    /// Its name.
    pub name: String,
    /// The version that its `bundle.toml` claims.
    pub version: String,
    /// The BLAKE3 of the file, in hexadecimal.
    pub hash: String,
    /// The file's size in bytes.
    pub size: u64,
    /// What it says it was made with, such as `Rust 1.95`.
    pub made_with: Vec<String>,
    /// The phases that it has code for.
    pub phases: Vec<String>,
    /// Whose it is, where a configuration says so.
    pub team_name: Option<String>,
    /// It is granted what it asks for without anybody's word.
    pub automatic: bool,
    /// What people approved for it is not at hand, so nothing is said of what it is granted.
    #[serde(default)]
    pub undecided: bool,
    /// What it asks for.
    pub rows: Vec<ReviewRow>,
    /// What it is granted and does not ask for, so that it has none of it.
    #[serde(default)]
    pub unasked: Vec<String>,
    /// What it imports.
    pub imports: Vec<ReviewImport>,
    /// Why it does not load; empty where it does, or where no configuration is at hand.
    pub refused: Vec<String>,
}

/// What no bundle can do, whatever it is granted.
pub const CANNOT: &str = "open sockets, start processes, read the environment, reach other teams, keep memory between calls";

impl Review {
    /// The page of these bytes.
    ///
    /// # Errors
    /// A [`RequestError`] when what the bundle asks for cannot be read.
    pub fn new(inspection: &Inspection, holding: Holding<'_>) -> Result<Self, RequestError> {
        let request = Request::from_bundle_toml(&inspection.manifest.text)?;
        let label = BundleLabel {
            name: inspection.manifest.name.clone(),
            version: inspection.manifest.version.to_string(),
            hash: inspection.hash,
        };
        let whole = effective(&label, &request, holding);
        let refused = whole
            .as_ref()
            .and_then(|effective| effective.check_imports(&inspection.imports).err())
            .unwrap_or_default();
        Ok(Self {
            name: label.name.to_string(),
            version: label.version.clone(),
            hash: label.hash.to_string(),
            size: inspection.size,
            made_with: made_with(inspection),
            phases: phases(inspection),
            team_name: match holding {
                Holding::Unknown => None,
                Holding::Automatic(_) => Some(TeamName::default_team().to_string()),
                Holding::Granted(team, _)
                | Holding::Approved(team, _)
                | Holding::Undecided(team) => Some(team.to_string()),
            },
            undecided: matches!(holding, Holding::Undecided(_)),
            automatic: matches!(holding, Holding::Automatic(_)),
            rows: items(&request)
                .into_iter()
                .map(|item| item.row(&label, holding))
                .collect(),
            unasked: whole.map(|whole| whole.unasked()).unwrap_or_default(),
            imports: inspection.imports.iter().map(import).collect(),
            refused: refused.iter().map(ToString::to_string).collect(),
        })
    }
}

/// The phases that a component has code for, in the words of `bundle.toml`, and its timetables.
fn phases(inspection: &Inspection) -> Vec<String> {
    let exports = [
        ("dags", "parse"),
        ("tasks", "task"),
        ("triggers", "trigger"),
        ("callbacks", "callback"),
        ("timetables", "timetable"),
    ];
    let there = exports
        .into_iter()
        .filter(|(interface, _)| inspection.exports_phase(interface));
    there.map(|(_, phase)| phase.to_owned()).collect()
}

fn effective(label: &BundleLabel, request: &Request, holding: Holding<'_>) -> Option<Effective> {
    let label = label.clone();
    match holding {
        Holding::Unknown | Holding::Undecided(_) => None,
        Holding::Automatic(folder) => Some(Effective::grant_all(label, request, folder)),
        Holding::Granted(team, grant) => Some(Effective::new(team.clone(), label, request, grant)),
        Holding::Approved(team, grant) => {
            Some(Effective::approved(team.clone(), label, request, grant))
        }
    }
}

/// One entry of a request, as a request of its own: so that what is in force for it can be asked alone.
struct Item {
    kind: Kind,
    asks_for: String,
    reason: Option<String>,
    phases: Phases,
    alone: Request,
}

fn items(request: &Request) -> Vec<Item> {
    let mut items = Vec::new();
    for one in &request.http {
        let methods: Vec<String> = one.methods.iter().map(ToString::to_string).collect();
        items.push(Item {
            kind: Kind::Http,
            asks_for: format!("{} {}", methods.join(", "), one.url),
            reason: one.reason.clone(),
            phases: one.phases,
            alone: Request {
                http: vec![one.clone()],
                ..Request::default()
            },
        });
    }
    for one in &request.connection {
        items.push(Item {
            kind: Kind::Connection,
            asks_for: format!("{} ({})", one.id, one.access.as_str()),
            reason: one.reason.clone(),
            phases: one.phases,
            alone: Request {
                connection: vec![one.clone()],
                ..Request::default()
            },
        });
    }
    for one in &request.variable {
        items.push(Item {
            kind: Kind::Variable,
            asks_for: one.key.to_string(),
            reason: one.reason.clone(),
            phases: one.phases,
            alone: Request {
                variable: vec![one.clone()],
                ..Request::default()
            },
        });
    }
    for one in &request.directory {
        items.push(Item {
            kind: Kind::Directory,
            asks_for: format!("{} ({})", one.path, one.mode.as_str()),
            reason: one.reason.clone(),
            phases: one.phases,
            alone: Request {
                directory: vec![one.clone()],
                ..Request::default()
            },
        });
    }
    for one in &request.asset {
        items.push(Item {
            kind: Kind::Asset,
            asks_for: format!("{} ({})", one.name, one.access.as_str()),
            reason: one.reason.clone(),
            phases: Phases::ALL,
            alone: Request {
                asset: vec![one.clone()],
                ..Request::default()
            },
        });
    }
    items
}

impl Item {
    fn row(self, label: &BundleLabel, holding: Holding<'_>) -> ReviewRow {
        let in_force = |holding| {
            effective(label, &self.alone, holding).map(|effective| effective.phases(self.kind))
        };
        let (granted, phases) = match in_force(holding) {
            None => (Granted::Unknown, self.phases),
            Some(phases) if phases.is_empty() => (Granted::No, phases),
            Some(phases) => {
                // Without what is narrowed to DAGs or tasks, is it still all there?
                let for_all = match holding {
                    Holding::Granted(team, grant) | Holding::Approved(team, grant) => {
                        in_force(Holding::Granted(team, &without_narrowed(grant)))
                    }
                    other => in_force(other),
                };
                if for_all == Some(self.phases) {
                    (Granted::Yes, phases)
                } else {
                    (Granted::Partly, phases)
                }
            }
        };
        ReviewRow {
            kind: self.kind.as_str().to_owned(),
            can: self.kind.can().to_owned(),
            asks_for: self.asks_for,
            reason: self.reason,
            granted,
            phases: match self.kind.has_phases() {
                true => phases.iter().map(|p| p.as_str().to_owned()).collect(),
                false => Vec::new(),
            },
        }
    }
}

/// The grant without entries that count for some DAGs or tasks only.
fn without_narrowed(grant: &Grant) -> Grant {
    let mut grant = grant.clone();
    grant
        .connection
        .retain(|one| one.dags.is_none() && one.tasks.is_none());
    grant
        .variable
        .retain(|one| one.dags.is_none() && one.tasks.is_none());
    grant
        .directory
        .retain(|one| one.dags.is_none() && one.tasks.is_none());
    grant
        .http
        .retain(|one| one.dags.is_none() && one.tasks.is_none());
    grant
        .asset
        .retain(|one| one.dags.is_none() && one.tasks.is_none());
    grant
}

fn import(import: &airlock_bundle::Import) -> ReviewImport {
    let known = interface(&import.name);
    let standing = match known.map(|known| known.standing) {
        None => "unknown",
        Some(Standing::Inert) => "inert",
        Some(Standing::Capability(_) | Standing::Reading) => "capability",
        Some(Standing::Never) => "never",
    };
    ReviewImport {
        name: import.name.clone(),
        functions: import.functions.clone(),
        standing: standing.to_owned(),
        meaning: known.map(|known| known.meaning.to_owned()),
        risk: known.map(|known| known.risk.to_owned()),
    }
}

/// The language and the SDK. Rust's compiler is noted as a tool; what else is a language beside it are the C
/// parts of its standard library. Tools that merely processed the file are left out.
fn made_with(inspection: &Inspection) -> Vec<String> {
    let of = |field: &'static str| {
        let producers = inspection.producers.iter();
        producers.filter(move |producer| producer.field == field)
    };
    let rust = of("processed-by").find(|producer| producer.name == "rustc");
    let mut made: Vec<String> = Vec::new();
    match rust {
        Some(rustc) => {
            let version = rustc.version.split_whitespace().next().unwrap_or_default();
            made.push(format!("Rust {version}"));
        }
        None => made.extend(of("language").map(|one| format!("{} {}", one.name, one.version))),
    }
    made.extend(of("sdk").map(|sdk| format!("{} {}", sdk.name, sdk.version)));
    for text in &mut made {
        *text = text.trim().to_owned();
    }
    made
}

#[cfg(test)]
mod tests;
