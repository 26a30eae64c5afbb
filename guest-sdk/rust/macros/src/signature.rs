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
}

/// Whether the function takes the context, and its other parameters.
pub(crate) fn inputs(sig: &Signature) -> Result<(bool, Vec<Argument>)> {
    let mut errors = Errors::default();
    let mut context = false;
    let mut arguments = Vec::new();
    for (i, input) in sig.inputs.iter().enumerate() {
        let FnArg::Typed(input) = input else {
            errors.push(Error::new(
                input.span(),
                "a task is a function on its own, without `self`",
            ));
            continue;
        };
        if is_context(&input.ty) {
            match (&*input.ty, i) {
                (Type::Reference(reference), 0) if reference.mutability.is_none() => context = true,
                (Type::Reference(_), 0) | (_, 0) => {
                    errors.push(Error::new(
                        input.ty.span(),
                        "the context is lent: write `&Context`",
                    ));
                }
                _ => errors.push(Error::new(
                    input.ty.span(),
                    "`&Context` comes first among a task's parameters",
                )),
            }
            continue;
        }
        let name = match &*input.pat {
            Pat::Ident(pattern) => Ident::new(&pattern.ident.to_string(), pattern.ident.span()),
            _ => format_ident!("argument_{}", i + 1),
        };
        match owned(&input.ty) {
            Ok((owned, borrowed)) => arguments.push(Argument {
                name,
                owned,
                borrowed,
            }),
            Err(error) => errors.push(error),
        }
    }
    errors.finish()?;
    Ok((context, arguments))
}

fn is_context(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => is_context(&reference.elem),
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "Context"),
        _ => false,
    }
}

/// The owned type behind a parameter, and whether the function borrows it.
fn owned(ty: &Type) -> Result<(Type, bool)> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() => Err(Error::new(
            ty.span(),
            "a task takes values or `&` references: what it changes reaches nobody else",
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
            "a task's parameters have concrete types: their JSON form must be known",
        )),
        ty => Ok((ty.clone(), false)),
    }
}

/// What the task gives to others, and whether it may fail: `Result<T, …>` is known by its name.
pub(crate) fn output(output: &ReturnType) -> (Type, bool) {
    let ReturnType::Type(_, ty) = output else {
        return (syn::parse_quote!(()), false);
    };
    if let Type::Path(path) = &**ty
        && let Some(last) = path.path.segments.last()
        && last.ident == "Result"
        && let PathArguments::AngleBracketed(generics) = &last.arguments
        && let Some(GenericArgument::Type(value)) = generics.args.first()
    {
        return (value.clone(), true);
    }
    ((**ty).clone(), false)
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
