//! The heads of requests and responses: what a guest may say in them, and what is the host's affair.

use airlock_grant::{
    HttpTarget,
    port::{Body, EgressError},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};

use super::body::Counted;

/// Headers that are about one connection (RFC 9110, 7.6.1), of which guest and server have none in common.
const OF_THE_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Headers of a request that the host decides: which server is meant, that there is no proxy, that the body
/// is sent without being asked for and has nothing after it.
const OF_THE_HOST: [HeaderName; 4] = [
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::EXPECT,
    header::TRAILER,
];

/// Whether a header is none that anybody but the host writes.
pub(super) fn is_of_the_host(name: &HeaderName) -> bool {
    let length = [header::CONTENT_LENGTH, header::ACCEPT_ENCODING];
    OF_THE_CONNECTION.contains(name) || OF_THE_HOST.contains(name) || length.contains(name)
}

/// Removes the headers that are about one connection, with those that `Connection` names.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = (headers.get_all(header::CONNECTION).iter())
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_THE_CONNECTION) {
        headers.remove(name);
    }
}

/// The request as it is sent: to the target, whatever it said before, with a body of at most `most` bytes.
pub(super) fn outgoing(
    target: &HttpTarget,
    request: Request<Body>,
    most: u64,
) -> Result<Request<Counted>, EgressError> {
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    for name in OF_THE_HOST {
        parts.headers.remove(name);
    }
    if declared_length(&parts.headers)?.is_some_and(|length| length > most) {
        let (direction, limit) = ("request body", most);
        return Err(EgressError::TooLarge { direction, limit });
    }
    let host = HeaderValue::try_from(target.authority()).map_err(malformed)?;
    parts.headers.insert(header::HOST, host);
    let close = HeaderValue::from_static("close");
    parts.headers.insert(header::CONNECTION, close);
    let mut sent = Request::new(Counted::new(body, most)?);
    *sent.method_mut() = target.method().as_str().parse().map_err(malformed)?;
    *sent.uri_mut() = target.path_and_query().parse().map_err(malformed)?;
    *sent.headers_mut() = parts.headers;
    Ok(sent)
}

/// How long the guest says that its body is. Saying it twice, or not in digits alone, is an error: two
/// programs could read it differently.
fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, EgressError> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    let digits = first.as_bytes().iter().all(u8::is_ascii_digit);
    let length = first.to_str().ok().and_then(|text| text.parse().ok());
    match (length, values.next()) {
        (Some(length), None) if digits => Ok(Some(length)),
        _ => Err(malformed("the request's Content-Length is not one number")),
    }
}

fn malformed(problem: impl std::fmt::Display) -> EgressError {
    EgressError::Protocol(problem.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        map
    }

    #[test]
    fn what_is_about_one_connection_goes_with_all_that_it_names() {
        let mut map = headers(&[
            ("connection", "close, X-Hop"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("x-kept", "1"),
        ]);
        strip(&mut map);
        assert_eq!(map, headers(&[("x-kept", "1")]));
    }

    #[test]
    fn a_body_has_one_length_in_digits_or_none() {
        let length = |value| declared_length(&headers(&[("content-length", value)]));
        assert_eq!(declared_length(&headers(&[])).unwrap(), None);
        assert_eq!(length("12").unwrap(), Some(12));
        for bad in ["", "+1", "-1", "1,1", "0x1", "1 ", "18446744073709551616"] {
            assert!(length(bad).is_err(), "{bad:?}");
        }
        let twice = headers(&[("content-length", "1"), ("content-length", "1")]);
        assert!(declared_length(&twice).is_err());
    }
}
