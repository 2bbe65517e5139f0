//! Every refused input, in every JSON form: a good record, the bad one, a good one. The good ones go on.

use kenh_producers::Format;

use crate::fixture::{CLOCK, GOOD, checked, checked_as, only_bad};

/// A good record with `what` replaced by `with`, as bytes, since some are no UTF-8.
fn with(what: &str, with: impl AsRef<[u8]>) -> Vec<u8> {
    let at = GOOD.find(what).expect("it is in the good record");
    [&GOOD.as_bytes()[..at], with.as_ref(), &GOOD.as_bytes()[at + what.len()..]].concat()
}

/// What is wrong with a record, the rule, and the field.
fn records() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let deep = format!("\"Ten\":{}{}", "[".repeat(100), "]".repeat(100));
    let large = |bytes: usize| format!("\"Ten\":\"{}\"", "x".repeat(bytes));
    vec![
        (with("\"Cap\":3", "\"Cap\":"), "malformed", "Cap"),
        (with("\"Cap\":3", "\"Cap\":3,\"Cap\":3"), "malformed", "Cap"),
        (with("\"Cap\":3", "\"Cap\":nil"), "malformed", "Cap"),
        (with("\"Ten\":\"Phường Sài Gòn\"", &deep), "malformed", "Ten"),
        (with("Phường", b"Ph\xc6 ng"), "not-utf-8", "Ten"),
        (with("Phường", b"P\x01"), "malformed", "Ten"),
        (with("\"Cap\"", "\"La\":1,\"Cap\""), "unknown-field", "La"),
        (with("\"MaXa\"", "\"La\":1,\"MaXa\""), "unknown-field", "NoiO.La"),
        (with("\"Cap\":3", "\"Cap\":\"3\""), "wrong-type", "Cap"),
        (with("\"Cap\":3", "\"Cap\":3.5"), "wrong-type", "Cap"),
        (with("\"Cap\":3", "\"Cap\":2147483648"), "wrong-type", "Cap"),
        (with("\"Cap\":3", "\"Cap\":99999999999999999999"), "wrong-type", "Cap"),
        (with("\"Cap\":3", "\"Cap\":null"), "required", "Cap"),
        (with("\"Cap\":3,", ""), "required", "Cap"),
        (with("3.04", "1e999"), "wrong-type", "DienTich"),
        (with("\"12.50\"", "12.505"), "wrong-type", "Gia"),
        (with("\"12.50\"", "12345.00"), "wrong-type", "Gia"),
        (with("\"12.50\"", "\"mười\""), "wrong-type", "Gia"),
        (with("true", "1"), "wrong-type", "Mo"),
        (with("\"full\"", "\"whole\""), "values", "Loai"),
        (with("2025-07-01", "01/07/2025"), "wrong-type", "Tu"),
        (with("2025-07-01", "2025-02-29"), "wrong-type", "Tu"),
        (with("[\"12/NQ\"]", "[12]"), "wrong-type", "VanBan"),
        (with("[\"12/NQ\"]", "\"12/NQ\""), "wrong-type", "VanBan"),
        (with("\"Ma\":\"00001\",", ""), "missing-key", "Ma"),
        (with("\"00001\"", "null"), "missing-key", "Ma"),
        (with("\"00001\"", "\"\""), "missing-key", "Ma"),
        (with("00001", "0".repeat(2000)), "key-too-long", ""),
        (with("Phường Sài Gòn", ""), "required", "Ten"),
        (with("Phường", "Phu\u{31b}ờng"), "not-nfc", "Ten"),
        (with("0100109106", "0100109107"), "check-digit", "MST"),
        (with("\"MST\":\"0100109106\"", "\"SoDinhDanh\":\"07908500123\""), "element", "SoDinhDanh"),
        (with("26740", "26741"), "code-list", "NoiO.MaXa"),
        (with("\"Ten\":\"Phường Sài Gòn\"", large(5_000_000)), "too-large", ""),
        (with("\"Ten\":\"Phường Sài Gòn\"", large(2_000_000)), "too-large", ""),
        (b"[]".to_vec(), "wrong-type", ""),
    ]
}

