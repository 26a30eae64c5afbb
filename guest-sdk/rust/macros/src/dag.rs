//! `#[dag]`: from one function, a type of its name that knows the DAG's settings and how to build its graph.

use std::time::Duration;

use jiff::tz::TimeZone;
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Error, Expr, Ident, ItemFn, Result, spanned::Spanned as _};

use crate::{
    attribute::{self, Entry, Errors, Param, duration, option},
    callback::{self, Named},
    cron::{self, Schedule},
    schedule::{self, DataInterval, RunImmediately, condition},
    signature::ordinary,
    task::{location, positive, unraw},
    time,
};

const KEYS: [&str; 22] = [
    "dag_id",
    "description",
    "schedule",
    "data_interval",
    "run_immediately",
    "timetable",
    "schedule_assets",
    "timezone",
    "start_date",
    "end_date",
    "catchup",
    "max_active_runs",
    "max_active_tasks",
    "dagrun_timeout",
    "tags",
    "owners",
    "params",
    "fail_fast",
    "max_consecutive_failed_dag_runs",
    "on_success",
    "on_failure",
    "deadlines",
];

#[derive(Default)]
struct Settings {
    dag_id: Option<String>,
    description: Option<String>,
    schedule: Vec<Schedule>,
    data_interval: Option<DataInterval>,
    run_immediately: Option<RunImmediately>,
    timetable: Option<Expr>,
    schedule_assets: Option<TokenStream>,
    timezone: Option<String>,
    start_date: Option<i64>,
    end_date: Option<i64>,
    catchup: bool,
    max_active_runs: Option<u32>,
    max_active_tasks: Option<u32>,
    dagrun_timeout: Option<Duration>,
    tags: Vec<String>,
    owners: Vec<String>,
    params: Vec<Param>,
    fail_fast: bool,
    max_consecutive_failed_dag_runs: u32,
    callbacks: Vec<Named>,
    deadlines: Option<Expr>,
}

impl Settings {
    fn read(entries: &[Entry]) -> Result<Self> {
        let mut settings = Self::default();
        let mut errors = Errors::default();
        // The zone first: dates are read in it, wherever in the list it stands.
        let mut zone = TimeZone::UTC;
        if let Some(entry) = entries.iter().find(|entry| entry.key == "timezone") {
            let read = entry.parsed("\"Europe/Zurich\"", |name| {
                time::timezone(name).map(|zone| (name.to_owned(), zone))
            });
            match read {
                Ok((name, found)) => (settings.timezone, zone) = (Some(name), found),
                Err(error) => errors.push(error),
            }
        }
        for entry in entries {
            if let Err(error) = settings.set(entry, &zone) {
                errors.push(error);
            }
        }
        settings
            .agree(entries)
            .unwrap_or_else(|error| errors.push(error));
        errors.finish()?;
        Ok(settings)
    }

