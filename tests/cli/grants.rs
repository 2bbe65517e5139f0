//! The life of grants from outside: asked for, suspended, resumed, ended by law; what is on offer; who is superseded.

use std::time::{SystemTime, UNIX_EPOCH};

use kenh_domain::law::Day;
use serde_json::{Value, json};

use crate::harness::{Place, Said, Up, until};
use crate::node::{UNITS, key, place as place_of_units, produce};

const LAW: &str = "Luật 91/2025 về bảo vệ dữ liệu cá nhân, Điều 19";

fn listed(place: &Place, what: &str) -> Value {
    place.kenh([what, "list", "--output", "json"]).ok().json()
}

/// Everything that is decided: what a command that only shows must not have changed.
fn decided(place: &Place) -> [Value; 2] {
    [listed(place, "grant"), listed(place, "law")]
}

/// The grants that a command lists.
fn names(rows: &Value) -> Vec<&str> {
    let mut names: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["grant"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Asks for people's data for an agency that has none of it.
fn ask(place: &Place, dataset: &str, field: &str, basis: &str, more: &[&str]) -> Said {
    // A purpose that YAML would read otherwise if it were not quoted.
    let purpose = "Đối chiếu: \"hộ\" #1, 100%";
    let asked = ["grant", "request", dataset, "--recipient", "G09", "--purpose", purpose, "--basis", basis];
    let fields = ["--field", "SoDinhDanh", "--field", "NoiOHienTai.MaTinh", "--field", field];
    place.kenh(asked.iter().chain(&fields).chain(more))
}

#[test]
fn a_request_is_a_declaration_that_a_review_and_apply_take() {
    let place = Place::with_shipped_applied();
    place.write("rows.txt", "NoiOHienTai.MaTinh == \"79\"\n");
    let before = decided(&place);
    let shown = ask(&place, "dan-cu", "HoVaTen", LAW, &["--filter", "rows.txt"]).ok();
    let file = "broker-config/grants/g09.yaml";
    ask(&place, "dan-cu", "HoVaTen", LAW, &["--filter", "rows.txt", "--to", file]).ok().complains("propose it to G01");
    assert_eq!(shown.stdout, place.read(file));
    assert_eq!(decided(&place), before, "a request decides nothing");

    place.kenh(["review", "grant", "--from", file, "--author", "an"]).ok();
    place.kenh(["review", "show", "g09-dan-cu"]).ok().prints("Đối chiếu");
    place.kenh(["apply", "schemas", "broker-config"]).ok();
    let all = listed(&place, "grant");
    let granted = all.as_array().unwrap().iter().find(|g| g["grant"]["id"] == "g09-dan-cu").unwrap();
    assert_eq!(granted["state"], "active");
    assert_eq!(granted["grant"]["purpose"], "Đối chiếu: \"hộ\" #1, 100%");
    assert_eq!(granted["grant"]["filter"], "NoiOHienTai.MaTinh == \"79\"");
    ask(&place, "dan-cu", "HoVaTen", LAW, &[]).exits(1).complains("g09-dan-cu is on the bus already");
}

#[test]
fn a_request_for_what_there_is_not_is_refused_and_writes_nothing() {
    let place = Place::with_shipped_applied();
    let refused = |dataset: &str, field: &str, basis: &str, why: &str| {
        let said = ask(&place, dataset, field, basis, &["--to", "asked.yaml"]).exits(1).complains(why);
        assert!(said.stdout.is_empty() && !place.path("asked.yaml").exists(), "{}", said.stdout);
    };
    refused("ho-tich", "HoVaTen", LAW, "there is no dataset ho-tich; `kenh catalog` shows");
    refused("dan-cu", "HoTen", LAW, "dan-cu has no field HoTen; `kenh catalog dan-cu` shows");
    refused("dan-cu", "HoVaTen", "Luật 99/2099", "there is no article \"Luật 99/2099\" on record; `kenh law list`");
    let other = ["grant", "request", "dan-cu", "--recipient", "G77", "--purpose", "x", "--basis", LAW, "--field", "Ma"];
    place.kenh(other).exits(1).complains("there is no agency G77");
    place.write(
        "broker-config/laws/sau.yaml",
        "kind: Law\nid: luat-sau\ncitation: Luật sau\ntitleEn: A later law\nfrom: \"2999-01-01\"\n",
    );
    place.kenh(["apply", "schemas", "broker-config"]).ok();
    refused("dan-cu", "HoVaTen", "Luật sau, Điều 1", "article luat-sau is not in force today");
}

#[test]
fn a_grant_may_be_asked_for_until_a_day_and_ends_with_it() {
    let place = Place::with_shipped_applied();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let in_days = |n: i64| Day::of(i64::try_from(now.as_millis()).unwrap() + n * 86_400_000);
    let (day, yesterday, beyond) = (in_days(30), in_days(-1).to_string(), in_days(400).to_string());
    let last = day.to_string();
    let file = "broker-config/grants/g09.yaml";
    let until = |day: &str, more: &[&str]| {
        let ends = ["--ends", day, "--to", file];
        ask(&place, "dan-cu", "HoVaTen", LAW, &ends.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    };
    until(&last, &["--duration", "P3D"]).exits(2).complains("--duration");
    until("2027-02-30", &[]).exits(2).complains("is not a day of the calendar");
    until(&yesterday, &[]).exits(1).complains("is over");
    assert!(!place.path(file).exists(), "what was refused was written");
    until(&last, &[]).ok();
    let text = place.read(file);
    assert!(text.contains(&format!("ends: \"{last}\"\n")) && !text.contains("duration"), "{text}");

    place.kenh(["review", "grant", "--from", file, "--author", "an"]).ok();
    let [year, month, of_month] = last.split('-').collect::<Vec<_>>()[..] else { panic!("{last}") };
    let shown = format!("đến hết ngày {of_month}/{month}/{year}");
    place.kenh(["review", "show", "g09-dan-cu"]).ok().prints(&shown);

    // Whoever writes it by hand is told where: a day that is over, one that is too far, and both ways at once.
    let apply = || place.kenh(["apply", "schemas", "broker-config"]);
    let line = text.lines().position(|line| line.starts_with("ends:")).unwrap() + 1;
    for (says, why) in [
        (format!("ends: {yesterday}"), format!("its last day, {yesterday}, is over")),
        (format!("ends: {beyond}"), format!("{beyond} is more than twelve months after its activation")),
        (format!("ends: {last}\nduration: P12M"), "a grant has both `duration` and `ends`".to_owned()),
        ("ends: 2027-02-31".to_owned(), "\"2027-02-31\" is not a day of the calendar".to_owned()),
    ] {
        place.write(file, text.replace(&format!("ends: \"{last}\""), &says));
        apply().exits(3).complains(&format!("g09.yaml:{line}:7: ")).complains(&why);
    }
    place.write(file, &text);
    apply().ok().prints(&format!("until {last}"));
    let all = listed(&place, "grant");
    let granted = all.as_array().unwrap().iter().find(|g| g["grant"]["id"] == "g09-dan-cu").unwrap();
    assert_eq!((&granted["state"], &granted["endsMs"]), (&json!("active"), &json!(day.ends_ms())));
    assert_eq!((&granted["grant"]["ends"], &granted["grant"]["duration"]), (&json!(last), &Value::Null));
    place.kenh(["grant", "list"]).ok().prints(&last);
    assert_eq!(place.kenh(["grant", "show", "g09-dan-cu"]).ok().json()["grant"]["ends"], json!(last));
    place.kenh_reading(["grant", "explain", "g09-dan-cu"], "").ok().prints(&format!("đến hết ngày {last}"));
    apply().ok().prints("nothing to do");
}

#[test]
fn the_catalog_tells_what_there_is_and_nothing_of_who_has_it() {
    let place = Place::with_shipped_applied();
    let all = place.kenh(["catalog", "--output", "json"]).ok();
    let datasets: Vec<_> = all.json().as_array().unwrap().iter().map(|o| o["dataset"].clone()).collect();
    assert_eq!(datasets, ["dan-cu", UNITS]);
    assert!(!all.stdout.contains("h29") && !all.stdout.contains("H29"), "{}", all.stdout);
    let table = place.kenh(["catalog"]).ok().prints("dan-cu (synthetic)").prints("within 1 d");
    assert_eq!(table.stdout.lines().filter(|line| line.contains("G0")).count(), 2, "{}", table.stdout);
    let one = place.kenh(["catalog", "dan-cu", "--output", "json"]).ok().json();
    let field = |path: &str| one["fields"].as_array().unwrap().iter().find(|f| f["path"] == path).unwrap().clone();
    assert_eq!((&one["owner"], &one["personal"], &one["key"]), (&json!("G01"), &json!(true), &json!(["SoDinhDanh"])));
    assert_eq!(
        (&field("NhomMau")["pii"], &field("SoDinhDanh")["element"]),
        (&json!("sensitive"), &json!("personal-id"))
    );
    let shown = place.kenh(["catalog", "dan-cu"]).ok().prints("mailto:dan-cu@example.gov.vn");
    shown.prints("kenh grant request dan-cu").prints("NoiOHienTai.MaXa").prints("Mã đơn vị cấp xã");
    place.kenh(["catalog", "ho-tich"]).exits(1).complains("there is no dataset ho-tich; `kenh catalog` shows");
}

#[test]
fn the_last_day_of_an_article_is_looked_at_before_it_is_set() {
    let place = Place::with_shipped_applied();
    let laws = listed(&place, "law");
    let of =
        |laws: &Value, id: &str| laws.as_array().unwrap().iter().find(|l| l["article"]["id"] == id).unwrap().clone();
    assert_eq!(laws.as_array().unwrap().len(), 3);
    let article = of(&laws, "luat-91-2025");
    place.kenh(["law", "list"]).ok().prints("Luật 91/2025 về bảo vệ dữ liệu cá nhân").prints("in force");

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let day = Day::of(i64::try_from(now.as_millis()).unwrap() + 10 * 86_400_000);
    let (last, before) = (day.to_string(), decided(&place));
    let repeal = |id: &str, until: &str, more: &[&str]| {
        place.kenh(["law", "repeal", id, "--until", until, "--output", "json"].iter().chain(more))
    };
    let planned = repeal("luat-91-2025", &last, &["--plan"]).ok().complains("nothing was changed");
    let standing = planned.json();
    assert_eq!(names(&standing).len(), usize::try_from(article["grants"].as_u64().unwrap()).unwrap());
    assert!(names(&standing).contains(&"h29-dan-cu") && !names(&standing).contains(&"h29-don-vi-hanh-chinh"));
    assert_eq!(decided(&place), before, "--plan changed something");
    for more in [&["--plan"][..], &[]] {
        repeal("luat-99", &last, more).exits(1).complains("there is no article luat-99; `kenh law list` shows");
        repeal("luat-91-2025", "2027-02-30", more).exits(2).complains("is not a day of the calendar");
        // The last day lies ahead when it is set.
        repeal("luat-91-2025", "2026-02-01", more).exits(1).complains("luat-91-2025");
    }
    assert_eq!(decided(&place), before, "what was refused changed something");

    repeal("luat-91-2025", &last, &[]).ok().complains(&format!("the last day of luat-91-2025 is {last}"));
    assert_eq!(of(&listed(&place, "law"), "luat-91-2025")["article"]["until"], json!(last));
    let grants = listed(&place, "grant");
    for grant in grants.as_array().unwrap() {
        let ends = grant["endsMs"] == json!(day.ends_ms());
        let id = grant["grant"]["id"].as_str().unwrap();
        assert_eq!((ends, &grant["state"]), (names(&standing).contains(&id), &json!("active")), "{id}");
    }
}

#[test]
fn superseding_an_agency_lists_what_is_to_be_signed_again_and_changes_nothing() {
    let place = Place::with_shipped_applied();
    let before = decided(&place);
    let supersede = |old: &str, new: &str| place.kenh(["agency", "supersede", old, new, "--output", "json"]);
    // A recipient's own grants; of an agency that answers for a dataset, every grant on it too.
    let own = supersede("G12", "G09").ok().complains("2 grants name G12").complains("nothing was changed").json();
    assert_eq!(names(&own), ["g12-dan-cu", "g12-don-vi-hanh-chinh"]);
    let owned = supersede("G01", "G09").ok().json();
    let on_people = ["g01-dan-cu", "g01-don-vi-hanh-chinh", "g12-dan-cu", "g18-dan-cu", "h29-dan-cu"];
    assert_eq!(names(&owned), on_people);
    supersede("G77", "G09").exits(1).complains("there is no agency G77");
    supersede("G12", "G77").exits(1).complains("there is no agency G77");
    supersede("G12", "G12").exits(2).complains("G12 does not take its own place");
    assert_eq!(decided(&place), before);
}

#[test]
fn a_suspended_grant_takes_its_copy_away_and_a_resumed_one_brings_it_back() {
    const GRANT: &str = "h29-don-vi-hanh-chinh";
    let place = place_of_units();
    let up = Up::start(&place, &["H29", "G12"]);
    produce(&place);
    up.await_rows("H29", UNITS, 30);
    let state = || {
        let all = listed(&place, "grant");
        let of = all.as_array().unwrap().iter().filter(|g| g["grant"]["id"] == GRANT);
        of.map(|g| (g["edition"].as_u64().unwrap(), g["state"].clone())).collect::<Vec<_>>()
    };
    place.kenh(["grant", "resume", GRANT]).exits(1).complains("is not suspended");
    let suspend = || place.kenh_reading(["grant", "suspend", GRANT, "--reason", "-"], "Nghi lộ dữ liệu\n");
    suspend().ok().complains("H29 is told to purge");
    suspend().ok().complains("is suspended already; nothing to do");
    until("the copy to be purged", || (up.get(&format!("/v1/views/H29/{UNITS}")).status == 404).then_some(()));
    assert_eq!(state(), [(1, json!("suspended"))]);
    let shown = place.kenh(["grant", "show", GRANT]).ok().json();
    assert_eq!(shown["because"], "Nghi lộ dữ liệu");
    // Others go on, and what was suspended is filled anew with what came meanwhile.
    let moved = json!({"HieuLucDen": "2026-01-01"});
    let mut unit: Value = serde_json::from_str(place.read("units.jsonl").lines().next().unwrap()).unwrap();
    unit["HieuLucDen"] = moved["HieuLucDen"].clone();
    place.write("gone.jsonl", unit.to_string());
    place.kenh(["produce", UNITS, "--from", "gone.jsonl", "--record-version", "2"]).ok();
    up.await_rows("G12", UNITS, 39);

    place.kenh(["grant", "resume", GRANT]).ok().complains("its next edition");
    up.await_rows("H29", UNITS, 29);
    assert_eq!(state(), [(1, json!("suspended")), (2, json!("active"))]);
    let get = |code: u32| place.kenh_reading(["view", "get", "H29", UNITS], key(code));
    get(2).ok().prints("Phường số 2");
    get(1).exits(1);
    place.kenh(["grant", "resume", GRANT]).exits(1).complains("is not suspended");
    place.kenh(["grant", "suspend", "khong-co"]).exits(1).complains("there is no grant khong-co");
    up.stop();
}

#[test]
fn emergency_grants_are_listed_with_the_day_of_their_review() {
    let place = Place::with_shipped_applied();
    let emergencies = || place.kenh(["grant", "list", "--emergency", "--output", "json"]).ok().json();
    assert_eq!(emergencies(), json!([]));
    let asked = ["--id", "cuu-ho", "--duration", "P3D", "--to", "broker-config/grants/cuu-ho.yaml"];
    ask(&place, "dan-cu", "HoVaTen", LAW, &asked).ok();
    let file = "broker-config/grants/cuu-ho.yaml";
    let emergency = "emergency: true\ntemplate: khan-cap-cuu-ho\npurpose: Cứu hộ, cứu nạn khi có thiên tai\n#";
    place.edit(file, "purpose: ", emergency);
    place.kenh(["apply", "schemas", "broker-config"]).ok();
    let listed_ones = emergencies();
    let [row] = listed_ones.as_array().unwrap().as_slice() else { panic!("{listed_ones}") };
    assert_eq!((&row["grant"]["id"], &row["state"]), (&json!("cuu-ho"), &json!("active")));
    let (starts, ends) = (row["startsMs"].as_i64().unwrap(), row["endsMs"].as_i64().unwrap());
    assert_eq!(ends - starts, 72 * 3_600_000);
    let by: Day = row["reviewBy"].as_str().unwrap().parse().unwrap();
    assert!(!by.is_weekend() && by > Day::of(starts) && by <= Day::of(starts + 8 * 86_400_000), "{by}");
    place.kenh(["grant", "list", "--emergency"]).ok().prints("review by").prints("cuu-ho").prints(&by.to_string());
    assert_eq!(listed(&place, "grant").as_array().unwrap().len(), 8);
}
