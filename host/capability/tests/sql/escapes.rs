//! Statements that want out: of read-only, of their transaction, of the database.

use airlock_grant::port::sql::{Databases as _, SqlError, Value};
use airlock_model::connection::Connection;

use crate::{PASSWORD, World, all, as_owner, permit, statement};

#[tokio::test]
async fn nothing_leaves_a_read_only_connection() {
    for (kind, world) in World::both().await {
        world.execute("create table t (a int)").await.unwrap();
        world.extra("{\"read_only\": true}");
        let tries = [
            "insert into t values (1)",
            "update t set a = 1",
            "create table u (a int)",
            "drop table t",
            "with x as (select 1) insert into t select 1",
            "set transaction read write",
            "set session characteristics as transaction read write",
            "commit",
            "/* /* */ */ commit",
            "pragma query_only = off",
            "begin read write",
        ];
        let only_postgres = [
            "with x as (insert into t values (1) returning a) select * from x",
            "with x as (delete from t returning a) select * from x",
            "select set_config('transaction_read_only', 'off', false)",
            "select set_config('transaction_read_only', 'off', true)",
            "explain analyze insert into t values (1)",
            "truncate t",
            "select nextval('s')",
            "alter table t add column b int",
        ];
        let only = only_postgres.into_iter().filter(|_| kind == "postgres");
        for text in tries.into_iter().chain(only) {
            assert!(world.query(text).await.is_err(), "{kind}: {text}");
            let mut transaction = world
                .databases
                .begin(permit("db"), world.limits)
                .await
                .unwrap();
            let done = transaction.execute(permit("db"), statement(text, [])).await;
            assert!(done.is_err(), "{kind}: {text}");
        }
        if kind == "postgres" {
            // What is only remembered for the next transaction is forgotten before that.
            let off = "select set_config('default_transaction_read_only', 'off', false)";
            for _ in 0..3 {
                world.query(off).await.unwrap();
                let done = world.execute("insert into t values (1)").await;
                assert!(done.is_err());
            }
            let mut transaction = world
                .databases
                .begin(permit("db"), world.limits)
                .await
                .unwrap();
            let rows = transaction
                .query(permit("db"), statement(off, []))
                .await
                .unwrap();
            all(rows).await.unwrap();
            let insert = statement("insert into t values (1)", []);
            assert!(transaction.execute(permit("db"), insert).await.is_err());
        }
        assert_eq!(
            world.value("select count(*) from t").await,
            Value::Integer(0),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_transaction_ends_only_by_the_hosts_word_and_a_failed_one_does_not_pass_for_done() {
    let world = World::postgres().await;
    world.execute("create table t (a int)").await.unwrap();
    let mut transaction = world
        .databases
        .begin(permit("db"), world.limits)
        .await
        .unwrap();
    let insert = || statement("insert into t values (1)", []);
    transaction.execute(permit("db"), insert()).await.unwrap();
    for text in [
        "commit",
        ";commit",
        "end",
        "rollback",
        "savepoint a",
        "prepare transaction 'x'",
        "/**/ commit and chain",
        "abort",
        "select 1; commit",
    ] {
        let done = transaction.execute(permit("db"), statement(text, [])).await;
        assert!(done.is_err(), "{text}");
    }
    // The last of these was the server's to refuse, and so ended the transaction.
    let error = transaction.commit(permit("db")).await.unwrap_err();
    assert!(matches!(error, SqlError::Lost), "{error}");
    assert_eq!(
        world.value("select count(*) from t").await,
        Value::Integer(0)
    );
}

#[tokio::test]
async fn programs_files_code_and_other_roles_are_out_of_reach() {
    let world = World::postgres().await;
    for text in [
        "copy (select 1) to program 'id'",
        "copy (select 1) to stdout",
        "do $$ begin perform 1; end $$",
        "create function f() returns int language sql as 'select 1'",
        "create extension dblink",
        "select pg_read_file('/etc/passwd')",
        "select pg_ls_dir('/')",
        "select lo_import('/etc/passwd')",
        "alter role current_user password 'x'",
        "select query_to_xml('alter role current_user password ''x''', true, true, '')",
        "set role airlock",
        "select set_config('role', 'airlock', false)",
        "select set_config('session_authorization', 'airlock', false)",
        "select * from pg_authid",
        "grant all on schema public to public",
    ] {
        assert!(world.query(text).await.is_err(), "{text}");
    }
}

#[tokio::test]
async fn sqlite_opens_its_own_file_and_no_other() {
    let world = World::sqlite();
    world.execute("create table t (a int)").await.unwrap();
    for text in [
        "attach '/tmp/other.db' as other",
        "select 1; attach '/tmp/other.db' as other",
        "vacuum into '/tmp/other.db'",
        "pragma journal_mode = off",
        "select load_extension('x')",
        "create virtual table v using fts5(a)",
        "create trigger g after insert on t begin select 1; end",
        "insert into sqlite_schema values ('table', 'x', 'x', 1, 'create table x(a)')",
    ] {
        assert!(world.query(text).await.is_err(), "{text}");
    }
    let opened = |schema: String, extra: &str| {
        world.set(Connection {
            schema: Some(schema),
            ..world.get()
        });
        world.extra(extra);
        world.query("select 1")
    };
    let home = world.file("home/airlock.db");
    std::fs::write(&home, "").unwrap();
    let link = world.file("link.db");
    std::os::unix::fs::symlink(&home, &link).unwrap();
    let folder = world.file("folder");
    std::os::unix::fs::symlink(world.file("home"), &folder).unwrap();
    let nowhere = world.file("nowhere.db");
    std::os::unix::fs::symlink(world.file("home/new.db"), &nowhere).unwrap();
    for path in [
        home.clone(),
        world.file("home/new.db"),
        link,
        folder.join("airlock.db"),
        folder.join("new.db"),
        nowhere,
        world.file("other/../home/airlock.db"),
        "relative.db".into(),
        ":memory:".into(),
        "".into(),
    ] {
        let path = path.to_str().unwrap().to_owned();
        for extra in ["", "{\"read_only\": true}"] {
            let error = opened(path.clone(), extra).await.err();
            let error = error.unwrap_or_else(|| panic!("{path}"));
            assert!(
                matches!(error, SqlError::Settings { .. }),
                "{path}: {error}"
            );
        }
    }
    let missing = world.file("missing.db").to_str().unwrap().to_owned();
    assert!(opened(missing, "{\"read_only\": true}").await.is_err());
    assert!(!world.file("missing.db").exists());
}

#[tokio::test]
async fn a_login_that_may_do_more_than_reach_rows_is_not_used() {
    let world = World::postgres().await;
    let role = world.get().login.unwrap();
    assert!(world.query("select 1").await.is_ok());
    for more in [
        "pg_execute_server_program",
        "pg_read_server_files",
        "pg_write_server_files",
    ] {
        // A connection that was changed has sessions of its own.
        world.extra(&format!("{{\"try\": \"{more}\"}}"));
        as_owner(&format!("grant {more} to {role}")).await;
        let error = world.query("select 1").await.unwrap_err();
        assert!(matches!(error, SqlError::Role { .. }), "{error}");
        as_owner(&format!("revoke {more} from {role}")).await;
    }
    as_owner(&format!("alter role {role} superuser")).await;
    world.extra("{}");
    let error = world.query("select 1").await.unwrap_err();
    assert!(matches!(error, SqlError::Role { .. }), "{error}");
    world.extra("{\"allow_superuser\": true}");
    assert!(world.query("select 1").await.is_ok());
}

#[tokio::test]
async fn a_password_stands_in_no_error_also_where_the_guest_brings_it_there() {
    let world = World::postgres().await;
    let error = world
        .query(&format!("select '{PASSWORD}'::int"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("***"), "{error}");
    let good = world.get();
    for bad in [
        Connection {
            host: Some(format!("/nowhere/{PASSWORD}")),
            ..good.clone()
        },
        Connection {
            host: Some("127.0.0.1".into()),
            port: Some(1),
            ..good.clone()
        },
        Connection {
            login: Some("nobody".into()),
            ..good.clone()
        },
        Connection {
            schema: Some("nothing".into()),
            ..good.clone()
        },
        Connection {
            host: None,
            ..good.clone()
        },
        Connection {
            login: None,
            ..good
        },
    ] {
        world.set(bad);
        let error = world.query("select 1").await.unwrap_err();
        assert!(
            matches!(
                error,
                SqlError::Unreachable { .. } | SqlError::Settings { .. }
            ),
            "{error}"
        );
    }
    world.extra(&format!("{{\"sslmode\": \"{PASSWORD}\"}}"));
    assert!(world.query("select 1").await.is_err());
    world.extra(&format!("{{\"read_only\": \"{PASSWORD}\"}}"));
    assert!(world.query("select 1").await.is_err());
}
