//! Grants that people propose, approve, refuse and take back: each change and its row of the audit in one
//! transaction.
//!
//! What changes a grant takes the audit's head first, so that of two who decide at once one comes second and sees
//! what the first has done.

use airlock_model::{
    audit::{Actor, AuditAction},
    grant::{Decision, GrantRow, GrantState, MAX_WORDS_BYTES, NewGrant},
    id::{BundleName, TeamName},
    port::{GrantFilter, GrantStore, Page, Paged, StoreError, Verdict},
    time::Timestamp,
};
use async_trait::async_trait;
use serde_json::Value;
use sqlx::{FromRow, QueryBuilder};

use crate::{
    Store,
    audit::{self, append_in},
    column,
    database::{read, snapshot, write},
    error::corrupt,
};

#[derive(FromRow)]
struct GrantRecord {
    team: String,
    bundle: String,
    revision: i64,
    state: String,
    hash: Vec<u8>,
    version: String,
    request: String,
    granted: String,
    only_hash: bool,
    note: Option<String>,
    proposed_by: String,
    proposed_at: i64,
    decided_by: Option<String>,
    decided_at: Option<i64>,
    reason: Option<String>,
}

impl TryFrom<GrantRecord> for GrantRow {
    type Error = StoreError;
    fn try_from(row: GrantRecord) -> Result<Self, StoreError> {
        let json = |text: &str| -> Result<Value, StoreError> {
            serde_json::from_str(text).map_err(corrupt)
        };
        let decided = match (row.decided_by, row.decided_at) {
            (Some(by), Some(at)) => Some(Decision {
                by: column::name(&by)?,
                at: column::time(at)?,
                reason: row.reason,
            }),
            _ => None,
        };
        let what = NewGrant {
            team: column::name(&row.team)?,
            bundle: column::name(&row.bundle)?,
            hash: column::hash(&row.hash)?,
            version: row.version,
            request: json(&row.request)?,
            grant: json(&row.granted)?,
            only: row.only_hash,
            note: row.note,
        };
        Ok(Self {
            what,
            revision: column::number(row.revision)?,
            state: column::name(&row.state)?,
            proposed_by: column::name(&row.proposed_by)?,
            proposed_at: column::time(row.proposed_at)?,
            decided,
        })
    }
}

fn all(rows: Vec<GrantRecord>) -> Result<Vec<GrantRow>, StoreError> {
    rows.into_iter().map(GrantRow::try_from).collect()
}

/// What a person wrote, bounded.
fn words(text: Option<&String>) -> Result<Option<String>, StoreError> {
    match text {
        Some(text) if text.len() > MAX_WORDS_BYTES => Err(StoreError::Refused(format!(
            "a note or reason has {} bytes, more than the {MAX_WORDS_BYTES} that are kept; say it in fewer words",
            text.len()
        ))),
        text => Ok(text.map(|text| column::plain(text).into_owned())),
    }
}

const ONE: &str = "SELECT * FROM bundle_grant WHERE team = $1 AND bundle = $2 AND revision = $3";

/// Gives a revision its decision, within `$db`, a transaction that writes; and the row as it is then. A macro
/// because the transaction's type differs between the databases.
macro_rules! settle {
    ($db:ident, $row:expr, $state:expr, $only:expr, $decision:expr) => {{
        let (mut row, decision): (GrantRow, &Decision) = ($row, $decision);
        row.state = $state;
        row.what.only = $only;
        row.decided = Some(decision.clone());
        sqlx::query(
            "UPDATE bundle_grant SET state = $4, only_hash = $5, decided_by = $6, decided_at = $7, reason = $8
             WHERE team = $1 AND bundle = $2 AND revision = $3",
        )
        .bind(row.what.team.as_str())
        .bind(row.what.bundle.as_str())
        .bind(i64::from(row.revision))
        .bind(row.state.as_str())
        .bind(row.what.only)
        .bind(decision.by.to_string())
        .bind(decision.at.micros())
        .bind(decision.reason.as_deref())
        .execute(&mut *$db)
        .await?;
        row
    }};
}

