//! `wasi:http`: outgoing calls, each decided by the grant and sent by the host.
//!
//! A request may name a connection in the header `airlock-connection`, by which ordinary libraries reach it too. The
//! header goes no further than here; what it asks for is a decision of its own.

use std::{future::Future, sync::Arc};

use airlock_grant::{
    HttpTarget, Permit, TargetError, UsedConnection,
    port::{EgressError, EgressLimits, TimedPart},
};
use airlock_model::log::Level;
use http::{Request, Response};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::Standing;

/// The header that names the connection by which the host logs in.
const CONNECTION: &str = "airlock-connection";

/// The HTTP side of one instance.
pub(crate) struct Http(pub(crate) Arc<Standing>);

type Sent = Result<
    (
        Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

impl WasiHttpHooks for Http {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(send(Arc::clone(&self.0), request, options))
    }
}

async fn send(
    standing: Arc<Standing>,
    mut request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Sent {
    let uri = request.uri();
    let target = HttpTarget::new(
        request.method().as_str(),
        uri.scheme_str().unwrap_or_default(),
        uri.authority().map_or("", |authority| authority.as_str()),
        uri.path_and_query().map_or("", |path| path.as_str()),
    )
    .map_err(|error| {
        let text = error.to_string();
        standing.log.host(Level::Warn, &text);
        let item = text.trim_start_matches(TargetError::CODE);
        let item = item.trim_start_matches(": ");
        standing.tell("http", standing.wanted(TargetError::CODE, item));
        Error::HttpRequestUriInvalid
    })?;
    let permit = standing
        .effective()
        .http(&standing.caller, target.clone())
        .map_err(|denial| {
            standing.denied(&denial);
            Error::HttpRequestDenied
        })?;
    let used = used(&standing, &mut request)?;
    let request = request.map(|body| {
        body.map_err(|error| EgressError::Protocol(error.to_string().into()))
            .boxed_unsync()
    });
    let response = standing
        .ports
        .egress
        .send(permit, used, request, limits(options))
        .await
        .map_err(|error| {
            standing
                .log
                .host(Level::Warn, &format!("{target}: {error}"));
            // A granted name that led to an address that it must not reach, a used connection to a server that is
            // not its own.
            if let Some((capability, code)) = error.denial() {
                standing.tell(capability, standing.wanted(code, &target.to_string()));
            }
            translated(&error)
        })?;
    let response = response.map(|body| body.map_err(|error| translated(&error)).boxed_unsync());
    Ok((response, Box::new(async { Ok(()) })))
}

/// The connection that the request names, if it names one and may use it.
fn used(
    standing: &Standing,
    request: &mut Request<WasiBody>,
) -> Result<Option<Permit<UsedConnection>>, Error> {
    let headers = request.headers_mut();
    let named: Vec<_> = headers.get_all(CONNECTION).iter().cloned().collect();
    headers.remove(CONNECTION);
    let id = match named.as_slice() {
        [] => return Ok(None),
        [one] => one.to_str().unwrap_or_default(),
        _ => {
            let text = "AL-0480: the request names two connections; name the one by which the host is to log in";
            standing.log.host(Level::Warn, text);
            return Err(Error::HttpProtocolError);
        }
    };
    let permit = standing.effective().use_connection(&standing.caller, id);
    permit.map(Some).map_err(|denial| {
        standing.denied(&denial);
        Error::HttpRequestDenied
    })
}

/// The guest may want to wait less than the host would, not more.
fn limits(options: Option<RequestOptions>) -> EgressLimits {
    let most = EgressLimits::default();
    let RequestOptions {
        connect_timeout,
        first_byte_timeout,
        between_bytes_timeout,
    } = options.unwrap_or_default();
    let less = |wanted: Option<std::time::Duration>, most| wanted.map_or(most, |w| w.min(most));
    EgressLimits {
        connect: less(connect_timeout, most.connect),
        first_byte: less(first_byte_timeout, most.first_byte),
        between_bytes: less(between_bytes_timeout, most.between_bytes),
        ..most
    }
}

/// The error in WASI's words. The guest learns what kind it is; the log has the text.
fn translated(error: &EgressError) -> Error {
    match error {
        EgressError::Private { .. } => Error::DestinationIpProhibited,
        EgressError::Elsewhere { .. } => Error::HttpRequestDenied,
        EgressError::Connection { .. } => Error::ConfigurationError,
        EgressError::Compressed => Error::HttpResponseContentCoding(None),
        EgressError::Twice(_) => Error::HttpRequestUriInvalid,
        EgressError::Unavailable => Error::DestinationUnavailable,
        EgressError::Resolve { .. } => Error::DnsError {
            rcode: None,
            info_code: None,
        },
        EgressError::Connect { source, .. } => match source.kind() {
            std::io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
            _ => Error::DestinationUnavailable,
        },
        EgressError::Tls { .. } => Error::TlsProtocolError,
        EgressError::Timeout { part, .. } => match part {
            TimedPart::Connect => Error::ConnectionTimeout,
            TimedPart::BetweenBytes => Error::ConnectionReadTimeout,
            TimedPart::FirstByte | TimedPart::Total => Error::HttpResponseTimeout,
        },
        EgressError::TooLarge {
            direction: "request body",
            limit,
        } => Error::HttpRequestBodySize(Some(*limit)),
        EgressError::TooLarge { limit, .. } => Error::HttpResponseBodySize(Some(*limit)),
        EgressError::Busy { .. } => Error::ConnectionLimitReached,
        EgressError::Protocol(_) => Error::HttpProtocolError,
    }
}
