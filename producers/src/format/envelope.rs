//! From a JSON value to a change: a bare record, an envelope, or the national envelope, told apart by their fields.
//!
//! - *National* (field names in any case): `TrangThaiDuLieu` {SuKien, PhienBan, ThoiGianCapNhat, NgayHieuLuc, MoTa
//!   {LyDoCapNhat, ChiTietLyDoCapNhat}} beside `DuLieuTiepNhan`, which holds the record and `IdBanGhi` or
//!   `MaDinhDanhDuLieu`; also inside `Root`. `NguonDuLieu` and `LoaiSuKien` are passed over: who sends is known.
//! - *Flat*: the fields of the envelope's Avro schema, `SuKien` … `DuLieu`, and `IdBanGhi`. `BanTin` is passed over: number
//!   and submission are given anew.
//! - *Bare*: anything else is the record itself.
//!
//! A dataset whose record itself has a field called like one of these keeps its bare records bare.
//!
//! `IdBanGhi` is the record key as text (an array for a composite key). It is needed for a CANCEL whose record does not
//! have the key fields; wherever the key fields are there as well, both must agree. Nothing else of a CANCEL's record
//! counts.

use std::borrow::Cow;

use kenh_domain::admit::Rules;
use kenh_domain::contract::VersionSource;
use kenh_domain::date;
use kenh_domain::envelope::Event;
use kenh_domain::key::{self, KeyPart};
use kenh_domain::rule::{Rejection, Rule};
use kenh_domain::schema::{Path, Schema, Type};
use kenh_domain::wire::SchemaId;

use crate::change::Change;
use crate::encode::{self, Case};
use crate::json::Json;
use crate::time;

/// What records are encoded as: the newest schema version of a contract.
pub struct Into<'r> {
    pub(super) id: SchemaId,
    pub(super) schema: &'r Schema,
    pub(super) keys: &'r [String],
    paths: Vec<Path>,
    version_required: bool,
}

type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

impl<'r> Into<'r> {
    /// The newest schema version; none when the contract has no schema.
    #[must_use]
    pub fn newest(rules: &'r Rules) -> Option<Self> {
        let (id, schema) = rules.schemas().last()?;
        let keys = &rules.contract().key;
        let paths = keys.iter().filter_map(|k| schema.path(k)).collect();
        let version_required = rules.contract().version_source != VersionSource::Assigned;
        Some(Self { id: *id, schema, keys, paths, version_required })
    }

    /// The change that `value` says.
    ///
    /// # Errors
    /// Every rule by which it cannot be read, at least one.
    pub fn change(&self, value: Json<'_>) -> Result<Change, Vec<Rejection>> {
        let Json::Object(mut members) = value else {
            return Err(vec![
                Rejection::record(Rule::WrongType).with(format!("a record is an object, not {}", value.kind())),
            ]);
        };
        // A Root around everything.
        if let [(name, Json::Object(_))] = members.as_slice()
            && name.eq_ignore_ascii_case("Root")
            && !self.has(name)
            && let Some((_, Json::Object(inner))) = members.pop()
        {
            return self.national(inner);
        }
        let marks = |word: &str| members.iter().any(|(n, _)| n.eq_ignore_ascii_case(word)) && !self.has(word);
        if marks("TrangThaiDuLieu") || marks("DuLieuTiepNhan") {
            return self.national(members);
        }
        let exact = |word: &str| members.iter().any(|(n, _)| n == word) && !self.has(word);
        if exact("SuKien") || exact("DuLieu") {
            return self.flat(members);
        }
        self.bare(&Json::Object(members))
    }

    fn has(&self, field: &str) -> bool {
        self.schema.record().field(field).is_some()
    }

    fn bare(&self, record: &Json<'_>) -> Result<Change, Vec<Rejection>> {
        let mut body = Vec::new();
        encode::encode(self.schema.record(), self.keys, record, Case::Exact, &mut body)?;
        Ok(Change::bare(self.id, body))
    }

    fn flat(&self, members: Members<'_>) -> Result<Change, Vec<Rejection>> {
        let mut read = Read::default();
        let mut record = Json::Null;
        for (name, value) in members {
            match &*name {
                "BanTin" => {}
                "IdBanGhi" => read.key(&name, &value),
                "DuLieu" => record = value,
                _ => read.field(&name, &name, value),
            }
        }
        self.finish(read, record, Case::Exact)
    }