/// `WHERE …` for a filter; a macro for the same reason.
macro_rules! filtered {
    ($select:expr, $filter:expr) => {{
        let filter: &GrantFilter = $filter;
        let mut query = QueryBuilder::new($select);
        query.push(" WHERE TRUE");
        for (column, wanted) in [
            (" AND team = ", filter.team.as_ref().map(TeamName::as_str)),
            (
                " AND bundle = ",
                filter.bundle.as_ref().map(BundleName::as_str),
            ),
            (" AND state = ", filter.state.map(GrantState::as_str)),
        ] {
            if let Some(wanted) = wanted {
                query.push(column).push_bind(wanted.to_owned());
            }
        }
        query
    }};
}

#[async_trait]
impl GrantStore for Store {
    async fn propose_grant(
        &self,
        new: &NewGrant,
        by: &Actor,
        at: Timestamp,
    ) -> Result<GrantRow, StoreError> {
        let note = words(new.note.as_ref())?;
        write!(self, db => {
            sqlx::query(audit::TAKE_HEAD).execute(&mut *db).await?;
            if *by == Actor::Host {
                sqlx::query(
                    "UPDATE bundle_grant SET state = 'lapsed'
                     WHERE team = $1 AND bundle = $2 AND state = 'proposed' AND proposed_by = $3",
                )
                .bind(new.team.as_str())
                .bind(new.bundle.as_str())
                .bind(by.to_string())
                .execute(&mut *db)
                .await?;
            }
            let revision: i64 = sqlx::query_scalar(
                "SELECT CAST(COALESCE(MAX(revision), 0) + 1 AS BIGINT) FROM bundle_grant WHERE team = $1 AND bundle = $2",
            )
            .bind(new.team.as_str())
            .bind(new.bundle.as_str())
            .fetch_one(&mut *db)
            .await?;
            sqlx::query(
                "INSERT INTO bundle_grant (team, bundle, revision, state, hash, version, request, granted, only_hash,
                     note, proposed_by, proposed_at)
                 VALUES ($1, $2, $3, 'proposed', $4, $5, $6, $7, $8, $9, $10, $11)",
            )
            .bind(new.team.as_str())
            .bind(new.bundle.as_str())
            .bind(revision)
            .bind(new.hash.as_bytes().as_slice())
            .bind(column::plain(&new.version))
            .bind(new.request.to_string())
            .bind(new.grant.to_string())
            .bind(new.only)
            .bind(note.as_deref())
            .bind(by.to_string())
            .bind(at.micros())
            .execute(&mut *db)
            .await?;
            let row = GrantRow {
                what: NewGrant { note: note.clone(), ..new.clone() },
                revision: column::number(revision)?,
                state: GrantState::Proposed,
                proposed_by: by.clone(),
                proposed_at: at,
                decided: None,
            };
            let told = Decision { by: by.clone(), at, reason: note.clone() };
            append_in!(db, &[row.entry(AuditAction::GrantPropose, &told)]);
            Ok(row)
        })
    }

    async fn decide_grant(
        &self,
        (team, bundle): (&TeamName, &BundleName),
        revision: u32,
        verdict: Verdict,
        decision: &Decision,
    ) -> Result<GrantRow, StoreError> {
        let decision = &Decision {
            reason: words(decision.reason.as_ref())?,
            ..decision.clone()
        };
        write!(self, db => {
            sqlx::query(audit::TAKE_HEAD).execute(&mut *db).await?;
            let row: Option<GrantRecord> = sqlx::query_as(ONE)
                .bind(team.as_str())
                .bind(bundle.as_str())
                .bind(i64::from(revision))
                .fetch_optional(&mut *db)
                .await?;
            let row = GrantRow::try_from(row.ok_or_else(|| unknown(bundle, revision))?)?;
            if row.state != GrantState::Proposed {
                return Err(StoreError::Refused(format!(
                    "revision {revision} of the grant of `{bundle}` is {}: only what is proposed can be decided; propose it again",
                    row.state
                )).into());
            }
            let (row, action) = match verdict {
                Verdict::Deny => {
                    let only = row.what.only;
                    (settle!(db, row, GrantState::Denied, only, decision), AuditAction::GrantDeny)
                }
                Verdict::Approve { only } => {
                    for (from, to) in [("approved", "replaced"), ("proposed", "lapsed")] {
                        sqlx::query(
                            "UPDATE bundle_grant SET state = $4
                             WHERE team = $1 AND bundle = $2 AND state = $3 AND revision <> $5
                                 AND (state = 'approved' OR revision < $5)",
                        )
                        .bind(team.as_str())
                        .bind(bundle.as_str())
                        .bind(from)
                        .bind(to)
                        .bind(i64::from(revision))
                        .execute(&mut *db)
                        .await?;
                    }
                    (settle!(db, row, GrantState::Approved, only, decision), AuditAction::GrantApprove)
                }
            };
            append_in!(db, &[row.entry(action, decision)]);
            Ok(row)
        })
    }

    async fn revoke_grant(
        &self,
        (team, bundle): (&TeamName, &BundleName),
        revision: Option<u32>,
        decision: &Decision,
    ) -> Result<Vec<GrantRow>, StoreError> {
        let decision = &Decision {
            reason: words(decision.reason.as_ref())?,
            ..decision.clone()
        };
        write!(self, db => {
            sqlx::query(audit::TAKE_HEAD).execute(&mut *db).await?;
            let rows: Vec<GrantRecord> = sqlx::query_as(
                "SELECT * FROM bundle_grant WHERE team = $1 AND bundle = $2 ORDER BY revision DESC",
            )
            .bind(team.as_str())
            .bind(bundle.as_str())
            .fetch_all(&mut *db)
            .await?;
            let rows = all(rows)?.into_iter();
            let chosen: Vec<GrantRow> = match revision {
                None => rows.filter(|row| row.state.covers()).collect(),
                Some(revision) => rows.filter(|row| row.revision == revision).collect(),
            };
            if chosen.is_empty() {
                return Err(match revision {
                    Some(revision) => unknown(bundle, revision),
                    None => StoreError::NotFound(format!("an approved grant of `{bundle}`")),
                }.into());
            }
            let mut revoked = Vec::with_capacity(chosen.len());
            for row in chosen {
                if !row.state.covers() {
                    return Err(StoreError::Refused(format!(
                        "revision {} of the grant of `{bundle}` is {}: only what was approved can be taken back",
                        row.revision, row.state
                    )).into());
                }
                let only = row.what.only;
                revoked.push(settle!(db, row, GrantState::Revoked, only, decision));
            }
            let entries: Vec<_> =
                revoked.iter().map(|row| row.entry(AuditAction::GrantRevoke, decision)).collect();
            append_in!(db, &entries);
            Ok(revoked)
        })
    }

    async fn grants(
        &self,
        filter: &GrantFilter,
        page: Page,
    ) -> Result<Paged<GrantRow>, StoreError> {
        let (rows, total): (Vec<GrantRecord>, i64) = snapshot!(self, db => {
            let mut query = filtered!("SELECT * FROM bundle_grant", filter);
            query.push(" ORDER BY proposed_at DESC, bundle, revision DESC LIMIT ").push_bind(i64::from(page.limit));
            query.push(" OFFSET ").push_bind(i64::from(page.offset));
            let rows = query.build_query_as().fetch_all(&mut *db).await?;
            let mut query = filtered!("SELECT COUNT(*) FROM bundle_grant", filter);
            let total = query.build_query_scalar().fetch_one(&mut *db).await?;
            Ok((rows, total))
        })?;
        Ok(Paged {
            items: all(rows)?,
            total: column::number(total)?,
        })
    }

    async fn approved_grants(&self) -> Result<Vec<GrantRow>, StoreError> {
        let rows: Vec<GrantRecord> = read!(self, db => {
            Ok(sqlx::query_as(
                "SELECT * FROM bundle_grant WHERE state IN ('approved', 'replaced')
                 ORDER BY team, bundle, revision DESC",
            )
            .fetch_all(db)
            .await?)
        })?;
        all(rows)
    }
}

fn unknown(bundle: &BundleName, revision: u32) -> StoreError {
    StoreError::NotFound(format!("revision {revision} of the grant of `{bundle}`"))
}
