//! What a task's answer means: its value, a branch, a short circuit, or what a sensor saw.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Error, Ident, Result, Type};

use crate::{
    attribute::{Entry, duration, option},
    task::{local, positive},
};

/// The attributes that say it.
pub(crate) const KEYS: [&str; 10] = [
    "branch",
    "short_circuit",
    "ignore_downstream_trigger_rules",
    "sensor",
    "poke_interval",
    "timeout",
    "mode",
    "soft_fail",
    "exponential_backoff",
    "max_wait",
];

/// What of them a sensor has.
const OF_SENSORS: [&str; 6] = [
    "poke_interval",
    "timeout",
    "mode",
    "soft_fail",
    "exponential_backoff",
    "max_wait",
];

const MODES: [(&str, &str); 3] = [
    ("poke", "Poke"),
    ("reschedule", "Reschedule"),
    ("defer", "Defer"),
];

pub(crate) enum Kind {
    Plain,
    Branch,
    /// Whether it skips all that comes after, whatever the trigger rules.
    ShortCircuit(bool),
    Sensor(Box<Sensor>),
}

/// With the defaults of Airflow 3.3.2, `airflow/sdk/bases/sensor.py`.
pub(crate) struct Sensor {
    poke_interval: Duration,
    timeout: Duration,
    mode: &'static str,
    soft_fail: bool,
    exponential_backoff: bool,
    max_wait: Option<Duration>,
}

/// What the attribute says of it.
pub(crate) fn read(entries: &[Entry]) -> Result<Kind> {
    let find = |key: &str| entries.iter().find(|entry| entry.key == key);
    let flag = |key: &str, default| find(key).map_or(Ok(default), Entry::flag);
    let kinds: Vec<&Entry> = ["branch", "short_circuit", "sensor"]
        .into_iter()
        .filter_map(find)
        .collect();
    if let [_, second, ..] = kinds.as_slice() {
        let message = "a task is a branch, a short circuit or a sensor; keep one";
        return Err(Error::new(second.key.span(), message));
    }
    let (branch, circuit) = (flag("branch", false)?, flag("short_circuit", false)?);
    let sensor = flag("sensor", false)?;
    let all = "ignore_downstream_trigger_rules";
    if let Some(entry) = find(all).filter(|_| !circuit) {
        let message = format!("only a task with `short_circuit` has `{all}`");
        return Err(Error::new(entry.key.span(), message));
    }
    if let Some(entry) = OF_SENSORS
        .iter()
        .find_map(|key| find(key))
        .filter(|_| !sensor)
    {
        let message = format!("only a task with `sensor` has `{}`", entry.key);
        return Err(Error::new(entry.key.span(), message));
    }
    Ok(match (branch, circuit, sensor) {
        (true, ..) => Kind::Branch,
        (_, true, _) => Kind::ShortCircuit(flag(all, true)?),
        (.., true) => {
            let time = |key: &str, default| find(key).map_or(Ok(default), positive);
            Kind::Sensor(Box::new(Sensor {
                poke_interval: time("poke_interval", Duration::from_secs(60))?,
                timeout: time("timeout", Duration::from_secs(7 * 86_400))?,
                mode: find("mode").map_or(Ok("Poke"), |mode| mode.one_of("a mode", &MODES))?,
                soft_fail: flag("soft_fail", false)?,
                exponential_backoff: flag("exponential_backoff", false)?,
                max_wait: find("max_wait").map(positive).transpose()?,
            }))
        }
        _ => Kind::Plain,
    })
}

impl Kind {
    /// What the task gives to others, where its function answers with `answer`.
    pub(crate) fn value(&self, answer: &Type) -> Type {
        match self {
            Self::Sensor(_) => {
                syn::parse_quote!(<#answer as ::airlock_sdk::SensorAnswer>::Value)
            }
            _ => answer.clone(),
        }
    }

    /// The code that makes the outcome, or what a sensor saw; `call` is the code that runs the function and leaves
    /// `result`.
    pub(crate) fn finish(
        &self,
        result: &Ident,
        span: Span,
        call: &TokenStream,
        (fallible, deferred): (bool, bool),
    ) -> TokenStream {
        let value = local("value");
        let finish = match self {
            Self::Plain if deferred => {
                quote_spanned!(span=> ::airlock_sdk::__private::finish_deferred(#value))
            }
            Self::Plain => quote_spanned!(span=> ::airlock_sdk::__private::finish_value(&#value)),
            Self::Branch => quote_spanned!(span=> ::airlock_sdk::__private::finish_branch(&#value)),
            Self::ShortCircuit(all) => {
                quote_spanned!(span=> ::airlock_sdk::__private::finish_circuit(&#value, #all))
            }
            Self::Sensor(_) => {
                let poked = match fallible {
                    true => quote_spanned!(span=> ::airlock_sdk::__private::poked_result(#result)),
                    false => quote_spanned!(span=> ::airlock_sdk::__private::poked(#result)),
                };
                return quote!(#call #poked);
            }
        };
        match fallible {
            false => {
                let value = quote_spanned!(span=> let #value = #result;);
                quote!(#call #value #finish)
            }
            true => {
                let error = local("error");
                let failed = quote_spanned!(span=> ::airlock_sdk::__private::finish_error(#error));
                quote! {
                    #call
                    match #result {
                        ::core::result::Result::Ok(#value) => #finish,
                        ::core::result::Result::Err(#error) => #failed,
                    }
                }
            }
        }
    }
}

impl Sensor {
    pub(crate) fn code(&self) -> TokenStream {
        let Self {
            soft_fail,
            exponential_backoff,
            ..
        } = self;
        let (poke_interval, timeout) = (duration(self.poke_interval), duration(self.timeout));
        let mode = Ident::new(self.mode, Span::call_site());
        let max_wait = option(self.max_wait.map(duration));
        quote! {
            ::airlock_sdk::__private::Sensor {
                poke_interval: #poke_interval,
                timeout: #timeout,
                mode: ::airlock_sdk::__private::PokeMode::#mode,
                soft_fail: #soft_fail,
                exponential_backoff: #exponential_backoff,
                max_wait: #max_wait,
            }
        }
    }
}
