//! SQL on connections, against real databases: a PostgreSQL server of the tests' own, and SQLite files.
#![cfg(test)]

mod bounds;
mod escapes;
mod kinds;
mod sessions;
mod shared;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use airlock_capability::Databases;
use airlock_grant::{
    BundleLabel, Caller, Effective, Permit, Request, UsedConnection,
    port::sql::{Databases as _, Row, Rows, SqlError, SqlLimits, Statement, Value},
};
use airlock_model::{
    connection::{Connection, Variable},
    id::{BundleHash, BundleName, ConnectionId, DagId, Scope, TaskId, TeamName, VariableKey},
    mask::Sensitive,
    port::{Revealed, Settings, StoreError},
};
use async_trait::async_trait;
use tokio::runtime::Handle;

/// The password of every connection here, which nothing may show.
pub(crate) const PASSWORD: &str = "hunter2-of-the-warehouse";

/// The connections that there are.
#[derive(Default)]
pub(crate) struct Kept(Mutex<HashMap<ConnectionId, Connection>>);

#[async_trait]
impl Settings for Kept {
    async fn variable(
        &self,
        _: &TeamName,
        _: &VariableKey,
    ) -> Result<Option<Revealed<Variable>>, StoreError> {
        unreachable!()
    }
    async fn variables(
        &self,
        _: &TeamName,
        _: &str,
    ) -> Result<Vec<Revealed<Variable>>, StoreError> {
        unreachable!()
    }
    async fn connection(
        &self,
        team: &TeamName,
        id: &ConnectionId,
    ) -> Result<Option<Revealed<Connection>>, StoreError> {
        let found = self.0.lock().unwrap().get(id).cloned();
        Ok(found.map(|value| Revealed {
            value,
            scope: Scope::Team(team.clone()),
        }))
    }
    async fn lent_variable(
        &self,
        _: &TeamName,
        _: &VariableKey,
    ) -> Result<Option<Revealed<Variable>>, StoreError> {
        unreachable!()
    }
    async fn lent_connection(
        &self,
        _: &TeamName,
        _: &ConnectionId,
    ) -> Result<Option<Revealed<Connection>>, StoreError> {
        unreachable!()
    }
}

/// The permit that a bundle has which asks for this connection.
pub(crate) fn permit(id: &str) -> Permit<UsedConnection> {
    let request = format!("[[request.connection]]\nid = \"{id}\"\n");
    let request = Request::from_bundle_toml(&request).unwrap();
    let label = BundleLabel {
        name: BundleName::new("bundle").unwrap(),
        version: "0.1.0".into(),
        hash: BundleHash::from_bytes([7; 32]),
    };
    let effective = Effective::grant_all(label, &request, Path::new("/srv/bundle"));
    let caller = Caller::task(DagId::new("d").unwrap(), TaskId::new("t").unwrap());
    effective.use_connection(&caller, id).unwrap()
}

/// A database with a connection to it, whose id is `db`.
pub(crate) struct World {
    pub(crate) kept: Arc<Kept>,
    pub(crate) databases: Databases,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) limits: SqlLimits,
}

pub(crate) fn connection(conn_type: &str) -> Connection {
    Connection {
        id: ConnectionId::new("db").unwrap(),
        conn_type: conn_type.to_owned(),
        description: None,
        host: None,
        port: None,
        login: None,
        password: Some(Sensitive::new(PASSWORD)),
        schema: None,
        extra: None,
    }
}

/// Where the tests' PostgreSQL listens.
pub(crate) fn socket() -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let url = std::env::var("AIRLOCK_TEST_POSTGRES_URL").unwrap_or_else(|_| {
        let script = Path::new(root).join("tests/postgres");
        let started = Command::new(script).arg("start").output().unwrap();
        assert!(started.status.success(), "{started:?}");
        String::from_utf8(started.stdout).unwrap()
    });
    let (_, socket) = url.trim().split_once("host=").unwrap();
    socket.to_owned()
}

/// Executes something as the owner of the server.
pub(crate) async fn as_owner(text: &str) {
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .socket(socket())
        .username("airlock")
        .database("postgres");
    let mut session = <sqlx::PgConnection as sqlx::Connection>::connect_with(&options)
        .await
        .unwrap();
    let text = sqlx::AssertSqlSafe(text.to_owned());
    sqlx::raw_sql(text).execute(&mut session).await.unwrap();
}