/// The record in an envelope; `before` and `after` are the text around it.
fn wrapped(before: &str, record: &[u8], after: &str) -> Vec<u8> {
    [before.as_bytes(), record, after.as_bytes()].concat()
}

/// On one line.
fn line(text: Vec<u8>) -> Vec<u8> {
    text.into_iter().filter(|b| *b != b'\n').chain([b'\n']).collect()
}

const FLAT: &str = r#"{"SuKien":"UPDATE","PhienBan":2,"ThoiGianCapNhat":"2025-10-01T00:00:00","DuLieu":"#;
const NATIONAL: &str = r#"{"NguonDuLieu":{"IdNguonDuLieu":"x"},"TrangThaiDuLieu":{"SuKien":"UPDATE","PhienBan":2,
    "ThoiGianCapNhat":"2025-10-01T00:00:00"},"DuLieuTiepNhan":"#;

fn assert_rejected(form: &str, text: &[u8], format: Format, rule: &str, field: &str) {
    let found = only_bad(&checked(format, text), 1);
    // What is no JSON is named by its place in the document, what breaks the contract by its place in the record.
    let inner = found.1.rsplit_once("DuLieu.").or_else(|| found.1.rsplit_once("DuLieuTiepNhan.")).map(|(_, f)| f);
    assert_eq!((found.0, inner.unwrap_or(&found.1)), (rule, field), "{form}");
}

