//! What a listener of a node answers, to everything that there is to ask. Who asks is the listener's business: it is one
//! parameter, with the canaries that its caller may see in schemas.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

use super::reach::Piece;
use crate::harness::until;

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub body: Vec<u8>,
}

/// An answer: status, headers and body as one text behind it.
pub struct Answer {
    pub status: u16,
    pub bytes: Vec<u8>,
}

/// A listener as one caller meets it.
pub type Listener<'a> = dyn Fn(&Ask) -> Answer + 'a;

/// The listener at `url` as whoever shows this for `Authorization` meets it.
pub fn listener(url: String, authorization: Option<String>) -> impl Fn(&Ask) -> Answer {
    through(ureq::Agent::config_builder(), url, authorization)
}

/// The agencies' listener at `url` as whoever shows a certificate meets it, who waits when told to.
pub fn agency(url: String, identity: &BTreeMap<String, String>) -> impl Fn(&Ask) -> Answer {
    let pem = |key: &str| std::fs::read(&identity[key]).unwrap();
    let chain = [Certificate::from_pem(&pem("ssl.certificate.location")).unwrap()];
    let key = PrivateKey::from_pem(&pem("ssl.key.location")).unwrap();
    let authority = Certificate::from_pem(&pem("ssl.ca.location")).unwrap();
    let tls = TlsConfig::builder()
        .client_cert(Some(ClientCert::new_with_certs(&chain, key)))
        .root_certs(RootCerts::new_with_certs(&[authority]))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let asks = through(ureq::Agent::config_builder().tls_config(tls.build()), url, None);
    move |ask| until("the rate to allow it", || Some(asks(ask)).filter(|answer| answer.status != 429))
}

fn through(config: ConfigBuilder<AgentScope>, url: String, authorization: Option<String>) -> impl Fn(&Ask) -> Answer {
    let config = config.http_status_as_error(false).proxy(None).timeout_global(Some(Duration::from_secs(60)));
    let agent: ureq::Agent = config.build().into();
    move |ask| {
        let mut request = ureq::http::Request::builder().method(ask.method).uri(format!("{url}{}", ask.path));
        if let Some(authorization) = &authorization {
            request = request.header("Authorization", authorization);
        }
        let answer = match ask.body.as_slice() {
            [] => agent.run(request.body(()).unwrap()),
            body => agent.run(request.body(body.to_vec()).unwrap()),
        };
        let mut answer = match answer {
            // Whoever is refused for the size of his request may be cut off before he has sent it all.
            Err(ureq::Error::Io(_)) if ask.body.len() > 1 << 20 => return Answer { status: 413, bytes: vec![b'\n'] },
            answer => answer.unwrap(),
        };
        let mut bytes = format!("{:?}\n", answer.headers()).into_bytes();
        bytes.extend(answer.body_mut().with_config().limit(256 << 20).read_to_vec().unwrap());
        Answer { status: answer.status().as_u16(), bytes }
    }
}

/// The agency whose listener, or whose copy, is asked, and its dataset.
const OWN: &str = "/v1/views/H29/ho-so";
const SUBJECT: &str = "/subjects/view.H29.ho-so.main.1-value";

fn get(path: impl Into<String>) -> Ask {
    Ask { method: "GET", path: path.into(), body: Vec::new() }
}

fn post(path: impl Into<String>, body: impl ToString) -> Ask {
    Ask { method: "POST", path: path.into(), body: body.to_string().into_bytes() }
}

/// Asks, and takes what is answered as a piece.
fn piece(ask: &Ask, listener: &Listener<'_>) -> (u16, Piece) {
    let Answer { status, bytes } = listener(ask);
    (status, Piece::new(format!("{} {}", ask.method, ask.path), bytes))
}

/// Everything that a caller gets who asks for everything; `in_schemas` are the canaries that he may see in schemas other
/// than his own view's, `in_offers` those in the catalogue.
pub fn dump(
    listener: &Listener<'_>,
    in_schemas: &'static [&'static str],
    in_offers: &'static [&'static str],
) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for path in ["/health/live", "/health/ready", "/metrics", "/v1/status", "/", "/contexts", "/subjects"] {
        pieces.push(piece(&get(path), listener).1);
    }
    pieces.push(piece(&get("/v1/catalog"), listener).1.may(in_offers));
    pieces.extend(views(listener));
    pieces.extend(schemas(listener, in_schemas));
    pieces.extend(refusals(listener, |wanted, status| status == wanted));
    pieces
}

/// The same for the recipient at the agencies' listener: no canary but in what is on offer. What operators ask, and every
/// subject, view and copy of others, is refused.
pub fn dump_as_recipient(listener: &Listener<'_>, in_offers: &'static [&'static str]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for path in ["/health/live", "/health/ready", "/", "/contexts", "/subjects"] {
        pieces.push(piece(&get(path), listener).1);
    }
    let of_others = ["/subjects/ho-so-value/versions", "/subjects/view.G12.ho-so.main.1-value/versions"];
    for path in ["/metrics", "/v1/status", "/v1/log", "/v1/views/G12/ho-so"].into_iter().chain(of_others) {
        let (status, piece) = piece(&get(path), listener);
        assert!((400..500).contains(&status), "{}: {status}", piece.place);
        pieces.push(piece);
    }
    pieces.push(piece(&get("/v1/catalog"), listener).1.may(in_offers));
    pieces.extend(views(listener));
    pieces.extend(schemas(listener, &[]));
    // What an operator is told of a subject of others, nobody tells him: each is refused all the same.
    pieces.extend(refusals(listener, |wanted, status| {
        status == wanted || (wanted != 200 && (400..500).contains(&status))
    }));
    for piece in &mut pieces {
        piece.place = format!("h29-portal: {}", piece.place);
    }
    pieces
}

