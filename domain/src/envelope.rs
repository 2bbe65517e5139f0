//! The envelope of a submitted change, in Avro: what a provider writes to `in.<dataset>.<provider>`.
//!
//! It carries the national envelope (event, version, time of update, effective date, reason, documents) around a record
//! of the contract. One envelope schema is generated from each schema version of a contract; its fields never change
//! order, and `DuLieu` is the last, so that everything before it is read without knowing the record.
//!
//! A submission ends with a record of its own ([`SubmissionEnd`], empty key) in every partition that it wrote to, so that
//! the router can answer "that was all of it".

use crate::limits::MAX_SUBMISSION_BYTES;
use crate::wire::{self, SchemaId};

/// Id of [`SUBMISSION_END_SCHEMA`] on every bus: the first schema that is registered.
pub const SUBMISSION_END_ID: SchemaId = SchemaId(1);

/// Schema of the record that ends a submission in a partition.
pub const SUBMISSION_END_SCHEMA: &str = r#"{"type":"record","name":"SubmissionEnd","namespace":"kenh.in","fields":[{"name":"Id","type":"string"},{"name":"SoLuong","type":"long"}]}"#;

/// What happened to the record at its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It is new. An upsert: NEW after CANCEL revives.
    New,
    /// It changed. An upsert.
    Update,
    /// It was wrong or is no longer to be held. (A legal end is an UPDATE of fields.)
    Cancel,
}

impl Event {
    /// The national word: NEW, UPDATE or CANCEL.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Update => "UPDATE",
            Self::Cancel => "CANCEL",
        }
    }
}

/// A submitted change, borrowed from its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Submitted<'a> {
    /// The provider's name of the submission, at most [`MAX_SUBMISSION_BYTES`] bytes.
    pub submission: &'a str,
    /// Number in the submission, from 1.
    pub number: u64,
    /// What happened.
    pub event: Event,
    /// `PhienBan` as sent: a version below 1 is a rule's business, not the codec's.
    pub version: i64,
    /// `ThoiGianCapNhat`: milliseconds since 1970 (UTC).
    pub updated_ms: i64,
    /// `NgayHieuLuc`: days since 1970, a calendar date.
    pub effective_days: Option<i32>,
    /// `LyDoCapNhat`.
    pub reason: Option<&'a str>,
    /// `VanBan`: the Avro array as it lies in the bytes; see [`Submitted::documents`].
    pub documents_avro: &'a [u8],
    /// Trace context (W3C `traceparent`).
    pub trace: Option<&'a str>,
    /// `DuLieu`: the Avro body of the record, not yet checked; none for CANCEL.
    pub record: Option<&'a [u8]>,
}

impl std::fmt::Debug for Submitted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.record.map(<[u8]>::len);
        write!(f, "Submitted({} of {:?}, {}, {size:?} bytes)", self.number, self.submission, self.event.word())
    }
}

/// An empty Avro array.
const NO_DOCUMENTS: &[u8] = &[0];

impl<'a> Submitted<'a> {
    /// A change without reason, documents or trace.
    #[must_use]
    pub const fn new(
        submission: &'a str,
        number: u64,
        event: Event,
        version: i64,
        updated_ms: i64,
        record: Option<&'a [u8]>,
    ) -> Self {
        Self {
            submission,
            number,
            event,
            version,
            updated_ms,
            effective_days: None,
            reason: None,
            documents_avro: NO_DOCUMENTS,
            trace: None,
            record,
        }
    }

    /// Sets the documents, encoded before by [`put_documents`].
    #[must_use]
    pub const fn with_documents(mut self, encoded: &'a [u8]) -> Self {
        self.documents_avro = encoded;
        self
    }

    /// The documents (`VanBan`), in order.
    #[must_use]
    pub fn documents(&self) -> Vec<&'a str> {
        let mut found = Vec::new();
        let mut cursor = Cursor(self.documents_avro);
        // The array was walked by `decode`; what cannot be read ends the list.
        let _ = cursor.strings(|text| found.push(text));
        found
    }
}

/// Appends an array of texts as Avro, for [`Submitted::with_documents`].
pub fn put_documents(documents: &[String], out: &mut Vec<u8>) {
    if !documents.is_empty() {
        put_long(i64::try_from(documents.len()).unwrap_or(i64::MAX), out);
        for document in documents {
            put_text(document, out);
        }
    }
    out.push(0);
}