    fn set(&mut self, entry: &Entry, zone: &TimeZone) -> Result<()> {
        if let Some(named) = callback::named(entry, &callback::OF_DAGS) {
            self.callbacks.extend(named?);
            return Ok(());
        }
        let date = |entry: &Entry| entry.parsed("\"2012-01-31\"", |text| time::date(text, zone));
        match entry.key.to_string().as_str() {
            "dag_id" => self.dag_id = Some(entry.id()?),
            "description" => self.description = Some(entry.text()?),
            "schedule" => {
                let example = "\"@daily\", \"0 6 * * 1-5\" or \"every 30m\"; a DAG that only runs by hand has no `schedule`";
                self.schedule = entry.each_parsed(example, cron::schedule)?;
                let lines = |one: &Schedule| matches!(one, Schedule::Cron(_));
                if entry.is_array() && !self.schedule.iter().all(lines) {
                    let message =
                        "a list of schedules is one of crontab lines; write anything else alone";
                    return Err(Error::new(entry.key.span(), message));
                }
            }
            "data_interval" if entry.is_flag() => {
                let between = entry.flag()?;
                self.data_interval = between.then_some(DataInterval::BetweenTicks);
            }
            "data_interval" => {
                let delta = entry.parsed("\"1d\" or \"1mo\"", time::delta)?;
                self.data_interval = Some(DataInterval::Of(delta));
            }
            "run_immediately" => {
                self.run_immediately = Some(match entry.is_flag() {
                    true if entry.flag()? => RunImmediately::Yes,
                    true => RunImmediately::No,
                    false => RunImmediately::Within(entry.duration()?),
                });
            }
            "timetable" => {
                let example = "a value whose type is a `Timetable`, such as MonthEnd { days: 3 }";
                self.timetable = Some(entry.expr(example)?.clone());
            }
            "schedule_assets" => {
                let example = "assets such as PRICES, or PRICES & (RATES | CURVES)";
                self.schedule_assets = Some(condition(entry.expr(example)?)?);
            }
            "timezone" => {}
            "start_date" => self.start_date = Some(date(entry)?),
            "end_date" => self.end_date = Some(date(entry)?),
            "catchup" => self.catchup = entry.flag()?,
            "max_active_runs" => self.max_active_runs = Some(entry.whole(1)?),
            "max_active_tasks" => self.max_active_tasks = Some(entry.whole(1)?),
            "dagrun_timeout" => self.dagrun_timeout = Some(positive(entry)?),
            "tags" => self.tags = entry.texts()?,
            "owners" => self.owners = entry.texts()?,
            "params" => self.params = entry.params()?,
            "fail_fast" => self.fail_fast = entry.flag()?,
            "max_consecutive_failed_dag_runs" => {
                self.max_consecutive_failed_dag_runs = entry.whole(1)?;
            }
            "deadlines" => {
                let example = "a list such as [deadline(\"late\", DeadlineReference::QueuedAt + minutes(10), tell)]";
                self.deadlines = Some(entry.array(example)?.clone());
            }
            _ => return Err(entry.unknown("a DAG", &KEYS)),
        }
        Ok(())
    }

    /// What holds between the settings.
    fn agree(&self, entries: &[Entry]) -> Result<()> {
        let at = |key: &str| {
            let entry = entries.iter().find(|entry| entry.key == key);
            entry.map_or_else(Span::call_site, |entry| entry.key.span())
        };
        let given = |key: &str| entries.iter().any(|entry| entry.key == key);
        if self.catchup && !given("start_date") {
            return Err(Error::new(
                at("catchup"),
                "`catchup` needs a `start_date` to catch up from",
            ));
        }
        let scheduled = ["schedule", "timetable", "schedule_assets"];
        if given("catchup") && !scheduled.into_iter().any(given) {
            return Err(Error::new(
                at("catchup"),
                "`catchup` needs a `schedule`: without one there is nothing to catch up with",
            ));
        }
        let continuous = matches!(self.schedule.as_slice(), [Schedule::Continuous]);
        if continuous && self.max_active_runs != Some(1) {
            return Err(Error::new(
                at("schedule"),
                "\"@continuous\" begins a run when the last one has ended; say `max_active_runs = 1`",
            ));
        }
        if given("timetable") && given("schedule") {
            return Err(Error::new(
                at("timetable"),
                "a DAG has a `schedule` or a `timetable`; keep one",
            ));
        }
        schedule::agree(&self.schedule, self.data_interval.as_ref()).map_err(|message| {
            let key = "data_interval";
            Error::new(at(key), message)
        })?;
        let cron = matches!(self.schedule.as_slice(), [Schedule::Cron(_), ..]);
        let ticks = cron && !matches!(self.data_interval, Some(DataInterval::BetweenTicks));
        if given("run_immediately") && !ticks {
            return Err(Error::new(
                at("run_immediately"),
                "`run_immediately` is about the ticks of crontab lines; drop it for other schedules",
            ));
        }
        match (self.start_date, self.end_date) {
            (Some(start), Some(end)) if start > end => Err(Error::new(
                at("end_date"),
                "`end_date` lies before `start_date`: no run would ever be created",
            )),
            _ => Ok(()),
        }
    }
}

