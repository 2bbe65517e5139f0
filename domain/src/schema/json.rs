//! An Avro body as JSON: the one form in which people and HTTP see a row.
//!
//! | Avro | JSON |
//! |---|---|
//! | null, boolean, int, long, string, uuid, symbol of an enum | as they are; a long may exceed what JavaScript holds |
//! | float, double | the shortest number that reads back the same; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | bytes, fixed | text, base64 (RFC 4648 section 4) |
//! | decimal | text with all digits of its scale, `"-12.30"`: a number would be rounded by many readers |
//! | date | `"YYYY-MM-DD"` |
//! | time of day | `"HH:MM:SS.fff"` or `"HH:MM:SS.ffffff"` by its unit |
//! | timestamp | `"YYYY-MM-DDTHH:MM:SS.fffZ"`, six digits for microseconds; local timestamps without the `Z` |
//! | array, map, record | array, object, object; fields in the order of the schema |
//! | union | the value, without the name of its branch |
//!
//! A time of day beyond one day and a timestamp beyond the calendar (`i32` days) are written as their number; a decimal
//! of more than [`MAX_DECIMAL_BYTES`] bytes as `"0x"` and hexadecimal digits.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::body::{BodyError, Fault, Reader};
use super::types::{Field, Record, Type};
use crate::date;

/// Longest decimal that is written in digits: turning bytes into digits takes the square of their number.
pub const MAX_DECIMAL_BYTES: usize = 128;

/// Appends the JSON of a whole body. On an error `out` holds a part of it.
pub(super) fn put(record: &Record, body: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
    let whole = |fault| BodyError { field: String::new(), fault };
    let mut reader = Reader::new(body);
    put_record(record, &mut reader, out).map_err(whole)?;
    if reader.position() == body.len() { Ok(()) } else { Err(whole(Fault::Trailing)) }
}

/// Gives each field of a whole body to `each`, as its JSON.
pub(super) fn each(record: &Record, body: &[u8], each: &mut dyn FnMut(&Field, &[u8])) -> Result<(), BodyError> {
    let mut reader = Reader::new(body);
    let mut json = Vec::new();
    for field in &record.fields {
        json.clear();
        put_value(&field.ty, &mut reader, &mut json).map_err(|fault| BodyError { field: field.name.clone(), fault })?;
        each(field, &json);
    }
    let trailing = || BodyError { field: String::new(), fault: Fault::Trailing };
    if reader.position() == body.len() { Ok(()) } else { Err(trailing()) }
}

impl Reader<'_> {
    /// Appends the JSON of the next value, of `ty`, in the forms of [`Schema::put_json`](super::Schema::put_json); the reader then stands behind it.
    ///
    /// # Errors
    /// [`Fault`] when the bytes are not of `ty`; `out` then holds a part.
    pub fn put_json(&mut self, ty: &Type, out: &mut Vec<u8>) -> Result<(), Fault> {
        put_value(ty, self, out)
    }
}