/// Why an envelope cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The bytes do not follow the envelope's schema.
    #[error("field {0} of the envelope is damaged or missing")]
    Damaged(&'static str),
    /// The submission id is empty or too long.
    #[error("the submission id is empty or longer than {MAX_SUBMISSION_BYTES} bytes")]
    Submission,
    /// The number is below 1.
    #[error("the record's number in its submission is below 1")]
    Number,
    /// CANCEL with a record, or NEW or UPDATE without one.
    #[error("CANCEL carries no record, NEW and UPDATE carry one")]
    Event,
}

/// The envelope schema around a record schema (both JSON text). The record's own text stays as it is.
///
/// # Errors
/// When `record_schema` is not JSON.
pub fn schema(record_schema: &str) -> Result<String, serde_json::Error> {
    let record: serde_json::Value = serde_json::from_str(record_schema)?;
    Ok(serde_json::json!({
        "type": "record",
        "name": "SubmittedChange",
        "namespace": "kenh.in",
        "fields": [
            {"name": "BanTin", "type": {"type": "record", "name": "BanTin", "fields": [
                {"name": "Id", "type": "string"},
                {"name": "SoThuTu", "type": "long"},
            ]}},
            {"name": "SuKien", "type": {"type": "enum", "name": "SuKien", "symbols": ["NEW", "UPDATE", "CANCEL"]}},
            {"name": "PhienBan", "type": "long"},
            {"name": "ThoiGianCapNhat", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "NgayHieuLuc", "type": ["null", {"type": "int", "logicalType": "date"}], "default": null},
            {"name": "LyDoCapNhat", "type": ["null", "string"], "default": null},
            {"name": "VanBan", "type": {"type": "array", "items": "string"}, "default": []},
            {"name": "TraceContext", "type": ["null", "string"], "default": null},
            {"name": "DuLieu", "type": ["null", with_own_namespace(record)], "default": null},
        ],
    })
    .to_string())
}

/// A record without a namespace would fall into the envelope's: it is told to have none.
fn with_own_namespace(mut record: serde_json::Value) -> serde_json::Value {
    if let Some(object) = record.as_object_mut()
        && !object.contains_key("namespace")
        && object.get("name").and_then(|n| n.as_str()).is_some_and(|n| !n.contains('.'))
    {
        object.insert("namespace".into(), "".into());
    }
    record
}

/// Appends the Avro body of an envelope (no wire header) to `out`.
pub fn encode(change: &Submitted<'_>, out: &mut Vec<u8>) {
    put_text(change.submission, out);
    put_long(i64::try_from(change.number).unwrap_or(i64::MAX), out);
    put_long(change.event as i64, out);
    put_long(change.version, out);
    put_long(change.updated_ms, out);
    match change.effective_days {
        None => out.push(0),
        Some(days) => {
            out.push(2);
            put_long(days.into(), out);
        }
    }
    put_optional(change.reason, out);
    out.extend_from_slice(change.documents_avro);
    put_optional(change.trace, out);
    match change.record {
        None => out.push(0),
        Some(record) => {
            out.push(2);
            out.extend_from_slice(record);
        }
    }
}

