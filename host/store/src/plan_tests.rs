//! The plans of what the scheduler asks, without statistics: a query that is fast on a young database and
//! scans an old one is found here, not by an operator.

use sqlx::{AssertSqlSafe, Row};

use crate::{
    assets, callbacks, database::Database, deadlines, runs, server, sqlite::Sqlite, triggers, xcoms,
};

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
    // Indices that hold just what is asked for, however much there is beside it.
    let wanted = [
        "dag_run_unfinished",
        "deadline_ahead",
        "callback_unexecuted",
    ];
    let all = wanted.iter().any(|index| step.contains(index));
    (step.starts_with("SCAN ") && !parameters && !all) || step.contains("TEMP B-TREE")
}

/// A database that nobody has used, in a folder of its own.
async fn young() -> (tempfile::TempDir, Sqlite) {
    let home = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", home.path().join("airlock.db").display());
    let database = Database::open(&url).await.unwrap();
    database.migrate().await.unwrap();
    match database {
        Database::Sqlite(file) => (home, file),
        Database::Postgres { .. } => unreachable!(),
    }
}

#[tokio::test]
async fn nothing_that_the_scheduler_asks_scans_what_has_ended() {
    let (_home, file) = young().await;
    let statements = [
        runs::plans::sqlite(),
        xcoms::plans(),
        assets::plans(),
        assets::sqlite_plans(),
        triggers::sqlite_plans(),
        callbacks::sqlite_plans(),
        deadlines::sqlite_plans(),
    ];
    for statement in statements.concat() {
        let steps = plan(&file, statement).await;
        let slow: Vec<&String> = steps.iter().filter(|step| is_slow(step)).collect();
        assert!(slow.is_empty(), "{statement}\n{steps:#?}");
    }
}

/// It looks at all that live DAGs wait for, and at no more of the events and runs than are new.
#[tokio::test]
async fn a_restart_asks_for_what_assets_have_new() {
    let (_home, file) = young().await;
    let steps = plan(&file, assets::UNCONSUMED).await;
    for wanted in [
        "SEARCH e USING COVERING INDEX asset_event_of_asset (team=? AND name=? AND at>?)",
        "SEARCH r USING COVERING INDEX run_asset_event_of_event (event=?)",
        "SEARCH d USING COVERING INDEX dag_run_by_assets (dag_id=?)",
    ] {
        assert!(steps.iter().any(|step| step == wanted), "{steps:#?}");
    }
    let scanned = |step: &&String| step.starts_with("SCAN") && !step.starts_with("SCAN u");
    let scanned: Vec<_> = steps.iter().filter(scanned).collect();
    assert_eq!(scanned, ["SCAN w"]);
}

/// PostgreSQL plans a prepared statement once, possibly while the tables are empty, and goes on with that plan
/// when they hold millions of rows. So the plan for an empty table is the one to look at.
#[tokio::test]
async fn a_plan_made_on_a_young_postgres_serves_an_old_one() {
    let Some(schema) = server::Schema::create().await else {
        return;
    };
    let database = Database::open(&schema.url()).await.unwrap();
    database.migrate().await.unwrap();
    let Database::Postgres { pool, .. } = &database else {
        unreachable!()
    };
    let mut connection = pool.acquire().await.unwrap();
    let generic = "SET plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(generic)
        .execute(&mut *connection)
        .await
        .unwrap();
    let mut slow = Vec::new();
    let statements = [
        runs::plans::postgres(),
        xcoms::plans(),
        assets::plans(),
        assets::postgres_plans(),
        triggers::postgres_plans(),
        callbacks::postgres_plans(),
        deadlines::postgres_plans(),
    ];
    for statement in statements.concat() {
        let prepare = AssertSqlSafe(format!("PREPARE looked_at AS {statement}"));
        sqlx::raw_sql(prepare)
            .execute(&mut *connection)
            .await
            .unwrap_or_else(|e| panic!("{statement}\n{e}"));
        let parameters = (1..=9)
            .filter(|n| statement.contains(&format!("${n}")))
            .count();
        let nulls = match parameters {
            0 => String::new(),
            n => format!("({})", vec!["NULL"; n].join(", ")),
        };
        let explain = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) EXECUTE looked_at{nulls}"));
        let steps: Vec<String> = sqlx::query_scalar(explain)
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        // Who asks for the first of many must not sort them all to find it.
        let first = statement.contains("LIMIT").then_some("Sort");
        let scans = |step: &String| {
            ["Seq Scan", "Hash Join", "Hash Anti Join", "Merge"]
                .into_iter()
                .chain(first)
                .any(|s| step.contains(s))
        };
        if steps.iter().any(scans) {
            slow.push(format!("{statement}\n{steps:#?}"));
        }
        sqlx::raw_sql("DEALLOCATE looked_at")
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    drop(connection);
    database.close().await;
    schema.drop().await;
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}
