//! HTTP over TLS: what a system of an agency, and an operator elsewhere, is answered, and everybody who is neither.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use kenh_testkit::kafka::Cluster;
use serde_json::{Value, json};

use crate::certificates::{Authority, Client, Identity, Reply};
use crate::founded::new_key;
use crate::harness::{PATIENCE, Place, Up, finish, repository, until};
use crate::node::{UNITS, key, place, produce};

const APICURIO: &str = "/apis/registry/v3";

/// The part of the configuration that opens both listeners.
fn listening(authority: &Authority<'_>, node: &Identity, on: &str) -> String {
    format!(
        "http:\n  agencies: {on}\n  operators: {on}\n  certificate: {}\n  key: {}\n  authorities: {}\n",
        node.certificate.display(),
        node.key.display(),
        authority.certificate().display()
    )
}

/// A node that serves over TLS too.
fn serve<'a>(place: &'a Place, authority: &Authority<'_>, copies: &[&str]) -> Up<'a> {
    let node = authority.enrol("kenh-serve", &["127.0.0.1"]);
    Up::start_configured(place, copies, &listening(authority, &node, "127.0.0.1:0"), |_| ())
}

fn admit(place: &Place, system: &str, serials: &[&str]) {
    place.kenh(["enroll", "admit", system].iter().chain(serials)).ok();
}

/// A connection of a system whose first certificate is in force.
fn come(place: &Place, authority: &Authority<'_>, up: &Up<'_>, system: &str) -> Client {
    let me = authority.enrol(system, &[]);
    admit(place, system, &["1"]);
    Client::connect(&up.listens("http.agencies"), authority, Some(&me)).unwrap()
}

/// Asks as often as it may.
fn calmly(client: &mut Client, method: &str, target: &str, body: &str) -> Reply {
    until("the rate to allow it", || {
        let reply = client.ask(method, target, body).unwrap();
        (reply.status != 429).then_some(reply)
    })
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, &reply.json()["error"]), (status, &json!(code)));
}

