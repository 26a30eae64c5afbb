//! Rules as they are found: by who asks, and by the beginning of a text. However many there are, a decision
//! looks a few of them up and allocates nothing.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    ops::Bound,
    sync::Arc,
};

use airlock_model::id::{DagId, TaskId};

use crate::{
    phase::{Caller, Phases},
    rule::Narrowing,
};

/// Values, each for some callers only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scoped<V> {
    /// For whatever DAG and task.
    all: Vec<Rule<V>>,
    /// Those that name tasks, under each of them.
    tasks: HashMap<TaskId, Vec<Rule<V>>>,
    /// Those that name DAGs and no tasks, under each DAG.
    dags: HashMap<DagId, Vec<Rule<V>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule<V> {
    phases: Phases,
    /// Of one that names tasks: in these DAGs only.
    dags: Option<Arc<HashSet<DagId>>>,
    value: V,
}

impl<V> Default for Scoped<V> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            tasks: HashMap::new(),
            dags: HashMap::new(),
        }
    }
}

impl<V: Clone + PartialEq> Scoped<V> {
    pub(crate) fn add(&mut self, narrowing: &Narrowing, value: V) {
        let rule = |dags| Rule {
            phases: narrowing.phases(),
            dags,
            value,
        };
        match (narrowing.tasks(), narrowing.dags()) {
            (None, None) => add(&mut self.all, rule(None)),
            (None, Some(dags)) => under(&mut self.dags, dags, &rule(None)),
            (Some(tasks), dags) => {
                let dags = dags.map(|dags| Arc::new(dags.iter().cloned().collect()));
                under(&mut self.tasks, tasks, &rule(dags));
            }
        }
    }

    /// A value that is wanted and is there for the caller.
    pub(crate) fn find(&self, caller: &Caller, wanted: impl Fn(&V) -> bool) -> Option<&V> {
        let task = caller.task_id.as_ref().and_then(|id| self.tasks.get(id));
        let dag = caller.dag_id.as_ref().and_then(|id| self.dags.get(id));
        let rules = [Some(&self.all), dag, task].into_iter().flatten().flatten();
        let mut admitting = rules.filter(|rule| {
            let in_dag = |dags: &Arc<HashSet<DagId>>| {
                caller.dag_id.as_ref().is_some_and(|id| dags.contains(id))
            };
            rule.phases.contains(caller.phase) && rule.dags.as_ref().is_none_or(in_dag)
        });
        admitting
            .find(|rule| wanted(&rule.value))
            .map(|rule| &rule.value)
    }
}

fn under<K: Clone + Eq + Hash, V: Clone + PartialEq>(
    rules: &mut HashMap<K, Vec<Rule<V>>>,
    keys: &[K],
    rule: &Rule<V>,
) {
    for key in keys {
        add(rules.entry(key.clone()).or_default(), rule.clone());
    }
}

/// Rules that differ in their phases only are one.
fn add<V: PartialEq>(rules: &mut Vec<Rule<V>>, rule: Rule<V>) {
    let same = |known: &&mut Rule<V>| known.dags == rule.dags && known.value == rule.value;
    match rules.iter_mut().find(same) {
        Some(known) => known.phases = known.phases.or(rule.phases),
        None => rules.push(rule),
    }
}

/// Values under texts, found by whatever begins with one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefixes<V>(BTreeMap<Box<str>, V>);

impl<V> Default for Prefixes<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V: Default> Prefixes<V> {
    pub(crate) fn at(&mut self, prefix: &str) -> &mut V {
        self.0.entry(prefix.into()).or_default()
    }
}

impl<V> Prefixes<V> {
    /// The values of all prefixes of `text`, the longest first.
    ///
    /// The greatest prefix that is not behind what is sought is either one of its beginnings, or differs from it
    /// at some place; and then every beginning that is there is shorter than that. So each step skips all that
    /// cannot be meant.
    pub(crate) fn of<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a V> {
        let mut rest = Some(text);
        std::iter::from_fn(move || {
            loop {
                let sought = rest?;
                let (key, value) = self
                    .0
                    .range::<str, _>((Bound::Unbounded, Bound::Included(sought)))
                    .next_back()?;
                let common = common(key, sought);
                if common.len() == key.len() {
                    rest = shorter(key);
                    return Some(value);
                }
                rest = Some(common);
            }
        })
    }
}

/// What both texts begin with.
fn common<'t>(a: &str, b: &'t str) -> &'t str {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    // A character that is cut in its middle is not common to both.
    let whole = (0..=same).rev().find_map(|end| b.get(..end));
    whole.unwrap_or_default()
}

/// The text without its last character; none of an empty one.
fn shorter(text: &str) -> Option<&str> {
    let (last, _) = text.char_indices().next_back()?;
    text.get(..last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_prefixes_of_a_text_are_found_and_no_others(
            prefixes in proptest::collection::btree_set("[a/é]{0,5}", 0..30),
            text in "[a/é]{0,8}",
        ) {
            let mut index: Prefixes<String> = Prefixes::default();
            for prefix in &prefixes {
                prefix.clone_into(index.at(prefix));
            }
            let mut expected: Vec<&String> = prefixes.iter().filter(|p| text.starts_with(*p)).collect();
            expected.reverse();
            prop_assert_eq!(index.of(&text).collect::<Vec<_>>(), expected);
        }
    }
}
