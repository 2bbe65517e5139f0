//! What travels on the bus in Avro or in framings of our own.

use kenh_domain::admit::AsOf;
use kenh_domain::codes::CodeLists;
use kenh_domain::envelope::{self, SubmissionEnd};
use kenh_domain::filter::Filter;
use kenh_domain::frame::{self, After};
use kenh_domain::relaxation::Relaxed;
use kenh_domain::route::Effects;
use kenh_domain::schema::{Schema, Spans};
use kenh_domain::wire as confluent;
use kenh_domain::{admit, key};

use super::ground::{CLOCK_MS, Data, ground};

pub fn envelope(bytes: &[u8]) {
    if let Some(end) = SubmissionEnd::decode(bytes) {
        assert_eq!(end.encode(), bytes, "the end of a submission has one form");
    }
    let Ok(submitted) = envelope::decode(bytes) else { return };
    let documents: Vec<String> = submitted.documents().into_iter().map(str::to_owned).collect();
    let mut encoded = Vec::new();
    envelope::put_documents(&documents, &mut encoded);
    let mut again = Vec::new();
    envelope::encode(&submitted.with_documents(&encoded), &mut again);
    let decoded = envelope::decode(&again).expect("what was written can be read");
    assert_eq!(decoded.documents(), submitted.documents());
    assert_eq!(decoded.with_documents(&[]), submitted.with_documents(&[]));
}

pub fn submitted(bytes: &[u8]) {
    let Some((&which, body)) = bytes.split_first() else { return };
    let data = ground().pick(which);
    let (rules, contract) = (&data.rules, data.contract());
    let Some(version) = contract.schemas.last() else { return };
    let mut value = Vec::new();
    confluent::put_header(version.envelope_id, &mut value);
    value.extend_from_slice(body);
    // A provider who wants to get further brings the right key and partition.
    let mut spans = Spans::new();
    let mut own = b"khoa".to_vec();
    if let Ok(submitted) = envelope::decode(body)
        && let Some(record) = submitted.record
        && data.plan.schema(version.id).is_some_and(|schema| schema.walk(record, &mut spans).is_ok())
    {
        own.clear();
        if rules.record_key(version.id, record, &spans, &mut own).is_err() {
            own.clear();
        }
        if !rules
            .check_record(record, version.id, (Relaxed::NONE, &CodeLists::NotAsked), &mut spans)
            .rejections
            .is_empty()
        {
            // Whoever checks asks every rule; routing must stand whatever the rules let through.
            route(data, version.id, record);
        }
    }
    let partition = key::partition(&own, contract.partitions);
    // Which codes there are is nothing that bytes decide.
    let as_of = AsOf { lists: &CodeLists::NotAsked, ..AsOf::strict(CLOCK_MS) };
    let Ok(candidate) = rules.read(&data.provider, partition, &own, &value, as_of, &mut spans) else {
        return;
    };
    let _ = admit::content(&kenh_domain::secret::Secret::new([7; 32]), candidate.submitted.record);
    if let Some(record) = candidate.submitted.record {
        route(data, version.id, record);
    }
}

/// Routes an after-image, and reads what each view would get as its recipient does.
fn route(data: &Data, schema: confluent::SchemaId, body: &[u8]) {
    let mut spans = Spans::new();
    let writer = data.plan.schema(schema).expect("it is released");
    if writer.walk(body, &mut spans).is_err() {
        return;
    }
    let mut effects = Effects::default();
    data.plan.route(b"khoa", Some((After { schema, body }, &spans)), &[], &mut effects);
    for write in &effects.writes {
        let value = &effects.arena[write.value.clone().expect("nothing was held before")];
        let (id, body) = confluent::split(value).expect("a view record is in the wire format");
        let view = &ground().set.schemas[&id].schema;
        let view = Schema::parse(view).expect("a view's schema is one");
        view.walk(body, &mut Spans::new()).expect("a projection follows the view's schema");
    }
    // And again: nothing has changed, so nothing is sent.
    let held = std::mem::take(&mut effects.holdings);
    effects.clear();
    data.plan.route(b"khoa", Some((After { schema, body }, &spans)), &held, &mut effects);
    assert!(effects.writes.is_empty(), "an unchanged projection was sent again");
    // Cancelled: each that held it is told, once.
    effects.clear();
    data.plan.route(b"khoa", None, &held, &mut effects);
    assert_eq!(effects.writes.len(), held.len());
}

