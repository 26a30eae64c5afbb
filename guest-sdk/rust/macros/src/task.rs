//! `#[task]`: from one function, its wiring (the name itself, `with_id`, `expand`), its plain body (`run`),
//! and its entry in the bundle's list of task code.
//!
//! A function and a struct may share a name, since functions and types are named apart. So `check(…)` is
//! the wiring, which reads best in a DAG function, and `check::run(…)` the author's code as it was written,
//! which reads well in a test.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Expr, Ident, ItemFn, Result, ReturnType, Type, spanned::Spanned as _};

use crate::{
    attribute::{self, Entry, Errors, duration, option},
    callback::{self, Named},
    kind::{self, Kind},
    signature::{Argument, inputs, ordinary, output},
};

const KEYS: [&str; 37] = [
    "task_id",
    "retries",
    "retry_delay",
    "retry_exponential_backoff",
    "max_retry_delay",
    "execution_timeout",
    "trigger_rule",
    "pool",
    "pool_slots",
    "priority_weight",
    "weight_rule",
    "setup",
    "teardown",
    "on_failure_fail_dagrun",
    "depends_on_past",
    "wait_for_downstream",
    "ignore_first_depends_on_past",
    "max_active_tis_per_dag",
    "max_active_tis_per_dagrun",
    "inlets",
    "outlets",
    "on_execute",
    "on_success",
    "on_failure",
    "on_retry",
    "on_skip",
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
    "doc",
];

/// The trigger rules as Airflow writes them, and as variants of the SDK's enum.
const TRIGGER_RULES: [(&str, &str); 13] = [
    ("all_success", "AllSuccess"),
    ("all_failed", "AllFailed"),
    ("all_done", "AllDone"),
    ("all_skipped", "AllSkipped"),
    ("one_success", "OneSuccess"),
    ("one_failed", "OneFailed"),
    ("one_done", "OneDone"),
    ("none_failed", "NoneFailed"),
    ("none_failed_min_one_success", "NoneFailedMinOneSuccess"),
    ("none_skipped", "NoneSkipped"),
    ("all_done_min_one_success", "AllDoneMinOneSuccess"),
    ("all_done_setup_success", "AllDoneSetupSuccess"),
    ("always", "Always"),
];

const WEIGHT_RULES: [(&str, &str); 3] = [
    ("downstream", "Downstream"),
    ("upstream", "Upstream"),
    ("absolute", "Absolute"),
];

/// What the attribute says, with Airflow's defaults (3.3.2) for what it does not say.
struct Settings {
    task_id: Option<String>,
    retries: u32,
    retry_delay: Duration,
    backoff: f64,
    max_retry_delay: Option<Duration>,
    execution_timeout: Option<Duration>,
    trigger_rule: &'static str,
    pool: Option<String>,
    pool_slots: u32,
    priority_weight: i32,
    weight_rule: &'static str,
    role: Role,
    depends_on_past: bool,
    wait_for_downstream: bool,
    ignore_first_depends_on_past: bool,
    max_active_tis_per_dag: Option<u32>,
    max_active_tis_per_dagrun: Option<u32>,
    inlets: Vec<Expr>,
    outlets: Vec<Expr>,
    callbacks: Vec<Named>,
    kind: Kind,
    doc: Option<String>,
}

#[derive(Clone, Copy)]
enum Role {
    Work,
    Setup,
    Teardown { on_failure_fail_dagrun: bool },
}

