//! Grants: what was proposed for bundles, what is in force, and the decisions between the two.

use std::{collections::BTreeMap, path::PathBuf};

use airlock_grant::{Difference, Grant, GuestPath, Source, Uncovered};
use airlock_model::{
    grant::{GrantRow, GrantState},
    id::{BundleHash, BundleName, TeamName},
    port::{GrantFilter, Page, Verdict},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    list_query,
    scope::{Whose, known_team},
};
use crate::{
    auth::{Decider, Reader},
    extract::{self, Path, Query},
    granting::{GrantStanding, Proposal, WaitingVersion, Word},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// A revision of a bundle's grant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantRevision {
    bundle_name: String,
    team_name: String,
    revision: u32,
    /// `proposed`, `approved`, `replaced`, `denied`, `revoked` or `lapsed`.
    state: String,
    /// The version that it was proposed for, as that calls itself.
    bundle_version: String,
    /// The BLAKE3 of that version's component.
    bundle_hash: String,
    /// Whether it counts for that version's bytes alone, and not for every version that asks for no more.
    only_this_version: bool,
    /// What it grants, in the shape of the configuration's `[[team.bundle.grant.KIND]]`.
    #[schema(value_type = Object)]
    grant: serde_json::Value,
    /// The same, a line each.
    entries: Vec<String>,
    note: Option<String>,
    /// `person:NAME`, or `host` where a version came that asks for more than was approved.
    proposed_by: String,
    proposed_at: String,
    /// Who decided last; null for what was not decided.
    decided_by: Option<String>,
    decided_at: Option<String>,
    reason: Option<String>,
}

/// A revision, beside what is in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantRevisionDetails {
    #[serde(flatten)]
    revision: GrantRevision,
    /// What it grants and what is in force does not.
    added: Vec<String>,
    /// What is in force and it does not grant.
    removed: Vec<String>,
}

/// Revisions, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantCollection {
    grants: Vec<GrantRevision>,
    total_entries: u64,
}

/// Something that a version asks for and that was not approved.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Wider {
    /// `variable`, `connection`, `directory` or `http`.
    kind: String,
    /// What exactly.
    what: String,
    phases: Vec<String>,
    /// Why, in the author's words.
    reason: Option<String>,
}

/// A version that waits for approval, while the one before it serves.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Waiting {
    version: String,
    bundle_hash: String,
    since: String,
    /// What it asks for beyond what was approved; empty where other bytes alone were approved.
    wider: Vec<Wider>,
    /// What a grant would have to hold for it, a line each: what is in force, and what it asks for beyond.
    entries: Vec<String>,
    /// Directories whose place on this host a person has to name.
    unplaced: Vec<String>,
    /// The newest proposal for it that is open.
    proposal: Option<u32>,
}

/// What a bundle is granted now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantInForce {
    bundle_name: String,
    team_name: String,
    /// `automatic`: it is granted what it asks for; `configured`: the grant stands in airlock.toml; `approved`:
    /// people decide.
    source: String,
    /// The version that serves; null where none was ever approved.
    bundle_version: Option<String>,
    bundle_hash: Option<String>,
    /// The revision that is in force.
    revision: Option<u32>,
    /// What its version asks for, in the shape of `bundle.toml`'s `[[request.KIND]]`: whoever asks for no more is
    /// covered. Null where nothing was approved.
    #[schema(value_type = Option<Object>)]
    approved_request: Option<serde_json::Value>,
    /// What is granted, in the shape of the configuration's `[[team.bundle.grant.KIND]]`.
    #[schema(value_type = Object)]
    grant: serde_json::Value,
    /// The same, a line each.
    entries: Vec<String>,
    waiting: Option<Waiting>,
}

/// A proposal.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProposalBody {
    /// What is to be granted. Without it: what is in force, and what the version asks for beyond it.
    #[schema(value_type = Option<Object>)]
    grant: Option<Grant>,
    /// Where the directories lie on the host that the version asks for, by their paths as the guest sees them.
    #[schema(value_type = Object)]
    directories: BTreeMap<String, PathBuf>,
    /// For this version; otherwise the one that waits, else the one that serves.
    #[schema(value_type = Option<String>)]
    bundle_hash: Option<BundleHash>,
    /// For that version's bytes alone, and not for every version that asks for no more.
    only_this_version: bool,
    note: Option<String>,
}

