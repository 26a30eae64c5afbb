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
