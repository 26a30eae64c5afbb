//! Tasks that write to a database and read from it, over a connection that the host uses for them; and some that
//! want more than that.

use airlock_sdk::{jiff::civil::Date, prelude::*, sql::SqlError};
use serde::Deserialize;

/// Writes a week's weather and reads it back.
#[dag]
fn warehouse() {
    let written = load(7);
    summary(written);
}

#[derive(Debug, Deserialize)]
struct Daily {
    day: Date,
    temp: f64,
}

const TABLE: &str =
    "create table if not exists weather (day date primary key, temp double precision)";

/// Writes so many days in one transaction.
#[task]
fn load(days: i8) -> Result<i8> {
    let warehouse = database("warehouse")?;
    warehouse.query(TABLE).execute()?;
    let mut transaction = warehouse.begin()?;
    for day in 1..=days {
        let date = Date::new(2012, 1, day)?;
        transaction
            .query("insert into weather values ($1, $2)")
            .bind(date)
            .bind(f64::from(day))
            .execute()?;
    }
    transaction.commit()?;
    Ok(days)
}

/// The last day, and the sum of all temperatures.
#[task]
fn summary(written: i8) -> Result<String> {
    let mut sum = 0.0;
    let mut last = None;
    let query = "select day, temp from weather where temp <= $1 order by day";
    for daily in database("warehouse")?
        .query(query)
        .bind(written)
        .rows::<Daily>()?
    {
        let daily = daily?;
        sum += daily.temp;
        last = Some(daily.day);
    }
    let last = last.context("there is no weather")?;
    Ok(format!("{last} {sum}"))
}

/// What came of a call, in a word or two.
fn word<T>(done: Result<T, SqlError>) -> String {
    match done {
        Ok(_) => "done".to_owned(),
        Err(SqlError::Host(error)) => {
            let text = error.to_string();
            text.split(':').next().unwrap_or_default().to_owned()
        }
        Err(SqlError::Database { .. }) => "the database".to_owned(),
        Err(SqlError::Row(text)) => text,
    }
}

/// Leaves a transaction open at its end.
#[task]
fn leaves_open() -> Result<()> {
    let warehouse = database("warehouse")?;
    warehouse.query(TABLE).execute()?;
    let mut transaction = warehouse.begin()?;
    let insert = "insert into weather values ('2012-02-01', 1)";
    transaction.query(insert).execute()?;
    std::mem::forget(transaction);
    Ok(())
}

/// Waits in an open transaction until it is ended.
#[task]
fn holds() -> Result<()> {
    let warehouse = database("warehouse")?;
    warehouse.query(TABLE).execute()?;
    let mut transaction = warehouse.begin()?;
    let insert = "insert into weather values ('2012-02-01', 1)";
    transaction.query(insert).execute()?;
    let endless =
        "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
    transaction.query(endless).execute()?;
    Ok(())
}

/// Goes on with all that it has open after it waited for the host.
#[task]
fn goes_on() -> Result<String> {
    let warehouse = database("warehouse")?;
    let mut rows = warehouse.query("select 1").rows::<i64>()?;
    let mut transaction = warehouse.begin()?;
    let mut second = warehouse.begin();
    variable("pause")?;
    let mut told = vec![
        word(rows.next().unwrap_or(Ok(0))),
        word(warehouse.query("select 1").execute()),
        word(transaction.query("select 1").execute()),
        word(transaction.commit()),
        word(warehouse.begin().map(|_| ())),
        word(database("warehouse").map(|_| ())),
    ];
    if let Ok(second) = &mut second {
        told.push(word(second.query("select 1").fetch::<i64>()));
    }
    Ok(told.join(", "))
}

/// Statements and amounts that do not come through.
#[task]
fn wants_more() -> Result<String> {
    let warehouse = database("warehouse")?;
    let mut told = Vec::new();
    for statement in [
        "attach '/etc/passwd' as x",
        "commit",
        "pragma user_version",
        "select 1; select 2",
    ] {
        told.push(word(warehouse.query(statement).execute()));
    }
    let long = format!("select 1 -- {}", "x".repeat(1 << 20));
    told.push(word(warehouse.query(long).execute()));
    told.push(word(warehouse.query("select").execute()));
    told.push(word(database("elsewhere").map(|_| ())));
    Ok(told.join(", "))
}

airlock_sdk::bundle!(warehouse, more);

/// What only tests ask for.
#[dag]
fn more() {
    leaves_open();
    holds();
    goes_on();
    wants_more();
}
