//! Variables, connections and pools as people change them, with word to whoever depends on them.

use std::{path::Path, sync::Arc};

use airlock_model::{
    connection::{Connection, Pool, Variable},
    id::{ConnectionId, PoolName, Scope, VariableKey},
    port::{PoolStore, StoreError},
};
use airlock_secret::{Configured, ConfiguredTwice, Folder, Keyring, KeyringError, Vault};
use airlock_server::{Kept, SettingsKeeper};
use airlock_store::Store;
use async_trait::async_trait;
use tracing::error;

use super::Shelf;
use crate::config::Config;

/// The file in the home folder that holds the keys.
pub(crate) const KEY_FILE: &str = "keyring";

/// Why secrets cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    /// The keys.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The configuration.
    #[error(transparent)]
    Configured(#[from] ConfiguredTwice),
}

/// The vault of a home folder; its keys are made at the first start.
pub(crate) fn vault(config: &Config, home: &Path, store: &Arc<Store>) -> Result<Vault, VaultError> {
    let mut configured = Configured::default();
    for (scope, settings) in config.settings() {
        for connection in &settings.connections {
            configured.connection(scope.clone(), connection.clone())?;
        }
        for variable in &settings.variables {
            configured.variable(scope.clone(), variable.clone())?;
        }
    }
    let file = home.join(KEY_FILE);
    let keyring = Keyring::load_or_create(&file)?;
    let vault = Vault::new(configured, store.clone(), store.clone(), keyring, file)
        .in_order(config.secrets.backends);
    Ok(match &config.secrets.files {
        Some(folder) => vault.with_folder(Folder::new(folder.clone())),
        None => vault,
    })
}

/// The vault, opened for the API. A variable that changes may change what a bundle parses to.
pub(crate) struct Keeper {
    pub(crate) vault: Arc<Vault>,
    pub(crate) shelf: Arc<Shelf>,
}

#[async_trait]
impl SettingsKeeper for Keeper {
    async fn variables(&self, scope: &Scope) -> Result<Vec<Kept<Variable>>, StoreError> {
        Ok(self
            .vault
            .variables_of(scope)
            .await?
            .into_iter()
            .map(kept)
            .collect())
    }

    async fn variable(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<Option<Kept<Variable>>, StoreError> {
        Ok(self.vault.variable_of(scope, key).await?.map(kept))
    }

    async fn set_variable(&self, scope: &Scope, variable: &Variable) -> Result<(), StoreError> {
        self.vault.set_variable(scope, variable).await?;
        import_again(&self.shelf);
        Ok(())
    }

    async fn delete_variable(&self, scope: &Scope, key: &VariableKey) -> Result<(), StoreError> {
        self.vault.delete_variable(scope, key).await?;
        import_again(&self.shelf);
        Ok(())
    }

    async fn connections(&self, scope: &Scope) -> Result<Vec<Kept<Connection>>, StoreError> {
        Ok(self
            .vault
            .connections_of(scope)
            .await?
            .into_iter()
            .map(kept)
            .collect())
    }

    async fn connection(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<Option<Kept<Connection>>, StoreError> {
        Ok(self.vault.connection_of(scope, id).await?.map(kept))
    }

    async fn set_connection(
        &self,
        scope: &Scope,
        connection: &Connection,
    ) -> Result<(), StoreError> {
        self.vault.set_connection(scope, connection).await
    }

    async fn delete_connection(&self, scope: &Scope, id: &ConnectionId) -> Result<(), StoreError> {
        self.vault.delete_connection(scope, id).await
    }
}

fn kept<T>(kept: airlock_secret::Kept<T>) -> Kept<T> {
    Kept {
        value: kept.value,
        configured: kept.configured,
    }
}

/// Imports again in the background: whoever changed a setting need not wait for a parse.
fn import_again(shelf: &Arc<Shelf>) {
    let shelf = Arc::clone(shelf);
    tokio::spawn(async move {
        if let Err(error) = shelf.import_again().await {
            error!(%error, "bundles could not be imported again after a setting changed");
        }
    });
}

/// Pools whose changes the scheduler and the importer hear of.
pub(crate) struct WatchedPools {
    pub(crate) store: Arc<Store>,
    pub(crate) handle: airlock_scheduler::Handle,
    pub(crate) shelf: Arc<Shelf>,
}

impl WatchedPools {
    async fn tell(&self) -> Result<(), StoreError> {
        self.handle.pools(self.store.pools().await?);
        import_again(&self.shelf);
        Ok(())
    }
}

#[async_trait]
impl PoolStore for WatchedPools {
    async fn pools(&self) -> Result<Vec<Pool>, StoreError> {
        self.store.pools().await
    }

    async fn set_pool(&self, pool: &Pool) -> Result<(), StoreError> {
        self.store.set_pool(pool).await?;
        self.tell().await
    }

    async fn delete_pool(&self, scope: &Scope, name: &PoolName) -> Result<(), StoreError> {
        self.store.delete_pool(scope, name).await?;
        self.tell().await
    }
}