pub fn data_frame(bytes: &[u8]) {
    if let Ok((sequence, data)) = frame::decode(bytes) {
        assert_eq!(frame::encode(sequence, &data), bytes, "a data record has one form");
    }
}

pub fn schema(bytes: &[u8]) {
    let split = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let (text, body) = (&bytes[..split], bytes.get(split + 1..).unwrap_or_default());
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(schema) = Schema::parse(text) else { return };
    let again = Schema::parse(schema.canonical()).expect("a canonical form is a schema");
    assert_eq!(without_namespaces(again.canonical()), without_namespaces(schema.canonical()));
    let same = Schema::parse(text).expect("it was one before");
    assert_eq!(same.fingerprint(), schema.fingerprint(), "one schema has one fingerprint");
    read_body(&schema, body);
}

/// A canonical form with short names. The specification's form says of a type without a namespace its name alone, which
/// a reader takes for one in the namespace around it: that much may change when a form is read again, and nothing else.
fn without_namespaces(canonical: &str) -> String {
    let pieces = canonical.split('"').map(|piece| piece.rsplit('.').next().unwrap_or_default());
    pieces.collect::<Vec<_>>().join("\"")
}

pub fn avro_body(bytes: &[u8]) {
    let Some((&which, body)) = bytes.split_first() else { return };
    let (_, schema) = ground().pick(which).rules.schemas().last().expect("a shipped contract has a schema");
    read_body(schema, body);
}

fn read_body(schema: &Schema, body: &[u8]) {
    let mut spans = Spans::new();
    if schema.walk(body, &mut spans).is_err() {
        // It may be one with something behind it.
        if let Ok(length) = schema.measure(body) {
            assert!(length <= body.len());
        }
        return;
    }
    assert_eq!(schema.measure(body), Ok(body.len()));
    for path in schema.paths() {
        let path = schema.path(&path).expect("a path that the schema lists");
        let _ = schema.value(body, &spans, &path);
        if let Some(span) = schema.span(&spans, &path) {
            assert!(span.start <= span.end && span.end <= body.len());
        }
    }
    let mut json = Vec::new();
    schema.put_json(body, &mut json).expect("a body that was walked has a JSON form");
    serde_json::from_slice::<serde_json::Value>(&json).expect("the JSON form of a body is JSON");
}

