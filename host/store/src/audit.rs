//! The audit: rows that are only added, each chained to the one before it.
//!
//! What adds to the chain holds the head's row from its first statement to its commit, so that the chain has
//! no fork, whoever else writes. [`append_in`] does so within a transaction of another subject, which then
//! is written together with what is told of it, or not at all.

use airlock_model::{
    audit::{AuditEntry, AuditHead, AuditRow},
    port::{AuditFilter, AuditStore, Page, Paged, StoreError},
};
use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder};

use crate::{
    Store, column,
    database::{read, snapshot, write},
    error::corrupt,
};

#[derive(FromRow)]
struct AuditRecord {
    sequence: i64,
    at: i64,
    actor: String,
    action: String,
    team: Option<String>,
    bundle: Option<String>,
    subject: String,
    detail: String,
    previous: Vec<u8>,
    hash: Vec<u8>,
}

impl TryFrom<AuditRecord> for AuditRow {
    type Error = StoreError;
    fn try_from(row: AuditRecord) -> Result<Self, StoreError> {
        let sequence = row.sequence;
        row.read()
            .map_err(|error| corrupt(format!("audit row {sequence}: {error}")))
    }
}

impl AuditRecord {
    fn read(self) -> Result<AuditRow, StoreError> {
        let row = self;
        let team = row.team.as_deref().map(column::name).transpose()?;
        let bundle = row.bundle.as_deref().map(column::name).transpose()?;
        let entry = AuditEntry::kept(
            column::time(row.at)?,
            column::name(&row.actor)?,
            column::name(&row.action)?,
            (team, bundle),
            (row.subject.into(), row.detail.into()),
        );
        Ok(AuditRow {
            sequence: column::number(row.sequence)?,
            entry,
            previous: column::audit_hash(&row.previous)?,
            hash: column::audit_hash(&row.hash)?,
        })
    }
}

fn all(rows: Vec<AuditRecord>) -> Result<Vec<AuditRow>, StoreError> {
    rows.into_iter().map(AuditRow::try_from).collect()
}

/// The head, from its columns.
pub(crate) fn head((sequence, hash): (i64, Vec<u8>)) -> Result<AuditHead, StoreError> {
    Ok(AuditHead {
        sequence: column::number(sequence)?,
        hash: column::audit_hash(&hash)?,
    })
}

/// Takes the head: nobody else adds to the chain before this transaction ends, and then behind it.
pub(crate) const TAKE_HEAD: &str =
    "UPDATE audit_head SET sequence = sequence WHERE id = 1 RETURNING sequence, hash";
pub(crate) const MOVE_HEAD: &str = "UPDATE audit_head SET sequence = $1, hash = $2 WHERE id = 1";
pub(crate) const ADD: &str = "
INSERT INTO audit (sequence, at, actor, action, team, bundle, subject, detail, previous, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

/// Adds entries to the chain within `$db`, a transaction that writes, and gives their rows. A macro because
/// the transaction's type differs between the databases. On PostgreSQL it is best the transaction's last
/// statement: until the commit, others who add to the chain wait.
macro_rules! append_in {
    ($db:ident, $entries:expr) => {{
        use $crate::audit;
        let entries: &[airlock_model::audit::AuditEntry] = $entries;
        let mut rows = Vec::with_capacity(entries.len());
        if !entries.is_empty() {
            let taken = sqlx::query_as(audit::TAKE_HEAD)
                .fetch_one(&mut *$db)
                .await?;
            let mut head = audit::head(taken)?;
            for entry in entries {
                let row = head.chain(entry.clone());
                sqlx::query(audit::ADD)
                    .bind($crate::column::signed(row.sequence))
                    .bind(entry.at.micros())
                    .bind(entry.actor.to_string())
                    .bind(entry.action.as_str())
                    .bind(entry.team.as_ref().map(|team| team.as_str()))
                    .bind(entry.bundle.as_ref().map(|bundle| bundle.as_str()))
                    .bind(entry.subject())
                    .bind(entry.detail())
                    .bind(row.previous.as_bytes().as_slice())
                    .bind(row.hash.as_bytes().as_slice())
                    .execute(&mut *$db)
                    .await?;
                head = row.head();
                rows.push(row);
            }
            sqlx::query(audit::MOVE_HEAD)
                .bind($crate::column::signed(head.sequence))
                .bind(head.hash.as_bytes().as_slice())
                .execute(&mut *$db)
                .await?;
        }
        rows
    }};
}
pub(crate) use append_in;

/// `WHERE …` for a filter; a macro because the builder's type differs between the databases.
macro_rules! filtered {
    ($select:expr, $filter:expr) => {{
        let filter: &AuditFilter = $filter;
        let mut query = QueryBuilder::new($select);
        query.push(" WHERE TRUE");
        for (column, wanted) in [
            (
                " AND team = ",
                filter.team.as_ref().map(|team| team.as_str()),
            ),
            (
                " AND bundle = ",
                filter.bundle.as_ref().map(|bundle| bundle.as_str()),
            ),
            (
                " AND action = ",
                filter.action.map(|action| action.as_str()),
            ),
        ] {
            if let Some(wanted) = wanted {
                query.push(column).push_bind(wanted.to_owned());
            }
        }
        if let Some(since) = filter.since {
            query.push(" AND at >= ").push_bind(since.micros());
        }
        query
    }};
}

#[async_trait]
impl AuditStore for Store {
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<Vec<AuditRow>, StoreError> {
        write!(self, db => { Ok(crate::audit::append_in!(db, entries)) })
    }

    async fn audit(&self, filter: &AuditFilter, page: Page) -> Result<Paged<AuditRow>, StoreError> {
        let (rows, total): (Vec<AuditRecord>, i64) = snapshot!(self, db => {
            let mut query = filtered!("SELECT * FROM audit", filter);
            query.push(" ORDER BY sequence DESC LIMIT ").push_bind(i64::from(page.limit));
            query.push(" OFFSET ").push_bind(i64::from(page.offset));
            let rows = query.build_query_as().fetch_all(&mut *db).await?;
            let mut query = filtered!("SELECT COUNT(*) FROM audit", filter);
            let total = query.build_query_scalar().fetch_one(&mut *db).await?;
            Ok((rows, total))
        })?;
        Ok(Paged {
            items: all(rows)?,
            total: column::number(total)?,
        })
    }

    async fn audit_from(&self, sequence: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let rows: Vec<AuditRecord> = read!(self, db => {
            Ok(sqlx::query_as("SELECT * FROM audit WHERE sequence >= $1 ORDER BY sequence LIMIT $2")
                .bind(column::signed(sequence))
                .bind(i64::from(limit))
                .fetch_all(db)
                .await?)
        })?;
        all(rows)
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        let row = read!(self, db => {
            Ok(sqlx::query_as("SELECT sequence, hash FROM audit_head WHERE id = 1").fetch_one(db).await?)
        })?;
        head(row)
    }
}
