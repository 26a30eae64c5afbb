//! What a bundle may reach in the end: what it asks for and what it is granted, both of them.

mod assets;
mod explain;
mod side;

use std::{fmt, path::Path};

use airlock_model::id::{BundleHash, BundleName, ConnectionId, TeamName, VariableKey};

pub use self::explain::Explanation;
use self::side::HostFolder;
pub(crate) use self::side::Side;
use crate::{
    denial::{Denial, Details, Item, Why},
    grant::Grant,
    http::HttpTarget,
    interface::{self, InForce, Interface, Kind, LinkedInterface, Standing, UngrantedImport},
    item::{Access, Directory, GuestPath, UsedConnection},
    pattern::VariablePattern,
    permit::Permit,
    phase::{Caller, Phase, Phases},
    quote::shown,
    request::Request,
    rule::{ByName, Narrowing},
    snippet::Entry,
};

/// A bundle as errors name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleLabel {
    /// Its name.
    pub name: BundleName,
    /// The version that its `bundle.toml` claims.
    pub version: String,
    /// Its content.
    pub hash: BundleHash,
}

impl fmt::Display for BundleLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, hash) = (&self.name, self.hash.short());
        write!(f, "{name} {} (b3:{hash}…)", shown(&self.version))
    }
}

/// By whose word a bundle is granted what it is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Nobody's: the default team's bundles are granted what they ask for, where no team is declared.
    Automatic,
    /// The configuration file's.
    Configured,
    /// That of a person who approved it.
    Approved,
}

impl Source {
    /// How to grant something there, as the beginning of a sentence that ends with the text; nothing where to ask for
    /// it is enough.
    pub(crate) fn place(self, team: &TeamName, bundle: &BundleName) -> Option<String> {
        match self {
            Self::Automatic => None,
            Self::Configured => Some(format!(
                "grant it in airlock.toml, below the [[team.bundle]] named \"{bundle}\" of team \"{team}\":"
            )),
            Self::Approved => Some(format!(
                "have it granted: put this below what `airlock grants show {bundle} --toml` prints, then `airlock grants propose {bundle} --file FILE`:"
            )),
        }
    }
}

/// What one bundle of one team may reach. Made once per bundle version, asked on every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    team: TeamName,
    bundle: BundleLabel,
    request: Request,
    asked: Side<()>,
    held: Side<HostFolder>,
    source: Source,
    force: [(Kind, Phases); 5],
    /// Where some connection may be read.
    readable: Phases,
}

impl Effective {
    /// What `request` asks for and a configured `grant` holds.
    #[must_use]
    pub fn new(team: TeamName, bundle: BundleLabel, request: &Request, grant: &Grant) -> Self {
        Self::of(
            team,
            bundle,
            request,
            Side::granted(grant),
            Source::Configured,
        )
    }

    /// What `request` asks for and an approved `grant` holds.
    #[must_use]
    pub fn approved(team: TeamName, bundle: BundleLabel, request: &Request, grant: &Grant) -> Self {
        Self::of(
            team,
            bundle,
            request,
            Side::granted(grant),
            Source::Approved,
        )
    }

    /// All that `request` asks for, for the default team when it is the only one: directories lie below
    /// `folder`, which is the bundle's own, and nowhere else.
    #[must_use]
    pub fn grant_all(bundle: BundleLabel, request: &Request, folder: &Path) -> Self {
        let (team, held) = (TeamName::default_team(), Side::automatic(request, folder));
        Self::of(team, bundle, request, held, Source::Automatic)
    }

    fn of(
        team: TeamName,
        bundle: BundleLabel,
        request: &Request,
        held: Side<HostFolder>,
        source: Source,
    ) -> Self {
        let asked = Side::asked(request);
        let force = Kind::ALL.map(|kind| (kind, side::in_force(kind, &asked, &held)));
        let readable = side::readable(&asked, &held);
        Self {
            team,
            bundle,
            request: request.clone(),
            asked,
            held,
            source,
            force,
            readable,
        }
    }

    /// Whose bundle it is.
    #[must_use]
    pub const fn team(&self) -> &TeamName {
        &self.team
    }

    /// The bundle.
    #[must_use]
    pub const fn bundle(&self) -> &BundleLabel {
        &self.bundle
    }