impl Settings {
    fn read(entries: &[Entry]) -> Result<Self> {
        let mut settings = Self {
            task_id: None,
            retries: 0,
            retry_delay: Duration::from_secs(300),
            backoff: 0.0,
            max_retry_delay: None,
            execution_timeout: None,
            trigger_rule: "AllSuccess",
            pool: None,
            pool_slots: 1,
            priority_weight: 1,
            weight_rule: "Downstream",
            role: Role::Work,
            depends_on_past: false,
            wait_for_downstream: false,
            ignore_first_depends_on_past: true,
            max_active_tis_per_dag: None,
            max_active_tis_per_dagrun: None,
            inlets: Vec::new(),
            outlets: Vec::new(),
            callbacks: Vec::new(),
            kind: Kind::Plain,
            doc: None,
        };
        let mut errors = Errors::default();
        for entry in entries {
            if let Err(error) = settings.set(entry) {
                errors.push(error);
            }
        }
        match kind::read(entries) {
            Ok(kind) => settings.kind = kind,
            Err(error) => errors.push(error),
        }
        match role(entries) {
            Ok(Role::Teardown {
                on_failure_fail_dagrun,
            }) => {
                settings.trigger_rule = "AllDoneSetupSuccess";
                settings.role = Role::Teardown {
                    on_failure_fail_dagrun,
                };
            }
            Ok(role) => settings.role = role,
            Err(error) => errors.push(error),
        }
        errors.finish()?;
        Ok(settings)
    }

    fn set(&mut self, entry: &Entry) -> Result<()> {
        if let Some(named) = callback::named(entry, &callback::OF_TASKS) {
            self.callbacks.extend(named?);
            return Ok(());
        }
        match entry.key.to_string().as_str() {
            "task_id" => self.task_id = Some(entry.id()?),
            "retries" => self.retries = entry.whole(0)?,
            "retry_delay" => self.retry_delay = entry.duration()?,
            "retry_exponential_backoff" => self.backoff = entry.backoff()?,
            "max_retry_delay" => self.max_retry_delay = Some(entry.duration()?),
            "execution_timeout" => self.execution_timeout = Some(positive(entry)?),
            "trigger_rule" => self.trigger_rule = entry.one_of("a trigger rule", &TRIGGER_RULES)?,
            "pool" => self.pool = Some(entry.text()?),
            "pool_slots" => self.pool_slots = entry.whole(1)?,
            "priority_weight" => self.priority_weight = entry.signed()?,
            "weight_rule" => {
                self.weight_rule = entry.one_of("a weight rule", &WEIGHT_RULES)?;
            }
            "depends_on_past" => self.depends_on_past = entry.flag()?,
            "wait_for_downstream" => self.wait_for_downstream = entry.flag()?,
            "ignore_first_depends_on_past" => self.ignore_first_depends_on_past = entry.flag()?,
            "max_active_tis_per_dag" => self.max_active_tis_per_dag = Some(entry.whole(1)?),
            "max_active_tis_per_dagrun" => {
                self.max_active_tis_per_dagrun = Some(entry.whole(1)?);
            }
            "inlets" => self.inlets = entry.exprs("inlets(PRICES, RATES)")?,
            "outlets" => self.outlets = entry.exprs("outlets(PRICES)")?,
            "doc" => self.doc = Some(entry.text()?),
            "setup" | "teardown" | "on_failure_fail_dagrun" => {}
            key if kind::KEYS.contains(&key) => {}
            _ => return Err(entry.unknown("a task", &KEYS)),
        }
        Ok(())
    }
}

/// A duration that is not zero.
pub(crate) fn positive(entry: &Entry) -> Result<Duration> {
    entry.parsed("\"5m\"", |text| match crate::time::duration(text)? {
        Duration::ZERO => Err("it has to be longer than nothing".to_owned()),
        duration => Ok(duration),
    })
}

/// What the task is for, by `setup`, `teardown` and `on_failure_fail_dagrun`.
fn role(entries: &[Entry]) -> Result<Role> {
    let find = |key: &str| entries.iter().find(|entry| entry.key == key);
    let flag = |key: &str| find(key).map_or(Ok(false), Entry::flag);
    let (setup, teardown) = (flag("setup")?, flag("teardown")?);
    let wrong = |key: &str, message: &str| match find(key) {
        Some(entry) => Err(syn::Error::new(entry.key.span(), message)),
        None => Ok(()),
    };
    if setup && teardown {
        wrong(
            "teardown",
            "a task is a setup or a teardown; make it two tasks",
        )?;
    }
    if !teardown {
        let message = "only a teardown has `on_failure_fail_dagrun`";
        wrong("on_failure_fail_dagrun", message)?;
    } else {
        let message = "a teardown's trigger rule is `all_done_setup_success`; drop `trigger_rule`";
        wrong("trigger_rule", message)?;
    }
    Ok(match (setup, teardown) {
        (_, true) => Role::Teardown {
            on_failure_fail_dagrun: flag("on_failure_fail_dagrun")?,
        },
        (true, _) => Role::Setup,
        _ => Role::Work,
    })
}

