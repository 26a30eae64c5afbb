//! What the signature of a DAG or task function says, and what it may not say.

use proc_macro2::Span;
use quote::format_ident;
use syn::{
    Error, FnArg, GenericArgument, Ident, Pat, PathArguments, Result, ReturnType, Signature, Type,
    spanned::Spanned as _,
};

use crate::attribute::Errors;

/// One parameter of the author's function that is an argument of the task.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    /// The owned type that crosses between tasks.
    pub(crate) owned: Type,
    pub(crate) borrowed: bool,
    /// As the author wrote it.
    pub(crate) written: Type,
}

/// What a function may be lent first.
const CONTEXTS: [&str; 3] = ["Context", "TriggerContext", "CallbackContext"];

/// Whether the function, a `what`, takes the context that is its own, and its other parameters.
pub(crate) fn inputs(sig: &Signature, what: &str, own: &str) -> Result<(bool, Vec<Argument>)> {
    let mut errors = Errors::default();
    let mut context = false;
    let mut arguments = Vec::new();
    for (i, input) in sig.inputs.iter().enumerate() {
        let FnArg::Typed(input) = input else {
            errors.push(Error::new(
                input.span(),
                format!("a {what} is a function on its own, without `self`"),
            ));
            continue;
        };
        if let Some(found) = context_of(&input.ty) {
            let wrong = match (&*input.ty, i) {
                _ if found != own => Some(format!("a {what} is lent a `&{own}`")),
                (Type::Reference(reference), 0) if reference.mutability.is_none() => None,
                (_, 0) => Some(format!("the context is lent: write `&{own}`")),
                _ => Some(format!("`&{own}` comes first among a {what}'s parameters")),
            };
            match wrong {
                None => context = true,
                Some(wrong) => errors.push(Error::new(input.ty.span(), wrong)),
            }
            continue;
        }
        let name = match &*input.pat {
            Pat::Ident(pattern) => Ident::new(&pattern.ident.to_string(), pattern.ident.span()),
            _ => format_ident!("argument_{}", i + 1),
        };
        match owned(&input.ty, what) {
            Ok((owned, borrowed)) => arguments.push(Argument {
                name,
                owned,
                borrowed,
                written: (*input.ty).clone(),
            }),
            Err(error) => errors.push(error),
        }
    }
    errors.finish()?;
    Ok((context, arguments))
}

fn context_of(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Reference(reference) => context_of(&reference.elem),
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            CONTEXTS.into_iter().find(|name| last.ident == name)
        }
        _ => None,
    }
}

/// The owned type behind a parameter, and whether the function borrows it.
fn owned(ty: &Type, what: &str) -> Result<(Type, bool)> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() => Err(Error::new(
            ty.span(),
            format!("a {what} takes values or `&` references: what it changes reaches nobody else"),
        )),
        Type::Reference(reference) => {
            let elem = &reference.elem;
            let owned = match &**elem {
                Type::Path(path) if path.path.is_ident("str") => {
                    syn::parse_quote_spanned!(ty.span()=> ::std::string::String)
                }
                Type::Slice(slice) => {
                    let item = &slice.elem;
                    syn::parse_quote_spanned!(ty.span()=> ::std::vec::Vec<#item>)
                }
                elem => elem.clone(),
            };
            Ok((owned, true))
        }
        Type::ImplTrait(_) => Err(Error::new(
            ty.span(),
            format!("a {what}'s parameters have concrete types: their JSON form must be known"),
        )),
        ty => Ok((ty.clone(), false)),
    }
}

/// What the task gives to others, whether it may fail, and whether it may defer: `Result<T, …>` and `Deferred<T>` are
/// known by their names.
pub(crate) fn output(output: &ReturnType) -> (Type, bool, bool) {
    let ReturnType::Type(_, ty) = output else {
        return (syn::parse_quote!(()), false, false);
    };
    let (answer, fallible) = match inside(ty, "Result") {
        Some(value) => (value, true),
        None => (&**ty, false),
    };
    match inside(answer, "Deferred") {
        Some(value) => (value.clone(), fallible, true),
        None => (answer.clone(), fallible, false),
    }
}

/// The first generic argument of a type of this name.
fn inside<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(generics) = &last.arguments else {
        return None;
    };
    match generics.args.first()? {
        GenericArgument::Type(value) if last.ident == name => Some(value),
        _ => None,
    }
}

/// Refuses what neither a DAG nor a task can be.
pub(crate) fn ordinary(sig: &Signature, what: &str) -> Result<()> {
    let mut errors = Errors::default();
    let mut refuse = |span: Span, text: &str| {
        errors.push(Error::new(
            span,
            format!("a {what} is an ordinary function: {text}"),
        ));
    };
    if let Some(word) = &sig.asyncness {
        refuse(word.span(), "drop `async`; its calls may simply wait");
    }
    if let Some(word) = &sig.unsafety {
        refuse(word.span(), "drop `unsafe`");
    }
    if let Some(word) = &sig.constness {
        refuse(word.span(), "drop `const`");
    }
    if let Some(word) = &sig.abi {
        refuse(word.span(), "drop `extern`");
    }
    if let Some(word) = &sig.variadic {
        refuse(word.span(), "drop `...`");
    }
    if !sig.generics.params.is_empty() {
        refuse(
            sig.generics.span(),
            "it has no generic parameters or lifetimes; name concrete types",
        );
    }
    errors.finish()
}
