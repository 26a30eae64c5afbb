//! What both sides of a decision have in common: named items, each narrowed to phases, DAGs and tasks. They are
//! listed for people, and [found](crate::index) for decisions.

use std::collections::HashMap;

use airlock_model::id::{DagId, TaskId};

use crate::{
    http::{HttpIndex, HttpPattern, HttpTarget, Method},
    index::{Prefixes, Scoped},
    item::AssetAccess,
    pattern::{AssetName, AssetPattern, Name, Pattern},
    phase::{Caller, Phase, Phases},
};

/// For whom a rule counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Narrowing {
    phases: Phases,
    dags: Option<Vec<DagId>>,
    tasks: Option<Vec<TaskId>>,
}

impl Narrowing {
    pub(crate) const fn phases_only(phases: Phases) -> Self {
        Self {
            phases,
            dags: None,
            tasks: None,
        }
    }

    /// While parsing there is no DAG and no task yet: what is narrowed to some does not count there.
    pub(crate) fn new(
        phases: Option<Phases>,
        dags: Option<&Vec<DagId>>,
        tasks: Option<&Vec<TaskId>>,
    ) -> Self {
        let mut phases = phases.unwrap_or(Phases::ALL);
        if dags.is_some() || tasks.is_some() {
            phases = phases.without(Phase::Parse);
        }
        Self {
            phases,
            dags: dags.cloned(),
            tasks: tasks.cloned(),
        }
    }

    /// Of what is settled where DAGs are defined, and so counts whatever the phase.
    pub(crate) fn of_definitions(dags: Option<&Vec<DagId>>, tasks: Option<&Vec<TaskId>>) -> Self {
        Self {
            phases: Phases::ALL,
            dags: dags.cloned(),
            tasks: tasks.cloned(),
        }
    }

    pub(crate) const fn phases(&self) -> Phases {
        self.phases
    }

    /// In these DAGs only.
    pub(crate) fn dags(&self) -> Option<&[DagId]> {
        self.dags.as_deref()
    }

    /// For these tasks only.
    pub(crate) fn tasks(&self) -> Option<&[TaskId]> {
        self.tasks.as_deref()
    }

    /// Whether it counts for nobody.
    pub(crate) fn is_empty(&self) -> bool {
        self.phases.is_empty()
            || self.dags.as_ref().is_some_and(Vec::is_empty)
            || self.tasks.as_ref().is_some_and(Vec::is_empty)
    }

    /// In a few words, where it counts for some only.
    pub(crate) fn label(&self) -> Option<String> {
        /// How many names are listed.
        const LISTED: usize = 6;
        fn names<T: std::fmt::Display>(what: &str, set: Option<&Vec<T>>) -> Option<String> {
            let set = set?;
            let mut names: Vec<String> =
                set.iter().take(LISTED).map(|n| format!("`{n}`")).collect();
            if set.len() > LISTED {
                names.push(format!("{} more", set.len() - LISTED));
            }
            let plural = if set.len() == 1 { "" } else { "s" };
            Some(format!("{what}{plural} {}", names.join(", ")))
        }
        if self.is_empty() {
            return Some("for nobody".to_owned());
        }
        let named = [
            names("task", self.tasks.as_ref()),
            names("DAG", self.dags.as_ref()),
        ];
        let mut parts: Vec<String> = named.into_iter().flatten().collect();
        // What is narrowed by name never counts while parsing: that need not be said.
        let whole = match parts.is_empty() {
            true => Phases::ALL,
            false => Phases::ALL.without(Phase::Parse),
        };
        if !whole.except(self.phases).is_empty() {
            let phases: Vec<&str> = self.phases.iter().map(Phase::as_str).collect();
            parts.push(format!("phase {}", phases.join(", ")));
        }
        (!parts.is_empty()).then(|| format!("only for {}", parts.join(" of ")))
    }

    pub(crate) fn admits(&self, caller: &Caller) -> bool {
        fn named<T: PartialEq>(set: Option<&Vec<T>>, id: Option<&T>) -> bool {
            set.is_none_or(|set| id.is_some_and(|id| set.contains(id)))
        }
        self.phases.contains(caller.phase)
            && named(self.dags.as_ref(), caller.dag_id.as_ref())
            && named(self.tasks.as_ref(), caller.task_id.as_ref())
    }

    /// Whether both count for one same caller.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        fn common<T: PartialEq>(a: Option<&Vec<T>>, b: Option<&Vec<T>>) -> bool {
            match (a, b) {
                (Some(a), Some(b)) => a.iter().any(|item| b.contains(item)),
                _ => true,
            }
        }
        !self.phases.and(other.phases).is_empty()
            && common(self.dags.as_ref(), other.dags.as_ref())
            && common(self.tasks.as_ref(), other.tasks.as_ref())
    }
}

/// Named items with what is to be known of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table<V> {
    items: HashMap<Box<str>, Named<V>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Named<V> {
    listed: Vec<(Narrowing, V)>,
    found: Scoped<V>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            items: HashMap::new(),
        }
    }
}

