//! Outgoing HTTP.
//!
//! One call is: find the server's addresses, check every one of them, connect to a checked address (the
//! name is not asked for again, so that it cannot mean another address the second time), TLS where the
//! target says so, one request, one response, no redirect followed, no connection kept. Everything has a
//! bound in time, size or number.

mod address;
mod body;
mod echo;
mod head;
mod identity;
mod login;
mod resolve;
mod slots;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use airlock_grant::{
    Host, HttpTarget, Permit, Scheme, UsedConnection,
    port::{Body, Egress as Port, EgressError, EgressLimits, TimedPart},
};
use airlock_model::{connection::Connection, id::TeamName, port::Settings};
use async_trait::async_trait;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

pub use self::resolve::{Resolve, SystemResolver};
use self::{
    body::Incoming,
    echo::Hushed,
    identity::Identity,
    login::{Login, server_of},
    slots::Slots,
};

/// What is trusted, and the TLS side that is made from it.
struct Trust {
    roots: rustls::RootCertStore,
    tls: Result<TlsConnector, rustls::Error>,
}

impl Trust {
    fn new(roots: rustls::RootCertStore) -> Self {
        let tls = trusting(roots.clone());
        Self { roots, tls }
    }
}

/// Makes it.
type Trusting = Box<dyn FnOnce() -> Trust + Send>;

/// How many of a name's addresses are tried.
const MOST_ADDRESSES: usize = 4;

/// Sends permitted requests. Needs a Tokio runtime with I/O and time.
pub struct Egress {
    /// Made by the first call that needs it, as it takes memory.
    trust: LazyLock<Trust, Trusting>,
    resolver: Arc<dyn Resolve>,
    slots: Slots,
    settings: Option<Arc<dyn Settings>>,
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").finish_non_exhaustive()
    }
}

impl Default for Egress {
    fn default() -> Self {
        Self::new()
    }
}

impl Egress {
    /// With the system's resolver, and the certificate authorities that Mozilla trusts.
    #[must_use]
    pub fn new() -> Self {
        Self {
            trust: LazyLock::new(Box::new(|| {
                Trust::new(rustls::RootCertStore {
                    roots: webpki_roots::TLS_SERVER_ROOTS.into(),
                })
            })),
            resolver: Arc::new(SystemResolver),
            slots: Slots::default(),
            settings: None,
        }
    }

    /// With another resolver, and other certificate authorities.
    #[must_use]
    pub fn with(resolver: Arc<dyn Resolve>, roots: rustls::RootCertStore) -> Self {
        Self {
            trust: LazyLock::new(Box::new(|| Trust::new(roots))),
            resolver,
            slots: Slots::default(),
            settings: None,
        }
    }

    /// With so many connections at once for each of these teams; others have 64.
    #[must_use]
    pub fn bounded(self, connections: impl IntoIterator<Item = (TeamName, usize)>) -> Self {
        let slots = Slots::new(connections);
        Self { slots, ..self }
    }

    /// With the look-up of the connections that are used to log in; without, none is there.
    #[must_use]
    pub fn logging_in(self, settings: Arc<dyn Settings>) -> Self {
        let settings = Some(settings);
        Self { settings, ..self }
    }

    /// The connection, made ready for this target.
    async fn login(
        &self,
        used: Permit<UsedConnection>,
        target: &HttpTarget,
    ) -> Result<Login, EgressError> {
        let found = match &self.settings {
            Some(settings) => connection(&**settings, &used).await?,
            None => None,
        };
        let id = used.item().id();
        let unfit = |problem: &str| EgressError::Connection {
            connection: id.clone(),
            problem: problem.into(),
        };
        let found = found.ok_or_else(|| unfit("there is none; make it, or correct the id"))?;
        let login = Login::of(&found).map_err(|error| unfit(&error.to_string()))?;
        match login.is_for(target) {
            true => Ok(login),
            false => Err(EgressError::Elsewhere {
                connection: id.clone(),
                server: server_of(target),
            }),
        }
    }

    /// The addresses of the target, all of them checked.
    async fn addresses(&self, permit: &Permit<HttpTarget>) -> Result<Vec<SocketAddr>, EgressError> {
        let target = permit.item();
        let name = match target.host() {
            // The grant writes this very address: `may_reach_private`.
            Host::Address(address) => return Ok(vec![(*address, target.port()).into()]),
            Host::Name(name) => name,
        };
        let unresolved = |reason: &str| EgressError::Resolve {
            host: name.clone(),
            reason: reason.into(),
        };
        let found = self.resolver.resolve(name, target.port()).await;
        let found = found.map_err(|error| unresolved(&error.to_string()))?;
        if found.is_empty() {
            return Err(unresolved("it has no address"));
        }
        // One special address among others is no accident either.
        if !permit.may_reach_private() && !found.iter().all(|at| address::is_public(at.ip())) {
            return Err(EgressError::Private { host: name.clone() });
        }
        Ok(found)
    }

    async fn connect(
        &self,
        permit: &Permit<HttpTarget>,
        identity: Option<Identity>,
        limit: Duration,
    ) -> Result<Box<dyn Stream>, EgressError> {
        let target = permit.item();
        let addresses = self.addresses(permit).await?;
        let tcp = first_to_answer(&addresses, limit).await;
        let tcp = tcp.map_err(|source| EgressError::Connect {
            host: target.host().to_string(),
            source: Arc::new(source),
        })?;
        // Requests are small: nothing is gained by waiting to fill a packet.
        let _ = tcp.set_nodelay(true);
        match target.scheme() {
            Scheme::Http => Ok(Box::new(tcp)),
            Scheme::Https => {
                let untrusted = |source| EgressError::Tls {
                    host: target.host().to_string(),
                    source: Arc::new(source),
                };
                let name = server_name(target.host()).map_err(untrusted)?;
                let tls = match identity {
                    Some(identity) => identity.connector(&self.trust.roots),
                    None => self.trust.tls.clone(),
                };
                let tls = tls.map_err(|error| untrusted(io::Error::other(error)))?;
                let tls = tls.connect(name, tcp).await.map_err(untrusted)?;
                Ok(Box::new(tls))
            }
        }
    }
}

