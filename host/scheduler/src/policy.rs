//! What an operator demands of a bundle's DAGs, and whether a DAG can run where it is: rules over a valid
//! DAG, for what Airflow's cluster policies are used for (Airflow 3.3.2, `airflow/policies.py`).
//!
//! A rule refuses; it never changes a DAG, so that what an author wrote is what runs. Each broken rule is one
//! import error, however many tasks break it, and all are told at once.

use std::{fmt, time::Duration};

use airlock_model::{
    connection::Pool,
    dag::{Dag, Task, TaskSpec},
    id::{PoolName, Scope, TeamName},
};

/// Tasks that one import error names; of the others it tells how many they are.
const MAX_NAMED: usize = 20;

/// A regular expression that a whole `dag_id` has to match, in linear time.
#[derive(Debug, Clone)]
pub struct IdPattern {
    text: String,
    whole: regex::Regex,
}

impl IdPattern {
    /// Compiles it.
    ///
    /// # Errors
    /// When it is none, or is very large.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        // By itself first: what closes the group below would not be an expression of its own.
        regex::Regex::new(text)?;
        Ok(Self {
            text: text.to_owned(),
            whole: regex::Regex::new(&format!("^(?:{text})$"))?,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for IdPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for IdPattern {}

impl PartialOrd for IdPattern {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.text.partial_cmp(&other.text)
    }
}

/// The rules for one bundle's DAGs. Each that is not set allows everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DagPolicy {
    /// Every `dag_id` begins with it.
    pub dag_id_prefix: Option<String>,
    /// Every `dag_id` matches it as a whole.
    pub dag_id_regex: Option<IdPattern>,
    /// A DAG has all of these tags.
    pub required_tags: Vec<String>,
    /// A DAG has at least one of these owners; empty: any, or none.
    pub required_owners: Vec<String>,
    /// A DAG has a description.
    pub description_required: bool,
    /// A DAG's tasks.
    pub max_tasks: Option<u32>,
    /// A DAG's runs at once, which is also what a DAG gets that does not say.
    pub max_active_runs: Option<u32>,
    /// Tasks at once in a run, which is also what a DAG gets that does not say.
    pub max_active_tasks: Option<u32>,
    /// A DAG has a `dagrun_timeout`, and it is no longer.
    pub max_dagrun_timeout: Option<Duration>,
    /// A task has an `execution_timeout`, and it is no longer.
    pub max_execution_timeout: Option<Duration>,
    /// A task's tries after the first.
    pub max_retries: Option<u32>,
    /// The pools that tasks may name.
    pub allowed_pools: Option<Vec<String>>,
    /// A DAG may not make up for the past.
    pub catchup_forbidden: bool,
}

/// A quoted list, as a sentence has it.
fn listed<T: fmt::Display>(all: &[T]) -> String {
    let all: Vec<_> = all.iter().map(|one| format!("`{one}`")).collect();
    if all.is_empty() {
        return "none".to_owned();
    }
    all.join(", ")
}

fn escaped(all: &[String]) -> String {
    let all: Vec<_> = all.iter().map(|one| one.escape_debug()).collect();
    listed(&all)
}

impl DagPolicy {
    /// Everything in a DAG that breaks a rule: one message per rule.
    #[must_use]
    pub fn violations(&self, dag: &Dag) -> Vec<String> {
        let whole = [
            self.prefix(dag),
            self.pattern(dag),
            self.tags(dag),
            self.owners(dag),
            self.description(dag),
            self.catchup(dag),
            self.dagrun_timeout(dag),
        ];
        let counts = self.counts(dag);
        let tasks = [
            self.execution_timeouts(dag),
            self.retries(dag),
            self.pools(dag),
        ];
        let place = dag.spec().location.as_ref();
        let place = place.map(|at| format!(", {}", at.to_string().escape_debug()));
        let whose = format!("(DAG `{}`{})", dag.id(), place.unwrap_or_default());
        whole
            .into_iter()
            .chain(counts)
            .chain(tasks)
            .flatten()
            .map(|broken| format!("{broken} {whose}"))
            .collect()
    }

    fn prefix(&self, dag: &Dag) -> Option<String> {
        let (id, prefix) = (dag.id(), self.dag_id_prefix.as_deref()?);
        (!id.as_str().starts_with(prefix)).then(|| {
            format!("AL-0332: `{id}` does not begin with `{prefix}`, which the operator's dag_id_prefix demands of this bundle; rename the DAG")
        })
    }

    fn pattern(&self, dag: &Dag) -> Option<String> {
        let (id, pattern) = (dag.id(), self.dag_id_regex.as_ref()?);
        (!pattern.whole.is_match(id.as_str())).then(|| {
            format!("AL-0370: `{id}` does not match `{}`, which the operator's dag_id_regex demands of this bundle; rename the DAG", pattern.text)
        })
    }

    fn tags(&self, dag: &Dag) -> Option<String> {
        let has = &dag.spec().tags;
        let missing = self.required_tags.iter().filter(|tag| !has.contains(tag));
        let missing: Vec<_> = missing.collect();
        (!missing.is_empty()).then(|| {
            format!("AL-0371: it lacks {}, which the operator's required_tags demands, and has {}; add what is missing", listed(&missing), escaped(has))
        })
    }

    fn owners(&self, dag: &Dag) -> Option<String> {
        let has = &dag.spec().owners;
        let known = self.required_owners.is_empty()
            || self.required_owners.iter().any(|owner| has.contains(owner));
        (!known).then(|| {
            format!("AL-0372: its owners are {}, and the operator's required_owners demands at least one of {}; name one", escaped(has), listed(&self.required_owners))
        })
    }

