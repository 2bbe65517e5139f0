//! A rule that is relaxed, from outside: what may be, by whom, what a provider is told meanwhile, and that it ends.

use serde_json::{Value, json};

use crate::bad_input::person;
use crate::founded::Signed;
use crate::harness::{Place, Said, Up, until};

const PEOPLE: &str = "dan-cu";

/// Somebody in a commune that the list in the contract does not have.
fn of_a_new_commune(number: u32) -> String {
    let mut person = person(number);
    person["NoiOHienTai"]["MaXa"] = "99999".into();
    person.to_string()
}

fn relax(place: &Place, more: &[&str]) -> Said {
    let base = ["rule", "relax", PEOPLE, "code-list", "--field", "NoiOHienTai.MaXa"];
    place.kenh(base.iter().chain(more))
}

const WHY: [&str; 2] = ["--reason", "Mã xã mới chưa có trong danh mục / New commune codes are not in the list yet"];

fn produce(place: &Place, version: &str) -> Said {
    place.kenh(["produce", PEOPLE, "--from", "people.jsonl", "--record-version", version, "--output", "json"])
}

fn listed(place: &Place) -> Value {
    place.kenh(["rule", "list", "--output", "json"]).ok().json()
}

#[test]
fn a_new_code_passes_for_some_hours_with_a_warning() {
    let place = Place::for_people();
    place.write("people.jsonl", of_a_new_commune(1));
    assert_eq!(produce(&place, "1").exits(3).json()["rejections"][0]["rule"], "code-list");
    place.kenh(["doctor"]).ok().prints("every rule rejects");

    let up = Up::start(&place, &[]);
    let relaxed = relax(&place, &[&["--for", "24h", "--id", "ma-moi"], &WHY[..]].concat()).ok();
    relaxed.complains("warns and does not reject until").complains("chỉ cảnh báo, không từ chối");
    relax(&place, &[&["--for", "24h", "--id", "ma-moi"], &WHY[..]].concat()).exits(3).prints("was made before");
    let rows = listed(&place);
    assert_eq!((&rows[0]["state"], &rows[0]["relaxation"]["rule"]), (&json!("in force"), &json!("code-list")));
    // The node hears of it as of any decision.
    until("the node to say so", || {
        let status = place.kenh(["status"]).ok();
        let said = status.stdout.contains("RELAXED:  code-list for NoiOHienTai.MaXa of dan-cu");
        said.then(|| status.prints("không từ chối"))
    });
    place.kenh(["doctor"]).ok().prints("ma-moi").prints("kenh rule restore");

    let checked = place.kenh(["check", PEOPLE, "--from", "people.jsonl"]).ok();
    checked.complains("WARNING / CẢNH BÁO: 1 × code-list").complains("mã không có trong danh mục");
    let produced = produce(&place, "1").ok().json();
    assert_eq!((&produced["admitted"], &produced["warnings"]), (&json!(1), &json!({"code-list": 1})));
    until("the warning to be counted", || {
        up.get("/metrics").text().contains("\nkenh_warnings_total{rule=\"code-list\"} 1\n").then_some(())
    });
    let status = up.get("/v1/status").json();
    assert_eq!(status["declared"]["relaxed"][0]["id"], "ma-moi");
    // Another rule, and the same for the key, still reject.
    let mut wrong: Value = serde_json::from_str(&of_a_new_commune(2)).unwrap();
    wrong["SoDienThoai"] = "12".into();
    place.write("wrong.jsonl", wrong.to_string());
    let refused = place.kenh(["produce", PEOPLE, "--from", "wrong.jsonl", "--output", "json"]).exits(3).json();
    let rules: Vec<_> = refused["rejections"].as_array().unwrap().iter().map(|r| &r["field"]).collect();
    assert_eq!(rules, ["SoDienThoai"]);

    // What somebody says may come from standard input, so that it stands in no list of processes.
    let restore = |why: &str| place.kenh_reading(["rule", "restore", "ma-moi", "--reason", "-"], why);
    restore(" \n").exits(2).complains("standard input is empty");
    restore(&"dài".repeat(1_025)).exits(2).complains("standard input has more than 4096 bytes");
    restore("Danh mục đã cập nhật\n").ok().complains("rejects again");
    place.kenh(["rule", "restore", "ma-moi"]).ok().complains("nothing to do");
    assert_eq!(
        (&listed(&place)[0]["state"], &listed(&place)[0]["because"]),
        (&json!("restored"), &json!("Danh mục đã cập nhật"))
    );
    assert_eq!(produce(&place, "2").exits(3).json()["rejections"][0]["rule"], "code-list");
    up.stop();
}

