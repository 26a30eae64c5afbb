//! Look-up by team, for those who have been permitted.

use std::collections::BTreeMap;

use airlock_model::{
    connection::{Connection, Variable},
    id::{ConnectionId, Scope, TeamName, VariableKey},
    port::{Revealed, Settings, StoreError},
};
use async_trait::async_trait;

use super::{Vault, unreadable};
use crate::seal::SealError;

/// The scopes in which a team looks, the nearest first. There is no other team's among them.
fn scopes(team: &TeamName) -> [Scope; 2] {
    [Scope::Team(team.clone()), Scope::Global]
}

impl Vault {
    /// A variable of exactly this scope, in the database.
    pub(super) async fn stored_variable(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<Option<Variable>, StoreError> {
        // Between the reading and the opening a rotation may have dropped the key that sealed what was
        // read: what is read next is sealed with the new one.
        let mut again = true;
        loop {
            let Some(sealed) = self.variables.variable(scope, key).await? else {
                return Ok(None);
            };
            match self.open_variable(sealed) {
                Err(SealError::UnknownKey { .. }) if again => again = false,
                opened => return opened.map(Some).map_err(|error| unreadable(&error)),
            }
        }
    }

    /// A connection of exactly this scope, in the database.
    pub(super) async fn stored_connection(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, StoreError> {
        let mut again = true;
        loop {
            let Some(sealed) = self.connections.connection(scope, id).await? else {
                return Ok(None);
            };
            match self.open_connection(sealed) {
                Err(SealError::UnknownKey { .. }) if again => again = false,
                opened => return opened.map(Some).map_err(|error| unreadable(&error)),
            }
        }
    }
}

#[async_trait]
impl Settings for Vault {
    async fn variable(
        &self,
        team: &TeamName,
        key: &VariableKey,
    ) -> Result<Option<Revealed<Variable>>, StoreError> {
        for scope in scopes(team) {
            let found = self.variable_of(&scope, key).await?;
            if let Some(kept) = found {
                let value = kept.value;
                return Ok(Some(Revealed { value, scope }));
            }
        }
        Ok(None)
    }

    async fn variables(
        &self,
        team: &TeamName,
        prefix: &str,
    ) -> Result<Vec<Revealed<Variable>>, StoreError> {
        let mut found: BTreeMap<VariableKey, Revealed<Variable>> = BTreeMap::new();
        for scope in scopes(team) {
            let wanted = |key: &VariableKey| key.as_str().starts_with(prefix);
            for kept in self.variables_where(&scope, wanted).await? {
                let (value, scope) = (kept.value, scope.clone());
                found
                    .entry(value.key.clone())
                    .or_insert(Revealed { value, scope });
            }
        }
        Ok(found.into_values().collect())
    }

    async fn connection(
        &self,
        team: &TeamName,
        id: &ConnectionId,
    ) -> Result<Option<Revealed<Connection>>, StoreError> {
        for scope in scopes(team) {
            let found = self.connection_of(&scope, id).await?;
            if let Some(kept) = found {
                let value = kept.value;
                return Ok(Some(Revealed { value, scope }));
            }
        }
        Ok(None)
    }

    async fn lent_variable(
        &self,
        lender: &TeamName,
        key: &VariableKey,
    ) -> Result<Option<Revealed<Variable>>, StoreError> {
        let scope = Scope::Team(lender.clone());
        let found = self.variable_of(&scope, key).await?;
        Ok(found.map(|kept| Revealed {
            value: kept.value,
            scope,
        }))
    }

    async fn lent_connection(
        &self,
        lender: &TeamName,
        id: &ConnectionId,
    ) -> Result<Option<Revealed<Connection>>, StoreError> {
        let scope = Scope::Team(lender.clone());
        let found = self.connection_of(&scope, id).await?;
        Ok(found.map(|kept| Revealed {
            value: kept.value,
            scope,
        }))
    }
}
