//! `#[trigger]`: on an `impl Trigger`, its entry in the bundle's list of triggers; on a function that looks once, a
//! trigger that looks every so often.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Error, Ident, Item, ItemFn, ItemImpl, PathArguments, Result, Type, spanned::Spanned as _,
};

use crate::{
    attribute::{self, Entry, Errors, duration},
    signature::{Argument, inputs, ordinary, output},
    task::{local, positive, unraw},
};

const KEYS: [&str; 4] = ["every", "exponential_backoff", "max_wait", "timeout"];

pub(crate) fn expand(attributes: TokenStream, item: TokenStream) -> Result<TokenStream> {
    match syn::parse2(item)? {
        Item::Impl(item) => implementation(attributes, item),
        Item::Fn(function) => look(attributes, function),
        other => {
            let message =
                "`#[trigger]` stands on an `impl Trigger for …`, or on a function that looks once";
            Err(Error::new(other.span(), message))
        }
    }
}

fn implementation(attributes: TokenStream, item: ItemImpl) -> Result<TokenStream> {
    let mut errors = Errors::default();
    for entry in attribute::entries(attributes)? {
        errors.push(Error::new(
            entry.key.span(),
            format!(
                "only a trigger that is a function has `{}`; here, `poll` says when it looks again",
                entry.key
            ),
        ));
    }
    let of_trigger = item
        .trait_
        .as_ref()
        .and_then(|(_, path, _)| path.segments.last());
    if of_trigger.is_none_or(|last| last.ident != "Trigger") {
        let message = "`#[trigger]` stands on an `impl Trigger for …`";
        errors.push(Error::new(item.self_ty.span(), message));
    }
    let name = match &*item.self_ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    };
    let plain = name.filter(|name| matches!(name.arguments, PathArguments::None));
    if plain.is_none() || !item.generics.params.is_empty() {
        let message = "a trigger has no generic parameters or lifetimes: the host finds it by the name of its type";
        errors.push(Error::new(item.self_ty.span(), message));
    }
    errors.finish()?;
    let name = plain.map(|name| unraw(&name.ident)).unwrap_or_default();
    let cfgs = attribute::cfgs(&item.attrs);
    let entry = entry(&item.self_ty, &name);
    Ok(quote! {
        #item

        #(#cfgs)*
        #entry
    })
}

/// The entry in the bundle's list.
fn entry(ty: &Type, name: &str) -> TokenStream {
    quote! {
        const _: () = {
            impl ::airlock_sdk::__private::TriggerSource for #ty {
                const KIND: &'static str = ::core::concat!(::core::module_path!(), "::", #name);
            }
            ::airlock_sdk::__private::inventory::submit! {
                ::airlock_sdk::__private::RegisteredTrigger(
                    ::airlock_sdk::__private::trigger_code::<#ty>()
                )
            }
        };
    }
}

struct Settings {
    every: Duration,
    exponential_backoff: bool,
    max_wait: Option<Duration>,
    timeout: Option<Duration>,
}

impl Settings {
    /// With the defaults of sensors.
    fn read(entries: &[Entry]) -> Result<Self> {
        let mut settings = Self {
            every: Duration::from_secs(60),
            exponential_backoff: false,
            max_wait: None,
            timeout: None,
        };
        let mut errors = Errors::default();
        for entry in entries {
            let set = match entry.key.to_string().as_str() {
                "every" => positive(entry).map(|every| settings.every = every),
                "exponential_backoff" => entry.flag().map(|on| settings.exponential_backoff = on),
                "max_wait" => positive(entry).map(|longest| settings.max_wait = Some(longest)),
                "timeout" => positive(entry).map(|timeout| settings.timeout = Some(timeout)),
                _ => Err(entry.unknown("a trigger", &KEYS)),
            };
            set.unwrap_or_else(|error| errors.push(error));
        }
        if settings.max_wait.is_some() && !settings.exponential_backoff {
            let entry = entries.iter().find(|entry| entry.key == "max_wait");
            let span = entry.map_or_else(Span::call_site, |entry| entry.key.span());
            let message = "`max_wait` bounds pauses that grow: it goes with `exponential_backoff`";
            errors.push(Error::new(span, message));
        }
        errors.finish()?;
        Ok(settings)
    }

