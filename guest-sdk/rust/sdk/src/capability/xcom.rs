//! XComs: small JSON values that tasks leave for each other. What a task returns is one by itself, with the
//! key `return_value`; arguments of a task are read from those without any call. These functions are for the
//! rest: further keys, and other runs of the team.

use serde::{Serialize, de::DeserializeOwned};

use super::CapabilityError;
use crate::{Result, host};

/// The key of what a task returned.
pub const RETURN_VALUE: &str = "return_value";

/// Which XCom is meant: by default what the task returned in this run.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// # #[task]
/// # fn compare() -> Result<()> {
/// let rows: Option<u64> = xcom::of("load").key("rows").pull()?;
/// let last_week: Option<u64> = xcom::of("load").run("weekly", "scheduled__2012-01-15T00:00:00+00:00").pull()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Address {
    pub(crate) run: Option<(String, String)>,
    pub(crate) task_id: String,
    pub(crate) map_index: i32,
    pub(crate) key: String,
}

/// The XCom that `task_id` returned in this run.
pub fn of(task_id: &str) -> Address {
    Address {
        run: None,
        task_id: task_id.to_owned(),
        map_index: -1,
        key: RETURN_VALUE.to_owned(),
    }
}

impl Address {
    /// Another key than `return_value`.
    pub fn key(mut self, key: &str) -> Self {
        self.key = key.to_owned();
        self
    }

    /// Another run, of this or another DAG of the team.
    pub fn run(mut self, dag_id: &str, run_id: &str) -> Self {
        self.run = Some((dag_id.to_owned(), run_id.to_owned()));
        self
    }

    /// One instance of a mapped task.
    pub fn map_index(mut self, map_index: i32) -> Self {
        self.map_index = map_index;
        self
    }

    /// The value, or none where nothing was pushed; another team's run is as if it did not exist.
    ///
    /// # Errors
    /// [`CapabilityError`] from the host, or the value is no `T`.
    #[track_caller]
    pub fn pull<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        match self.pull_json()? {
            None => Ok(None),
            Some(json) => match serde_json::from_str(&json) {
                Ok(value) => Ok(Some(value)),
                Err(error) => Err(crate::fail(format_args!(
                    "XCom `{}` of task `{}` is no `{}`: {error}",
                    self.key,
                    self.task_id,
                    std::any::type_name::<T>()
                ))),
            },
        }
    }

    /// The value as JSON text.
    ///
    /// # Errors
    /// From the host.
    pub fn pull_json(&self) -> Result<Option<String>, CapabilityError> {
        host::xcom_pull(self)
    }
}

/// What `task_id` returned in this run, or none where it returned nothing.
///
/// # Errors
/// As [`Address::pull`].
#[track_caller]
pub fn pull<T: DeserializeOwned>(task_id: &str) -> Result<Option<T>> {
    of(task_id).pull()
}

/// Leaves `value` under `key` for other tasks. They see it once this try has ended with success.
///
/// # Errors
/// [`CapabilityError::Limit`] where the try's XComs grow too large; or `value` has no JSON form.
#[track_caller]
pub fn push<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<()> {
    let json = match serde_json::to_string(value) {
        Ok(json) => json,
        Err(error) => {
            return Err(crate::fail(format_args!(
                "XCom `{key}` has no JSON form: {error}"
            )));
        }
    };
    Ok(host::xcom_push(key, &json)?)
}
