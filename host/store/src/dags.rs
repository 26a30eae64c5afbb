//! DAGs, their definitions, and what could not be imported.

use airlock_model::{
    dag::DagSpec,
    id::{BundleName, DagId, DefinitionHash, TeamName},
    port::{DagFilter, DagStore, ImportError, Page, Paged, StoreError, StoredDag},
};
use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder};

use crate::{
    Store, column,
    database::{read, snapshot, write},
    error::corrupt,
};

#[derive(FromRow)]
struct DagRecord {
    dag_id: String,
    team: String,
    bundle: String,
    hash: Vec<u8>,
    is_paused: bool,
    is_stale: bool,
    last_parsed: i64,
    spec: String,
}

impl TryFrom<DagRecord> for StoredDag {
    type Error = StoreError;
    fn try_from(row: DagRecord) -> Result<Self, StoreError> {
        Ok(Self {
            dag_id: column::name(&row.dag_id)?,
            team: column::name(&row.team)?,
            bundle: column::name(&row.bundle)?,
            hash: column::hash(&row.hash)?,
            spec: serde_json::from_str(&row.spec).map_err(corrupt)?,
            is_paused: row.is_paused,
            is_stale: row.is_stale,
            last_parsed: column::time(row.last_parsed)?,
        })
    }
}

#[derive(FromRow)]
struct ImportErrorRecord {
    team: String,
    bundle: String,
    hash: Option<Vec<u8>>,
    dag_id: Option<String>,
    code: String,
    message: String,
    at: i64,
}

impl TryFrom<ImportErrorRecord> for ImportError {
    type Error = StoreError;
    fn try_from(row: ImportErrorRecord) -> Result<Self, StoreError> {
        Ok(Self {
            team: column::name(&row.team)?,
            bundle: column::name(&row.bundle)?,
            hash: row.hash.as_deref().map(column::hash).transpose()?,
            dag_id: row.dag_id,
            code: row.code,
            message: row.message,
            at: column::time(row.at)?,
        })
    }
}

const SELECT: &str = "SELECT dag.*, spec FROM dag JOIN dag_definition USING (definition)";

macro_rules! filtered {
    ($select:expr, $filter:expr) => {{
        let filter: &DagFilter = $filter;
        let mut query = QueryBuilder::new($select);
        query.push(" WHERE TRUE");
        if let Some(team) = &filter.team {
            query.push(" AND dag.team = ").push_bind(team.as_str().to_owned());
        }
        if let Some(bundle) = &filter.bundle {
            query.push(" AND dag.bundle = ").push_bind(bundle.as_str().to_owned());
        }
        if let Some(tag) = &filter.tag {
            query
                .push(" AND EXISTS (SELECT 1 FROM dag_tag WHERE dag_tag.dag_id = dag.dag_id AND tag = ")
                .push_bind(column::plain(tag).into_owned())
                .push(")");
        }
        if !filter.include_stale {
            query.push(" AND NOT dag.is_stale");
        }
        query
    }};
}

