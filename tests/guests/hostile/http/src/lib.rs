//! Tasks that call HTTP: the entry is the scheme, the arguments are server and path, and headers (`name: value`).

use hostile_raw::{
    airlock::bundle::definitions::Parsed,
    exports::airlock::bundle::{dags, tasks},
    parsed,
};
use wasip2::http::{
    outgoing_handler::handle,
    types::{ErrorCode, Fields, Method, OutgoingRequest, Scheme},
};

struct Attack;

impl dags::Guest for Attack {
    fn parse() -> Parsed {
        parsed(Vec::new())
    }
}

fn get(scheme: Scheme, server: &str, path: &str, headers: &[String]) -> Result<String, ErrorCode> {
    let fields = Fields::new();
    for header in headers {
        let header = header.trim_matches('"');
        let (name, value) = header.split_once(": ").unwrap_or((header, ""));
        if fields.append(name, value.as_bytes()).is_err() {
            return Err(ErrorCode::HttpRequestHeaderSectionSize(None));
        }
    }
    let request = OutgoingRequest::new(fields);
    let set = request.set_method(&Method::Get).is_ok()
        && request.set_scheme(Some(&scheme)).is_ok()
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
    let (mut text, lost) = (Vec::new(), ErrorCode::HttpResponseIncomplete);
    let Ok(body) = response.consume() else {
        return Err(lost);
    };
    let Ok(stream) = body.stream() else {
        return Err(lost);
    };
    while let Ok(bytes) = stream.blocking_read(4096) {
        text.extend(bytes);
    }
    let text = String::from_utf8_lossy(&text).replace('"', "'");
    Ok(format!("{status} {text}"))
}

impl tasks::Guest for Attack {
    fn run(
        entry: String,
        _: tasks::Context,
        arguments: Vec<String>,
    ) -> Result<tasks::Outcome, tasks::Failure> {
        let scheme = match entry.as_str() {
            "https" => Scheme::Https,
            _ => Scheme::Http,
        };
        let argument = |at: usize| arguments[at].trim_matches('"');
        let told = match get(scheme, argument(0), argument(1), &arguments[2..]) {
            Ok(told) => told,
            Err(ErrorCode::HttpRequestDenied) => "HttpRequestDenied".to_owned(),
            Err(error) => format!("{error:?}").replace('"', "'"),
        };
        Ok(hostile_raw::success(Some(format!("\"{told}\""))))
    }
}

hostile_raw::export!(Attack with_types_in hostile_raw);
