//! What may stand as an argument of a task in a DAG function, and how a try gets it back.

use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Output, Result, fail,
    graph::{GroupNode, Node},
};

/// An argument on its way into the graph.
#[derive(Debug)]
#[doc(hidden)]
pub enum Wire {
    Literal(String),
    Output(Node),
    /// This instance's part of what the task is mapped over.
    Mapped(&'static str),
    /// This instance's part of what a group is mapped over.
    Part(GroupNode, Cow<'static, str>),
    Invalid(String),
}

/// What a task's parameter of type `T` can be given in a DAG function: the [`Output`] of a task that returns
/// `T`, lent or not, or a value of type `T`, which becomes part of the definition as JSON.
///
/// A parameter of type `Option<T>` takes the output of a task that returns `T`, too: it is `None` where that
/// task returned nothing, for instance because it was skipped and a trigger rule lets this one run.
#[diagnostic::on_unimplemented(
    message = "a task's parameter of type `{T}` cannot be given `{Self}`",
    label = "this is not `{T}`, and not the output of a task that returns it",
    note = "wire it to a task that returns `{T}`, or pass a value of type `{T}`"
)]
pub trait IntoArgument<T> {
    #[doc(hidden)]
    fn into_argument(self) -> Wire;
}

impl<T: Serialize> IntoArgument<T> for T {
    fn into_argument(self) -> Wire {
        literal(&self)
    }
}

impl IntoArgument<String> for &str {
    fn into_argument(self) -> Wire {
        literal(self)
    }
}

impl<T> IntoArgument<T> for Output<T> {
    fn into_argument(self) -> Wire {
        Wire::Output(self.node())
    }
}

impl<T> IntoArgument<T> for &Output<T> {
    fn into_argument(self) -> Wire {
        Wire::Output(self.node())
    }
}

impl<T> IntoArgument<Option<T>> for Output<T> {
    fn into_argument(self) -> Wire {
        Wire::Output(self.node())
    }
}

impl<T> IntoArgument<Option<T>> for &Output<T> {
    fn into_argument(self) -> Wire {
        Wire::Output(self.node())
    }
}

pub(crate) fn literal<T: Serialize + ?Sized>(value: &T) -> Wire {
    match serde_json::to_string(value) {
        Ok(json) => Wire::Literal(json),
        Err(error) => Wire::Invalid(error.to_string()),
    }
}

/// The arguments of one try, as JSON texts.
#[doc(hidden)]
#[derive(Debug)]
pub struct Arguments(std::vec::IntoIter<String>);

impl Arguments {
    #[track_caller]
    pub fn new(arguments: Vec<String>, wanted: usize) -> Result<Self> {
        match arguments.len() == wanted {
            true => Ok(Self(arguments.into_iter())),
            false => Err(fail(format!(
                "the task takes {wanted} arguments and was given {}: the run began with another version of the bundle",
                arguments.len()
            ))),
        }
    }
}

/// The next argument as the author's type. A wrong one does not get better by another try.
#[doc(hidden)]
#[track_caller]
pub fn decode<T: DeserializeOwned>(arguments: &mut Arguments, name: &str) -> Result<T> {
    let json = arguments.0.next().unwrap_or_else(|| "null".to_owned());
    // `match` rather than a closure, which would be the location that the error notes.
    match serde_json::from_str(&json) {
        Ok(value) => Ok(value),
        Err(error) => {
            let hint = match json.as_str() {
                "null" => "; its upstream task returned nothing: take an `Option` if that may be",
                _ => "",
            };
            let wanted = std::any::type_name::<T>();
            Err(fail(format_args!(
                "argument `{name}` is no `{wanted}`: {error}{hint}"
            )))
        }
    }
}