/// What becomes of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NewState {
    /// It is in force, in place of what was.
    Approved,
    /// It is refused.
    Denied,
    /// It was approved, and is taken back.
    Revoked,
}

/// A decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionBody {
    state: NewState,
    #[serde(default)]
    reason: Option<String>,
    /// Approve it for the bytes of its version alone; otherwise as it was proposed.
    #[serde(default)]
    only_this_version: Option<bool>,
}

/// Why it is taken back.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RevokeQuery {
    /// On behalf of this team: what is another team's is not found.
    #[param(value_type = Option<String>)]
    team: Option<TeamName>,
    /// In the words of whoever takes it back.
    reason: Option<String>,
}

list_query! {
    /// Which grants.
    GrantsQuery {
        /// Of this team only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
        /// Of this bundle only.
        #[param(value_type = Option<String>)]
        bundle: Option<BundleName>,
        /// In this state only: `proposed`, `approved`, `replaced`, `denied`, `revoked` or `lapsed`.
        #[param(value_type = Option<String>)]
        state: Option<GrantState>,
    }
}

/// What a revision grants. One that a newer program wrote may hold what this one does not know.
fn grant_of(row: &GrantRow) -> Result<Grant, ApiError> {
    serde_json::from_value(row.what.grant.clone()).map_err(|error| {
        ApiError::Internal(format!(
            "revision {} of the grant of `{}` cannot be read: {error}",
            row.revision, row.what.bundle
        ))
    })
}

impl TryFrom<GrantRow> for GrantRevision {
    type Error = ApiError;
    fn try_from(row: GrantRow) -> Result<Self, ApiError> {
        let entries = grant_of(&row)?.entries();
        let GrantRow {
            what,
            revision,
            state,
            proposed_by,
            proposed_at,
            decided,
        } = row;
        Ok(Self {
            bundle_name: what.bundle.to_string(),
            team_name: what.team.to_string(),
            revision,
            state: state.to_string(),
            bundle_version: what.version,
            bundle_hash: what.hash.to_string(),
            only_this_version: what.only,
            grant: what.grant,
            entries,
            note: what.note,
            proposed_by: proposed_by.to_string(),
            proposed_at: proposed_at.to_string(),
            decided_by: decided.as_ref().map(|decided| decided.by.to_string()),
            decided_at: decided.as_ref().map(|decided| decided.at.to_string()),
            reason: decided.and_then(|decided| decided.reason),
        })
    }
}

impl From<Difference> for Wider {
    fn from(one: Difference) -> Self {
        Self {
            kind: one.kind.as_str().to_owned(),
            phases: one.phase_names().into_iter().map(str::to_owned).collect(),
            what: one.what,
            reason: one.reason,
        }
    }
}

/// The bundle's grant, if the bundle is there for whoever asks.
async fn known(
    state: &ApiState,
    name: &BundleName,
    whose: &Whose,
) -> Result<GrantStanding, ApiError> {
    let standing = state.granting.standing(name).await?;
    standing
        .filter(|standing| whose.sees(&standing.team))
        .ok_or_else(|| ApiError::not_found("bundle", name))
}

/// The revisions of one bundle that are in a state.
async fn revisions(
    state: &ApiState,
    (team, name): (&TeamName, &BundleName),
    of: Option<GrantState>,
) -> Result<Vec<GrantRow>, ApiError> {
    let filter = GrantFilter {
        team: Some(team.clone()),
        bundle: Some(name.clone()),
        state: of,
    };
    Ok(state.grants.grants(&filter, Page::ALL).await?.items)
}

