//! In which order the places are asked in which connections and variables are kept.

/// A place in which they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// `airlock.toml` and the environment, which wins over it.
    Configuration,
    /// A folder with a file for each.
    Files,
    /// The database, sealed.
    Database,
}

impl Backend {
    const ALL: [Self; 3] = [Self::Configuration, Self::Files, Self::Database];

    /// As it is configured.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Files => "files",
            Self::Database => "database",
        }
    }
}

/// Each [`Backend`] once, the one that is asked first in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order([Backend; 3]);

impl Default for Order {
    /// What an editor wrote down before what was set through the API.
    fn default() -> Self {
        Self(Backend::ALL)
    }
}

impl Order {
    /// The order with these names; none unless each stands there once.
    #[must_use]
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let found: Option<Vec<_>> = names
            .into_iter()
            .map(|name| Backend::ALL.into_iter().find(|one| one.name() == name))
            .collect();
        let order = <[Backend; 3]>::try_from(found?).ok()?;
        let all = Backend::ALL.iter().all(|one| order.contains(one));
        all.then_some(Self(order))
    }

    /// The one that is asked first in front.
    #[must_use]
    pub const fn backends(&self) -> &[Backend] {
        &self.0
    }

    /// Those that win over the database.
    pub(crate) fn before_database(&self) -> impl Iterator<Item = &Backend> {
        self.0.iter().take_while(|one| **one != Backend::Database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_each_place_once() {
        let order = Order::of_names(["database", "files", "configuration"]).unwrap();
        assert_eq!(order.backends().first(), Some(&Backend::Database));
        assert_eq!(
            Order::of_names(["configuration", "files", "database"]),
            Some(Order::default())
        );
        for wrong in [
            &["database"][..],
            &["files", "files", "database"],
            &["configuration", "files", "database", "files"],
            &["configuration", "file", "database"],
        ] {
            assert_eq!(Order::of_names(wrong.iter().copied()), None, "{wrong:?}");
        }
    }
}
