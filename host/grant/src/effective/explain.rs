//! Why a caller may reach something, or may not: the decision, with the rules behind it.

use super::{Effective, Side};
use crate::{
    denial::{Denial, Item},
    interface::Kind,
    item::GuestPath,
    pattern::AssetPattern,
    phase::Caller,
    rule::Narrowing,
    snippet::Entry,
};

/// A yes with the rules that lead to it, or a no with the text that would turn it into a yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explanation {
    /// It may.
    Allowed {
        /// What of `bundle.toml` asks for it; each safe to show.
        asks: Vec<String>,
        /// What of the grant holds it; each safe to show.
        grants: Vec<String>,
    },
    /// It may not.
    Denied(Denial),
}

impl Effective {
    /// Takes the decision that a call would meet, and says why.
    #[must_use]
    pub fn explain(&self, caller: &Caller, item: &Item) -> Explanation {
        let decision = match item {
            Item::Variable(key) => self.variable(caller, key).map(drop),
            Item::Connection(id, access) => self.connection(caller, id, *access).map(drop),
            Item::Directory(path) => self.directory(caller, path).map(drop),
            Item::Http(target) => self.http(caller, target.clone()).map(drop),
            Item::Asset(name, access) => self.asset(caller, name, *access),
        };
        match decision {
            Ok(()) => Explanation::Allowed {
                asks: self.asked.naming(item, caller),
                grants: self.held.naming(item, caller),
            },
            Err(denial) => Explanation::Denied(denial),
        }
    }
}

impl<H> Side<H> {
    /// The rules that name an item for a caller.
    fn naming(&self, item: &Item, caller: &Caller) -> Vec<String> {
        let names: Vec<bool> = match item {
            Item::Variable(key) => {
                let own = self.variables.iter();
                let own = own.map(|(pattern, _)| pattern.matches(key));
                let others = self.lent_variables.iter();
                own.chain(others.map(|(name, ..)| name == key)).collect()
            }
            Item::Connection(id, access) => {
                let own = self.connections.iter();
                let own = own.map(|(name, _, held)| name == id && held.1 >= *access);
                let others = self.lent_connections.iter();
                own.chain(others.map(|(name, _, held)| name == id && held.1 >= *access))
                    .collect()
            }
            Item::Directory(path) => {
                let path = GuestPath::new(path);
                let named = |name| path.as_ref().is_ok_and(|path| path.as_str() == name);
                self.directories
                    .iter()
                    .map(|(name, ..)| named(name))
                    .collect()
            }
            Item::Http(target) => self.http.iter().map(|rule| rule.names(target)).collect(),
            Item::Asset(name, access) => {
                let named = |pattern: &AssetPattern, held| held == *access && pattern.matches(name);
                let all = self.assets.iter();
                all.map(|(pattern, held, _)| named(&pattern, held))
                    .collect()
            }
        };
        let shown = |(entry, narrowing): (Entry, &Narrowing)| match narrowing.label() {
            Some(label) => format!("{} ({label})", entry.label()),
            None => entry.label(),
        };
        let kind: Kind = item.kind();
        let rules = self.entries(kind).into_iter().zip(names);
        rules
            .filter(|((_, narrowing), named)| *named && narrowing.admits(caller))
            .map(|(rule, _)| shown(rule))
            .collect()
    }
}
