//! Spellings: what is understood, what is refused, and which pattern allows which target.

use proptest::prelude::*;

use super::*;

fn target(url: &str) -> Result<HttpTarget, TargetError> {
    HttpTarget::parse("GET", url)
}

#[test]
fn a_pattern_allows_what_it_says_and_nothing_beside_it() {
    for (pattern, url, allowed) in [
        (
            "https://api.example.com/v1/*",
            "https://api.example.com/v1/x",
            true,
        ),
        (
            "https://api.example.com/v1/*",
            "https://api.example.com/v1/",
            true,
        ),
        (
            "https://api.example.com/v1/*",
            "https://api.example.com/v1/x?y=1",
            true,
        ),
        (
            "https://api.example.com/v1/*",
            "https://API.Example.COM:443/v1/x",
            true,
        ),
        (
            "HTTPS://API.example.com:443/v1/*",
            "https://api.example.com/v1/x",
            true,
        ),
        (
            "https://api.example.com/v1/*",
            "https://api.example.com/v1",
            false,
        ),
        (
            "https://api.example.com/v1/*",
            "https://api.example.com/v10/x",
            false,
        ),
        (
            "https://api.example.com/v1/*",
            "https://api.example.com/V1/x",
            false,
        ),
        (
            "https://api.example.com/v1/*",
            "http://api.example.com/v1/x",
            false,
        ),
        (
            "https://api.example.com/v1/*",
            "https://api.example.com:8443/v1/x",
            false,
        ),
        (
            "https://api.example.com/v1/*",
            "https://example.com/v1/x",
            false,
        ),
        (
            "https://api.example.com/v1/*",
            "https://api.example.com.evil.example/v1/x",
            false,
        ),
        (
            "https://api.example.com/status",
            "https://api.example.com/status?full",
            true,
        ),
        (
            "https://api.example.com/status",
            "https://api.example.com/status/",
            false,
        ),
        ("https://api.example.com", "https://api.example.com/", true),
        ("https://api.example.com", "https://api.example.com?q", true),
        (
            "https://api.example.com",
            "https://api.example.com/x",
            false,
        ),
        ("https://*.example.com/*", "https://a.example.com/x", true),
        ("https://*.example.com/*", "https://a.b.example.com/x", true),
        ("https://*.example.com/*", "https://example.com/x", false),
        ("https://*.example.com/*", "https://badexample.com/x", false),
        ("http://127.0.0.1:9999/*", "http://127.0.0.1:9999/x", true),
        ("http://127.0.0.1:9999/*", "http://127.0.0.1/x", false),
        ("http://127.0.0.1:9999/*", "http://localhost:9999/x", false),
        ("http://[::1]:80/*", "http://[0:0:0:0:0:0:0:1]/x", true),
        ("https://h.example/a%2fb", "https://h.example/a%2Fb", false),
        ("https://h.example/%c3%a4", "https://h.example/%C3%A4", true),
        ("https://h.example/a*/*", "https://h.example/a*/b", false),
    ] {
        let matched = HttpPattern::new(pattern)
            .ok()
            .zip(target(url).ok())
            .is_some_and(|(pattern, target)| pattern.matches(&target));
        assert_eq!(matched, allowed, "{pattern} {url}");
    }
}

