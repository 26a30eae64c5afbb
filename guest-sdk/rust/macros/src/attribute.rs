//! What stands in the brackets of `#[dag(…)]` and `#[task(…)]`: `key`, `key = value` and `key(…)`, apart
//! by commas; and how values are read, each error at the value it is about.

use std::{fmt::Display, str::FromStr, time::Duration};

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Error, Expr, ExprLit, ExprUnary, Ident, Lit, Meta, Result, Token, UnOp,
    ext::IdentExt as _,
    parenthesized,
    parse::{Parse, ParseStream, Parser as _},
    punctuated::Punctuated,
    spanned::Spanned as _,
};

use crate::time;

/// One `key`, `key = value` or `key(…)`.
pub(crate) struct Entry {
    pub(crate) key: Ident,
    value: Value,
}

enum Value {
    None,
    Expr(Box<Expr>),
    List(TokenStream),
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key = input.call(Ident::parse_any)?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Value::Expr(Box::new(input.parse()?))
        } else if input.peek(syn::token::Paren) {
            let list;
            parenthesized!(list in input);
            Value::List(list.parse()?)
        } else {
            Value::None
        };
        Ok(Self { key, value })
    }
}

/// All entries, or an error for each key that is given twice.
pub(crate) fn entries(tokens: TokenStream) -> Result<Vec<Entry>> {
    let entries = Punctuated::<Entry, Token![,]>::parse_terminated.parse2(tokens)?;
    let mut seen: Vec<Entry> = Vec::new();
    let mut errors = Errors::default();
    for entry in entries {
        if seen.iter().any(|other| other.key == entry.key) {
            let key = &entry.key;
            errors.push(Error::new(
                key.span(),
                format!("`{key}` is given twice; keep one"),
            ));
        }
        seen.push(entry);
    }
    errors.finish()?;
    Ok(seen)
}

