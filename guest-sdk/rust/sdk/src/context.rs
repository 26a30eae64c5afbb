//! Which try of which task instance runs, as its code sees it.

use std::cell::RefCell;

use jiff::{Timestamp, civil, tz::Offset};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Asset, AssetAlias, AssetEvent, AssetRef, Error, Result, ResultExt as _, asset::OutletEvent,
};

/// Which try of which task instance this is, and for which time. A task takes it as its first parameter,
/// `ctx: &Context`, if it wants it; a test makes one with [`Context::builder`].
#[derive(Debug, Clone)]
pub struct Context {
    pub(crate) dag_id: String,
    pub(crate) run_id: String,
    pub(crate) run_type: String,
    pub(crate) task_id: String,
    pub(crate) map_index: i32,
    pub(crate) try_number: u32,
    pub(crate) max_tries: u32,
    pub(crate) token: u64,
    pub(crate) logical_date: Option<Timestamp>,
    pub(crate) data_interval: Option<(Timestamp, Timestamp)>,
    pub(crate) run_after: Timestamp,
    pub(crate) params: String,
    pub(crate) first_started_at: Timestamp,
    pub(crate) is_latest: bool,
    pub(crate) triggering_events: Vec<AssetEvent>,
    pub(crate) inlet_events: Vec<AssetEvent>,
    pub(crate) outlet_events: RefCell<Vec<OutletEvent>>,
}

impl Context {
    /// A context for tests: a manual run of DAG `test`, first and only try, token 1, for no point in time.
    ///
    /// ```
    /// # use airlock_sdk::prelude::*;
    /// let ctx = Context::builder().logical_date("2012-01-15T00:00:00Z".parse()?).param("limit", 10).build();
    /// assert_eq!(ctx.date()?.to_string(), "2012-01-15");
    /// assert_eq!(ctx.param::<u32>("limit")?, 10);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn builder() -> ContextBuilder {
        ContextBuilder::default()
    }

    /// The DAG.
    #[must_use]
    pub fn dag_id(&self) -> &str {
        &self.dag_id
    }

    /// The DAG run, such as `scheduled__2012-01-15T00:00:00+00:00`.
    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// `scheduled`, `manual`, `backfill`, …, as Airflow names them.
    #[must_use]
    pub fn run_type(&self) -> &str {
        &self.run_type
    }

    /// The task.
    #[must_use]
    pub fn task_id(&self) -> &str {
        &self.task_id
    }

    /// -1 for a task that is not mapped.
    #[must_use]
    pub const fn map_index(&self) -> i32 {
        self.map_index
    }

    /// Counted from one.
    #[must_use]
    pub const fn try_number(&self) -> u32 {
        self.try_number
    }

    /// The number of the last try.
    #[must_use]
    pub const fn max_tries(&self) -> u32 {
        self.max_tries
    }

    /// The fencing token: it grows with every try of this task instance, so that an outside system that
    /// remembers the highest one it saw can refuse a try that was superseded.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }

    /// The point in time that the run stands for.
    ///
    /// # Errors
    /// A run that was triggered by hand may stand for none; then the task fails for good.
    #[track_caller]
    pub fn logical_date(&self) -> Result<Timestamp> {
        match self.logical_date {
            Some(date) => Ok(date),
            None => Err(self.timeless("logical date")),
        }
    }

    /// The UTC date of [`logical_date`](Self::logical_date).
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn date(&self) -> Result<civil::Date> {
        match self.logical_date {
            Some(date) => Ok(Offset::UTC.to_datetime(date).date()),
            None => Err(self.timeless("logical date")),
        }
    }

    /// The start and the end of the time whose data the run is about.
    ///
    /// # Errors
    /// As [`logical_date`](Self::logical_date).
    #[track_caller]
    pub fn data_interval(&self) -> Result<(Timestamp, Timestamp)> {
        match self.data_interval {
            Some(interval) => Ok(interval),
            None => Err(self.timeless("data interval")),
        }
    }

    /// The time before which the run did not start.
    #[must_use]
    pub const fn run_after(&self) -> Timestamp {
        self.run_after
    }

    /// A param of the run, with the default of `#[dag(params(…))]` where the trigger gave none.
    ///
    /// # Errors
    /// The run has no such param, or it is no `T`; then the task fails for good.
    #[track_caller]
    pub fn param<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let mut all: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&self.params).context("the run's params are no JSON object")?;
        let Some(value) = all.remove(name) else {
            return Err(crate::fail(format_args!(
                "the run has no param `{name}`; declare it: #[dag(params({name} = …))]"
            )));
        };
        match serde_json::from_value(value) {
            Ok(value) => Ok(value),
            Err(error) => Err(crate::fail(format_args!("param `{name}`: {error}"))),
        }
    }

    /// All params of the run, as JSON text.
    #[must_use]
    pub fn params(&self) -> &str {
        &self.params
    }

    /// When this try began: for a sensor that was rescheduled, when it looked first.
    #[must_use]
    pub const fn first_started_at(&self) -> Timestamp {
        self.first_started_at
    }

    /// Whether the run is the latest: the schedule has no later one whose time has come.
    #[must_use]
    pub const fn is_latest(&self) -> bool {
        self.is_latest
    }

    /// The asset events that made the run, oldest first; none where no asset did.
    #[must_use]
    pub fn triggering_events(&self) -> &[AssetEvent] {
        &self.triggering_events
    }

    /// The latest events of the task's inlets, oldest first.
    #[must_use]
    pub fn inlet_events(&self) -> &[AssetEvent] {
        &self.inlet_events
    }

    /// Says more about the change of an outlet than that it happened: `extra` is an object of yours, and those
    /// who depend on the asset see it. Without this, a task's success says of each of its outlets that it
    /// changed.
    ///
    /// # Errors
    /// `extra` is no JSON object.
    #[track_caller]
    pub fn outlet_event(&self, asset: impl Into<AssetRef>, extra: impl Serialize) -> Result<()> {
        self.push_event(asset.into(), None, &extra)
    }

    /// Says that an asset changed which is reached through an alias among the task's outlets: from then on
    /// the alias stands for that asset, too.
    ///
    /// # Errors
    /// `extra` is no JSON object.
    #[track_caller]
    pub fn alias_event(
        &self,
        alias: AssetAlias,
        asset: Asset,
        extra: impl Serialize,
    ) -> Result<()> {
        self.push_event(asset.reference(), Some(alias), &extra)
    }

    /// What was said of outlets so far: for tests.
    #[must_use]
    pub fn outlet_events(&self) -> Vec<OutletEvent> {
        self.outlet_events.borrow().clone()
    }

    #[track_caller]
    fn push_event(
        &self,
        asset: AssetRef,
        alias: Option<AssetAlias>,
        extra: &impl Serialize,
    ) -> Result<()> {
        let extra = crate::asset::extra(extra)?;
        self.outlet_events.borrow_mut().push(OutletEvent {
            asset,
            alias,
            extra,
        });
        Ok(())
    }

    #[track_caller]
    fn timeless(&self, what: &str) -> Error {
        crate::fail(format_args!(
            "run `{}` has no {what}; trigger the DAG with a logical date",
            self.run_id
        ))
    }
}

