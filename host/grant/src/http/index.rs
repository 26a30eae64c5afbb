//! Values under URL patterns, found by the request that is to be sent.

use std::{collections::HashMap, net::IpAddr};

use super::{
    Host, HttpPattern, HttpTarget, Scheme,
    pattern::{Hosts, Paths},
};
use crate::index::Prefixes;

/// Values, each under a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpIndex<V>(HashMap<(Scheme, u16), Servers<V>>);

impl<V> Default for HttpIndex<V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// By the server's name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Servers<V> {
    names: HashMap<Box<str>, Places<V>>,
    addresses: HashMap<IpAddr, Places<V>>,
    /// By the end of a name, which begins with a dot.
    below: HashMap<Box<str>, Places<V>>,
}

impl<V> Default for Servers<V> {
    fn default() -> Self {
        Self {
            names: HashMap::new(),
            addresses: HashMap::new(),
            below: HashMap::new(),
        }
    }
}

/// By the path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Places<V> {
    exact: HashMap<Box<str>, V>,
    below: Prefixes<V>,
}

impl<V> Default for Places<V> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            below: Prefixes::default(),
        }
    }
}

impl<V: Default> HttpIndex<V> {
    /// The value under a pattern.
    pub(crate) fn at(&mut self, pattern: &HttpPattern) -> &mut V {
        let servers = self.0.entry((pattern.scheme, pattern.port)).or_default();
        let places = match &pattern.hosts {
            Hosts::Exact(Host::Name(name)) => servers.names.entry(name.as_str().into()),
            Hosts::Below(suffix) => servers.below.entry(suffix.as_str().into()),
            Hosts::Exact(Host::Address(address)) => {
                return servers
                    .addresses
                    .entry(*address)
                    .or_default()
                    .at(&pattern.paths);
            }
        };
        places.or_default().at(&pattern.paths)
    }
}

impl<V: Default> Places<V> {
    fn at(&mut self, paths: &Paths) -> &mut V {
        match paths {
            Paths::Exact(path) => self.exact.entry(path.as_str().into()).or_default(),
            Paths::Below(prefix) => self.below.at(prefix),
        }
    }
}

impl<V> HttpIndex<V> {
    /// The values of all patterns that name a request's server and path.
    pub(crate) fn of<'a>(&'a self, target: &'a HttpTarget) -> impl Iterator<Item = &'a V> {
        let servers = self.0.get(&(target.scheme(), target.port()));
        let places = servers.into_iter().flat_map(|s| s.of(target.host()));
        places.flat_map(|places| {
            let exact = places.exact.get(target.path());
            exact.into_iter().chain(places.below.of(target.path()))
        })
    }
}

impl<V> Servers<V> {
    fn of<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = &'a Places<V>> {
        let (name, address) = match host {
            Host::Name(name) => (Some(name), None),
            Host::Address(address) => (None, Some(address)),
        };
        let address = address.and_then(|address| self.addresses.get(address));
        let exact = name.and_then(|name| self.names.get(name.as_str()));
        let ends = name.into_iter().flat_map(|name| {
            let dots = name.char_indices().filter(|(_, c)| *c == '.');
            dots.filter_map(move |(at, _)| name.get(at..))
        });
        let below = ends.filter_map(|end| self.below.get(end));
        address.into_iter().chain(exact).chain(below)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern() -> impl Strategy<Value = HttpPattern> {
        let hosts = prop_oneof![
            Just("*.b.c"),
            Just("*.a.b.c"),
            Just("a.b.c"),
            Just("x.a.b.c"),
            Just("10.0.0.1"),
            Just("b.c"),
        ];
        let paths = prop_oneof![
            Just("/*"),
            Just("/v1/*"),
            Just("/v1/a"),
            Just("/"),
            Just("/v1/")
        ];
        let ports = prop_oneof![Just(""), Just(":8443")];
        let schemes = prop_oneof![Just("http"), Just("https")];
        (schemes, hosts, ports, paths)
            .prop_map(|(scheme, host, port, path)| format!("{scheme}://{host}{port}{path}"))
            .prop_map(|text| HttpPattern::new(&text).unwrap())
    }

    fn target() -> impl Strategy<Value = HttpTarget> {
        let hosts = prop_oneof![
            Just("a.b.c"),
            Just("x.a.b.c"),
            Just("y.x.a.b.c"),
            Just("b.c"),
            Just("10.0.0.1"),
            Just("xb.c"),
        ];
        let paths = prop_oneof![
            Just("/"),
            Just("/v1/"),
            Just("/v1/a"),
            Just("/v1/a/b"),
            Just("/v2")
        ];
        let ports = prop_oneof![Just(""), Just(":8443")];
        let schemes = prop_oneof![Just("http"), Just("https")];
        (schemes, hosts, ports, paths)
            .prop_map(|(scheme, host, port, path)| format!("{scheme}://{host}{port}{path}"))
            .prop_map(|url| HttpTarget::parse("GET", &url).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_matches(
            patterns in proptest::collection::vec(pattern(), 0..20),
            target in target(),
        ) {
            let mut index: HttpIndex<Vec<HttpPattern>> = HttpIndex::default();
            for pattern in &patterns {
                index.at(pattern).push(pattern.clone());
            }
            let mut found: Vec<String> = index.of(&target).flatten().map(ToString::to_string).collect();
            let mut expected: Vec<String> = patterns.iter().filter(|p| p.matches(&target)).map(ToString::to_string).collect();
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