    /// What it asks for.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// By whose word it is granted what it is granted.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    /// The phases in which anything of this kind may be reached.
    #[must_use]
    pub fn phases(&self, kind: Kind) -> Phases {
        self.force
            .iter()
            .filter(|(each, _)| *each == kind)
            .fold(Phases::NONE, |all, (_, phases)| all.or(*phases))
    }

    /// What is granted and not asked for, so that nobody has any of it; each safe to show.
    #[must_use]
    pub fn unasked(&self) -> Vec<String> {
        let of = |kind| side::unasked(kind, &self.asked, &self.held);
        let entries = Kind::ALL.into_iter().flat_map(of);
        entries.map(|entry| entry.label()).collect()
    }

    /// What is granted of a kind, a line each, with for whom it counts where that is not everybody; each safe to show.
    #[must_use]
    pub fn granted(&self, kind: Kind) -> Vec<String> {
        self.held.lines_of(kind)
    }

    fn permit<T>(&self, item: T) -> Permit<T> {
        Permit::new(self.team.clone(), self.bundle.name.clone(), item)
    }

    /// Whether this variable may be read.
    ///
    /// # Errors
    /// A [`Denial`], the same whether or not the variable exists.
    pub fn variable(&self, caller: &Caller, key: &str) -> Result<Permit<VariableKey>, Denial> {
        let asked = self.asked.variables.find(key, caller);
        let lent = self.held.lent_variables.find(key, caller, |_| true);
        if let (Some(_), Some((key, lender))) = (asked, lent) {
            return Ok(self.permit(key.clone()).lent_by(lender));
        }
        let held = self.held.variables.find(key, caller);
        let valid = match (asked, held) {
            (Some(ByName::Exactly(key)), Some(_)) | (Some(_), Some(ByName::Exactly(key))) => {
                return Ok(self.permit(key.clone()));
            }
            (Some(_), Some(_)) => match VariableKey::new(key) {
                Ok(valid) => return Ok(self.permit(valid)),
                valid => valid,
            },
            _ => VariableKey::new(key),
        };
        let (asked, held) = (asked.is_some(), held.is_some() || lent.is_some());
        let entry = Entry::Variable {
            key: key.to_owned(),
            lender: None,
        };
        let narrow = (self.held.variables.iter()).any(|(pattern, _)| pattern.matches(key))
            || self.held.lent_variables.names(key);
        let why = not_held(valid.err(), asked, held, entry, narrow);
        Err(self.denial(caller, Item::Variable(key.to_owned()), why))
    }

    /// What parsing depends on: for each variable or prefix that may be read while parsing, the permit to
    /// read it.
    #[must_use]
    pub fn parse_variables(&self) -> Vec<Permit<VariablePattern>> {
        let caller = Caller::parse();
        let mut patterns: Vec<VariablePattern> = Vec::new();
        for (asked, narrowing) in self.asked.variables.iter() {
            for (held, other) in self.held.variables.iter() {
                if let Some(both) = asked.and(&held)
                    && narrowing.admits(&caller)
                    && other.admits(&caller)
                    && !patterns.contains(&both)
                {
                    patterns.push(both);
                }
            }
        }
        let mut permits: Vec<_> = patterns
            .into_iter()
            .map(|pattern| self.permit(pattern))
            .collect();
        for (_, other, (key, lender)) in self.held.lent_variables.iter() {
            if other.admits(&caller) && self.asked.variables.find(key.as_str(), &caller).is_some() {
                let pattern = VariablePattern::Exact(key.clone());
                permits.push(self.permit(pattern).lent_by(lender));
            }
        }
        permits
    }

