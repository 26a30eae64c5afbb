//! Which requests a `url` of `bundle.toml` or `airlock.toml` allows.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Host, HttpTarget, MAX_URL_BYTES, Scheme, TargetError, authority, path};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Hosts {
    /// This one.
    Exact(Host),
    /// Every name that ends with this text, which begins with a dot.
    Below(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Paths {
    /// This one, with any query.
    Exact(String),
    /// Every one that begins with this text, which ends with `/`.
    Below(String),
}

/// A set of URLs: `https://host[:port]/path`, where the host may begin with `*.` (every name below it) and
/// the path may end with `/*` (everything below it).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpPattern {
    pub(super) scheme: Scheme,
    pub(super) hosts: Hosts,
    pub(super) port: u16,
    pub(super) paths: Paths,
}

impl HttpPattern {
    /// The pattern that `text` writes.
    ///
    /// # Errors
    /// A [`TargetError`] that says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, TargetError> {
        let wrong = |problem| TargetError::new(text, problem);
        if text.len() > MAX_URL_BYTES {
            return Err(wrong("it is longer than 8192 bytes"));
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("a URL begins with `https://` or `http://`"))?;
        if rest.contains(['?', '#']) {
            return Err(wrong(
                "leave the query out: a path is allowed with any query",
            ));
        }
        let scheme = Scheme::new(scheme)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = authority::split(authority, scheme)?;
        let hosts = match host.strip_prefix("*.") {
            None => Hosts::Exact(Host::new(host)?),
            Some(name) => match Host::new(name)? {
                Host::Name(name) if name.contains('.') => Hosts::Below(format!(".{name}")),
                _ => {
                    return Err(wrong(
                        "after `*.` comes a name of two parts at least, such as `*.example.com`",
                    ));
                }
            },
        };
        let whole = if path.is_empty() { "/" } else { path };
        let below = whole.strip_suffix('*').filter(|path| path.ends_with('/'));
        if below.unwrap_or(whole).contains('*') {
            return Err(wrong("`*` stands at the end of a path only, after a `/`"));
        }
        let paths = match below {
            Some(prefix) => Paths::Below(path::checked(prefix)?),
            None => Paths::Exact(path::checked(whole)?),
        };
        Ok(Self {
            scheme,
            hosts,
            port,
            paths,
        })
    }

    /// Whether this target's server and path are in the set. An address is in it only where the pattern
    /// writes that address.
    #[must_use]
    pub fn matches(&self, target: &HttpTarget) -> bool {
        self.scheme == target.scheme()
            && self.port == target.port()
            && match (&self.hosts, target.host()) {
                (Hosts::Exact(host), wanted) => host == wanted,
                (Hosts::Below(suffix), Host::Name(name)) => {
                    name.len() > suffix.len() && name.ends_with(suffix.as_str())
                }
                (Hosts::Below(_), Host::Address(_)) => false,
            }
            && match &self.paths {
                Paths::Exact(path) => path == target.path(),
                Paths::Below(prefix) => target.path().starts_with(prefix.as_str()),
            }
    }
}

impl HttpPattern {
    /// Whether all of `other`'s URLs are in the set.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let hosts = match (&self.hosts, &other.hosts) {
            (Hosts::Exact(a), Hosts::Exact(b)) => a == b,
            (Hosts::Exact(_), Hosts::Below(_)) => false,
            (Hosts::Below(suffix), Hosts::Exact(Host::Name(name))) => {
                name.len() > suffix.len() && name.ends_with(suffix.as_str())
            }
            (Hosts::Below(_), Hosts::Exact(Host::Address(_))) => false,
            (Hosts::Below(a), Hosts::Below(b)) => b.ends_with(a.as_str()),
        };
        let paths = match (&self.paths, &other.paths) {
            (Paths::Exact(a), Paths::Exact(b)) => a == b,
            (Paths::Exact(_), Paths::Below(_)) => false,
            (Paths::Below(prefix), Paths::Exact(path) | Paths::Below(path)) => {
                path.starts_with(prefix.as_str())
            }
        };
        self.scheme == other.scheme && self.port == other.port && hosts && paths
    }

    /// Whether one same URL is in both sets.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let below =
            |suffix: &str, host: &Host| matches!(host, Host::Name(name) if name.ends_with(suffix));
        let hosts = match (&self.hosts, &other.hosts) {
            (Hosts::Exact(a), Hosts::Exact(b)) => a == b,
            (Hosts::Below(suffix), Hosts::Exact(host))
            | (Hosts::Exact(host), Hosts::Below(suffix)) => below(suffix, host),
            (Hosts::Below(a), Hosts::Below(b)) => {
                a.ends_with(b.as_str()) || b.ends_with(a.as_str())
            }
        };
        let paths = match (&self.paths, &other.paths) {
            (Paths::Exact(a), Paths::Exact(b)) => a == b,
            (Paths::Below(prefix), Paths::Exact(path))
            | (Paths::Exact(path), Paths::Below(prefix)) => path.starts_with(prefix.as_str()),
            (Paths::Below(a), Paths::Below(b)) => {
                a.starts_with(b.as_str()) || b.starts_with(a.as_str())
            }
        };
        self.scheme == other.scheme && self.port == other.port && hosts && paths
    }
}

impl fmt::Display for HttpPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        match &self.hosts {
            Hosts::Exact(host) => write!(f, "{host}")?,
            Hosts::Below(suffix) => write!(f, "*{suffix}")?,
        }
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        match &self.paths {
            Paths::Exact(path) => f.write_str(path),
            Paths::Below(prefix) => write!(f, "{prefix}*"),
        }
    }
}
impl TryFrom<String> for HttpPattern {
    type Error = TargetError;
    fn try_from(text: String) -> Result<Self, TargetError> {
        Self::new(&text)
    }
}
impl From<HttpPattern> for String {
    fn from(pattern: HttpPattern) -> Self {
        pattern.to_string()
    }
}