#[test]
fn spellings_that_two_programs_could_read_differently_are_refused() {
    for url in [
        // Hosts.
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://127.1/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.01/",
        "http://127.0.0.1./",
        "http://127.0.0.256/",
        "http://1.2.3.4.5/",
        "http://example.com./",
        "http://example..com/",
        "http://.example.com/",
        "http://user@example.com/",
        "http://user:pw@example.com/",
        "http://example.com@127.0.0.1/",
        "http://example.com%00.evil.example/",
        "http://exa%6dple.com/",
        "http://exämple.com/",
        "http://exam\tple.com/",
        "http://exam ple.com/",
        "http://example.com\\@evil.example/",
        "http:///x",
        "http://-x.example/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[fe80::1%25eth0]/",
        "http://[::1",
        "http://[::1]x/",
        "http://[::1]x:80/",
        "http://::1/",
        "http://*.example.com/",
        // Ports.
        "http://example.com:/",
        "http://example.com:0/",
        "http://example.com:080/",
        "http://example.com:+80/",
        "http://example.com:65536/",
        "http://example.com:80:80/",
        // Paths.
        "http://example.com/a/../b",
        "http://example.com/..",
        "http://example.com/./b",
        "http://example.com/%2e%2E/b",
        "http://example.com/.%2e/b",
        "http://example.com/%252e%252e/b",
        "http://example.com/%25252e./b",
        "http://example.com/..;x=1/b",
        "http://example.com/a%2fb",
        "http://example.com/a%5cb",
        "http://example.com/a%252fb",
        "http://example.com/a\\b",
        "http://example.com/a%00",
        "http://example.com/a%",
        "http://example.com/a%4",
        "http://example.com/a%zz",
        "http://example.com/a b",
        "http://example.com/a\nb",
        "http://example.com/ä",
        "http://example.com/a#b",
        "http://example.com/a?b#c",
        "http://example.com/a?b\r\nX: y",
        // Schemes.
        "ftp://example.com/",
        "file:///etc/passwd",
        "//example.com/",
        "example.com",
        "",
    ] {
        let error = target(url).expect_err(url);
        assert!(error.to_string().starts_with("AL-0415"), "{error}");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
    assert!(target(&format!("http://example.com/{}", "a".repeat(MAX_URL_BYTES))).is_err());
}

#[test]
fn patterns_that_allow_more_than_they_seem_to_are_refused() {
    for pattern in [
        "https://*/",
        "https://*.com/",
        "https://*.*.com/",
        "https://a.*.com/",
        "https://*.127.0.0.1/",
        "https://api*.example.com/",
        "https://example.com/a*",
        "https://example.com/*/b",
        "https://example.com/*/*",
        "https://example.com/?a=*",
        "https://example.com:*/",
        "*://example.com/",
        "example.com/*",
    ] {
        assert!(HttpPattern::new(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn methods_are_exact_and_two_are_never_allowed() {
    assert!(Method::new("PATCH").is_ok());
    for method in [
        "",
        "get",
        "GET ",
        "GET\r\n",
        "CONNECT",
        "TRACE",
        &"A".repeat(33),
    ] {
        assert!(Method::new(method).is_err(), "{method:?}");
    }
}

#[test]
fn a_target_is_called_as_it_was_written_and_compared_in_one_spelling() {
    let target = HttpTarget::parse("POST", "https://API.example.com:443/%c3*?q=%2f").unwrap();
    assert_eq!(target.path_and_query(), "/%c3*?q=%2f");
    assert_eq!(target.authority(), "api.example.com");
    assert_eq!(target.to_string(), "POST https://api.example.com/%C3%2A");
    let target = HttpTarget::new("GET", "http", "[::1]:81", "").unwrap();
    assert_eq!(target.authority(), "[::1]:81");
    assert_eq!(target.path_and_query(), "/");
    assert_eq!(target.port(), 81);
}

fn spelled_pattern() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        "[a-z]{1,3}\\.[a-z]{1,3}",
        "\\*\\.[a-z]{1,3}\\.[a-z]{1,3}",
        "10\\.0\\.0\\.[1-9]"
    ];
    let path = prop_oneof!["(/[a-z.]{0,3}){0,3}", "(/[a-z]{1,2}){0,2}/\\*"];
    (
        prop_oneof!["http", "https"],
        host,
        prop_oneof!["", ":[1-9][0-9]{0,3}"],
        path,
    )
        .prop_map(|(scheme, host, port, path)| format!("{scheme}://{host}{port}{path}"))
}

proptest! {
    #[test]
    fn any_text_is_answered_without_panic(text in any::<String>(), path in any::<String>()) {
        let _ = HttpPattern::new(&text);
        let _ = target(&text);
        let _ = HttpTarget::new(&text, "https", &text, &path);
        let _ = target(&format!("https://h.example/{path}"));
    }

    #[test]
    fn a_pattern_written_out_is_the_same_pattern(text in spelled_pattern()) {
        if let Ok(pattern) = HttpPattern::new(&text) {
            prop_assert_eq!(HttpPattern::new(&pattern.to_string()).unwrap(), pattern);
        }
    }

    #[test]
    fn what_two_patterns_both_allow_makes_them_meet(
        a in spelled_pattern(), b in spelled_pattern(), url in spelled_pattern(),
    ) {
        let url = url.replace('*', "x");
        if let (Ok(a), Ok(b), Ok(target)) = (HttpPattern::new(&a), HttpPattern::new(&b), target(&url)) {
            prop_assert!(a.meets(&a));
            prop_assert_eq!(a.meets(&b), b.meets(&a));
            if a.matches(&target) && b.matches(&target) {
                prop_assert!(a.meets(&b));
            }
        }
    }

    #[test]
    fn no_path_that_is_accepted_climbs_however_often_it_is_decoded(path in "(/|%2e|%2E|\\.|%25|2e|a|;){0,12}") {
        if let Ok(target) = target(&format!("http://h.example/{path}")) {
            let mut text = target.path_and_query().to_owned();
            for _ in 0..12 {
                for segment in text.split('/') {
                    let name = segment.split(';').next().unwrap();
                    prop_assert!(name != ".." && name != ".", "{}", target);
                }
                text = text.replace("%2e", ".").replace("%2E", ".").replace("%25", "%");
            }
        }
    }
}

/// A plain reading of the reference, by hand and with none of the code above: a server and a path that are written in
/// the way in which people write them, lower case and without anything to be decoded.
fn plainly_allowed(pattern: &str, url: &str) -> bool {
    fn parts(text: &str) -> (String, String, String) {
        let (scheme, rest) = text.split_once("://").unwrap();
        let at = rest.find('/').unwrap_or(rest.len());
        let (server, path) = (&rest[..at], &rest[at..]);
        let path = path.split('?').next().unwrap();
        let port = if scheme == "https" { ":443" } else { ":80" };
        let server = server.strip_suffix(port).unwrap_or(server);
        let path = if path.is_empty() { "/" } else { path };
        (scheme.to_owned(), server.to_owned(), path.to_owned())
    }
    let (scheme, server, path) = parts(pattern);
    let (its_scheme, its_server, its_path) = parts(url);
    let is_address = its_server.starts_with(|c: char| c.is_ascii_digit());
    let servers = match server.strip_prefix('*') {
        Some(below) => {
            // The port is part of the server: what ends with `.example.com:8080` has that port.
            !is_address && its_server.len() > below.len() && its_server.ends_with(below)
        }
        None => server == its_server,
    };
    let paths = match path.strip_suffix('*') {
        Some(below) => its_path.starts_with(below),
        None => path == its_path,
    };
    scheme == its_scheme && servers && paths
}

fn servers(wildcard: bool) -> impl Strategy<Value = String> {
    let names = [
        "example.com",
        "a.example.com",
        "b.a.example.com",
        "xexample.com",
        "example.com.evil.org",
        "10.0.0.1",
        "127.0.0.1",
    ];
    let star = if wildcard {
        vec!["", "", "*."]
    } else {
        vec![""]
    };
    let ports = ["", "", ":443", ":80", ":8080"];
    (
        prop::sample::select(star),
        prop::sample::select(names.to_vec()),
        prop::sample::select(ports.to_vec()),
    )
        .prop_filter("no address stands after `*.`", |(star, name, _)| {
            star.is_empty() || !name.starts_with(|c: char| c.is_ascii_digit())
        })
        .prop_map(|(star, name, port)| format!("{star}{name}{port}"))
}

fn paths(end: &'static [&'static str]) -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["v1", "v10", "v", "V1", "a-b"]);
    (
        prop::collection::vec(part, 0..3),
        prop::sample::select(end.to_vec()),
    )
        // Two slashes in a row are refused.
        .prop_map(|(parts, end)| format!("/{}{end}", parts.join("/")).replace("//", "/"))
}

