//! The running server, as the commands see it: found through the home folder, opened with the token there or with
//! the one in the file that `AIRLOCK_TOKEN_FILE` names.

use std::{path::Path, time::Duration};

use airlock_server::{ErrorBody, auth::Token};
use airlock_store::HomeLock;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::error::CliError;

/// How long an answer may take, other than that of a followed log.
const PATIENCE: Duration = Duration::from_secs(60);
/// Entries that are asked for at once.
const PAGE: usize = 1000;

/// Calls the API of the server of a home folder.
pub(crate) struct ApiClient {
    http: reqwest::Client,
    /// As `http://127.0.0.1:8080`.
    address: String,
    token: Token,
}

/// One segment of a path, with everything escaped that means something in a URL.
fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte.into())
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// A path below `/api/v2`.
pub(crate) fn path(segments: &[&str]) -> String {
    let mut path = String::from("/api/v2");
    for part in segments {
        path.push('/');
        path.push_str(&segment(part));
    }
    path
}

/// Names a file with another token than the installation's own: a reviewer's.
const TOKEN_FILE: &str = "AIRLOCK_TOKEN_FILE";

impl ApiClient {
    /// Finds the server of a home folder.
    ///
    /// # Errors
    /// [`CliError::NoServer`] when none is running there.
    pub(crate) fn find(home: &Path) -> Result<Self, CliError> {
        let none = || CliError::NoServer {
            home: home.to_owned(),
        };
        let holder = HomeLock::holder(home)
            .map_err(CliError::room)?
            .ok_or_else(none)?;
        let address = holder.api.ok_or_else(|| CliError::Unreachable {
            address: home.display().to_string(),
            reason: format!(
                "process {} is still starting; try again in a moment",
                holder.pid
            ),
            source: None,
        })?;
        let token = match std::env::var_os(TOKEN_FILE) {
            Some(path) => Token::read_file(path.into()),
            None => Token::read(home),
        };
        let token = token.map_err(CliError::room)?;
        let http = reqwest::Client::builder()
            // The server is on this machine: nothing that is set for the way out applies.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(CliError::room)?;
        Ok(Self {
            http,
            address: address.trim_end_matches('/').to_owned(),
            token,
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.address))
            .bearer_auth(self.token.reveal())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|source| {
            let source = source.without_url();
            CliError::Unreachable {
                address: self.address.clone(),
                reason: if source.is_timeout() {
                    "it took too long".to_owned()
                } else {
                    "the connection failed".to_owned()
                },
                source: Some(source),
            }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.json::<ErrorBody>().await.ok();
        Err(self.refusal(status, body))
    }

    fn refusal(&self, status: StatusCode, body: Option<ErrorBody>) -> CliError {
        match body {
            Some(ErrorBody { detail, code }) => CliError::Refused {
                code,
                detail,
                status: status.as_u16(),
            },
            None => CliError::Unreachable {
                address: self.address.clone(),
                reason: format!("it answered {status}, and not as Airlock does"),
                source: None,
            },
        }
    }

    async fn json(&self, request: RequestBuilder) -> Result<Value, CliError> {
        let response = self.send(request.timeout(PATIENCE)).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let address = self.address.clone();
        response
            .json()
            .await
            .map_err(|source| CliError::Unreachable {
                address,
                reason: "its answer broke off".to_owned(),
                source: Some(source.without_url()),
            })
    }

    /// Gets one thing.
    pub(crate) async fn get(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Value, CliError> {
        self.json(self.request(Method::GET, path).query(query))
            .await
    }

    /// Gets a list, all of it or its first `most` entries; `field` is where the answer holds them.
    pub(crate) async fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
        field: &str,
        most: Option<usize>,
    ) -> Result<Vec<Value>, CliError> {
        let most = most.unwrap_or(usize::MAX);
        let mut items: Vec<Value> = Vec::new();
        loop {
            let limit = PAGE.min(most.saturating_sub(items.len()));
            let part = [
                ("limit", limit.to_string()),
                ("offset", items.len().to_string()),
            ];
            let request = self.request(Method::GET, path).query(query).query(&part);
            let mut answer = self.json(request).await?;
            let Some(Value::Array(found)) = answer.get_mut(field).map(Value::take) else {
                return Err(self.refusal(StatusCode::OK, None));
            };
            let more = found.len() == limit && limit > 0;
            items.extend(found);
            if !more || items.len() >= most {
                return Ok(items);
            }
        }
    }

    /// Posts a body.
    pub(crate) async fn post(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: &Value,
    ) -> Result<Value, CliError> {
        self.json(self.request(Method::POST, path).query(query).json(body))
            .await
    }

    /// Changes part of a thing.
    pub(crate) async fn patch(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: &Value,
    ) -> Result<Value, CliError> {
        self.json(self.request(Method::PATCH, path).query(query).json(body))
            .await
    }

    /// Asks a thing to become what its path says.
    pub(crate) async fn put(&self, path: &str) -> Result<Value, CliError> {
        self.json(self.request(Method::PUT, path)).await
    }

    /// Removes a thing.
    pub(crate) async fn delete(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<(), CliError> {
        self.json(self.request(Method::DELETE, path).query(query))
            .await
            .map(drop)
    }

    /// Changes a thing of this path, or creates it in the collection above it.
    pub(crate) async fn set(
        &self,
        collection: &str,
        (name_field, name): (&str, &str),
        query: &[(&str, String)],
        fields: serde_json::Map<String, Value>,
    ) -> Result<Value, CliError> {
        let one = format!("{collection}/{}", segment(name));
        let mut body = Value::Object(fields);
        match self.patch(&one, query, &body).await {
            Err(CliError::Refused {
                status: 404, code, ..
            }) if code == "AL-0810" => {
                // It may be the team that is not there: then creating says so.
                if let Some(fields) = body.as_object_mut() {
                    fields.insert(name_field.to_owned(), name.into());
                }
                self.post(collection, query, &body).await
            }
            other => other,
        }
    }

    /// A log as it grows: whole lines of JSON, handed over as they come, until the try has ended.
    pub(crate) async fn follow(
        &self,
        path: &str,
        query: &[(&str, String)],
        mut on_line: impl FnMut(Value) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let mut response = self
            .send(self.request(Method::GET, path).query(query))
            .await?;
        let broken = |source: reqwest::Error| CliError::Unreachable {
            address: self.address.clone(),
            reason: "the log broke off".to_owned(),
            source: Some(source.without_url()),
        };
        let mut rest: Vec<u8> = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                on_line(serde_json::from_slice(&line).map_err(CliError::room)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_one_segment_of_a_path_each() {
        assert_eq!(
            path(&[
                "dags",
                "a/b",
                "dagRuns",
                "manual__2012-01-15T00:00:00+00:00"
            ]),
            "/api/v2/dags/a%2Fb/dagRuns/manual__2012-01-15T00%3A00%3A00%2B00%3A00"
        );
        assert_eq!(
            path(&["pools", "bank api?x#y"]),
            "/api/v2/pools/bank%20api%3Fx%23y"
        );
    }

    #[test]
    fn without_a_server_the_command_says_how_to_start_one() {
        let home = tempfile::tempdir().unwrap();
        let Err(error) = ApiClient::find(home.path()) else {
            panic!("there is none");
        };
        assert_eq!(error.exit_code(), crate::error::NO_SERVER);
        assert!(error.report(false).contains("airlock standalone"));
    }
}