/// List the grants that were proposed, approved, refused and taken back.
#[utoipa::path(get, operation_id = "list_grants", path = "/api/v2/grants", tag = "Grant", params(GrantsQuery),
    responses((status = 200, body = GrantCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Reader,
    State(state): State<ApiState>,
    Query(query): Query<GrantsQuery>,
) -> Result<Json<GrantCollection>, ApiError> {
    let page = query.page();
    let team = query
        .team
        .map(|team| known_team(&state, team))
        .transpose()?;
    let filter = GrantFilter {
        team,
        bundle: query.bundle,
        state: query.state,
    };
    let found = state.grants.grants(&filter, page.page()).await?;
    let grants: Result<_, _> = found
        .items
        .into_iter()
        .map(GrantRevision::try_from)
        .collect();
    Ok(Json(GrantCollection {
        grants: grants?,
        total_entries: found.total,
    }))
}

/// Get what a bundle is granted, by whose word, and whether a version waits for more.
#[utoipa::path(get, operation_id = "get_grant", path = "/api/v2/bundles/{bundle_name}/grant", tag = "Grant",
    params(("bundle_name" = String, Path), Whose),
    responses((status = 200, body = GrantInForce), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn in_force(
    _: Reader,
    State(state): State<ApiState>,
    Path(name): Path<BundleName>,
    Query(whose): Query<Whose>,
) -> Result<Json<GrantInForce>, ApiError> {
    let standing = known(&state, &name, &whose).await?;
    let waiting = match standing.waiting {
        None => None,
        Some(waiting) => {
            let of = (&standing.team, &name);
            let open = revisions(&state, of, Some(GrantState::Proposed)).await?;
            let mut open = open.iter().filter(|row| row.what.hash == waiting.hash);
            let proposal = open.next().map(|row| row.revision);
            Some(shown(waiting, proposal))
        }
    };
    let source = match standing.source {
        Source::Automatic => "automatic",
        Source::Configured => "configured",
        Source::Approved => "approved",
    };
    let (bundle_version, bundle_hash) = standing.serves.unzip();
    Ok(Json(GrantInForce {
        bundle_name: name.to_string(),
        team_name: standing.team.to_string(),
        source: source.to_owned(),
        bundle_version,
        bundle_hash: bundle_hash.map(|hash| hash.to_string()),
        revision: standing.revision,
        approved_request: standing.approved.as_ref().map(json).transpose()?,
        entries: standing.grant.entries(),
        grant: json(&standing.grant)?,
        waiting,
    }))
}

fn json(what: &impl Serialize) -> Result<serde_json::Value, ApiError> {
    serde_json::to_value(what).map_err(|error| ApiError::Internal(error.to_string()))
}

fn shown(waiting: WaitingVersion, proposal: Option<u32>) -> Waiting {
    let wider = match waiting.uncovered {
        Uncovered::Wider(wider) => wider,
        Uncovered::OtherBytes(_) => Vec::new(),
    };
    Waiting {
        version: waiting.version,
        bundle_hash: waiting.hash.to_string(),
        since: waiting.since.to_string(),
        wider: wider.into_iter().map(Wider::from).collect(),
        entries: waiting.needs.entries(),
        unplaced: waiting.unplaced.iter().map(ToString::to_string).collect(),
        proposal,
    }
}

/// Propose a grant for a bundle. Nothing changes until somebody approves it.
#[utoipa::path(post, operation_id = "propose_grant", path = "/api/v2/bundles/{bundle_name}/grants", tag = "Grant",
    params(("bundle_name" = String, Path), Whose), request_body = ProposalBody,
    responses((status = 201, body = GrantRevision), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn propose(
    reader: Reader,
    State(state): State<ApiState>,
    Path(name): Path<BundleName>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<ProposalBody>,
) -> Result<(StatusCode, Json<GrantRevision>), ApiError> {
    known(&state, &name, &whose).await?;
    let places: Result<_, ApiError> = (body.directories.into_iter())
        .map(|(path, host)| Ok((GuestPath::new(&path).map_err(ApiError::invalid)?, host)))
        .collect();
    let proposal = Proposal {
        grant: body.grant,
        places: places?,
        hash: body.bundle_hash,
        only: body.only_this_version,
        note: body.note,
    };
    let row = state
        .granting
        .propose(&name, proposal, reader.actor())
        .await?;
    Ok((StatusCode::CREATED, Json(row.try_into()?)))
}

/// The revision of this number, if it is there for whoever asks.
async fn revision(
    state: &ApiState,
    name: &BundleName,
    number: u32,
    whose: &Whose,
) -> Result<(GrantStanding, GrantRow), ApiError> {
    let standing = known(state, name, whose).await?;
    let rows = revisions(state, (&standing.team, name), None).await?;
    let row = rows.into_iter().find(|row| row.revision == number);
    let row = row.ok_or_else(|| ApiError::not_found("grant revision", number))?;
    Ok((standing, row))
}

/// Get a revision of a bundle's grant, and how it differs from what is in force.
#[utoipa::path(get, operation_id = "get_grant_revision", path = "/api/v2/bundles/{bundle_name}/grants/{revision}",
    tag = "Grant", params(("bundle_name" = String, Path), ("revision" = u32, Path), Whose),
    responses((status = 200, body = GrantRevisionDetails), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Reader,
    State(state): State<ApiState>,
    Path((name, number)): Path<(BundleName, u32)>,
    Query(whose): Query<Whose>,
) -> Result<Json<GrantRevisionDetails>, ApiError> {
    let (standing, row) = revision(&state, &name, number, &whose).await?;
    let difference = grant_of(&row)?.since(&standing.grant);
    Ok(Json(GrantRevisionDetails {
        revision: GrantRevision::try_from(row)?,
        added: difference.added,
        removed: difference.removed,
    }))
}

/// Approve or refuse a proposal, or take back what was approved. When it answers, that is in force: calls that run
/// have lost what was taken back, and a version that waited is on its way in.
#[utoipa::path(patch, operation_id = "decide_grant", path = "/api/v2/bundles/{bundle_name}/grants/{revision}",
    tag = "Grant", params(("bundle_name" = String, Path), ("revision" = u32, Path), Whose), request_body = DecisionBody,
    responses((status = 200, body = GrantRevision), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn decide(
    decider: Decider,
    State(state): State<ApiState>,
    Path((name, number)): Path<(BundleName, u32)>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<DecisionBody>,
) -> Result<Json<GrantRevision>, ApiError> {
    let (_, row) = revision(&state, &name, number, &whose).await?;
    let word = Word {
        by: decider.actor(),
        reason: body.reason,
    };
    let granting = &state.granting;
    let row = match body.state {
        NewState::Approved => {
            let only = body.only_this_version.unwrap_or(row.what.only);
            let verdict = Verdict::Approve { only };
            granting.decide(&name, number, verdict, word).await?
        }
        NewState::Denied => granting.decide(&name, number, Verdict::Deny, word).await?,
        NewState::Revoked => {
            let revoked = granting.revoke(&name, Some(number), word).await?;
            revoked
                .into_iter()
                .next()
                .ok_or_else(|| ApiError::not_found("grant revision", number))?
        }
    };
    Ok(Json(row.try_into()?))
}

/// Take back all that was approved for a bundle: from now on it reaches nothing.
#[utoipa::path(delete, operation_id = "revoke_grant", path = "/api/v2/bundles/{bundle_name}/grant", tag = "Grant",
    params(("bundle_name" = String, Path), RevokeQuery),
    responses((status = 200, body = GrantCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn revoke(
    decider: Decider,
    State(state): State<ApiState>,
    Path(name): Path<BundleName>,
    Query(query): Query<RevokeQuery>,
) -> Result<Json<GrantCollection>, ApiError> {
    known(&state, &name, &Whose::of(query.team)).await?;
    let word = Word {
        by: decider.actor(),
        reason: query.reason,
    };
    let revoked = state.granting.revoke(&name, None, word).await?;
    let grants: Result<Vec<_>, _> = revoked.into_iter().map(GrantRevision::try_from).collect();
    let grants = grants?;
    Ok(Json(GrantCollection {
        total_entries: grants.len() as u64,
        grants,
    }))
}