/// Reads the Avro body of an envelope. The record in it is not looked into.
///
/// # Errors
/// [`EnvelopeError`].
pub fn decode(body: &[u8]) -> Result<Submitted<'_>, EnvelopeError> {
    use EnvelopeError::Damaged;
    let mut cursor = Cursor(body);
    let submission = cursor.text().ok_or(Damaged("BanTin.Id"))?;
    let number = cursor.long().ok_or(Damaged("BanTin.SoThuTu"))?;
    let event = match cursor.long() {
        Some(0) => Event::New,
        Some(1) => Event::Update,
        Some(2) => Event::Cancel,
        _ => return Err(Damaged("SuKien")),
    };
    let version = cursor.long().ok_or(Damaged("PhienBan"))?;
    let updated_ms = cursor.long().ok_or(Damaged("ThoiGianCapNhat"))?;
    let effective_days = match cursor.long() {
        Some(0) => None,
        Some(1) => Some(cursor.long().and_then(|n| i32::try_from(n).ok()).ok_or(Damaged("NgayHieuLuc"))?),
        _ => return Err(Damaged("NgayHieuLuc")),
    };
    let reason = cursor.optional().ok_or(Damaged("LyDoCapNhat"))?;
    let before = cursor.0;
    cursor.strings(|_| ()).ok_or(Damaged("VanBan"))?;
    let documents_avro = &before[..before.len() - cursor.0.len()];
    let trace = cursor.optional().ok_or(Damaged("TraceContext"))?;
    let record = match cursor.long() {
        Some(0) if cursor.0.is_empty() => None,
        Some(1) => Some(cursor.0),
        _ => return Err(Damaged("DuLieu")),
    };
    if submission.is_empty() || submission.len() > MAX_SUBMISSION_BYTES {
        return Err(EnvelopeError::Submission);
    }
    let number = u64::try_from(number).ok().filter(|n| *n > 0).ok_or(EnvelopeError::Number)?;
    if record.is_some() == (event == Event::Cancel) {
        return Err(EnvelopeError::Event);
    }
    Ok(Submitted {
        submission,
        number,
        event,
        version,
        updated_ms,
        effective_days,
        reason,
        documents_avro,
        trace,
        record,
    })
}

/// The end of a submission in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionEnd {
    /// The submission.
    pub id: String,
    /// Changes of it that were written to this partition.
    pub count: u64,
}

impl SubmissionEnd {
    /// The value to write, wire header included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        wire::put_header(SUBMISSION_END_ID, &mut out);
        put_text(&self.id, &mut out);
        put_long(i64::try_from(self.count).unwrap_or(i64::MAX), &mut out);
        out
    }

    /// Reads a value; none when it is anything else.
    #[must_use]
    pub fn decode(value: &[u8]) -> Option<Self> {
        let (id, body) = wire::split(value).ok()?;
        let mut cursor = Cursor(body);
        let name = (id == SUBMISSION_END_ID).then(|| cursor.text())??;
        let count = u64::try_from(cursor.long()?).ok()?;
        let good = cursor.0.is_empty() && !name.is_empty() && name.len() <= MAX_SUBMISSION_BYTES;
        good.then(|| Self { id: name.into(), count })
    }
}

/// Appends an Avro long (zigzag, base 128).
pub fn put_long(n: i64, out: &mut Vec<u8>) {
    #[expect(clippy::cast_sign_loss, reason = "zigzag maps signed to unsigned bits")]
    let mut rest = ((n << 1) ^ (n >> 63)) as u64;
    while rest >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 0x80")]
    out.push(rest as u8);
}

