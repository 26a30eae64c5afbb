//! Connections, variables and pools as a team keeps them.

use serde::{Deserialize, Serialize};

use crate::{
    id::{ConnectionId, PoolName, Scope, VariableKey},
    mask::Sensitive,
};

/// Where a system is and how to log in to it: Airflow's connection. The password and `extra` are secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// The kind of system: `http`, `postgres`, …
    pub conn_type: String,
    /// For people.
    pub description: Option<String>,
    /// Host name or address.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// User name.
    pub login: Option<String>,
    /// Password or token.
    pub password: Option<Sensitive>,
    /// Database, or whatever the system calls it.
    pub schema: Option<String>,
    /// A JSON object with the rest.
    pub extra: Option<Sensitive>,
}

/// A setting outside the code. Its value is treated as a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its key.
    pub key: VariableKey,
    /// Its value.
    pub value: Sensitive,
    /// For people.
    pub description: Option<String>,
}

/// A bound on how many tasks run at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Whose it is.
    pub scope: Scope,
    /// Its name, unique in its scope.
    pub name: PoolName,
    /// Slots in all; -1 means without bound (Airflow 3.3.2).
    pub slots: i32,
    /// For people.
    pub description: Option<String>,
    /// Whether deferred tasks keep their slots.
    pub include_deferred: bool,
}

impl Pool {
    /// Slots of a team's default pool where nobody said otherwise (Airflow 3.3.2, `default_pool_task_slot_count`).
    pub const DEFAULT_SLOTS: i32 = 128;
}
