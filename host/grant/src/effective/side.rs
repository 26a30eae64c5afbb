//! The two sides of a decision, in the form in which they are asked.

use std::{fmt::Write as _, path::Path, sync::Arc};

use airlock_model::id::{ConnectionId, TeamName, VariableKey};

use crate::{
    grant::Grant,
    interface::Kind,
    item::{Access, AssetAccess, Directory, GuestPath, Mode},
    pattern::{AssetPattern, VariablePattern},
    phase::Phases,
    quote::shown,
    request::Request,
    rule::{Assets, HttpRule, HttpRules, Narrowing, Patterns, Table},
    snippet::Entry,
};

/// One side's directory. The host's path is there on the granting side only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place<H> {
    pub(super) path: GuestPath,
    pub(super) mode: Mode,
    pub(super) host: H,
}

/// One side: what is asked for, or what is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Side<H> {
    pub(super) variables: Patterns<VariableKey>,
    pub(super) connections: Table<(ConnectionId, Access)>,
    /// Other teams' that are granted. For one caller a name means one thing: either here, or above.
    pub(super) lent_variables: Table<(VariableKey, TeamName)>,
    /// The same of connections.
    pub(super) lent_connections: Table<(ConnectionId, Access, TeamName)>,
    pub(super) directories: Table<Place<H>>,
    pub(super) http: HttpRules,
    pub(super) assets: Assets,
}

impl<H> Side<H> {
    /// All of a kind, as both files write them, and for whom each counts.
    pub(super) fn entries(&self, kind: Kind) -> Vec<(Entry, &Narrowing)> {
        match kind {
            Kind::Variable => {
                let entry = |pattern: VariablePattern| Entry::Variable {
                    key: pattern.to_string(),
                    lender: None,
                };
                let lent = |(key, lender): &(VariableKey, TeamName)| Entry::Variable {
                    key: key.to_string(),
                    lender: Some(lender.clone()),
                };
                let all = self.variables.iter();
                let own = all.map(|(pattern, narrowing)| (entry(pattern), narrowing));
                let others = self.lent_variables.iter();
                own.chain(others.map(|(_, narrowing, held)| (lent(held), narrowing)))
                    .collect()
            }
            Kind::Connection => {
                let entry = |id: &ConnectionId, access: Access, lender: Option<&TeamName>| {
                    Entry::Connection {
                        id: id.to_string(),
                        access,
                        lender: lender.cloned(),
                    }
                };
                let all = self.connections.iter();
                let own =
                    all.map(|(_, narrowing, (id, access))| (entry(id, *access, None), narrowing));
                let others = self.lent_connections.iter();
                let others = others.map(|(_, narrowing, (id, access, lender))| {
                    (entry(id, *access, Some(lender)), narrowing)
                });
                own.chain(others).collect()
            }
            Kind::Directory => {
                let entry = |path: &str, place: &Place<H>| Entry::Directory {
                    path: path.to_owned(),
                    mode: place.mode,
                };
                let all = self.directories.iter();
                all.map(|(path, narrowing, place)| (entry(path, place), narrowing))
                    .collect()
            }
            Kind::Http => {
                let entry = |rule: &HttpRule| Entry::Http {
                    url: rule.url.to_string(),
                    methods: rule.methods.iter().map(ToString::to_string).collect(),
                };
                let all = self.http.iter();
                all.map(|rule| (entry(rule), &rule.narrowing)).collect()
            }
            Kind::Asset => {
                let entry = |name: AssetPattern, access: AssetAccess| Entry::Asset {
                    name: name.to_string(),
                    access,
                };
                let all = self.assets.iter();
                all.map(|(name, access, narrowing)| (entry(name, access), narrowing))
                    .collect()
            }
        }
    }
}

/// A host's folder, and the one that it must stay in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostFolder {
    pub(super) path: Arc<Path>,
    pub(super) within: Option<Arc<Path>>,
}

impl Side<()> {
    /// What `request` asks for.
    pub(super) fn asked(request: &Request) -> Self {
        let mut side = Side {
            variables: Patterns::default(),
            connections: Table::default(),
            lent_variables: Table::default(),
            lent_connections: Table::default(),
            directories: Table::default(),
            http: HttpRules::default(),
            assets: Assets::default(),
        };
        for one in &request.variable {
            let narrowing = Narrowing::phases_only(one.phases);
            side.variables.add(&one.key, narrowing);
        }
        for one in &request.connection {
            let narrowing = Narrowing::phases_only(one.phases);
            let value = (one.id.clone(), one.access);
            side.connections.add(one.id.as_str(), narrowing, value);
        }
        for one in &request.directory {
            let place = Place {
                path: one.path.clone(),
                mode: one.mode,
                host: (),
            };
            let narrowing = Narrowing::phases_only(one.phases);
            side.directories.add(one.path.as_str(), narrowing, place);
        }
        for one in &request.http {
            side.http.add(HttpRule {
                url: one.url.clone(),
                methods: one.methods.clone(),
                narrowing: Narrowing::phases_only(one.phases),
            });
        }
        for one in &request.asset {
            let narrowing = Narrowing::of_definitions(None, None);
            side.assets.add(&one.name, one.access, narrowing);
        }
        side
    }
}

