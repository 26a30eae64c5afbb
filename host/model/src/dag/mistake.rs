//! What can be wrong in a definition, and how each mistake is told: with its DAG, task, place and fix.

use std::fmt;

use super::{Location, MAX_INSTANCES, MAX_TASKS};
use crate::{
    callback::CallbackKind,
    id::IdError,
    params::{MAX_PARAMS, Refusal, SchemaError, told},
    time::Timestamp,
    timetable::TimetableError,
    trigger::PatternError,
    trigger_rule::TriggerRule,
};

/// One mistake in a definition.
#[derive(Debug, thiserror::Error)]
pub struct DefinitionError {
    /// In which DAG.
    pub dag_id: String,
    /// In which task.
    pub task_id: Option<String>,
    /// Where.
    pub location: Option<Location>,
    /// What is wrong.
    #[source]
    pub mistake: Mistake,
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mistake)?;
        write!(f, " (DAG `{}`", self.dag_id.escape_debug())?;
        if let Some(task) = &self.task_id {
            write!(f, ", task `{}`", task.escape_debug())?;
        }
        if let Some(at) = &self.location {
            write!(f, ", {}:{}", at.file.escape_debug(), at.line)?;
        }
        write!(f, ")")
    }
}

/// What can be wrong in a definition.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Mistake {
    /// An id is malformed.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Two tasks share an id.
    #[error("AL-0310: the task_id is used twice; give one of the two calls an id of its own")]
    DuplicateTask,
    /// An upstream task is unknown.
    #[error("AL-0311: it waits for `{}`, which is no task of this DAG; call that task in the DAG function or drop the dependency", .0.escape_debug())]
    UnknownUpstream(String),
    /// Tasks wait for each other in a circle.
    #[error("AL-0312: tasks wait for each other in a circle: {}; remove one of these dependencies", .0.iter().map(|t| t.escape_debug().to_string()).collect::<Vec<_>>().join(" → "))]
    Cycle(Vec<String>),
    /// Too many tasks.
    #[error("AL-0313: a DAG has at most {MAX_TASKS} tasks, this one has {0}; split it")]
    TooManyTasks(usize),
    /// The schedule makes no sense.
    #[error(transparent)]
    Schedule(#[from] TimetableError),
    /// A number is out of its range.
    #[error("AL-0314: `{field}` is {value}; it must be {allowed}")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        allowed: &'static str,
    },
    /// A literal argument or a default is not JSON.
    #[error("AL-0315: `{field}` is not JSON: {reason}")]
    NotJson {
        /// Which field.
        field: String,
        /// The parser's word.
        reason: String,
    },
    /// Two params share a name.
    #[error("AL-0316: the param `{}` is declared twice; keep one", .0.escape_debug())]
    DuplicateParam(String),
    /// A run that nobody triggers would lack a value.
    #[error("AL-0318: the param `{}` has no default, so a scheduled run would have no value for it; give it a default or drop the schedule", .0.escape_debug())]
    ParamWithoutDefault(String),
    /// A param's schema is none that can be used.
    #[error("{source} (param `{}`)", param.escape_debug())]
    ParamSchema {
        /// The param.
        param: String,
        /// What is wrong.
        source: SchemaError,
    },
    /// A default that its own schema refuses.
    #[error("AL-0361: a default does not satisfy its schema: {}; correct one of the two", told(.0))]
    WrongDefault(Vec<Refusal>),
    /// Very many params.
    #[error("AL-0364: a DAG has at most {MAX_PARAMS} params, this one has {0}; join some into one")]
    TooManyParams(usize),
    /// It starts after it ends.
    #[error("AL-0317: start_date {start} lies after end_date {end}; no run would ever be created")]
    EndsBeforeStart {
        /// The start.
        start: Timestamp,
        /// The end.
        end: Timestamp,
    },
    /// Two groups, or a group and a task, share an id.
    #[error("AL-0340: the id `{}` of the group is used twice; give one of the two another", .0.escape_debug())]
    DuplicateGroup(String),
    /// A group is unknown.
    #[error("AL-0341: it stands in the group `{}`, which the DAG does not declare before it", .0.escape_debug())]
    UnknownGroup(String),
    /// A mapping's source is no list.
    #[error("AL-0342: `{}` is mapped over a value that is neither an array nor an object; give a list", .0.escape_debug())]
    NotMappable(String),
    /// A mapping without parameters.
    #[error("AL-0343: it is mapped over nothing; name at least one parameter and its values")]
    MappedOverNothing,
    /// An argument takes part in a mapping that does not give it.
    #[error("AL-0344: no mapping gives the parameter `{}`; add it to the task's or the group's mapping", .0.escape_debug())]
    UnknownParameter(String),
    /// A mapping inside a mapped group.
    #[error("AL-0345: it is mapped and stands in a mapped group; map only one of the two")]
    MappedInMapped,
    /// More instances than a task may have.
    #[error(
        "AL-0346: the mapping makes {0} instances, more than the {MAX_INSTANCES} that a task may have; give it fewer values, or let each instance work on a batch"
    )]
    TooManyInstances(u64),
    /// A rule that fail-fast does not allow.
    #[error(
        "AL-0347: the trigger_rule is {0}, but a DAG with fail_fast allows only all_success; drop one of the two"
    )]
    FailFastRule(TriggerRule),
    /// The name of an asset makes no sense.
    #[error("AL-0350: `{}` names no asset: a name or URI has 1 to 1500 bytes, no control characters, and no space at its ends", .0.escape_debug())]
    AssetName(String),
    /// Two assets share a name.
    #[error("AL-0351: the asset `{}` is declared twice; keep one", .0.escape_debug())]
    DuplicateAsset(String),
    /// A condition over no asset.
    #[error(
        "AL-0352: the asset condition holds an `all` or `any` of nothing, which could never or always be met; name an asset or drop it"
    )]
    EmptyCondition,
    /// A condition over very many assets.
    #[error(
        "AL-0353: the asset condition names {0} assets; it may name 1000: let an alias stand for many"
    )]
    ConditionTooLarge(usize),
    /// The name of a watcher or deadline makes no sense.
    #[error("AL-0354: `{}` names no {what}: a name has 1 to 250 bytes, no control characters, and no space at its ends", name.escape_debug())]
    Name {
        /// What it should name.
        what: String,
        /// The name, or its beginning.
        name: String,
    },
    /// Two watchers of an asset, or two deadlines, share a name.
    #[error("AL-0355: the {what} `{}` is declared twice; keep one, or rename it", name.escape_debug())]
    Duplicate {
        /// What it names.
        what: String,
        /// The name.
        name: String,
    },
    /// Very many watchers, callbacks or deadlines.
    #[error("AL-0356: {who} {count} {what}, more than {most}; join some into one")]
    TooMany {
        /// Whose they are, as the sentence begins.
        who: String,
        /// What they are.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A watcher waits for what does not come to pass again and again, or comes to pass by its own doing.
    #[error("AL-0357: the watcher `{}` of the asset `{}` waits for {why}, and begins anew whenever it has fired; let it wait for what happens again and again", watcher.escape_debug(), asset.escape_debug())]
    Unwatchable {
        /// Of which asset.
        asset: String,
        /// Which of its watchers.
        watcher: String,
        /// What it waits for.
        why: &'static str,
    },
    /// A callback is for what its owner never meets.
    #[error(
        "AL-0358: a callback of a {of} is to hear of `{on}`, which no {of} meets; a task's are of a kind that begins with `task`, a DAG's with `dag`"
    )]
    Unheard {
        /// Whose callback it is.
        of: &'static str,
        /// What it is to hear of.
        on: CallbackKind,
    },
    /// Code's name or arguments are too long to be kept with every request.
    #[error(
        "AL-0359: `{field}` has {bytes} bytes, more than {most}; keep large data in a file and its name here"
    )]
    TooLong {
        /// Which field.
        field: String,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// A watcher's pattern names no files.
    #[error("{error} (`{field}`)")]
    Pattern {
        /// Which field.
        field: String,
        /// What is wrong.
        error: PatternError,
    },
}