fn put_record(record: &Record, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    out.push(b'{');
    for (i, field) in record.fields.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put_text(&field.name, out);
        out.push(b':');
        put_value(&field.ty, reader, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn put_value(ty: &Type, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    match ty {
        Type::Null => out.extend_from_slice(b"null"),
        Type::Boolean => out.extend_from_slice(if reader.boolean()? { b"true" } else { b"false" }),
        Type::Int => put_number(reader.int()?, out),
        Type::Long => put_number(reader.long()?, out),
        Type::Float => {
            let x = reader.float()?;
            put_float(x.is_nan(), x.is_infinite(), x > 0.0, serde_json::to_string(&x).unwrap_or_default(), out);
        }
        Type::Double => {
            let x = reader.double()?;
            put_float(x.is_nan(), x.is_infinite(), x > 0.0, serde_json::to_string(&x).unwrap_or_default(), out);
        }
        Type::Bytes => put_base64(reader.bytes()?, out),
        Type::Fixed(fixed) => put_base64(reader.take(fixed.size)?, out),
        Type::Decimal(decimal) => put_decimal(reader.bytes()?, decimal.scale, out),
        Type::Text | Type::Uuid => put_text(reader.text()?, out),
        Type::Enum(symbols) => {
            let symbol = reader.symbol(symbols.symbols.len())?;
            put_text(symbols.symbols.get(symbol).ok_or(Fault::Symbol)?, out);
        }
        Type::Date => {
            out.push(b'"');
            date::put_text(reader.int()?, out);
            out.push(b'"');
        }
        Type::TimeMillis => put_time(reader.int()?.into(), Unit::Millis, out),
        Type::TimeMicros => put_time(reader.long()?, Unit::Micros, out),
        Type::TimestampMillis => put_timestamp(reader.long()?, Unit::Millis, "Z", out),
        Type::TimestampMicros => put_timestamp(reader.long()?, Unit::Micros, "Z", out),
        Type::LocalTimestampMillis => put_timestamp(reader.long()?, Unit::Millis, "", out),
        Type::LocalTimestampMicros => put_timestamp(reader.long()?, Unit::Micros, "", out),
        Type::Array(inner) => {
            out.push(b'[');
            put_items(reader, out, |reader, out| put_value(inner, reader, out))?;
            out.push(b']');
        }
        Type::Map(inner) => {
            out.push(b'{');
            put_items(reader, out, |reader, out| {
                put_text(reader.text()?, out);
                out.push(b':');
                put_value(inner, reader, out)
            })?;
            out.push(b'}');
        }
        Type::Record(record) => put_record(record, reader, out)?,
        Type::Nullable(inner, null) => {
            if reader.branch(2)? == null.null() {
                out.extend_from_slice(b"null");
            } else {
                put_value(inner, reader, out)?;
            }
        }
        Type::Union(branches) => {
            let branch = reader.branch(branches.len())?;
            put_value(branches.get(branch).ok_or(Fault::Branch)?, reader, out)?;
        }
    }
    Ok(())
}

fn put_items<'a>(
    reader: &mut Reader<'a>,
    out: &mut Vec<u8>,
    mut item: impl FnMut(&mut Reader<'a>, &mut Vec<u8>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut first = true;
    loop {
        let (count, _) = reader.block()?;
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            item(reader, out)?;
        }
    }
}

// Writing to a Vec cannot fail, which the ignored results below rely on.

fn put_number(n: impl std::fmt::Display, out: &mut Vec<u8>) {
    let _ = write!(out, "{n}");
}

fn put_float(nan: bool, infinite: bool, positive: bool, finite: String, out: &mut Vec<u8>) {
    match (nan, infinite, positive) {
        (true, ..) => out.extend_from_slice(b"\"NaN\""),
        (_, true, true) => out.extend_from_slice(b"\"Infinity\""),
        (_, true, false) => out.extend_from_slice(b"\"-Infinity\""),
        _ => out.extend_from_slice(finite.as_bytes()),
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, text);
}

fn put_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let _ = write!(out, "\"{}\"", STANDARD.encode(bytes));
}

/// The unit of a time.
#[derive(Clone, Copy)]
enum Unit {
    Millis,
    Micros,
}

impl Unit {
    const fn per_second(self) -> i64 {
        match self {
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
        }
    }

    const fn per_day(self) -> i64 {
        self.per_second() * 86_400
    }

    const fn digits(self) -> usize {
        match self {
            Self::Millis => 3,
            Self::Micros => 6,
        }
    }
}

/// `HH:MM:SS.fff` of a time within one day.
fn put_clock(time: i64, unit: Unit, out: &mut Vec<u8>) {
    let (seconds, fraction) = (time / unit.per_second(), time % unit.per_second());
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let _ = write!(out, "{h:02}:{m:02}:{s:02}.{fraction:0width$}", width = unit.digits());
}

fn put_time(time: i64, unit: Unit, out: &mut Vec<u8>) {
    if !(0..unit.per_day()).contains(&time) {
        return put_number(time, out);
    }
    out.push(b'"');
    put_clock(time, unit, out);
    out.push(b'"');
}

fn put_timestamp(time: i64, unit: Unit, zone: &str, out: &mut Vec<u8>) {
    let Ok(days) = i32::try_from(time.div_euclid(unit.per_day())) else {
        return put_number(time, out);
    };
    out.push(b'"');
    date::put_text(days, out);
    out.push(b'T');
    put_clock(time.rem_euclid(unit.per_day()), unit, out);
    out.extend_from_slice(zone.as_bytes());
    out.push(b'"');
}

