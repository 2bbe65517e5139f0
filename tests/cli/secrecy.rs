//! Invariant 7, from outside: whatever a node is asked, no record key, no value of a record and no token is in anything
//! that it writes but its answers; not at any level of logging.

use serde_json::json;

use crate::bad_input::person;
use crate::harness::{Place, Up, finish};

const PEOPLE: &str = "dan-cu";

#[test]
fn no_key_value_or_token_is_in_what_a_node_logs() {
    let place = Place::for_people();
    let people: Vec<_> = (1..=60).map(person).collect();
    let mut lines: String = people.iter().map(|p| p.to_string() + "\n").collect();
    lines.push_str("{\"SoDinhDanh\":\"079085999999\"}\n");
    place.write("people.jsonl", lines);
    let up = Up::start_with(&place, &["G01", "G18", "H29"], |up| {
        up.env("KENH_LOG", "trace").env("KENH_LOG_FORMAT", "json");
    });
    let produced = place.kenh(["produce", PEOPLE, "--from", "people.jsonl"]).exits(3);
    up.await_rows("G01", PEOPLE, 60);
    up.await_rows("H29", PEOPLE, 60);
    // Everything that takes a key or a filter, right and wrong.
    let keys: Vec<_> = people.iter().map(|p| p["SoDinhDanh"].clone()).collect();
    let base = format!("/v1/views/H29/{PEOPLE}");
    assert_eq!(up.post(&format!("{base}/lookup"), &json!({ "keys": keys })).status, 200);
    for filter in ["SoDinhDanh == \"079085000007\"", "HoVaTen == \"Nguyễn Văn An\"", "SoDinhDanh == 79085000007"] {
        up.post(&format!("{base}/search"), &json!({ "filter": filter }));
    }
    let page = up.get(&format!("{base}?limit=10")).json();
    up.get(&format!("{base}?limit=10&after={}", page["next"].as_str().unwrap()));
    up.get(&format!("{base}/export?format=csv"));
    up.get(&format!("{base}/digest"));
    up.get_with("/v1/status", Some("Bearer wrong"));
    let viewed = place.kenh_reading(["view", "get", "H29", PEOPLE], "079085000001\n079085888888\n").exits(1);
    assert!(viewed.stdout.contains("079085000001"), "the answer itself shows the record");
    place.write("conflict.jsonl", {
        let mut other = person(1);
        other["TinhTrangHonNhan"] = 4.into();
        other.to_string()
    });
    let conflict = place.kenh(["produce", PEOPLE, "--from", "conflict.jsonl"]).exits(3);
    let letters = place.kenh(["dead-letter", "list", PEOPLE, "--output", "json"]).ok();
    // A command sends what it submits, and the token, to the node that runs.
    let mut traced = place.command(["produce", PEOPLE, "--from", "conflict.jsonl"]);
    traced.env("KENH_LOG", "trace");
    let traced = finish(traced, b"").exits(3).stderr;
    assert!(traced.contains("TRACE") || traced.contains("DEBUG"), "nothing is logged at trace:\n{traced}");
    // The HTTP client's lines hold bytes in hexadecimal, sixteen a line: no search for a text would find one there.
    assert!(!traced.contains("ureq"), "the HTTP client logs what it sends:\n{traced}");
    let (metrics, status) = (up.get("/metrics").text(), up.get("/v1/status").text());
    let token = up.token.clone();
    let logged = up.stop();

    assert!(logged.lines().count() > 100, "so few lines that the test proves nothing:\n{logged}");
    for (what, text) in [
        ("the log", &logged),
        ("produce", &produced.stderr),
        ("produce", &conflict.stderr),
        ("view get", &viewed.stderr),
        ("produce at trace", &traced),
        ("dead-letter", &letters.stdout),
        ("metrics", &metrics),
        ("status", &status),
    ] {
        for secret in ["079085", "Nguyễn Văn An", "Lê Lợi", "0912345678", "023456789", &token] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} is in what {what} says: {}", line.unwrap_or_default());
        }
    }
}
