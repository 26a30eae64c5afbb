//! `#[resume]`: where a deferred task goes on. A function of the author's name takes all but how the wait ended, and
//! gives what `defer(…).resume(…)` wants; the code is `run`, as with tasks.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Error, Ident, ItemFn, Result, ReturnType, Type, spanned::Spanned as _};

use crate::{
    attribute::{self, Errors},
    signature::{Argument, inputs, ordinary, output},
    task::{local, unraw},
};

pub(crate) fn expand(attributes: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = syn::parse2(item)?;
    let mut errors = Errors::default();
    for entry in attribute::entries(attributes)? {
        errors.push(Error::new(
            entry.key.span(),
            "`#[resume]` takes nothing in brackets: retries, pool and the like are the task's",
        ));
    }
    ordinary(&function.sig, "#[resume] function").unwrap_or_else(|error| errors.push(error));
    let (context, mut arguments) =
        errors.take(inputs(&function.sig, "#[resume] function", "Context"));
    if arguments.first().is_none_or(|first| first.borrowed) {
        let span = arguments
            .first()
            .map_or(function.sig.ident.span(), |first| first.written.span());
        errors.push(Error::new(
            span,
            "a deferred task goes on with how its wait ended: after `&Context`, if it takes that, comes `done: Waited<…>`",
        ));
    }
    errors.finish()?;
    let waited = arguments.remove(0);

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
    let (value, fallible, deferred) = output(&sig.output);
    let mut body = sig.clone();
    body.ident = Ident::new("run", name.span());
    let text = unraw(name);
    let type_doc = format!("Where a deferred task goes on: `{text}`.");
    let run_doc = "The code as an ordinary function, for tests and for calls from other code.";

    let names: Vec<&Ident> = arguments.iter().map(|argument| &argument.name).collect();
    let owned: Vec<&Type> = arguments.iter().map(|argument| &argument.owned).collect();
    let written: Vec<&Type> = arguments.iter().map(|argument| &argument.written).collect();
    let pass = arguments
        .iter()
        .map(|Argument { name, borrowed, .. }| match borrowed {
            true => quote!(&#name),
            false => quote!(#name),
        });
    let (ctx, end, json) = (local("context"), local("waited"), local("json"));
    let (given, error, result) = (local("value"), local("error"), local("result"));
    let ctx_argument = context.then(|| quote!(#ctx,));
    let waited_type = &waited.owned;
    let span = match &sig.output {
        ReturnType::Default => name.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let finish = match deferred {
        true => quote_spanned!(span=> ::airlock_sdk::__private::finish_deferred(#given)),
        false => quote_spanned!(span=> ::airlock_sdk::__private::finish_value(&#given)),
    };
    let finish = match fallible {
        false => quote!({ let #given = #result; #finish }),
        true => {
            let failed = quote_spanned!(span=> ::airlock_sdk::__private::finish_error(#error));
            quote! {
                match #result {
                    ::core::result::Result::Ok(#given) => #finish,
                    ::core::result::Result::Err(#error) => #failed,
                }
            }
        }
    };
    let event = quote_spanned! {waited_type.span()=>
        <#waited_type as ::airlock_sdk::__private::WaitEnd>
    };

    Ok(quote! {
        #(#cfgs)*
        #(#docs)*
        #vis fn #name(#(#names: #written),*) -> ::airlock_sdk::Resume<#event::Event, #value> {
            ::airlock_sdk::__private::resume(#type_name::__code(), &(#(&#names,)*))
        }

        #(#cfgs)*
        #[doc = #type_doc]
        #[allow(non_camel_case_types, dead_code, reason = "it bears the function's name and holds no value")]
        #vis struct #type_name {}

        #(#cfgs)*
        #[allow(dead_code, reason = "not all code is called by a test")]
        impl #type_name {
            #[doc = #run_doc]
            #(#body_attrs)*
            #vis #body #block
        }

        #(#cfgs)*
        const _: () = {
            static CODE: ::airlock_sdk::__private::ResumeCode = ::airlock_sdk::__private::ResumeCode {
                method: ::core::concat!(::core::module_path!(), "::", #text),
                run: __run,
            };

            #[allow(unused_variables, clippy::let_unit_value, reason = "not every task takes and gives something")]
            fn __run(
                #ctx: &::airlock_sdk::Context,
                #end: ::airlock_sdk::Waited<::std::string::String>,
                #json: &str,
            ) -> ::airlock_sdk::Result<::airlock_sdk::__private::Outcome> {
                let #end = #event::from_json(#end)?;
                let (#(#names,)*): (#(#owned,)*) = ::airlock_sdk::__private::resume_arguments(#json)?;
                let #result = #type_name::run(#ctx_argument #end, #(#pass),*);
                #finish
            }

            impl #type_name {
                fn __code() -> &'static ::airlock_sdk::__private::ResumeCode {
                    &CODE
                }
            }

            ::airlock_sdk::__private::inventory::submit! {
                ::airlock_sdk::__private::RegisteredResume(&CODE)
            }
        };
    })
}
