//! HTTP requests. The host makes them, if the grant holds the address: over `wasi:http`, so that ready-made
//! clients for it work as well.
//!
//! Redirects are not followed: where they lead is for the grant to allow, and so for the task to ask.

use std::{fmt, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Result, ResultExt as _, host};

/// How long each wait of a request may take unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest body of a response unless the request says otherwise.
const MAX_BODY: usize = 16 << 20;

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// The grant does not hold this address or method. The try's log has the host's text.
    Denied(String),
    /// The request cannot be sent as it is: a URL or a header is malformed.
    Invalid(String),
    /// The response's body is larger than the request allows.
    TooLarge {
        /// How many bytes it allows.
        limit: usize,
    },
    /// It was sent, or tried to be, and failed on the way.
    Failed(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text) | Self::Invalid(text) | Self::Failed(text) => f.write_str(text),
            Self::TooLarge { limit } => {
                write!(
                    f,
                    "the response has more than {limit} bytes; allow more with `max_body`"
                )
            }
        }
    }
}

impl std::error::Error for HttpError {}

/// A request.
///
/// ```no_run
/// # use airlock_sdk::prelude::*;
/// # #[derive(serde::Deserialize)]
/// # struct Rates {}
/// # #[task]
/// # fn fetch() -> Result<()> {
/// let base = connection("rates")?.context("no connection `rates`")?.base_url()?;
/// let rates: Rates = http::get(format!("{base}/latest")).header("accept", "application/json").send()?.ok()?.json()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Duration,
    pub(crate) max_body: usize,
}

/// A `GET` request.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// A `POST` request.
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

/// A request with any method.
pub fn request(method: &str, url: impl Into<String>) -> Request {
    Request {
        method: method.to_ascii_uppercase(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: TIMEOUT,
        max_body: MAX_BODY,
    }
}

impl Request {
    /// Its method, in capital letters.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Where it goes.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The first header of this name, in any case.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&[u8]> {
        find(&self.headers, name)
    }

    /// What it sends.
    #[must_use]
    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// Has the host log in by this connection, which the bundle may use without seeing what it holds: the host adds
    /// the credential, at the connection's own server. Needs `[[request.connection]]` with `access = "use"`.
    pub fn connection(self, id: &str) -> Self {
        self.header("airlock-connection", id)
    }

    /// What to send.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends a value as JSON.
    ///
    /// # Errors
    /// It has no JSON form.
    #[track_caller]
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self> {
        let body = serde_json::to_vec(value).context("the request's body has no JSON form")?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// The longest that connecting, waiting for the response, and each pause in its body may take. Default:
    /// 30 seconds. What is over the host's own limit is cut to it.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The largest body of the response, in bytes. Default: 16 MiB.
    pub const fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sends it and reads the whole response, whatever its status.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn send(mut self) -> Result<Response, HttpError> {
        // Servers that know no chunks want the length said.
        if !self.body.is_empty() && self.header_value("content-length").is_none() {
            let length = self.body.len().to_string();
            self = self.header("content-length", length);
        }
        let url = Url::parse(&self.url)?;
        let response = host::http(&self, &url)?;
        match response.body.len() > self.max_body {
            true => Err(HttpError::TooLarge {
                limit: self.max_body,
            }),
            false => Ok(response),
        }
    }
}

/// A response with its whole body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// In the order they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What came.
    pub body: Vec<u8>,
}

impl Response {
    /// The response, if its status is a success (200 to 299).
    ///
    /// # Errors
    /// It is not; the message has the status and the beginning of the body.
    #[track_caller]
    pub fn ok(self) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.body);
        let start: String = text.chars().take(200).collect();
        Err(crate::Error::msg(format_args!(
            "the server answered {}: {}",
            self.status,
            start.trim_end()
        )))
    }

    /// The first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        find(&self.headers, name)
    }

    /// The body as text.
    ///
    /// # Errors
    /// It is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.body).context("the response is not UTF-8")
    }

    /// The body as the author's type.
    ///
    /// # Errors
    /// It is not JSON of that type.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("the response is no `{}`", std::any::type_name::<T>()))
    }
}

fn find<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    let found = headers
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_slice())
}

/// The parts of a URL that a request needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    pub(crate) https: bool,
    pub(crate) authority: &'a str,
    pub(crate) path_and_query: String,
}

impl<'a> Url<'a> {
    /// Splits; what is allowed in each part is the host's to say.
    fn parse(url: &'a str) -> Result<Self, HttpError> {
        let wrong =
            |why: &str| HttpError::Invalid(format!("\"{}\" is no URL: {why}", url.escape_debug()));
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| wrong("it wants https:// or http:// at its start"))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("only https and http are known")),
        };
        let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() {
            return Err(wrong("it names no host"));
        }
        if authority.contains('@') {
            return Err(wrong("put the login into a header, not into the URL"));
        }
        if url.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(wrong(
                "it has spaces or control characters; percent-encode them",
            ));
        }
        let path_and_query = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/{path}"),
        };
        Ok(Self {
            https,
            authority,
            path_and_query,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_what_the_host_is_asked_for() {
        let url = Url::parse("HTTP://127.0.0.1:8000/rates?base=CHF#top").unwrap();
        assert_eq!((url.https, url.authority), (false, "127.0.0.1:8000"));
        assert_eq!(url.path_and_query, "/rates?base=CHF");
        let bare = Url::parse("https://[::1]?q").unwrap();
        assert_eq!(
            (bare.authority, bare.path_and_query.as_str()),
            ("[::1]", "/?q")
        );
    }

    #[test]
    fn what_is_no_url_is_refused_before_the_host_is_asked() {
        for url in [
            "",
            "rates.example",
            "ftp://a",
            "http://",
            "http://a b/",
            "http://u:p@a/",
            "http://a/\r\nb",
        ] {
            assert!(
                matches!(get(url).send(), Err(HttpError::Invalid(_))),
                "{url}"
            );
        }
    }
}
