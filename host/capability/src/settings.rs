//! Variables and connections of the permit's team, through the one look-up there is; and what another team lends,
//! of that team alone.

use std::sync::Arc;

use airlock_grant::{
    Permit, VariablePattern,
    port::{Connections as ConnectionsPort, Variables as VariablesPort},
};
use airlock_model::{
    connection::{Connection, Variable},
    id::{ConnectionId, VariableKey},
    port::{Settings, StoreError},
};
use async_trait::async_trait;

/// Variables for whom they are permitted.
#[derive(Clone)]
pub struct Variables(Arc<dyn Settings>);

impl Variables {
    /// Over this look-up.
    #[must_use]
    pub fn new(settings: Arc<dyn Settings>) -> Self {
        Self(settings)
    }
}

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variables").finish_non_exhaustive()
    }
}

#[async_trait]
impl VariablesPort for Variables {
    async fn get(&self, permit: Permit<VariableKey>) -> Result<Option<Variable>, StoreError> {
        let found = match permit.lender() {
            Some(lender) => self.0.lent_variable(lender, permit.item()).await?,
            None => self.0.variable(permit.team(), permit.item()).await?,
        };
        Ok(found.map(|found| found.value))
    }

    async fn matching(&self, permit: Permit<VariablePattern>) -> Result<Vec<Variable>, StoreError> {
        let found = match permit.item() {
            VariablePattern::Exact(key) => {
                let found = match permit.lender() {
                    Some(lender) => self.0.lent_variable(lender, key).await?,
                    None => self.0.variable(permit.team(), key).await?,
                };
                found.into_iter().collect()
            }
            VariablePattern::Prefix(prefix) => self.0.variables(permit.team(), prefix).await?,
        };
        // A database may compare texts more loosely than the pattern does (upper and lower case, `_`).
        let values = found.into_iter().map(|found| found.value);
        Ok(values
            .filter(|variable| permit.item().matches(variable.key.as_str()))
            .collect())
    }
}

/// Connections for whom they are permitted.
#[derive(Clone)]
pub struct Connections(Arc<dyn Settings>);

impl Connections {
    /// Over this look-up.
    #[must_use]
    pub fn new(settings: Arc<dyn Settings>) -> Self {
        Self(settings)
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

#[async_trait]
impl ConnectionsPort for Connections {
    async fn get(&self, permit: Permit<ConnectionId>) -> Result<Option<Connection>, StoreError> {
        let found = match permit.lender() {
            Some(lender) => self.0.lent_connection(lender, permit.item()).await?,
            None => self.0.connection(permit.team(), permit.item()).await?,
        };
        Ok(found.map(|found| found.value))
    }
}

#[cfg(test)]
mod tests;
