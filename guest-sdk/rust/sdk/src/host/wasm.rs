//! The host, on the other side of the component's border. Each function is one import, and an import that
//! nothing calls is not in the component.

#[path = "wasm_sql.rs"]
pub(crate) mod sql;

use std::io::{Read as _, Write as _};

use wasip2::http::{
    outgoing_handler,
    types::{ErrorCode, Fields, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme},
};

use crate::{
    bindings::airlock::capability as wit,
    capability::{
        CapabilityError, Connection, Directory, Mode,
        http::{HttpError, Request, Response, Url},
        xcom::Address,
    },
};

impl From<wit::errors::Error> for CapabilityError {
    fn from(error: wit::errors::Error) -> Self {
        match error {
            wit::errors::Error::Denied(text) => Self::Denied(text),
            wit::errors::Error::Invalid(text) => Self::Invalid(text),
            wit::errors::Error::Limit(text) => Self::Limit(text),
            wit::errors::Error::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

pub(crate) fn variable(key: &str) -> Result<Option<String>, CapabilityError> {
    Ok(wit::variables::get(key)?)
}

pub(crate) fn connection(id: &str) -> Result<Option<Connection>, CapabilityError> {
    Ok(wit::connections::get(id)?.map(|found| Connection {
        id: found.id,
        conn_type: found.conn_type,
        host: found.host,
        port: found.port,
        login: found.login,
        password: found.password,
        schema: found.schema,
        extra: found.extra,
    }))
}

pub(crate) fn directory(name: &str) -> Result<Directory, CapabilityError> {
    let found = wit::directories::find(name)?;
    let mode = match found.mode {
        wit::directories::Mode::Read => Mode::Read,
        wit::directories::Mode::ReadWrite => Mode::ReadWrite,
    };
    Ok(Directory {
        path: found.path.into(),
        mode,
    })
}

pub(crate) fn xcom_pull(address: &Address) -> Result<Option<String>, CapabilityError> {
    let (dag_id, run_id) = address.run.clone().unzip();
    Ok(wit::xcom::pull(&wit::xcom::Address {
        dag_id,
        run_id,
        task_id: address.task_id.clone(),
        map_index: address.map_index,
        key: address.key.clone(),
    })?)
}

pub(crate) fn xcom_push(key: &str, value: &str) -> Result<(), CapabilityError> {
    Ok(wit::xcom::push(key, value)?)
}

pub(crate) fn log(line: &wit::log::Line) {
    wit::log::write(line);
}

pub(crate) fn http(request: &Request, url: &Url<'_>) -> Result<Response, HttpError> {
    let invalid = |what: &str| HttpError::Invalid(format!("{what} of the request is malformed"));
    let failed = |code: ErrorCode| refused(url, code);
    let fields =
        Fields::from_list(&request.headers).map_err(|e| HttpError::Invalid(e.to_string()))?;
    let outgoing = OutgoingRequest::new(fields);
    outgoing
        .set_method(&method(&request.method))
        .map_err(|()| invalid("the method"))?;
    let scheme = if url.https {
        Scheme::Https
    } else {
        Scheme::Http
    };
    outgoing
        .set_scheme(Some(&scheme))
        .map_err(|()| invalid("the scheme"))?;
    outgoing
        .set_authority(Some(url.authority))
        .map_err(|()| invalid("the host"))?;
    outgoing
        .set_path_with_query(Some(&url.path_and_query))
        .map_err(|()| invalid("the path"))?;

    let options = RequestOptions::new();
    let timeout = u64::try_from(request.timeout.as_nanos()).unwrap_or(u64::MAX);
    // A host that does not know one of them keeps its own limit.
    let _ = options.set_connect_timeout(Some(timeout));
    let _ = options.set_first_byte_timeout(Some(timeout));
    let _ = options.set_between_bytes_timeout(Some(timeout));

    // A body that is never asked for is none at all; an empty one would be sent as such.
    let body = match request.body.is_empty() {
        true => None,
        false => Some(outgoing.body().map_err(|()| invalid("the body"))?),
    };
    let pending = outgoing_handler::handle(outgoing, Some(options)).map_err(failed)?;
    if let Some(body) = body {
        let mut upload = body.write().map_err(|()| invalid("the body"))?;
        let sent = upload
            .write_all(&request.body)
            .and_then(|()| std::io::Write::flush(&mut upload));
        drop(upload);
        // A body that could not be sent is not the news: the response says why.
        if sent.is_ok() {
            OutgoingBody::finish(body, None).map_err(failed)?;
        }
    }

    pending.subscribe().block();
    let gone = || HttpError::Failed(format!("{}: the host gave no response", url.authority));
    let incoming = pending
        .get()
        .ok_or_else(gone)?
        .map_err(|()| gone())?
        .map_err(failed)?;
    let status = incoming.status();
    let headers = incoming.headers().entries();
    let body = incoming.consume().map_err(|()| gone())?;
    let download = body.stream().map_err(|()| gone())?;
    // One byte more than allowed is enough to know that it is too much.
    let limit = u64::try_from(request.max_body)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut body = Vec::new();
    download.take(limit).read_to_end(&mut body).map_err(|e| {
        HttpError::Failed(format!(
            "the response broke off after {} bytes: {e}",
            body.len()
        ))
    })?;
    Ok(Response {
        status,
        headers,
        body,
    })
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn refused(url: &Url<'_>, code: ErrorCode) -> HttpError {
    let what = match code {
        ErrorCode::HttpRequestDenied => {
            let text =
                "the grant does not hold this address or method; the log says what to add to it";
            return HttpError::Denied(format!("{}: {text}", url.authority));
        }
        ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestMethodInvalid => {
            return HttpError::Invalid(
                "the host takes the method or the URL for malformed".to_owned(),
            );
        }
        ErrorCode::DnsError(_) | ErrorCode::DnsTimeout | ErrorCode::DestinationNotFound => {
            "the name is not known".to_owned()
        }
        ErrorCode::ConnectionRefused => "the connection was refused".to_owned(),
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => "it took too long".to_owned(),
        ErrorCode::InternalError(Some(text)) => text,
        code => code
            .to_string()
            .trim_start_matches("ErrorCode::")
            .to_owned(),
    };
    HttpError::Failed(format!("{}: {what}", url.authority))
}