/// Appends an Avro string.
pub fn put_text(text: &str, out: &mut Vec<u8>) {
    put_long(i64::try_from(text.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(text.as_bytes());
}

fn put_optional(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        None => out.push(0),
        Some(text) => {
            out.push(2);
            put_text(text, out);
        }
    }
}

/// Reads Avro from the front of a slice; `None` is anything that is not there or not in its shortest form.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn long(&mut self) -> Option<i64> {
        let mut bits = 0u64;
        for (i, byte) in self.0.iter().enumerate().take(10) {
            let low = u64::from(byte & 0x7f);
            // The tenth byte holds one bit; a last byte of 0 after others is padding.
            if (i == 9 && *byte > 1) || (i > 0 && *byte == 0) {
                return None;
            }
            bits |= low << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = &self.0[i + 1..];
                #[expect(clippy::cast_possible_wrap, reason = "zigzag maps unsigned bits to signed")]
                return Some((bits >> 1) as i64 ^ -((bits & 1) as i64));
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.long()?).ok()?;
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        std::str::from_utf8(head).ok()
    }

    fn optional(&mut self) -> Option<Option<&'a str>> {
        match self.long()? {
            0 => Some(None),
            1 => self.text().map(Some),
            _ => None,
        }
    }

    /// An array of texts. Each text takes a byte at least, so that the count is bounded by the bytes there are.
    fn strings(&mut self, mut each: impl FnMut(&'a str)) -> Option<()> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Some(());
            }
            if count < 0 {
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                each(self.text()?);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apache_avro::types::Value;
    use proptest::prelude::*;

    const RECORD: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;

    fn avro(change: &Submitted<'_>) -> Value {
        let optional = |v: Option<Value>| match v {
            None => Value::Union(0, Box::new(Value::Null)),
            Some(v) => Value::Union(1, Box::new(v)),
        };
        let record = change.record.map(|_| Value::Record(vec![("a".into(), Value::String("x".into()))]));
        Value::Record(vec![
            (
                "BanTin".into(),
                Value::Record(vec![
                    ("Id".into(), Value::String(change.submission.into())),
                    ("SoThuTu".into(), Value::Long(change.number as i64)),
                ]),
            ),
            ("SuKien".into(), Value::Enum(change.event as u32, change.event.word().into())),
            ("PhienBan".into(), Value::Long(change.version)),
            ("ThoiGianCapNhat".into(), Value::TimestampMillis(change.updated_ms)),
            ("NgayHieuLuc".into(), optional(change.effective_days.map(Value::Date))),
            ("LyDoCapNhat".into(), optional(change.reason.map(|r| Value::String(r.into())))),
            ("VanBan".into(), Value::Array(change.documents().into_iter().map(|d| Value::String(d.into())).collect())),
            ("TraceContext".into(), optional(change.trace.map(|r| Value::String(r.into())))),
            ("DuLieu".into(), optional(record)),
        ])
    }

    proptest! {
        #[test]
        fn the_envelope_is_what_apache_avro_writes_and_reads(
            id in "[a-z]{1,64}", number in 1u64..1 << 40, event in 0u8..3, version: i64, updated_ms: i64,
            effective_days: Option<i32>, reason: Option<String>, documents in prop::collection::vec(any::<String>(), 0..4),
            trace: Option<String>,
        ) {
            let schema = apache_avro::Schema::parse_str(&schema(RECORD).unwrap()).unwrap();
            let event = [Event::New, Event::Update, Event::Cancel][event as usize];
            let record: Option<&[u8]> = (event != Event::Cancel).then_some(&[2, b'x']);
            let mut encoded = Vec::new();
            put_documents(&documents, &mut encoded);
            let change = Submitted {
                effective_days, reason: reason.as_deref(), trace: trace.as_deref(),
                ..Submitted::new(&id, number, event, version, updated_ms, record).with_documents(&encoded)
            };
            let mut ours = Vec::new();
            encode(&change, &mut ours);
            prop_assert_eq!(change.documents(), documents);
            let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap();
            let theirs = writer.write_value_to_vec(avro(&change)).unwrap();
            let back = decode(&theirs).unwrap();
            prop_assert_eq!(back.documents(), change.documents());
            prop_assert_eq!(Submitted { documents_avro: change.documents_avro, ..back }, change);
            let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().unwrap();
            let read = reader.read_value(&mut ours.as_slice()).unwrap();
            prop_assert_eq!(read, avro(&change));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = decode(&bytes);
            let _ = SubmissionEnd::decode(&bytes);
        }
    }

    #[test]
    fn each_fault_of_an_envelope_is_named() {
        let good = Submitted::new("s", 1, Event::New, 1, 0, Some(&[2, b'x']));
        let bytes = |change: Submitted<'_>| {
            let mut out = Vec::new();
            encode(&change, &mut out);
            out
        };
        let long = "x".repeat(65);
        for (change, error) in [
            (Submitted { submission: "", ..good }, EnvelopeError::Submission),
            (Submitted { submission: &long, ..good }, EnvelopeError::Submission),
            (Submitted { number: 0, ..good }, EnvelopeError::Number),
            (Submitted { event: Event::Cancel, ..good }, EnvelopeError::Event),
            (Submitted { record: None, ..good }, EnvelopeError::Event),
        ] {
            assert_eq!(decode(&bytes(change)), Err(error));
        }
        let whole = bytes(good);
        for cut in 0..whole.len() - 2 {
            assert!(matches!(decode(&whole[..cut]), Err(EnvelopeError::Damaged(_))), "cut at {cut}");
        }
    }

    #[test]
    fn the_end_of_a_submission_is_read_back_and_nothing_else_is_taken_for_one() {
        let end = SubmissionEnd { id: "s-1".into(), count: 7 };
        assert_eq!(SubmissionEnd::decode(&end.encode()), Some(end.clone()));
        assert!(apache_avro::Schema::parse_str(SUBMISSION_END_SCHEMA).is_ok());
        let mut longer = end.encode();
        longer.push(0);
        assert_eq!(SubmissionEnd::decode(&longer), None);
    }
}
