//! What teams share with bundles of others, and what bundles borrow: that both sides name somebody who is there.

use airlock_grant::{Share, Shared};
use airlock_model::id::{BundleName, ConnectionId, DagId, TeamName, VariableKey};

use super::{mistake::Problem, reader::Reader, team::Team};

/// A `[[team.share]]` as it is written, with where.
pub(super) struct Written<'a> {
    share: Share,
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
    let what = match (connection, variable) {
        (Some(id), None) => Shared::Connection(id),
        (None, Some(key)) => Shared::Variable(key),
        _ => {
            let problem = "name what is shared: one of `connection` and `variable`";
            reader.mistake("", Problem::Value(problem.to_owned()));
            return None;
        }
    };
    let share = Share {
        lender: lender?.clone(),
        what,
        bundle: bundle?,
        dags: dags.transpose().ok()?,
    };
    Some(Written { share, reader })
}

/// All that is shared. A share with a bundle that no other team has is a mistake: it would count for whoever takes
/// that name.
pub(super) fn shares(written: Vec<Written<'_>>, teams: &[Team]) -> Vec<Share> {
    let mut shares = Vec::with_capacity(written.len());
    for Written { share, reader } in written {
        let borrower = teams.iter().find(|team| {
            let mut bundles = team.bundles.iter();
            bundles.any(|bundle| bundle.name == share.bundle)
        });
        match borrower {
            None => reader.mistake(
                "bundle",
                Problem::Value(format!("there is no bundle `{}`", share.bundle)),
            ),
            Some(team) if team.name == share.lender => reader.mistake(
                "bundle",
                Problem::Value(format!(
                    "`{}` is the team's own: it needs no share",
                    share.bundle
                )),
            ),
            Some(_) => {}
        }
        reader.finish();
        shares.push(share);
    }
    shares
}