#[test]
fn a_bad_record_is_rejected_by_its_rule_and_field_in_every_form() {
    let good = GOOD.as_bytes();
    for (bad, rule, field) in records() {
        let bare = [line(good.to_vec()), line(bad.clone()), line(good.to_vec())].concat();
        assert_rejected("bare", &bare, Format::Jsonl, rule, field);
        let flat = |r: &[u8]| line(wrapped(FLAT, r, "}"));
        assert_rejected("flat", &[flat(good), flat(&bad), flat(good)].concat(), Format::Jsonl, rule, field);
        let national = |r: &[u8]| wrapped(NATIONAL, r, "}");
        let documents = [national(good), national(&bad), national(good)].concat();
        assert_rejected("documents", &documents, Format::Envelope, rule, field);
        let batch = [national(good), b",".to_vec(), national(&bad), b",".to_vec(), national(good)].concat();
        assert_rejected("batch", &wrapped(r#"{"DanhSach":{"Root":["#, &batch, "]}}"), Format::Envelope, rule, field);
    }
}

#[test]
fn a_bad_envelope_is_rejected_by_its_rule_and_field() {
    let future = kenh_domain::limits::MAX_CLOCK_SKEW_MS + 1000 + CLOCK;
    let future = format!("2025-10-09T{}", clock_text(future));
    let record = GOOD.replace('\n', "");
    let flat = |event: &str, rest: &str, record: &str| {
        format!("{{\"SuKien\":{event},\"PhienBan\":2{rest},\"DuLieu\":{record}}}\n")
    };
    let cases = [
        (flat("\"GONE\"", "", &record), "unknown-event", "SuKien"),
        (flat("1", "", &record), "unknown-event", "SuKien"),
        (flat("\"NEW\"", "", "null"), "event-record", "DuLieu"),
        (flat("\"CANCEL\"", "", "null"), "missing-key", "Ma"),
        (flat("\"CANCEL\"", "", r#"{"Ma":"00001"}"#), "missing-key", "Tu"),
        (flat("\"CANCEL\"", r#","IdBanGhi":["9","2025-07-01"]"#, &record), "key-mismatch", "IdBanGhi"),
        (flat("\"NEW\"", r#","IdBanGhi":"9""#, &record), "key-mismatch", "IdBanGhi"),
        (flat("\"NEW\"", r#","La":1"#, &record), "unknown-field", "La"),
        (flat("\"NEW\"", r#","ThoiGianCapNhat":"hôm qua""#, &record), "wrong-type", "ThoiGianCapNhat"),
        (
            flat("\"NEW\"", &format!(",\"ThoiGianCapNhat\":\"{future}\""), &record),
            "updated-in-future",
            "ThoiGianCapNhat",
        ),
        (flat("\"NEW\"", r#","NgayHieuLuc":"2025-10-10""#, &record), "effective-in-future", "NgayHieuLuc"),
        (flat("\"NEW\"", r#","NgayHieuLuc":"10/10/2025""#, &record), "wrong-type", "NgayHieuLuc"),
        (flat("\"NEW\"", r#","VanBan":"12/NQ""#, &record), "wrong-type", "VanBan"),
        (flat("\"NEW\"", "", &record).replace("\"PhienBan\":2", "\"PhienBan\":0"), "version-low", "PhienBan"),
        (flat("\"NEW\"", "", &record).replace("\"PhienBan\":2", "\"PhienBan\":\"2\""), "wrong-type", "PhienBan"),
        (flat("\"NEW\"", "", &record).replace("\"PhienBan\":2", "\"PhienBan\":null"), "required", "PhienBan"),
        (flat("null", "", &record).replace("\"SuKien\":null,", ""), "required", "SuKien"),
    ];
    let good = flat("\"NEW\"", r#","NgayHieuLuc":"2025-10-09""#, &record);
    for (bad, rule, field) in cases {
        let text = format!("{good}{bad}{good}");
        assert_eq!(only_bad(&checked(Format::Jsonl, text.as_bytes()), 1), (rule, field.to_owned()), "{bad:.60}");
    }
}

/// The time of day in Việt Nam.
fn clock_text(ms: i64) -> String {
    let s = (ms / 1000 + 7 * 3600) % 86_400;
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

#[test]
fn lines_that_are_cut_blank_or_marked() {
    let good = line(GOOD.as_bytes().to_vec());
    let crlf: Vec<u8> = [&good[..good.len() - 1], b"\r\n"].concat();
    let text =
        [b"\xef\xbb\xbf".to_vec(), crlf.clone(), b"\r\n  \n".to_vec(), crlf, good[..good.len() - 1].to_vec()].concat();
    let results = checked(Format::Jsonl, &text);
    assert_eq!(results.len(), 3);
    assert!(results.iter().all(Result::is_ok));

    let cut = [&good[..], &good[..40]].concat();
    assert_eq!(only_bad(&checked(Format::Jsonl, &cut), 1).0, "truncated");
    // In the middle of a file it is the line that is broken, and not the file.
    let broken = [&good[..40], b"\n", &good[..]].concat();
    assert_eq!(only_bad(&checked(Format::Jsonl, &broken), 0).0, "malformed");
    // UTF-16, as some editors save.
    let utf16: Vec<u8> = std::str::from_utf8(&good).unwrap().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let results = checked(Format::Jsonl, &utf16);
    assert!(results.iter().all(Result::is_err) && !results.is_empty());
    assert!(checked(Format::Jsonl, b"").is_empty());
}

#[test]
fn who_may_send_is_asked_too() {
    let good = line(GOOD.as_bytes().to_vec());
    let rule = |provider: &str| only_bad(&checked_as(provider, Format::Jsonl, &good, None), 0).0;
    assert_eq!(rule("G03"), "not-provider");
    assert_eq!(rule("G02"), "not-its-rows");
    let own = line(with("\"Cap\":3", "\"Cap\":1"));
    assert!(checked_as("G02", Format::Jsonl, &own, None)[0].is_ok());
}

#[test]
fn everything_wrong_with_a_record_is_told_and_no_value_of_it() {
    let bad = line(with("\"Cap\":3", "\"Cap\":\"bí mật\",\"La\":\"bí mật\"").to_vec());
    let found = checked(Format::Jsonl, &bad).remove(0).unwrap_err();
    let told: Vec<_> = found.iter().map(|r| (r.rule.code(), r.field.as_str())).collect();
    assert_eq!(told, [("wrong-type", "Cap"), ("unknown-field", "La")]);
    assert!(!format!("{found:?}").contains("bí mật"));
}
