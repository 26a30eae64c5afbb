//! Task groups: what belongs together, for people, for wiring, and for mapping as one.

use std::{borrow::Cow, ops::Deref};

use crate::{
    Output, Tasks,
    graph::{self, GroupNode, Node},
    mapping::{Each, Part, SourceWire},
    output::Side,
};

/// A task group in a DAG function: what its function gave, and a handle for wiring all of it at once.
///
/// [`Tasks::before`] is said of its last tasks and [`Tasks::after`] of its first ones. It stands for what
/// its function gave, too: `count(&*read)` or `count(read.output)`.
#[derive(Debug)]
pub struct Group<R> {
    node: Option<GroupNode>,
    /// What its function gave. Of a mapped group, each output has become the list of all instances' outputs.
    pub output: R,
}

impl<R> Deref for Group<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.output
    }
}

/// Puts the tasks that `tasks` calls into a group. Their ids begin with the group's id and a dot.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// # #[task] fn start() {}
/// # #[task] fn read() -> String { String::new() }
/// # #[task] fn count(text: String) -> usize { text.len() }
/// # #[task] fn report(count: usize) {}
/// #[dag]
/// fn words() {
///     let load = group("load", || count(read())); // tasks `load.read` and `load.count`
///     load.after(start());                        // `load.read` waits for `start`
///     report(load.output);
/// }
/// ```
#[track_caller]
pub fn group<R>(group_id: impl Into<String>, tasks: impl FnOnce() -> R) -> Group<R> {
    TaskGroup::new(group_id).of(tasks)
}

/// A task group with more to say than its id.
#[derive(Debug)]
#[must_use = "a group holds the tasks that `of` or `expand` gives it"]
pub struct TaskGroup {
    id: String,
    doc: Option<String>,
}

impl TaskGroup {
    /// A group of this id.
    pub fn new(group_id: impl Into<String>) -> Self {
        Self {
            id: group_id.into(),
            doc: None,
        }
    }

    /// Says what it is for.
    pub fn doc(mut self, doc: impl Into<String>) -> Self {
        self.doc = Some(doc.into());
        self
    }

    /// Puts the tasks that `tasks` calls into it.
    #[track_caller]
    pub fn of<R>(self, tasks: impl FnOnce() -> R) -> Group<R> {
        let node = graph::open_group(self.id, self.doc, Vec::new());
        let output = tasks();
        graph::close_group(node);
        Group { node, output }
    }

    /// Maps all of it: each of its tasks becomes one instance for each value of a list, or for each
    /// combination of the values of several, and an instance waits for those of its own number only.
    ///
    /// ```
    /// # use airlock_sdk::prelude::*;
    /// # #[task] fn list() -> Vec<String> { vec![] }
    /// # #[task] fn read(file: String) -> String { file }
    /// # #[task] fn count(text: String) -> usize { text.len() }
    /// # #[task] fn total(counts: Vec<usize>) {}
    /// #[dag]
    /// fn words() {
    ///     let counts = TaskGroup::new("per_file").expand(each(list()), |file| count(read(file)));
    ///     total(counts.output);
    /// }
    /// ```
    #[track_caller]
    pub fn expand<E: Expansion, R: GroupOutput>(
        self,
        over: E,
        tasks: impl FnOnce(E::Parts) -> R,
    ) -> Group<R::Outside> {
        let node = graph::open_group(self.id, self.doc, over.sources());
        let output = tasks(E::parts(node.unwrap_or(GroupNode::NOWHERE))).outside();
        graph::close_group(node);
        Group { node, output }
    }
}

impl<R> Tasks for Group<R> {
    fn each(&self, side: Side, each: &mut dyn FnMut(Node)) {
        if let Some(node) = self.node {
            graph::edge(node, side).into_iter().for_each(each);
        }
    }
}

/// What a group can be mapped over: one [`each`](crate::each), or a tuple of two or three.
pub trait Expansion {
    /// What the group's function gets: one [`Part`] for each.
    type Parts;

    #[doc(hidden)]
    fn sources(self) -> Vec<(Cow<'static, str>, SourceWire)>;

    #[doc(hidden)]
    fn parts(group: GroupNode) -> Self::Parts;
}

const ITEMS: [&str; 3] = ["item", "item_2", "item_3"];

fn part<T>(group: GroupNode, i: usize) -> Part<T> {
    Part::new(group, Cow::Borrowed(name(i)))
}

fn name(i: usize) -> &'static str {
    ITEMS.get(i).copied().unwrap_or_default()
}

impl<T> Expansion for Each<T> {
    type Parts = Part<T>;

    fn sources(self) -> Vec<(Cow<'static, str>, SourceWire)> {
        vec![(name(0).into(), self.source)]
    }

    fn parts(group: GroupNode) -> Part<T> {
        part(group, 0)
    }
}

impl<A, B> Expansion for (Each<A>, Each<B>) {
    type Parts = (Part<A>, Part<B>);

    fn sources(self) -> Vec<(Cow<'static, str>, SourceWire)> {
        vec![
            (name(0).into(), self.0.source),
            (name(1).into(), self.1.source),
        ]
    }

    fn parts(group: GroupNode) -> Self::Parts {
        (part(group, 0), part(group, 1))
    }
}

impl<A, B, C> Expansion for (Each<A>, Each<B>, Each<C>) {
    type Parts = (Part<A>, Part<B>, Part<C>);

    fn sources(self) -> Vec<(Cow<'static, str>, SourceWire)> {
        vec![
            (name(0).into(), self.0.source),
            (name(1).into(), self.1.source),
            (name(2).into(), self.2.source),
        ]
    }

    fn parts(group: GroupNode) -> Self::Parts {
        (part(group, 0), part(group, 1), part(group, 2))
    }
}

/// What a mapped group's function may give: nothing, outputs, and tuples, lists and groups of such.
pub trait GroupOutput {
    /// The same as it is seen from outside: an `Output<T>` has become an `Output<Vec<T>>`.
    type Outside;

    #[doc(hidden)]
    fn outside(self) -> Self::Outside;
}

impl GroupOutput for () {
    type Outside = ();

    fn outside(self) {}
}

impl<T> GroupOutput for Output<T> {
    type Outside = Output<Vec<T>>;

    fn outside(self) -> Output<Vec<T>> {
        Output::new(self.node())
    }
}

impl<R: GroupOutput> GroupOutput for Group<R> {
    type Outside = Group<R::Outside>;

    fn outside(self) -> Self::Outside {
        Group {
            node: self.node,
            output: self.output.outside(),
        }
    }
}

impl<R: GroupOutput> GroupOutput for Vec<R> {
    type Outside = Vec<R::Outside>;

    fn outside(self) -> Self::Outside {
        self.into_iter().map(R::outside).collect()
    }
}

impl<R: GroupOutput, const N: usize> GroupOutput for [R; N] {
    type Outside = [R::Outside; N];

    fn outside(self) -> Self::Outside {
        self.map(R::outside)
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))+) => {$(
        impl<$($name: GroupOutput),+> GroupOutput for ($($name,)+) {
            type Outside = ($($name::Outside,)+);

            fn outside(self) -> Self::Outside {
                #[expect(non_snake_case, reason = "the type parameters' names serve as the values'")]
                let ($($name,)+) = self;
                ($($name.outside(),)+)
            }
        }
    )+};
}

tuples! {
    (A B) (A B C) (A B C D) (A B C D E) (A B C D E F)
}