#[test]
fn each_system_sees_its_own_subjects_and_all_others_do_not_exist() {
    let place = Place::with_shipped_applied();
    let authority = Authority::new(&place, "ca");
    let up = serve(&place, &authority, &[]);
    let everything = up.get("/schemas").json();
    let entries = everything.as_array().unwrap();
    let text = |of: &Value, name: &str| of[name].as_str().unwrap().to_owned();
    for (system, own) in [
        ("h29-portal", &["view.H29.dan-cu.main.1-value", "view.H29.don-vi-hanh-chinh.main.1-value"][..]),
        // A system that one of its agency's two grants does not name.
        ("h29-lgsp", &["view.H29.don-vi-hanh-chinh.main.1-value"]),
        (
            "g01-portal",
            &[
                "dan-cu-value",
                "in.dan-cu.G01-value",
                "kenh.SubmissionEnd",
                "view.G01.dan-cu.main.1-value",
                "view.G01.don-vi-hanh-chinh.main.1-value",
            ],
        ),
        ("g01-source", &["dan-cu-value", "in.dan-cu.G01-value", "kenh.SubmissionEnd"]),
    ] {
        let mut client = come(&place, &authority, &up, system);
        assert_eq!(client.get("/subjects").json(), json!(own), "{system}");
        assert_eq!(client.get("/subjects?deleted=true").json(), json!(own), "{system}");
        let seen: BTreeSet<_> =
            client.get("/schemas").json().as_array().unwrap().iter().map(|e| text(e, "subject")).collect();
        assert_eq!(seen, own.iter().map(|s| (*s).to_owned()).collect(), "{system}");
        let ids: BTreeSet<_> = entries
            .iter()
            .filter(|e| own.contains(&e["subject"].as_str().unwrap()))
            .map(|e| e["id"].to_string())
            .collect();
        for entry in entries {
            let (subject, id) = (text(entry, "subject"), entry["id"].to_string());
            let schema = json!({ "schema": entry["schema"] }).to_string();
            let content = json!({ "content": { "content": entry["schema"] } }).to_string();
            // Names of nobody, as long as these.
            let nobody = format!("z{}", &subject[1..]);
            let no_id = "x".repeat(id.len());
            let by_subject = [
                ("GET", format!("/subjects/{subject}/versions"), ""),
                ("GET", format!("/subjects/{subject}/versions/latest"), ""),
                ("GET", format!("/subjects/{subject}/versions/1/schema"), ""),
                ("GET", format!("/config/{subject}"), ""),
                ("GET", format!("/mode/{subject}"), ""),
                ("POST", format!("/subjects/{subject}"), &schema),
                ("POST", format!("/subjects/{subject}/versions"), &schema),
                ("POST", format!("/compatibility/subjects/{subject}/versions"), &schema),
                ("POST", format!("/compatibility/subjects/{subject}/versions/1"), &schema),
                ("GET", format!("{APICURIO}/groups/default/artifacts/{subject}/versions/1/content"), ""),
                ("POST", format!("{APICURIO}/groups/default/artifacts/{subject}/versions?dryRun=true"), &content),
            ];
            for (method, target, body) in by_subject {
                let reply = calmly(&mut client, method, &target, body);
                if own.contains(&subject.as_str()) {
                    assert_eq!(reply.status, 200, "{system} {method} {target} {}", reply.body);
                    continue;
                }
                let mut unknown = calmly(&mut client, method, &target.replace(&subject, &nobody), body);
                assert!([403, 404].contains(&unknown.status), "{unknown:?}");
                unknown.body = unknown.body.replace(&nobody, &subject);
                assert_eq!(reply, unknown, "{system} {method} {target}");
            }
            let contents = format!("{APICURIO}/ids/contentIds/");
            let by_id = ["", "/schema", "/versions", "/subjects"].map(|end| ("/schemas/ids/", end));
            for (path, end) in by_id.into_iter().chain([(contents.as_str(), "")]) {
                let reply = calmly(&mut client, "GET", &format!("{path}{id}{end}"), "");
                if ids.contains(&id) {
                    assert_eq!(reply.status, 200, "{system} {path}{id}{end}");
                    assert!(!reply.body.contains("view.G12"), "{system} {path}{id}{end}: {}", reply.body);
                    continue;
                }
                let mut unknown = calmly(&mut client, "GET", &format!("{path}{no_id}{end}"), "");
                assert_eq!(unknown.status, 404);
                unknown.body = unknown.body.replace(&no_id, &id);
                assert_eq!(reply, unknown, "{system} {path}{id}{end}");
            }
        }
        // What is not released is refused with the way to propose it.
        let other = json!({ "schema": r#"{"type":"record","name":"X","fields":[]}"# });
        let proposed = calmly(&mut client, "POST", "/subjects/nobody/versions", &other.to_string());
        assert_eq!((proposed.status, &proposed.json()["error_code"]), (403, &json!(40_301)));
        assert!(proposed.body.contains("kenh schema propose"), "{}", proposed.body);
    }
    up.stop();
}

#[test]
fn a_system_reads_the_views_it_is_named_for_and_all_others_do_not_exist() {
    let place = place();
    let authority = Authority::new(&place, "ca");
    let up = serve(&place, &authority, &["H29", "G12"]);
    produce(&place);
    up.await_rows("H29", UNITS, 30);
    up.await_rows("G12", UNITS, 40);
    let mut portal = come(&place, &authority, &up, "h29-portal");
    let mut lgsp = come(&place, &authority, &up, "h29-lgsp");
    let mut source = come(&place, &authority, &up, "g01-source");
    let base = format!("/v1/views/H29/{UNITS}");

    let page = portal.get(&format!("{base}?limit=7")).json();
    assert_eq!(page["rows"].as_array().unwrap().len(), 7);
    let ticket = page["next"].as_str().unwrap();
    let found = portal.post(&format!("{base}/lookup"), &json!({ "keys": [key(3), key(4)] })).json();
    assert_eq!((&found["rows"][0]["value"]["Ma"], &found["rows"][1]), (&json!("00003"), &Value::Null));
    assert_eq!(portal.post(&format!("{base}/search"), &json!({ "filter": "Cap == 3" })).status, 200);
    let digest = format!("{base}/digest");
    assert_eq!(portal.get(&digest).json()["digest"], up.get(&digest).json()["digest"]);
    assert_eq!(portal.get(&format!("{base}/export")).body.lines().count(), 30);
    // A ticket is known to whom it was given.
    assert_eq!(portal.get(&format!("{base}?after={ticket}")).json()["rows"].as_array().unwrap().len(), 23);
    refused(&lgsp.get(&format!("{base}?after={ticket}")), 410, "cursor-gone");
    assert_eq!(lgsp.get(&base).status, 200);

    // The catalogue is everybody's; it says nothing of grants.
    assert_eq!(source.get("/v1/catalog").json(), up.get("/v1/catalog").json());

    let lookup = json!({ "keys": [key(3)] }).to_string();
    let search = json!({ "filter": "Cap == 3" }).to_string();
    let unknown = source.get("/v1/views/X99/nothing");
    refused(&unknown, 404, "no-such-copy");
    for (client, views) in [
        (&mut portal, &["G12/don-vi-hanh-chinh", "G01/dan-cu", "H29/ho-tich", "H29/dan-cu?view=other"][..]),
        // Its agency has this copy, and it is not named in the grant.
        (&mut lgsp, &["H29/dan-cu", "G12/don-vi-hanh-chinh"]),
        // Its agency has this grant; it is not named, and the copy is not kept here.
        (&mut source, &["G01/dan-cu", "H29/don-vi-hanh-chinh", "G12/don-vi-hanh-chinh"]),
    ] {
        for view in views {
            let (path, query) = view.split_once('?').map_or((*view, String::new()), |(p, q)| (p, format!("?{q}")));
            for (method, end, body) in [
                ("GET", "", ""),
                ("GET", "/digest", ""),
                ("GET", "/export", ""),
                ("POST", "/lookup", lookup.as_str()),
                ("POST", "/search", search.as_str()),
            ] {
                if method == "POST" && !query.is_empty() {
                    continue;
                }
                let reply = calmly(client, method, &format!("/v1/views/{path}{end}{query}"), body);
                assert_eq!(reply, unknown, "{method} {view}{end}");
            }
        }
    }

    // A grant that ends takes the view away, though the copy may still lie here.
    place.kenh(["grant", "revoke", "h29-don-vi-hanh-chinh"]).ok();
    until("the view to be gone", || (calmly(&mut portal, "GET", &base, "") == unknown).then_some(()));
    assert!(!portal.get("/subjects").body.contains(UNITS));
    up.stop();
}

/// Surfaces and listeners as the table of `docs/http.md` has them.
fn table() -> BTreeSet<(String, String, String)> {
    let docs = std::fs::read_to_string(repository().join("docs/http.md")).unwrap();
    let rows = docs.split("| surface |").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut out = BTreeSet::new();
    for row in rows.lines().skip(2) {
        let cells: Vec<&str> = row.split(" | ").collect();
        for surface in cells[0].split('`').skip(1).step_by(2) {
            let (method, path) = surface.split_once(' ').unwrap();
            for listener in cells[1].split(", ") {
                out.insert((listener.to_owned(), method.to_owned(), path.to_owned()));
            }
        }
    }
    assert!(out.len() > 60, "{out:?}");
    out
}

/// On each listener every surface of the table answers, and nothing else does.
#[test]
fn nothing_is_reachable_that_the_table_does_not_name() {
    let place = place();
    let authority = Authority::new(&place, "ca");
    let up = serve(&place, &authority, &["H29"]);
    produce(&place);
    up.await_rows("H29", UNITS, 30);
    let table = table();
    let control = authority.enrol("kenh-control", &[]);
    admit(&place, "kenh-control", &["1"]);
    let mut operators = Client::connect(&up.listens("http.operators"), &authority, Some(&control)).unwrap();
    let mut agencies = come(&place, &authority, &up, "h29-portal");
    let mut local = Client::local(&up);

    let subject = format!("view.H29.{UNITS}.main.1-value");
    let latest = up.get(&format!("/subjects/{subject}/versions/1")).json();
    let fill = |path: &str| {
        path.replace("{agency}", "H29")
            .replace("{dataset}", UNITS)
            .replace("{subject}", &subject)
            .replace("{version}", "1")
            .replace("{id}", &latest["id"].to_string())
    };
    let body = |path: &str| match path {
        "/v1/log" => json!({ "call": "topics" }),
        _ if path.ends_with("/lookup") => json!({ "keys": [] }),
        _ if path.ends_with("/search") => json!({ "filter": "Cap == 3" }),
        _ if path.starts_with(&format!("{APICURIO}/search/")) => {
            serde_json::from_str(latest["schema"].as_str().unwrap()).unwrap()
        }
        _ if path.starts_with(APICURIO) => {
            let version = json!({ "content": { "content": latest["schema"] } });
            json!({ "artifactId": subject, "firstVersion": version, "content": version["content"] })
        }
        _ => json!({ "schema": latest["schema"] }),
    };
    let mut paths: BTreeSet<_> = table.iter().map(|(_, _, path)| path.clone()).collect();
    paths.extend(
        ["/v1", "/v1/", "/v1/views", "/v1/views/{agency}", "/health", "/metrics/", "/nowhere", "/v1/log/x"]
            .map(Into::into),
    );
    for path in &paths {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            for listener in ["local", "operators", "agencies"] {
                let (target, body) = (fill(path), body(path).to_string());
                let status = match listener {
                    "operators" => calmly(&mut operators, method, &target, &body).status,
                    "agencies" => calmly(&mut agencies, method, &target, &body).status,
                    _ => local.ask(method, &target, &body).unwrap().status,
                };
                let named = table.contains(&(listener.to_owned(), method.to_owned(), path.clone()));
                let wanted: &[u16] = if named { &[200] } else { &[404, 405] };
                assert!(wanted.contains(&status), "{listener} {method} {target}: {status}");
            }
        }
    }
    // What is there for others only looks like what is not there at all.
    for path in ["/metrics", "/v1/status"] {
        let unknown = calmly(&mut agencies, "GET", "/nowhere", "");
        assert_eq!(calmly(&mut agencies, "GET", path, ""), unknown, "{path}");
    }
    let call = json!({ "call": "topics" }).to_string();
    let unknown = calmly(&mut agencies, "POST", "/nowhere", &call);
    assert_eq!(calmly(&mut agencies, "POST", "/v1/log", &call), unknown);
    // Agencies are not told of topics of others.
    assert_eq!(agencies.get("/health/ready").json(), json!({ "ready": true }));
    up.stop();
}

#[test]
fn whoever_is_not_let_in_learns_nothing() {
    let place = Place::with_shipped_applied();
    let authority = Authority::new(&place, "ca");
    let up = serve(&place, &authority, &[]);
    let (agencies, operators) = (up.listens("http.agencies"), up.listens("http.operators"));
    let portal = authority.enrol("h29-portal", &[]);
    let stranger = authority.enrol("x99-portal", &[]);
    let control = authority.enrol("kenh-control", &[]);
    let router = authority.enrol("kenh-router", &[]);
    admit(&place, "x99-portal", &["1"]);
    admit(&place, "kenh-control", &["1"]);
    admit(&place, "kenh-router", &["1"]);
    admit(&place, "h29-portal", &["2"]);

    // No connection: no certificate, another CA's, one of nobody, one that has ended.
    let elsewhere = Authority::new(&place, "elsewhere").enrol("h29-portal", &[]);
    let forged = [
        authority.forge("other-form", &[("CN", "h29-portal")], 3600),
        authority.forge("other-order", &[("CN", "h29-portal"), ("OU", "2")], 3600),
        authority.forge("more", &[("OU", "2"), ("CN", "h29-portal"), ("O", "Kênh")], 3600),
        authority.forge("no-serial", &[("OU", "02"), ("CN", "h29-portal")], 3600),
        authority.forge("ended", &[("OU", "2"), ("CN", "h29-portal")], -1),
    ];
    let mut nobodies: Vec<Option<&Identity>> = forged.iter().map(Some).collect();
    nobodies.extend([None, Some(&elsewhere)]);
    for (n, nobody) in nobodies.iter().enumerate() {
        for address in [&agencies, &operators] {
            let answered = Client::connect(address, &authority, *nobody)
                .and_then(|mut client| client.ask("GET", "/health/live", ""));
            assert!(answered.is_err(), "nobody {n}: {answered:?}");
        }
    }
    // The same form with a serial in force is let in: it was the form.
    let good = authority.forge("good", &[("OU", "2"), ("CN", "h29-portal")], 3600);
    assert_eq!(Client::connect(&agencies, &authority, Some(&good)).unwrap().get("/subjects").status, 200);

    // A connection and one and the same answer: not in force, of no agency, a role, an agency's with operators.
    for (who, address) in [
        (&portal, &agencies),
        (&stranger, &agencies),
        (&control, &agencies),
        (&router, &agencies),
        (&portal, &operators),
        (&good, &operators),
        (&router, &operators),
    ] {
        let mut client = Client::connect(address, &authority, Some(who)).unwrap();
        assert_eq!(client.get("/health/live").body, "live\n");
        let first = client.get("/subjects");
        refused(&first, 403, "not-admitted");
        for path in ["/metrics", "/v1/status", "/v1/catalog", "/v1/views/H29/dan-cu", "/nowhere"] {
            assert_eq!(client.get(path), first, "{path}");
        }
    }
    let mut client = Client::connect(&operators, &authority, Some(&control)).unwrap();
    assert!(client.get("/metrics").body.contains("kenh_ready"));

    // Neither TLS nor anything at all.
    for bytes in
        [&b"GET /health/live HTTP/1.1\r\nhost: bus\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff, 0, 0, 0], &[0; 4096]]
    {
        let mut tcp = TcpStream::connect(&agencies).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.write_all(bytes).unwrap();
        tcp.shutdown(std::net::Shutdown::Write).unwrap();
        let mut said = Vec::new();
        // It may be cut off in the middle of what it says.
        let _ = tcp.read_to_end(&mut said);
        assert!(!said.starts_with(b"HTTP"), "{said:?}");
    }
    assert_eq!(Client::connect(&agencies, &authority, Some(&good)).unwrap().get("/subjects").status, 200);
    let said = up.stop();
    assert!(said.contains("of nobody") && said.contains("CN=h29-portal,OU=1"), "{said}");
}

#[test]
fn a_certificate_that_is_taken_back_is_of_no_use_in_a_connection_that_stands() {
    let place = Place::with_shipped_applied();
    let authority = Authority::new(&place, "ca");
    let up = serve(&place, &authority, &[]);
    let mut open = come(&place, &authority, &up, "h29-portal");
    assert_eq!(open.get("/subjects").status, 200);
    let second = authority.enrol("h29-portal", &[]);
    admit(&place, "h29-portal", &["1", "2"]);
    let mut other = Client::connect(&up.listens("http.agencies"), &authority, Some(&second)).unwrap();
    assert_eq!((open.get("/subjects").status, other.get("/subjects").status), (200, 200));
    admit(&place, "h29-portal", &["2"]);
    refused(&open.get("/subjects"), 403, "not-admitted");
    assert_eq!(other.get("/subjects").status, 200);
    admit(&place, "h29-portal", &[]);
    refused(&other.get("/subjects"), 403, "not-admitted");
    admit(&place, "h29-portal", &["2"]);

    // Its own end counts in a connection that stands, too.
    let brief = authority.forge("brief", &[("OU", "2"), ("CN", "h29-portal")], 6);
    let mut brief = Client::connect(&up.listens("http.agencies"), &authority, Some(&brief)).unwrap();
    assert_eq!(brief.get("/subjects").status, 200);
    until("the certificate to end", || (calmly(&mut brief, "GET", "/subjects", "").status == 403).then_some(()));
    up.stop();

    // Which are in force is not forgotten with the node.
    admit(&place, "kenh-control", &["1"]);
    let up = serve(&place, &authority, &[]);
    let mut client = Client::connect(&up.listens("http.agencies"), &authority, Some(&second)).unwrap();
    assert_eq!(client.get("/subjects").status, 200);
    up.stop();
}

#[test]
fn limits_are_held_to() {
    let place = Place::with_shipped_applied();
    let authority = Authority::new(&place, "ca");
    let up = serve(&place, &authority, &[]);
    let mut portal = come(&place, &authority, &up, "h29-portal");
    let mut other = come(&place, &authority, &up, "g12-portal");

    refused(&portal.get(&format!("/subjects?subjectPrefix={}", "x".repeat(4096))), 414, "uri-too-long");
    let large = "x".repeat((1 << 20) + 1);
    refused(&portal.ask("POST", "/subjects/x", &large).unwrap(), 413, "too-large");
    // Said to be larger than anything that is taken: refused before it has come.
    portal.send("POST /subjects/x HTTP/1.1\r\nhost: bus\r\ncontent-length: 99999999\r\n\r\n").unwrap();
    refused(&portal.read().unwrap(), 413, "too-large");

    let me = authority.enrol("h29-portal", &[]);
    admit(&place, "h29-portal", &["2"]);
    let connect = || Client::connect(&up.listens("http.agencies"), &authority, Some(&me)).unwrap();
    let mut client = connect();
    client.send(format!("GET / HTTP/1.1\r\nhost: bus\r\nx: {}\r\n\r\n", "y".repeat(17 << 10))).unwrap();
    assert_eq!(client.read().unwrap().status, 431);
    let mut client = connect();
    let headers: String = (0..80).map(|n| format!("x{n}: y\r\n")).collect();
    client.send(format!("GET / HTTP/1.1\r\nhost: bus\r\n{headers}\r\n")).unwrap();
    assert_eq!(client.read().unwrap().status, 431);

    // The rate of one system is not another's. Requests that do not wait for answers come fast enough on any machine.
    let mut client = connect();
    let many = "GET /config HTTP/1.1\r\nhost: bus\r\n\r\n".repeat(50);
    let limited = (0..40).find_map(|_| {
        client.send(&many).unwrap();
        let replies: Vec<_> = (0..50).map(|_| client.read().unwrap()).collect();
        replies.into_iter().find(|reply| reply.status != 200)
    });
    let limited = limited.expect("2,000 requests one after the other were all answered");
    refused(&limited, 429, "too-many-requests");
    assert_eq!(limited.header("retry-after"), Some("1"));
    assert_eq!(other.get("/config").status, 200);
    // Whoever waits is let in again.
    until("the rate to have room", || (client.get("/config").status == 200).then_some(()));
    up.stop();
}

/// An address has so many connections, and has them again when others are gone.
#[test]
fn one_address_does_not_take_all_connections() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let many: Vec<_> = (0..140).map(|_| TcpStream::connect(&up.address).unwrap()).collect();
    let mut answered = 0;
    for mut tcp in &many {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = [0; 12];
        let asked = tcp.write_all(b"GET /health/live HTTP/1.1\r\nhost: bus\r\n\r\n");
        if asked.is_ok() && tcp.read_exact(&mut said).is_ok() {
            assert_eq!(&said, b"HTTP/1.1 200");
            answered += 1;
        }
    }
    // The harness keeps one or two of its own.
    assert!((120..=128).contains(&answered), "{answered}");
    drop(many);
    until("a connection to be taken again", || Client::local(&up).ask("GET", "/v1/status", "").ok());
    up.stop();
}

/// Whoever is slow is let go: in the handshake, in the head, in the body.
#[test]
fn slow_callers_are_let_go() {
    let place = Place::with_shipped_applied();
    let authority = Authority::new(&place, "ca");
    let up = serve(&place, &authority, &[]);
    let me = authority.enrol("h29-portal", &[]);
    admit(&place, "h29-portal", &["1"]);
    let connect = || Client::connect(&up.listens("http.agencies"), &authority, Some(&me)).unwrap();
    let (mut head, mut body) = (connect(), connect());
    head.send("GET /subjects HTTP/1.1\r\nhost: b").unwrap();
    body.send("POST /subjects/x HTTP/1.1\r\nhost: bus\r\ncontent-length: 10\r\n\r\nx").unwrap();
    let mut tcp = TcpStream::connect(up.listens("http.agencies")).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.write_all(&[0x16, 3, 1]).unwrap();
    let mut said = Vec::new();
    tcp.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"");
    refused(&body.read().unwrap(), 408, "too-slow");
    assert!(head.read().is_err(), "a head that is never whole was answered");
    up.stop();
}