pub(crate) fn expand(attributes: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = syn::parse2(item)?;
    let mut errors = Errors::default();
    ordinary(&function.sig, "DAG").unwrap_or_else(|error| errors.push(error));
    if !function.sig.inputs.is_empty() {
        errors.push(Error::new(
            function.sig.inputs.span(),
            "a DAG function takes no parameters; declare what a run may be given with `params(name = default)` and read it in a task with `ctx.param(\"name\")`",
        ));
    }
    let settings =
        errors.take(attribute::entries(attributes).and_then(|entries| Settings::read(&entries)));
    errors.finish()?;

    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = &function;
    let name = &sig.ident;
    let cfgs = attribute::cfgs(attrs);
    let docs: Vec<_> = attrs.iter().filter(|a| a.path().is_ident("doc")).collect();
    let dag_id = settings.dag_id.clone().unwrap_or_else(|| unraw(name));
    let spec = spec(&settings, &dag_id, attrs, name);
    let timetable = settings.timetable.as_ref().map(|timetable| {
        quote_spanned! {timetable.span()=>
            fn __timetable() -> impl ::airlock_sdk::Timetable {
                #timetable
            }
        }
    });
    let output = &sig.output;
    let body_attrs = attrs.iter().filter(|a| !a.path().is_ident("doc"));
    let type_name = Ident::new(&name.to_string(), Span::call_site().located_at(name.span()));
    let summary = format!("The DAG `{dag_id}`.");

    Ok(quote! {
        #(#cfgs)*
        #[doc = #summary]
        #[doc = ""]
        #(#docs)*
        #[allow(non_camel_case_types, dead_code, reason = "it bears the function's name and holds no value")]
        #vis struct #type_name {}

        #(#cfgs)*
        impl #type_name {
            #(#body_attrs)*
            fn __graph() #output #block

            #timetable
        }

        #(#cfgs)*
        impl ::airlock_sdk::definition::DagSource for #type_name {
            const SPEC: &'static ::airlock_sdk::definition::DagSpec = &#spec;
        }
    })
}

fn spec(settings: &Settings, dag_id: &str, attrs: &[syn::Attribute], name: &Ident) -> TokenStream {
    let description = option(
        settings
            .description
            .clone()
            .or_else(|| attribute::doc(attrs)),
    );
    let schedule = match &settings.timetable {
        Some(_) => {
            let entry = unraw(name);
            quote! {
                Custom(::airlock_sdk::__private::custom(
                    ::core::concat!(::core::module_path!(), "::", #entry),
                    Self::__timetable,
                    || ::airlock_sdk::__private::describe(&Self::__timetable()),
                ))
            }
        }
        None => schedule::code(
            &settings.schedule,
            settings.timezone.as_deref(),
            settings.data_interval.as_ref(),
            settings.run_immediately.as_ref(),
        ),
    };
    let assets = option(settings.schedule_assets.as_ref());
    let (fail_fast, most_failed) = (settings.fail_fast, settings.max_consecutive_failed_dag_runs);
    let start_date = option(settings.start_date);
    let end_date = option(settings.end_date);
    let catchup = settings.catchup;
    let max_active_runs = option(settings.max_active_runs);
    let max_active_tasks = option(settings.max_active_tasks);
    let dagrun_timeout = option(settings.dagrun_timeout.map(duration));
    let (tags, owners) = (&settings.tags, &settings.owners);
    let params = settings.params.iter().map(|param| {
        let name = &param.name;
        let default = option(param.default.as_deref());
        let schema = option(param.schema.as_deref());
        let description = option(param.description.as_deref());
        quote! {
            ::airlock_sdk::definition::Param {
                name: #name, default: #default, schema: #schema, description: #description,
            }
        }
    });
    let location = location(name);
    let callbacks = callback::specs(&settings.callbacks);
    let deadlines = match &settings.deadlines {
        None => quote!(::std::vec::Vec::new()),
        Some(all) => quote_spanned!(all.span()=> ::std::vec::Vec::from(#all)),
    };
    quote! {
        ::airlock_sdk::definition::DagSpec {
            dag_id: #dag_id,
            description: #description,
            schedule: ::airlock_sdk::definition::Schedule::#schedule,
            start_date: #start_date,
            end_date: #end_date,
            catchup: #catchup,
            max_active_runs: #max_active_runs,
            max_active_tasks: #max_active_tasks,
            dagrun_timeout: #dagrun_timeout,
            tags: &[#(#tags),*],
            owners: &[#(#owners),*],
            params: &[#(#params),*],
            fail_fast: #fail_fast,
            max_consecutive_failed_dag_runs: #most_failed,
            asset_condition: #assets,
            callbacks: #callbacks,
            deadlines: || ::core::result::Result::Ok(#deadlines),
            location: #location,
            graph: || ::airlock_sdk::__private::DagResult::into_result(Self::__graph()),
        }
    }
}
