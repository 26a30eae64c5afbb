//! `airlock:capability/variables`.

use super::Call;
use crate::bindings::{errors::Error, variables};

impl variables::Host for Call {
    async fn get(&mut self, key: String) -> Result<Option<String>, Error> {
        let standing = &self.standing;
        let permit = standing
            .effective
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