pub(crate) fn expand(attributes: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = syn::parse2(item)?;
    let settings = Settings::read(&attribute::entries(attributes)?);
    let mut errors = Errors::default();
    ordinary(&function.sig, "task").unwrap_or_else(|error| errors.push(error));
    let (context, arguments) = errors.take(inputs(&function.sig, "task", "Context"));
    let settings = match settings {
        Ok(settings) => {
            errors.finish()?;
            settings
        }
        Err(error) => {
            errors.push(error);
            return errors.finish().map(|()| TokenStream::new());
        }
    };

    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = &function;
    let name = &sig.ident;
    let at = name.span();
    let cfgs = attribute::cfgs(attrs);
    let docs: Vec<_> = attrs.iter().filter(|a| a.path().is_ident("doc")).collect();
    let task_id = settings.task_id.clone().unwrap_or_else(|| unraw(name));
    let (answer, fallible, deferred) = output(&sig.output);
    if deferred && !matches!(settings.kind, Kind::Plain) {
        let message = "a branch, a short circuit or a sensor does not defer; defer in a task before it, or give a sensor `mode = \"defer\"`";
        return Err(syn::Error::new(sig.output.span(), message));
    }
    let value = settings.kind.value(&answer);

    let names: Vec<&Ident> = arguments.iter().map(|argument| &argument.name).collect();
    let owned: Vec<&Type> = arguments.iter().map(|argument| &argument.owned).collect();
    let wires = quote! {
        ::std::vec![#(::airlock_sdk::IntoArgument::<#owned>::into_argument(#names)),*]
    };
    let spec = spec(&settings, &task_id, attrs, name);
    let runner = runner(
        name,
        context,
        &arguments,
        &sig.output,
        (fallible, deferred),
        &settings.kind,
    );
    let expand = expansion(vis, &arguments, &value);

    // The body keeps the author's tokens, so that every error in it is at its own line.
    let mut body = sig.clone();
    body.ident = Ident::new("run", at);
    let summary =
        format!("The task `{task_id}`: call it in a DAG function to add it to the graph.");
    let run_doc =
        "The task's code as an ordinary function, for tests and for calls from other code.";
    let with_id_doc =
        "Adds the task under an id of its own, which it needs when a DAG calls it more than once.";
    let body_attrs = attrs.iter().filter(|a| !a.path().is_ident("doc"));
    let type_name = Ident::new(&name.to_string(), Span::call_site().located_at(at));
    let id = local("task_id");

    Ok(quote! {
        #(#cfgs)*
        #(#docs)*
        #[allow(dead_code, reason = "a DAG may call the task only through `with_id`")]
        #[track_caller]
        #vis fn #name(#(#names: impl ::airlock_sdk::IntoArgument<#owned>),*) -> ::airlock_sdk::Output<#value> {
            ::airlock_sdk::__private::add(<#type_name as ::airlock_sdk::__private::TaskSource>::spec(), ::core::option::Option::None, #wires)
        }

        #(#cfgs)*
        #[doc = #summary]
        #[allow(non_camel_case_types, dead_code, reason = "it bears the function's name and holds no value")]
        #vis struct #type_name {}

        #(#cfgs)*
        #[allow(dead_code, reason = "not every task is added in each way")]
        impl #type_name {
            /// The task's id, as its attribute has it.
            #vis const ID: &'static str = #task_id;

            #[doc = #run_doc]
            #(#body_attrs)*
            #vis #body #block

            #[doc = #with_id_doc]
            #[track_caller]
            #vis fn with_id(
                #id: impl ::core::convert::Into<::std::string::String>,
                #(#names: impl ::airlock_sdk::IntoArgument<#owned>),*
            ) -> ::airlock_sdk::Output<#value> {
                let #id = ::core::option::Option::Some(::core::convert::Into::into(#id));
                ::airlock_sdk::__private::add(<Self as ::airlock_sdk::__private::TaskSource>::spec(), #id, #wires)
            }

            #expand
        }

        #(#cfgs)*
        const _: () = {
            static SPEC: ::airlock_sdk::definition::TaskSpec = {
                #runner
                #spec
            };
            impl ::airlock_sdk::__private::TaskSource for #type_name {
                fn spec() -> &'static ::airlock_sdk::definition::TaskSpec {
                    &SPEC
                }
            }
            ::airlock_sdk::__private::inventory::submit! {
                ::airlock_sdk::__private::Registered(&SPEC)
            }
        };
    })
}

