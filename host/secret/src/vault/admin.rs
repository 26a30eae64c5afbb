//! Looking at exactly one scope, and changing what is in it.

use std::collections::BTreeMap;

use airlock_model::{
    connection::{Connection, Variable},
    id::{ConnectionId, Scope, VariableKey},
    mask::Sensitive,
    port::StoreError,
};

use super::{Kept, MAX_VALUE_BYTES, Vault, unreadable};

const fn from_configuration<T>(value: T) -> Kept<T> {
    Kept {
        value,
        configured: true,
    }
}

const fn from_database<T>(value: T) -> Kept<T> {
    Kept {
        value,
        configured: false,
    }
}

impl Vault {
    /// A variable of exactly this scope.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn variable_of(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<Option<Kept<Variable>>, StoreError> {
        if let Some(variable) = self.configured.variables.get(&(scope.clone(), key.clone())) {
            return Ok(Some(from_configuration(variable.clone())));
        }
        let stored = self.stored_variable(scope, key).await?;
        Ok(stored.map(from_database))
    }

    /// All variables of exactly this scope, by key.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn variables_of(&self, scope: &Scope) -> Result<Vec<Kept<Variable>>, StoreError> {
        self.variables_where(scope, |_| true).await
    }

    /// Those variables of a scope whose key is wanted, by key. Only these are opened.
    pub(super) async fn variables_where(
        &self,
        scope: &Scope,
        wanted: impl Fn(&VariableKey) -> bool,
    ) -> Result<Vec<Kept<Variable>>, StoreError> {
        let mut found = BTreeMap::new();
        for ((whose, key), variable) in &self.configured.variables {
            if whose == scope && wanted(key) {
                found.insert(key.clone(), from_configuration(variable.clone()));
            }
        }
        // A rotation would drop the key between the reading and the opening.
        let _reading = self.sealing.read().await;
        for sealed in self
            .variables
            .variables(std::slice::from_ref(scope))
            .await?
        {
            if wanted(&sealed.key) && !found.contains_key(&sealed.key) {
                let variable = self.open_variable(sealed).map_err(|e| unreadable(&e))?;
                found.insert(variable.key.clone(), from_database(variable));
            }
        }
        Ok(found.into_values().collect())
    }

    /// A connection of exactly this scope.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn connection_of(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<Option<Kept<Connection>>, StoreError> {
        let name = (scope.clone(), id.clone());
        if let Some(connection) = self.configured.connections.get(&name) {
            return Ok(Some(from_configuration(connection.clone())));
        }
        let stored = self.stored_connection(scope, id).await?;
        Ok(stored.map(from_database))
    }

    /// All connections of exactly this scope, by id.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn connections_of(&self, scope: &Scope) -> Result<Vec<Kept<Connection>>, StoreError> {
        let mut found = BTreeMap::new();
        for ((whose, id), connection) in &self.configured.connections {
            if whose == scope {
                found.insert(id.clone(), from_configuration(connection.clone()));
            }
        }
        let _reading = self.sealing.read().await;
        for sealed in (self.connections)
            .connections(std::slice::from_ref(scope))
            .await?
        {
            if !found.contains_key(&sealed.id) {
                let connection = self.open_connection(sealed).map_err(|e| unreadable(&e))?;
                found.insert(connection.id.clone(), from_database(connection));
            }
        }
        Ok(found.into_values().collect())
    }

    /// Creates or replaces a variable in the database.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the configuration provides it, or the value is too long.
    pub async fn set_variable(&self, scope: &Scope, variable: &Variable) -> Result<(), StoreError> {
        self.not_configured_variable(scope, &variable.key)?;
        bounded("value", &variable.value)?;
        let _sealing = self.sealing.read().await;
        let sealed = self
            .seal_variable(scope, variable)
            .map_err(|e| unreadable(&e))?;
        self.variables.set_variable(&sealed).await
    }

    /// Removes a variable from the database.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the configuration provides it; [`StoreError::NotFound`].
    pub async fn delete_variable(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<(), StoreError> {
        self.not_configured_variable(scope, key)?;
        self.variables.delete_variable(scope, key).await
    }

    /// Creates or replaces a connection in the database.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the configuration provides it, a secret is too long, or `extra` is not
    /// a JSON object.
    pub async fn set_connection(
        &self,
        scope: &Scope,
        connection: &Connection,
    ) -> Result<(), StoreError> {
        self.not_configured_connection(scope, &connection.id)?;
        if let Some(password) = &connection.password {
            bounded("password", password)?;
        }
        if let Some(extra) = &connection.extra {
            bounded("extra", extra)?;
            let object =
                serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(extra.reveal());
            if object.is_err() {
                // The parser's own words could quote the secret.
                let text = format!(
                    "the `extra` of connection `{}` is not a JSON object",
                    connection.id
                );
                return Err(StoreError::Refused(text));
            }
        }
        let _sealing = self.sealing.read().await;
        let sealed = self
            .seal_connection(scope, connection)
            .map_err(|e| unreadable(&e))?;
        self.connections.set_connection(&sealed).await
    }

    /// Removes a connection from the database.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the configuration provides it; [`StoreError::NotFound`].
    pub async fn delete_connection(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<(), StoreError> {
        self.not_configured_connection(scope, id)?;
        self.connections.delete_connection(scope, id).await
    }

    fn not_configured_variable(&self, scope: &Scope, key: &VariableKey) -> Result<(), StoreError> {
        let name = (scope.clone(), key.clone());
        refuse_if(
            self.configured.variables.contains_key(&name),
            "variable",
            key.as_str(),
        )
    }

    fn not_configured_connection(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<(), StoreError> {
        let name = (scope.clone(), id.clone());
        refuse_if(
            self.configured.connections.contains_key(&name),
            "connection",
            id.as_str(),
        )
    }
}

fn refuse_if(configured: bool, kind: &str, name: &str) -> Result<(), StoreError> {
    if configured {
        return Err(StoreError::Refused(format!(
            "{kind} `{name}` stands in airlock.toml, which wins over the database: change it there"
        )));
    }
    Ok(())
}

fn bounded(what: &str, secret: &Sensitive) -> Result<(), StoreError> {
    let bytes = secret.reveal().len();
    if bytes > MAX_VALUE_BYTES {
        return Err(StoreError::Refused(format!(
            "the {what} has {bytes} bytes, and at most {MAX_VALUE_BYTES} are kept"
        )));
    }
    Ok(())
}
