//! The handle of a task in a DAG function, and the order of tasks that pass each other no data.

use std::{fmt, marker::PhantomData};

use crate::graph::{self, Node};

/// What a task will have returned: the handle that calling it in a DAG function gives.
///
/// Passing it to another task's call wires the two; [`Tasks::before`] and [`Tasks::after`] order them
/// without data. Where it is needed more than once, lend it: `report(&count)`.
pub struct Output<T> {
    node: Node,
    value: PhantomData<fn() -> T>,
}

impl<T> Output<T> {
    pub(crate) const fn new(node: Node) -> Self {
        Self {
            node,
            value: PhantomData,
        }
    }

    pub(crate) const fn node(&self) -> Node {
        self.node
    }
}

impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        Self::new(self.node)
    }
}

impl<T> fmt::Debug for Output<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Output({:?})", self.node)
    }
}

/// One task or several: an [`Output`], or a list, slice, array or tuple of such.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// # #[task] fn load() {}
/// # #[task] fn clean() {}
/// # #[task] fn report() {}
/// # #[task] fn notify() {}
/// #[dag]
/// fn nightly() {
///     let (clean, report) = (clean(), report());
///     load().before((&clean, &report)); // load → clean and load → report
///     notify().after([clean, report]); // clean → notify and report → notify
/// }
/// ```
pub trait Tasks: Sized {
    /// Calls `each` with every task.
    #[doc(hidden)]
    fn each(&self, each: &mut dyn FnMut(Node));

    /// Makes all of `later` wait for all of these.
    #[track_caller]
    fn before(&self, later: impl Tasks) {
        link(self, &later);
    }

    /// Makes all of these wait for all of `earlier`.
    #[track_caller]
    fn after(&self, earlier: impl Tasks) {
        link(&earlier, self);
    }
}

#[track_caller]
fn link(earlier: &impl Tasks, later: &impl Tasks) {
    // The tasks first, since a closure could not see the caller's location.
    let (mut first, mut second) = (Vec::new(), Vec::new());
    earlier.each(&mut |node| first.push(node));
    later.each(&mut |node| second.push(node));
    for earlier in first {
        for later in &second {
            graph::order(earlier, *later);
        }
    }
}

impl<T> Tasks for Output<T> {
    fn each(&self, each: &mut dyn FnMut(Node)) {
        each(self.node);
    }
}

impl<T: Tasks> Tasks for &T {
    fn each(&self, each: &mut dyn FnMut(Node)) {
        (**self).each(each);
    }
}

impl<T: Tasks> Tasks for &[T] {
    fn each(&self, each: &mut dyn FnMut(Node)) {
        self.iter().for_each(|tasks| tasks.each(each));
    }
}

impl<T: Tasks> Tasks for Vec<T> {
    fn each(&self, each: &mut dyn FnMut(Node)) {
        self.iter().for_each(|tasks| tasks.each(each));
    }
}

impl<T: Tasks, const N: usize> Tasks for [T; N] {
    fn each(&self, each: &mut dyn FnMut(Node)) {
        self.iter().for_each(|tasks| tasks.each(each));
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))+) => {$(
        impl<$($name: Tasks),+> Tasks for ($($name,)+) {
            fn each(&self, each: &mut dyn FnMut(Node)) {
                #[expect(non_snake_case, reason = "the type parameters' names serve as the values'")]
                let ($($name,)+) = self;
                $($name.each(each);)+
            }
        }
    )+};
}

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
}
