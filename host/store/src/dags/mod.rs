//! DAGs, their definitions, and what could not be imported.
//!
//! What a bundle contributes comes in one transaction ([`import`]); what an operator does to a DAG is in
//! [`ownership`].

mod import;
mod ownership;

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
        self.import(team, bundle, dags, errors).await
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

    async fn delete(&self, dag_id: &DagId) -> Result<(), StoreError> {
        self.remove_dag(dag_id).await
    }

    async fn transfer(
        &self,
        dag_id: &DagId,
        bundle: &BundleName,
        team: &TeamName,
    ) -> Result<(), StoreError> {
        self.give_dag(dag_id, bundle, team).await
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