impl Side<HostFolder> {
    /// What `grant` holds.
    pub(crate) fn granted(grant: &Grant) -> Self {
        let mut held = Side {
            variables: Patterns::default(),
            connections: Table::default(),
            lent_variables: Table::default(),
            lent_connections: Table::default(),
            directories: Table::default(),
            http: HttpRules::default(),
            assets: Assets::default(),
        };
        for one in &grant.variable {
            let narrowing = Narrowing::new(one.phases, one.dags.as_ref(), one.tasks.as_ref());
            match (&one.from, one.key.exact()) {
                (None, _) => held.variables.add(&one.key, narrowing),
                (Some(lender), Some(key)) => {
                    let value = (key.clone(), lender.clone());
                    held.lent_variables.add(key.as_str(), narrowing, value);
                }
                // Prefixes are not lent: refused where grants are read.
                (Some(_), None) => {}
            }
        }
        for one in &grant.connection {
            let narrowing = Narrowing::new(one.phases, one.dags.as_ref(), one.tasks.as_ref());
            match &one.from {
                None => {
                    let value = (one.id.clone(), one.access);
                    held.connections.add(one.id.as_str(), narrowing, value);
                }
                Some(lender) => {
                    let value = (one.id.clone(), one.access, lender.clone());
                    held.lent_connections.add(one.id.as_str(), narrowing, value);
                }
            }
        }
        for one in &grant.directory {
            let narrowing = Narrowing::new(one.phases, one.dags.as_ref(), one.tasks.as_ref());
            let place = Place {
                path: one.path.clone(),
                mode: one.mode,
                host: HostFolder {
                    path: one.host.as_path().into(),
                    within: None,
                },
            };
            held.directories.add(one.path.as_str(), narrowing, place);
        }
        for one in &grant.http {
            held.http.add(HttpRule {
                url: one.url.clone(),
                methods: one.methods.clone(),
                narrowing: Narrowing::new(one.phases, one.dags.as_ref(), one.tasks.as_ref()),
            });
        }
        for one in &grant.asset {
            let narrowing = Narrowing::of_definitions(one.dags.as_ref(), one.tasks.as_ref());
            held.assets.add(&one.name, one.access, narrowing);
        }
        held
    }

    /// Each entry with its place on the host and for whom it counts, where that is not everybody; safe to show.
    pub(crate) fn lines(&self) -> Vec<String> {
        let of = |kind| self.lines_of(kind);
        Kind::ALL.into_iter().flat_map(of).collect()
    }

    /// The same of one kind.
    pub(super) fn lines_of(&self, kind: Kind) -> Vec<String> {
        let mut places = self.directories.iter().map(|(_, _, place)| &place.host);
        let entries = self.entries(kind).into_iter();
        let lines = entries.map(|(entry, narrowing)| {
            let mut line = entry.label();
            if let Some(place) = places.next().filter(|_| kind == Kind::Directory) {
                let _ = write!(line, " at `{}`", shown(&place.path.to_string_lossy()));
            }
            if let Some(label) = narrowing.label() {
                let _ = write!(line, " ({label})");
            }
            line
        });
        lines.collect()
    }

    /// All that `request` asks for; directories lie below `folder`.
    pub(super) fn automatic(request: &Request, folder: &Path) -> Self {
        let asked = Side::asked(request);
        let within: Arc<Path> = folder.into();
        let mut directories = Table::default();
        for one in &request.directory {
            let place = Place {
                path: one.path.clone(),
                mode: one.mode,
                host: HostFolder {
                    path: folder.join(one.path.as_str()).into(),
                    within: Some(Arc::clone(&within)),
                },
            };
            let narrowing = Narrowing::phases_only(one.phases);
            directories.add(one.path.as_str(), narrowing, place);
        }
        Self {
            variables: asked.variables,
            connections: asked.connections,
            lent_variables: Table::default(),
            lent_connections: Table::default(),
            directories,
            http: asked.http,
            assets: asked.assets,
        }
    }
}

