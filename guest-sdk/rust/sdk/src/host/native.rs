//! The host of a native test: what [`testing`](crate::testing) was told.

#[path = "native_sql.rs"]
pub(crate) mod sql;

use crate::{
    capability::{
        CapabilityError, Connection, Directory,
        http::{HttpError, Request, Response, Url},
        xcom::Address,
    },
    testing,
};

fn denied<T>(kind: &str, name: &str) -> Result<T, CapabilityError> {
    Err(CapabilityError::Denied(format!(
        "this test grants no {kind} `{name}`; grant it with airlock_sdk::testing::{kind}(\"{name}\", …)"
    )))
}

pub(crate) fn variable(key: &str) -> Result<Option<String>, CapabilityError> {
    testing::with(|host| host.variables.get(key).cloned())
        .map_or_else(|| denied("variable", key), Ok)
}

pub(crate) fn connection(id: &str) -> Result<Option<Connection>, CapabilityError> {
    testing::with(|host| host.connections.get(id).cloned())
        .map_or_else(|| denied("connection", id), Ok)
}

pub(crate) fn directory(name: &str) -> Result<Directory, CapabilityError> {
    testing::with(|host| host.directories.get(name).cloned())
        .map_or_else(|| denied("directory", name), Ok)
}

#[expect(clippy::unnecessary_wraps, reason = "as the real host has it")]
pub(crate) fn xcom_pull(address: &Address) -> Result<Option<String>, CapabilityError> {
    Ok(testing::with(|host| {
        host.xcoms
            .iter()
            .find(|(at, _)| at == address)
            .map(|(_, json)| json.clone())
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "as the real host has it")]
pub(crate) fn xcom_push(key: &str, value: &str) -> Result<(), CapabilityError> {
    testing::with(|host| host.pushed.push((key.to_owned(), value.to_owned())));
    Ok(())
}

pub(crate) fn http(request: &Request, _: &Url<'_>) -> Result<Response, HttpError> {
    // Taken out while it answers, so that it may itself ask the fake host for something.
    let Some(mut server) = testing::with(|host| host.http.take()) else {
        return Err(HttpError::Denied(format!(
            "this test grants no request to {}; answer it with airlock_sdk::testing::http(…)",
            request.url()
        )));
    };
    let response = server(request);
    testing::with(|host| host.http = Some(server));
    response
}
