//! The registry's client against a server that answers as Confluent's does.

// The helpers are test code too: they say what they expect by unwrapping.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use kenh_broker::registry::{Asked, Registered, RegistryClient, RegistryError};
use kenh_domain::wire::SchemaId;
use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};

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
            asked.send(answer(&mut stream, status, &body)).unwrap();
        }
    });
    (url, requests)
}

/// Reads one request and answers it.
fn answer(stream: &mut (impl Read + Write), status: u16, body: &str) -> Request {
    let mut lines = BufReader::new(&mut *stream).lines().map_while(Result::ok);
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_string();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let given = headers.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization").then(|| value.to_string())
    });
    write!(
        stream,
        "HTTP/1.1 {status} .\r\ncontent-type: application/vnd.schemaregistry.v1+json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    (path, given)
}

fn client(url: &str) -> RegistryClient {
    RegistryClient::new(url, Some("bi-mat"), None).unwrap()
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
    let open = RegistryClient::new(&format!("{url}/"), None, None).unwrap();
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
    for url in ["", "localhost:8081", "ftp://localhost", "http://", "http://u:bi-mat@host", "http://a b", "http://a?b"]
    {
        let error = RegistryClient::new(url, None, None).unwrap_err();
        assert!(matches!(error, RegistryError::Address(_)), "{error:?}");
        assert!(!format!("{error}{error:?}").contains("bi-mat"));
    }
    let error = RegistryClient::new("http://registry.example:8081", Some("bi-mat"), None).unwrap_err();
    assert!(error.to_string().contains("in clear; say https://") && !error.to_string().contains("bi-mat"), "{error}");
    for here in ["http://localhost:1", "http://[::1]:1/apis", "http://[::1]", "http://127.0.0.2"] {
        assert!(RegistryClient::new(here, Some("bi-mat"), None).is_ok(), "{here}");
    }
    let client = RegistryClient::new("http://127.0.0.1:9", None, None).unwrap();
    for subject in ["", "a b", "a?b", "a#b", "a%2Fb", "a\nb", &"x".repeat(257)] {
        assert!(matches!(client.latest(subject), Err(RegistryError::Subject(_))), "{subject:?} was sent");
    }
}

#[test]
fn over_tls_somebody_believed_must_have_vouched_for_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let itself = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (file("cert.pem", itself.cert.pem()), file("key.pem", itself.signing_key.serialize_pem()));
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate_chain_file(&certificate).unwrap();
    acceptor.set_private_key_file(&key, SslFiletype::PEM).unwrap();
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Who does not believe the certificate goes away here.
            let Ok(mut stream) = acceptor.accept(stream.unwrap()) else { continue };
            answer(&mut stream, 200, r#"{"schema":"\"string\""}"#);
            let _ = stream.shutdown();
        }
    });
    let asks = |authorities| RegistryClient::new(&url, Some("bi-mat"), authorities).unwrap().schema(SchemaId(7));
    assert_eq!(asks(Some(&*certificate)).unwrap(), "\"string\"");
    let stranger = file("other.pem", other.cert.pem());
    for authorities in [None, Some(&*stranger)] {
        let error = asks(authorities).unwrap_err();
        assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");
    }
    for (name, text) in
        [("none.pem", ""), ("damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
    {
        let error = RegistryClient::new(&url, None, Some(&*file(name, text.into()))).unwrap_err();
        assert!(matches!(error, RegistryError::Authorities { .. }) && error.to_string().contains(name), "{error:?}");
    }
}
