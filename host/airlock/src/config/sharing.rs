//! What teams share with bundles of others, and what bundles borrow: that both sides name somebody who is there.

use airlock_grant::{Share, Shared};
use airlock_model::id::{BundleName, ConnectionId, DagId, TeamName, VariableKey};

use super::{mistake::Problem, reader::Reader, team::Team};

/// A `[[team.share]]` as it is written, with where.
pub(super) struct Written<'a> {
    shares: Vec<Share>,
    reader: Reader<'a>,
}

/// Reads one; none where something is missing.
pub(super) fn read<'a>(lender: Option<&TeamName>, mut reader: Reader<'a>) -> Option<Written<'a>> {
    let connection: Option<ConnectionId> = reader.optional("connection");
    let variable: Option<VariableKey> = reader.optional("variable");
    let bundle: Option<BundleName> = reader.required("bundle");
    let dags: Option<Vec<String>> = reader.optional("dags");
    let dags = dags.map(|dags| dags.iter().map(DagId::new).collect::<Result<Vec<_>, _>>());
    if let Some(Err(wrong)) = &dags {
        reader.mistake("dags", Problem::Value(wrong.to_string()));
    }
    let mut what: Vec<Shared> = connection.into_iter().map(Shared::Connection).collect();
    what.extend(variable.map(Shared::Variable));
    if what.is_empty() {
        let problem = "name what is shared: `connection`, `variable`, or both";
        reader.mistake("", Problem::Value(problem.to_owned()));
    }
    let (Some(lender), Some(bundle), Ok(dags)) = (lender, bundle, dags.transpose()) else {
        reader.finish();
        return None;
    };
    let shares = what.into_iter().map(|what| Share {
        lender: lender.clone(),
        what,
        bundle: bundle.clone(),
        dags: dags.clone(),
    });
    Some(Written {
        shares: shares.collect(),
        reader,
    })
}

/// All that is shared. What is shared with a bundle that no other team has counts for nobody.
pub(super) fn shares(written: Vec<Written<'_>>, teams: &[Team]) -> Vec<Share> {
    let mut all = Vec::with_capacity(written.len());
    for Written { shares, reader } in written {
        for share in &shares {
            let borrows = |team: &Team| {
                let mut bundles = team.bundles.iter();
                team.name != share.lender && bundles.any(|bundle| bundle.name == share.bundle)
            };
            if !teams.iter().any(borrows) {
                reader.mistake("bundle", Problem::NoBorrower(share.bundle.to_string()));
            }
        }
        reader.finish();
        all.extend(shares);
    }
    all
}