impl World {
    pub(crate) fn new(connection: Connection) -> Self {
        Self::with(connection, 4)
    }

    pub(crate) fn with(connection: Connection, sessions: usize) -> Self {
        let (kept, folder) = (Arc::new(Kept::default()), tempfile::tempdir().unwrap());
        let home = folder.path().join("home");
        std::fs::create_dir_all(&home).unwrap();
        let databases = Databases::new(kept.clone(), sessions, [home], Handle::current());
        let world = Self {
            kept,
            databases,
            folder,
            limits: SqlLimits::default(),
        };
        world.set(connection);
        world
    }

    pub(crate) fn set(&self, connection: Connection) {
        let mut kept = self.kept.0.lock().unwrap();
        kept.insert(connection.id.clone(), connection);
    }

    pub(crate) fn get(&self) -> Connection {
        let id = ConnectionId::new("db").unwrap();
        self.kept.0.lock().unwrap()[&id].clone()
    }

    /// The same connection with this `extra`.
    pub(crate) fn extra(&self, extra: &str) {
        let extra = Some(Sensitive::new(extra));
        self.set(Connection {
            extra,
            ..self.get()
        });
    }

    /// A database of its own, with a role of its own that is nothing but its owner.
    pub(crate) async fn postgres() -> Self {
        let name = format!("t{}", uuid::Uuid::now_v7().simple());
        as_owner(&format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")).await;
        as_owner(&format!("CREATE DATABASE {name} OWNER {name}")).await;
        Self::new(Connection {
            host: Some(socket()),
            login: Some(name.clone()),
            schema: Some(name),
            ..connection("postgres")
        })
    }

    pub(crate) fn sqlite() -> Self {
        let world = Self::new(connection("sqlite"));
        let file = world.file("data.db");
        world.set(Connection {
            schema: Some(file.to_str().unwrap().to_owned()),
            ..connection("sqlite")
        });
        world
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn both() -> [(&'static str, Self); 2] {
        [
            ("postgres", Self::postgres().await),
            ("sqlite", Self::sqlite()),
        ]
    }

    pub(crate) async fn execute(&self, text: &str) -> Result<u64, SqlError> {
        self.execute_with(text, []).await
    }

    pub(crate) async fn execute_with(
        &self,
        text: &str,
        parameters: impl IntoIterator<Item = Value>,
    ) -> Result<u64, SqlError> {
        let statement = statement(text, parameters);
        let executed = self.databases.execute(permit("db"), statement, self.limits);
        checked(executed.await)
    }

    pub(crate) async fn rows(
        &self,
        text: &str,
        parameters: impl IntoIterator<Item = Value>,
    ) -> Result<Box<dyn Rows>, SqlError> {
        let statement = statement(text, parameters);
        let rows = self.databases.query(permit("db"), statement, self.limits);
        checked(rows.await)
    }

    pub(crate) async fn query(&self, text: &str) -> Result<Vec<Row>, SqlError> {
        self.query_with(text, []).await
    }

    pub(crate) async fn query_with(
        &self,
        text: &str,
        parameters: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Row>, SqlError> {
        all(self.rows(text, parameters).await?).await
    }

    /// The one value of the one row.
    pub(crate) async fn value(&self, text: &str) -> Value {
        let mut rows = self.query(text).await.unwrap();
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows[0].remove(0)
    }
}

pub(crate) fn statement(text: &str, parameters: impl IntoIterator<Item = Value>) -> Statement {
    Statement {
        text: text.to_owned(),
        parameters: parameters.into_iter().collect(),
    }
}

/// Nothing that fails says the password.
pub(crate) fn checked<T>(done: Result<T, SqlError>) -> Result<T, SqlError> {
    if let Err(error) = &done {
        let told = format!("{error} {error:?}");
        assert!(!told.contains(PASSWORD), "{told}");
    }
    done
}

pub(crate) async fn all(mut rows: Box<dyn Rows>) -> Result<Vec<Row>, SqlError> {
    let mut all = Vec::new();
    loop {
        let next = checked(rows.next(permit("db"), 1000).await)?;
        if next.is_empty() {
            return Ok(all);
        }
        all.extend(next);
    }
}
