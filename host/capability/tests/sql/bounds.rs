//! Floods of rows and bytes, and statements without an end.

use std::time::Duration;

use airlock_grant::port::sql::{Databases as _, SqlError, Value};

use crate::{World, all, permit, statement};

const ENDLESS: &str =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
const MANY: &str = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000) select i from n";

#[tokio::test]
async fn many_rows_come_in_batches_of_the_size_that_was_asked_for() {
    for (kind, world) in World::both().await {
        let mut rows = world.rows(MANY, []).await.unwrap();
        let mut sum = 0;
        loop {
            let next = rows.next(permit("db"), 700).await.unwrap();
            assert!(next.len() <= 700, "{kind}");
            if next.is_empty() {
                break;
            }
            sum += next.len();
        }
        assert_eq!(sum, 3000, "{kind}");
        assert!(rows.next(permit("db"), 1).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn floods_of_rows_and_bytes_meet_a_bound() {
    for (kind, mut world) in World::both().await {
        world.limits.rows = 1500;
        let rows = world.rows(MANY, []).await.unwrap();
        let error = all(rows).await.unwrap_err();
        assert!(
            matches!(error, SqlError::TooLarge { limit: 1500, .. }),
            "{kind}: {error}"
        );

        world.limits.value_bytes = 1000;
        let wide = "select replace('xxxxxxxxxx', 'x', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy')";
        let error = world.query(wide).await.unwrap_err();
        assert!(
            matches!(error, SqlError::TooLarge { limit: 1000, .. }),
            "{kind}: {error}"
        );

        world.limits.value_bytes = 16 << 20;
        world.limits.batch_bytes = 100;
        let mut rows = world
            .rows("values ($1), ($1), ($1)", [Value::Text("z".repeat(90))])
            .await
            .unwrap();
        for _ in 0..3 {
            assert_eq!(
                rows.next(permit("db"), 10).await.unwrap().len(),
                1,
                "{kind}"
            );
        }
    }
}

#[tokio::test]
async fn a_query_that_never_ends_is_ended_on_its_server() {
    for (kind, mut world) in World::both().await {
        world.limits.statement = Duration::from_millis(200);
        let error = world.query(ENDLESS).await.unwrap_err();
        assert!(matches!(error, SqlError::Timeout { .. }), "{kind}: {error}");
        let error = world.execute(ENDLESS).await.unwrap_err();
        assert!(matches!(error, SqlError::Timeout { .. }), "{kind}: {error}");
        let mut transaction = world
            .databases
            .begin(permit("db"), world.limits)
            .await
            .unwrap();
        let error = transaction
            .execute(permit("db"), statement(ENDLESS, []))
            .await
            .unwrap_err();
        assert!(matches!(error, SqlError::Timeout { .. }), "{kind}: {error}");
        let error = transaction.commit(permit("db")).await.unwrap_err();
        assert!(matches!(error, SqlError::Lost), "{kind}: {error}");
    }
}

/// How many sessions of this role do something, as somebody else sees them.
async fn running(world: &World) -> Value {
    let role = world.get().login.unwrap();
    let seen = format!(
        "select count(*) from pg_stat_activity where usename = '{role}' and state = 'active' and query like '%pg_sleep%' and pid <> pg_backend_pid()"
    );
    world.value(&seen).await
}

#[tokio::test]
async fn a_query_that_nobody_waits_for_any_more_is_ended_on_its_server() {
    let world = World::postgres().await;
    // It takes the server's own time-out away, which the host does not rely on.
    let endless = "select set_config('statement_timeout', '0', false), pg_sleep(1000)";
    let databases = world.databases.clone();
    let limits = world.limits;
    let waiting = tokio::spawn(async move {
        databases
            .execute(permit("db"), statement(endless, []), limits)
            .await
    });
    while running(&world).await != Value::Integer(1) {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    while running(&world).await != Value::Integer(0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn rows_that_nobody_reads_on_end_their_query_and_free_their_session() {
    let world = World::postgres().await;
    for _ in 0..20 {
        let endless = "select generate_series(1, 100000000000)";
        let mut rows = world.rows(endless, []).await.unwrap();
        assert_eq!(rows.next(permit("db"), 5).await.unwrap().len(), 5);
    }
    let role = world.get().login.unwrap();
    let seen = format!(
        "select count(*) from pg_stat_activity where usename = '{role}' and state = 'active' and query like '%generate_series%' and pid <> pg_backend_pid()"
    );
    while world.value(&seen).await != Value::Integer(0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_limit_of_its_own_server_that_a_guest_takes_away_is_the_hosts_all_the_same() {
    let mut world = World::postgres().await;
    world.limits.statement = Duration::from_millis(200);
    let mut transaction = world
        .databases
        .begin(permit("db"), world.limits)
        .await
        .unwrap();
    let free = statement("select set_config('statement_timeout', '0', false)", []);
    let rows = transaction.query(permit("db"), free).await.unwrap();
    all(rows).await.unwrap();
    let sleep = statement("select pg_sleep(1000)", []);
    let error = transaction.execute(permit("db"), sleep).await.unwrap_err();
    assert!(matches!(error, SqlError::Timeout { .. }), "{error}");
}