/// The ways to add the task as many: none for one without parameters.
fn expansion(vis: &syn::Visibility, arguments: &[Argument], value: &Type) -> Option<TokenStream> {
    if arguments.is_empty() {
        return None;
    }
    let names: Vec<&Ident> = arguments.iter().map(|argument| &argument.name).collect();
    let texts: Vec<String> = names.iter().map(|name| unraw(name)).collect();
    let owned: Vec<&Type> = arguments.iter().map(|argument| &argument.owned).collect();
    let spec = quote!(<Self as ::airlock_sdk::__private::TaskSource>::spec());
    let (source, item) = (local("source"), local("T"));
    Some(quote! {
        /// Adds the task as many: a parameter that is given `each(…)` of a list has another of its values in
        /// each instance.
        #[track_caller]
        #vis fn expand(
            #(#names: impl ::airlock_sdk::IntoMapped<#owned>),*
        ) -> ::airlock_sdk::Output<::std::vec::Vec<#value>> {
            ::airlock_sdk::__private::expand(#spec, ::std::vec![
                #((#texts, ::airlock_sdk::IntoMapped::<#owned>::into_mapped(#names))),*
            ])
        }

        /// Adds the task as many, one for each object of a list, whose keys are the parameters' names.
        #[track_caller]
        #vis fn expand_kwargs<#item>(
            #source: impl ::airlock_sdk::IntoSource<#item>,
        ) -> ::airlock_sdk::Output<::std::vec::Vec<#value>> {
            ::airlock_sdk::__private::expand_kwargs(
                #spec,
                &[#(#texts),*],
                ::airlock_sdk::IntoSource::into_source(#source),
            )
        }
    })
}

