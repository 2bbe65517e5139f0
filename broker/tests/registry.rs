//! The registry's client against a server that answers as Confluent's does.

// The helpers are test code too: they say what they expect by unwrapping.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use kenh_broker::registry::{Asked, Registered, RegistryClient, RegistryError};
use kenh_domain::wire::SchemaId;

/// What the server was asked: path, authorisation.
type Request = (String, Option<String>);

/// A server that gives `answers` (status, body) to one request each, in order, and then closes.
fn serve(answers: &[(u16, &str)]) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers: Vec<(u16, String)> = answers.iter().map(|(status, body)| (*status, (*body).to_string())).collect();
    let (asked, requests) = channel();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_string();
            let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let given = headers.iter().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("authorization").then(|| value.to_string())
            });
            asked.send((path, given)).unwrap();
            write!(
                stream,
                "HTTP/1.1 {status} .\r\ncontent-type: application/vnd.schemaregistry.v1+json\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
    });
    (url, requests)
}

fn client(url: &str) -> RegistryClient {
    RegistryClient::new(url, Some("bi-mat")).unwrap()
}

#[test]
fn a_schema_is_asked_for_by_id_with_the_token_as_password() {
    let (url, requests) = serve(&[(200, r#"{"schema":"\"string\""}"#)]);
    assert_eq!(client(&url).schema(SchemaId(7)).unwrap(), "\"string\"");
    let (path, given) = requests.recv().unwrap();
    assert_eq!(path.split('?').next(), Some("/schemas/ids/7"));
    // kenh:bi-mat
    assert_eq!(given.as_deref(), Some("Basic a2VuaDpiaS1tYXQ="));
}

#[test]
fn the_latest_schema_of_a_subject_comes_with_id_and_version() {
    let body = r#"{"subject":"data.dan-cu-value","version":3,"id":12,"schemaType":"AVRO","schema":"\"long\""}"#;
    let (url, requests) = serve(&[(200, body), (200, body)]);
    let expected = Registered { id: SchemaId(12), version: Some(3), schema: "\"long\"".into() };
    assert_eq!(client(&url).latest("data.dan-cu-value").unwrap(), expected);
    assert_eq!(requests.recv().unwrap().0, "/subjects/data.dan-cu-value/versions/latest");
    let open = RegistryClient::new(&format!("{url}/"), None).unwrap();
    assert_eq!(open.latest("data.dan-cu-value").unwrap(), expected);
    assert_eq!(requests.recv().unwrap(), ("/subjects/data.dan-cu-value/versions/latest".into(), None));
}

#[test]
fn what_is_missing_is_named() {
    let schema = r#"{"error_code":40403,"message":"Schema 7 not found"}"#;
    let subject = r#"{"error_code":40401,"message":"Subject 'x' not found."}"#;
    let (url, _requests) = serve(&[(404, schema), (404, subject)]);
    let error = client(&url).schema(SchemaId(7)).unwrap_err();
    assert!(matches!(&error, RegistryError::Missing { asked: Asked::Schema(SchemaId(7)), code: 40403 }), "{error:?}");
    assert!(error.to_string().contains("schema 7 (error code 40403)") && !error.may_pass(), "{error}");
    let error = client(&url).latest("x").unwrap_err();
    assert!(matches!(&error, RegistryError::Missing { asked: Asked::Latest(s), code: 40401 } if s == "x"), "{error:?}");
}

#[test]
fn a_refused_token_is_no_missing_schema_and_stays_secret() {
    for (status, body) in [(401, r#"{"error_code":401,"message":"Unauthorized"}"#), (403, "no JSON")] {
        let (url, _requests) = serve(&[(status, body)]);
        let client = client(&url);
        let error = client.schema(SchemaId(7)).unwrap_err();
        assert!(matches!(error, RegistryError::Denied { .. }), "{error:?}");
        assert!(!format!("{error}{error:?}{client:?}").contains("bi-mat"));
    }
}

#[test]
fn what_may_pass_is_told_from_what_does_not() {
    let unavailable = r#"{"error_code":50003,"message":"Error while forwarding the request to the primary."}"#;
    for (status, body) in [(503, "busy"), (500, unavailable), (429, "{}")] {
        let (url, _requests) = serve(&[(status, body)]);
        let error = client(&url).schema(SchemaId(1)).unwrap_err();
        assert!(error.may_pass(), "{status}: {error:?}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(client(&format!("http://{closed}")).schema(SchemaId(1)).unwrap_err().may_pass());
    for (status, body) in [(200, "<html>"), (200, "{}"), (422, r#"{"error_code":42201,"message":"Invalid"}"#)] {
        let (url, _requests) = serve(&[(status, body)]);
        let error = client(&url).schema(SchemaId(1)).unwrap_err();
        assert!(matches!(error, RegistryError::Failed { .. }) && !error.may_pass(), "{status}: {error:?}");
    }
    let (url, _requests) = serve(&[(200, r#"{"schemaType":"PROTOBUF","schema":"syntax"}"#)]);
    let error = client(&url).schema(SchemaId(1)).unwrap_err();
    assert!(matches!(error, RegistryError::NotAvro { .. }), "{error:?}");
}

#[test]
fn a_schema_is_registered_under_its_id_and_the_answer_is_given_as_it_is() {
    let closed = r#"{"error_code":42205,"message":"Subject x is not in import mode"}"#;
    let (url, requests) = serve(&[(200, r#"{"id":7}"#), (200, r#"{"id":1}"#), (422, closed), (200, "{}")]);
    let register = || client(&url).register("x", 2, SchemaId(7), "\"string\"");
    assert_eq!(register().unwrap(), SchemaId(7));
    assert_eq!(requests.recv().unwrap().0, "/subjects/x/versions");
    // One that gives ids itself.
    assert_eq!(register().unwrap(), SchemaId(1));
    let error = register().unwrap_err();
    let asked = Asked::Register(SchemaId(7), "x".into());
    assert!(matches!(&error, RegistryError::NotImporting { asked: a } if *a == asked), "{error:?}");
    assert!(!error.may_pass());
    assert!(matches!(register(), Err(RegistryError::Failed { .. })));
    assert!(matches!(client(&url).register("a b", 1, SchemaId(7), ""), Err(RegistryError::Subject(_))));
}

#[test]
fn an_address_or_subject_that_cannot_be_is_refused_before_anything_is_sent() {
    for url in
        ["", "localhost:8081", "https://localhost", "http://", "http://u:bi-mat@host", "http://a b", "http://a?b"]
    {
        let error = RegistryClient::new(url, None).unwrap_err();
        assert!(matches!(error, RegistryError::Address(_)), "{error:?}");
        assert!(!format!("{error}{error:?}").contains("bi-mat"));
    }
    let client = RegistryClient::new("http://127.0.0.1:9", None).unwrap();
    for subject in ["", "a b", "a?b", "a#b", "a%2Fb", "a\nb", &"x".repeat(257)] {
        assert!(matches!(client.latest(subject), Err(RegistryError::Subject(_))), "{subject:?} was sent");
    }
}
