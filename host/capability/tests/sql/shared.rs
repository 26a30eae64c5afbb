//! What holds of every database.

use airlock_grant::port::sql::{Databases as _, SqlError, Value};

use crate::{World, all, permit, statement};

#[tokio::test]
async fn rows_are_written_with_parameters_and_read_back_typed() {
    for (kind, world) in World::both().await {
        let table = "create table weather (day integer, city text, warm boolean, temp double precision, raw bytea)";
        let table = if kind == "sqlite" {
            table.replace("bytea", "blob")
        } else {
            table.to_owned()
        };
        assert_eq!(world.execute(&table).await.unwrap(), 0);
        let row = vec![
            Value::Integer(7),
            Value::Text("it's; $1 -- Zürich".into()),
            Value::Boolean(true),
            Value::Real(1.5),
            Value::Bytes(vec![0, 255]),
        ];
        let insert = "insert into weather values ($1, $2, $3, $4, $5)";
        assert_eq!(world.execute_with(insert, row.clone()).await.unwrap(), 1);
        let nothing = vec![Value::Null; 5];
        assert_eq!(
            world.execute_with(insert, nothing.clone()).await.unwrap(),
            1
        );
        let read = world
            .query("select * from weather order by day nulls last")
            .await;
        assert_eq!(read.unwrap(), [row, nothing], "{kind}");
        let wanted = "select city from weather where day >= $1";
        let found = world.query_with(wanted, [Value::Integer(7)]).await.unwrap();
        assert_eq!(found.len(), 1, "{kind}");
        let none = world
            .rows("select day, city from weather where 1 = 0", [])
            .await
            .unwrap();
        let names: Vec<_> = none.columns().iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["day", "city"], "{kind}: columns of no rows");
        assert_eq!(all(none).await.unwrap(), Vec::<Vec<Value>>::new());
    }
}

#[tokio::test]
async fn a_transaction_is_permanent_once_committed_and_not_before() {
    for (kind, world) in World::both().await {
        world.execute("create table t (a int)").await.unwrap();
        let begun = || world.databases.begin(permit("db"), world.limits);
        let insert = || statement("insert into t values ($1)", [Value::Integer(1)]);

        let mut transaction = begun().await.unwrap();
        assert_eq!(
            transaction.execute(permit("db"), insert()).await.unwrap(),
            1
        );
        assert_eq!(
            world.value("select count(*) from t").await,
            Value::Integer(0)
        );
        transaction.commit(permit("db")).await.unwrap();
        assert_eq!(
            world.value("select count(*) from t").await,
            Value::Integer(1)
        );

        let mut transaction = begun().await.unwrap();
        transaction.execute(permit("db"), insert()).await.unwrap();
        transaction.rollback(permit("db")).await.unwrap();
        assert_eq!(
            world.value("select count(*) from t").await,
            Value::Integer(1)
        );

        let mut transaction = begun().await.unwrap();
        transaction.execute(permit("db"), insert()).await.unwrap();
        drop(transaction);
        // Who comes next waits for what the one before still holds.
        let mut transaction = begun().await.unwrap();
        let count = statement("select count(*) from t", []);
        let rows = transaction.query(permit("db"), count).await.unwrap();
        assert_eq!(all(rows).await.unwrap(), [[Value::Integer(1)]], "{kind}");
    }
}

#[tokio::test]
async fn a_transaction_gives_one_answer_at_a_time() {
    for (kind, world) in World::both().await {
        world.execute("create table t (a int)").await.unwrap();
        let mut transaction = world
            .databases
            .begin(permit("db"), world.limits)
            .await
            .unwrap();
        let many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000) select i from n";
        let mut rows = transaction
            .query(permit("db"), statement(many, []))
            .await
            .unwrap();
        assert_eq!(rows.next(permit("db"), 3).await.unwrap().len(), 3);
        let insert = || statement("insert into t values (1)", []);
        let error = transaction
            .execute(permit("db"), insert())
            .await
            .unwrap_err();
        assert!(matches!(error, SqlError::RowsOpen), "{kind}: {error}");
        drop(rows);
        assert_eq!(
            transaction.execute(permit("db"), insert()).await.unwrap(),
            1
        );
        transaction.commit(permit("db")).await.unwrap();
        assert_eq!(
            world.value("select count(*) from t").await,
            Value::Integer(1)
        );
    }
}

#[tokio::test]
async fn what_the_database_refuses_comes_in_its_own_words() {
    for (kind, world) in World::both().await {
        world
            .execute("create table t (a int primary key)")
            .await
            .unwrap();
        world.execute("insert into t values (1)").await.unwrap();
        let error = world.execute("insert into t values (1)").await.unwrap_err();
        let SqlError::Database(failure) = &error else {
            panic!("{kind}: {error}")
        };
        let code = if kind == "sqlite" { "1555" } else { "23505" };
        assert_eq!(failure.code.as_deref(), Some(code));
        assert!(!failure.retry);
        let error = world.query("select a from nowhere").await.err().unwrap();
        assert!(error.to_string().contains("nowhere"), "{error}");
        // The session was good after all of it.
        assert_eq!(
            world.value("select count(*) from t").await,
            Value::Integer(1)
        );
    }
}

#[tokio::test]
async fn a_permit_for_another_connection_opens_neither_rows_nor_transaction() {
    let world = World::sqlite();
    let mut transaction = world
        .databases
        .begin(permit("db"), world.limits)
        .await
        .unwrap();
    let one = || statement("select 1", []);
    let mut rows = transaction.query(permit("db"), one()).await.unwrap();
    assert!(matches!(
        rows.next(permit("other"), 1).await,
        Err(SqlError::Lost)
    ));
    drop(rows);
    let done = transaction.execute(permit("other"), one()).await;
    assert!(matches!(done, Err(SqlError::Lost)));
    assert!(transaction.commit(permit("other")).await.is_err());
}
