//! Looking at exactly one scope, and changing what is in it.

use std::collections::BTreeMap;

use airlock_model::{
    connection::{Connection, Variable},
    id::{ConnectionId, Scope, VariableKey},
    mask::Sensitive,
    port::StoreError,
};

use super::{Kept, MAX_VALUE_BYTES, Vault, unreadable, unusable};
use crate::{
    folder::{Folder, FolderError},
    order::Backend,
};

const fn by_editor<T>(value: T) -> Kept<T> {
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
    /// Asks the folder of secrets, where there is one, beside the runtime's threads: its disk may be slow.
    async fn in_folder<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Folder) -> Result<T, FolderError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let Some(folder) = self.folder.clone() else {
            return Ok(None);
        };
        let answer = tokio::task::spawn_blocking(move || ask(&folder)).await;
        let answer = answer.map_err(|error| StoreError::Unavailable(error.into()))?;
        answer.map(Some).map_err(unusable)
    }

    async fn file_of_variable(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<Option<Variable>, StoreError> {
        let (scope, key) = (scope.clone(), key.clone());
        let found = self.in_folder(move |folder| folder.variable(&scope, &key));
        Ok(found.await?.flatten())
    }

    async fn file_of_connection(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, StoreError> {
        let (scope, id) = (scope.clone(), id.clone());
        let found = self.in_folder(move |folder| folder.connection(&scope, &id));
        Ok(found.await?.flatten())
    }

    /// A variable of exactly this scope.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn variable_of(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<Option<Kept<Variable>>, StoreError> {
        let name = (scope.clone(), key.clone());
        for backend in self.order.backends() {
            let found = match backend {
                Backend::Configuration => {
                    let found = self.configured.variables.get(&name);
                    found.cloned().map(by_editor)
                }
                Backend::Files => self.file_of_variable(scope, key).await?.map(by_editor),
                Backend::Database => self.stored_variable(scope, key).await?.map(from_database),
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
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
        for backend in self.order.backends() {
            match backend {
                Backend::Configuration => {
                    for ((whose, key), variable) in &self.configured.variables {
                        if whose == scope && wanted(key) && !found.contains_key(key) {
                            found.insert(key.clone(), by_editor(variable.clone()));
                        }
                    }
                }
                Backend::Files => {
                    let of = scope.clone();
                    let keys = self.in_folder(move |folder| folder.variables(&of)).await?;
                    for key in keys.into_iter().flatten() {
                        if wanted(&key) && !found.contains_key(&key) {
                            let variable = self.file_of_variable(scope, &key).await?;
                            found.extend(variable.map(|variable| (key, by_editor(variable))));
                        }
                    }
                }
                Backend::Database => {
                    // A rotation would drop the key between the reading and the opening.
                    let _reading = self.sealing.read().await;
                    let scopes = std::slice::from_ref(scope);
                    for sealed in self.variables.variables(scopes).await? {
                        if wanted(&sealed.key) && !found.contains_key(&sealed.key) {
                            let variable =
                                self.open_variable(sealed).map_err(|e| unreadable(&e))?;
                            found.insert(variable.key.clone(), from_database(variable));
                        }
                    }
                }
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
        for backend in self.order.backends() {
            let found = match backend {
                Backend::Configuration => {
                    let found = self.configured.connections.get(&name);
                    found.cloned().map(by_editor)
                }
                Backend::Files => self.file_of_connection(scope, id).await?.map(by_editor),
                Backend::Database => self.stored_connection(scope, id).await?.map(from_database),
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// All connections of exactly this scope, by id.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn connections_of(&self, scope: &Scope) -> Result<Vec<Kept<Connection>>, StoreError> {
        let mut found = BTreeMap::new();
        for backend in self.order.backends() {
            match backend {
                Backend::Configuration => {
                    for ((whose, id), connection) in &self.configured.connections {
                        if whose == scope && !found.contains_key(id) {
                            found.insert(id.clone(), by_editor(connection.clone()));
                        }
                    }
                }
                Backend::Files => {
                    let of = scope.clone();
                    let ids = self
                        .in_folder(move |folder| folder.connections(&of))
                        .await?;
                    for id in ids.into_iter().flatten() {
                        if !found.contains_key(&id) {
                            let connection = self.file_of_connection(scope, &id).await?;
                            found.extend(connection.map(|connection| (id, by_editor(connection))));
                        }
                    }
                }
                Backend::Database => {
                    let _reading = self.sealing.read().await;
                    let scopes = std::slice::from_ref(scope);
                    for sealed in self.connections.connections(scopes).await? {
                        if !found.contains_key(&sealed.id) {
                            let opened = self.open_connection(sealed);
                            let connection = opened.map_err(|e| unreadable(&e))?;
                            found.insert(connection.id.clone(), from_database(connection));
                        }
                    }
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// Creates or replaces a variable in the database.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where what is asked before the database provides it, or the value is too long.
    pub async fn set_variable(&self, scope: &Scope, variable: &Variable) -> Result<(), StoreError> {
        self.variable_is_changeable(scope, &variable.key).await?;
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
    /// [`StoreError::Refused`] where what is asked before the database provides it; [`StoreError::NotFound`].
    pub async fn delete_variable(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<(), StoreError> {
        self.variable_is_changeable(scope, key).await?;
        self.variables.delete_variable(scope, key).await
    }

    /// Creates or replaces a connection in the database.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where what is asked before the database provides it, a secret is too long, or `extra` is not
    /// a JSON object.
    pub async fn set_connection(
        &self,
        scope: &Scope,
        connection: &Connection,
    ) -> Result<(), StoreError> {
        self.connection_is_changeable(scope, &connection.id).await?;
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
    /// [`StoreError::Refused`] where what is asked before the database provides it; [`StoreError::NotFound`].
    pub async fn delete_connection(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<(), StoreError> {
        self.connection_is_changeable(scope, id).await?;
        self.connections.delete_connection(scope, id).await
    }

    async fn variable_is_changeable(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<(), StoreError> {
        let name = (scope.clone(), key.clone());
        for backend in self.order.before_database() {
            let there = match backend {
                Backend::Configuration => self.configured.variables.contains_key(&name),
                Backend::Files => self.file_of_variable(scope, key).await?.is_some(),
                Backend::Database => false,
            };
            refuse_if(there, *backend, "variable", key.as_str())?;
        }
        Ok(())
    }

    async fn connection_is_changeable(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<(), StoreError> {
        let name = (scope.clone(), id.clone());
        for backend in self.order.before_database() {
            let there = match backend {
                Backend::Configuration => self.configured.connections.contains_key(&name),
                Backend::Files => self.file_of_connection(scope, id).await?.is_some(),
                Backend::Database => false,
            };
            refuse_if(there, *backend, "connection", id.as_str())?;
        }
        Ok(())
    }
}

fn refuse_if(there: bool, backend: Backend, kind: &str, name: &str) -> Result<(), StoreError> {
    if there {
        let place = match backend {
            Backend::Files => "the folder of secrets",
            Backend::Configuration | Backend::Database => "airlock.toml",
        };
        return Err(StoreError::Refused(format!(
            "{kind} `{name}` stands in {place}, which wins over the database: change it there"
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