#[async_trait]
impl Port for Egress {
    async fn send(
        &self,
        permit: Permit<HttpTarget>,
        used: Option<Permit<UsedConnection>>,
        request: Request<Body>,
        limits: EgressLimits,
    ) -> Result<Response<Body>, EgressError> {
        let end = Instant::now() + limits.total;
        let within = |part, limit: Duration| {
            let sooner = Instant::now() + limit;
            if sooner < end {
                (sooner, EgressError::Timeout { part, limit })
            } else {
                let (part, limit) = (TimedPart::Total, limits.total);
                (end, EgressError::Timeout { part, limit })
            }
        };
        // Looked at before anything is sent or even looked up.
        let mut request = head::outgoing(permit.item(), request, limits.request_body_bytes)?;
        let login = match used {
            Some(used) => Some(self.login(used, permit.item()).await?),
            None => None,
        };
        if let Some(login) = &login {
            login.apply(&mut request).map_err(EgressError::Twice)?;
        }
        let (echo, identity) =
            login.map_or((None, None), |login| (Some(login.echo), login.identity));
        let header_bytes = header_bytes(&limits);
        let (deadline, late) = within(TimedPart::Connect, limits.connect);
        let (most, slot) = self.slots.take(permit.team());
        let slot = timeout_at(deadline, slot).await.ok().flatten();
        let slot = slot.ok_or(EgressError::Busy { limit: most })?;
        let opened = timeout_at(deadline, async {
            let stream = self.connect(&permit, identity, limits.connect).await?;
            http1::Builder::new()
                .max_buf_size(header_bytes)
                .max_headers(header_bytes / 64)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|error| broken(&error, &limits))
        });
        let (mut sender, connection) = opened.await.map_err(|_| late)??;
        let driver = Driver(tokio::spawn(async move {
            // What goes wrong is told to whoever waits for the response or its body. The end of the call's
            // time is its own end, though nobody may be reading.
            let _ = timeout_at(end, connection).await;
            drop(slot);
        }));

        let (deadline, late) = within(TimedPart::FirstByte, limits.first_byte);
        let response = timeout_at(deadline, sender.send_request(request)).await;
        let mut response = response
            .map_err(|_| late)?
            .map_err(|error| broken(&error, &limits))?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(EgressError::Protocol(
                "the server wants to speak another protocol".into(),
            ));
        }
        head::strip(response.headers_mut());
        let (mut head, body) = response.into_parts();
        let body = Incoming::new(body, driver, end, limits)?;
        let body = match echo {
            None => body.boxed_unsync(),
            Some(_) if is_compressed(&head.headers) => return Err(EgressError::Compressed),
            Some(echo) => {
                echo.hush_headers(&mut head.headers);
                Hushed::new(body, echo).boxed_unsync()
            }
        };
        Ok(Response::from_parts(head, body))
    }
}

/// The connection of the permit, which is the own team's, that of all, or the lender's.
async fn connection(
    settings: &dyn Settings,
    used: &Permit<UsedConnection>,
) -> Result<Option<Connection>, EgressError> {
    let id = used.item().id();
    let found = match used.lender() {
        Some(lender) => settings.lent_connection(lender, id).await,
        None => settings.connection(used.team(), id).await,
    };
    let found = found.map_err(|_| EgressError::Unavailable)?;
    Ok(found.map(|found| found.value))
}

/// Whether a body is in a coding in which its text cannot be seen.
fn is_compressed(headers: &http::HeaderMap) -> bool {
    let mut codings = headers.get_all(http::header::CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// TLS with servers that these certificate authorities vouch for.
fn trusting(roots: rustls::RootCertStore) -> Result<TlsConnector, rustls::Error> {
    let builder = rustls::ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    plain(&mut config);
    Ok(TlsConnector::from(Arc::new(config)))
}

fn plain(config: &mut rustls::ClientConfig) {
    // A resumed session would tell a server that two teams' calls come from one host.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
}

/// The first address that takes a connection. Each has an equal part of the time, so that a silent one does
/// not take the others'.
async fn first_to_answer(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let tried = addresses.get(..MOST_ADDRESSES).unwrap_or(addresses);
    let each = limit / u32::try_from(tried.len().max(1)).unwrap_or(u32::MAX);
    let mut failed = io::Error::from(io::ErrorKind::TimedOut);
    for address in tried {
        match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => {}
        }
    }
    Err(failed)
}

/// What hyper can be told at least.
fn header_bytes(limits: &EgressLimits) -> usize {
    limits.response_header_bytes.max(8 * 1024)
}

/// What hyper reports, in the words of the port. Where a body ended with an error of ours, that one.
fn broken(error: &hyper::Error, limits: &EgressLimits) -> EgressError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(each) = cause {
        if let Some(own) = each.downcast_ref::<EgressError>() {
            return own.clone();
        }
        cause = each.source();
    }
    if error.is_parse_too_large() {
        return EgressError::TooLarge {
            direction: "response's header section",
            limit: header_bytes(limits) as u64,
        };
    }
    EgressError::Protocol(error.to_string().into())
}

fn server_name(host: &Host) -> io::Result<ServerName<'static>> {
    match host {
        Host::Address(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Name(name) => ServerName::try_from(name.clone())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error)),
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A connection, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Moves the connection's bytes; ends it when dropped, so that nothing outlives the call.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
