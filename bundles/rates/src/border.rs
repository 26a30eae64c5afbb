//! The border between teams, tried from inside: every task here asks for something that is another team's,
//! by its right name, and reports what it saw. Half of the names are in this bundle's request, so that a
//! generous grant may hold them: then the answer must be the same as for something that does not exist.

use airlock_sdk::{capability::CapabilityError, prelude::*};
use serde::{Deserialize, Serialize};

/// Tries to reach another team's things, and fails if it sees any.
#[dag(tags = ["example"], owners = ["treasury"])]
pub fn border() {
    verdict(
        try_connection("weather_archive"),
        try_connection::with_id("try_unrequested_connection", "weather_vault"),
        try_variable("weather.station"),
        try_variable::with_id("try_unrequested_variable", "weather_secret"),
        try_file("archive/seattle-weather.csv"),
        try_xcom("weather", "scheduled__2012-01-15T00:00:00+00:00", "observe"),
    );
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Saw {
    /// The host refused, with this text.
    Denied(String),
    /// As if it did not exist.
    Nothing,
    /// It was there. What it is stays out of the report.
    Something,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// What was asked for.
    pub what: String,
    /// What came of it.
    pub saw: Saw,
}

fn sighting<T>(what: String, answer: Result<Option<T>, CapabilityError>) -> Result<Sighting> {
    let saw = match answer {
        Ok(None) => Saw::Nothing,
        Ok(Some(_)) => Saw::Something,
        Err(CapabilityError::Denied(text)) => Saw::Denied(text),
        Err(error) => return Err(error.into()),
    };
    info!("{what}: {saw:?}");
    Ok(Sighting { what, saw })
}

#[task]
pub(crate) fn try_connection(id: &str) -> Result<Sighting> {
    sighting(format!("connection {id}"), connection(id))
}

#[task]
pub(crate) fn try_variable(key: &str) -> Result<Sighting> {
    sighting(format!("variable {key}"), variable(key))
}

#[task]
pub(crate) fn try_xcom(dag_id: &str, run_id: &str, task_id: &str) -> Result<Sighting> {
    let answer = xcom::of(task_id).run(dag_id, run_id).pull_json();
    sighting(format!("XCom of {dag_id} {run_id} {task_id}"), answer)
}

#[task]
pub(crate) fn try_file(path: &str) -> Result<Sighting> {
    sighting(format!("file {path}"), Ok(std::fs::read(path).ok()))
}

/// Fails if any attempt saw something.
#[task]
pub(crate) fn verdict(
    a: Sighting,
    b: Sighting,
    c: Sighting,
    d: Sighting,
    e: Sighting,
    f: Sighting,
) -> Result<Vec<Sighting>> {
    let all = vec![a, b, c, d, e, f];
    match all.iter().find(|sighting| sighting.saw == Saw::Something) {
        Some(sighting) => Err(fail(format_args!(
            "another team's {} can be seen",
            sighting.what
        ))),
        None => Ok(all),
    }
}