/// Several errors that are reported at once.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// The value, or its default after its error has been noted.
    pub(crate) fn take<T: Default>(&mut self, result: Result<T>) -> T {
        result.unwrap_or_else(|error| {
            self.push(error);
            T::default()
        })
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

impl Entry {
    /// The error for a key that does not exist.
    pub(crate) fn unknown(&self, what: &str, known: &[&str]) -> Error {
        let key = self.key.to_string();
        let close = known
            .iter()
            .copied()
            .min_by_key(|name| distance(name, &key));
        let hint = match close.filter(|name| distance(name, &key) <= 2) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known are {}", list(known)),
        };
        Error::new(
            self.key.span(),
            format!("`{key}` is no attribute of {what}; {hint}"),
        )
    }

    fn wants(&self, what: &str) -> Error {
        let key = &self.key;
        let message = format!("`{key}` wants {what}");
        match &self.value {
            Value::Expr(expr) => Error::new(expr.span(), message),
            Value::None | Value::List(_) => Error::new(key.span(), message),
        }
    }

    fn lit(&self) -> Option<&Lit> {
        match &self.value {
            Value::Expr(expr) => match &**expr {
                Expr::Lit(ExprLit { lit, .. }) => Some(lit),
                _ => None,
            },
            _ => None,
        }
    }

    /// The text of a string literal, checked by `read`, whose error lands on the literal.
    pub(crate) fn parsed<T, E: Display>(
        &self,
        example: &str,
        read: impl FnOnce(&str) -> std::result::Result<T, E>,
    ) -> Result<T> {
        match self.lit() {
            Some(Lit::Str(text)) => read(&text.value())
                .map_err(|e| Error::new(text.span(), format!("`{}`: {e}", self.key))),
            _ => Err(self.wants(&format!("a text such as {example}"))),
        }
    }

    pub(crate) fn text(&self) -> Result<String> {
        self.parsed("\"…\"", |text| Ok::<_, &str>(text.to_owned()))
    }

    /// An id: letters, digits, `_`, `-`, `.`; at most 250 bytes.
    pub(crate) fn id(&self) -> Result<String> {
        self.parsed("\"my_id\"", |text| match check_id(text) {
            Some(wrong) => Err(wrong),
            None => Ok(text.to_owned()),
        })
    }

    /// One of some names; gives what stands for it.
    pub(crate) fn one_of(
        &self,
        what: &str,
        names: &[(&'static str, &'static str)],
    ) -> Result<&'static str> {
        let (first, _) = names.first().copied().unwrap_or_default();
        self.parsed(&format!("\"{first}\""), |text| {
            let found = names.iter().find(|(name, _)| *name == text);
            found.map(|(_, variant)| *variant).ok_or_else(|| {
                let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
                format!(
                    "\"{text}\" is no {}; there are {}",
                    what.trim_start_matches("a "),
                    list(&names)
                )
            })
        })
    }

    /// `key(A, B)`: expressions.
    pub(crate) fn exprs(&self, example: &str) -> Result<Vec<Expr>> {
        match &self.value {
            Value::List(tokens) => Punctuated::<Expr, Token![,]>::parse_terminated
                .parse2(tokens.clone())
                .map(|all| all.into_iter().collect()),
            _ => Err(self.wants(&format!("a list such as {example}"))),
        }
    }

    /// `key = expression`.
    pub(crate) fn expr(&self, example: &str) -> Result<&Expr> {
        match &self.value {
            Value::Expr(expr) => Ok(expr),
            _ => Err(self.wants(example)),
        }
    }

    /// `key = [expression, …]`.
    pub(crate) fn array(&self, example: &str) -> Result<&Expr> {
        match &self.value {
            Value::Expr(expr) if matches!(**expr, Expr::Array(_)) => Ok(expr),
            _ => Err(self.wants(example)),
        }
    }

    pub(crate) fn duration(&self) -> Result<Duration> {
        self.parsed("\"30s\", \"5m\" or \"1h30m\"", time::duration)
    }

    /// Present alone, or `= true`, or `= false`.
    pub(crate) fn flag(&self) -> Result<bool> {
        match (&self.value, self.lit()) {
            (Value::None, _) => Ok(true),
            (_, Some(Lit::Bool(value))) => Ok(value.value),
            _ => Err(self.wants("`true`, `false`, or no value at all, which means `true`")),
        }
    }

    /// A whole number from `least` on.
    pub(crate) fn whole(&self, least: u32) -> Result<u32> {
        let wrong = || self.wants(&format!("a whole number, {least} or more"));
        match self.lit() {
            Some(Lit::Int(value)) => value
                .base10_parse()
                .ok()
                .filter(|value| *value >= least)
                .ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }

    pub(crate) fn signed(&self) -> Result<i32> {
        self.number("a whole number")
    }

    /// `true` (as in Airflow: doubling), `false`, or a factor of at least 0.
    pub(crate) fn backoff(&self) -> Result<f64> {
        let what = "`true` (each pause is twice the last), `false`, or a factor such as 1.5";
        match self.lit() {
            Some(Lit::Bool(on)) => Ok(if on.value { 2.0 } else { 0.0 }),
            _ => self.number::<f64>(what).and_then(|factor| {
                if factor >= 0.0 {
                    Ok(factor)
                } else {
                    Err(self.wants(what))
                }
            }),
        }
    }

    fn number<N: FromStr>(&self, what: &str) -> Result<N> {
        let (sign, lit) = match &self.value {
            Value::Expr(expr) => match &**expr {
                Expr::Unary(ExprUnary {
                    op: UnOp::Neg(_),
                    expr,
                    ..
                }) => ("-", literal(expr)),
                expr => ("", literal(expr)),
            },
            _ => ("", None),
        };
        let digits = match lit {
            Some(Lit::Int(value)) => value.base10_digits().to_owned(),
            Some(Lit::Float(value)) => value.base10_digits().to_owned(),
            _ => return Err(self.wants(what)),
        };
        format!("{sign}{digits}")
            .parse()
            .map_err(|_| self.wants(what))
    }

    /// `["a", "b"]`, or one text.
    pub(crate) fn texts(&self) -> Result<Vec<String>> {
        let wrong = || self.wants("a list of texts such as [\"a\", \"b\"]");
        let Value::Expr(expr) = &self.value else {
            return Err(wrong());
        };
        let all: Vec<&Expr> = match &**expr {
            Expr::Array(array) => array.elems.iter().collect(),
            one => vec![one],
        };
        all.into_iter()
            .map(|expr| match literal(expr) {
                Some(Lit::Str(text)) => Ok(text.value()),
                _ => Err(wrong()),
            })
            .collect()
    }

    /// `(name = literal, name(default = literal, schema = "…", description = "…"), required_name)`.
    pub(crate) fn params(&self) -> Result<Vec<Param>> {
        let Value::List(tokens) = &self.value else {
            return Err(
                self.wants("a list such as params(city = \"Seattle\", limit = 10, must_be_given)")
            );
        };
        entries(tokens.clone())?.iter().map(Param::read).collect()
    }

    /// Whether the value is a list in brackets.
    pub(crate) fn is_array(&self) -> bool {
        matches!(&self.value, Value::Expr(expr) if matches!(**expr, Expr::Array(_)))
    }

    /// Whether it stands alone, or says `true` or `false`.
    pub(crate) fn is_flag(&self) -> bool {
        matches!(self.value, Value::None) || matches!(self.lit(), Some(Lit::Bool(_)))
    }

    /// The texts of a list in brackets, or one text, each read by `read`.
    pub(crate) fn each_parsed<T>(
        &self,
        example: &str,
        read: impl Fn(&str) -> std::result::Result<T, String>,
    ) -> Result<Vec<T>> {
        let all: Vec<&Expr> = match &self.value {
            Value::Expr(expr) => match &**expr {
                Expr::Array(array) => array.elems.iter().collect(),
                one => vec![one],
            },
            _ => Vec::new(),
        };
        if all.is_empty() {
            return Err(self.wants(&format!("a text such as {example}")));
        }
        let each = all.into_iter().map(|expr| match literal(expr) {
            Some(Lit::Str(text)) => read(&text.value())
                .map_err(|e| Error::new(text.span(), format!("`{}`: {e}", self.key))),
            _ => {
                let message = format!("`{}` wants a text such as {example}", self.key);
                Err(Error::new(expr.span(), message))
            }
        });
        each.collect()
    }
}