#[test]
fn nothing_is_served_beyond_loopback_without_certificates_and_signatures() {
    let place = Place::with_shipped();
    let authority = Authority::new(&place, "ca");
    let node = authority.enrol("kenh-serve", &["127.0.0.1"]);
    let whole = listening(&authority, &node, "0.0.0.0:0");
    let up = |yaml: &str| {
        place.write("kenh.yaml", yaml);
        finish(place.command(["up"]), b"")
    };
    up(&whole).exits(1).complains("this bus is unsigned").complains("http.operators: 0.0.0.0:0");
    for missing in ["certificate", "key", "authorities"] {
        let part: Vec<_> = whole.lines().filter(|l| !l.trim().starts_with(&format!("{missing}:"))).collect();
        up(&part.join("\n")).exits(2).complains(&format!("http.{missing} is missing"));
    }
    let mut plain = place.command(["up"]);
    plain.env("KENH_LISTEN", "0.0.0.0:0");
    finish(plain, b"").exits(2).complains("not a loopback address");
    // Files that are something else.
    let other = authority.enrol("kenh-serve", &["127.0.0.1"]);
    let swap = |from: &std::path::Path, to: &std::path::Path| {
        listening(&authority, &node, "127.0.0.1:0").replace(from.to_str().unwrap(), to.to_str().unwrap())
    };
    up(&swap(&node.key, &other.key)).exits(1).complains("do not go together");
    up(&swap(&node.key, &node.certificate)).exits(1).complains("http.key");
    up(&swap(&authority.certificate(), &node.key)).exits(1).complains("http.authorities");
    up(&swap(&node.certificate, std::path::Path::new("nowhere.pem"))).exits(1).complains("nowhere.pem");

    // A signed bus is served.
    let signed = Place::new();
    signed.write("passphrase", "canary one two three\n");
    let root = new_key(&signed, "root");
    signed.kenh(["roster", "found", "--root", &root]).ok();
    let up = Up::start_configured(&signed, &[], &whole, |_| ());
    let address = up.listens("http.agencies").replace("0.0.0.0", "127.0.0.1");
    let mut client = Client::connect(&address, &authority, Some(&node)).unwrap();
    assert_eq!(client.get("/health/live").status, 200);
    up.stop();
}

