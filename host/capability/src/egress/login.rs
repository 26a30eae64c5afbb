//! How the host logs in to a server for a bundle that may use a connection and not read it.
//!
//! What a connection holds is turned into a credential here, put on the request after the bundle has said all that it
//! has to say, and never handed on. It goes to the connection's own server and to no other: the one that whoever made
//! the connection named, whatever the bundle wrote.

use std::{fmt, sync::Arc};

use airlock_grant::{Host, HttpTarget, Scheme};
use airlock_model::{connection::Connection, mask::Sensitive};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use super::{echo::Echo, identity::Identity};

/// What a query's value has as it is: the unreserved characters (RFC 3986, 2.3).
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why a connection cannot be used for HTTP; says nothing of what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LoginError {
    #[error("it names no host")]
    NoHost,
    #[error("its host, port and schema are no address of an HTTP server")]
    Address,
    #[error("its `extra` is no JSON object, or `auth` or `tls` in it is not understood")]
    Extra,
    #[error("it has no login or no password, which its kind of login needs")]
    Incomplete,
    #[error("what it logs in with holds characters that a header cannot")]
    Characters,
    #[error("the name in its `auth` is no header, or one that is the host's affair")]
    Name,
    #[error(
        "the certificate, key or authority in its `tls` cannot be read: write them as PEM, the key not encrypted"
    )]
    Tls,
}

/// What of `extra` is meant for here; the rest is for other programs.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Extra {
    auth: Option<Auth>,
    tls: Option<Tls>,
}

/// How to log in, as `extra` says it. Kinds without fields are written as empty records, which refuse fields.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Auth {
    /// Not at all: the connection is used for its client certificate.
    None {},
    /// RFC 7617, with login and password.
    Basic {},
    /// RFC 6750, with the password as the token.
    Bearer {},
    /// The password as the value of this header.
    Header { name: String },
    /// The password as the value of this part of the query.
    Query { name: String },
}

/// Whom the host believes there, and who it is itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// PEM, the own certificate first.
    pub(super) certificate: Option<String>,
    /// PEM.
    pub(super) key: Option<String>,
    /// PEM: the authorities to believe, instead of the usual ones.
    pub(super) ca: Option<String>,
}

enum Credential {
    None,
    Header(HeaderName, HeaderValue),
    Query(String, Sensitive),
}

