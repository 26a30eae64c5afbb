//! Who has which session, and what is left of it.

use std::time::Duration;

use airlock_grant::port::sql::{Databases as _, SqlError, Value};
use airlock_model::connection::Connection;

use crate::{World, permit, statement};

#[tokio::test]
async fn a_session_is_lent_again_and_has_forgotten_everything() {
    let world = World::postgres().await;
    let process = world.value("select pg_backend_pid()").await;
    let mut same = 0;
    for _ in 0..50 {
        world
            .query("select set_config('application_name', 'mine', false)")
            .await
            .unwrap();
        world
            .execute("create temp table mine (a int)")
            .await
            .unwrap();
        world.query("select pg_advisory_lock(1)").await.unwrap();
        assert_ne!(
            world
                .value("select current_setting('application_name')")
                .await,
            Value::Text("mine".into())
        );
        assert!(world.query("select * from mine").await.is_err());
        let locks =
            "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";
        assert_eq!(world.value(locks).await, Value::Integer(0));
        same += usize::from(world.value("select pg_backend_pid()").await == process);
    }
    assert!(same > 0, "a session is used more than once");
}

#[tokio::test]
async fn a_connection_that_was_changed_has_sessions_of_its_own() {
    let world = World::postgres().await;
    let process = world.value("select pg_backend_pid()").await;
    world.extra("{\"read_only\": true}");
    for _ in 0..10 {
        assert_ne!(world.value("select pg_backend_pid()").await, process);
    }
    world.set(Connection {
        login: Some("nobody".into()),
        ..world.get()
    });
    assert!(world.query("select 1").await.is_err());
}

#[tokio::test]
async fn a_team_has_so_many_sessions_and_no_more() {
    for (kind, template) in World::both().await {
        let mut world = World::with(template.get(), 2);
        world.limits.wait = Duration::from_millis(300);
        let begun = || world.databases.begin(permit("db"), world.limits);
        world.extra("{\"read_only\": true}");
        if kind == "sqlite" {
            template.execute("create table t (a int)").await.unwrap();
        }
        let (first, second) = (begun().await.unwrap(), begun().await.unwrap());
        let error = begun().await.err().unwrap();
        assert!(
            matches!(error, SqlError::Busy { most: 2, .. }),
            "{kind}: {error}"
        );
        first.rollback(permit("db")).await.unwrap();
        let mut third = begun().await.unwrap();
        let one = statement("select 1", []);
        assert!(third.query(permit("db"), one).await.is_ok(), "{kind}");
        drop((second, third));
    }
}
