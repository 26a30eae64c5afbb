//! What a bundle may be granted, and what each bundle has: its log and its XComs.
//!
//! Each function is one host call. A bundle that does not call it does not import its interface, so the
//! reviewer's page names what the code really uses.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{Result, ResultExt as _, host};

/// Why the host did not do what was asked. Prints the host's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CapabilityError {
    /// The grant does not hold this. The text says what to put into `bundle.toml` and `airlock.toml`.
    Denied(String),
    /// An argument is malformed.
    Invalid(String),
    /// A limit of the team or of this try is reached.
    Limit(String),
    /// The host could not answer now; worth a retry.
    Unavailable(String),
}

impl fmt::Display for CapabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text)
            | Self::Invalid(text)
            | Self::Limit(text)
            | Self::Unavailable(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for CapabilityError {}

/// The value of a variable: the team's own, else the global one, else none. Needs
/// `[[request.variable]]`.
///
/// # Errors
/// [`CapabilityError::Denied`] where the grant does not hold `key`, whether or not the variable exists.
pub fn variable(key: &str) -> Result<Option<String>, CapabilityError> {
    host::variable(key)
}

/// The value of a variable, or `default` where there is none.
///
/// # Errors
/// As [`variable`].
pub fn variable_or(key: &str, default: impl Into<String>) -> Result<String, CapabilityError> {
    Ok(variable(key)?.unwrap_or_else(|| default.into()))
}

/// The value of a variable that holds JSON.
///
/// # Errors
/// As [`variable`]; and where the value is no `T`.
#[track_caller]
pub fn variable_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>> {
    match variable(key)? {
        None => Ok(None),
        Some(json) => match serde_json::from_str(&json) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(crate::fail(format_args!(
                "variable `{key}` is no `{}`: {error}",
                std::any::type_name::<T>()
            ))),
        },
    }
}

/// Where a system is and how to log in to it, as in Airflow.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// Its id.
    pub id: String,
    /// The kind of system: `http`, `postgres`, …
    pub conn_type: String,
    /// The host's name or address.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The user.
    pub login: Option<String>,
    /// The secret.
    pub password: Option<String>,
    /// The database, or whatever the kind of system calls so.
    pub schema: Option<String>,
    /// A JSON object with whatever else the kind of system wants.
    pub extra: Option<String>,
}

impl Connection {
    /// `extra` as the author's type.
    ///
    /// # Errors
    /// There is no `extra`, or it is no `T`.
    #[track_caller]
    pub fn extra<T: for<'a> Deserialize<'a>>(&self) -> Result<T> {
        let json = self.extra.as_deref().unwrap_or("null");
        serde_json::from_str(json).with_context(|| format!("`extra` of connection `{}`", self.id))
    }

    /// The address of an HTTP service: `schema` (else `http`), `host` and `port`, as Airflow's HTTP hook
    /// reads a connection. A `host` that has a scheme of its own keeps it.
    ///
    /// # Errors
    /// There is no `host`.
    #[track_caller]
    pub fn base_url(&self) -> Result<String> {
        let host = self.host.as_deref().filter(|host| !host.is_empty());
        let host = host.with_context(|| format!("connection `{}` has no host", self.id))?;
        let mut url = match host.contains("://") {
            true => host.trim_end_matches('/').to_owned(),
            false => format!("{}://{host}", self.schema.as_deref().unwrap_or("http")),
        };
        if let Some(port) = self.port {
            url.push_str(&format!(":{port}"));
        }
        Ok(url)
    }
}

impl fmt::Debug for Connection {
    /// Without the password and `extra`, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("conn_type", &self.conn_type)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("login", &self.login)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// A connection: the team's own, else the global one, else none. Needs `[[request.connection]]` with
/// `access = "read"`.
///
/// # Errors
/// [`CapabilityError::Denied`] where the grant does not hold `id`, whether or not the connection exists.
pub fn connection(id: &str) -> Result<Option<Connection>, CapabilityError> {
    host::connection(id)
}

/// What may be done in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Files can be read.
    Read,
    /// Files can be read, made, changed and deleted.
    ReadWrite,
}

/// A granted directory: its files are reached through `std::fs`, below its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The path under which the task sees it.
    pub path: PathBuf,
    /// What may be done there.
    pub mode: Mode,
}

impl Directory {
    /// The path of something in it.
    #[must_use]
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path)
    }
}

/// The granted directory that the bundle asked for as `name`. Needs `[[request.directory]]`.
///
/// Opening a path by its name alone works too; asking first gives a denial that says what to grant, where
/// opening would only say that there is no such file.
///
/// # Errors
/// [`CapabilityError::Denied`] where the grant holds no such directory.
pub fn directory(name: &str) -> Result<Directory, CapabilityError> {
    host::directory(name)
}

pub mod http;
pub mod sql;
pub mod xcom;
