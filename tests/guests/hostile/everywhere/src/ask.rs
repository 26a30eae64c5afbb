//! The capabilities, asked so that what came of it is a word or two.

use std::io;

use wasip2::http::{
    outgoing_handler::handle,
    types::{ErrorCode, Fields, Method, OutgoingRequest, Scheme},
};

use crate::generated::airlock::capability::{
    connections, directories,
    errors::Error,
    log::{self, Level, Line},
    sql::{Database, SqlError},
    variables,
    xcom::{self, Address},
};

/// An error as a word, and the code that its text begins with.
pub(crate) fn refused(error: &Error) -> String {
    let (word, text) = match error {
        Error::Denied(text) => ("denied", text),
        Error::Invalid(text) => ("invalid", text),
        Error::Limit(text) => ("limit", text),
        Error::Unavailable(text) => ("unavailable", text),
    };
    match text.split_once(':') {
        Some((code, _)) if code.starts_with("AL-") => format!("{word} {code}"),
        _ => word.to_owned(),
    }
}

fn found(value: Result<Option<String>, Error>) -> String {
    match value {
        Ok(Some(value)) => value,
        Ok(None) => "nothing".to_owned(),
        Err(error) => refused(&error),
    }
}

pub(crate) fn variable(key: &str) -> String {
    found(variables::get(key))
}

/// The password.
pub(crate) fn connection(id: &str) -> String {
    let password = |found: connections::Connection| found.password.unwrap_or_default();
    found(connections::get(id).map(|found| found.map(password)))
}

/// Whether a database can be opened.
pub(crate) fn database(id: &str) -> String {
    match Database::open(id) {
        Ok(_) => "open".to_owned(),
        Err(SqlError::Host(error)) => refused(&error),
        Err(SqlError::Database(failure)) => failure.message,
    }
}

pub(crate) fn directory(name: &str) -> String {
    found(directories::find(name).map(|found| Some(found.path)))
}

pub(crate) fn pull(dag_id: &str, run_id: &str, task_id: &str) -> String {
    found(xcom::pull(&Address {
        dag_id: (!dag_id.is_empty()).then(|| dag_id.to_owned()),
        run_id: (!run_id.is_empty()).then(|| run_id.to_owned()),
        task_id: task_id.to_owned(),
        map_index: -1,
        key: "return_value".to_owned(),
    }))
}

pub(crate) fn push(key: &str, value: &str) -> String {
    found(xcom::push(key, value).map(|()| Some("done".to_owned())))
}

pub(crate) fn say(target: &str, message: &str) {
    log::write(&Line {
        level: Level::Info,
        target: target.to_owned(),
        message: message.to_owned(),
        file: None,
        line: None,
    });
}

/// What a file operation came to.
pub(crate) fn file<T: Into<String>>(result: io::Result<T>) -> String {
    match result {
        Ok(text) => text.into(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// The status of the answer, and its body.
pub(crate) fn http(scheme: Scheme, server: &str, path: &str, token: Option<&str>) -> String {
    match call(&scheme, server, path, token) {
        Ok(told) => told,
        Err(ErrorCode::HttpRequestDenied) => "denied".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

fn call(
    scheme: &Scheme,
    server: &str,
    path: &str,
    token: Option<&str>,
) -> Result<String, ErrorCode> {
    let headers = Fields::new();
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").into_bytes();
        headers
            .append("authorization", &bearer)
            .map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    }
    let request = OutgoingRequest::new(headers);
    let set = request.set_method(&Method::Get).is_ok()
        && request.set_scheme(Some(scheme)).is_ok()
        && request.set_authority(Some(server)).is_ok()
        && request.set_path_with_query(Some(path)).is_ok();
    if !set {
        return Err(ErrorCode::HttpRequestUriInvalid);
    }
    let answer = handle(request, None)?;
    answer.subscribe().block();
    let Some(Ok(response)) = answer.get() else {
        return Err(ErrorCode::InternalError(None));
    };
    let response = response?;
    let status = response.status();
    let mut text = Vec::new();
    let body = response
        .consume()
        .map_err(|()| ErrorCode::HttpResponseIncomplete)?;
    let stream = body
        .stream()
        .map_err(|()| ErrorCode::HttpResponseIncomplete)?;
    while let Ok(bytes) = stream.blocking_read(4096) {
        text.extend(bytes);
    }
    Ok(format!("{status} {}", String::from_utf8_lossy(&text)))
}