    /// Whether this connection may be shown to the bundle's code, its password included.
    ///
    /// # Errors
    /// A [`Denial`], the same whether or not the connection exists.
    pub fn read_connection(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<Permit<ConnectionId>, Denial> {
        self.connection(caller, id, Access::Read)
    }

    /// Whether the host may use this connection for the bundle.
    ///
    /// # Errors
    /// A [`Denial`], the same whether or not the connection exists.
    pub fn use_connection(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<Permit<UsedConnection>, Denial> {
        let permit = self.connection(caller, id, Access::Use);
        permit.map(|permit| permit.map(UsedConnection))
    }

    fn connection(
        &self,
        caller: &Caller,
        id: &str,
        access: Access,
    ) -> Result<Permit<ConnectionId>, Denial> {
        let wanted = |(_, have): &(ConnectionId, Access)| *have >= access;
        let asked = self.asked.connections.find(id, caller, wanted).is_some();
        let lent = |(_, have, _): &(ConnectionId, Access, TeamName)| *have >= access;
        let lent = self.held.lent_connections.find(id, caller, lent);
        if let (true, Some((id, _, lender))) = (asked, lent) {
            return Ok(self.permit(id.clone()).lent_by(lender));
        }
        let held = self.held.connections.find(id, caller, wanted);
        if let (true, Some((id, _))) = (asked, held) {
            return Ok(self.permit(id.clone()));
        }
        let (valid, held) = (ConnectionId::new(id), held.is_some() || lent.is_some());
        let entry = Entry::Connection {
            id: id.to_owned(),
            access,
            lender: None,
        };
        let narrow = self.held.connections.names(id) || self.held.lent_connections.names(id);
        let why = not_held(valid.err(), asked, held, entry, narrow);
        Err(self.denial(caller, Item::Connection(id.to_owned(), access), why))
    }

    /// The directory that the guest knows as `path`; what may be done in it is the less of what is asked
    /// for and what is granted.
    ///
    /// # Errors
    /// A [`Denial`], the same whether or not the directory exists.
    pub fn directory(&self, caller: &Caller, path: &str) -> Result<Permit<Directory>, Denial> {
        let both = |name: &str| {
            let asked = self.asked.directories.find(name, caller, |_| true);
            let held = self.held.directories.find(name, caller, |_| true);
            (asked, held)
        };
        // Mostly it is spelled as it was granted, and then it need not be taken apart.
        if let (Some(asked), Some(held)) = both(path) {
            return Ok(self.permit(side::both(asked, held)));
        }
        let valid = GuestPath::new(path);
        let name = valid.as_ref().map_or("", GuestPath::as_str);
        let (asked, held) = both(name);
        if let (Some(asked), Some(held)) = (asked, held) {
            return Ok(self.permit(side::both(asked, held)));
        }
        let mode_of = |entries: Vec<(Entry, &Narrowing)>| {
            entries.into_iter().find_map(|(entry, _)| match entry {
                Entry::Directory { path, mode } if path == name => Some(mode),
                _ => None,
            })
        };
        let entry = Entry::Directory {
            path: name.to_owned(),
            mode: mode_of(self.asked.entries(Kind::Directory))
                .or_else(|| mode_of(self.held.entries(Kind::Directory)))
                .unwrap_or_default(),
        };
        let narrow = self.held.directories.names(name);
        let (asked, held) = (asked.is_some(), held.is_some());
        let why = not_held(valid.err(), asked, held, entry, narrow);
        Err(self.denial(caller, Item::Directory(path.to_owned()), why))
    }

    /// All directories that the caller may see, by path.
    #[must_use]
    pub fn directories(&self, caller: &Caller) -> Vec<Permit<Directory>> {
        self.held
            .directories
            .iter()
            .filter(|(_, narrowing, _)| narrowing.admits(caller))
            .filter_map(|(path, _, held)| {
                let asked = self.asked.directories.find(path, caller, |_| true)?;
                Some(self.permit(side::both(asked, held)))
            })
            .collect()
    }

    /// Whether this HTTP call may be made.
    ///
    /// # Errors
    /// A [`Denial`], the same whether or not the server exists.
    pub fn http(&self, caller: &Caller, target: HttpTarget) -> Result<Permit<HttpTarget>, Denial> {
        let asked = self.asked.http.allow(&target, caller);
        let held = self.held.http.allow(&target, caller);
        if asked && held {
            return Ok(self.permit(target));
        }
        let url = format!(
            "{}://{}{}",
            target.scheme().as_str(),
            target.authority(),
            target.path()
        );
        let entry = Entry::Http {
            url,
            methods: vec![target.method().to_string()],
        };
        let narrow = self.held.http.names(&target);
        let why = not_held::<fmt::Error>(None, asked, held, entry, narrow);
        Err(self.denial(caller, Item::Http(target), why))
    }

    fn denial(&self, caller: &Caller, item: Item, why: Why) -> Denial {
        let kind = item.kind();
        let why = match why {
            Why::NotHeld { .. }
                if caller.phase == Phase::Parse
                    && !matches!(kind, Kind::Variable | Kind::Asset) =>
            {
                Why::WhileParsing
            }
            why => why,
        };
        Denial(Box::new(Details {
            team: self.team.clone(),
            bundle: self.bundle.clone(),
            source: self.source,
            caller: caller.clone(),
            item,
            why,
            asks: self
                .asked
                .entries(kind)
                .into_iter()
                .map(|(entry, narrowing)| {
                    let apart = !narrowing.admits(caller);
                    (entry, narrowing.label().filter(|_| apart))
                })
                .collect(),
            grants: self
                .held
                .entries(kind)
                .into_iter()
                .map(|(entry, narrowing)| (entry, narrowing.label()))
                .collect(),
        }))
    }

    /// The interfaces that a component of this bundle may import.
    pub fn interfaces(&self) -> impl Iterator<Item = &'static Interface> {
        interface::interfaces()
            .iter()
            .filter(|interface| match interface.standing {
                Standing::Inert => true,
                Standing::Capability(kind) => !self.phases(kind).is_empty(),
                Standing::Reading => !self.readable.is_empty(),
                Standing::Never => false,
            })
    }

    /// What a component's imports mean, given as the component names them (`wasi:io/streams@0.2.6`).
    ///
    /// # Errors
    /// All imports that must not be linked: a bundle with one of them does not load.
    pub fn check_imports<S: AsRef<str>>(
        &self,
        imports: &[S],
    ) -> Result<Vec<LinkedInterface>, Vec<UngrantedImport>> {
        let mut linked = Vec::with_capacity(imports.len());
        let mut refused = Vec::new();
        for import in imports.iter().map(AsRef::as_ref) {
            match interface::link(import, self) {
                Ok(interface) => linked.push(interface),
                Err(why) => refused.push(UngrantedImport {
                    import: import.to_owned(),
                    team: self.team.clone(),
                    bundle: self.bundle.clone(),
                    source: self.source,
                    why,
                }),
            }
        }
        if refused.is_empty() {
            Ok(linked)
        } else {
            Err(refused)
        }
    }
}

impl InForce for Effective {
    fn phases(&self, standing: Standing) -> Phases {
        match standing {
            Standing::Reading => self.readable,
            Standing::Capability(kind) => Self::phases(self, kind),
            Standing::Inert | Standing::Never => Phases::NONE,
        }
    }

