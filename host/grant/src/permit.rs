//! A yes, as a value.

use airlock_model::id::{BundleName, TeamName};

/// The decision that this bundle of this team may reach this item, once. Only this crate makes one, every
/// port takes one by value, and it cannot be cloned: each effect is decided for itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit<T> {
    team: TeamName,
    bundle: BundleName,
    lender: Option<TeamName>,
    item: T,
}

impl<T> Permit<T> {
    pub(crate) const fn new(team: TeamName, bundle: BundleName, item: T) -> Self {
        Self {
            team,
            bundle,
            lender: None,
            item,
        }
    }

    /// The item is this other team's, which shares it.
    pub(crate) fn lent_by(self, lender: &TeamName) -> Self {
        Self {
            lender: Some(lender.clone()),
            ..self
        }
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

    /// The other team whose the item is and that shares it; none where it is the own team's, or that of all.
    #[must_use]
    pub const fn lender(&self) -> Option<&TeamName> {
        self.lender.as_ref()
    }

    /// What may be reached.
    #[must_use]
    pub const fn item(&self) -> &T {
        &self.item
    }

    /// The same decision about the same thing, said otherwise.
    pub(crate) fn map<U>(self, say: impl FnOnce(T) -> U) -> Permit<U> {
        Permit {
            team: self.team,
            bundle: self.bundle,
            lender: self.lender,
            item: say(self.item),
        }
    }

    /// What may be reached, the permit being used up.
    #[must_use]
    pub fn into_item(self) -> T {
        self.item
    }
}
