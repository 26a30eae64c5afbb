//! Tasks that become many, one for each value of a list that may be known only when the run is under way.
//!
//! ```
//! use airlock_sdk::prelude::*;
//!
//! #[dag]
//! fn count_files() {
//!     let files = list();                            // Output<Vec<String>>
//!     let sizes = measure::expand(each(files), 1024); // one instance per file; Output<Vec<u64>>
//!     total(sizes);
//! }
//!
//! #[task]
//! fn list() -> Vec<String> {
//!     vec!["a.txt".to_owned(), "b.txt".to_owned()]
//! }
//!
//! #[task]
//! fn measure(file: &str, unit: u64) -> u64 {
//!     file.len() as u64 / unit
//! }
//!
//! #[task]
//! fn total(sizes: Vec<u64>) -> u64 {
//!     sizes.iter().sum()
//! }
//! ```

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
    marker::PhantomData,
};

use serde::Serialize;

use crate::{
    IntoArgument, Output,
    argument::{Wire, literal},
    graph::{GroupNode, Node},
};

/// Where values come from, on their way into the graph.
#[derive(Debug, Clone)]
#[doc(hidden)]
pub enum SourceWire {
    Literal(String),
    Output(Node),
    Zip(Vec<Self>, Option<&'static str>),
    Invalid(String),
}

/// What gives a list of `T`s: the [`Output`] of a task that returns `Vec<T>` (a [`BTreeMap`] or [`HashMap`]
/// is a list of its pairs), lent or not; a list or map itself, which becomes part of the definition; or
/// several such, side by side ([`zip`]).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of `{T}`",
    label = "not a list of `{T}`, and not the output of a task that returns one"
)]
pub trait IntoSource<T> {
    #[doc(hidden)]
    fn into_source(self) -> SourceWire;
}

macro_rules! lists {
    ($([$($generics:tt)*] $list:ty => $item:ty;)+) => {$(
        impl<$($generics)*> IntoSource<$item> for Output<$list> {
            fn into_source(self) -> SourceWire {
                SourceWire::Output(self.node())
            }
        }
        impl<$($generics)*> IntoSource<$item> for &Output<$list> {
            fn into_source(self) -> SourceWire {
                SourceWire::Output(self.node())
            }
        }
    )+};
}

lists! {
    [T] Vec<T> => T;
    [K, V] BTreeMap<K, V> => (K, V);
    [K, V, S] HashMap<K, V, S> => (K, V);
}

impl<T: Serialize> IntoSource<T> for Vec<T> {
    fn into_source(self) -> SourceWire {
        fixed(&self)
    }
}

impl<T: Serialize, const N: usize> IntoSource<T> for [T; N] {
    fn into_source(self) -> SourceWire {
        fixed(self.as_slice())
    }
}

impl<const N: usize> IntoSource<String> for [&str; N] {
    fn into_source(self) -> SourceWire {
        fixed(self.as_slice())
    }
}

impl<K: Serialize, V: Serialize> IntoSource<(K, V)> for BTreeMap<K, V> {
    fn into_source(self) -> SourceWire {
        fixed(&self)
    }
}

fn fixed<T: Serialize + ?Sized>(values: &T) -> SourceWire {
    match literal(values) {
        Wire::Literal(json) => SourceWire::Literal(json),
        Wire::Invalid(why) => SourceWire::Invalid(why),
        // A literal is one of the two.
        _ => SourceWire::Invalid("it is no list".to_owned()),
    }
}

/// Several lists, side by side: [`zip`], [`zip3`], [`zip_longest`].
#[derive(Debug)]
pub struct Zip<T> {
    wire: SourceWire,
    item: PhantomData<fn() -> T>,
}

impl<T> Zip<T> {
    fn new(sources: Vec<SourceWire>, fill: Option<&'static str>) -> Self {
        Self {
            wire: SourceWire::Zip(sources, fill),
            item: PhantomData,
        }
    }
}

impl<T> IntoSource<T> for Zip<T> {
    fn into_source(self) -> SourceWire {
        self.wire
    }
}

