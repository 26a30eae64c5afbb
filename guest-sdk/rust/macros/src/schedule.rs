//! What makes a DAG's runs, as code: its schedule and its asset condition.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{BinOp, Error, Expr, Result, spanned::Spanned as _};

use crate::{
    attribute::{duration, option},
    cron::Schedule,
    time::Delta,
};

/// What `data_interval` says.
pub(crate) enum DataInterval {
    /// Each run covers the time since the tick before its own.
    BetweenTicks,
    /// Each run covers this long before its tick.
    Of(Delta),
}

/// What `run_immediately` says.
pub(crate) enum RunImmediately {
    No,
    Yes,
    Within(Duration),
}

/// Whether a schedule can have such a data interval.
pub(crate) fn agree(
    schedule: &[Schedule],
    interval: Option<&DataInterval>,
) -> std::result::Result<(), &'static str> {
    match (schedule, interval) {
        (_, None) | ([Schedule::Cron(_) | Schedule::Interval(_)], Some(_)) => Ok(()),
        ([Schedule::Cron(_), ..], Some(DataInterval::Of(_))) => Ok(()),
        ([_, _, ..], Some(DataInterval::BetweenTicks)) => Err(
            "several crontab lines have no one interval between their ticks; give its length: data_interval = \"1d\"",
        ),
        _ => Err("`data_interval` is about a schedule with ticks: a crontab line, or \"every …\""),
    }
}

/// The schedule as a variant of the SDK's.
pub(crate) fn code(
    schedule: &[Schedule],
    timezone: Option<&str>,
    interval: Option<&DataInterval>,
    run_immediately: Option<&RunImmediately>,
) -> TokenStream {
    let timezone = option(timezone);
    let length = match interval {
        Some(DataInterval::Of(length)) => delta(*length),
        _ => delta(Delta::default()),
    };
    let between = matches!(interval, Some(DataInterval::BetweenTicks));
    let lines: Vec<&str> = schedule
        .iter()
        .filter_map(|one| match one {
            Schedule::Cron(line) => Some(line.as_str()),
            _ => None,
        })
        .collect();
    match schedule.first() {
        None => quote!(None),
        Some(Schedule::Once) => quote!(Once),
        Some(Schedule::Continuous) => quote!(Continuous),
        Some(Schedule::Cron(line)) if between => {
            quote!(CronInterval { line: #line, timezone: #timezone })
        }
        Some(Schedule::Cron(_)) => {
            let run_immediately = match run_immediately {
                None | Some(RunImmediately::No) => quote!(No),
                Some(RunImmediately::Yes) => quote!(Yes),
                Some(RunImmediately::Within(within)) => {
                    let within = duration(*within);
                    quote!(Within(#within))
                }
            };
            quote! {
                CronTrigger {
                    lines: &[#(#lines),*],
                    timezone: #timezone,
                    interval: #length,
                    run_immediately: ::airlock_sdk::definition::RunImmediately::#run_immediately,
                }
            }
        }
        Some(Schedule::Interval(every)) => {
            let every = delta(*every);
            match between {
                true => quote!(DeltaInterval(#every)),
                false => quote!(DeltaTrigger { every: #every, interval: #length }),
            }
        }
    }
}

fn delta(Delta { months, time }: Delta) -> TokenStream {
    let time = duration(time);
    quote!(::airlock_sdk::definition::Delta { months: #months, time: #time })
}

/// `A & (B | C)` as an asset condition.
pub(crate) fn condition(expr: &Expr) -> Result<TokenStream> {
    let condition = quote!(::airlock_sdk::AssetCondition);
    match expr {
        Expr::Paren(inner) => self::condition(&inner.expr),
        Expr::Group(inner) => self::condition(&inner.expr),
        Expr::Binary(binary) => {
            let and = match binary.op {
                BinOp::BitAnd(_) => true,
                BinOp::BitOr(_) => false,
                op => {
                    let message = "assets are joined by `&` (all) and `|` (any)";
                    return Err(Error::new(op.span(), message));
                }
            };
            let mut parts = Vec::new();
            flatten(expr, and, &mut parts)?;
            Ok(match and {
                true => quote!(#condition::All { of: &[#(#parts),*] }),
                false => quote!(#condition::Any { of: &[#(#parts),*] }),
            })
        }
        Expr::Path(_) | Expr::Call(_) => Ok(quote!(#condition::Of((#expr).reference()))),
        other => {
            let message =
                "an asset is a constant such as `const PRICES: Asset = Asset::new(\"prices\")`";
            Err(Error::new(other.span(), message))
        }
    }
}

/// `A & B & C` is one list of three.
fn flatten(expr: &Expr, and: bool, parts: &mut Vec<TokenStream>) -> Result<()> {
    match expr {
        Expr::Binary(binary)
            if matches!(
                (binary.op, and),
                (BinOp::BitAnd(_), true) | (BinOp::BitOr(_), false)
            ) =>
        {
            flatten(&binary.left, and, parts)?;
            flatten(&binary.right, and, parts)
        }
        other => {
            parts.push(condition(other)?);
            Ok(())
        }
    }
}
