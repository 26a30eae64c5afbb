//! Statements of tasks, answered by a test.

use std::{cell::RefCell, rc::Rc};

use jiff::{Timestamp, civil};
use serde::Deserialize;

use super::*;
use crate::testing::{self, SqlAnswer};

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sky {
    Clear,
    Grey,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Daily {
    day: civil::Date,
    at: Timestamp,
    local: civil::DateTime,
    noon: civil::Time,
    temp: Option<f64>,
    price: f64,
    exact: String,
    warm: bool,
    sky: Sky,
    tags: Vec<String>,
    raw: Vec<u8>,
}

#[test]
fn rows_are_structs_tuples_or_single_values_of_the_authors_types() {
    let values = || {
        [
            Value::Date(15_370),
            Value::Timestamp(1_000_000),
            Value::Datetime(1),
            Value::Time(43_200_000_000),
            Value::Null,
            Value::Decimal("1.50".into()),
            Value::Decimal("1.50".into()),
            Value::Integer(1),
            Value::Text("grey".into()),
            Value::Json("[\"a\"]".into()),
            Value::Bytes(vec![1, 2]),
        ]
    };
    let names = [
        "day", "at", "local", "noon", "temp", "price", "exact", "warm", "sky", "tags", "raw",
    ];
    testing::database("db", move |_, _| Ok(SqlAnswer::rows(names, [values()])));
    let db = database("db").unwrap();
    let row: Daily = db.query("select").fetch_one().unwrap();
    let wanted = Daily {
        day: civil::date(2012, 1, 31),
        at: Timestamp::from_second(1).unwrap(),
        local: civil::datetime(1970, 1, 1, 0, 0, 0, 1_000),
        noon: civil::time(12, 0, 0, 0),
        temp: None,
        price: 1.5,
        exact: "1.50".into(),
        warm: true,
        sky: Sky::Grey,
        tags: vec!["a".into()],
        raw: vec![1, 2],
    };
    assert_eq!(row, wanted);

    let pair = [Value::Integer(7), Value::Text("x".into())];
    testing::database("db", move |_, _| {
        Ok(SqlAnswer::rows(["a", "b"], [pair.clone()]))
    });
    let row: (i64, String) = db.query("select").fetch_one().unwrap();
    assert_eq!(row, (7, "x".to_owned()));
    let error = db.query("select").fetch::<i64>().unwrap_err();
    assert!(error.to_string().contains("columns a, b"), "{error}");

    let many = || (0..2500).map(|at| [Value::Integer(at)]);
    testing::database("db", move |_, _| Ok(SqlAnswer::rows(["n"], many())));
    let sum: i64 = db
        .query("select")
        .rows::<i64>()
        .unwrap()
        .map(Result::unwrap)
        .sum();
    assert_eq!(sum, 2500 * 2499 / 2);
    testing::database("db", |_, _| Ok(SqlAnswer::rows::<1>(["n"], [])));
    assert_eq!(db.query("select").fetch_optional::<i64>().unwrap(), None);
    assert!(db.query("select").fetch_one::<i64>().is_err());
}

#[test]
fn what_is_bound_arrives_as_a_value_of_its_type() {
    let bound = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&bound);
    testing::database("db", move |_, values| {
        seen.borrow_mut().extend(values.to_vec());
        Ok(SqlAnswer::changed(3))
    });
    let db = database("db").unwrap();
    let query = db
        .query("insert")
        .bind(7)
        .bind("x")
        .bind(None::<f64>)
        .bind(true);
    let query = query.bind(civil::date(1969, 12, 31)).bind(u64::MAX);
    let query = query
        .bind(civil::datetime(1970, 1, 2, 0, 0, 1, 0))
        .bind(vec![1_u8]);
    assert_eq!(query.execute().unwrap(), 3);
    let wanted = [
        Value::Integer(7),
        Value::Text("x".into()),
        Value::Null,
        Value::Boolean(true),
        Value::Date(-1),
        Value::Decimal("18446744073709551615".into()),
        Value::Datetime(86_401_000_000),
        Value::Bytes(vec![1]),
    ];
    assert_eq!(*bound.borrow(), wanted);
}

#[test]
fn a_transaction_that_is_dropped_is_rolled_back_and_a_database_without_grant_denied() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&told);
    testing::database("db", move |statement, _| {
        seen.borrow_mut().push(statement.to_owned());
        Ok(SqlAnswer::default())
    });
    let db = database("db").unwrap();
    let mut transaction = db.begin().unwrap();
    transaction.query("insert").execute().unwrap();
    drop(transaction);
    db.begin().unwrap().commit().unwrap();
    let wanted = ["begin", "insert", "rollback", "begin", "commit"];
    assert_eq!(*told.borrow(), wanted);
    assert!(matches!(
        database("other"),
        Err(SqlError::Host(CapabilityError::Denied(_)))
    ));
}