    fn code(&self) -> TokenStream {
        let every = duration(self.every);
        let mut code = quote!(::airlock_sdk::every(#every));
        if self.exponential_backoff {
            let longest = duration(self.max_wait.unwrap_or(Duration::from_secs(86_400)));
            code = quote!(#code.exponential_backoff(#longest));
        }
        if let Some(timeout) = self.timeout {
            let timeout = duration(timeout);
            code = quote!(#code.timeout(#timeout));
        }
        code
    }
}

/// A function that looks once: a type of its name holds the arguments, and a function of its name makes one.
fn look(attributes: TokenStream, function: ItemFn) -> Result<TokenStream> {
    let mut errors = Errors::default();
    ordinary(&function.sig, "trigger").unwrap_or_else(|error| errors.push(error));
    let settings = attribute::entries(attributes).and_then(|entries| Settings::read(&entries));
    let (context, arguments) = errors.take(inputs(&function.sig, "trigger", "TriggerContext"));
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
    let cfgs = attribute::cfgs(attrs);
    let docs: Vec<_> = attrs.iter().filter(|a| a.path().is_ident("doc")).collect();
    let body_attrs = attrs.iter().filter(|a| !a.path().is_ident("doc"));
    let type_name = Ident::new(&name.to_string(), Span::call_site().located_at(name.span()));
    let (answer, fallible, _) = output(&sig.output);
    let mut body = sig.clone();
    body.ident = Ident::new("run", name.span());

    let names: Vec<&Ident> = arguments.iter().map(|argument| &argument.name).collect();
    let owned: Vec<&Type> = arguments.iter().map(|argument| &argument.owned).collect();
    let written: Vec<&Type> = arguments.iter().map(|argument| &argument.written).collect();
    let made = arguments
        .iter()
        .map(|Argument { name, borrowed, .. }| match borrowed {
            true => quote!(::std::borrow::ToOwned::to_owned(#name)),
            false => quote!(#name),
        });
    let pass = arguments
        .iter()
        .map(|Argument { name, borrowed, .. }| match borrowed {
            true => quote!(#name),
            false => quote!(::core::clone::Clone::clone(#name)),
        });
    let (cx, error) = (local("cx"), local("error"));
    let cx_argument = context.then(|| quote!(#cx,));
    let span = answer.span();
    let run = quote!(#type_name::run(#cx_argument #(#pass),*));
    let looked = match fallible {
        false => quote!(::core::result::Result::Ok(#run)),
        true => quote_spanned! {span=>
            match #run {
                ::core::result::Result::Ok(answer) => ::core::result::Result::Ok(answer),
                ::core::result::Result::Err(#error) => ::core::result::Result::Err(
                    ::core::convert::Into::<::airlock_sdk::Error>::into(#error)
                ),
            }
        },
    };
    let every = settings.code();
    let text = unraw(name);
    let ty: Type = syn::parse_quote!(#type_name);
    let entry = entry(&ty, &text);
    let run_doc = "What it does when it looks, as an ordinary function.";
    let type_doc = format!("The trigger `{text}`, with what it is made with.");

    Ok(quote! {
        #(#cfgs)*
        #(#docs)*
        #vis fn #name(#(#names: #written),*) -> #type_name {
            #type_name { arguments: (#(#made,)*) }
        }

        #(#cfgs)*
        #[doc = #type_doc]
        #[allow(non_camel_case_types, reason = "it bears the function's name")]
        #[derive(Clone, Debug, PartialEq)]
        #vis struct #type_name {
            arguments: (#(#owned,)*),
        }

        #(#cfgs)*
        #[allow(dead_code, reason = "not every trigger is looked at by a test")]
        impl #type_name {
            #[doc = #run_doc]
            #(#body_attrs)*
            #vis #body #block
        }

        #(#cfgs)*
        const _: () = {
            use ::airlock_sdk::__private::serde;

            impl serde::Serialize for #type_name {
                fn serialize<S: serde::Serializer>(&self, to: S) -> ::core::result::Result<S::Ok, S::Error> {
                    serde::Serialize::serialize(&self.arguments, to)
                }
            }

            impl<'de> serde::Deserialize<'de> for #type_name {
                fn deserialize<D: serde::Deserializer<'de>>(from: D) -> ::core::result::Result<Self, D::Error> {
                    ::core::result::Result::Ok(Self { arguments: serde::Deserialize::deserialize(from)? })
                }
            }

            impl ::airlock_sdk::Trigger for #type_name {
                type State = ();
                type Event = <#answer as ::airlock_sdk::SensorAnswer>::Value;

                fn poll(
                    &self,
                    (): &mut (),
                    #cx: &::airlock_sdk::TriggerContext,
                ) -> ::airlock_sdk::Result<::airlock_sdk::Polled<Self::Event>> {
                    let (#(#names,)*) = &self.arguments;
                    #every.poll(#cx, || #looked)
                }
            }
        };

        #(#cfgs)*
        #entry
    })
}
