//! CSV through a mapping.

use kenh_domain::envelope::{self, Event};
use kenh_domain::wire;
use kenh_producers::format::MappingError;
use kenh_producers::{Format, Mapping, SourceError, open};

use crate::fixture::{GOOD, GOOD_KEY, checked, checked_as, items, only_bad, rules};

const MAPPING: &str = r#"
delimiter: ";"
nullText: ["", "NULL"]
trim: true
columns:
  Mã: Ma
  Từ ngày: {field: Tu, date: d/M/yyyy}
  Tên: Ten
  Loại: {field: Loai, replace: {Toàn bộ: full, Một phần: partial}}
  Diện tích: {field: DienTich, decimalComma: true}
  Giá: {field: Gia, decimalComma: true}
  Mở: {field: Mo, trueText: [Có], falseText: [Không]}
  Xã: NoiO.MaXa
  MST: MST
  Văn bản: {field: VanBan, separator: "|"}
  Sự kiện: {envelope: SuKien}
  Phiên bản: {envelope: PhienBan}
  Ghi chú: {ignore: true}
constants:
  Cap: "3"
"#;

const HEAD: &str = "Mã;Từ ngày;Tên;Loại;Diện tích;Giá;Mở;Xã;MST;Văn bản;Sự kiện;Phiên bản;Ghi chú\n";
const ROW: &str = "00001; 1/7/2025;Phường Sài Gòn;Toàn bộ;3,04;12,50;Có;26740;0100109106;12/NQ;EDIT;2;bỏ qua\n";

fn mapping() -> Mapping {
    Mapping::parse(MAPPING).unwrap()
}

#[test]
fn a_mapped_row_is_the_same_record_as_its_json() {
    let mapping = mapping();
    let text = format!("\u{feff}{HEAD}\n{ROW}\r\n{ROW}");
    let results = checked_as("G01", Format::Csv, text.as_bytes(), Some(&mapping));
    assert_eq!(results.len(), 2);
    let ready = results[0].as_ref().unwrap();
    assert_eq!(ready.key, GOOD_KEY.as_bytes());
    let change = envelope::decode(wire::split(&ready.value).unwrap().1).unwrap();
    assert_eq!((change.event, change.version), (Event::Update, 2));
    let json = checked(Format::Jsonl, GOOD.replace('\n', "").as_bytes()).remove(0).unwrap();
    assert_eq!(change.record, envelope::decode(wire::split(&json.value).unwrap().1).unwrap().record);

    let lines: Vec<_> = items(&rules(), Format::Csv, text.as_bytes(), Some(&mapping)).iter().map(|i| i.line).collect();
    assert_eq!(lines, [Some(3), Some(5)]);
}

#[test]
fn nulls_stand_where_the_schema_has_room_for_them() {
    let mapping = mapping();
    let row = "00001;1/7/2025;Tên;Một phần;NULL;;;;;;;;\n";
    let ready = checked_as("G01", Format::Csv, format!("{HEAD}{row}").as_bytes(), Some(&mapping)).remove(0).unwrap();
    let change = envelope::decode(wire::split(&ready.value).unwrap().1).unwrap();
    // The caller's event and version stand for cells without them.
    assert_eq!((change.event, change.version), (Event::New, 7));
    let json = r#"{"Ma":"00001","Tu":"2025-07-01","Ten":"Tên","Cap":3,"Loai":"partial"}"#;
    let json = checked(Format::Jsonl, json.as_bytes()).remove(0).unwrap();
    assert_eq!(change.record, envelope::decode(wire::split(&json.value).unwrap().1).unwrap().record);
}

#[test]
fn a_cancelled_row_needs_its_key_only() {
    let row = "00001;1/7/2025;;;;;;;;;DEL;3;\n";
    let ready = checked_as("G01", Format::Csv, format!("{HEAD}{row}").as_bytes(), Some(&mapping())).remove(0).unwrap();
    let change = envelope::decode(wire::split(&ready.value).unwrap().1).unwrap();
    assert_eq!((change.event, change.record, ready.key.as_slice()), (Event::Cancel, None, GOOD_KEY.as_bytes()));
    let row = "00001;;;;;;;;;;DEL;3;\n";
    let results = checked_as("G01", Format::Csv, format!("{HEAD}{row}").as_bytes(), Some(&mapping()));
    assert_eq!(only_bad(&results, 0), ("missing-key", "Tu".into()));
}