/// What somebody is told who shows no token.
pub fn refused_without_token(url: String) -> Piece {
    let (status, piece) = piece(&get("/v1/status"), &listener(url, None));
    assert_eq!(status, 401);
    Piece { place: format!("{} without a token", piece.place), ..piece }
}

fn views(listener: &Listener<'_>) -> Vec<Piece> {
    let mut asks: Vec<Ask> =
        ["?limit=1000", "/digest", "/export?format=jsonl", "/export?format=csv", "/export?format=avro"]
            .map(|rest| get(format!("{OWN}{rest}")))
            .into();
    // Keys and a filter of what he may not see: he knows them, and learns nothing by asking.
    asks.push(post(format!("{OWN}/lookup"), json!({"keys": ["a", "b", "CHIMYEN-so"]})));
    asks.push(post(format!("{OWN}/search"), json!({"filter": "So == \"CHIMYEN-so\""})));
    asks.iter()
        .map(|ask| {
            let (status, piece) = piece(ask, listener);
            assert_eq!(status, 200, "{}: {}", piece.place, String::from_utf8_lossy(&piece.bytes));
            piece
        })
        .collect()
}

/// Every id from 1 to 1000, and every version of every subject.
pub fn schemas(listener: &Listener<'_>, may: &'static [&'static str]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    // His own view's schema shows no canary to anybody.
    let own = listener(&get(format!("{SUBJECT}/versions/latest/schema"))).bytes;
    let body = |bytes: &[u8]| bytes[bytes.iter().position(|b| *b == b'\n').unwrap()..].to_vec();
    let mut found = 0;
    for id in 1..=1_000 {
        let (status, first) = piece(&get(format!("/schemas/ids/{id}/schema")), listener);
        let may = if body(&first.bytes) == body(&own) { &[] } else { may };
        pieces.push(first.may(may));
        if status == 200 {
            found += 1;
            for more in ["", "/subjects", "/versions"] {
                pieces.push(piece(&get(format!("/schemas/ids/{id}{more}")), listener).1.may(may));
            }
        }
    }
    assert!(found > 0, "there is no schema at all");
    let listed = listener(&get("/subjects?deleted=true")).bytes;
    let subjects: Vec<String> = serde_json::from_slice(&body(&listed)).unwrap();
    for subject in &subjects {
        let may = if subject.starts_with("view.") { &[] } else { may };
        for rest in ["/versions", "/versions/latest", "/versions/1", "/versions/1/schema", "/versions/1/referencedby"] {
            pieces.push(piece(&get(format!("/subjects/{subject}{rest}")), listener).1.may(may));
        }
        for about in ["config", "mode"] {
            pieces.push(piece(&get(format!("/{about}/{subject}")), listener).1);
        }
    }
    pieces.push(piece(&get("/schemas?deleted=true"), listener).1.may(may));
    pieces.push(piece(&get("/schemas/types"), listener).1);
    pieces
}

/// Every refusal that can be provoked from outside, each with the status that shows that it was. What he sent himself may
/// come back to him, and to nobody else.
fn refusals(listener: &Listener<'_>, as_wanted: impl Fn(u16, u16) -> bool) -> Vec<Piece> {
    const ASKED: &[&str] = &["asked"];
    let schema = |fields: Value| {
        let schema = json!({"type": "record", "name": "X", "doc": "CHIMYEN-asked", "fields": fields});
        json!({"schema": schema.to_string()})
    };
    let other = schema(json!([{"name": "So", "type": "int"}]));
    let with = |method, path: &str, body: &str| Ask { method, path: path.into(), body: body.as_bytes().to_vec() };
    let asks = [
        (400, get(format!("{OWN}?limit=many"))),
        (400, get(format!("{OWN}/export?format=xml"))),
        (400, post(format!("{OWN}/lookup"), json!({"key": "CHIMYEN-asked"}))),
        (400, post(format!("{OWN}/search"), "{\"filter\": CHIMYEN-asked")),
        (404, get(format!("{OWN}?view=khac"))),
        (404, get("/v1/views/G12/ho-so")),
        (404, get("/v1/views/X99/ho-so")),
        (405, with("DELETE", OWN, "")),
        (410, get(format!("{OWN}?after=0123456789abcdef"))),
        (413, post("/subjects/x-value/versions", "CHIMYEN-asked".repeat(100_000))),
        (422, post(format!("{OWN}/search"), json!({"filter": "Ten == \"CHIMYEN-asked\""}))),
        (422, post(format!("{OWN}/search"), json!({"filter": "So == CHIMYEN-asked"}))),
        (404, get("/subjects/x-value/versions")),
        (404, get(format!("{SUBJECT}/versions/99"))),
        (422, get(format!("{SUBJECT}/versions/khong"))),
        (404, get("/schemas/ids/999999")),
        (404, get("/khong-co")),
        (422, post(format!("{SUBJECT}/versions"), json!({"schema": "CHIMYEN-asked"}))),
        (409, post(format!("{SUBJECT}/versions"), &other)),
        (403, post("/subjects/x-value/versions", &other)),
        (200, post(format!("/compatibility{SUBJECT}/versions/latest"), &other)),
        (405, with("DELETE", SUBJECT, "")),
        (405, with("PUT", "/config", "{\"compatibility\":\"NONE\"}")),
        (405, with("PUT", "/mode", "{\"mode\":\"IMPORT\"}")),
    ];
    asks.iter()
        .map(|(wanted, ask)| {
            let (status, piece) = piece(ask, listener);
            let said = String::from_utf8_lossy(&piece.bytes);
            assert!(as_wanted(*wanted, status), "{}: {status} and not {wanted}: {said}", piece.place);
            piece.may(ASKED)
        })
        .collect()
}