/// The directory of which both sides speak; what may be done in it is the less of the two.
pub(super) fn both(asked: &Place<()>, held: &Place<HostFolder>) -> Directory {
    Directory {
        path: held.path.clone(),
        host: Arc::clone(&held.host.path),
        mode: asked.mode.min(held.mode),
        within: held.host.within.clone(),
    }
}

/// What is held and nothing that is asked for meets, whoever asks.
pub(super) fn unasked(kind: Kind, asked: &Side<()>, held: &Side<HostFolder>) -> Vec<Entry> {
    let unmet = |held: &Side<HostFolder>| -> Vec<bool> {
        match kind {
            Kind::Variable => {
                let met =
                    |b: &VariablePattern| asked.variables.iter().any(|(a, _)| a.and(b).is_some());
                let own = held.variables.iter().map(|(b, _)| !met(&b));
                let others = held.lent_variables.iter();
                let others =
                    others.map(|(_, _, (key, _))| !met(&VariablePattern::Exact(key.clone())));
                own.chain(others).collect()
            }
            Kind::Connection => {
                let met = |id: &ConnectionId| asked.connections.names(id.as_str());
                let own = held.connections.iter();
                let own = own.map(|(_, _, (id, _))| !met(id));
                let others = held.lent_connections.iter();
                own.chain(others.map(|(_, _, (id, ..))| !met(id))).collect()
            }
            Kind::Directory => {
                let all = held.directories.iter();
                all.map(|(b, ..)| !asked.directories.names(b)).collect()
            }
            Kind::Http => {
                let met = |b| asked.http.iter().any(|a| a.meets(b));
                held.http.iter().map(|b| !met(b)).collect()
            }
            Kind::Asset => {
                let met = |name: &AssetPattern, access: AssetAccess| {
                    let mut all = asked.assets.of(access).iter();
                    all.any(|(asked, _)| asked.and(name).is_some())
                };
                let all = held.assets.iter();
                all.map(|(name, access, _)| !met(&name, access)).collect()
            }
        }
    };
    let entries = held.entries(kind).into_iter().zip(unmet(held));
    let unasked = entries.filter(|(_, unmet)| *unmet);
    unasked.map(|((entry, _), _)| entry).collect()
}

/// The phases in which there is a caller for whom both sides let a same connection be read.
pub(super) fn readable(asked: &Side<()>, held: &Side<HostFolder>) -> Phases {
    reached(asked, held, Access::Read)
}

/// The phases in which both sides allow this at least with a same connection.
fn reached(asked: &Side<()>, held: &Side<HostFolder>, least: Access) -> Phases {
    let own = held.connections.iter();
    let own = own.map(|(id, narrowing, (_, access))| (id, narrowing, *access));
    let others = held.lent_connections.iter();
    let others = others.map(|(id, narrowing, (_, access, _))| (id, narrowing, *access));
    let held: Vec<_> = own.chain(others).collect();
    let mut all = Phases::NONE;
    for (a, narrowing, (_, wanted)) in asked.connections.iter() {
        for (b, other, access) in &held {
            let same = a == *b && (*wanted).min(*access) >= least;
            if same && !narrowing.is_empty() && !other.is_empty() && narrowing.meets(other) {
                all = all.or(narrowing.phases().and(other.phases()));
            }
        }
    }
    all
}

/// The phases in which there is a caller for whom both sides hold a same item.
pub(super) fn in_force(kind: Kind, asked: &Side<()>, held: &Side<HostFolder>) -> Phases {
    let mut all = Phases::NONE;
    let mut meet = |a: &Narrowing, b: &Narrowing, same: bool| {
        if same && !a.is_empty() && !b.is_empty() && a.meets(b) {
            all = all.or(a.phases().and(b.phases()));
        }
    };
    match kind {
        Kind::Variable => {
            for (a, narrowing) in asked.variables.iter() {
                for (b, other) in held.variables.iter() {
                    meet(narrowing, other, a.and(&b).is_some());
                }
                for (_, other, (key, _)) in held.lent_variables.iter() {
                    meet(narrowing, other, a.matches(key.as_str()));
                }
            }
        }
        Kind::Connection => return reached(asked, held, Access::Use),
        Kind::Directory => {
            for (a, narrowing, _) in asked.directories.iter() {
                for (b, other, _) in held.directories.iter() {
                    meet(narrowing, other, a == b);
                }
            }
        }
        Kind::Http => {
            for a in asked.http.iter() {
                for b in held.http.iter() {
                    meet(&a.narrowing, &b.narrowing, a.meets(b));
                }
            }
        }
        Kind::Asset => {
            for (a, access, narrowing) in asked.assets.iter() {
                for (b, other) in held.assets.of(access).iter() {
                    meet(narrowing, other, a.and(&b).is_some());
                }
            }
        }
    }
    all
}