fn spec(settings: &Settings, task_id: &str, attrs: &[syn::Attribute], name: &Ident) -> TokenStream {
    let Settings {
        retries,
        backoff,
        pool_slots,
        priority_weight,
        depends_on_past,
        wait_for_downstream,
        ignore_first_depends_on_past,
        inlets,
        outlets,
        ..
    } = settings;
    let weight_rule = Ident::new(settings.weight_rule, Span::call_site());
    let per_dag = option(settings.max_active_tis_per_dag);
    let per_dagrun = option(settings.max_active_tis_per_dagrun);
    let role = match settings.role {
        Role::Work => quote!(Work),
        Role::Setup => quote!(Setup),
        Role::Teardown {
            on_failure_fail_dagrun,
        } => quote!(Teardown { on_failure_fail_dagrun: #on_failure_fail_dagrun }),
    };
    let retry_delay = duration(settings.retry_delay);
    let max_retry_delay = option(settings.max_retry_delay.map(duration));
    let execution_timeout = option(settings.execution_timeout.map(duration));
    let rule = Ident::new(settings.trigger_rule, Span::call_site());
    let pool = option(settings.pool.as_deref());
    let doc = option(settings.doc.clone().or_else(|| attribute::doc(attrs)));
    let entry = entry(name);
    let location = location(name);
    let callbacks = callback::specs(&settings.callbacks);
    let sensor = option(matches!(settings.kind, Kind::Sensor(_)).then(|| quote!(&SENSOR)));
    quote! {
        ::airlock_sdk::definition::TaskSpec {
            entry: #entry,
            task_id: #task_id,
            trigger_rule: ::airlock_sdk::definition::TriggerRule::#rule,
            retries: #retries,
            retry_delay: #retry_delay,
            retry_exponential_backoff: #backoff,
            max_retry_delay: #max_retry_delay,
            execution_timeout: #execution_timeout,
            pool: #pool,
            pool_slots: #pool_slots,
            priority_weight: #priority_weight,
            weight_rule: ::airlock_sdk::definition::WeightRule::#weight_rule,
            role: ::airlock_sdk::definition::Role::#role,
            depends_on_past: #depends_on_past,
            wait_for_downstream: #wait_for_downstream,
            ignore_first_depends_on_past: #ignore_first_depends_on_past,
            max_active_tis_per_dag: #per_dag,
            max_active_tis_per_dagrun: #per_dagrun,
            inlets: &[#((#inlets).reference()),*],
            outlets: &[#((#outlets).reference()),*],
            callbacks: #callbacks,
            doc: #doc,
            location: #location,
            run: __run,
            sensor: #sensor,
        }
    }
}

/// The function between the host's JSON and the author's types.
fn runner(
    name: &Ident,
    context: bool,
    arguments: &[Argument],
    output: &ReturnType,
    answer: (bool, bool),
    kind: &Kind,
) -> TokenStream {
    let (ctx, rest, mut result) = (local("context"), local("arguments"), local("result"));
    let context_argument = context.then(|| quote!(#ctx,));
    let count = arguments.len();
    let decode = arguments.iter().map(|Argument { name, owned, .. }| {
        let text = unraw(name);
        quote_spanned! {owned.span()=>
            let #name: #owned = ::airlock_sdk::__private::decode(&mut #rest, #text)?;
        }
    });
    let pass = arguments
        .iter()
        .map(|Argument { name, borrowed, .. }| match borrowed {
            true => quote!(&#name),
            false => quote!(#name),
        });
    let span = match output {
        ReturnType::Default => name.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    // What has no JSON form is an error at the type that the author wrote.
    result.set_span(result.span().located_at(span));
    let call = quote! {
        let mut #rest = ::airlock_sdk::__private::Arguments::new(#rest, #count)?;
        #(#decode)*
        let #result = #name::run(#context_argument #(#pass),*);
    };
    let body = kind.finish(&result, span, &call, answer);
    if let Kind::Sensor(sensor) = kind {
        let (entry, settings) = (entry(name), sensor.code());
        return quote! {
            static SENSOR: ::airlock_sdk::__private::SensorCode = ::airlock_sdk::__private::SensorCode {
                entry: #entry,
                settings: #settings,
                look: __look,
            };

            #[allow(unused_variables, unused_mut, clippy::let_unit_value, reason = "not every sensor takes and gives something")]
            fn __look(
                #ctx: &::airlock_sdk::Context,
                #rest: ::std::vec::Vec<::std::string::String>,
            ) -> ::airlock_sdk::Result<::airlock_sdk::Poke<::std::string::String>> {
                #body
            }

            fn __run(
                #ctx: &::airlock_sdk::Context,
                #rest: ::std::vec::Vec<::std::string::String>,
            ) -> ::airlock_sdk::Result<::airlock_sdk::__private::Outcome> {
                ::airlock_sdk::__private::run_sensor(&SENSOR, #ctx, #rest)
            }
        };
    }
    quote! {
        #[allow(unused_variables, unused_mut, clippy::let_unit_value, reason = "not every task takes and gives something")]
        fn __run(
            #ctx: &::airlock_sdk::Context,
            #rest: ::std::vec::Vec<::std::string::String>,
        ) -> ::airlock_sdk::Result<::airlock_sdk::__private::Outcome> {
            #body
        }
    }
}

/// A name for a local variable that no name of the author's can meet.
pub(crate) fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// Where the function stands, as code.
pub(crate) fn location(name: &Ident) -> TokenStream {
    quote_spanned! {name.span()=>
        ::airlock_sdk::definition::Location { file: ::core::file!(), line: ::core::line!() }
    }
}

/// The path of the function, as code.
fn entry(name: &Ident) -> TokenStream {
    let name = unraw(name);
    quote!(::core::concat!(::core::module_path!(), "::", #name))
}

/// The name without `r#`.
pub(crate) fn unraw(name: &Ident) -> String {
    syn::ext::IdentExt::unraw(name).to_string()
}
