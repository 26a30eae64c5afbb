//! Exchange rates from a service that a connection names.

use std::collections::BTreeMap;

use airlock_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// Exchange rates of a day, both ways.
#[dag(tags = ["example"], owners = ["treasury"], params(day = "latest"))]
pub fn rates() {
    let quotes = fetch();
    let table = convert(quotes);
    publish(table);
}

/// What the service answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quotes {
    /// The currency that the rates are based on.
    pub base: String,
    /// The day they are of.
    pub date: String,
    /// How much of each currency one unit of the base buys.
    pub rates: BTreeMap<String, f64>,
}

/// A pair of currencies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// How much of the currency one unit of the base buys.
    pub buys: f64,
    /// How much of the base one unit of the currency costs.
    pub costs: f64,
}

/// The wanted rates, both ways.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The currency that the rates are based on.
    pub base: String,
    /// The day they are of.
    pub date: String,
    /// By currency.
    pub pairs: BTreeMap<String, Pair>,
}

/// Asks the service.
#[task(
    retries = 3,
    retry_delay = "10s",
    retry_exponential_backoff = true,
    execution_timeout = "1m"
)]
pub(crate) fn fetch(ctx: &Context) -> Result<Quotes> {
    let day: String = ctx.param("day")?;
    if day != "latest" && !day.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return Err(fail(format_args!(
            "param `day` is \"{day}\"; give `latest` or a date such as 2024-01-05"
        )));
    }
    let exchange = connection("exchange")?.ok_or_else(|| {
        fail("there is no connection `exchange`; set it with `airlock connections set`")
    })?;
    let base = variable_or("treasury.base", "EUR")?;
    let mut request =
        http::get(format!("{}/{day}?base={base}", exchange.base_url()?)).max_body(1 << 20);
    if let Some(key) = &exchange.password {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let quotes: Quotes = request.send()?.ok()?.json()?;
    ensure!(
        quotes.base == base,
        "asked for rates of {base}, and got those of {}",
        quotes.base
    );
    info!("{} rates of {base} for {}", quotes.rates.len(), quotes.date);
    Ok(quotes)
}

/// Picks the wanted currencies, and computes each rate both ways.
#[task]
pub(crate) fn convert(quotes: Quotes) -> Result<Table> {
    let wanted: Vec<String> = variable_json("rates.currencies")?
        .unwrap_or_else(|| ["CHF", "GBP", "USD"].map(str::to_owned).to_vec());
    let decimals: i32 = variable_json("rates.decimals")?.unwrap_or(4);
    if !(0..=8).contains(&decimals) {
        return Err(fail(format_args!(
            "variable `rates.decimals` is {decimals}; it must be 0 to 8"
        )));
    }
    let scale = 10_f64.powi(decimals);
    let round = |value: f64| (value * scale).round() / scale;
    let mut pairs = BTreeMap::new();
    for currency in wanted {
        let rate = quotes.rates.get(&currency).copied();
        match rate.filter(|rate| rate.is_finite() && *rate > 0.0) {
            Some(rate) => {
                pairs.insert(
                    currency,
                    Pair {
                        buys: round(rate),
                        costs: round(1.0 / rate),
                    },
                );
            }
            None => {
                return Err(fail(format_args!(
                    "the service has no usable rate for {currency}"
                )));
            }
        }
    }
    Ok(Table {
        base: quotes.base,
        date: quotes.date,
        pairs,
    })
}

/// Leaves the number of pairs as an XCom of its own, for whoever watches that it does not shrink.
#[task]
pub(crate) fn publish(table: Table) -> Result<String> {
    for (currency, pair) in &table.pairs {
        info!(
            "1 {} = {} {currency}, 1 {currency} = {} {}",
            table.base, pair.buys, pair.costs, table.base
        );
    }
    xcom::push("pairs", &table.pairs.len())?;
    Ok(format!(
        "{} rates of {} for {}",
        table.pairs.len(),
        table.base,
        table.date
    ))
}
