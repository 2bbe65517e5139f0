//! Envelopes, single and in batches, in the odd cases that senders make.

use kenh_domain::envelope::{self, Event, Submitted};
use kenh_domain::wire;
use kenh_producers::Format;
use kenh_producers::check::Ready;

use crate::fixture::{CLOCK, GOOD, GOOD_KEY, checked, only_bad};

fn sent(ready: &Ready) -> Submitted<'_> {
    let (id, body) = wire::split(&ready.value).unwrap();
    assert_eq!(id, crate::fixture::ENVELOPE);
    envelope::decode(body).unwrap()
}

fn one(format: Format, text: &str) -> Ready {
    let mut results = checked(format, text.as_bytes());
    assert_eq!(results.len(), 1, "{text:.80}");
    results.remove(0).unwrap()
}

fn national(state: &str, data: &str) -> String {
    format!(r#"{{"NguonDuLieu":{{"TenNguonDuLieu":"x"}},"TrangThaiDuLieu":{state},"DuLieuTiepNhan":{data}}}"#)
}

const STATE: &str = r#"{"SuKien":"UPDATE","LoaiSuKien":"x","PhienBan":2,"ThoiGianCapNhat":"2025-07-01T00:00:00",
    "NgayHieuLuc":"2025-07-01","MoTa":{"LyDoCapNhat":"sắp xếp","ChiTietLyDoCapNhat":"theo nghị quyết"}}"#;

#[test]
fn a_bare_record_takes_what_it_lacks_from_the_caller() {
    let ready = one(Format::Jsonl, &GOOD.replace('\n', ""));
    let change = sent(&ready);
    assert_eq!((change.event, change.version, change.updated_ms), (Event::New, 7, CLOCK));
    assert_eq!(ready.key, GOOD_KEY.as_bytes());
    assert_eq!(ready.partition, kenh_domain::key::partition(GOOD_KEY.as_bytes(), 3));
}

#[test]
fn the_national_envelope_says_all_of_its_own() {
    let ready = one(Format::Envelope, &national(STATE, GOOD));
    let change = sent(&ready);
    // Midnight in Việt Nam.
    assert_eq!((change.event, change.version, change.updated_ms), (Event::Update, 2, 1_751_302_800_000));
    assert_eq!(change.effective_days, kenh_domain::date::parse("2025-07-01"));
    assert_eq!(change.reason, Some("sắp xếp: theo nghị quyết"));
    // The same record is the same bytes, however it came.
    let bare = one(Format::Jsonl, &GOOD.replace('\n', ""));
    assert_eq!(change.record, sent(&bare).record);
    // Also as one line of JSON lines.
    assert_eq!(one(Format::Jsonl, &national(STATE, GOOD).replace('\n', "")), ready);
}

#[test]
fn the_flat_envelope_is_the_avro_one() {
    let text = r#"{"BanTin":{"Id":"x","SoThuTu":5},"SuKien":"CANCEL","PhienBan":3,"ThoiGianCapNhat":"2025-07-01T00:00:00Z",
        "NgayHieuLuc":null,"LyDoCapNhat":"nhập nhầm","VanBan":["1/QĐ","2/QĐ"],"TraceContext":"00-1","DuLieu":null,
        "IdBanGhi":["00001","2025-07-01"]}"#;
    let ready = one(Format::Jsonl, &text.replace('\n', ""));
    let change = sent(&ready);
    assert_eq!((change.event, change.version, change.updated_ms), (Event::Cancel, 3, 1_751_328_000_000));
    assert_eq!((change.reason, change.trace), (Some("nhập nhầm"), Some("00-1")));
    assert_eq!(change.documents(), ["1/QĐ", "2/QĐ"]);
    assert_eq!((change.record, ready.key.as_slice()), (None, GOOD_KEY.as_bytes()));
    assert_eq!((change.submission, change.number), ("s", 1));
}

