//! What a connection says about a database.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use airlock_grant::port::sql::{SqlError, SqlLimits};
use airlock_model::{connection::Connection, id::ConnectionId, mask::MIN_MASKED_BYTES};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::{first::Dialect, postgres::Postgres, session::Driver, sqlite::Sqlite};

/// Statements that a session of PostgreSQL keeps prepared, for those that are executed again and again.
const PREPARED: usize = 16;

/// Where sessions are opened, and how.
pub(super) struct Target {
    id: ConnectionId,
    kind: Kind,
    read_only: bool,
    content: blake3::Hash,
    secrets: Arc<[String]>,
}

enum Kind {
    Postgres {
        options: Box<PgConnectOptions>,
        allow_superuser: bool,
    },
    Sqlite(PathBuf),
}

/// What is read of a connection's `extra`; it may hold other things for other readers.
#[derive(Debug, Default, Deserialize)]
struct Extra {
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    allow_superuser: bool,
    sslmode: Option<String>,
    /// A certificate authority as PEM text, besides those that Mozilla trusts.
    ssl_root_cert: Option<String>,
}

impl Target {
    pub(super) fn new(connection: &Connection, kept: &[PathBuf]) -> Result<Self, SqlError> {
        let wrong = |problem: String| SqlError::Settings {
            id: connection.id.clone(),
            problem,
        };
        let extra = connection.extra.as_ref().map(|extra| extra.reveal().trim());
        let extra: Extra = match extra.filter(|extra| !extra.is_empty()) {
            None => Extra::default(),
            // What is wrong in it is not quoted: it may hold secrets.
            Some(json) => serde_json::from_str(json).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                wrong(format!("its extra is no JSON object with booleans read_only and allow_superuser and texts sslmode and ssl_root_cert (line {line}, column {column})"))
            })?,
        };
        let read_only = extra.read_only;
        let kind = match connection.conn_type.as_str() {
            "postgres" | "postgresql" => Kind::Postgres {
                allow_superuser: extra.allow_superuser,
                options: Box::new(postgres(connection, extra).map_err(wrong)?),
            },
            "sqlite" => Kind::Sqlite(file(connection, read_only, kept).map_err(wrong)?),
            other => {
                return Err(SqlError::Kind {
                    id: connection.id.clone(),
                    kind: other.to_owned(),
                });
            }
        };
        Ok(Self {
            id: connection.id.clone(),
            kind,
            read_only,
            content: content(connection),
            secrets: secrets(connection),
        })
    }

    /// What sessions of the same target have in common.
    pub(super) fn content(&self, limits: &SqlLimits) -> [u8; 32] {
        let mut hash = blake3::Hasher::new();
        hash.update(self.content.as_bytes());
        hash.update(&limits.statement.as_nanos().to_le_bytes());
        *hash.finalize().as_bytes()
    }

    pub(super) const fn dialect(&self) -> Dialect {
        match self.kind {
            Kind::Postgres { .. } => Dialect::Postgres,
            Kind::Sqlite(_) => Dialect::Sqlite,
        }
    }

    pub(super) fn secrets(&self) -> Arc<[String]> {
        Arc::clone(&self.secrets)
    }

    pub(super) fn unreachable(&self, reason: String) -> SqlError {
        SqlError::Unreachable {
            id: self.id.clone(),
            reason,
        }
    }

    /// Opens a session.
    pub(super) async fn open(&self, limits: &SqlLimits) -> Result<Box<dyn Driver>, SqlError> {
        let cleaned = |error: sqlx::Error| {
            let text = self.secrets.iter().fold(reason(&error), |text, secret| {
                text.replace(secret.as_str(), "***")
            });
            self.unreachable(text)
        };
        Ok(match &self.kind {
            Kind::Postgres {
                options,
                allow_superuser,
            } => {
                let opened = Postgres::open(options, self.read_only, limits).await;
                let (driver, may_too_much) = opened.map_err(cleaned)?;
                if may_too_much && !allow_superuser {
                    return Err(SqlError::Role {
                        id: self.id.clone(),
                    });
                }
                Box::new(driver)
            }
            Kind::Sqlite(file) => {
                let opened = Sqlite::open(file, self.read_only, limits).await;
                Box::new(opened.map_err(cleaned)?)
            }
        })
    }
}

