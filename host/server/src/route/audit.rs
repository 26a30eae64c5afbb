//! The audit: who approved, who changed, what was denied.

use airlock_model::{
    audit::{AuditEntry, AuditRow},
    id::{BundleName, TeamName},
    port::AuditFilter,
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{list_query, time};
use crate::{
    auth::Reader,
    extract::Query,
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// A row of the audit, as the API and an exported file have it. Its texts are those that its hash covers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditLine {
    /// Its place, from one on, without gaps.
    pub sequence: u64,
    /// When.
    pub at: String,
    /// Who: `person:NAME`, `host` or `bundle`.
    pub actor: String,
    /// What, such as `grant.approve` or `capability.denied`.
    pub action: String,
    /// To whose.
    pub team_name: Option<String>,
    /// To which bundle's.
    pub bundle_name: Option<String>,
    /// To what.
    pub subject: String,
    /// More about it.
    #[schema(value_type = Object)]
    pub detail: Box<RawValue>,
    /// The hash of the row before it.
    pub previous: String,
    /// Its own hash.
    pub hash: String,
}

impl From<AuditRow> for AuditLine {
    fn from(row: AuditRow) -> Self {
        let entry = row.entry;
        Self {
            sequence: row.sequence,
            at: entry.at.to_string(),
            actor: entry.actor.to_string(),
            action: entry.action.to_string(),
            subject: entry.subject().to_owned(),
            // What is no JSON was not written by Airlock; it is shown as a text then.
            detail: RawValue::from_string(entry.detail().to_owned())
                .or_else(|_| serde_json::value::to_raw_value(entry.detail()))
                .unwrap_or_default(),
            team_name: entry.team.map(String::from),
            bundle_name: entry.bundle.map(String::from),
            previous: row.previous.to_string(),
            hash: row.hash.to_string(),
        }
    }
}

impl TryFrom<AuditLine> for AuditRow {
    /// What is wrong with the line.
    type Error = String;

    fn try_from(line: AuditLine) -> Result<Self, String> {
        fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
            text.parse().map_err(|error: T::Err| error.to_string())
        }
        let team = line.team_name.as_deref().map(parsed).transpose()?;
        let bundle = line.bundle_name.as_deref().map(parsed).transpose()?;
        let entry = AuditEntry::kept(
            parsed(&line.at)?,
            parsed(&line.actor)?,
            parsed(&line.action)?,
            (team, bundle),
            (line.subject.into(), line.detail.get().into()),
        );
        Ok(Self {
            sequence: line.sequence,
            entry,
            previous: parsed(&line.previous)?,
            hash: parsed(&line.hash)?,
        })
    }
}

/// Rows of the audit, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditCollection {
    audit: Vec<AuditLine>,
    total_entries: u64,
}

list_query! {
    /// Which rows.
    AuditQuery {
        /// Of this team only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
        /// Of this bundle only.
        #[param(value_type = Option<String>)]
        bundle: Option<BundleName>,
        /// Of this kind only, such as `capability.denied`.
        action: Option<String>,
        /// Of this time or later.
        since: Option<String>,
    }
}

/// List what was done and denied, the newest first.
#[utoipa::path(get, operation_id = "list_audit", path = "/api/v2/audit", tag = "Audit", params(AuditQuery),
    responses((status = 200, body = AuditCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Reader,
    State(state): State<ApiState>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditCollection>, ApiError> {
    let page = query.page().page();
    let action = query.action.as_deref().map(str::parse).transpose();
    let filter = AuditFilter {
        team: query.team,
        bundle: query.bundle,
        action: action.map_err(ApiError::invalid)?,
        since: time(query.since.as_deref())?,
    };
    let found = state.audit.audit(&filter, page).await?;
    Ok(Json(AuditCollection {
        audit: found.items.into_iter().map(AuditLine::from).collect(),
        total_entries: found.total,
    }))
}