#[test]
fn what_may_not_be_relaxed_is_refused_and_nothing_is_written() {
    let place = Place::with_shipped_applied();
    let relax = |rule: &str, more: &[&str]| place.kenh(["rule", "relax", PEOPLE, rule].iter().chain(more).chain(&WHY));
    for (rule, more, why) in [
        ("not-its-rows", &["--for", "1h"][..], "protects who may write which rows, and is never relaxed"),
        ("avro", &["--for", "1h"], "protects the schema that views are made by"),
        ("version-conflict", &["--for", "1h"], "protects the order of versions and times"),
        ("element", &["--for", "1h", "--field", "SoDinhDanh"], "of the record key"),
        ("code-list", &["--for", "1h", "--field", "HoVaTen"], "the contract has no rule code-list there"),
        ("code-list", &["--for", "73h"], "more than 72 hours"),
    ] {
        relax(rule, more).exits(3).prints(why).complains("nothing was relaxed");
    }
    relax("code-list", &["--for", "1d"]).exits(2).complains("whole hours, such as 24h");
    relax("code-lists", &["--for", "1h"]).exits(2).complains("\"code-lists\" is not the code of a rule");
    place.kenh(["rule", "relax", PEOPLE, "code-list", "--for", "1h"]).exits(2).complains("--reason");
    place
        .kenh(["rule", "relax", PEOPLE, "code-list", "--for", "1h", "--reason", " "])
        .exits(3)
        .prints("gives no reason");
    place.kenh(["rule", "release", "khong-co"]).exits(1).complains("there is no proposal khong-co");
    place.kenh(["rule", "restore", "khong-co"]).exits(1).complains("there is no relaxation khong-co");
    assert_eq!(listed(&place), json!([]));
}

#[test]
fn on_a_signed_bus_two_persons_relax_a_rule_and_the_author_is_none_of_them() {
    let bus = Signed::with_contract("don-vi-hanh-chinh", "G09");
    let place = &bus.place;
    let propose = |author: &[&str]| {
        let base = [
            "rule",
            "relax",
            "don-vi-hanh-chinh",
            "max-length",
            "--for",
            "24h",
            "--id",
            "ten-dai",
            "--reason",
            "Tên dài hơn",
        ];
        place.kenh(base.iter().chain(author))
    };
    propose(&[]).exits(2).complains("--author");
    propose(&["--author", "soan"]).ok().complains("soan signs");
    bus.sign_and_submit("reviews/ten-dai/proposal.json", "soan");
    place.kenh(["review", "show", "ten-dai"]).ok().prints("# Tạm nới lỏng quy tắc của don-vi-hanh-chinh");
    let release = || place.kenh(["rule", "release", "ten-dai"]);
    release().exits(3).complains("is not approved");
    for (person, lacks) in [("chu", Some("data-protection-officer")), ("bao", None)] {
        place.kenh(["review", "approve", "ten-dai", "--as", person]).ok();
        bus.sign_and_submit(&format!("reviews/ten-dai/vote-{person}.json"), person);
        if let Some(lacks) = lacks {
            release().exits(3).complains(lacks);
        }
    }
    place.kenh(["review", "list"]).ok().prints("kenh rule release ten-dai");
    release().ok().complains("warns and does not reject until");
    assert_eq!(listed(place)[0]["state"], "in force");
    release().exits(3).complains("has been released, and counts once");

    place.kenh(["rule", "restore", "ten-dai"]).ok().complains("is to be signed");
    let end = place.path("ten-dai.end.json");
    bus.submit(&end).exits(3).complains("it is not signed");
    bus.sign_and_submit("ten-dai.end.json", "bao");
    assert_eq!(listed(place)[0]["state"], "restored");
}
