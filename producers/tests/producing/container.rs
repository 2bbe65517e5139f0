//! Avro object container files, written by `apache-avro`.

use apache_avro::types::Value;
use apache_avro::{Codec, Schema, Writer};
use kenh_domain::admit::Rules;
use kenh_domain::contract::SchemaVersion;
use kenh_domain::envelope::{self, Event};
use kenh_domain::wire::{self, SchemaId};
use kenh_producers::check::Ready;
use kenh_producers::{Format, SourceError, open};

use crate::fixture::{GOOD, SCHEMA, checked, contract, items, only_bad, rules};

/// A good record as `apache-avro` holds it.
fn good(ma: &str) -> Value {
    let some = |v: Value| Value::Union(1, Box::new(v));
    let text = |t: &str| Value::String(t.into());
    let fields = vec![
        ("Ma", text(ma)),
        ("Tu", Value::Date(kenh_domain::date::parse("2025-07-01").unwrap())),
        ("Ten", text("Phường Sài Gòn")),
        ("Cap", Value::Int(3)),
        ("Loai", Value::Enum(0, "full".into())),
        ("DienTich", some(Value::Double(3.04))),
        ("Gia", some(Value::Decimal(vec![0x04, 0xe2].into()))),
        ("Mo", some(Value::Boolean(true))),
        (
            "NoiO",
            some(Value::Record(vec![
                ("MaXa".into(), text("26740")),
                ("Den".into(), Value::Union(0, Box::new(Value::Null))),
            ])),
        ),
        ("MST", some(text("0100109106"))),
        ("SoDinhDanh", Value::Union(0, Box::new(Value::Null))),
        ("VanBan", Value::Array(vec![text("12/NQ")])),
    ];
    Value::Record(fields.into_iter().map(|(n, v)| (n.to_owned(), v)).collect())
}

/// A container of `values`, a block each.
fn written(schema: &str, codec: Codec, values: Vec<Value>) -> Vec<u8> {
    let schema = Schema::parse_str(schema).unwrap();
    let mut writer = Writer::with_codec(&schema, Vec::new(), codec).unwrap();
    for value in values {
        writer.append_value(value).unwrap();
        writer.flush().unwrap();
    }
    writer.into_inner().unwrap()
}

fn three() -> Vec<Value> {
    ["00001", "00002", "00003"].map(good).to_vec()
}

fn record(ready: &Ready) -> Vec<u8> {
    envelope::decode(wire::split(&ready.value).unwrap().1).unwrap().record.unwrap().to_vec()
}

#[test]
fn a_record_of_a_container_is_the_same_bytes_as_its_json() {
    let json = checked(Format::Jsonl, GOOD.replace('\n', "").as_bytes()).remove(0).unwrap();
    for codec in [Codec::Null, Codec::Deflate(Default::default())] {
        let results = checked(Format::Avro, &written(SCHEMA, codec, three()));
        assert_eq!(results.len(), 3);
        assert_eq!(results[0].as_ref().unwrap(), &json);
    }
}

#[test]
fn a_record_that_breaks_a_rule_is_rejected_and_the_others_go_on() {
    let mut values = three();
    let Value::Record(fields) = &mut values[1] else { unreachable!() };
    fields[9].1 = Value::Union(1, Box::new(Value::String("0100109107".into())));
    let results = checked(Format::Avro, &written(SCHEMA, Codec::Null, values));
    assert_eq!(only_bad(&results, 1), ("check-digit", "MST".into()));
}

/// Other writers put the size of a block before it, or an array into several blocks: the same record all the same.
#[test]
fn another_way_of_writing_an_array_is_the_same_record() {
    let json = checked(Format::Jsonl, GOOD.replace('\n', "").as_bytes()).remove(0).unwrap();
    let plain = record(&json);
    let head = written(SCHEMA, Codec::Null, vec![]);
    let sync = &head[head.len() - 16..];
    // "12/NQ": one block of one item, then the end.
    let array = [&[2, 10][..], b"12/NQ", &[0]].concat();
    assert!(plain.ends_with(&array));
    let sized = [&plain[..plain.len() - array.len()], &[1, 12, 10], b"12/NQ", &[0]].concat();
    let mut block = Vec::new();
    kenh_domain::schema::put_long(1, &mut block);
    kenh_domain::schema::put_long(sized.len().try_into().unwrap(), &mut block);
    let results = checked(Format::Avro, &[&head[..], &block, &sized, sync].concat());
    assert_eq!(results, [Ok(json)]);
}

