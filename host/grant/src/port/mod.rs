//! What permits open: the ports that stand behind the capabilities, and the one that knows who may have permits.

pub mod sql;

use std::{error::Error, io, os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};

use airlock_model::{
    connection::{Connection, Variable},
    id::{BundleHash, BundleName, ConnectionId, TeamName, VariableKey},
    port::StoreError,
};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

use crate::{
    effective::Effective,
    http::HttpTarget,
    item::{Directory, UsedConnection},
    pattern::VariablePattern,
    permit::Permit,
};

/// Why nobody can say what a version may reach.
#[derive(Debug, thiserror::Error)]
pub enum GrantsError {
    /// There is no such version, or it may not be used, now or later.
    #[error("{0}")]
    Never(#[source] Box<dyn Error + Send + Sync>),
    /// It cannot be looked up now.
    #[error("{0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// What versions of bundles may reach, for who acts on their behalf while none of their instances runs.
#[async_trait]
pub trait Grants: Send + Sync {
    /// What this version may reach, the same as a call of it would.
    ///
    /// # Errors
    /// A [`GrantsError`].
    async fn effective(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<Arc<Effective>, GrantsError>;
}

/// Variables: the team's own, else the global one.
#[async_trait]
pub trait Variables: Send + Sync {
    /// The variable, or none.
    ///
    /// # Errors
    /// A [`StoreError`] when the store cannot answer.
    async fn get(&self, permit: Permit<VariableKey>) -> Result<Option<Variable>, StoreError>;

    /// All variables that the pattern names, each key once, by key: what a parse depends on.
    ///
    /// # Errors
    /// A [`StoreError`] when the store cannot answer.
    async fn matching(&self, permit: Permit<VariablePattern>) -> Result<Vec<Variable>, StoreError>;
}

/// Connections: the team's own, else the global one.
#[async_trait]
pub trait Connections: Send + Sync {
    /// The connection, or none.
    ///
    /// # Errors
    /// A [`StoreError`] when the store cannot answer.
    async fn get(&self, permit: Permit<ConnectionId>) -> Result<Option<Connection>, StoreError>;
}

/// Directories.
pub trait Directories: Send + Sync {
    /// Opens the directory, so that whatever was checked about its place is true of what was opened,
    /// whoever renames or links what meanwhile. It asks the file system, and so blocks for a moment.
    ///
    /// # Errors
    /// A [`DirectoryError`] that says what to create or correct.
    fn open(&self, permit: Permit<Directory>) -> Result<OwnedFd, DirectoryError>;
}

/// Why a granted directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It is not there.
    #[error(
        "AL-0431: the directory `{path}` is granted as {}, which does not exist; create it: mkdir -p '{}'",
        host.display(), host.display()
    )]
    Missing {
        /// As the guest sees it.
        path: String,
        /// On the host.
        host: PathBuf,
    },
    /// It is something else.
    #[error(
        "AL-0432: the directory `{path}` is granted as {}, which is not a directory; correct the grant",
        host.display()
    )]
    NotADirectory {
        /// As the guest sees it.
        path: String,
        /// On the host.
        host: PathBuf,
    },
    /// A symbolic link leads out of the folder that it has to stay in.
    #[error(
        "AL-0433: the directory `{path}` leads out of the bundle's folder {} through a symbolic link; put the directory there, or name the team in airlock.toml and grant the path itself",
        within.display()
    )]
    Outside {
        /// As the guest sees it.
        path: String,
        /// The bundle's folder.
        within: PathBuf,
    },
    /// The operating system refuses.
    #[error(
        "AL-0434: the directory `{path}` is granted as {}, which cannot be opened: {source}; let Airlock's user read it",
        host.display()
    )]
    Unreadable {
        /// As the guest sees it.
        path: String,
        /// On the host.
        host: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A body on its way in or out.
pub type Body = UnsyncBoxBody<Bytes, EgressError>;

/// Bounds of one HTTP call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressLimits {
    /// For waiting until the team may open another connection, finding the server's address, reaching it, and
    /// the TLS handshake.
    pub connect: Duration,
    /// From the request's first byte to the response's headers.
    pub first_byte: Duration,
    /// Between two parts of the response's body.
    pub between_bytes: Duration,
    /// The whole call, to the last byte of the response.
    pub total: Duration,
    /// Bytes of the response's status line and headers, where a header counts for 64 at least; 8 KiB or
    /// more.
    pub response_header_bytes: usize,
    /// Bytes of the response's body.
    pub response_body_bytes: u64,
    /// Bytes of the request's body.
    pub request_body_bytes: u64,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(60),
            total: Duration::from_secs(600),
            response_header_bytes: 64 * 1024,
            response_body_bytes: 64 * 1024 * 1024,
            request_body_bytes: 64 * 1024 * 1024,
        }
    }
}