/// Invariant 7 on the listeners over TLS: who, method, route and status, and nothing that came with the request.
#[test]
fn the_log_says_who_asked_and_nothing_of_what() {
    let place = place();
    let authority = Authority::new(&place, "ca");
    let node = authority.enrol("kenh-serve", &["127.0.0.1"]);
    let yaml = listening(&authority, &node, "127.0.0.1:0");
    let up = Up::start_configured(&place, &["H29"], &yaml, |up| {
        up.env("KENH_LOG", "trace").env("KENH_LOG_FORMAT", "json");
    });
    produce(&place);
    up.await_rows("H29", UNITS, 30);
    let mut portal = come(&place, &authority, &up, "h29-portal");
    let base = format!("/v1/views/H29/{UNITS}");
    portal.post(&format!("{base}/lookup"), &json!({ "keys": [key(3), "canary"] }));
    portal.post(&format!("{base}/search"), &json!({ "filter": "Ten == \"canary\"" }));
    for target in ["/canary", "/subjects/canary/versions", "/v1/views/canary/canary", &format!("{base}?after=canary")] {
        portal.get(target);
        up.get(target);
    }
    portal.ask("GET", "/subjects", "canary").unwrap();
    let said = up.stop();
    let line = said.lines().find(|line| line.contains("/v1/views/{agency}/{dataset}/lookup")).unwrap();
    for part in ["CN=h29-portal,OU=1", "POST", "200"] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert!(said.contains("\"route\":\"/subjects/…\"") && said.contains("\"route\":\"unknown\""));
    for secret in ["canary", "2025-07-01"] {
        let line = said.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret}: {}", line.unwrap_or_default());
    }
}

