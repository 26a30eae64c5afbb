//! What a task may ask of the host, against the host of native tests.

use airlock_sdk::{
    capability::{
        CapabilityError, Connection, Mode,
        http::{HttpError, Response},
    },
    prelude::*,
    testing,
};

#[test]
fn what_a_test_did_not_grant_is_denied() {
    assert!(matches!(variable("a"), Err(CapabilityError::Denied(_))));
    assert!(matches!(connection("a"), Err(CapabilityError::Denied(_))));
    assert!(matches!(directory("a"), Err(CapabilityError::Denied(_))));
    assert!(matches!(
        http::get("http://a/").send(),
        Err(HttpError::Denied(_))
    ));
}

#[test]
fn a_denial_prints_the_hosts_text_and_keeps_its_kind() {
    let error = || -> Result<()> {
        variable("a")?;
        Ok(())
    }()
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("this test grants no variable `a`"),
        "{error}"
    );
    assert!(matches!(
        error.downcast_ref(),
        Some(CapabilityError::Denied(_))
    ));
}

#[test]
fn variables_are_texts_or_json_or_absent() {
    testing::variable("text", Some("abc"));
    testing::variable("list", Some("[1, 2]"));
    testing::variable("absent", None);
    assert_eq!(variable("text").unwrap().as_deref(), Some("abc"));
    assert_eq!(variable_json::<Vec<u8>>("list").unwrap(), Some(vec![1, 2]));
    assert_eq!(variable_json::<u8>("absent").unwrap(), None);
    assert_eq!(variable_or("absent", "else").unwrap(), "else");
    let error = variable_json::<u8>("text").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("variable `text` is no `u8`: "),
        "{error}"
    );
}

#[test]
fn a_connection_gives_its_base_url_and_extra_but_never_prints_its_password() {
    let mut found = Connection {
        id: "api".to_owned(),
        host: Some("api.example".to_owned()),
        port: Some(8443),
        schema: Some("https".to_owned()),
        password: Some("hunter2".to_owned()),
        extra: Some(r#"{"version": 2, "token": "hunter2"}"#.to_owned()),
        ..Connection::default()
    };
    testing::connection("api", Some(found.clone()));
    assert_eq!(
        connection("api").unwrap().unwrap().base_url().unwrap(),
        "https://api.example:8443"
    );
    #[derive(serde::Deserialize)]
    struct Extra {
        version: u8,
    }
    assert_eq!(found.extra::<Extra>().unwrap().version, 2);
    assert!(!format!("{found:?}").contains("hunter2"));
    (found.host, found.port) = (Some("http://127.0.0.1/".to_owned()), None);
    assert_eq!(found.base_url().unwrap(), "http://127.0.0.1");
    (found.host, found.extra) = (None, None);
    assert_eq!(
        found.base_url().unwrap_err().to_string(),
        "connection `api` has no host"
    );
    assert!(found.extra::<Extra>().is_err());
}

#[test]
fn a_directory_is_where_the_test_says() {
    testing::directory("reports", "/tmp/reports", Mode::ReadWrite);
    let reports = directory("reports").unwrap();
    assert_eq!(reports.join("a.json").to_str(), Some("/tmp/reports/a.json"));
    assert_eq!(reports.mode, Mode::ReadWrite);
}

#[test]
fn xcoms_are_pulled_from_where_they_lie_and_pushed_as_json() {
    testing::xcom(xcom::of("load"), 7);
    testing::xcom(
        xcom::of("load")
            .key("rows")
            .run("weekly", "run")
            .map_index(2),
        [1, 2],
    );
    assert_eq!(xcom::pull::<u8>("load").unwrap(), Some(7));
    assert_eq!(xcom::pull::<u8>("other").unwrap(), None);
    let far = xcom::of("load")
        .key("rows")
        .run("weekly", "run")
        .map_index(2);
    assert_eq!(far.pull::<Vec<u8>>().unwrap(), Some(vec![1, 2]));
    assert!(
        far.pull::<u8>()
            .unwrap_err()
            .to_string()
            .contains("XCom `rows` of task `load` is no `u8`")
    );
    xcom::push("rows", &vec!["a"]).unwrap();
    assert_eq!(
        testing::pushed(),
        [("rows".to_owned(), "[\"a\"]".to_owned())]
    );
}

#[test]
fn a_request_is_answered_by_the_test() {
    testing::http(|request| {
        assert_eq!(
            (request.method(), request.url()),
            ("POST", "https://api.example/v1?x=1")
        );
        assert_eq!(
            request.header_value("Content-Type"),
            Some(b"application/json".as_slice())
        );
        let headers = vec![("content-type".to_owned(), b"application/json".to_vec())];
        Ok(Response {
            status: 201,
            headers,
            body: request.body_bytes().to_vec(),
        })
    });
    let send = || {
        http::post("https://api.example/v1?x=1")
            .json(&[1, 2])
            .unwrap()
    };
    let response = send().send().unwrap().ok().unwrap();
    assert_eq!(response.json::<Vec<u8>>().unwrap(), [1, 2]);
    assert_eq!(response.text().unwrap(), "[1,2]");
    assert_eq!(
        response.header("CONTENT-TYPE"),
        Some(b"application/json".as_slice())
    );
    assert!(response.json::<String>().is_err());
    assert_eq!(
        send().max_body(4).send(),
        Err(HttpError::TooLarge { limit: 4 })
    );
}

#[test]
fn a_response_that_is_no_success_is_an_error_with_its_text() {
    testing::http(|_| {
        Ok(Response {
            status: 404,
            headers: Vec::new(),
            body: b"no such page\n".to_vec(),
        })
    });
    let response = http::get("http://a/").send().unwrap();
    assert_eq!(
        response.ok().unwrap_err().to_string(),
        "the server answered 404: no such page"
    );
}
