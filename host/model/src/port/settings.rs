//! Variables, connections and pools: how they are kept (sealed), and how they are looked up (revealed).

use async_trait::async_trait;

use super::StoreError;
use crate::{
    connection::{Connection, Pool, Variable},
    id::{ConnectionId, PoolName, Scope, TeamName, VariableKey},
};

/// A variable whose value is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedVariable {
    /// Whose.
    pub scope: Scope,
    /// Its key.
    pub key: VariableKey,
    /// The value, sealed for this scope and key.
    pub sealed: Vec<u8>,
    /// For people.
    pub description: Option<String>,
}

/// A connection whose secrets are sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedConnection {
    /// Whose.
    pub scope: Scope,
    /// The id.
    pub id: ConnectionId,
    /// The kind of system.
    pub conn_type: String,
    /// For people.
    pub description: Option<String>,
    /// Host.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// User.
    pub login: Option<String>,
    /// Database.
    pub schema: Option<String>,
    /// Password and extra together, sealed for this scope and id.
    pub sealed: Vec<u8>,
}

/// Variables in the database.
#[async_trait]
pub trait VariableStore: Send + Sync {
    /// One of exactly this scope.
    async fn variable(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<Option<SealedVariable>, StoreError>;
    /// All of these scopes, by key.
    async fn variables(&self, scopes: &[Scope]) -> Result<Vec<SealedVariable>, StoreError>;
    /// Creates or replaces.
    async fn set_variable(&self, variable: &SealedVariable) -> Result<(), StoreError>;
    /// Removes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn delete_variable(&self, scope: &Scope, key: &VariableKey) -> Result<(), StoreError>;
}

/// Connections in the database.
#[async_trait]
pub trait ConnectionStore: Send + Sync {
    /// One of exactly this scope.
    async fn connection(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<Option<SealedConnection>, StoreError>;
    /// All of these scopes, by id.
    async fn connections(&self, scopes: &[Scope]) -> Result<Vec<SealedConnection>, StoreError>;
    /// Creates or replaces.
    async fn set_connection(&self, connection: &SealedConnection) -> Result<(), StoreError>;
    /// Removes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn delete_connection(&self, scope: &Scope, id: &ConnectionId) -> Result<(), StoreError>;
    /// Replaces every sealed value, of variables and connections, in one transaction: each is handed to
    /// `reseal` with its scope, kind and name. Nothing is changed when one of them fails.
    async fn reseal_all(
        &self,
        reseal: &(
             dyn for<'a> Fn(&'a Scope, &'a str, &'a str, &'a [u8]) -> Result<Vec<u8>, String>
                 + Send
                 + Sync
         ),
    ) -> Result<u64, StoreError>;
}

/// Pools in the database.
#[async_trait]
pub trait PoolStore: Send + Sync {
    /// All pools of all scopes.
    async fn pools(&self) -> Result<Vec<Pool>, StoreError>;
    /// Creates or replaces.
    async fn set_pool(&self, pool: &Pool) -> Result<(), StoreError>;
    /// Removes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Refused`] for a default pool.
    async fn delete_pool(&self, scope: &Scope, name: &PoolName) -> Result<(), StoreError>;
}

/// Slots that a team's task instances take of a pool, or want of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolLoad {
    /// Whose task instances.
    pub team: TeamName,
    /// Which pool they name: the team's own, or where it has none of that name, the global one.
    pub pool: PoolName,
    /// Slots of those that wait for slots. They take none yet.
    pub scheduled: u64,
    /// Slots of those that are claimed and not known to run.
    pub queued: u64,
    /// Slots of those that run.
    pub running: u64,
    /// Slots of those that wait for a trigger, which a pool may count or not.
    pub deferred: u64,
}

/// How full the pools are.
#[async_trait]
pub trait PoolLoads: Send + Sync {
    /// By team and pool; where nothing waits and nothing runs, there is no entry.
    async fn pool_loads(&self) -> Result<Vec<PoolLoad>, StoreError>;
}

/// Something that was looked up, and where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revealed<T> {
    /// What was found.
    pub value: T,
    /// The team's own, or the global one.
    pub scope: Scope,
}

/// Look-up by team, with secrets opened: the team's own first, then the global one (AIP-67 discussion).
/// Whoever calls this has decided that the caller may know.
#[async_trait]
pub trait Settings: Send + Sync {
    /// A variable.
    async fn variable(
        &self,
        team: &TeamName,
        key: &VariableKey,
    ) -> Result<Option<Revealed<Variable>>, StoreError>;
    /// All variables whose key begins with `prefix`, each key once, by key.
    async fn variables(
        &self,
        team: &TeamName,
        prefix: &str,
    ) -> Result<Vec<Revealed<Variable>>, StoreError>;
    /// A connection.
    async fn connection(
        &self,
        team: &TeamName,
        id: &ConnectionId,
    ) -> Result<Option<Revealed<Connection>>, StoreError>;
    /// A variable of this team itself, which lends it to another: what belongs to all is not the team's to lend.
    async fn lent_variable(
        &self,
        lender: &TeamName,
        key: &VariableKey,
    ) -> Result<Option<Revealed<Variable>>, StoreError>;
    /// The same of a connection.
    async fn lent_connection(
        &self,
        lender: &TeamName,
        id: &ConnectionId,
    ) -> Result<Option<Revealed<Connection>>, StoreError>;
}
