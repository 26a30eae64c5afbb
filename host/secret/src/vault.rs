//! The vault: look-up for those who have been permitted, and change for those who administer.

mod admin;
mod lookup;
mod rotation;

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use airlock_model::{
    connection::{Connection, Variable},
    id::Scope,
    mask::Sensitive,
    port::{ConnectionStore, SealedConnection, SealedVariable, StoreError, VariableStore},
};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

pub use rotation::Rotation;

use crate::{
    configured::Configured,
    folder::{Folder, FolderError},
    keyring::Keyring,
    order::Order,
    seal::{SealError, Subject},
};

/// The longest value, password or `extra`, in bytes.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// Something that is kept in one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<T> {
    /// What is kept.
    pub value: T,
    /// Whether it stands in the configuration or the folder of secrets, where only an editor changes it.
    pub configured: bool,
}

/// Variables and connections of all teams: those of the configuration, those in the folder of secrets, and those that
/// are sealed in the database. Looked up are the team's in all of them first, and then the global ones; each time in the
/// [`Order`] that is configured.
pub struct Vault {
    configured: Configured,
    folder: Option<Folder>,
    order: Order,
    variables: Arc<dyn VariableStore>,
    connections: Arc<dyn ConnectionStore>,
    key_file: PathBuf,
    keyring: RwLock<Arc<Keyring>>,
    /// Held by whoever seals and writes; a rotation holds all of it, so that nothing that was sealed with
    /// the old key is written behind its back.
    sealing: tokio::sync::RwLock<()>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault")
            .field("keyring", &self.keyring)
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// A vault whose keys came from `key_file`, where a rotation replaces them.
    #[must_use]
    pub fn new(
        configured: Configured,
        variables: Arc<dyn VariableStore>,
        connections: Arc<dyn ConnectionStore>,
        keyring: Keyring,
        key_file: PathBuf,
    ) -> Self {
        Self {
            configured,
            folder: None,
            order: Order::default(),
            variables,
            connections,
            key_file,
            keyring: RwLock::new(Arc::new(keyring)),
            sealing: tokio::sync::RwLock::default(),
        }
    }

    /// The same vault, which also looks into a folder of secrets.
    #[must_use]
    pub fn with_folder(mut self, folder: Folder) -> Self {
        self.folder = Some(folder);
        self
    }

    /// The same vault, which asks in this order.
    #[must_use]
    pub fn in_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    fn keyring(&self) -> Arc<Keyring> {
        let keyring = self.keyring.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&keyring)
    }

    fn use_keyring(&self, keyring: Keyring) {
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keyring);
    }

    fn open_variable(&self, sealed: SealedVariable) -> Result<Variable, SealError> {
        let subject = variable_subject(&sealed.scope, sealed.key.as_str());
        let value = self.keyring().open(&subject, &sealed.sealed)?;
        let value = std::str::from_utf8(&value).map_err(|_| form(&subject))?;
        Ok(Variable {
            value: Sensitive::new(value),
            key: sealed.key,
            description: sealed.description,
        })
    }

    fn open_connection(&self, sealed: SealedConnection) -> Result<Connection, SealError> {
        let subject = connection_subject(&sealed.scope, sealed.id.as_str());
        let opened = self.keyring().open(&subject, &sealed.sealed)?;
        let mut secrets: Secrets = serde_json::from_slice(&opened).map_err(|_| form(&subject))?;
        Ok(Connection {
            password: secrets.password.take().map(Sensitive::new),
            extra: secrets.extra.take().map(Sensitive::new),
            id: sealed.id,
            conn_type: sealed.conn_type,
            description: sealed.description,
            host: sealed.host,
            port: sealed.port,
            login: sealed.login,
            schema: sealed.schema,
        })
    }

    fn seal_variable(
        &self,
        scope: &Scope,
        variable: &Variable,
    ) -> Result<SealedVariable, SealError> {
        let subject = variable_subject(scope, variable.key.as_str());
        let value = variable.value.reveal().as_bytes();
        Ok(SealedVariable {
            sealed: self.keyring().seal(&subject, value)?,
            scope: scope.clone(),
            key: variable.key.clone(),
            description: variable.description.clone(),
        })
    }

    fn seal_connection(
        &self,
        scope: &Scope,
        connection: &Connection,
    ) -> Result<SealedConnection, SealError> {
        let subject = connection_subject(scope, connection.id.as_str());
        let reveal = |secret: &Option<Sensitive>| secret.as_ref().map(|s| s.reveal().to_owned());
        let secrets = Secrets {
            password: reveal(&connection.password),
            extra: reveal(&connection.extra),
        };
        let value = serde_json::to_vec(&secrets).map_err(|_| form(&subject))?;
        Ok(SealedConnection {
            sealed: self.keyring().seal(&subject, &Zeroizing::new(value))?,
            scope: scope.clone(),
            id: connection.id.clone(),
            conn_type: connection.conn_type.clone(),
            description: connection.description.clone(),
            host: connection.host.clone(),
            port: connection.port,
            login: connection.login.clone(),
            schema: connection.schema.clone(),
        })
    }
}

/// What of a connection is sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secrets {
    password: Option<String>,
    extra: Option<String>,
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.password.zeroize();
        self.extra.zeroize();
    }
}

const fn variable_subject<'a>(scope: &'a Scope, name: &'a str) -> Subject<'a> {
    Subject {
        scope,
        kind: Subject::VARIABLE,
        name,
    }
}

const fn connection_subject<'a>(scope: &'a Scope, name: &'a str) -> Subject<'a> {
    Subject {
        scope,
        kind: Subject::CONNECTION,
        name,
    }
}

fn form(subject: &Subject<'_>) -> SealError {
    SealError::Form {
        subject: subject.to_string(),
    }
}

/// As the ports tell it: what cannot be opened is as good as unreadable.
fn unreadable(error: &SealError) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

/// A file that is refused hides nothing that stands elsewhere: what was looked for may be in it.
fn unusable(error: FolderError) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

#[cfg(test)]
mod tests;