#[async_trait]
impl DagStore for Store {
    async fn replace(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        dags: &[StoredDag],
        errors: &[ImportError],
    ) -> Result<(), StoreError> {
        let specs = dags
            .iter()
            .map(|dag| dag.spec.text())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| StoreError::Statement(e.into()))?;
        write!(self, db => {
            sqlx::query("UPDATE dag SET is_stale = TRUE WHERE bundle = $1 AND NOT is_stale")
                .bind(bundle.as_str())
                .execute(&mut *db)
                .await?;
            for (dag, spec) in dags.iter().zip(&specs) {
                let definition = DefinitionHash::of(spec);
                let taken = sqlx::query(
                    "INSERT INTO dag (dag_id, team, bundle, hash, is_paused, is_stale, last_parsed, definition)
                     VALUES ($1, $2, $3, $4, $5, FALSE, $6, $7)
                     ON CONFLICT (dag_id) DO UPDATE SET team = excluded.team, hash = excluded.hash,
                         is_stale = FALSE, last_parsed = excluded.last_parsed,
                         definition = excluded.definition
                     WHERE dag.bundle = excluded.bundle",
                )
                .bind(dag.dag_id.as_str())
                .bind(team.as_str())
                .bind(bundle.as_str())
                .bind(dag.hash.as_bytes().as_slice())
                .bind(dag.is_paused)
                .bind(dag.last_parsed.micros())
                .bind(definition.as_bytes().as_slice())
                .execute(&mut *db)
                .await?;
                if taken.rows_affected() != 1 {
                    return Err(StoreError::Refused(format!(
                        "the dag_id `{}` belongs to another bundle; give this DAG another id",
                        dag.dag_id
                    ))
                    .into());
                }
                sqlx::query(
                    "INSERT INTO dag_definition (definition, spec) VALUES ($1, $2)
                     ON CONFLICT (definition) DO NOTHING",
                )
                .bind(definition.as_bytes().as_slice())
                .bind(spec.as_str())
                .execute(&mut *db)
                .await?;
                sqlx::query("DELETE FROM dag_tag WHERE dag_id = $1")
                    .bind(dag.dag_id.as_str())
                    .execute(&mut *db)
                    .await?;
                for tag in &dag.spec.tags {
                    sqlx::query("INSERT INTO dag_tag (dag_id, tag) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                        .bind(dag.dag_id.as_str())
                        .bind(column::plain(tag))
                        .execute(&mut *db)
                        .await?;
                }
            }
            sqlx::query("DELETE FROM import_error WHERE bundle = $1")
                .bind(bundle.as_str())
                .execute(&mut *db)
                .await?;
            for (position, error) in (0_i32..).zip(errors) {
                sqlx::query(
                    "INSERT INTO import_error (bundle, position, team, hash, dag_id, code, message, at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                )
                .bind(bundle.as_str())
                .bind(position)
                .bind(team.as_str())
                .bind(error.hash.map(|hash| hash.as_bytes().to_vec()))
                .bind(error.dag_id.as_deref().map(column::plain))
                .bind(column::plain(&error.code))
                .bind(column::plain(&error.message))
                .bind(error.at.micros())
                .execute(&mut *db)
                .await?;
            }
            Ok(())
        })
    }

    async fn owner(&self, dag_id: &DagId) -> Result<Option<BundleName>, StoreError> {
        let bundle: Option<String> = read!(self, db => {
            Ok(sqlx::query_scalar("SELECT bundle FROM dag WHERE dag_id = $1")
                .bind(dag_id.as_str())
                .fetch_optional(db)
                .await?)
        })?;
        bundle.as_deref().map(column::name).transpose()
    }

    async fn dag(&self, dag_id: &DagId) -> Result<Option<StoredDag>, StoreError> {
        let row: Option<DagRecord> = read!(self, db => {
            Ok(sqlx::query_as(concat!(
                "SELECT dag.*, spec FROM dag JOIN dag_definition USING (definition)",
                " WHERE dag_id = $1"
            ))
            .bind(dag_id.as_str())
            .fetch_optional(db)
            .await?)
        })?;
        row.map(StoredDag::try_from).transpose()
    }

    async fn dags(&self, filter: &DagFilter, page: Page) -> Result<Paged<StoredDag>, StoreError> {
        let (rows, total): (Vec<DagRecord>, i64) = snapshot!(self, db => {
            let mut query = filtered!(SELECT, filter);
            query.push(" ORDER BY dag.dag_id LIMIT ").push_bind(i64::from(page.limit));
            query.push(" OFFSET ").push_bind(i64::from(page.offset));
            let rows = query.build_query_as().fetch_all(&mut *db).await?;
            let mut query = filtered!("SELECT COUNT(*) FROM dag", filter);
            let total = query.build_query_scalar().fetch_one(&mut *db).await?;
            Ok((rows, total))
        })?;
        let items = rows
            .into_iter()
            .map(StoredDag::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Paged {
            items,
            total: column::number(total)?,
        })
    }

    async fn definition(&self, hash: &DefinitionHash) -> Result<Option<DagSpec>, StoreError> {
        let spec: Option<String> = read!(self, db => {
            Ok(sqlx::query_scalar("SELECT spec FROM dag_definition WHERE definition = $1")
                .bind(hash.as_bytes().as_slice())
                .fetch_optional(db)
                .await?)
        })?;
        spec.map(|spec| serde_json::from_str(&spec).map_err(corrupt))
            .transpose()
    }

    async fn set_paused(&self, dag_id: &DagId, paused: bool) -> Result<(), StoreError> {
        write!(self, db => {
            let done = sqlx::query("UPDATE dag SET is_paused = $1 WHERE dag_id = $2")
                .bind(paused)
                .bind(dag_id.as_str())
                .execute(&mut *db)
                .await?;
            match done.rows_affected() {
                0 => Err(StoreError::NotFound(format!("the DAG `{dag_id}`")).into()),
                _ => Ok(()),
            }
        })
    }

    async fn import_errors(&self, team: Option<&TeamName>) -> Result<Vec<ImportError>, StoreError> {
        let rows: Vec<ImportErrorRecord> = read!(self, db => {
            let mut query = QueryBuilder::new("SELECT * FROM import_error");
            if let Some(team) = team {
                query.push(" WHERE team = ").push_bind(team.as_str().to_owned());
            }
            query.push(" ORDER BY at DESC, bundle, position");
            Ok(query.build_query_as().fetch_all(db).await?)
        })?;
        rows.into_iter().map(ImportError::try_from).collect()
    }
}
