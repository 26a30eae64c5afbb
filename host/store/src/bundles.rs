//! Bundle versions and parse results.

use airlock_model::{
    id::{BundleHash, BundleName},
    port::{BundleStore, BundleVersion, ParseKey, ParseResult, StoreError},
};
use async_trait::async_trait;
use sqlx::FromRow;

use crate::{
    Store, column,
    database::{read, write},
    error::corrupt,
};

#[derive(FromRow)]
struct VersionRecord {
    bundle: String,
    hash: Vec<u8>,
    team: String,
    version: String,
    created_at: i64,
    active: bool,
}

impl TryFrom<VersionRecord> for BundleVersion {
    type Error = StoreError;
    fn try_from(row: VersionRecord) -> Result<Self, StoreError> {
        Ok(Self {
            bundle: column::name(&row.bundle)?,
            team: column::name(&row.team)?,
            hash: column::hash(&row.hash)?,
            version: row.version,
            created_at: column::time(row.created_at)?,
            active: row.active,
        })
    }
}

fn all(rows: Vec<VersionRecord>) -> Result<Vec<BundleVersion>, StoreError> {
    rows.into_iter().map(BundleVersion::try_from).collect()
}

#[async_trait]
impl BundleStore for Store {
    async fn activate(&self, version: &BundleVersion) -> Result<(), StoreError> {
        write!(self, db => {
            sqlx::query("UPDATE bundle_version SET active = FALSE WHERE bundle = $1 AND active AND hash <> $2")
                .bind(version.bundle.as_str())
                .bind(version.hash.as_bytes().as_slice())
                .execute(&mut *db)
                .await?;
            // The host saw it first when it saw it first: an older time stays.
            sqlx::query(
                "INSERT INTO bundle_version (bundle, hash, team, version, created_at, active)
                 VALUES ($1, $2, $3, $4, $5, TRUE)
                 ON CONFLICT (bundle, hash) DO UPDATE SET team = excluded.team, active = TRUE",
            )
            .bind(version.bundle.as_str())
            .bind(version.hash.as_bytes().as_slice())
            .bind(version.team.as_str())
            .bind(column::plain(&version.version))
            .bind(version.created_at.micros())
            .execute(&mut *db)
            .await?;
            Ok(())
        })
    }

    async fn active(&self) -> Result<Vec<BundleVersion>, StoreError> {
        let rows = read!(self, db => {
            Ok(sqlx::query_as("SELECT * FROM bundle_version WHERE active ORDER BY bundle")
                .fetch_all(db)
                .await?)
        })?;
        all(rows)
    }

    async fn versions(&self, bundle: &BundleName) -> Result<Vec<BundleVersion>, StoreError> {
        let rows = read!(self, db => {
            Ok(sqlx::query_as(
                "SELECT * FROM bundle_version WHERE bundle = $1 ORDER BY created_at DESC, hash",
            )
            .bind(bundle.as_str())
            .fetch_all(db)
            .await?)
        })?;
        all(rows)
    }

    async fn version(&self, hash: &BundleHash) -> Result<Option<BundleVersion>, StoreError> {
        let row: Option<VersionRecord> = read!(self, db => {
            Ok(sqlx::query_as(
                "SELECT * FROM bundle_version WHERE hash = $1
                 ORDER BY active DESC, created_at DESC, bundle LIMIT 1",
            )
            .bind(hash.as_bytes().as_slice())
            .fetch_optional(db)
            .await?)
        })?;
        row.map(BundleVersion::try_from).transpose()
    }

    async fn is_parsed(&self, key: &ParseKey) -> Result<bool, StoreError> {
        let known: Option<i32> = read!(self, db => {
            Ok(sqlx::query_scalar("SELECT 1 FROM parse_result WHERE hash = $1 AND inputs = $2")
                .bind(key.hash.as_bytes().as_slice())
                .bind(key.inputs.as_bytes().as_slice())
                .fetch_optional(db)
                .await?)
        })?;
        Ok(known.is_some())
    }

    async fn parse_result(&self, key: &ParseKey) -> Result<Option<ParseResult>, StoreError> {
        let json: Option<String> = read!(self, db => {
            Ok(sqlx::query_scalar("SELECT result FROM parse_result WHERE hash = $1 AND inputs = $2")
                .bind(key.hash.as_bytes().as_slice())
                .bind(key.inputs.as_bytes().as_slice())
                .fetch_optional(db)
                .await?)
        })?;
        json.map(|json| serde_json::from_str(&json).map_err(corrupt))
            .transpose()
    }

    async fn keep_parse_result(
        &self,
        key: &ParseKey,
        result: &ParseResult,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_string(result).map_err(|e| StoreError::Statement(e.into()))?;
        write!(self, db => {
            sqlx::query(
                "INSERT INTO parse_result (hash, inputs, result) VALUES ($1, $2, $3)
                 ON CONFLICT (hash, inputs) DO UPDATE SET result = excluded.result",
            )
            .bind(key.hash.as_bytes().as_slice())
            .bind(key.inputs.as_bytes().as_slice())
            .bind(json.as_str())
            .execute(&mut *db)
            .await?;
            Ok(())
        })
    }
}
