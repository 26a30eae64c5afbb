//! What a component's imports mean: which interface belongs to which capability, and what a reviewer
//! should know of it.
//!
//! An import is a request that is read from the bytes. What is inert is linked for everybody; what belongs
//! to a capability is linked when some grant of that kind is in force in some phase, and then answers in
//! the other phases with its typed denial; all else does not load.

mod table;

use std::fmt;

use airlock_model::{audit::Denied, id::TeamName};
use semver::Version;

use self::table::TABLE;
use crate::{
    effective::{BundleLabel, Source},
    item::Access,
    phase::Phases,
    quote::shown,
    snippet::{self, Entry},
};

/// The capabilities that are granted item by item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Settings outside the code.
    Variable,
    /// Where systems are and how to log in to them.
    Connection,
    /// Directories of the host.
    Directory,
    /// Outgoing HTTP.
    Http,
    /// Changes of data that make runs. No interface is imported for them: DAGs name them in their definitions.
    Asset,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Variable,
        Self::Connection,
        Self::Directory,
        Self::Http,
        Self::Asset,
    ];

    /// The word for it in `[[request.KIND]]` and `[[team.bundle.grant.KIND]]`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Variable => "variable",
            Self::Connection => "connection",
            Self::Directory => "directory",
            Self::Http => "http",
            Self::Asset => "asset",
        }
    }

    /// What it lets a bundle do, as a reviewer reads it.
    #[must_use]
    pub const fn can(self) -> &'static str {
        match self {
            Self::Variable => "read variables",
            Self::Connection => "reach what a connection names",
            Self::Directory => "read and write files",
            Self::Http => "call HTTP",
            Self::Asset => "change and follow assets",
        }
    }

    /// Whether it is asked for and granted by phases. Assets are not: they are settled where DAGs are defined.
    #[must_use]
    pub const fn has_phases(self) -> bool {
        !matches!(self, Self::Asset)
    }

    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Variable => "a variable",
            Self::Connection => "a connection",
            Self::Directory => "a directory",
            Self::Http => "an HTTP call",
            Self::Asset => "an asset",
        }
    }

    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Variable => "variables",
            Self::Connection => "connections",
            Self::Directory => "directories",
            Self::Http => "HTTP calls",
            Self::Asset => "assets",
        }
    }
}

/// How an interface stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Linked for everybody: it reaches nothing.
    Inert,
    /// Linked for whom something of this kind is granted.
    Capability(Kind),
    /// Linked for whom some connection may be read: what shows passwords is not there for those who use them only.
    Reading,
    /// Not linked for anybody.
    Never,
}

/// One interface that this host knows.
#[derive(Debug, PartialEq, Eq)]
pub struct Interface {
    /// Namespace and package, such as `wasi:http`.
    pub package: &'static str,
    /// Its name in the package; `*` where the whole package stands the same way.
    pub name: &'static str,
    /// Major and minor version. Patch versions are compatible with each other, in both directions as far as
    /// a component uses what both have.
    pub version: (u64, u64),
    /// How it stands.
    pub standing: Standing,
    /// What it is, in plain words.
    pub meaning: &'static str,
    /// What can go wrong with it.
    pub risk: &'static str,
}

/// Every interface that this host knows.
#[must_use]
pub fn interfaces() -> &'static [Interface] {
    TABLE
}

/// The interface that an import such as `wasi:http/types@0.2.6` means, in a version that this host has.
#[must_use]
pub fn interface(import: &str) -> Option<&'static Interface> {
    match look_up(import) {
        Found::Known(interface) => Some(interface),
        Found::OtherVersion(_) | Found::Unknown => None,
    }
}

/// An import's name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportName {
    /// Namespace and package, such as `wasi:http`.
    pub package: String,
    /// The interface.
    pub interface: String,
    /// The version, where the name has one.
    pub version: Option<Version>,
}

impl ImportName {
    /// Takes `namespace:package/interface[@version]` apart; none for anything else, such as a bare
    /// function's name.
    #[must_use]
    pub fn parse(import: &str) -> Option<Self> {
        let (path, version) = match import.split_once('@') {
            Some((path, version)) => (path, Some(Version::parse(version).ok()?)),
            None => (import, None),
        };
        let (package, interface) = path.split_once('/')?;
        (package.contains(':') && !interface.contains('/')).then(|| Self {
            package: package.to_owned(),
            interface: interface.to_owned(),
            version,
        })
    }
}

enum Found {
    Known(&'static Interface),
    OtherVersion(&'static Interface),
    Unknown,
}

fn look_up(import: &str) -> Found {
    let Some(name) = ImportName::parse(import) else {
        return Found::Unknown;
    };
    let Some(interface) = TABLE
        .iter()
        .find(|row| row.package == name.package && (row.name == "*" || row.name == name.interface))
    else {
        return Found::Unknown;
    };
    let same = name.version.is_some_and(|version| {
        (version.major, version.minor) == interface.version && version.pre.is_empty()
    });
    if same || interface.standing == Standing::Never {
        Found::Known(interface)
    } else {
        Found::OtherVersion(interface)
    }
}

/// An import that may be linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedInterface {
    /// As the component writes it.
    pub import: String,
    /// What it is.
    pub interface: &'static Interface,
}

/// Why an import cannot be linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unlinked {
    Ungranted {
        interface: &'static Interface,
        request: Option<String>,
        grant: Option<String>,
    },
    Never(&'static Interface),
    OtherVersion(&'static Interface),
    Unknown,
}

/// An import that keeps a bundle from loading. Code AL-0410; shown, it is the error's whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UngrantedImport {
    pub(crate) import: String,
    pub(crate) team: TeamName,
    pub(crate) bundle: BundleLabel,
    pub(crate) source: Source,
    pub(crate) why: Unlinked,
}

impl UngrantedImport {
    /// The stable code.
    pub const CODE: &'static str = "AL-0410";

