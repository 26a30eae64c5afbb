//! `airlock:capability/connections`.

use airlock_model::mask::Sensitive;

use super::Call;
use crate::bindings::{
    connections::{self, Connection},
    errors::Error,
};

impl connections::Host for Call {
    async fn get(&mut self, id: String) -> Result<Option<Connection>, Error> {
        let standing = &self.standing;
        let permit = standing
            .effective()
            .read_connection(&standing.caller, &id)
            .map_err(|denial| standing.denied(&denial))?;
        let found = standing
            .ports
            .connections
            .get(permit)
            .await
            .map_err(|error| standing.unavailable("a connection", &error))?;
        Ok(found.map(|connection| {
            if let Some(password) = &connection.password {
                standing.log.reveal(password.reveal());
            }
            if let Some(extra) = &connection.extra {
                standing.log.reveal_json(extra.reveal());
            }
            let open = |secret: Sensitive| secret.reveal().to_owned();
            Connection {
                id: connection.id.to_string(),
                conn_type: connection.conn_type,
                host: connection.host,
                port: connection.port,
                login: connection.login,
                password: connection.password.map(open),
                schema: connection.schema,
                extra: connection.extra.map(open),
            }
        }))
    }
}