#[test]
fn another_writer_schema_is_resolved_to_the_newest() {
    // An int where the contract has it, fields in another order, most of them missing, one more than the contract has.
    let text = r#"{"type":"record","name":"HoSo","fields":[
        {"name":"La","type":"string"},
        {"name":"Cap","type":"int"},
        {"name":"Ten","type":"string"},
        {"name":"Ma","type":"string"},
        {"name":"Tu","type":{"type":"int","logicalType":"date"}},
        {"name":"Loai","type":{"type":"enum","name":"Loai","symbols":["partial","full"]}}]}"#;
    let value = Value::Record(vec![
        ("La".into(), Value::String("x".into())),
        ("Cap".into(), Value::Int(3)),
        ("Ten".into(), Value::String("Tên".into())),
        ("Ma".into(), Value::String("00001".into())),
        ("Tu".into(), Value::Date(20_270)),
        ("Loai".into(), Value::Enum(1, "full".into())),
    ]);
    let ready = checked(Format::Avro, &written(text, Codec::Null, vec![value])).remove(0).unwrap();
    let json = r#"{"Ma":"00001","Tu":"2025-07-01","Ten":"Tên","Cap":3,"Loai":"full"}"#;
    assert_eq!(ready, checked(Format::Jsonl, json.as_bytes()).remove(0).unwrap());
}

#[test]
fn a_file_without_logical_types_has_those_of_the_contract() {
    let plain = SCHEMA
        .replace("{\"type\":\"int\",\"logicalType\":\"date\"}", "\"int\"")
        .replace("{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":6,\"scale\":2}", "\"bytes\"");
    assert!(!plain.contains("logicalType"));
    let Value::Record(mut fields) = good("00001") else { panic!() };
    for (name, value) in &mut fields {
        *value = match (name.as_str(), &*value) {
            ("Tu", Value::Date(days)) => Value::Int(*days),
            ("Gia", _) => Value::Union(1, Box::new(Value::Bytes(vec![0x04, 0xe2]))),
            (_, same) => same.clone(),
        };
    }
    let as_said = checked(Format::Avro, &written(SCHEMA, Codec::Null, vec![good("00001")])).remove(0).unwrap();
    let bare = checked(Format::Avro, &written(&plain, Codec::Null, vec![Value::Record(fields)])).remove(0).unwrap();
    assert_eq!(record(&as_said), record(&bare));
}

#[test]
fn an_older_version_of_the_contract_stays_what_it_is() {
    let newer = SCHEMA.replacen(
        "{\"name\":\"VanBan\"",
        "{\"name\":\"Moi\",\"type\":[\"null\",\"string\"],\"default\":null},\n{\"name\":\"VanBan\"",
        1,
    );
    let mut contract = contract();
    contract.schemas.push(SchemaVersion { version: 2, id: SchemaId(20), schema: newer, envelope_id: SchemaId(21) });
    let rules = Rules::compile(&contract).unwrap();
    let found = items(&rules, Format::Avro, &written(SCHEMA, Codec::Null, three()), None);
    assert!(found.iter().all(|i| i.change.as_ref().unwrap().schema == crate::fixture::RECORD));
    let json = items(&rules, Format::Jsonl, GOOD.replace('\n', "").as_bytes(), None);
    assert_eq!(json[0].change.as_ref().unwrap().schema, SchemaId(20));
}

#[test]
fn envelopes_come_with_their_own_event_and_version() {
    let text = envelope::schema(SCHEMA).unwrap();
    let none = || Value::Union(0, Box::new(Value::Null));
    let envelope = |event: u32, word: &str, record: Value| {
        let fields = vec![
            (
                "BanTin",
                Value::Record(vec![("Id".into(), Value::String("x".into())), ("SoThuTu".into(), Value::Long(9))]),
            ),
            ("SuKien", Value::Enum(event, word.into())),
            ("PhienBan", Value::Long(5)),
            ("ThoiGianCapNhat", Value::TimestampMillis(1000)),
            ("NgayHieuLuc", none()),
            ("LyDoCapNhat", none()),
            ("VanBan", Value::Array(vec![Value::String("1/QĐ".into())])),
            ("TraceContext", none()),
            ("DuLieu", record),
        ];
        Value::Record(fields.into_iter().map(|(n, v)| (n.to_owned(), v)).collect())
    };
    let values = vec![
        envelope(1, "UPDATE", Value::Union(1, Box::new(good("00001")))),
        envelope(2, "CANCEL", none()),
        envelope(0, "NEW", Value::Union(1, Box::new(good("00003")))),
    ];
    let results = checked(Format::Avro, &written(&text, Codec::Null, values));
    // A container has no place for the key of a record that is gone.
    assert_eq!(only_bad(&results, 1), ("missing-key", String::new()));
    let ready = results[0].as_ref().unwrap();
    let change = envelope::decode(wire::split(&ready.value).unwrap().1).unwrap();
    assert_eq!((change.event, change.version, change.updated_ms), (Event::Update, 5, 1000));
    assert_eq!((change.number, change.documents()), (1, vec!["1/QĐ"]));
    let json = checked(Format::Jsonl, GOOD.replace('\n', "").as_bytes()).remove(0).unwrap();
    assert_eq!(record(ready), record(&json));
}