    /// The import as the component writes it, unescaped.
    #[must_use]
    pub fn import(&self) -> &str {
        &self.import
    }

    /// What the audit is told of it.
    #[must_use]
    pub fn for_audit(&self) -> Denied {
        Denied {
            team: self.team.clone(),
            bundle: self.bundle.name.clone(),
            code: Self::CODE,
            item: format!("import `{}`", shown(&self.import)),
            phase: "load",
            dag_id: None,
            task_id: None,
        }
    }

    /// What to add to `bundle.toml`, where that is a way.
    #[must_use]
    pub fn request_snippet(&self) -> Option<&str> {
        match &self.why {
            Unlinked::Ungranted { request, .. } => request.as_deref(),
            _ => None,
        }
    }

    /// What to add to `airlock.toml`, where that is a way.
    #[must_use]
    pub fn grant_snippet(&self) -> Option<&str> {
        match &self.why {
            Unlinked::Ungranted { grant, .. } => grant.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for UngrantedImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, bundle, team) = (Self::CODE, &self.bundle, &self.team);
        let head = match &self.why {
            Unlinked::Ungranted { .. } => {
                "this bundle imports an interface that its grant holds in no phase"
            }
            Unlinked::Never(_) => "this bundle imports an interface that is never linked",
            Unlinked::OtherVersion(_) => {
                "this bundle imports a version of an interface that this host does not have"
            }
            Unlinked::Unknown => "this bundle imports an interface that this host does not have",
        };
        write!(f, "{code}: {head}\n  bundle   {bundle}, team {team}")?;
        write!(f, "\n  import   {}", shown(&self.import))?;
        match &self.why {
            Unlinked::Ungranted { interface, .. } => {
                write!(f, "\n  which    {}", interface.meaning)?;
                let place = self.source.place(team, &bundle.name);
                snippet::help(
                    f,
                    self.request_snippet(),
                    self.grant_snippet().zip(place.as_deref()),
                )
            }
            Unlinked::Never(interface) => write!(
                f,
                "\n  which    {}: {}\n  help     call HTTP through `wasi:http`, with an `http` grant, or leave out the code that opens sockets",
                interface.meaning, interface.risk
            ),
            Unlinked::OtherVersion(interface) => write!(
                f,
                "\n  help     this host has {}/{} {}.{}.x: build the bundle against that",
                interface.package, interface.name, interface.version.0, interface.version.1
            ),
            Unlinked::Unknown => f.write_str(
                "\n  help     leave out the code that needs it, or build the bundle for `wasm32-wasip2` with a version of the SDK that fits this host",
            ),
        }
    }
}

impl std::error::Error for UngrantedImport {}

/// What is in force of each kind, and the tables to paste for a kind that is not.
pub(crate) trait InForce {
    fn phases(&self, standing: Standing) -> Phases;
    fn missing(&self, standing: Standing) -> (Option<String>, Option<String>);
}

/// Whether one import may be linked.
pub(crate) fn link(import: &str, force: &impl InForce) -> Result<LinkedInterface, Unlinked> {
    let interface = match look_up(import) {
        Found::Known(interface) => interface,
        Found::OtherVersion(interface) => return Err(Unlinked::OtherVersion(interface)),
        Found::Unknown => return Err(Unlinked::Unknown),
    };
    match interface.standing {
        Standing::Never => Err(Unlinked::Never(interface)),
        standing @ (Standing::Capability(_) | Standing::Reading)
            if force.phases(standing).is_empty() =>
        {
            let (request, grant) = force.missing(standing);
            Err(Unlinked::Ungranted {
                interface,
                request,
                grant,
            })
        }
        Standing::Inert | Standing::Capability(_) | Standing::Reading => Ok(LinkedInterface {
            import: import.to_owned(),
            interface,
        }),
    }
}

impl Standing {
    /// The kind of what is granted for it, where it is granted at all.
    #[must_use]
    pub const fn kind(self) -> Option<Kind> {
        match self {
            Self::Capability(kind) => Some(kind),
            Self::Reading => Some(Kind::Connection),
            Self::Inert | Self::Never => None,
        }
    }

    /// Whether this entry is one for it.
    pub(crate) fn wants(self, entry: &Entry) -> bool {
        match (self, entry) {
            (Self::Reading, Entry::Connection { access, .. }) => *access == Access::Read,
            _ => true,
        }
    }
}

/// What to write where nothing of a kind is asked for or granted yet: names that a person replaces.
pub(crate) fn example(kind: Kind, access: Access) -> Entry {
    match kind {
        Kind::Variable => Entry::Variable {
            key: "VARIABLE_KEY".to_owned(),
            lender: None,
        },
        Kind::Connection => Entry::Connection {
            id: "CONNECTION_ID".to_owned(),
            access,
            lender: None,
        },
        Kind::Directory => Entry::Directory {
            path: "DIRECTORY".to_owned(),
            mode: crate::item::Mode::Read,
        },
        Kind::Http => Entry::Http {
            url: "https://api.example.com/*".to_owned(),
            methods: vec!["GET".to_owned()],
        },
        Kind::Asset => Entry::Asset {
            name: "ASSET_NAME".to_owned(),
            access: crate::item::AssetAccess::Consume,
        },
    }
}

#[cfg(test)]
mod tests;
