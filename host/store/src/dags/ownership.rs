//! What an operator does to a DAG as a whole: give it to another bundle, or make it go for good.

use airlock_model::{
    id::{BundleName, DagId, TeamName},
    port::StoreError,
};

use crate::{Store, database::write};

/// What hangs on a DAG, the outermost first. Events of assets that it changed are those assets' history and
/// stay.
const OF_DAG: [&str; 20] = [
    "INSERT INTO dropped_content (hash)
         SELECT spilled FROM xcom
         WHERE run IN (SELECT key FROM dag_run WHERE dag_id = $1) AND spilled IS NOT NULL
         ON CONFLICT (hash) DO NOTHING",
    "DELETE FROM xcom WHERE run IN (SELECT key FROM dag_run WHERE dag_id = $1)",
    "DELETE FROM task_try WHERE run IN (SELECT key FROM dag_run WHERE dag_id = $1)",
    "DELETE FROM task_instance WHERE run IN (SELECT key FROM dag_run WHERE dag_id = $1)",
    "DELETE FROM run_asset_event WHERE run IN (SELECT key FROM dag_run WHERE dag_id = $1)",
    "DELETE FROM deadline WHERE run IN (SELECT key FROM dag_run WHERE dag_id = $1)",
    "DELETE FROM trigger WHERE dag_id = $1",
    "DELETE FROM callback WHERE dag_id = $1",
    "DELETE FROM backfill_run WHERE backfill IN (SELECT id FROM backfill WHERE dag_id = $1)",
    "DELETE FROM backfill WHERE dag_id = $1",
    "DELETE FROM definition_task WHERE definition IN
         (SELECT definition FROM dag_run WHERE dag_id = $1 UNION SELECT definition FROM dag WHERE dag_id = $1)",
    "DELETE FROM dag_definition WHERE definition IN
         (SELECT definition FROM dag_run WHERE dag_id = $1 UNION SELECT definition FROM dag WHERE dag_id = $1)",
    "DELETE FROM pinned_definition WHERE dag_id = $1",
    "DELETE FROM dag_run WHERE dag_id = $1",
    "DELETE FROM dag_progress WHERE dag_id = $1",
    "DELETE FROM dag_tag WHERE dag_id = $1",
    "DELETE FROM asset_use WHERE dag_id = $1",
    "DELETE FROM asset_queue WHERE dag_id = $1",
    "DELETE FROM import_error WHERE dag_id = $1
         AND bundle = (SELECT bundle FROM dag WHERE dag.dag_id = $1)",
    "DELETE FROM dag WHERE dag_id = $1",
];

const UNFINISHED: &str =
    "SELECT COUNT(*) FROM dag_run WHERE dag_id = $1 AND state IN ('queued', 'running')";

/// Refuses while runs of the DAG are under way, and when there is none of that name.
fn idle(dag_id: &DagId, exists: bool, unfinished: i64) -> Result<(), StoreError> {
    match (exists, unfinished) {
        (false, _) => Err(StoreError::NotFound(format!("the DAG `{dag_id}`"))),
        (true, 0) => Ok(()),
        (true, runs) => Err(StoreError::Refused(format!(
            "the DAG `{dag_id}` has {runs} unfinished runs; pause it and let them end, or mark them as failed first"
        ))),
    }
}

/// Looks whether a DAG is idle, with its row held by this transaction.
macro_rules! check_idle {
    ($dag_id:expr, $db:ident) => {{
        let dag_id: &DagId = $dag_id;
        let held = sqlx::query("UPDATE dag SET is_stale = is_stale WHERE dag_id = $1")
            .bind(dag_id.as_str())
            .execute(&mut *$db)
            .await?;
        let unfinished: i64 = sqlx::query_scalar(UNFINISHED)
            .bind(dag_id.as_str())
            .fetch_one(&mut *$db)
            .await?;
        idle(dag_id, held.rows_affected() > 0, unfinished)?;
    }};
}

impl Store {
    pub(super) async fn remove_dag(&self, dag_id: &DagId) -> Result<(), StoreError> {
        write!(self, db => {
            check_idle!(dag_id, db);
            for statement in OF_DAG {
                sqlx::query(statement).bind(dag_id.as_str()).execute(&mut *db).await?;
            }
            Ok(())
        })
    }

    pub(super) async fn give_dag(
        &self,
        dag_id: &DagId,
        bundle: &BundleName,
        team: &TeamName,
    ) -> Result<(), StoreError> {
        write!(self, db => {
            check_idle!(dag_id, db);
            sqlx::query("DELETE FROM asset_use WHERE dag_id = $1")
                .bind(dag_id.as_str())
                .execute(&mut *db)
                .await?;
            sqlx::query("DELETE FROM asset_queue WHERE dag_id = $1")
                .bind(dag_id.as_str())
                .execute(&mut *db)
                .await?;
            // Its watchers are the old bundle's code, and so is what would hear of missed deadlines.
            sqlx::query("DELETE FROM trigger WHERE dag_id = $1")
                .bind(dag_id.as_str())
                .execute(&mut *db)
                .await?;
            sqlx::query("DELETE FROM deadline WHERE dag_id = $1 AND missed_at IS NULL")
                .bind(dag_id.as_str())
                .execute(&mut *db)
                .await?;
            sqlx::query("UPDATE dag SET bundle = $2, team = $3, is_stale = TRUE WHERE dag_id = $1")
                .bind(dag_id.as_str())
                .bind(bundle.as_str())
                .bind(team.as_str())
                .execute(&mut *db)
                .await?;
            Ok(())
        })
    }
}