    fn national(&self, members: Members<'_>) -> Result<Change, Vec<Rejection>> {
        let mut read = Read::default();
        let mut record = Json::Null;
        let mut seen = Seen::default();
        for (name, value) in members {
            let lower = name.to_ascii_lowercase();
            if !seen.first(&lower) {
                read.fail(Rule::Malformed, &name, "the field stands twice");
                continue;
            }
            match lower.as_str() {
                "nguondulieu" => {}
                "trangthaidulieu" => state(&mut read, value),
                "dulieutiepnhan" => record = value,
                _ => read.fail(Rule::UnknownField, &name, ""),
            }
        }
        if let Json::Object(fields) = &mut record {
            fields.retain(|(name, value)| {
                let id = name.eq_ignore_ascii_case("IdBanGhi") || name.eq_ignore_ascii_case("MaDinhDanhDuLieu");
                let own = self.schema.fields().iter().any(|f| f.name.eq_ignore_ascii_case(name));
                if id && !own {
                    read.key(name, value);
                    return false;
                }
                true
            });
        }
        self.finish(read, record, Case::Tolerant)
    }

    fn finish(&self, mut read: Read, record: Json<'_>, case: Case) -> Result<Change, Vec<Rejection>> {
        if read.event.is_none() && !read.bad_event {
            read.fail(Rule::Required, "SuKien", "");
        }
        if read.version.is_none() && self.version_required && !read.bad_version {
            read.fail(Rule::Required, "PhienBan", "");
        }
        let mut body = None;
        match (read.event, &record) {
            (Some(Event::Cancel), record) => self.cancelled(&mut read, record, case),
            (_, Json::Null) => read.fail(Rule::EventRecord, "DuLieu", ""),
            (_, record) => {
                let mut out = Vec::new();
                match encode::encode(self.schema.record(), self.keys, record, case, &mut out) {
                    Ok(()) => body = Some(out),
                    Err(found) => read.found.extend(found),
                }
            }
        }
        if !read.found.is_empty() {
            return Err(read.found);
        }
        Ok(Change {
            event: read.event,
            version: read.version,
            updated_ms: read.updated_ms,
            effective_days: read.effective_days,
            reason: read.reason(),
            documents: read.documents,
            trace: read.trace,
            key: read.key,
            schema: self.id,
            record: body,
        })
    }

    /// The record key of a CANCEL: from the key fields where all are there, else as stated.
    fn cancelled(&self, read: &mut Read, record: &Json<'_>, case: Case) {
        match self.key_of(record, case) {
            Ok(key) => match &read.key {
                Some(stated) if *stated != key => read.fail(Rule::KeyMismatch, "IdBanGhi", ""),
                _ => read.key = Some(key),
            },
            Err(missing) if read.key.is_none() => read.found.push(missing),
            Err(_) => {}
        }
    }

    pub(super) fn key_of(&self, record: &Json<'_>, case: Case) -> Result<String, Rejection> {
        let mut parts = Vec::new();
        for path in &self.paths {
            let missing = || Rejection::field(Rule::MissingKey, path.dotted());
            let value = find(record, path.dotted(), case).ok_or_else(missing)?;
            parts.push(match (path.ty(), value) {
                (_, Json::Null) => return Err(missing()),
                (_, Json::Text(text)) if text.is_empty() => return Err(missing()),
                (Type::Date, Json::Text(text)) if date::parse(text).is_none() => {
                    let form = "a date of the calendar is written YYYY-MM-DD";
                    return Err(Rejection::field(Rule::WrongType, path.dotted()).with(form));
                }
                (Type::Uuid, Json::Text(text)) => Part::Text(text.to_ascii_lowercase().into()),
                (Type::Text | Type::Enum(_) | Type::Date, Json::Text(text)) => Part::Text(Cow::Borrowed(&**text)),
                (Type::Int | Type::Long, Json::Number(n)) if n.parse::<i64>().is_ok() => {
                    Part::Int(n.parse().unwrap_or_default())
                }
                (ty, value) => {
                    let detail = format!("{} is wanted, not {}", ty.kind(), value.kind());
                    return Err(Rejection::field(Rule::WrongType, path.dotted()).with(detail));
                }
            });
        }
        Ok(key_text(&parts))
    }
}

