//! What one team shares with a bundle of another.
//!
//! Sharing has two sides, as everything here: the lender's configuration names the connection or variable and the
//! bundle, and the borrower's grant says `from` whom. Where either is missing, it is as if neither were there, and as
//! if the thing were not. A borrowed thing never stands in for one of the own team or of all: whoever shares cannot
//! slip somebody a connection that they did not mean.

use airlock_model::id::{BundleName, ConnectionId, DagId, TeamName, VariableKey};

use crate::grant::Grant;

/// What is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shared {
    /// A connection.
    Connection(ConnectionId),
    /// A variable.
    Variable(VariableKey),
}

/// Something that a team shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Whose it is.
    pub lender: TeamName,
    /// What.
    pub what: Shared,
    /// With this bundle of another team.
    pub bundle: BundleName,
    /// For these DAGs of it only.
    pub dags: Option<Vec<DagId>>,
}

impl Share {
    /// Whether this is what a bundle's grant borrows.
    fn lends(&self, bundle: &BundleName, lender: &TeamName, what: &Shared) -> bool {
        self.bundle == *bundle && self.lender == *lender && self.what == *what
    }
}

impl Grant {
    /// Whether it borrows this.
    #[must_use]
    pub fn borrows(&self, share: &Share) -> bool {
        let from = |from: &Option<TeamName>| from.as_ref() == Some(&share.lender);
        match &share.what {
            Shared::Connection(id) => {
                let mut all = self.connection.iter();
                all.any(|one| one.id == *id && from(&one.from))
            }
            Shared::Variable(key) => {
                let mut all = self.variable.iter();
                all.any(|one| one.key.matches(key.as_str()) && from(&one.from))
            }
        }
    }

    /// What is left of it for a bundle when only that is borrowed which is shared with it: the rest is gone, or
    /// narrowed to the DAGs for which it is shared.
    #[must_use]
    pub fn as_shared(&self, bundle: &BundleName, shares: &[Share]) -> Self {
        let mut left = self.clone();
        left.connection.retain_mut(|one| match &one.from {
            None => true,
            Some(lender) => {
                let what = Shared::Connection(one.id.clone());
                keep(&mut one.dags, lent(bundle, lender, &what, shares))
            }
        });
        left.variable
            .retain_mut(|one| match (&one.from, one.key.exact()) {
                (None, _) => true,
                (Some(lender), Some(key)) => {
                    let what = Shared::Variable(key.clone());
                    keep(&mut one.dags, lent(bundle, lender, &what, shares))
                }
                (Some(_), None) => false,
            });
        left
    }
}

/// For which DAGs it is lent: for none, for some, or for all.
enum Lent {
    No,
    To(Vec<DagId>),
    ToAll,
}

fn lent(bundle: &BundleName, lender: &TeamName, what: &Shared, shares: &[Share]) -> Lent {
    let mut dags = None;
    for share in shares
        .iter()
        .filter(|share| share.lends(bundle, lender, what))
    {
        match &share.dags {
            None => return Lent::ToAll,
            Some(some) => dags
                .get_or_insert_with(Vec::new)
                .extend(some.iter().cloned()),
        }
    }
    dags.map_or(Lent::No, Lent::To)
}

