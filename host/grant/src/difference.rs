//! What one request asks for beyond another: what a reviewer of a new version has to read.
//!
//! Both are taken apart into single things, each in one phase, and a thing of the one is covered when something
//! of the other allows all of it. So a request that is written differently and means the same shows no difference.

use std::fmt;

use crate::{
    http::HttpPattern,
    interface::Kind,
    item::{Access, AssetAccess, Mode},
    pattern::{AssetPattern, VariablePattern},
    phase::{Phase, Phases},
    request::Request,
    snippet::Entry,
};

/// Something that one request asks for and another does not; shown, with its phases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What kind of thing.
    pub kind: Kind,
    /// What exactly, safe to show: ``connection `bank`, read``.
    pub what: String,
    /// In which phases; of what [has none](Kind::has_phases), all.
    pub phases: Phases,
    /// Why, in the author's words. Not safe to show as it is.
    pub reason: Option<String>,
}

impl Difference {
    /// The words for its phases; none of what [has none](Kind::has_phases).
    #[must_use]
    pub fn phase_names(&self) -> Vec<&'static str> {
        let named = self.phases.iter().filter(|_| self.kind.has_phases());
        named.map(Phase::as_str).collect()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.phase_names().as_slice() {
            [] => Ok(()),
            names => write!(f, " in {}", names.join(", ")),
        }
    }
}

/// One thing that is asked for.
struct Thing<'a> {
    what: What<'a>,
    phases: Phases,
    reason: Option<&'a str>,
}

enum What<'a> {
    Variable(&'a VariablePattern),
    Connection(&'a str, Access),
    Directory(&'a str, Mode),
    Http(&'a str, &'a HttpPattern),
    Asset(&'a AssetPattern, AssetAccess),
}

impl What<'_> {
    /// Whether all of it is allowed where `other` is.
    fn is_within(&self, other: &What<'_>) -> bool {
        match (self, other) {
            (What::Variable(own), What::Variable(other)) => other.covers(own),
            (What::Connection(own, access), What::Connection(other, most)) => {
                own == other && access <= most
            }
            (What::Directory(own, mode), What::Directory(other, most)) => {
                own == other && mode <= most
            }
            (What::Http(method, own), What::Http(same, other)) => {
                method == same && other.covers(own)
            }
            (What::Asset(own, access), What::Asset(other, same)) => {
                access == same && other.covers(own)
            }
            _ => false,
        }
    }

    fn shown(&self) -> (Kind, Entry) {
        match self {
            Self::Variable(pattern) => (
                Kind::Variable,
                Entry::Variable {
                    key: pattern.to_string(),
                    lender: None,
                },
            ),
            Self::Connection(id, access) => {
                let (id, access) = ((*id).to_owned(), *access);
                (
                    Kind::Connection,
                    Entry::Connection {
                        id,
                        access,
                        lender: None,
                    },
                )
            }
            Self::Directory(path, mode) => {
                let (path, mode) = ((*path).to_owned(), *mode);
                (Kind::Directory, Entry::Directory { path, mode })
            }
            Self::Http(method, url) => {
                let (url, methods) = (url.to_string(), vec![(*method).to_owned()]);
                (Kind::Http, Entry::Http { url, methods })
            }
            Self::Asset(name, access) => {
                let (name, access) = (name.to_string(), *access);
                (Kind::Asset, Entry::Asset { name, access })
            }
        }
    }
}

fn things(request: &Request) -> Vec<Thing<'_>> {
    fn thing<'a>(what: What<'a>, phases: Phases, reason: &'a Option<String>) -> Thing<'a> {
        Thing {
            what,
            phases,
            reason: reason.as_deref(),
        }
    }
    let http = request.http.iter().flat_map(|one| {
        let methods = one.methods.iter();
        methods.map(move |method| {
            thing(
                What::Http(method.as_str(), &one.url),
                one.phases,
                &one.reason,
            )
        })
    });
    let connections = request.connection.iter().map(|one| {
        let what = What::Connection(one.id.as_str(), one.access);
        thing(what, one.phases, &one.reason)
    });
    let variables = request.variable.iter();
    let variables = variables.map(|one| thing(What::Variable(&one.key), one.phases, &one.reason));
    let directories = request.directory.iter().map(|one| {
        let what = What::Directory(one.path.as_str(), one.mode);
        thing(what, one.phases, &one.reason)
    });
    let assets = request.asset.iter().map(|one| {
        let what = What::Asset(&one.name, one.access);
        thing(what, Phases::ALL, &one.reason)
    });
    http.chain(connections)
        .chain(variables)
        .chain(directories)
        .chain(assets)
        .collect()
}

impl Request {
    /// What this asks for and `other` does not: in the order of the reviewer's page, each thing with the phases
    /// that it has here only. Nothing where this is as wide as `other`, or narrower.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Vec<Difference> {
        let known = things(other);
        let differences = things(self).into_iter().filter_map(|thing| {
            let covering = known
                .iter()
                .filter(|known| thing.what.is_within(&known.what));
            let covered = covering.fold(Phases::NONE, |all, known| all.or(known.phases));
            let phases = thing.phases.except(covered);
            let (kind, entry) = thing.what.shown();
            (!phases.is_empty()).then(|| Difference {
                kind,
                what: entry.label(),
                phases,
                reason: thing.reason.map(str::to_owned),
            })
        });
        differences.collect()
    }
}

#[cfg(test)]
mod tests;