impl<V: Clone + PartialEq> Table<V> {
    pub(crate) fn add(&mut self, name: &str, narrowing: Narrowing, value: V) {
        let named = self.items.entry(name.into()).or_insert_with(|| Named {
            listed: Vec::new(),
            found: Scoped::default(),
        });
        named.found.add(&narrowing, value.clone());
        named.listed.push((narrowing, value));
    }

    /// What stands under this name for the caller and is wanted.
    pub(crate) fn find(
        &self,
        name: &str,
        caller: &Caller,
        wanted: impl Fn(&V) -> bool,
    ) -> Option<&V> {
        self.items.get(name)?.found.find(caller, wanted)
    }
}

impl<V> Table<V> {
    /// Whether anything stands under this name, for whomever.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.items.contains_key(name)
    }

    /// All rules, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Narrowing, &V)> {
        let mut names: Vec<_> = self.items.iter().collect();
        names.sort_unstable_by_key(|(name, _)| *name);
        names.into_iter().flat_map(|(name, named)| {
            let listed = named.listed.iter();
            listed.map(move |(narrowing, value)| (&**name, narrowing, value))
        })
    }
}

/// Patterns: looked up by name, then by the prefixes that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patterns<T> {
    exact: Table<T>,
    prefixes: Vec<(String, Narrowing)>,
    found: Prefixes<Scoped<()>>,
}

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self {
            exact: Table::default(),
            prefixes: Vec::new(),
            found: Prefixes::default(),
        }
    }
}

/// How something is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByName<N> {
    /// By its name.
    Exactly(N),
    /// By the beginning of its name.
    Prefix,
}

impl<T: Name> Patterns<T> {
    pub(crate) fn add(&mut self, pattern: &Pattern<T>, narrowing: Narrowing) {
        match pattern {
            Pattern::Exact(name) => self.exact.add(name.as_ref(), narrowing, name.clone()),
            Pattern::Prefix(prefix) => {
                self.found.at(prefix).add(&narrowing, ());
                self.prefixes.push((prefix.clone(), narrowing));
            }
        }
    }

    pub(crate) fn find(&self, name: &str, caller: &Caller) -> Option<ByName<&T>> {
        if let Some(name) = self.exact.find(name, caller, |_| true) {
            return Some(ByName::Exactly(name));
        }
        let mut prefixes = self.found.of(name);
        prefixes
            .any(|scoped| scoped.find(caller, |()| true).is_some())
            .then_some(ByName::Prefix)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Pattern<T>, &Narrowing)> {
        let exact = self.exact.iter();
        let exact = exact.map(|(_, narrowing, name)| (Pattern::Exact(name.clone()), narrowing));
        let prefixes = self
            .prefixes
            .iter()
            .map(|(prefix, narrowing)| (Pattern::Prefix(prefix.clone()), narrowing));
        exact.chain(prefixes)
    }
}

/// Assets, by what may be done with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Assets {
    consumed: Patterns<AssetName>,
    produced: Patterns<AssetName>,
}

impl Assets {
    pub(crate) fn add(&mut self, pattern: &AssetPattern, access: AssetAccess, to: Narrowing) {
        match access {
            AssetAccess::Consume => self.consumed.add(pattern, to),
            AssetAccess::Produce => self.produced.add(pattern, to),
        }
    }

    pub(crate) const fn of(&self, access: AssetAccess) -> &Patterns<AssetName> {
        match access {
            AssetAccess::Consume => &self.consumed,
            AssetAccess::Produce => &self.produced,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (AssetPattern, AssetAccess, &Narrowing)> {
        [AssetAccess::Consume, AssetAccess::Produce]
            .into_iter()
            .flat_map(|access| {
                let patterns = self.of(access).iter();
                patterns.map(move |(pattern, narrowing)| (pattern, access, narrowing))
            })
    }
}

/// What an HTTP rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpRule {
    pub(crate) url: HttpPattern,
    pub(crate) methods: Vec<Method>,
    pub(crate) narrowing: Narrowing,
}

impl HttpRule {
    pub(crate) fn names(&self, target: &HttpTarget) -> bool {
        self.methods.contains(target.method()) && self.url.matches(target)
    }

    /// Whether one same call is named by both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.methods
            .iter()
            .any(|method| other.methods.contains(method))
            && self.url.meets(&other.url)
    }
}

/// HTTP rules, found by the call that is to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HttpRules {
    listed: Vec<HttpRule>,
    found: HttpIndex<Scoped<Method>>,
}

impl HttpRules {
    pub(crate) fn add(&mut self, rule: HttpRule) {
        let scoped = self.found.at(&rule.url);
        for method in &rule.methods {
            scoped.add(&rule.narrowing, method.clone());
        }
        self.listed.push(rule);
    }

    pub(crate) fn allow(&self, target: &HttpTarget, caller: &Caller) -> bool {
        let wanted = |method: &Method| method == target.method();
        let mut scoped = self.found.of(target);
        scoped.any(|scoped| scoped.find(caller, wanted).is_some())
    }

    /// Whether some rule names this call, for whomever.
    pub(crate) fn names(&self, target: &HttpTarget) -> bool {
        self.listed.iter().any(|rule| rule.names(target))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &HttpRule> {
        self.listed.iter()
    }
}
