use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use airlock_sdk::{
    capability::{
        Connection,
        http::{Request, Response},
    },
    definition::{Argument, Param, Schedule},
    prelude::*,
    testing,
};

use crate::{
    border::{self, Saw, Sighting, verdict},
    curve,
    exchange::{self, Pair, Quotes, convert, fetch, publish},
};

const ANSWER: &str =
    r#"{"base": "EUR", "date": "2024-01-05", "rates": {"CHF": 0.9312, "USD": 1.0921, "XXX": 0}}"#;

fn exchange() -> Connection {
    Connection {
        id: "exchange".to_owned(),
        conn_type: "http".to_owned(),
        host: Some("127.0.0.1".to_owned()),
        port: Some(18180),
        password: Some("key".to_owned()),
        ..Connection::default()
    }
}

fn serve(status: u16, body: &str) -> Rc<RefCell<Vec<Request>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (log, body) = (Rc::clone(&seen), body.as_bytes().to_vec());
    testing::http(move |request| {
        log.borrow_mut().push(request.clone());
        Ok(Response {
            status,
            headers: Vec::new(),
            body: body.clone(),
        })
    });
    seen
}

fn quotes() -> Quotes {
    let rates = [("CHF", 0.9312), ("USD", 1.0921), ("XXX", 0.0)]
        .map(|(name, rate)| (name.to_owned(), rate));
    Quotes {
        base: "EUR".to_owned(),
        date: "2024-01-05".to_owned(),
        rates: BTreeMap::from(rates),
    }
}

#[test]
fn rates_only_runs_by_hand_and_lets_the_trigger_choose_the_day() {
    let dag = testing::parse::<exchange::rates>().unwrap();
    assert!(matches!(dag.spec.schedule, Schedule::None));
    assert_eq!(
        dag.spec.params,
        [Param {
            name: "day",
            default: Some("\"latest\""),
            schema: None,
            description: None,
        }]
    );
    assert_eq!(
        dag.task("publish").unwrap().arguments,
        [Argument::Output("convert".to_owned())]
    );
}

#[test]
fn fetch_asks_where_the_connection_points_with_its_key() {
    testing::connection("exchange", Some(exchange()));
    testing::variable("treasury.base", None);
    let seen = serve(200, ANSWER);
    let ctx = Context::builder().param("day", "2024-01-05").build();
    assert_eq!(fetch::run(&ctx).unwrap(), quotes());
    let seen = seen.borrow();
    assert_eq!(
        (seen[0].method(), seen[0].url()),
        ("GET", "http://127.0.0.1:18180/2024-01-05?base=EUR")
    );
    assert_eq!(
        seen[0].header_value("authorization"),
        Some(b"Bearer key".as_slice())
    );
}

#[test]
fn fetch_is_tried_again_after_an_error_of_the_service_but_not_after_one_of_the_author() {
    testing::variable("treasury.base", None);
    testing::connection("exchange", None);
    let latest = Context::builder().param("day", "latest").build();
    assert!(!fetch::run(&latest).unwrap_err().is_retryable());
    testing::connection("exchange", Some(exchange()));
    serve(503, "try later");
    let error = fetch::run(&latest).unwrap_err();
    assert_eq!(error.to_string(), "the server answered 503: try later");
    assert!(error.is_retryable());
    let odd = Context::builder().param("day", "../admin").build();
    assert!(!fetch::run(&odd).unwrap_err().is_retryable());
}

#[test]
fn convert_gives_the_wanted_currencies_both_ways() {
    testing::variable("rates.currencies", Some(r#"["CHF", "USD"]"#));
    testing::variable("rates.decimals", Some("3"));
    let table = convert::run(quotes()).unwrap();
    assert_eq!(
        table.pairs["CHF"],
        Pair {
            buys: 0.931,
            costs: 1.074
        }
    );
    assert_eq!(
        table.pairs["USD"],
        Pair {
            buys: 1.092,
            costs: 0.916
        }
    );
    assert_eq!(
        publish::run(table).unwrap(),
        "2 rates of EUR for 2024-01-05"
    );
    assert_eq!(testing::pushed(), [("pairs".to_owned(), "2".to_owned())]);
}

#[test]
fn convert_refuses_a_currency_without_a_usable_rate() {
    testing::variable("rates.decimals", None);
    for currency in ["XXX", "YYY"] {
        testing::variable("rates.currencies", Some(&format!("[\"{currency}\"]")));
        let error = convert::run(quotes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the service has no usable rate for {currency}")
        );
    }
}

#[test]
fn the_curve_runs_every_hour_and_does_not_catch_up() {
    let dag = testing::parse::<curve::curve>().unwrap();
    let Schedule::DeltaTrigger { every, .. } = dag.spec.schedule else {
        panic!("{:?}", dag.spec.schedule)
    };
    assert_eq!(every.time, std::time::Duration::from_secs(3600));
    assert!(!dag.spec.catchup);
    let factors = curve::discount::run(vec![(1.0, 25.0), (2.0, 25.0)]);
    assert_eq!(
        factors.iter().map(|f| f.factor).collect::<Vec<_>>(),
        [0.8, 0.64]
    );
}

#[test]
fn the_border_is_closed_where_nothing_is_granted() {
    assert_eq!(testing::parse::<border::border>().unwrap().tasks.len(), 7);
    let sighting = border::try_variable::run("weather.station").unwrap();
    assert!(matches!(sighting.saw, Saw::Denied(_)));
    testing::connection("weather_archive", None);
    assert_eq!(
        border::try_connection::run("weather_archive").unwrap().saw,
        Saw::Nothing
    );
    assert_eq!(
        border::try_file::run("archive/no-such-file.csv")
            .unwrap()
            .saw,
        Saw::Nothing
    );
    assert_eq!(
        border::try_xcom::run("weather", "run", "observe")
            .unwrap()
            .saw,
        Saw::Nothing
    );
}

#[test]
fn a_border_that_lets_something_through_fails_the_dag() {
    let nothing = Sighting {
        what: "variable a".to_owned(),
        saw: Saw::Nothing,
    };
    let leak = Sighting {
        what: "variable b".to_owned(),
        saw: Saw::Something,
    };
    let [a, b, c, d, e] = std::array::from_fn(|_| nothing.clone());
    assert!(
        verdict::run(
            a.clone(),
            b.clone(),
            c.clone(),
            d.clone(),
            e.clone(),
            nothing
        )
        .is_ok()
    );
    let error = verdict::run(a, b, c, d, e, leak).unwrap_err();
    assert_eq!(error.to_string(), "another team's variable b can be seen");
    assert!(!error.is_retryable());
}
