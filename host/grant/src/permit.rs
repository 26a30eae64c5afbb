//! A yes, as a value.

use airlock_model::id::{BundleName, TeamName};

/// The decision that this bundle of this team may reach this item, once. Only this crate makes one, every
/// port takes one by value, and it cannot be cloned: each effect is decided for itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit<T> {
    team: TeamName,
    bundle: BundleName,
    item: T,
}

impl<T> Permit<T> {
    pub(crate) const fn new(team: TeamName, bundle: BundleName, item: T) -> Self {
        Self { team, bundle, item }
    }

    /// Whose bundle it is.
    #[must_use]
    pub const fn team(&self) -> &TeamName {
        &self.team
    }

    /// The bundle.
    #[must_use]
    pub const fn bundle(&self) -> &BundleName {
        &self.bundle
    }

    /// What may be reached.
    #[must_use]
    pub const fn item(&self) -> &T {
        &self.item
    }

    /// What may be reached, the permit being used up.
    #[must_use]
    pub fn into_item(self) -> T {
        self.item
    }
}