/// A two's complement number, most significant byte first, with `scale` digits after the point.
fn put_decimal(bytes: &[u8], scale: usize, out: &mut Vec<u8>) {
    if bytes.len() > MAX_DECIMAL_BYTES || scale > MAX_DECIMAL_BYTES {
        out.extend_from_slice(b"\"0x");
        bytes.iter().for_each(|b| {
            let _ = write!(out, "{b:02x}");
        });
        out.push(b'"');
        return;
    }
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let mut magnitude = bytes.to_vec();
    if negative {
        // Minus a number is its complement plus one.
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(carry.into());
        }
        if carry {
            magnitude.insert(0, 1);
        }
    }
    // Least significant digit first.
    let mut digits = Vec::new();
    while magnitude.iter().any(|b| *b != 0) || digits.len() <= scale {
        let mut rest = 0u16;
        for byte in &mut magnitude {
            let part = rest << 8 | u16::from(*byte);
            // A rest is below 10, so that the quotient fits into a byte.
            *byte = u8::try_from(part / 10).unwrap_or(u8::MAX);
            rest = part % 10;
        }
        digits.push(b'0' + u8::try_from(rest).unwrap_or_default());
    }
    out.push(b'"');
    if negative {
        out.push(b'-');
    }
    for (i, digit) in digits.iter().enumerate().rev() {
        out.push(*digit);
        if i == scale && scale > 0 {
            out.push(b'.');
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use apache_avro::types::Value as Avro;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::super::testing::{bare, decode, encode, record_and_value, schema};
    use super::super::types::Decimal;
    use super::*;

    /// What JSON of ours says, from what `apache-avro` has read and by other means: jiff and whole numbers.
    fn oracle(ty: &Type, value: &Avro) -> Json {
        let timestamp = |micros: i128, digits: usize, zone: &str, number: i64| {
            let days = micros.div_euclid(86_400_000_000);
            let Ok(days) = i32::try_from(days) else { return json!(number) };
            let time = jiff::civil::Time::MIN
                + jiff::Span::new().microseconds(i64::try_from(micros.rem_euclid(86_400_000_000)).unwrap());
            json!(format!("{}T{time:.digits$}{zone}", date::text(days)))
        };
        let time = |micros: i64, digits: usize, number: i64| {
            if !(0..86_400_000_000).contains(&micros) {
                return json!(number);
            }
            let time = jiff::civil::Time::MIN + jiff::Span::new().microseconds(micros);
            json!(format!("{time:.digits$}"))
        };
        match (ty.inner(), bare(value)) {
            (_, Avro::Null) => Json::Null,
            (_, Avro::Boolean(b)) => json!(b),
            (_, Avro::Int(n)) => json!(n),
            (_, Avro::Long(n)) => json!(n),
            // Of several shortest forms one is as good as another: that they read back is a property of its own.
            (_, Avro::Float(x)) => serde_json::from_str(&serde_json::to_string(x).unwrap()).unwrap(),
            (_, Avro::Double(x)) => serde_json::from_str(&serde_json::to_string(x).unwrap()).unwrap(),
            (_, Avro::Bytes(b) | Avro::Fixed(_, b)) => json!(STANDARD.encode(b)),
            (_, Avro::String(text) | Avro::Enum(_, text)) => json!(text),
            (_, Avro::Uuid(uuid)) => json!(uuid.to_string()),
            (_, Avro::Date(days)) => json!(date::text(*days)),
            (_, Avro::TimeMillis(n)) => time(i64::from(*n) * 1000, 3, (*n).into()),
            (_, Avro::TimeMicros(n)) => time(*n, 6, *n),
            (_, Avro::TimestampMillis(n)) => timestamp(i128::from(*n) * 1000, 3, "Z", *n),
            (_, Avro::TimestampMicros(n)) => timestamp((*n).into(), 6, "Z", *n),
            (_, Avro::LocalTimestampMillis(n)) => timestamp(i128::from(*n) * 1000, 3, "", *n),
            (_, Avro::LocalTimestampMicros(n)) => timestamp((*n).into(), 6, "", *n),
            (Type::Decimal(Decimal { scale: 2, .. }), Avro::Decimal(decimal)) => {
                let bytes = Vec::<u8>::try_from(decimal).unwrap();
                let sign = if bytes[0] & 0x80 != 0 { u8::MAX } else { 0 };
                let mut wide = [sign; 8];
                wide[8 - bytes.len()..].copy_from_slice(&bytes);
                let n = i64::from_be_bytes(wide);
                let sign = if n < 0 { "-" } else { "" };
                json!(format!("{sign}{}.{:02}", n.abs() / 100, n.abs() % 100))
            }
            (Type::Array(inner), Avro::Array(items)) => items.iter().map(|item| oracle(inner, item)).collect(),
            (Type::Map(inner), Avro::Map(items)) => {
                Json::Object(items.iter().map(|(key, item)| (key.clone(), oracle(inner, item))).collect())
            }
            (Type::Record(record), Avro::Record(fields)) => {
                let pairs = record.fields.iter().zip(fields);
                Json::Object(pairs.map(|(field, (name, item))| (name.clone(), oracle(&field.ty, item))).collect())
            }
            (Type::Union(branches), _) => match value {
                Avro::Union(branch, inner) => oracle(&branches[*branch as usize], inner),
                other => panic!("no union: {other:?}"),
            },
            (ty, value) => panic!("{ty:?} does not go with {value:?}"),
        }
    }

    proptest! {
        /// The JSON says what `apache-avro` reads from the same bytes.
        #[test]
        fn json_says_what_apache_avro_reads((ty, value) in record_and_value()) {
            let schema = schema(&ty);
            let body = encode(&value);
            let theirs = decode(&schema, &body);
            prop_assume!(theirs.is_some());
            let mut out = Vec::new();
            schema.put_json(&body, &mut out).unwrap();
            let ours: Json = serde_json::from_slice(&out).unwrap();
            let mut fields = serde_json::Map::new();
            schema
                .json_fields(&body, &mut |field, json| {
                    fields.insert(field.name.clone(), serde_json::from_slice(json).unwrap());
                })
                .unwrap();
            prop_assert_eq!(&ours, &Json::Object(fields));
            prop_assert_eq!(ours, oracle(&Type::Record(schema.record().clone()), &theirs.unwrap()));
        }

        /// A float and a double read back the same from their text.
        #[test]
        fn a_finite_float_reads_back(bits in any::<u32>(), wide in any::<u64>()) {
            let (a, b) = (f32::from_bits(bits), f64::from_bits(wide));
            prop_assume!(a.is_finite() && b.is_finite());
            let mut out = Vec::new();
            put_value(&Type::Float, &mut Reader::new(&a.to_le_bytes()), &mut out).unwrap();
            prop_assert_eq!(std::str::from_utf8(&out).unwrap().parse::<f32>().unwrap().to_bits(), bits);
            out.clear();
            put_value(&Type::Double, &mut Reader::new(&b.to_le_bytes()), &mut out).unwrap();
            prop_assert_eq!(std::str::from_utf8(&out).unwrap().parse::<f64>().unwrap().to_bits(), wide);
        }

        /// Whatever the bytes: an error or valid JSON, and an error wherever the walk finds one... but for block sizes.
        #[test]
        fn any_bytes_are_json_or_an_error((ty, value) in record_and_value(), at in any::<usize>(), with in any::<u8>()) {
            let schema = schema(&ty);
            let mut body = encode(&value);
            if !body.is_empty() {
                let at = at % body.len();
                body[at] = with;
            }
            let mut out = Vec::new();
            let written = schema.put_json(&body, &mut out);
            if written.is_ok() {
                prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&out).is_ok());
            }
            if schema.walk(&body, &mut super::super::Spans::new()).is_ok() {
                prop_assert!(written.is_ok());
            }
        }
    }

    fn decimal(bytes: &[u8], scale: usize) -> String {
        let mut out = Vec::new();
        put_decimal(bytes, scale, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_decimal_has_all_its_digits() {
        assert_eq!(decimal(&[], 2), "\"0.00\"");
        assert_eq!(decimal(&[5], 2), "\"0.05\"");
        assert_eq!(decimal(&[0xfb], 2), "\"-0.05\"");
        assert_eq!(decimal(&[0x80], 0), "\"-128\"");
        assert_eq!(decimal(&[0x00, 0x80], 0), "\"128\"");
        assert_eq!(
            decimal(&(-123_456_789_012_345_678_901_234_567_i128).to_be_bytes(), 9),
            "\"-123456789012345678.901234567\""
        );
        assert_eq!(decimal(&i128::MIN.to_be_bytes(), 0), format!("\"{}\"", i128::MIN));
        assert!(decimal(&[1; MAX_DECIMAL_BYTES + 1], 2).starts_with("\"0x0101"));
    }

    #[test]
    fn floats_that_no_json_number_is_are_words() {
        let schema = crate::schema::Schema::parse(
            r#"{"type":"record","name":"T","fields":[{"name":"a","type":"double"},{"name":"b","type":"float"}]}"#,
        )
        .unwrap();
        let mut body = f64::NEG_INFINITY.to_le_bytes().to_vec();
        body.extend(f32::NAN.to_le_bytes());
        let mut out = Vec::new();
        schema.put_json(&body, &mut out).unwrap();
        assert_eq!(out, br#"{"a":"-Infinity","b":"NaN"}"#);
        out.clear();
        let mut body = 0.1_f64.to_le_bytes().to_vec();
        body.extend(0.1_f32.to_le_bytes());
        schema.put_json(&body, &mut out).unwrap();
        assert_eq!(out, br#"{"a":0.1,"b":0.1}"#);
    }
}