/// Makes a [`Context`] for a test.
#[derive(Debug)]
#[must_use]
pub struct ContextBuilder {
    context: Context,
    params: serde_json::Map<String, serde_json::Value>,
}

impl Default for ContextBuilder {
    fn default() -> Self {
        let context = Context {
            dag_id: "test".to_owned(),
            run_id: "manual__test".to_owned(),
            run_type: "manual".to_owned(),
            task_id: "test".to_owned(),
            map_index: -1,
            try_number: 1,
            max_tries: 1,
            token: 1,
            logical_date: None,
            data_interval: None,
            run_after: Timestamp::UNIX_EPOCH,
            params: String::new(),
            first_started_at: Timestamp::now(),
            is_latest: true,
            triggering_events: Vec::new(),
            inlet_events: Vec::new(),
            outlet_events: RefCell::default(),
        };
        Self {
            context,
            params: serde_json::Map::new(),
        }
    }
}

impl ContextBuilder {
    /// The DAG and the task.
    pub fn task(mut self, dag_id: &str, task_id: &str) -> Self {
        (self.context.dag_id, self.context.task_id) = (dag_id.to_owned(), task_id.to_owned());
        self
    }

    /// The DAG run and its type.
    pub fn run(mut self, run_id: &str, run_type: &str) -> Self {
        (self.context.run_id, self.context.run_type) = (run_id.to_owned(), run_type.to_owned());
        self
    }

    /// Which try of how many.
    pub fn try_number(mut self, number: u32, of: u32) -> Self {
        (self.context.try_number, self.context.max_tries) = (number, of);
        self
    }

    /// The fencing token.
    pub fn token(mut self, token: u64) -> Self {
        self.context.token = token;
        self
    }

    /// The point in time that the run stands for. Unless set by itself, the data interval is that instant,
    /// as Airflow 3's cron timetable has it.
    pub fn logical_date(mut self, date: Timestamp) -> Self {
        self.context.logical_date = Some(date);
        self.context.run_after = date;
        self.context.data_interval.get_or_insert((date, date));
        self
    }

    /// The start and the end of the time whose data the run is about.
    pub fn data_interval(mut self, start: Timestamp, end: Timestamp) -> Self {
        self.context.data_interval = Some((start, end));
        self
    }

    /// A param; a value without a JSON form counts as `null`.
    pub fn param(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.params.insert(name.to_owned(), value);
        self
    }

    /// Which instance of a mapped task.
    pub fn map_index(mut self, index: i32) -> Self {
        self.context.map_index = index;
        self
    }

    /// When this try began, where it is not now.
    pub fn first_started_at(mut self, at: Timestamp) -> Self {
        self.context.first_started_at = at;
        self
    }

    /// Whether the run is the latest of its schedule. Unless it is said, it is.
    pub fn is_latest(mut self, latest: bool) -> Self {
        self.context.is_latest = latest;
        self
    }

    /// A further asset event that made the run.
    pub fn triggering_event(mut self, event: AssetEvent) -> Self {
        self.context.triggering_events.push(event);
        self
    }

    /// A further event of one of the task's inlets.
    pub fn inlet_event(mut self, event: AssetEvent) -> Self {
        self.context.inlet_events.push(event);
        self
    }

    /// The context.
    #[must_use]
    pub fn build(mut self) -> Context {
        self.context.params = serde_json::Value::Object(self.params).to_string();
        self.context
    }
}