#[test]
fn a_bad_row_is_rejected_by_its_rule_and_field() {
    let cases: &[(&str, &str, &str, &str)] = &[
        ("1/7/2025", "2025-07-01", "wrong-type", "Tu"),
        ("1/7/2025", "31/6/2025", "wrong-type", "Tu"),
        ("1/7/2025", "", "missing-key", "Tu"),
        ("00001", "", "missing-key", "Ma"),
        ("Toàn bộ", "Nửa", "values", "Loai"),
        ("3,04", "ba", "wrong-type", "DienTich"),
        ("12,50", "12,505", "wrong-type", "Gia"),
        ("Có", "Đúng", "wrong-type", "Mo"),
        ("26740", "26741", "code-list", "NoiO.MaXa"),
        ("0100109106", "0100109107", "check-digit", "MST"),
        ("Phường", "Phu\u{31b}ờng", "not-nfc", "Ten"),
        ("EDIT", "XYZ", "unknown-event", "SuKien"),
        (";2;", ";hai;", "wrong-type", "PhienBan"),
        (";2;", ";0;", "version-low", "PhienBan"),
        ("bỏ qua", "bỏ qua;thừa", "malformed", ""),
        (";bỏ qua", "", "malformed", ""),
    ];
    for (what, with, rule, field) in cases {
        assert!(ROW.contains(what), "{what}");
        let text = format!("{HEAD}{ROW}{}{ROW}", ROW.replacen(what, with, 1));
        let results = checked_as("G01", Format::Csv, text.as_bytes(), Some(&mapping()));
        assert_eq!(only_bad(&results, 1), (*rule, (*field).to_owned()), "{with}");
    }
    let bad = ROW.replace("Phường", "?").into_bytes();
    let bad: Vec<u8> = bad.into_iter().map(|b| if b == b'?' { 0xff } else { b }).collect();
    let text = [HEAD.as_bytes(), ROW.as_bytes(), &bad, ROW.as_bytes()].concat();
    assert_eq!(only_bad(&checked_as("G01", Format::Csv, &text, Some(&mapping())), 1), ("not-utf-8", "Ten".into()));
}

#[test]
fn quotes_and_sizes() {
    let quoted = ROW.replace("Phường Sài Gòn", "\"Phường \"\"Sài;\nGòn\"\"\"");
    let text = format!("{HEAD}{quoted}{ROW}");
    let rules = rules();
    let found = items(&rules, Format::Csv, text.as_bytes(), Some(&mapping()));
    assert_eq!(
        found.iter().map(|i| (i.change.is_ok(), i.line)).collect::<Vec<_>>(),
        [(true, Some(2)), (true, Some(4))]
    );

    // A quote that never closes takes the rest of the file with it, and says so.
    let open_quote = ROW.replace("Phường", "\"Phường");
    let results = checked_as("G01", Format::Csv, format!("{HEAD}{ROW}{open_quote}{ROW}").as_bytes(), Some(&mapping()));
    assert_eq!((results.len(), only_bad(&results, 1).0), (2, "truncated"));
    // A file without a last line end is whole.
    let text = format!("{HEAD}{ROW}");
    let results = checked_as("G01", Format::Csv, text.trim_end().as_bytes(), Some(&mapping()));
    assert!(results.len() == 1 && results[0].is_ok());
    // Cut in the middle of its last row.
    let results = checked_as("G01", Format::Csv, &text.as_bytes()[..text.len() - 40], Some(&mapping()));
    assert_eq!(only_bad(&results, 0).0, "malformed");

    let large = ROW.replace("Phường", &"x".repeat(5_000_000));
    let results = checked_as("G01", Format::Csv, format!("{HEAD}{ROW}{large}{ROW}").as_bytes(), Some(&mapping()));
    assert_eq!((results.len(), only_bad(&results, 1)), (3, ("too-large", String::new())));
    let wide = format!("{}\n", ";".repeat(3000));
    let results = checked_as("G01", Format::Csv, format!("{HEAD}{ROW}{wide}{ROW}").as_bytes(), Some(&mapping()));
    assert_eq!((results.len(), only_bad(&results, 1)), (3, ("malformed", String::new())));
}

