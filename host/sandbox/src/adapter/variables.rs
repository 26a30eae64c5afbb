//! `airlock:capability/variables`.

use super::Call;
use crate::{
    bindings::{errors::Error, variables},
    errand::Errand,
};

impl variables::Host for Call {
    async fn get(&mut self, key: String) -> Result<Option<String>, Error> {
        let standing = &self.standing;
        if standing.errand == Errand::Timetable {
            return Err(standing.out_of_place(
                "variable",
                "AL-0526",
                &format!("variable `{key}`"),
                "a timetable reaches nothing, so that the same question has the same answer; put what it needs into its fields when the DAG is parsed",
            ));
        }
        let permit = standing
            .effective()
            .variable(&standing.caller, &key)
            .map_err(|denial| standing.denied(&denial))?;
        let variable = standing
            .ports
            .variables
            .get(permit)
            .await
            .map_err(|error| standing.unavailable("a variable", &error))?;
        Ok(variable.map(|variable| {
            let value = variable.value.reveal();
            standing.log.reveal_setting(value);
            value.to_owned()
        }))
    }
}
