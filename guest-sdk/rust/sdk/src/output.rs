//! The handle of a task in a DAG function, and the order of tasks that pass each other no data.

use std::{fmt, marker::PhantomData};

use crate::graph;

/// What a task will have returned: the handle that calling it in a DAG function gives.
///
/// Passing it to another task's call wires the two; [`Tasks::before`] and [`Tasks::after`] order them
/// without data. It is a number underneath, and `Copy`.
pub struct Output<T> {
    index: usize,
    value: PhantomData<fn() -> T>,
}

impl<T> Output<T> {
    pub(crate) const fn new(index: usize) -> Self {
        Self {
            index,
            value: PhantomData,
        }
    }

    pub(crate) const fn index(self) -> usize {
        self.index
    }
}

impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Output<T> {}

impl<T> fmt::Debug for Output<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Output(task {})", self.index)
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
///     let load = load();
///     load.before((clean(), report()).before(notify())); // load → clean and report → notify
/// }
/// ```
pub trait Tasks: Sized {
    /// Calls `each` with the position of every task.
    #[doc(hidden)]
    fn each(&self, each: &mut dyn FnMut(usize));

    /// Makes all of `later` wait for all of these. Gives these back, so that calls can be nested.
    #[track_caller]
    fn before(self, later: impl Tasks) -> Self {
        link(&self, &later);
        self
    }

    /// Makes all of these wait for all of `earlier`. Gives these back, so that calls can be nested.
    #[track_caller]
    fn after(self, earlier: impl Tasks) -> Self {
        link(&earlier, &self);
        self
    }
}

#[track_caller]
fn link(earlier: &impl Tasks, later: &impl Tasks) {
    // The positions first, since the closure below cannot see the caller's location.
    let (mut first, mut second) = (Vec::new(), Vec::new());
    earlier.each(&mut |index| first.push(index));
    later.each(&mut |index| second.push(index));
    for earlier in first {
        for later in &second {
            graph::order(earlier, *later);
        }
    }
}

impl<T> Tasks for Output<T> {
    fn each(&self, each: &mut dyn FnMut(usize)) {
        each(self.index);
    }
}

impl<T: Tasks> Tasks for &T {
    fn each(&self, each: &mut dyn FnMut(usize)) {
        (**self).each(each);
    }
}

impl<T: Tasks> Tasks for &[T] {
    fn each(&self, each: &mut dyn FnMut(usize)) {
        self.iter().for_each(|tasks| tasks.each(each));
    }
}

impl<T: Tasks> Tasks for Vec<T> {
    fn each(&self, each: &mut dyn FnMut(usize)) {
        self.iter().for_each(|tasks| tasks.each(each));
    }
}

impl<T: Tasks, const N: usize> Tasks for [T; N] {
    fn each(&self, each: &mut dyn FnMut(usize)) {
        self.iter().for_each(|tasks| tasks.each(each));
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))+) => {$(
        impl<$($name: Tasks),+> Tasks for ($($name,)+) {
            fn each(&self, each: &mut dyn FnMut(usize)) {
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
