//! What connections mean, by table.

use airlock_model::id::ConnectionId;

use super::*;

const PASSWORD: &str = "hunter2+hunter2";

fn connection(host: &str, extra: &str) -> Connection {
    Connection {
        id: ConnectionId::new("api").unwrap(),
        conn_type: "http".into(),
        description: None,
        host: Some(host.into()),
        port: None,
        login: None,
        password: Some(Sensitive::new(PASSWORD)),
        schema: None,
        extra: (!extra.is_empty()).then(|| Sensitive::new(extra)),
    }
}

fn applied(connection: &Connection, url: &str) -> Request<()> {
    let login = Login::of(connection).unwrap();
    let mut request = Request::builder()
        .uri(url)
        .header("authorization", "Bearer own")
        .header("authorization", "Bearer another")
        .header("x-key", "own")
        .header("accept-encoding", "gzip")
        .body(())
        .unwrap();
    login.apply(&mut request).unwrap();
    assert_eq!(request.headers()["accept-encoding"], "identity");
    request
}

#[test]
fn a_connection_is_for_its_own_server_alone() {
    let target = |url: &str| HttpTarget::parse("POST", url).unwrap();
    for (host, port, schema, own, others) in [
        (
            "api.example",
            None,
            None,
            "https://api.example/v1?x=1",
            [
                "http://api.example/",
                "https://api.example:8443/",
                "https://api.example.evil.example/",
            ],
        ),
        (
            "API.example",
            Some(8443),
            Some("https"),
            "https://api.example:8443/",
            [
                "https://api.example/",
                "http://api.example:8443/",
                "https://v1.api.example:8443/",
            ],
        ),
        (
            "http://10.0.0.5/",
            Some(8080),
            Some("https"),
            "http://10.0.0.5:8080/",
            [
                "https://10.0.0.5:8080/",
                "http://10.0.0.5/",
                "http://10.0.0.50:8080/",
            ],
        ),
    ] {
        let mut connection = connection(host, "");
        connection.port = port;
        connection.schema = schema.map(str::to_owned);
        let login = Login::of(&connection).unwrap();
        assert!(login.is_for(&target(own)), "{host}");
        for other in others {
            assert!(!login.is_for(&target(other)), "{host} {other}");
        }
    }
}

#[test]
fn each_kind_of_login_takes_the_place_of_what_the_bundle_said() {
    let all = |request: &Request<()>, name: &str| -> Vec<String> {
        let values = request.headers().get_all(name).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    };
    let own = ["Bearer own", "Bearer another"];
    let bearer = format!("Bearer {PASSWORD}");
    let url = "https://api.example/v1?day=1";
    let token = applied(&connection("api.example", ""), url);
    assert_eq!(all(&token, "authorization"), std::slice::from_ref(&bearer));
    let said = applied(
        &connection("api.example", r#"{"auth":{"kind":"bearer"}}"#),
        url,
    );
    assert_eq!(all(&said, "authorization"), [bearer]);

    let mut with_login = connection("api.example", "");
    with_login.login = Some("ann".into());
    let basic = applied(&with_login, url);
    let expected = format!("Basic {}", STANDARD.encode(format!("ann:{PASSWORD}")));
    assert_eq!(all(&basic, "authorization"), [expected]);

    let header = r#"{"auth":{"kind":"header","name":"X-Key"},"of another program":1}"#;
    let header = applied(&connection("api.example", header), url);
    assert_eq!(all(&header, "x-key"), [PASSWORD]);
    assert_eq!(all(&header, "authorization"), own);
    assert!(header.headers()["x-key"].is_sensitive());

    let query = connection(
        "api.example",
        r#"{"auth":{"kind":"query","name":"api_key"}}"#,
    );
    let asked = applied(&query, url);
    assert_eq!(asked.uri().query(), Some("day=1&api_key=hunter2%2Bhunter2"));
    assert_eq!(all(&asked, "authorization"), own);
    let asked = applied(&query, "https://api.example/v1");
    assert_eq!(asked.uri().query(), Some("api_key=hunter2%2Bhunter2"));
    // Which of two would a server believe?
    for twice in [
        "api_key=own",
        "a=1&api%5Fkey=own",
        "a=1;API_KEY=own",
        "api_key",
    ] {
        let uri = format!("https://api.example/v1?{twice}");
        let mut request = Request::builder().uri(uri).body(()).unwrap();
        let login = Login::of(&query).unwrap();
        assert_eq!(
            login.apply(&mut request),
            Err("api_key".to_owned()),
            "{twice}"
        );
    }

    let none = applied(
        &connection("api.example", r#"{"auth":{"kind":"none"}}"#),
        url,
    );
    assert_eq!(all(&none, "authorization"), own);
}

#[test]
fn what_cannot_be_used_says_why_and_nothing_of_what_it_holds() {
    let with = |change: fn(&mut Connection), extra: &str| {
        let mut connection = connection("api.example", extra);
        change(&mut connection);
        let error = Login::of(&connection).map(drop).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        error
    };
    let as_is: fn(&mut Connection) = |_| {};
    for (change, extra, expected) in [
        (
            (|c| c.host = None) as fn(&mut Connection),
            "",
            LoginError::NoHost,
        ),
        (|c| c.host = Some(String::new()), "", LoginError::NoHost),
        (
            |c| c.host = Some("api.example/v1".into()),
            "",
            LoginError::Address,
        ),
        (
            |c| c.host = Some("user@api.example".into()),
            "",
            LoginError::Address,
        ),
        (|c| c.host = Some("0x7f.1".into()), "", LoginError::Address),
        (|c| c.schema = Some("ftp".into()), "", LoginError::Address),
        (as_is, "hunter2", LoginError::Extra),
        (as_is, r#"{"auth":{"kind":"magic"}}"#, LoginError::Extra),
        (
            as_is,
            r#"{"auth":{"kind":"basic","hunter2":1}}"#,
            LoginError::Extra,
        ),
        (
            as_is,
            r#"{"auth":{"kind":"basic"}}"#,
            LoginError::Incomplete,
        ),
        (
            |c| c.password = None,
            r#"{"auth":{"kind":"bearer"}}"#,
            LoginError::Incomplete,
        ),
        (|c| c.login = Some("a:b".into()), "", LoginError::Characters),
        (
            |c| c.password = Some(Sensitive::new("a\r\nx-evil: 1")),
            "",
            LoginError::Characters,
        ),
        (
            as_is,
            r#"{"auth":{"kind":"header","name":"a b"}}"#,
            LoginError::Name,
        ),
        (
            as_is,
            r#"{"auth":{"kind":"header","name":"Host"}}"#,
            LoginError::Name,
        ),
        (
            as_is,
            r#"{"auth":{"kind":"header","name":"content-length"}}"#,
            LoginError::Name,
        ),
        (
            as_is,
            r#"{"auth":{"kind":"query","name":""}}"#,
            LoginError::Name,
        ),
        (
            as_is,
            r#"{"tls":{"certificate":"hunter2","key":"hunter2"}}"#,
            LoginError::Tls,
        ),
        (as_is, r#"{"tls":{"ca":""}}"#, LoginError::Tls),
    ] {
        assert_eq!(with(change, extra), expected, "{extra}");
    }
}