#[test]
fn without_a_mapping_columns_are_called_like_fields() {
    let text = "Ma,Tu,Ten,Cap,Loai,NoiO.MaXa\n00001,2025-07-01,Tên,3,full,26740\n00002,2025-07-01,Tên,x,full,\n";
    let results = checked(Format::Csv, text.as_bytes());
    assert_eq!(only_bad(&results, 1), ("wrong-type", "Cap".into()));
}

fn refused(mapping: Option<&str>, text: &[u8]) -> String {
    let rules = rules();
    let mapping = mapping.map(|m| Mapping::parse(m).unwrap());
    let input = Box::new(std::io::Cursor::new(text.to_vec()));
    match open(Format::Csv, input, &rules, mapping.as_ref()) {
        Ok(_) => panic!("it was opened"),
        Err(SourceError::Mapping(MappingError::Misfit { at, problem })) => format!("{at}: {problem}"),
        Err(other) => other.to_string(),
    }
}

#[test]
fn a_mapping_that_does_not_fit_is_refused_before_any_row() {
    let columns = |columns: &str| format!("columns: {{{columns}}}");
    let cases: &[(&str, &str, &str)] = &[
        ("Ma: Ma", "Ma,Ten\n", "column \"Ten\": the file has this column"),
        ("Ma: Ma, Ten: Ten", "Ma\n", "column \"Ten\": the file has no such column"),
        ("Ma: Mã", "Ma\n", "the contract has no field Mã; did you mean Ma?"),
        ("Ma: Ma, B: Ma", "Ma,B\n", "another column or constant"),
        ("Ma: NoiO", "Ma\n", "NoiO is a record"),
        ("Ma: VanBan", "Ma\n", "say its separator"),
        ("Ma: {field: Ma, separator: ','}", "Ma\n", "separator is for lists"),
        ("Ma: {field: Ma, date: dd/MM/yyyy}", "Ma\n", "date is for dates"),
        ("Ma: {field: Tu, date: dd/MM}", "Ma\n", "no form of a date"),
        ("Ma: {field: Ma, decimalComma: true}", "Ma\n", "decimalComma is for numbers"),
        ("Ma: {field: Ma, trueText: [x]}", "Ma\n", "trueText is for booleans"),
        ("Ma: {field: Ma, ignore: true}", "Ma\n", "exactly one of"),
        ("Ma: {envelope: DuLieu}", "Ma\n", "DuLieu is none of"),
        ("Ma: {envelope: SuKien}, B: {envelope: SuKien}", "Ma,B\n", "another column or constant"),
    ];
    for (mapping, text, told) in cases {
        let found = refused(Some(&columns(mapping)), text.as_bytes());
        assert!(found.contains(told), "{mapping}: {found}");
    }
    assert!(refused(Some("columns: {Ma: Ma}\nconstants: {Ma: x}"), b"Ma\n").contains("already"));
    assert!(refused(Some("columns: {Ma: Ma}\nconstants: {Mo: x}"), b"Ma\n").contains("a boolean is written"));
    assert!(refused(Some("columns: {Ma: Ma}\ndelimiter: đ"), b"Ma\n").contains("ASCII"));
    assert!(refused(None, b"").contains("empty"));
    assert!(refused(None, b"Ma,Ma\n").contains("twice"));
    assert!(refused(None, b"M\xff\n").contains("UTF-8"));
    assert!(refused(None, b"\"Ma\n").contains("never closed"));
    // Columns without a name that nobody wants may be many.
    let mapping = Mapping::parse("columns: {Ma: Ma, '': {ignore: true}}").unwrap();
    assert!(open(Format::Csv, Box::new(&b"Ma,,\n"[..]), &rules(), Some(&mapping)).is_ok());
}