impl EgressError {
    /// The capability and the code, where it is a denial, of which the audit hears.
    #[must_use]
    pub const fn denial(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Private { .. } => Some(("http", "AL-0421")),
            Self::Elsewhere { .. } => Some(("connection", "AL-0475")),
            _ => None,
        }
    }
}

/// Why an HTTP call gave no response, or not all of it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EgressError {
    /// The connection is for another server than the one that is called.
    #[error(
        "AL-0475: the connection `{connection}` is not for `{server}`, so its credential is not sent there; call the server that it names"
    )]
    Elsewhere {
        /// Its id.
        connection: ConnectionId,
        /// Scheme, host and port that were called.
        server: String,
    },
    /// The connection is granted, and there is none, or none that HTTP can be called with.
    #[error("AL-0476: the connection `{connection}` cannot be used for HTTP: {problem}")]
    Connection {
        /// Its id.
        connection: ConnectionId,
        /// What to correct; nothing of what it holds.
        problem: Arc<str>,
    },
    /// The response to a credential is such that nobody could see the credential in it.
    #[error(
        "AL-0477: the server compressed its response, though it was asked not to, so that an echo of the credential could not be seen in it; use the connection for another server, or have this one changed"
    )]
    Compressed,
    /// What the bundle's query says, the connection says too.
    #[error("AL-0478: the query sets `{0}`, which the connection sets; leave it out")]
    Twice(String),
    /// The connection cannot be looked up now.
    #[error("AL-0479: the connection cannot be read now; try again")]
    Unavailable,
    /// The server's name resolves to an address that is not on the public internet.
    #[error(
        "AL-0421: `{host}` is at a private, loopback or otherwise special address; only a grant that writes the address itself (such as `http://127.0.0.1:9999/*`) can allow that"
    )]
    Private {
        /// As it was asked for.
        host: String,
    },
    /// The name has no address, or could not be asked for.
    #[error("AL-0422: the address of `{host}` was not found: {reason}")]
    Resolve {
        /// As it was asked for.
        host: String,
        /// Why.
        reason: Arc<str>,
    },
    /// No connection came about.
    #[error("AL-0423: `{host}` cannot be reached: {source}")]
    Connect {
        /// As it was asked for.
        host: String,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// The server's certificate or its TLS was not accepted.
    #[error("AL-0424: no trusted connection to `{host}`: {source}")]
    Tls {
        /// As it was asked for.
        host: String,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// It took too long.
    #[error("AL-0425: the HTTP call took longer than {limit:?} ({part})")]
    Timeout {
        /// What took long.
        part: TimedPart,
        /// The bound.
        limit: Duration,
    },
    /// A body is too large, or the response's headers are.
    #[error("AL-0426: the {direction} has more than {limit} bytes")]
    TooLarge {
        /// Which: `request body`, `response body`, `response's header section`.
        direction: &'static str,
        /// The bound.
        limit: u64,
    },
    /// The team has as many connections open as it may, and none was closed in the time to reach the server.
    #[error(
        "AL-0428: the team has {limit} HTTP connections open, as many as it may; read responses to their end or drop them, or raise `egress_connections` of the team's pool"
    )]
    Busy {
        /// The bound.
        limit: usize,
    },
    /// The server, or the guest's own body, did not keep to the protocol.
    #[error("AL-0427: the HTTP exchange broke off: {0}")]
    Protocol(Arc<str>),
}

/// Which part of a call a time-out ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimedPart {
    /// Finding and reaching the server.
    Connect,
    /// Waiting for the response's headers.
    FirstByte,
    /// Waiting for the next part of the response.
    BetweenBytes,
    /// The whole.
    Total,
}

impl std::fmt::Display for TimedPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "reaching the server",
            Self::FirstByte => "waiting for the response",
            Self::BetweenBytes => "waiting for more of the response",
            Self::Total => "the whole call",
        })
    }
}

/// Outgoing HTTP.
#[async_trait]
pub trait Egress: Send + Sync {
    /// Sends one request to the permit's target, and follows no redirect. Method, server, path and query
    /// are the permit's, whatever `request` says; its headers and body are sent.
    ///
    /// With a connection the host logs in with it, at that connection's own server only: its credential replaces
    /// whatever the request has in that place, and whatever comes back is without it.
    ///
    /// # Errors
    /// An [`EgressError`]; the response's body can end with one too.
    async fn send(
        &self,
        permit: Permit<HttpTarget>,
        used: Option<Permit<UsedConnection>>,
        request: http::Request<Body>,
        limits: EgressLimits,
    ) -> Result<http::Response<Body>, EgressError>;
}

impl Permit<HttpTarget> {
    /// Whether the server may have an address that is not on the public internet: only where the grant
    /// writes that very address.
    #[must_use]
    pub const fn may_reach_private(&self) -> bool {
        matches!(self.item().host(), crate::http::Host::Address(_))
    }
}
