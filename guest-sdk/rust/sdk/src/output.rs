//! The handle of a task in a DAG function, and the order of tasks that pass each other no data.

use std::{fmt, marker::PhantomData};

use crate::{
    definition::{Role, TaskSpec},
    graph::{self, Node},
};

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

    /// Gives this call an id of its own, which a second call of a task in the same DAG needs. In a group, the
    /// group's id comes before it.
    ///
    /// ```
    /// # use airlock_sdk::prelude::*;
    /// # #[task] fn measure(file: &str) {}
    /// # #[dag] fn files() {
    /// measure::expand(each(["a.txt", "b.txt"])).id("measure_all");
    /// # }
    /// ```
    #[track_caller]
    pub fn id(self, task_id: impl Into<String>) -> Self {
        graph::rename(self.node, task_id.into());
        self
    }

    /// Changes for this call what the task's attribute says.
    ///
    /// ```
    /// # use airlock_sdk::{prelude::*, definition::TriggerRule};
    /// # #[task] fn report() {}
    /// # #[dag] fn nightly() {
    /// report().with(|task| {
    ///     task.retries = 3;
    ///     task.trigger_rule = TriggerRule::AllDone;
    /// });
    /// # }
    /// ```
    #[track_caller]
    pub fn with(self, change: impl FnOnce(&mut TaskSpec)) -> Self {
        graph::change(self.node, change);
        self
    }

    /// Makes this call a setup, as `#[task(setup)]` does for each call of a task.
    #[track_caller]
    pub fn as_setup(self) -> Self {
        self.with(|task| task.role = Role::Setup)
    }

    /// Makes this call the teardown of `setups`: they become setups, and it puts away what they made,
    /// whatever became of the tasks in between. A task that needs what a setup made comes after the setup and
    /// before the teardown.
    ///
    /// ```
    /// # use airlock_sdk::prelude::*;
    /// # #[task(setup)] fn create_cluster() -> String { "c-1".to_owned() }
    /// # #[task] fn compute(cluster: String) {}
    /// # #[task(teardown)] fn delete_cluster(cluster: String) {}
    /// # #[dag] fn analysis() {
    /// let cluster = create_cluster();
    /// let work = compute(&cluster);
    /// delete_cluster(&cluster).as_teardown(&cluster).after(work);
    /// # }
    /// ```
    #[track_caller]
    pub fn as_teardown(self, setups: impl Tasks) -> Self {
        graph::teardown(self.node);
        let mut all = Vec::new();
        setups.each(Side::Last, &mut |setup| all.push(setup));
        for setup in all {
            graph::change(setup, |task| task.role = Role::Setup);
            graph::order(setup, self.node);
        }
        self
    }
}

/// Which of a group's tasks stand for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(hidden)]
pub enum Side {
    /// Those that wait for none of it.
    First,
    /// Those that none of it waits for.
    Last,
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

/// One task or several: an [`Output`], a [`Group`](crate::Group), or a list, slice, array or tuple of such.
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
    /// Calls `each` with every task; of a group, with those on this side of it.
    #[doc(hidden)]
    fn each(&self, side: Side, each: &mut dyn FnMut(Node));

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
    earlier.each(Side::Last, &mut |node| first.push(node));
    later.each(Side::First, &mut |node| second.push(node));
    for earlier in first {
        for later in &second {
            graph::order(earlier, *later);
        }
    }
}

impl<T> Tasks for Output<T> {
    fn each(&self, _: Side, each: &mut dyn FnMut(Node)) {
        each(self.node);
    }
}

impl<T: Tasks> Tasks for &T {
    fn each(&self, side: Side, each: &mut dyn FnMut(Node)) {
        (**self).each(side, each);
    }
}

impl<T: Tasks> Tasks for &[T] {
    fn each(&self, side: Side, each: &mut dyn FnMut(Node)) {
        self.iter().for_each(|tasks| tasks.each(side, each));
    }
}

impl<T: Tasks> Tasks for Vec<T> {
    fn each(&self, side: Side, each: &mut dyn FnMut(Node)) {
        self.iter().for_each(|tasks| tasks.each(side, each));
    }
}

impl<T: Tasks, const N: usize> Tasks for [T; N] {
    fn each(&self, side: Side, each: &mut dyn FnMut(Node)) {
        self.iter().for_each(|tasks| tasks.each(side, each));
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))+) => {$(
        impl<$($name: Tasks),+> Tasks for ($($name,)+) {
            fn each(&self, side: Side, each: &mut dyn FnMut(Node)) {
                #[expect(non_snake_case, reason = "the type parameters' names serve as the values'")]
                let ($($name,)+) = self;
                $($name.each(side, each);)+
            }
        }
    )+};
}

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
}