#[test]
fn names_are_taken_in_any_case_and_events_in_other_words() {
    let shout = national(STATE, GOOD).replace("TrangThaiDuLieu", "TRANGTHAIDULIEU").replace("SuKien", "suKien");
    let shout =
        shout.replace("DuLieuTiepNhan", "dulieutiepnhan").replace("\"Ma\"", "\"MA\"").replace("\"MaXa\"", "\"maXa\"");
    assert_eq!(one(Format::Envelope, &shout), one(Format::Envelope, &national(STATE, GOOD)));
    for (word, event) in [
        ("ADD", Event::New),
        ("new", Event::New),
        ("EDIT", Event::Update),
        ("Update", Event::Update),
        ("DEL", Event::Cancel),
        ("CANCEL", Event::Cancel),
    ] {
        let text = national(&STATE.replace("UPDATE", word), GOOD);
        assert_eq!(sent(&one(Format::Envelope, &text)).event, event, "{word}");
    }
    // A bare record has its names to the letter.
    let bare = GOOD.replace('\n', "").replace("\"Cap\"", "\"cap\"");
    assert_eq!(only_bad(&checked(Format::Jsonl, bare.as_bytes()), 0), ("required", "Cap".into()));
    // Two names that differ in their letters only are one field twice.
    let twice = national(STATE, &GOOD.replace("\"Cap\":3", "\"Cap\":3,\"CAP\":4"));
    assert_eq!(only_bad(&checked(Format::Envelope, twice.as_bytes()), 0), ("malformed", "CAP".into()));
    let twice = national(STATE, GOOD).replace("\"NguonDuLieu\"", "\"trangthaidulieu\":{},\"NguonDuLieu\"");
    assert_eq!(only_bad(&checked(Format::Envelope, twice.as_bytes()), 0).0, "malformed");
}

