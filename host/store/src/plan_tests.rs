//! The plans of what the scheduler asks, on SQLite and without statistics: a query that is fast on a young
//! database and scans an old one is found here, not by an operator.

use sqlx::{AssertSqlSafe, Row};

use crate::{runs, sqlite::Sqlite, xcoms};

async fn plan(file: &Sqlite, statement: &'static str) -> Vec<String> {
    sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")))
        .fetch_all(file.readers())
        .await
        .unwrap_or_else(|e| panic!("{statement}\n{e}"))
        .iter()
        .map(|row| row.get("detail"))
        .collect()
}

/// A step that looks at every row of a table or of a full index, or sorts.
fn is_slow(step: &str) -> bool {
    let parameters =
        step.contains("VIRTUAL TABLE") || step == "SCAN r" || step == "SCAN CONSTANT ROW";
    let unfinished = step.contains("dag_run_unfinished");
    (step.starts_with("SCAN ") && !parameters && !unfinished) || step.contains("TEMP B-TREE")
}

#[tokio::test]
async fn nothing_that_the_scheduler_asks_scans_what_has_ended() {
    let home = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", home.path().join("airlock.db").display());
    let database = crate::database::Database::open(&url).await.unwrap();
    database.migrate().await.unwrap();
    let crate::database::Database::Sqlite(file) = &database else {
        unreachable!()
    };
    let statements = [runs::commit_plans(), runs::read_plans(), xcoms::plans()].concat();
    for statement in statements {
        let steps = plan(file, statement).await;
        let slow: Vec<&String> = steps.iter().filter(|step| is_slow(step)).collect();
        assert!(slow.is_empty(), "{statement}\n{steps:#?}");
    }
}