    fn description(&self, dag: &Dag) -> Option<String> {
        let text = dag.spec().description.as_deref().unwrap_or_default();
        (self.description_required && text.trim().is_empty()).then(|| {
            "AL-0373: it has no description, and the operator's description_required demands one; say what it is for".to_owned()
        })
    }

    fn catchup(&self, dag: &Dag) -> Option<String> {
        (self.catchup_forbidden && dag.spec().catchup).then(|| {
            "AL-0381: catchup is true, and the operator's catchup_forbidden allows no catch-up; drop it, and make up for the past with a backfill".to_owned()
        })
    }

    fn dagrun_timeout(&self, dag: &Dag) -> Option<String> {
        let most = self.max_dagrun_timeout?;
        let has = too_long(dag.spec().dagrun_timeout, most)?;
        Some(format!(
            "AL-0377: its dagrun_timeout is {has}, and the operator's max_dagrun_timeout demands one of at most {most:?}; set it"
        ))
    }

    fn counts(&self, dag: &Dag) -> [Option<String>; 3] {
        let tasks = u32::try_from(dag.tasks().len()).unwrap_or(u32::MAX);
        [
            ("AL-0374", "tasks", self.max_tasks, tasks, "max_tasks"),
            (
                "AL-0375",
                "runs at once",
                self.max_active_runs,
                dag.max_active_runs(),
                "max_active_runs",
            ),
            (
                "AL-0376",
                "tasks at once in a run",
                self.max_active_tasks,
                dag.max_active_tasks(),
                "max_active_tasks",
            ),
        ]
        .map(|(code, what, most, has, rule)| {
            let most = most.filter(|most| has > *most)?;
            Some(format!("{code}: it may have {has} {what}, and the operator's {rule} allows at most {most}; make do with fewer"))
        })
    }

    fn execution_timeouts(&self, dag: &Dag) -> Option<String> {
        let most = self.max_execution_timeout?;
        let found = named(dag, |_, spec| {
            Some(format!("has {}", too_long(spec.execution_timeout, most)?))
        })?;
        Some(format!(
            "AL-0378: the operator's max_execution_timeout demands of every task an execution_timeout of at most {most:?}: {found}; set it"
        ))
    }

    fn retries(&self, dag: &Dag) -> Option<String> {
        let most = self.max_retries?;
        let found = named(dag, |_, spec| {
            (spec.retries > most).then(|| format!("has {}", spec.retries))
        })?;
        Some(format!(
            "AL-0379: the operator's max_retries allows a task at most {most} retries: {found}; ask for fewer"
        ))
    }

    fn pools(&self, dag: &Dag) -> Option<String> {
        let allowed = self.allowed_pools.as_ref()?;
        let found = named(dag, |task, _| {
            (!allowed.iter().any(|pool| pool == task.pool.as_str()))
                .then(|| format!("names `{}`", task.pool))
        })?;
        let allowed = escaped(allowed);
        Some(format!(
            "AL-0380: the operator's allowed_pools allows of the pools {allowed}: {found}; name an allowed one"
        ))
    }
}

/// What is told of a bound that is missing or too long.
fn too_long(has: Option<Duration>, most: Duration) -> Option<String> {
    match has {
        None => Some("none".to_owned()),
        Some(has) => (has > most).then(|| format!("{has:?}")),
    }
}

/// The tasks of which something can be said, with their places.
fn named(dag: &Dag, say: impl Fn(&Task, &TaskSpec) -> Option<String>) -> Option<String> {
    let all = dag.tasks().iter().zip(&dag.spec().tasks);
    let mut found: Vec<_> = all
        .filter_map(|(task, spec)| Some((task, spec, say(task, spec)?)))
        .collect();
    let more = found.len().saturating_sub(MAX_NAMED);
    found.truncate(MAX_NAMED);
    let mut told: Vec<_> = found
        .iter()
        .map(|(task, spec, said)| format!("task `{}` {said}{}", task.id, place(spec)))
        .collect();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    (!told.is_empty()).then(|| told.join(", "))
}

fn place(spec: &TaskSpec) -> String {
    let at = spec.location.as_ref();
    at.map(|at| format!(" at {}", at.to_string().escape_debug()))
        .unwrap_or_default()
}

/// Tasks that could never run: the team has no such pool, or it is too small. Another team's pool is as if it
/// did not exist.
#[must_use]
pub fn unrunnable(dag: &Dag, team: &TeamName, pools: &[Pool]) -> Vec<String> {
    let find = |name: &PoolName| {
        let of = |scope: &Scope| {
            pools
                .iter()
                .find(|pool| pool.name == *name && pool.scope == *scope)
        };
        let own = of(&Scope::Team(team.clone())).or_else(|| of(&Scope::Global));
        let default = (*name == PoolName::default_pool()).then_some(Pool::DEFAULT_SLOTS);
        own.map(|pool| pool.slots).or(default)
    };
    let mistake = |(task, spec): (&Task, &TaskSpec)| {
        let whose = format!("(DAG `{}`, task `{}`{})", dag.id(), task.id, place(spec));
        let pool = &task.pool;
        match find(pool) {
            None => Some(format!(
                "AL-0334: team `{team}` has no pool `{pool}`; create it with `airlock pools set {pool} SLOTS --team {team}` or name another {whose}"
            )),
            Some(slots) if i64::from(slots) < i64::from(spec.pool_slots) && slots >= 0 => {
                Some(format!(
                    "AL-0335: pool_slots is {}, but pool `{pool}` has {slots}: the task could never run; make the pool larger or ask for less {whose}",
                    spec.pool_slots
                ))
            }
            Some(_) => None,
        }
    };
    dag.tasks()
        .iter()
        .zip(&dag.spec().tasks)
        .filter_map(mistake)
        .collect()
}

#[cfg(test)]
mod tests;