#[test]
fn a_cancel_needs_its_key_and_nothing_else() {
    let state = STATE.replace("UPDATE", "CANCEL");
    for data in [
        r#"{"Ma":"00001","Tu":"2025-07-01"}"#,
        r#"{"IdBanGhi":["00001","2025-07-01"]}"#,
        r#"{"MaDinhDanhDuLieu":"[\"00001\",\"2025-07-01\"]"}"#,
        r#"{"idbanghi":["00001","2025-07-01"],"Ten":5}"#,
        GOOD,
    ] {
        let ready = one(Format::Envelope, &national(&state, data));
        assert_eq!((sent(&ready).record, ready.key.as_slice()), (None, GOOD_KEY.as_bytes()), "{data:.60}");
    }
    let bad = national(&state, r#"{"Ten":"x"}"#);
    assert_eq!(only_bad(&checked(Format::Envelope, bad.as_bytes()), 0).0, "missing-key");
    let bad = national(&state, r#"{"IdBanGhi":["1","2025-07-01"],"Ma":"00001","Tu":"2025-07-01"}"#);
    assert_eq!(only_bad(&checked(Format::Envelope, bad.as_bytes()), 0).0, "key-mismatch");
    let bad = national(&state, r#"{"IdBanGhi":{"Ma":"1"}}"#);
    assert_eq!(only_bad(&checked(Format::Envelope, bad.as_bytes()), 0).0, "wrong-type");
}

#[test]
fn files_of_the_envelope_are_nobodys_field() {
    let none = national(STATE, &GOOD.replacen('{', r#"{"PhanPhoi":[],"#, 1));
    assert_eq!(one(Format::Envelope, &none), one(Format::Envelope, &national(STATE, GOOD)));
    let some = national(STATE, &GOOD.replacen('{', r#"{"PhanPhoi":[{"Id":"1"}],"#, 1));
    assert_eq!(only_bad(&checked(Format::Envelope, some.as_bytes()), 0), ("unknown-field", "PhanPhoi".into()));
}

#[test]
fn a_document_may_be_a_bare_record() {
    let json = one(Format::Jsonl, &GOOD.replace('\n', ""));
    assert_eq!(one(Format::Envelope, GOOD), json);
    assert_eq!(one(Format::Envelope, &format!("[{GOOD}]")), json);
    // Half of an envelope is not a bare record.
    let half = format!(r#"{{"DuLieuTiepNhan":{GOOD}}}"#);
    assert_eq!(only_bad(&checked(Format::Envelope, half.as_bytes()), 0), ("required", "SuKien".into()));
    assert_eq!(only_bad(&checked(Format::Jsonl, half.replace('\n', "").as_bytes()), 0).0, "required");
}

/// Every way of putting two envelopes into one input.
#[test]
fn documents_and_batches() {
    let e = national(STATE, GOOD);
    for text in [
        format!("{e}{e}"),
        format!("\u{feff}{e}\n{e}\n"),
        format!("[{e},{e}]"),
        format!("[{{\"Root\":{e}}},{{\"Root\":{e}}}]"),
        format!(r#"{{"Root":{e}}} {{"root":{e}}}"#),
        format!(r#"{{"Root":[{e},{e}]}}"#),
        format!(r#"{{"DanhSach":{{"Root":[{e},{e}]}}}}"#),
        format!(r#"{{"danhSach" : {{ "ROOT" : [ {e} , {e} ] }} , "TongSo" : 2 }}"#),
        format!(r#"{{"DanhSach":[{e},{e}]}}"#),
        format!(r#"{{"DanhSach":{{"SoLuong":2,"Root":[{e},{e}],"GhiChu":{{"a":["}}"]}}}}}}"#),
        format!(r#"{{"DanhSach":{{"Root":{e}}}}}{e}"#),
    ] {
        let results = checked(Format::Envelope, text.as_bytes());
        assert_eq!(results.len(), 2, "{text:.60}");
        assert!(results.iter().all(Result::is_ok), "{text:.60}");
    }
    for empty in ["", " \n", "[]", "{\"DanhSach\":{\"Root\":[]}}", "{\"DanhSach\":{}}"] {
        assert!(checked(Format::Envelope, empty.as_bytes()).is_empty(), "{empty}");
    }
}

/// What surrounds the envelopes is broken: those before are taken, one rejection says what is wrong, and nothing follows.
#[test]
fn a_broken_batch_loses_what_follows_and_nothing_before() {
    let e = national(STATE, GOOD);
    for (text, rule) in [
        (format!("{{\"DanhSach\":{{\"Root\":[{e},"), "truncated"),
        (format!("{{\"DanhSach\":{{\"Root\":[{e},{}", &e[..60]), "truncated"),
        (format!("{{\"DanhSach\":{{\"Root\":[{e}"), "truncated"),
        (format!("{{\"DanhSach\":{{\"Root\":[{e} {e}]}}}}"), "malformed"),
        (format!("{{\"DanhSach\":{{\"Root\":[{e},]}}}}"), "malformed"),
        (format!("{e} x"), "malformed"),
        (format!("[{e}}}"), "malformed"),
        (format!("{e}{{\"DanhSach\":{{\"Root\" []}}}}"), "malformed"),
        (format!("{e}{{\"DanhSach\":{{Root:[]}}}}"), "malformed"),
        (format!("{e}{{\"DanhSach\":{{\"DanhSach\":{{\"DanhSach\":{{\"DanhSach\":{{}}}}}}}}}}"), "malformed"),
        (format!("{e}{{"), "truncated"),
        (format!("{e}{{\"Root\""), "truncated"),
        (format!("{e}{{\"Root\":"), "truncated"),
    ] {
        let results = checked(Format::Envelope, text.as_bytes());
        assert_eq!(results.len(), 2, "{:.60}", &text[text.len() - 40..]);
        assert_eq!(only_bad(&results, 1).0, rule, "{}", &text[text.len() - 40..]);
    }
    // An element that is no envelope costs itself only.
    let text = format!("[{e},5,{e},\"x\",null,{{}},{e}]");
    let results = checked(Format::Envelope, text.as_bytes());
    let good: Vec<_> = results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, true, false, false, false, true]);
}
