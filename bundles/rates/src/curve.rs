//! A yield curve, every hour: small, scheduled, and of no use for hours that are past.

use airlock_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// Discount factors of the current yield curve.
#[dag(schedule = "every 1h", start_date = "2024-01-01", tags = ["example"], owners = ["treasury"], max_active_runs = 1)]
pub fn curve() {
    let points = points();
    discount(points);
}

/// A point of the curve: years from now, and percent a year.
pub type Point = (f64, f64);

/// What a payment of 1 at some time is worth now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Factor {
    /// From now.
    pub years: f64,
    /// Between 0 and 1 where the rate is positive.
    pub factor: f64,
}

/// The curve: variable `rates.curve`, or a flat one.
#[task]
pub(crate) fn points() -> Result<Vec<Point>> {
    let points: Vec<Point> =
        variable_json("rates.curve")?.unwrap_or_else(|| vec![(1.0, 2.0), (5.0, 2.0), (10.0, 2.0)]);
    if points
        .iter()
        .any(|(years, percent)| *years <= 0.0 || *percent <= -100.0)
    {
        return Err(fail(
            "variable `rates.curve` wants years above 0 and percents above -100",
        ));
    }
    Ok(points)
}

/// What 1 at each point's time is worth now, with yearly compounding.
#[task]
pub(crate) fn discount(points: Vec<Point>) -> Vec<Factor> {
    let factor = |(years, percent): Point| Factor {
        years,
        factor: (1.0 + percent / 100.0).powf(-years),
    };
    points.into_iter().map(factor).collect()
}
