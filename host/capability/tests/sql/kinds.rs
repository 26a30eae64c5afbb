//! The types of values, and the kinds of connections.

use airlock_grant::port::sql::{SqlError, Value};

use crate::{World, connection};

#[tokio::test]
async fn every_type_of_postgresql_that_has_a_form_comes_and_goes() {
    let world = World::postgres().await;
    let table = "create table t (a boolean, b smallint, c integer, d bigint, e real, f double precision, g numeric(20, 4), \
        h text, i varchar(9), j bytea, k date, l time, m timestamp, n timestamptz, o uuid, p json, q jsonb, r char(3))";
    world.execute(table).await.unwrap();
    let row = vec![
        Value::Boolean(true),
        Value::Integer(-2),
        Value::Integer(3),
        Value::Integer(i64::MIN),
        Value::Real(0.5),
        Value::Real(-1e300),
        Value::Decimal("-1234567.5000".into()),
        Value::Text("a\nb".into()),
        Value::Text("c".into()),
        Value::Bytes(vec![1, 0, 2]),
        Value::Date(15_370),
        Value::Time(1),
        Value::Datetime(-1),
        Value::Timestamp(1_700_000_000_000_001),
        Value::Uuid("0193f0c0-0000-7000-8000-000000000001".into()),
        Value::Json("{\"a\": 1}".into()),
        Value::Json("{\"a\": 1}".into()),
        Value::Text("xyz".into()),
    ];
    let marks: Vec<String> = (1..=row.len()).map(|at| format!("${at}")).collect();
    let insert = format!("insert into t values ({})", marks.join(", "));
    assert_eq!(world.execute_with(&insert, row.clone()).await.unwrap(), 1);
    assert_eq!(
        world.query("select * from t").await.unwrap(),
        std::slice::from_ref(&row)
    );
    let nothing = vec![Value::Null; row.len()];
    assert_eq!(world.execute_with(&insert, nothing).await.unwrap(), 1);
    // As its own text, the server sees the same.
    let told = "select k::text, m::text, g::text from t where a";
    let told = world.query(told).await.unwrap();
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(
        told,
        [[
            text("2012-01-31"),
            text("1969-12-31 23:59:59.999999"),
            text("-1234567.5000")
        ]]
    );

    world
        .execute("create type mood as enum ('good', 'bad')")
        .await
        .unwrap();
    assert_eq!(world.value("select 'bad'::mood").await, text("bad"));
    for odd in [
        "array[1]",
        "'infinity'::timestamp",
        "'1 day'::interval",
        "row(1)",
        "'-infinity'::date",
        "'1.1.1.1'::inet",
    ] {
        let error = world
            .query(&format!("select {odd} as odd"))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, SqlError::Type { column, .. } if column == "odd"),
            "{odd}: {error}"
        );
        assert!(matches!(
            world.value(&format!("select ({odd})::text")).await,
            Value::Text(_)
        ));
    }
    for wrong in [
        Value::Decimal("x".into()),
        Value::Uuid("x".into()),
        Value::Text("\0".into()),
        Value::Date(i32::MIN),
    ] {
        let error = world.query_with("select $1", [wrong]).await.unwrap_err();
        assert!(
            matches!(error, SqlError::Parameter { at: 1, .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn sqlite_keeps_times_as_texts_that_its_functions_understand() {
    let world = World::sqlite();
    let row = [
        Value::Date(15_370),
        Value::Time(1_000_000),
        Value::Datetime(0),
        Value::Timestamp(1_500_000),
        Value::Decimal("1.50".into()),
    ];
    let rows = world
        .query_with("select $1, $2, $3, datetime($4), $5", row)
        .await
        .unwrap();
    let text = |text: &str| Value::Text(text.into());
    let wanted = [
        "2012-01-31",
        "00:00:01",
        "1970-01-01 00:00:00",
        "1970-01-01 00:00:01",
        "1.50",
    ];
    assert_eq!(rows, [wanted.map(text)]);
    let error = world
        .query_with("select $1", [Value::Time(-1)])
        .await
        .unwrap_err();
    assert!(
        matches!(error, SqlError::Parameter { at: 1, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_connection_of_another_kind_is_no_database_and_one_that_is_not_there_is_said_to_be_so() {
    let world = World::new(connection("http"));
    let error = world.query("select 1").await.unwrap_err();
    assert!(
        matches!(&error, SqlError::Kind { kind, .. } if kind == "http"),
        "{error}"
    );
    let missing = World::new(airlock_model::connection::Connection {
        id: airlock_model::id::ConnectionId::new("other").unwrap(),
        ..connection("postgres")
    });
    let error = missing.query("select 1").await.unwrap_err();
    assert!(matches!(error, SqlError::Unknown { .. }), "{error}");
}