/// Why a session did not come about, without what was configured.
fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) => format!("no trusted connection: {error}"),
        sqlx::Error::Configuration(_) => "its settings are not accepted".to_owned(),
        _ => "the session could not be opened".to_owned(),
    }
}

fn postgres(connection: &Connection, extra: Extra) -> Result<PgConnectOptions, String> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let host = given(&connection.host).ok_or("it has no host")?;
    let login = given(&connection.login).ok_or("it has no login")?;
    let database = given(&connection.schema).unwrap_or_else(|| login.clone());
    let mode = extra.sslmode.as_deref().unwrap_or("prefer");
    let mode = match mode {
        "disable" => PgSslMode::Disable,
        "allow" => PgSslMode::Allow,
        "prefer" => PgSslMode::Prefer,
        "require" => PgSslMode::Require,
        "verify-ca" => PgSslMode::VerifyCa,
        "verify-full" => PgSslMode::VerifyFull,
        _ => {
            return Err(
                "its sslmode is none of disable, allow, prefer, require, verify-ca and verify-full"
                    .to_owned(),
            );
        }
    };
    // Everything is said, so that nothing is taken from the host's own environment.
    let password = connection.password.as_ref();
    let mut options = PgConnectOptions::new_without_pgpass()
        .port(connection.port.unwrap_or(5432))
        .username(&login)
        .password(password.map_or("", |password| password.reveal()))
        .database(&database)
        .application_name("airlock")
        .ssl_mode(mode)
        .statement_cache_capacity(PREPARED);
    options = match host.starts_with('/') {
        true => options.socket(&host),
        false => options.host(&host),
    };
    if let Some(certificate) = extra.ssl_root_cert {
        options = options.ssl_root_cert_from_pem(certificate.into_bytes());
    }
    Ok(options)
}

/// The file of an SQLite database: by its true name, so that no link leads to one of the host's own.
fn file(connection: &Connection, read_only: bool, kept: &[PathBuf]) -> Result<PathBuf, String> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let path = given(&connection.schema).or_else(|| given(&connection.host));
    let path = PathBuf::from(path.ok_or("it names no file, in its schema")?);
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(plain) {
        return Err("the file in its schema is no absolute path without `..`".to_owned());
    }
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(_) if read_only => return Err("its file cannot be found".to_owned()),
        Err(_) => {
            // It is made; a link that leads nowhere is not followed.
            if path.is_symlink() {
                return Err("its file is a link that leads nowhere".to_owned());
            }
            let folder = path.parent().unwrap_or(Path::new("/"));
            let folder = folder.canonicalize();
            let folder = folder.map_err(|_| "the folder of its file cannot be found")?;
            folder.join(path.file_name().ok_or("its file has no name")?)
        }
    };
    if kept.iter().any(|kept| real.starts_with(kept)) {
        return Err(
            "its file lies in the home folder of the host, where its keys are; put it elsewhere"
                .to_owned(),
        );
    }
    Ok(real)
}

/// A hash of all that the connection says.
fn content(connection: &Connection) -> blake3::Hash {
    let mut hash = blake3::Hasher::new();
    let port = connection.port.map(|port| port.to_string());
    let secret = |text: &Option<airlock_model::mask::Sensitive>| {
        text.as_ref().map(|text| text.reveal().to_owned())
    };
    let parts = [
        Some(connection.id.to_string()),
        Some(connection.conn_type.clone()),
        connection.host.clone(),
        port,
        connection.login.clone(),
        secret(&connection.password),
        connection.schema.clone(),
        secret(&connection.extra),
    ];
    for part in parts {
        match part {
            None => hash.update(&[0]),
            Some(text) => {
                hash.update(&[1]);
                hash.update(&text.len().to_le_bytes());
                hash.update(text.as_bytes())
            }
        };
    }
    hash.finalize()
}

/// What no text may hold: the password, where it is long enough to be one.
fn secrets(connection: &Connection) -> Arc<[String]> {
    let password = connection.password.as_ref();
    let password = password.map(|password| password.reveal().to_owned());
    let long = |password: &String| password.len() >= MIN_MASKED_BYTES;
    password.into_iter().filter(long).collect()
}
