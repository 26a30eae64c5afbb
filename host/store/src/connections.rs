//! Connections, their secrets sealed; and the resealing of everything that is sealed.

use airlock_model::{
    id::{ConnectionId, Scope},
    port::{ConnectionStore, SealedConnection, StoreError},
};
use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder};

use crate::{
    Store,
    column::{self, scope_text},
    database::{read, write},
    error::corrupt,
};

#[derive(FromRow)]
struct ConnectionRecord {
    team: String,
    name: String,
    conn_type: String,
    description: Option<String>,
    host: Option<String>,
    port: Option<i32>,
    login: Option<String>,
    db_schema: Option<String>,
    sealed: Vec<u8>,
}

impl TryFrom<ConnectionRecord> for SealedConnection {
    type Error = StoreError;
    fn try_from(row: ConnectionRecord) -> Result<Self, StoreError> {
        Ok(Self {
            scope: column::scope(&row.team)?,
            id: column::name(&row.name)?,
            conn_type: row.conn_type,
            description: row.description,
            host: row.host,
            port: row.port.map(u16::try_from).transpose().map_err(corrupt)?,
            login: row.login,
            schema: row.db_schema,
            sealed: row.sealed,
        })
    }
}

/// One kind of sealed value: what it is called, how all of them are read, and how one is replaced.
struct Kind {
    name: &'static str,
    select: &'static str,
    update: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "variable",
        select: "SELECT team, name, sealed FROM variable ORDER BY team, name",
        update: "UPDATE variable SET sealed = $1 WHERE team = $2 AND name = $3",
    },
    Kind {
        name: "connection",
        select: "SELECT team, name, sealed FROM connection ORDER BY team, name",
        update: "UPDATE connection SET sealed = $1 WHERE team = $2 AND name = $3",
    },
];

#[async_trait]
impl ConnectionStore for Store {
    async fn connection(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<Option<SealedConnection>, StoreError> {
        let row: Option<ConnectionRecord> = read!(self, db => {
            Ok(sqlx::query_as("SELECT * FROM connection WHERE team = $1 AND name = $2")
                .bind(scope_text(scope))
                .bind(id.as_str())
                .fetch_optional(db)
                .await?)
        })?;
        row.map(SealedConnection::try_from).transpose()
    }

    async fn connections(&self, scopes: &[Scope]) -> Result<Vec<SealedConnection>, StoreError> {
        if scopes.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<ConnectionRecord> = read!(self, db => {
            let mut query = QueryBuilder::new("SELECT * FROM connection WHERE team IN (");
            let mut teams = query.separated(", ");
            for scope in scopes {
                teams.push_bind(scope_text(scope).to_owned());
            }
            query.push(") ORDER BY name, team");
            Ok(query.build_query_as().fetch_all(db).await?)
        })?;
        rows.into_iter().map(SealedConnection::try_from).collect()
    }

    async fn set_connection(&self, connection: &SealedConnection) -> Result<(), StoreError> {
        write!(self, db => {
            sqlx::query(
                "INSERT INTO connection (team, name, conn_type, description, host, port, login, db_schema, sealed)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (team, name) DO UPDATE SET conn_type = excluded.conn_type,
                     description = excluded.description, host = excluded.host, port = excluded.port,
                     login = excluded.login, db_schema = excluded.db_schema, sealed = excluded.sealed",
            )
            .bind(scope_text(&connection.scope))
            .bind(connection.id.as_str())
            .bind(column::plain(&connection.conn_type))
            .bind(connection.description.as_deref().map(column::plain))
            .bind(connection.host.as_deref().map(column::plain))
            .bind(connection.port.map(i32::from))
            .bind(connection.login.as_deref().map(column::plain))
            .bind(connection.schema.as_deref().map(column::plain))
            .bind(connection.sealed.as_slice())
            .execute(&mut *db)
            .await?;
            Ok(())
        })
    }

    async fn delete_connection(&self, scope: &Scope, id: &ConnectionId) -> Result<(), StoreError> {
        write!(self, db => {
            let done = sqlx::query("DELETE FROM connection WHERE team = $1 AND name = $2")
                .bind(scope_text(scope))
                .bind(id.as_str())
                .execute(&mut *db)
                .await?;
            match done.rows_affected() {
                0 => Err(StoreError::NotFound(format!("the connection `{id}`")).into()),
                _ => Ok(()),
            }
        })
    }

    async fn reseal_all(
        &self,
        reseal: &(
             dyn for<'a> Fn(&'a Scope, &'a str, &'a str, &'a [u8]) -> Result<Vec<u8>, String>
                 + Send
                 + Sync
         ),
    ) -> Result<u64, StoreError> {
        write!(self, db => {
            let mut count = 0;
            for kind in &KINDS {
                let rows: Vec<(String, String, Vec<u8>)> =
                    sqlx::query_as(kind.select).fetch_all(&mut *db).await?;
                for (team, name, sealed) in rows {
                    let scope = column::scope(&team)?;
                    let sealed = reseal(&scope, kind.name, &name, &sealed).map_err(|reason| {
                        StoreError::Refused(format!(
                            "the {} `{name}` cannot be sealed anew: {reason}; nothing was changed",
                            kind.name
                        ))
                    })?;
                    sqlx::query(kind.update)
                        .bind(sealed)
                        .bind(team)
                        .bind(name)
                        .execute(&mut *db)
                        .await?;
                    count += 1;
                }
            }
            Ok(count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_seals_every_table_anew_that_holds_something_sealed() {
        for folder in ["sqlite", "postgres"] {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/").to_owned() + folder;
            let mut tables = Vec::new();
            for file in std::fs::read_dir(folder).unwrap() {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                for statement in text
                    .split(';')
                    .filter(|one| one.split_whitespace().any(|word| word == "sealed"))
                {
                    let mut words = statement.split_whitespace();
                    let table = words
                        .find(|word| *word == "TABLE")
                        .and_then(|_| words.next());
                    tables.push(table.unwrap().to_owned());
                }
            }
            tables.sort();
            let mut known = KINDS.map(|kind| kind.name);
            known.sort_unstable();
            assert_eq!(tables, known);
        }
    }
}