    fn missing(&self, standing: Standing) -> (Option<String>, Option<String>) {
        let Some(kind) = standing.kind() else {
            return (None, None);
        };
        let wanted = |all: Vec<(Entry, &Narrowing)>| -> Vec<Entry> {
            let all = all.into_iter().map(|(entry, _)| entry);
            all.filter(|entry| standing.wants(entry)).collect()
        };
        let mut asked = wanted(self.asked.entries(kind));
        let held = wanted(self.held.entries(kind));
        let request = asked.is_empty().then(|| {
            let access = match standing {
                Standing::Reading => Access::Read,
                _ => Access::Use,
            };
            let example = || interface::example(kind, access);
            asked.push(held.first().cloned().unwrap_or_else(example));
            asked.first().map(|entry| entry.request(Phases::default()))
        });
        // What is held and yet not in force is held for others than those it is asked for.
        let mut missing: Vec<&Entry> = asked.iter().filter(|one| !held.contains(one)).collect();
        if missing.is_empty() && request.is_none() {
            missing.extend(asked.first());
        }
        let tables: Vec<String> = missing.iter().map(|entry| entry.grant(None)).collect();
        let grant = (!tables.is_empty()).then(|| tables.join("\n"));
        (request.flatten(), grant)
    }
}

fn not_held<E: fmt::Display>(
    malformed: Option<E>,
    asked: bool,
    held: bool,
    entry: Entry,
    narrow: bool,
) -> Why {
    match malformed {
        Some(problem) => Why::Malformed(problem.to_string()),
        None => Why::NotHeld {
            asked,
            held,
            entry,
            narrow,
        },
    }
}

#[cfg(test)]
mod tests;