enum Part<'a> {
    Text(Cow<'a, str>),
    Int(i64),
}

fn key_text(parts: &[Part<'_>]) -> String {
    let parts: Vec<KeyPart<'_>> = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => KeyPart::Text(text),
            Part::Int(n) => KeyPart::Int(*n),
        })
        .collect();
    let mut out = Vec::new();
    key::put_record_key(&parts, &mut out);
    // Made of texts.
    String::from_utf8(out).unwrap_or_default()
}

fn find<'v, 'a>(value: &'v Json<'a>, dotted: &str, case: Case) -> Option<&'v Json<'a>> {
    let mut at = value;
    for name in dotted.split('.') {
        let members = at.object()?;
        let exact = members.iter().find(|(n, _)| n == name);
        let tolerant = || members.iter().find(|(n, _)| case == Case::Tolerant && n.eq_ignore_ascii_case(name));
        at = &exact.or_else(tolerant)?.1;
    }
    Some(at)
}

/// `TrangThaiDuLieu`.
fn state(read: &mut Read, value: Json<'_>) {
    let Json::Object(members) = value else {
        return read.fail(Rule::WrongType, "TrangThaiDuLieu", "an object is wanted");
    };
    let mut seen = Seen::default();
    for (name, value) in members {
        let lower = name.to_ascii_lowercase();
        if !seen.first(&lower) {
            read.fail(Rule::Malformed, &name, "the field stands twice");
            continue;
        }
        match lower.as_str() {
            "loaisukien" => {}
            "mota" => match value {
                Json::Null => {}
                Json::Text(text) => read.why = Some(text.into_owned()).filter(|t| !t.is_empty()),
                Json::Object(members) => {
                    for (name, value) in members {
                        match name.to_ascii_lowercase().as_str() {
                            "lydocapnhat" => read.field("LyDoCapNhat", &name, value),
                            "chitietlydocapnhat" => read.detail = read.text(&name, value),
                            _ => read.fail(Rule::UnknownField, &name, ""),
                        }
                    }
                }
                _ => read.fail(Rule::WrongType, &name, "an object is wanted"),
            },
            _ => read.field(canonical(&lower), &name, value),
        }
    }
}

/// The envelope's own spelling of a name in small letters; the name itself where it has none.
fn canonical(lower: &str) -> &str {
    const NAMES: [&str; 7] =
        ["SuKien", "PhienBan", "ThoiGianCapNhat", "NgayHieuLuc", "LyDoCapNhat", "VanBan", "TraceContext"];
    NAMES.into_iter().find(|n| n.eq_ignore_ascii_case(lower)).unwrap_or(lower)
}

/// Names in small letters that have been met.
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    fn first(&mut self, name: &str) -> bool {
        let first = !self.0.iter().any(|n| n == name);
        if first {
            self.0.push(name.to_owned());
        }
        first
    }
}

/// What was read of an envelope so far.
#[derive(Default)]
pub(super) struct Read {
    pub(super) event: Option<Event>,
    bad_event: bool,
    pub(super) version: Option<i64>,
    bad_version: bool,
    pub(super) updated_ms: Option<i64>,
    pub(super) effective_days: Option<i32>,
    why: Option<String>,
    detail: Option<String>,
    pub(super) documents: Vec<String>,
    trace: Option<String>,
    pub(super) key: Option<String>,
    pub(super) found: Vec<Rejection>,
}

impl Read {
    fn fail(&mut self, rule: Rule, field: &str, detail: &str) {
        if self.found.len() < kenh_domain::limits::MAX_VIOLATIONS {
            let field: String = field.chars().filter(|c| !c.is_control()).take(64).collect();
            self.found.push(Rejection::field(rule, field).with(detail));
        }
    }

    /// The reason, and its details behind a colon.
    pub(super) fn reason(&mut self) -> Option<String> {
        match (self.why.take(), self.detail.take()) {
            (Some(why), Some(detail)) => Some(format!("{why}: {detail}")),
            (why, detail) => why.or(detail),
        }
    }

