//! `#[callback]`: code that hears of tasks and runs; and how attributes name it. A function of the author's name takes
//! all but the context, and gives what an attribute wants; the code is `run`, as with tasks.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Error, Expr, Ident, ItemFn, Result, Type, spanned::Spanned as _};

use crate::{
    attribute::{self, Entry, Errors},
    signature::{Argument, inputs, ordinary},
    task::{local, unraw},
};

/// The attributes of a task that name callbacks, and of what these hear.
pub(crate) const OF_TASKS: [(&str, &str); 5] = [
    ("on_execute", "TaskExecute"),
    ("on_success", "TaskSuccess"),
    ("on_failure", "TaskFailure"),
    ("on_retry", "TaskRetry"),
    ("on_skip", "TaskSkipped"),
];

/// The same of a DAG.
pub(crate) const OF_DAGS: [(&str, &str); 2] =
    [("on_success", "DagSuccess"), ("on_failure", "DagFailure")];

/// A callback that an attribute names.
pub(crate) struct Named {
    on: &'static str,
    callback: Expr,
}

/// What an attribute names, if it is one that names callbacks.
pub(crate) fn named(
    entry: &Entry,
    keys: &[(&'static str, &'static str)],
) -> Option<Result<Vec<Named>>> {
    let (_, on) = keys.iter().find(|(key, _)| entry.key == key)?;
    let example = "a callback such as tell, tell(\"#alerts\"), or a list of such";
    Some(entry.expr(example).map(|expr| {
        let all: Vec<&Expr> = match expr {
            Expr::Array(array) => array.elems.iter().collect(),
            one => vec![one],
        };
        all.into_iter()
            .map(|callback| Named {
                on,
                callback: callback.clone(),
            })
            .collect()
    }))
}

/// As code.
pub(crate) fn specs(all: &[Named]) -> TokenStream {
    let all = all.iter().map(|Named { on, callback }| {
        let on = Ident::new(on, Span::call_site());
        // A name alone is a call, so that a missing argument is told as one.
        let call = matches!(callback, Expr::Path(_)).then(|| quote_spanned!(callback.span()=> ()));
        quote_spanned! {callback.span()=>
            ::airlock_sdk::__private::CallbackSpec {
                on: ::airlock_sdk::CallbackKind::#on,
                callback: || ::airlock_sdk::IntoCallback::into_callback(#callback #call),
            }
        }
    });
    quote!(&[#(#all),*])
}

pub(crate) fn expand(attributes: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = syn::parse2(item)?;
    let mut errors = Errors::default();
    for entry in attribute::entries(attributes)? {
        errors.push(Error::new(
            entry.key.span(),
            "`#[callback]` takes nothing in brackets",
        ));
    }
    ordinary(&function.sig, "callback").unwrap_or_else(|error| errors.push(error));
    let (context, arguments) = errors.take(inputs(&function.sig, "callback", "CallbackContext"));
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
    let body_attrs = attrs.iter().filter(|a| !a.path().is_ident("doc"));
    let type_name = Ident::new(&name.to_string(), Span::call_site().located_at(name.span()));
    let mut body = sig.clone();
    body.ident = Ident::new("run", name.span());
    let text = unraw(name);
    let type_doc = format!("The callback `{text}`.");
    let run_doc =
        "The callback's code as an ordinary function, for tests and for calls from other code.";

    let names: Vec<&Ident> = arguments.iter().map(|argument| &argument.name).collect();
    let owned: Vec<&Type> = arguments.iter().map(|argument| &argument.owned).collect();
    let written: Vec<&Type> = arguments.iter().map(|argument| &argument.written).collect();
    let pass = arguments
        .iter()
        .map(|Argument { name, borrowed, .. }| match borrowed {
            true => quote!(&#name),
            false => quote!(#name),
        });
    let (what, json) = (local("what"), local("json"));
    let what_argument = context.then(|| quote!(#what,));
    let span = match &sig.output {
        syn::ReturnType::Default => name.span(),
        syn::ReturnType::Type(_, ty) => ty.span(),
    };
    let run = quote!(#type_name::run(#what_argument #(#pass),*));
    let finish = quote_spanned! {span=>
        ::airlock_sdk::__private::CallbackResult::into_result(#run)
    };

    Ok(quote! {
        #(#cfgs)*
        #(#docs)*
        #vis fn #name(#(#names: #written),*) -> ::airlock_sdk::Callback {
            ::airlock_sdk::__private::callback(#type_name::__CODE, &(#(&#names,)*))
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
            #[allow(unused_variables, reason = "not every callback looks at what it is told")]
            fn __run(#what: &::airlock_sdk::CallbackContext, #json: &str) -> ::airlock_sdk::Result<()> {
                let (#(#names,)*): (#(#owned,)*) = ::airlock_sdk::__private::callback_arguments(#json)?;
                #finish
            }

            impl #type_name {
                const __CODE: ::airlock_sdk::__private::CallbackCode = ::airlock_sdk::__private::CallbackCode {
                    entry: ::core::concat!(::core::module_path!(), "::", #text),
                    run: __run,
                };
            }

            ::airlock_sdk::__private::inventory::submit! {
                ::airlock_sdk::__private::RegisteredCallback(#type_name::__CODE)
            }
        };
    })
}