/// Narrows an entry to what is lent; false where nothing is.
fn keep(dags: &mut Option<Vec<DagId>>, lent: Lent) -> bool {
    match lent {
        Lent::No => return false,
        Lent::ToAll => {}
        Lent::To(some) => match dags {
            Some(dags) => dags.retain(|dag| some.contains(dag)),
            None => *dags = Some(some),
        },
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BundleLabel, Caller, Effective, Request};
    use airlock_model::id::{BundleHash, TaskId};

    fn share(what: Shared, dags: Option<&[&str]>) -> Share {
        Share {
            lender: TeamName::new("payments").unwrap(),
            what,
            bundle: BundleName::new("reports").unwrap(),
            dags: dags.map(|dags| dags.iter().map(|dag| DagId::new(*dag).unwrap()).collect()),
        }
    }

    fn bank() -> Shared {
        Shared::Connection(ConnectionId::new("bank").unwrap())
    }

    fn effective(grant: &str, shares: &[Share]) -> Effective {
        let label = BundleLabel {
            name: BundleName::new("reports").unwrap(),
            version: "1.0.0".into(),
            hash: BundleHash::from_bytes([1; 32]),
        };
        let request: Request = toml::from_str(
            "[[connection]]\nid = \"bank\"\naccess = \"read\"\n[[variable]]\nkey = \"fx.*\"\n",
        )
        .unwrap();
        let grant: Grant = toml::from_str(grant).unwrap();
        let grant = grant.as_shared(&label.name, shares);
        Effective::new(TeamName::new("research").unwrap(), label, &request, &grant)
    }

    fn in_dag(dag: &str) -> Caller {
        Caller::task(DagId::new(dag).unwrap(), TaskId::new("t").unwrap())
    }

    const BORROWS: &str = "[[connection]]\nid = \"bank\"\naccess = \"read\"\nfrom = \"payments\"\n";

    #[test]
    fn what_is_shared_and_borrowed_is_its_lenders_and_permitted() {
        let effective = effective(BORROWS, &[share(bank(), None)]);
        let permit = effective.read_connection(&in_dag("any"), "bank").unwrap();
        assert_eq!(permit.team().as_str(), "research");
        assert_eq!(permit.lender().map(TeamName::as_str), Some("payments"));
        assert!(!effective.phases(crate::Kind::Connection).is_empty());
    }

    #[test]
    fn what_only_one_side_names_is_denied_as_if_it_were_not_there() {
        let not_shared = effective(BORROWS, &[]);
        let not_borrowed = effective("", &[share(bank(), None)]);
        let other = [share(
            Shared::Connection(ConnectionId::new("other").unwrap()),
            None,
        )];
        let other_shared = effective(BORROWS, &other);
        let denial = |effective: &Effective| {
            let denied = effective.read_connection(&in_dag("any"), "bank");
            denied.unwrap_err().to_string()
        };
        let said = denial(&not_shared);
        assert!(said.starts_with("AL-0412"), "{said}");
        assert_eq!(said, denial(&not_borrowed));
        assert_eq!(said, denial(&other_shared));
        // What is shared does not stand in for the own team's.
        let own = effective(
            "[[connection]]\nid = \"bank\"\naccess = \"read\"\n",
            &[share(bank(), None)],
        );
        let permit = own.read_connection(&in_dag("any"), "bank").unwrap();
        assert_eq!(permit.lender(), None);
    }

    #[test]
    fn what_is_shared_with_some_dags_is_for_those_alone() {
        let shares = [
            share(bank(), Some(&["monthly"])),
            share(bank(), Some(&["yearly"])),
        ];
        let whole = effective(BORROWS, &shares);
        let narrowed = effective(
            &format!("{BORROWS}dags = [\"daily\", \"yearly\"]\n"),
            &shares,
        );
        for (dag, all, some) in [
            ("monthly", true, false),
            ("yearly", true, true),
            ("daily", false, false),
        ] {
            let may =
                |effective: &Effective| effective.read_connection(&in_dag(dag), "bank").is_ok();
            assert_eq!((may(&whole), may(&narrowed)), (all, some), "{dag}");
        }
    }

    #[test]
    fn a_shared_variable_is_one_key_and_the_others_of_a_prefix_stay_the_own_teams() {
        let eur = Shared::Variable(VariableKey::new("fx.eur").unwrap());
        let grant =
            "[[variable]]\nkey = \"fx.eur\"\nfrom = \"payments\"\n[[variable]]\nkey = \"fx.usd\"\n";
        let effective = effective(grant, &[share(eur, None)]);
        let lender = |key| {
            effective
                .variable(&in_dag("any"), key)
                .unwrap()
                .lender()
                .cloned()
        };
        assert_eq!(lender("fx.eur").unwrap().as_str(), "payments");
        assert_eq!(lender("fx.usd"), None);
        let labels = toml::from_str::<Grant>(grant).unwrap().entries();
        assert_eq!(
            labels,
            ["variable `fx.usd`", "variable `fx.eur` of team `payments`"]
        );
    }

    #[test]
    fn to_borrow_a_prefix_or_one_thing_from_two_is_a_mistake() {
        for wrong in [
            "[[variable]]\nkey = \"fx.*\"\nfrom = \"payments\"\n",
            "[[connection]]\nid = \"bank\"\naccess = \"read\"\n[[connection]]\nid = \"bank\"\naccess = \"read\"\nfrom = \"payments\"\n",
            "[[variable]]\nkey = \"a\"\nfrom = \"x\"\n[[variable]]\nkey = \"a\"\nfrom = \"payments\"\n",
            "[[variable]]\nkey = \"fx.*\"\n[[variable]]\nkey = \"fx.eur\"\nfrom = \"payments\"\n",
        ] {
            assert!(toml::from_str::<Grant>(wrong).is_err(), "{wrong}");
        }
        let apart = "[[connection]]\nid = \"bank\"\naccess = \"read\"\ntasks = [\"a\"]\n[[connection]]\nid = \"bank\"\naccess = \"read\"\nfrom = \"payments\"\ntasks = [\"b\"]\n";
        assert!(toml::from_str::<Grant>(apart).is_ok());
    }
}
