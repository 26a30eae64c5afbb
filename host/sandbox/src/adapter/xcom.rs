//! `airlock:capability/xcom`.
//!
//! What a try pushes stays here until it ends: it becomes visible with its success, in the same commit, or
//! never.

use std::sync::Arc;

use airlock_model::{
    id::{DagId, IdError, MapIndex, RunId, TaskId},
    port::{RETURN_VALUE, XcomAddress},
};

use super::{Call, Standing};
use crate::{
    bindings::{
        errors::Error,
        xcom::{self, Address},
    },
    errand::Errand,
    limits::Reached,
};

/// The longest key, in bytes (Airflow 3.3.2, `xcom.key`).
const KEY_BYTES: usize = 512;

/// The XComs of one try, so far.
pub(crate) struct Pushed {
    values: Vec<(String, Arc<str>)>,
    bytes: usize,
    most: usize,
}

impl Pushed {
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            values: Vec::new(),
            bytes: 0,
            most,
        }
    }

    fn push(&mut self, key: &str, value: Arc<str>) -> Result<(), Reached> {
        let place = self.values.iter().position(|(other, _)| other == key);
        let replaced = place
            .and_then(|at| self.values.get(at))
            .map_or(0, |(key, value)| key.len() + value.len());
        let bytes = self.bytes - replaced + key.len() + value.len();
        if bytes > self.most {
            return Err(Reached::xcom(self.most));
        }
        self.bytes = bytes;
        match place.and_then(|at| self.values.get_mut(at)) {
            Some(old) => old.1 = value,
            None => self.values.push((key.to_owned(), value)),
        }
        Ok(())
    }

    /// All of them, with what the task returned.
    ///
    /// # Errors
    /// When they are too much together.
    pub(crate) fn with_returned(
        mut self,
        value: Option<Arc<str>>,
    ) -> Result<Vec<(String, Arc<str>)>, Reached> {
        if let Some(value) = value {
            self.push(RETURN_VALUE, value)?;
        }
        Ok(self.values)
    }
}

fn invalid(error: &IdError) -> Error {
    Error::Invalid(error.to_string())
}

fn only_in_tasks(standing: &Standing, key: &str) -> Result<(), Error> {
    let text = match standing.errand {
        Errand::Task => return Ok(()),
        Errand::Parse | Errand::Timetable => {
            "there are no XComs while a bundle is parsed; leave this to a task"
        }
        Errand::Trigger => {
            "a trigger has no XComs; give it what it needs when it is made, and leave the rest to the task that goes on"
        }
        Errand::Callback => "a callback has no XComs; leave this to a task",
    };
    Err(standing.out_of_place("other", "AL-0518", &format!("XCom `{key}`"), text))
}

fn address(standing: &Standing, wanted: Address) -> Result<XcomAddress, Error> {
    let missing = |what| Error::Invalid(format!("{what} must be given here"));
    let own = standing.caller.dag_id.clone();
    let dag_id = match wanted.dag_id.map(DagId::new).transpose() {
        Ok(dag_id) => dag_id
            .or_else(|| own.clone())
            .ok_or_else(|| missing("dag-id"))?,
        Err(error) => return Err(invalid(&error)),
    };
    let run_id = match wanted.run_id.map(RunId::new).transpose() {
        Ok(Some(run_id)) => run_id,
        Ok(None) if Some(&dag_id) == own.as_ref() => {
            standing.run_id.clone().ok_or_else(|| missing("run-id"))?
        }
        Ok(None) => return Err(missing("run-id, which belongs to another DAG,")),
        Err(error) => return Err(invalid(&error)),
    };
    check_key(&wanted.key)?;
    Ok(XcomAddress {
        dag_id,
        run_id,
        task_id: TaskId::new(wanted.task_id).map_err(|error| invalid(&error))?,
        map_index: MapIndex(wanted.map_index),
        key: wanted.key,
    })
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > KEY_BYTES {
        return Err(Error::Invalid(format!(
            "an XCom's key has 1 to {KEY_BYTES} bytes, this one has {}",
            key.len()
        )));
    }
    Ok(())
}

impl xcom::Host for Call {
    async fn pull(&mut self, wanted: Address) -> Result<Option<String>, Error> {
        let standing = &self.standing;
        only_in_tasks(standing, &wanted.key)?;
        let address = address(standing, wanted)?;
        let effective = standing.effective();
        let team = effective.team();
        let value = standing
            .ports
            .xcoms
            .pull(team, &address)
            .await
            .map_err(|error| standing.unavailable("an XCom", &error))?;
        Ok(value.map(|value| value.as_ref().to_owned()))
    }

    fn push(&mut self, key: String, value: String) -> Result<(), Error> {
        only_in_tasks(&self.standing, &key)?;
        check_key(&key)?;
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&value) {
            return Err(Error::Invalid(format!("the XCom is not JSON: {error}")));
        }
        self.pushed
            .push(&key, value.into())
            .map_err(|reached| Error::Limit(reached.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_once_and_the_sum_is_bounded() {
        let mut pushed = Pushed::new(16);
        pushed.push("a", "1234567".into()).unwrap();
        pushed.push("b", "1".into()).unwrap();
        pushed.push("a", "123".into()).unwrap();
        pushed.push("c", "12345".into()).unwrap();
        assert!(pushed.push("d", "12345".into()).is_err());
        let all = pushed.with_returned(None).unwrap();
        let keys: Vec<&str> = all.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "c"]);
        let mut pushed = Pushed::new(16);
        pushed.push("a", "1".into()).unwrap();
        assert!(pushed.with_returned(Some("12345".into())).is_err());
    }
}