    fn text(&mut self, shown: &str, value: Json<'_>) -> Option<String> {
        match value {
            Json::Text(text) => Some(text.into_owned()).filter(|t| !t.is_empty()),
            Json::Null => None,
            _ => {
                self.fail(Rule::WrongType, shown, "a text is wanted");
                None
            }
        }
    }

    fn key(&mut self, shown: &str, value: &Json<'_>) {
        let key = match value {
            Json::Text(text) => text.clone().into_owned(),
            Json::Number(n) => n.clone().into_owned(),
            Json::Array(parts) => {
                let parts: Option<Vec<_>> = parts
                    .iter()
                    .map(|part| match part {
                        Json::Text(text) => Some(Part::Text(Cow::Borrowed(&**text))),
                        Json::Number(n) => n.parse().ok().map(Part::Int),
                        _ => None,
                    })
                    .collect();
                match parts {
                    Some(parts) if !parts.is_empty() => key_text(&parts),
                    _ => return self.fail(Rule::WrongType, shown, "an array of texts and whole numbers is wanted"),
                }
            }
            Json::Null => return,
            _ => return self.fail(Rule::WrongType, shown, "a text is wanted"),
        };
        if key.is_empty() {
            return;
        }
        match &self.key {
            Some(other) if *other != key => self.fail(Rule::KeyMismatch, shown, ""),
            _ => self.key = Some(key),
        }
    }

    /// A field of the envelope by its own spelling; `shown` is the source's.
    pub(super) fn field(&mut self, name: &str, shown: &str, value: Json<'_>) {
        match name {
            "SuKien" => match value.text() {
                Some(word) if event(word).is_some() => self.event = event(word),
                _ => {
                    self.bad_event = true;
                    self.fail(Rule::UnknownEvent, shown, "");
                }
            },
            "PhienBan" => match &value {
                Json::Number(n) if n.parse::<i64>().is_ok() => self.version = n.parse().ok(),
                Json::Null => {}
                _ => {
                    self.bad_version = true;
                    self.fail(Rule::WrongType, shown, "a whole number is wanted");
                }
            },
            "ThoiGianCapNhat" => match value.text() {
                Some("") => {}
                Some(text) => match time::instant_ms(text) {
                    Some(ms) => self.updated_ms = Some(ms),
                    None => self.fail(Rule::WrongType, shown, "a time is written YYYY-MM-DDTHH:mm:ss"),
                },
                None if value == Json::Null => {}
                None => self.fail(Rule::WrongType, shown, "a time is written YYYY-MM-DDTHH:mm:ss"),
            },
            "NgayHieuLuc" => match value.text() {
                Some("") => {}
                Some(text) => match date::parse(text) {
                    Some(days) => self.effective_days = Some(days),
                    None => self.fail(Rule::WrongType, shown, "a date of the calendar is written YYYY-MM-DD"),
                },
                None if value == Json::Null => {}
                None => self.fail(Rule::WrongType, shown, "a date of the calendar is written YYYY-MM-DD"),
            },
            "LyDoCapNhat" => self.why = self.text(shown, value),
            "TraceContext" => self.trace = self.text(shown, value),
            "VanBan" => match value {
                Json::Null => {}
                Json::Array(items) => {
                    for item in items {
                        match item {
                            Json::Text(text) => self.documents.push(text.into_owned()),
                            _ => return self.fail(Rule::WrongType, shown, "an array of texts is wanted"),
                        }
                    }
                }
                _ => self.fail(Rule::WrongType, shown, "an array of texts is wanted"),
            },
            _ => self.fail(Rule::UnknownField, shown, ""),
        }
    }
}

/// The event that a word means, in any case: NEW or ADD, UPDATE or EDIT, CANCEL or DEL or DELETE.
#[must_use]
pub fn event(word: &str) -> Option<Event> {
    let is = |words: &[&str]| words.iter().any(|w| w.eq_ignore_ascii_case(word));
    if is(&["NEW", "ADD"]) {
        Some(Event::New)
    } else if is(&["UPDATE", "EDIT"]) {
        Some(Event::Update)
    } else if is(&["CANCEL", "DEL", "DELETE"]) {
        Some(Event::Cancel)
    } else {
        None
    }
}
