//! Connections and variables that stand in the configuration: only an editor changes them.

use std::collections::BTreeMap;

use airlock_model::{
    connection::{Connection, Variable},
    id::{ConnectionId, Scope, VariableKey},
};

/// The configuration names something twice in one scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("AL-0909: {0} stands twice in the configuration; keep one of the two")]
pub struct ConfiguredTwice(String);

/// All that the configuration provides.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    pub(crate) connections: BTreeMap<(Scope, ConnectionId), Connection>,
    pub(crate) variables: BTreeMap<(Scope, VariableKey), Variable>,
}

impl Configured {
    /// Adds a connection.
    ///
    /// # Errors
    /// [`ConfiguredTwice`].
    pub fn connection(
        &mut self,
        scope: Scope,
        connection: Connection,
    ) -> Result<(), ConfiguredTwice> {
        let name = format!("connection `{}` ({})", connection.id, whose(&scope));
        let before = (self.connections).insert((scope, connection.id.clone()), connection);
        before.map_or(Ok(()), |_| Err(ConfiguredTwice(name)))
    }

    /// Adds a variable.
    ///
    /// # Errors
    /// [`ConfiguredTwice`].
    pub fn variable(&mut self, scope: Scope, variable: Variable) -> Result<(), ConfiguredTwice> {
        let name = format!("variable `{}` ({})", variable.key, whose(&scope));
        let before = (self.variables).insert((scope, variable.key.clone()), variable);
        before.map_or(Ok(()), |_| Err(ConfiguredTwice(name)))
    }
}

fn whose(scope: &Scope) -> String {
    match scope {
        Scope::Global => "global".to_owned(),
        Scope::Team(team) => format!("team {team}"),
    }
}