/// On Kafka the serials in force are the cluster's: taken back there, they are refused here; and where the cluster cannot be
/// heard, nobody is let in.
#[test]
fn on_kafka_the_boundary_says_who_is_let_in() {
    let cluster = Cluster::start_tls(1);
    let place = Place::new();
    let agency = "kind: Agency\nname: H29\ncode: H29\ntitle: Thành phố\nsystems: [h29-portal]\n";
    place.write("bus/H29.yaml", agency);
    let files = |name: &str, serial: u32| {
        let settings = cluster.identity(name, serial);
        let file = |key: &str| settings[key].clone();
        (file("ssl.ca.location"), file("ssl.certificate.location"), file("ssl.key.location"))
    };
    let (ca, certificate, key) = files("kenh-control", 1);
    let kafka = format!(
        "kafka:\n  bootstrap: {}\n  replication: 1\n  settings:\n    security.protocol: ssl\n    ssl.ca.location: {ca}\n    \
         ssl.certificate.location: {certificate}\n    ssl.key.location: {key}\n",
        cluster.bootstrap()
    );
    let http = format!(
        "http:\n  agencies: 127.0.0.1:0\n  certificate: {certificate}\n  key: {key}\n  authorities: {ca}\n{kafka}"
    );
    place.write("kenh.yaml", &kafka);
    place.kenh(["apply", "bus"]).ok();
    let up = Up::start_configured(&place, &[], &http, |_| ());
    let (_, certificate, key) = files("h29-portal", 1);
    let me = Identity { certificate: certificate.into(), key: key.into() };
    let mut client = Client::connect_to(&up.listens("http.agencies"), ca.as_ref(), Some(&me)).unwrap();
    refused(&client.get("/subjects"), 403, "not-admitted");
    admit(&place, "h29-portal", &["1"]);
    until("the certificate to be in force", || (client.get("/subjects").status == 200).then_some(()));
    admit(&place, "h29-portal", &[]);
    until("the certificate to be refused", || (client.get("/subjects").status == 403).then_some(()));
    admit(&place, "h29-portal", &["1"]);
    until("the certificate to be in force", || (client.get("/subjects").status == 200).then_some(()));
    cluster.kill(1);
    let deaf = until("nobody to be let in", || {
        let reply = client.get("/subjects");
        (reply.status != 200).then_some(reply)
    });
    refused(&deaf, 503, "certificates-unknown");
    assert!(deaf.header("retry-after").is_some());
    assert_eq!(client.get("/health/live").status, 200);
    cluster.restart(1);
    // The connection that said nothing meanwhile may be gone.
    until("the cluster to be heard again", || {
        let mut client = Client::connect_to(&up.listens("http.agencies"), ca.as_ref(), Some(&me)).unwrap();
        (client.get("/subjects").status == 200).then_some(())
    });
    up.stop();
}
