//! One request that a bundle wants to send.

use std::fmt;

use super::{Host, MAX_URL_BYTES, Method, Scheme, TargetError, authority, path};

/// Method, server and path of a request. Its pieces are what is compared, and what is then called: nothing
/// is read a second time from the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTarget {
    method: Method,
    scheme: Scheme,
    host: Host,
    port: u16,
    /// In the spelling that is compared.
    path: String,
    /// As the guest wrote it.
    path_and_query: String,
}

impl HttpTarget {
    /// The target with these pieces, as `wasi:http` hands them over: `host[:port]` and `/path[?query]`.
    ///
    /// # Errors
    /// A [`TargetError`] for every spelling that is not plain.
    pub fn new(
        method: &str,
        scheme: &str,
        authority: &str,
        path_and_query: &str,
    ) -> Result<Self, TargetError> {
        if authority.len() + path_and_query.len() > MAX_URL_BYTES {
            return Err(TargetError::new(
                authority,
                "its URL is longer than 8192 bytes",
            ));
        }
        let scheme = Scheme::new(scheme)?;
        let (host, port) = authority::split(authority, scheme)?;
        let path_and_query = match path_and_query {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            other => other.to_owned(),
        };
        let (path, query) = path_and_query
            .split_once('?')
            .unwrap_or((&path_and_query, ""));
        if !query.bytes().all(|byte| matches!(byte, b'!'..=b'~')) || query.contains('#') {
            return Err(TargetError::new(
                query,
                "a query has visible ASCII characters only; encode others with `%`",
            ));
        }
        Ok(Self {
            method: Method::new(method)?,
            scheme,
            host: Host::new(host)?,
            port,
            path: path::checked(path)?,
            path_and_query,
        })
    }

    /// The target of a whole URL.
    ///
    /// # Errors
    /// A [`TargetError`] for every spelling that is not plain.
    pub fn parse(method: &str, url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| TargetError::new(url, "a URL begins with `https://` or `http://`"))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(end);
        Self::new(method, scheme, authority, path_and_query)
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// How the server is spoken to.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The server.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The server's port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query as they are to be sent.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// `host[:port]`, without a port that need not be written: the `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The path in the spelling that is compared.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// Method and URL without the query, which may hold what is nobody's business.
impl fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.as_str();
        write!(
            f,
            "{} {scheme}://{}{}",
            self.method,
            self.authority(),
            self.path
        )
    }
}
