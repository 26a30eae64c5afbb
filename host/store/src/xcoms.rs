//! Reading XComs. They are written by a batch, and large ones stand in the content store.

use std::sync::Arc;

use airlock_model::{
    id::{DagId, MapIndex, RunId, RunKey, TaskId, TaskIndex, TeamName},
    port::{StoreError, XcomAddress, XcomRow, XcomStore},
};
use async_trait::async_trait;

use crate::{Store, column, database::read, error::corrupt};

/// An inline value and a spilled one's hash: one of them is there.
type Value = (Option<String>, Option<Vec<u8>>);

/// Names lead to the run, the run to its task instances, and those to the XComs; nothing else is looked at.
const BY_NAMES: &str = "
SELECT x.value, x.spilled FROM dag_run AS r
CROSS JOIN task_instance AS t CROSS JOIN xcom AS x
WHERE r.dag_id = $1 AND r.run_id = $2 AND r.team = $6 AND t.run = r.key AND t.task_id = $3
    AND t.map_index = $4 AND x.run = t.run AND x.task = t.task AND x.map_index = t.map_index AND x.name = $5";
const BY_KEY: &str =
    "SELECT value, spilled FROM xcom WHERE run = $1 AND task = $2 AND map_index = $3 AND name = $4";
const OF_INSTANCE: &str = "
SELECT x.name, x.value, x.spilled, x.at FROM dag_run AS r
CROSS JOIN task_instance AS t CROSS JOIN xcom AS x
WHERE r.dag_id = $1 AND r.run_id = $2 AND t.run = r.key AND t.task_id = $3 AND t.map_index = $4
    AND x.run = t.run AND x.task = t.task AND x.map_index = t.map_index";

impl Store {
    async fn value(&self, (value, spilled): Value) -> Result<Arc<str>, StoreError> {
        if let Some(value) = value {
            return Ok(value.into());
        }
        let hash = spilled.ok_or_else(|| corrupt("an XCom without a value"))?;
        let hash = column::hash(&hash)?;
        let bytes = self.blobs.get(&hash).await?.ok_or_else(|| {
            corrupt(format!(
                "the content {hash} of an XCom is gone from the content store"
            ))
        })?;
        String::from_utf8(bytes).map(Arc::from).map_err(corrupt)
    }

    async fn maybe_value(&self, row: Option<Value>) -> Result<Option<Arc<str>>, StoreError> {
        match row {
            Some(row) => self.value(row).await.map(Some),
            None => Ok(None),
        }
    }
}

#[async_trait]
impl XcomStore for Store {
    async fn xcom(
        &self,
        team: &TeamName,
        address: &XcomAddress,
    ) -> Result<Option<Arc<str>>, StoreError> {
        let row = read!(self, db => {
            Ok(sqlx::query_as(BY_NAMES)
                .bind(address.dag_id.as_str())
                .bind(address.run_id.as_str())
                .bind(address.task_id.as_str())
                .bind(address.map_index.0)
                .bind(column::plain(&address.key))
                .bind(team.as_str())
                .fetch_optional(db)
                .await?)
        })?;
        self.maybe_value(row).await
    }

    async fn xcom_of(
        &self,
        run: RunKey,
        task: TaskIndex,
        map_index: MapIndex,
        key: &str,
    ) -> Result<Option<Arc<str>>, StoreError> {
        let row = read!(self, db => {
            Ok(sqlx::query_as(BY_KEY)
                .bind(run.0)
                .bind(i64::from(task.0))
                .bind(map_index.0)
                .bind(column::plain(key))
                .fetch_optional(db)
                .await?)
        })?;
        self.maybe_value(row).await
    }

    async fn xcoms(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        task_id: &TaskId,
        map_index: MapIndex,
    ) -> Result<Vec<XcomRow>, StoreError> {
        let rows: Vec<(String, Option<String>, Option<Vec<u8>>, i64)> = read!(self, db => {
            Ok(sqlx::query_as(OF_INSTANCE)
                .bind(dag_id.as_str())
                .bind(run_id.as_str())
                .bind(task_id.as_str())
                .bind(map_index.0)
                .fetch_all(db)
                .await?)
        })?;
        let mut xcoms = Vec::with_capacity(rows.len());
        for (key, value, spilled, at) in rows {
            xcoms.push(XcomRow {
                task_id: task_id.clone(),
                map_index,
                key,
                value: self.value((value, spilled)).await?,
                at: column::time(at)?,
            });
        }
        xcoms.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(xcoms)
    }
}

/// What a task asks.
#[cfg(test)]
pub(crate) fn plans() -> Vec<&'static str> {
    vec![BY_NAMES, BY_KEY, OF_INSTANCE]
}