/// A connection, ready to be used for HTTP.
pub(super) struct Login {
    server: HttpTarget,
    credential: Credential,
    /// What of it a server could say back.
    pub(super) echo: Arc<Echo>,
    /// Where it has a TLS side of its own.
    pub(super) identity: Option<Identity>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Login {
    pub(super) fn of(connection: &Connection) -> Result<Self, LoginError> {
        let extra: Extra = match &connection.extra {
            None => Extra::default(),
            Some(json) if json.reveal().trim().is_empty() => Extra::default(),
            Some(json) => serde_json::from_str(json.reveal()).map_err(|_| LoginError::Extra)?,
        };
        let (credential, secrets) = credential(connection, extra.auth)?;
        let identity = extra.tls.as_ref().map(Identity::of).transpose()?;
        Ok(Self {
            server: server(connection)?,
            credential,
            echo: Arc::new(Echo::new(&secrets)),
            identity,
        })
    }

    /// Whether the target is on the connection's server.
    pub(super) fn is_for(&self, target: &HttpTarget) -> bool {
        let of = |target: &HttpTarget| (target.scheme(), target.host().clone(), target.port());
        of(&self.server) == of(target)
    }

    /// Puts the credential on a request. Whatever the bundle said in its place is gone.
    ///
    /// # Errors
    /// The name of what the bundle's query sets and the connection does too: two programs could read that differently.
    pub(super) fn apply<B>(&self, request: &mut Request<B>) -> Result<(), String> {
        let headers = request.headers_mut();
        // What is compressed could hold an echo of the credential that nobody sees.
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        match &self.credential {
            Credential::None => Ok(()),
            Credential::Header(name, value) => {
                headers.insert(name.clone(), value.clone());
                Ok(())
            }
            Credential::Query(name, secret) => {
                let whole = request.uri().path_and_query();
                let whole = whole.map_or("/", http::uri::PathAndQuery::as_str);
                let query = whole.split_once('?').map(|(_, query)| query);
                let mut names = query.unwrap_or_default().split(['&', ';']).map(|part| {
                    let name = part.split_once('=').map_or(part, |(name, _)| name);
                    percent_decode_str(name).decode_utf8_lossy()
                });
                if names.any(|there| there.eq_ignore_ascii_case(name)) {
                    return Err(name.clone());
                }
                let joint = if query.is_some() { '&' } else { '?' };
                let written = utf8_percent_encode(name, IN_QUERY);
                let value = utf8_percent_encode(secret.reveal(), IN_QUERY);
                let with = format!("{whole}{joint}{written}={value}");
                let uri = with.parse().map_err(|_| name.clone())?;
                *request.uri_mut() = uri;
                Ok(())
            }
        }
    }
}

/// The server that a connection names: `host` alone or as a URL (`https://api.example`), `schema` for the scheme (`https`
/// where nothing is said, since a credential is sent there), `port`.
fn server(connection: &Connection) -> Result<HttpTarget, LoginError> {
    let host = connection.host.as_deref().ok_or(LoginError::NoHost)?;
    let host = host.trim_end_matches('/');
    if host.is_empty() {
        return Err(LoginError::NoHost);
    }
    let (scheme, host) = match host.split_once("://") {
        Some((scheme, host)) => (scheme, host),
        None => {
            let scheme = connection.schema.as_deref().filter(|text| !text.is_empty());
            (scheme.unwrap_or("https"), host)
        }
    };
    let authority = match connection.port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    HttpTarget::new("GET", scheme, &authority, "/").map_err(|_| LoginError::Address)
}

fn credential(
    connection: &Connection,
    auth: Option<Auth>,
) -> Result<(Credential, Vec<String>), LoginError> {
    let filled = |text: &Option<Sensitive>| text.clone().filter(|text| !text.reveal().is_empty());
    let (login, password) = (connection.login.as_deref(), filled(&connection.password));
    let auth = auth.unwrap_or(match (login, &password) {
        (Some(login), _) if !login.is_empty() => Auth::Basic {},
        (_, Some(_)) => Auth::Bearer {},
        (_, None) => Auth::None {},
    });
    let secret = password.clone().ok_or(LoginError::Incomplete);
    let value = |text: &str| {
        let mut value = HeaderValue::from_str(text).map_err(|_| LoginError::Characters)?;
        value.set_sensitive(true);
        Ok(value)
    };
    match auth {
        Auth::None {} => Ok((Credential::None, Vec::new())),
        Auth::Basic {} => {
            let login = login.ok_or(LoginError::Incomplete)?;
            // A user name with a colon would be read as a shorter one (RFC 7617, 2).
            if login.contains(':') {
                return Err(LoginError::Characters);
            }
            let password = password.as_ref().map_or("", Sensitive::reveal);
            let pair = STANDARD.encode(format!("{login}:{password}"));
            let header = value(&format!("Basic {pair}"))?;
            let secrets = vec![password.to_owned(), pair];
            Ok((Credential::Header(header::AUTHORIZATION, header), secrets))
        }
        Auth::Bearer {} => {
            let token = secret?;
            let header = value(&format!("Bearer {}", token.reveal()))?;
            let secrets = vec![token.reveal().to_owned()];
            Ok((Credential::Header(header::AUTHORIZATION, header), secrets))
        }
        Auth::Header { name } => {
            let secret = secret?;
            let name: HeaderName = name.parse().map_err(|_| LoginError::Name)?;
            if super::head::is_of_the_host(&name) {
                return Err(LoginError::Name);
            }
            let header = value(secret.reveal())?;
            let secrets = vec![secret.reveal().to_owned()];
            Ok((Credential::Header(name, header), secrets))
        }
        Auth::Query { name } => {
            let secret = secret?;
            if name.is_empty() {
                return Err(LoginError::Name);
            }
            let secrets = vec![secret.reveal().to_owned()];
            Ok((Credential::Query(name, secret), secrets))
        }
    }
}

/// For the words of errors: where a connection would have been used.
pub(super) fn server_of(target: &HttpTarget) -> String {
    let scheme = match target.scheme() {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let host: &Host = target.host();
    format!("{scheme}://{host}:{}", target.port())
}

#[cfg(test)]
mod tests;