/// A param of a DAG.
pub(crate) struct Param {
    pub(crate) name: String,
    /// JSON text.
    pub(crate) default: Option<String>,
    /// JSON text.
    pub(crate) schema: Option<String>,
    pub(crate) description: Option<String>,
}

impl Param {
    fn read(entry: &Entry) -> Result<Self> {
        let mut param = Self {
            name: entry.key.unraw().to_string(),
            default: None,
            schema: None,
            description: None,
        };
        match &entry.value {
            Value::None => {}
            Value::Expr(expr) => param.default = Some(json(expr)?),
            Value::List(tokens) => {
                for part in entries(tokens.clone())? {
                    match (part.key.to_string().as_str(), &part.value) {
                        ("default", Value::Expr(expr)) => param.default = Some(json(expr)?),
                        ("default", _) => return Err(part.wants("a value such as 10")),
                        ("schema", _) => param.schema = Some(part.text()?),
                        ("description", _) => param.description = Some(part.text()?),
                        _ => {
                            let known = ["default", "schema", "description"];
                            return Err(part.unknown("a param", &known));
                        }
                    }
                }
            }
        }
        Ok(param)
    }
}

fn literal(expr: &Expr) -> Option<&Lit> {
    match expr {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        _ => None,
    }
}

/// The JSON text of a Rust literal, or of a list of such.
fn json(expr: &Expr) -> Result<String> {
    match expr {
        Expr::Array(array) => {
            let all = array.elems.iter().map(json).collect::<Result<Vec<_>>>()?;
            return Ok(format!("[{}]", all.join(",")));
        }
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_),
            expr,
            ..
        }) => {
            if matches!(literal(expr), Some(Lit::Int(_) | Lit::Float(_))) {
                return Ok(format!("-{}", json(expr)?));
            }
        }
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Str(text) => return Ok(quoted(&text.value())),
            Lit::Bool(value) => return Ok(value.value.to_string()),
            Lit::Int(value) => return Ok(value.base10_digits().to_owned()),
            Lit::Float(value) => {
                // `1.` and `1e3` are Rust; what Display writes is JSON too.
                let number: f64 = value.base10_parse()?;
                if number.is_finite() {
                    return Ok(number.to_string());
                }
            }
            _ => {}
        },
        _ => {}
    }
    let message = "a param's default is a text, a number, `true`, `false`, or a list of those";
    Err(Error::new(expr.span(), message))
}

fn quoted(text: &str) -> String {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if (c as u32) < 0x20 => json.push_str(&format!("\\u{:04x}", c as u32)),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

/// What is wrong with an id, if anything.
pub(crate) fn check_id(id: &str) -> Option<&'static str> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if id.is_empty() || id.len() > 250 {
        Some("an id has 1 to 250 characters")
    } else if !id.chars().all(good) || id == "." || id == ".." {
        Some("an id is made of the letters a to z and A to Z, digits, `_`, `-` and `.`")
    } else {
        None
    }
}

/// `a`, `b` and `c`.
pub(crate) fn list(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The texts of `///` lines, apart by newlines; none if there are none.
pub(crate) fn doc(attributes: &[Attribute]) -> Option<String> {
    let lines: Vec<String> = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) => match literal(&pair.value) {
                Some(Lit::Str(text)) => Some(text.value()),
                _ => None,
            },
            _ => None,
        })
        .map(|line| {
            line.strip_prefix(' ')
                .unwrap_or(&line)
                .trim_end()
                .to_owned()
        })
        .collect();
    Some(lines.join("\n").trim().to_owned()).filter(|text| !text.is_empty())
}

/// The attributes that decide whether an item exists: they go to everything that is made from it.
pub(crate) fn cfgs(attributes: &[Attribute]) -> Vec<&Attribute> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .collect()
}

/// `Some(x)` or `None` as code.
pub(crate) fn option(value: Option<impl quote::ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

/// A duration as code.
pub(crate) fn duration(value: Duration) -> TokenStream {
    let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_micros(#micros))
}

/// How many letters have to change to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((y, above), diagonal) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or(0);
            next.push(
                (diagonal + usize::from(x != *y))
                    .min(above + 1)
                    .min(left + 1),
            );
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