#[test]
fn a_damaged_deflated_block_costs_itself_and_a_bomb_nothing() {
    let deflate = || Codec::Deflate(Default::default());
    let head = written(SCHEMA, deflate(), vec![]);
    let sync = &head[head.len() - 16..];
    let block = |count: i64, body: &[u8]| {
        let mut out = Vec::new();
        kenh_domain::schema::put_long(count, &mut out);
        kenh_domain::schema::put_long(body.len().try_into().unwrap(), &mut out);
        [&out, body, sync].concat()
    };
    let good = written(SCHEMA, deflate(), three());
    let good = &good[head.len()..];
    // 200 MiB of zeros: far beyond what a block may hold, in 200 KiB.
    let bomb = miniz_oxide::deflate::compress_to_vec(&vec![0; 200 << 20], 6);
    for bad in [block(1, &[0xff; 20]), block(1, &bomb), block(1, b""), block(i64::MAX, b"")] {
        // The good blocks are of another file: they are given this one's mark.
        let mine = replace(good, &good[good.len() - 16..], sync);
        let results = checked(Format::Avro, &[&head[..], &bad, &mine].concat());
        assert_eq!((results.len(), only_bad(&results, 0).0), (4, "avro"));
    }
}

/// `bytes` with every `what` in them replaced by `with`, which is as long.
fn replace(bytes: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = out[at..].windows(what.len()).position(|w| w == what) {
        out[at + found..at + found + what.len()].copy_from_slice(with);
        at += found + what.len();
    }
    out
}

#[test]
fn a_cut_file_is_truncated_and_a_damaged_block_costs_its_own_records() {
    let whole = written(SCHEMA, Codec::Null, three());
    let block = (whole.len() - written(SCHEMA, Codec::Null, vec![]).len()) / 3;
    for cut in [1, 8, 17, block - 1] {
        let results = checked(Format::Avro, &whole[..whole.len() - cut]);
        assert_eq!((results.len(), only_bad(&results, 2)), (3, ("truncated", String::new())), "cut by {cut}");
    }
    // The first byte of the second block's body: the length of Ma.
    let second = whole.len() - 2 * block;
    let at = second + 3;
    let mut damaged = whole.clone();
    assert_eq!(damaged[at], 10);
    damaged[at] = 0xff;
    let results = checked(Format::Avro, &damaged);
    assert_eq!((results.len(), only_bad(&results, 1)), (3, ("avro", "Ma".into())));
    // The mark behind a block: nothing after it can be found.
    let mut damaged = whole;
    damaged[second - 1] ^= 1;
    let results = checked(Format::Avro, &damaged);
    assert_eq!((results.len(), only_bad(&results, 0).0), (1, "malformed"));
}

#[test]
fn what_is_no_container_of_this_dataset_is_refused_at_once() {
    let refused = |bytes: Vec<u8>| match open(Format::Avro, Box::new(std::io::Cursor::new(bytes)), &rules(), None) {
        Ok(_) => panic!("it was opened"),
        Err(SourceError::Head(what)) => what,
        Err(other) => panic!("{other}"),
    };
    let whole = written(SCHEMA, Codec::Null, three());
    assert!(refused(b"{}".to_vec()).contains("does not start"));
    assert!(refused(Vec::new()).contains("does not start"));
    assert!(refused(whole[..40].to_vec()).contains("ends in its head"));
    let other = r#"{"type":"record","name":"X","fields":[{"name":"a","type":"int"}]}"#;
    let value = Value::Record(vec![("a".into(), Value::Int(1))]);
    assert!(refused(written(other, Codec::Null, vec![value])).contains("cannot be read as the newest"));
    // The same bytes, said to be other values.
    let others = [
        ("\"scale\":2", "\"scale\":3", "field Gia"),
        (
            "{\"name\":\"Tu\",\"type\":{\"type\":\"int\",\"logicalType\":\"date\"",
            "{\"name\":\"Tu\",\"type\":{\"type\":\"int\",\"logicalType\":\"time-millis\"",
            "field Tu",
        ),
        (
            "{\"name\":\"Den\",\"type\":[\"null\",{\"type\":\"int\",\"logicalType\":\"date\"",
            "{\"name\":\"Den\",\"type\":[\"null\",{\"type\":\"int\",\"logicalType\":\"time-millis\"",
            "field NoiO.Den",
        ),
    ];
    for (ours, other, field) in others {
        let text = SCHEMA.replace(ours, other);
        assert_ne!(text, SCHEMA);
        let told = refused(written(&text, Codec::Null, Vec::new()));
        assert!(told.contains(field) && told.contains("another logical type"), "{told}");
    }
    let mut codec = written(SCHEMA, Codec::Deflate(Default::default()), three());
    let at = codec.windows(7).position(|w| w == b"deflate").unwrap();
    codec[at..at + 7].copy_from_slice(b"deflatX");
    assert!(refused(codec).contains("codec"));
}