proptest! {
    #[test]
    fn fuzz_http_patterns_allow_what_a_plain_reading_of_them_allows(
        schemes in prop::sample::select(vec![("https", "https"), ("http", "http"), ("http", "https")]),
        server in servers(true), its_server in servers(false),
        same in any::<bool>(),
        path in paths(&["", "/", "/*"]), its_path in paths(&["", "/", "/x", "?q=/v1/"]),
    ) {
        let its_server = match same && !server.starts_with('*') {
            true => server.clone(),
            false => its_server,
        };
        let pattern = format!("{}://{server}{path}", schemes.0);
        let url = format!("{}://{its_server}{its_path}", schemes.1);
        let read = HttpPattern::new(&pattern).unwrap();
        let allowed = read.matches(&target(&url).unwrap());
        prop_assert_eq!(allowed, plainly_allowed(&pattern, &url), "{} {}", pattern, url);
    }

    #[test]
    fn fuzz_any_text_is_a_pattern_and_a_target_that_mean_their_own_spelling_or_neither(
        text in "(https?://)?[a-z0-9.*:@%/\\\\?#\\[\\]A-Z\\x00-\\x20-]{0,40}",
    ) {
        if let Ok(pattern) = HttpPattern::new(&text) {
            let again = HttpPattern::new(&pattern.to_string()).unwrap();
            prop_assert_eq!(&again, &pattern);
        }
        if let Ok(url) = target(&text) {
            let spelled = [url.scheme().as_str(), "://", &url.authority(), url.path_and_query()];
            let again = target(&spelled.concat()).unwrap();
            prop_assert_eq!(again, url);
        }
    }
}