/// The pairs of two lists; the shorter one ends them.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// # #[task] fn days() -> Vec<String> { vec![] }
/// # #[task] fn rows() -> Vec<u64> { vec![] }
/// # #[task] fn check((day, rows): (String, u64)) {}
/// # #[dag] fn daily() {
/// check::expand(each(zip(days(), rows())));
/// # }
/// ```
pub fn zip<A, B>(a: impl IntoSource<A>, b: impl IntoSource<B>) -> Zip<(A, B)> {
    Zip::new(vec![a.into_source(), b.into_source()], None)
}

/// The triples of three lists; the shortest one ends them.
pub fn zip3<A, B, C>(
    a: impl IntoSource<A>,
    b: impl IntoSource<B>,
    c: impl IntoSource<C>,
) -> Zip<(A, B, C)> {
    let sources = vec![a.into_source(), b.into_source(), c.into_source()];
    Zip::new(sources, None)
}

/// The pairs of two lists, as many as the longer one has; what the shorter one lacks is `None`.
pub fn zip_longest<A, B>(
    a: impl IntoSource<A>,
    b: impl IntoSource<B>,
) -> Zip<(Option<A>, Option<B>)> {
    Zip::new(vec![a.into_source(), b.into_source()], Some("null"))
}

/// An argument of `expand` that is another one in each instance: [`each`].
#[derive(Debug)]
pub struct Each<T> {
    pub(crate) source: SourceWire,
    item: PhantomData<fn() -> T>,
}

/// Maps a parameter over a list: the task, or the group, becomes one instance for each value of it. Where
/// several parameters are mapped, there is one for each combination, the last one changing fastest.
pub fn each<T>(values: impl IntoSource<T>) -> Each<T> {
    Each {
        source: values.into_source(),
        item: PhantomData,
    }
}

/// An argument of `expand` on its way into the graph.
#[derive(Debug)]
#[doc(hidden)]
pub enum MappedWire {
    Same(Wire),
    Each(SourceWire),
}

/// What `expand` takes for a parameter of type `T`: [`each`] of a list of `T`s, or what a call takes
/// ([`IntoArgument`]), which is then the same in all instances.
#[diagnostic::on_unimplemented(
    message = "`expand` cannot take `{Self}` for a parameter of type `{T}`",
    label = "neither `each(…)` of a list of `{T}` nor a `{T}`",
    note = "wrap a list in `each(…)` to map over it"
)]
pub trait IntoMapped<T> {
    #[doc(hidden)]
    fn into_mapped(self) -> MappedWire;
}

/// What is the same in all instances: each way that [`IntoArgument`] knows.
macro_rules! same {
    ($([$($generics:tt)*] $for:ty => $argument:ty;)+) => {$(
        impl<$($generics)*> IntoMapped<$argument> for $for {
            fn into_mapped(self) -> MappedWire {
                MappedWire::Same(IntoArgument::<$argument>::into_argument(self))
            }
        }
    )+};
}

same! {
    [T: Serialize] T => T;
    [] &str => String;
    [T] Output<T> => T;
    [T] &Output<T> => T;
    [T] Output<T> => Option<T>;
    [T] &Output<T> => Option<T>;
    [T] Part<T> => T;
    [T] &Part<T> => T;
}

impl<T> IntoMapped<T> for Each<T> {
    fn into_mapped(self) -> MappedWire {
        MappedWire::Each(self.source)
    }
}

/// In a mapped group's function, this instance's value of what the group is mapped over.
pub struct Part<T> {
    group: GroupNode,
    name: Cow<'static, str>,
    item: PhantomData<fn() -> T>,
}

impl<T> Part<T> {
    pub(crate) const fn new(group: GroupNode, name: Cow<'static, str>) -> Self {
        Self {
            group,
            name,
            item: PhantomData,
        }
    }

    fn wire(&self) -> Wire {
        Wire::Part(self.group, self.name.clone())
    }
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self::new(self.group, self.name.clone())
    }
}

impl<T> fmt::Debug for Part<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part({})", self.name)
    }
}

impl<T> IntoArgument<T> for Part<T> {
    fn into_argument(self) -> Wire {
        self.wire()
    }
}

impl<T> IntoArgument<T> for &Part<T> {
    fn into_argument(self) -> Wire {
        self.wire()
    }
}
