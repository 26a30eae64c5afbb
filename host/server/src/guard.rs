//! What every request passes before anything else: is it meant for this host, and does it end in time?

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{Uri, header, uri::Authority},
    middleware::Next,
    response::Response,
};

use crate::problem::ApiError;

/// The names under which the API may be addressed.
///
/// A web page that a person visits can let a name of its own resolve to this host and then send requests as
/// if to itself. The browser puts that name into the Host header, which is what gives it away. Addresses
/// and `localhost` cannot be made to resolve elsewhere, so they are always good.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts(Arc<[String]>);

impl Hosts {
    pub(crate) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    fn admits(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || self.0.iter().any(|good| host.eq_ignore_ascii_case(good))
    }
}

/// The host of `host` or `host:port`; none for anything else, such as one with a login before it.
fn name(authority: &str) -> Option<&str> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at_checked(end)?;
    let good = match port.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    good.then_some(host)
}

/// Refuses requests for other hosts.
pub(crate) async fn check_host(
    State(hosts): State<Hosts>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let mut values = request.headers().get_all(header::HOST).iter();
    let host = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    // A request line with a whole URL counts as well, and must not contradict the header.
    let line = Uri::authority(request.uri()).map(Authority::as_str);
    let good = name(&host).is_some_and(|host| hosts.admits(host))
        && line.is_none_or(|line| name(line).is_some_and(|host| hosts.admits(host)));
    if good {
        Ok(next.run(request).await)
    } else {
        Err(ApiError::WrongHost(host.chars().take(80).collect()))
    }
}

/// Ends requests that take too long. The body of an answer that has begun is not meant: a followed log
/// lasts as long as its try.
pub(crate) async fn limit_time(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    tokio::time::timeout(limit, next.run(request))
        .await
        .map_err(|_| ApiError::TooSlow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_this_host_and_other_names_only_when_allowed() {
        let hosts = Hosts::new(&["Airlock.Example".to_owned()]);
        for good in [
            "127.0.0.1",
            "[::1]",
            "10.1.2.3",
            "localhost",
            "LOCALHOST",
            "airlock.example",
        ] {
            assert!(hosts.admits(good), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "localhost.",
        ] {
            assert!(!hosts.admits(bad), "{bad}");
        }
    }

    #[test]
    fn a_host_header_is_a_name_and_a_port_and_nothing_else() {
        assert_eq!(name("localhost:8080"), Some("localhost"));
        assert_eq!(name("[::1]:8080"), Some("[::1]"));
        assert_eq!(name("[::1]"), Some("[::1]"));
        assert_eq!(name("127.0.0.1"), Some("127.0.0.1"));
        for bad in [
            "a@localhost:1",
            "localhost:",
            "localhost:x",
            "[::1",
            "[::1]x",
            "localhost:99999",
            "é:1:2",
        ] {
            assert!(
                name(bad).is_none_or(|host| !Hosts::default().admits(host)),
                "{bad}"
            );
        }
    }
}