pub fn filter(bytes: &[u8]) {
    let Some((&which, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let data = ground().pick(which);
    let (_, schema) = data.rules.schemas().last().expect("a shipped contract has a schema");
    let Ok(filter) = Filter::compile(text, schema) else { return };
    let again = Filter::compile(filter.normalised(), schema).expect("a filter as it is shown is one");
    assert_eq!(again.normalised(), filter.normalised());
    assert_eq!((again.paths(), again.index()), (filter.paths(), filter.index()));
    let mut spans = Spans::new();
    for body in &data.bodies {
        schema.walk(body, &mut spans).expect("an example follows its schema");
        assert_eq!(filter.matches(body, &spans), again.matches(body, &spans));
    }
}

pub mod seeds {
    use kenh_domain::envelope::{Event, Submitted};
    use kenh_domain::frame::{Change, Data as Framed, ENGINE, ListAt, Marker, Sequence, Version};
    use kenh_domain::log::Position;

    use super::super::ground::files;
    use super::*;

    /// For each dataset: its number, and a body.
    fn each() -> impl Iterator<Item = (u8, Vec<u8>)> {
        (0..).zip(&ground().data).flat_map(|(n, data)| data.bodies.iter().map(move |body| (n, body.clone())))
    }

    fn one(event: Event, record: Option<&[u8]>) -> Vec<u8> {
        let mut documents = Vec::new();
        envelope::put_documents(&["60/NQ-CP".to_owned()], &mut documents);
        let trace = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let change = Submitted {
            effective_days: Some(20_000),
            reason: Some("sắp xếp"),
            trace,
            ..Submitted::new("s-1", 1, event, 2, CLOCK_MS, record)
        };
        let mut out = Vec::new();
        envelope::encode(&change.with_documents(&documents), &mut out);
        out
    }

    pub fn envelope() -> Vec<Vec<u8>> {
        let end = SubmissionEnd { id: "s-1".into(), count: 3 }.encode();
        let mut all = vec![one(Event::Cancel, None), end];
        all.extend(each().map(|(_, body)| one(Event::New, Some(&body))));
        all
    }

    pub fn submitted() -> Vec<Vec<u8>> {
        let mut all: Vec<_> = each().map(|(n, body)| [vec![n], one(Event::Update, Some(&body))].concat()).collect();
        all.push([vec![0], one(Event::Cancel, None)].concat());
        all
    }

    pub fn data_frame() -> Vec<Vec<u8>> {
        let change = |after| Change {
            provider: "G01".parse().expect("a name"),
            submission: "s-1",
            number: 1,
            version: Version { epoch: 0, version: 2 },
            updated_ms: CLOCK_MS,
            effective_days: Some(20_000),
            after,
        };
        let marker = Marker {
            control: Position(3),
            control_digest: [1; 32],
            clock_ms: CLOCK_MS,
            engine: ENGINE,
            code_lists: vec![ListAt {
                dataset: "don-vi".parse().expect("a name"),
                sequence: Sequence(4),
                digest: [2; 32],
            }],
        };
        let after = After { schema: confluent::SchemaId(7), body: b"than" };
        [Framed::Change(change(Some(after))), Framed::Change(change(None)), Framed::Marker(marker)]
            .map(|data| frame::encode(Sequence(9), &data))
            .to_vec()
    }

    pub fn schema() -> Vec<Vec<u8>> {
        let shipped = files("schemas", ".avsc").into_iter().map(|f| std::fs::read(f).expect("a schema"));
        let views = ground().set.schemas.values().map(|s| s.schema.clone().into_bytes());
        let every = br#"{"type":"record","name":"R","namespace":"a.b","fields":[{"name":"a","type":{"type":"enum","name":"E","symbols":["X","Y"]}},{"name":"b","type":{"type":"fixed","name":"F","size":2}},{"name":"c","type":{"type":"map","values":["null","E"]}},{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}},{"name":"e","type":{"type":"array","items":{"type":"record","name":"S","fields":[{"name":"f","type":"double","default":1.5}]}}},{"name":"g","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"h","type":{"type":"string","logicalType":"uuid"}},{"name":"i","type":["int","null","boolean","float"]}]}"#;
        let body = b"\0\x02\x01\x02\x02\x02a\x02\x02\0\x02\x05\x02\0\0\0\0\0\0\xf0?\0\x04";
        let mut all: Vec<_> = shipped.chain(views).map(|text| [text, b"\0\0\0\0\0".to_vec()].concat()).collect();
        all.push([every.as_slice(), body, b"H", b"00000000-0000-4000-8000-000000000001", b"\0\x02"].concat());
        all
    }

    pub fn avro_body() -> Vec<Vec<u8>> {
        each().map(|(n, body)| [vec![n], body].concat()).collect()
    }

    pub fn filter() -> Vec<Vec<u8>> {
        let texts: &[(u8, &str)] = &[
            (0, r#"NoiOHienTai.MaTinh == "79" && GioiTinh in [1, 2, null]"#),
            (0, r#"!(SoDinhDanh.startsWith('079')) || NgaySinh.year >= 0x7b2 // sau"#),
            (0, "SoDienThoai == null && NgaySinh.month < NgaySinh.day"),
            (1, r#"HieuLucDen == null && MaTinh == "79""#),
            (1, r#"HieuLucTu <= "2025-07-01" && (ViDo > 10.5 || KinhDo != -1e3)"#),
            (1, r#"Ten == "Ph\u01b0\u1eddng" || Ten in ['a\'', "b\n"]"#),
        ];
        texts.iter().map(|(n, text)| [&[*n], text.as_bytes()].concat()).collect()
    }
}
