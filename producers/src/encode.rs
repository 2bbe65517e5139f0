//! From a tree of values to the Avro body of a record, in one pass, in the order of the schema.
//!
//! What makes two writings of one record the same bytes is decided here, since the bus tells a repeated change from a
//! conflict by bytes: fields stand in the schema's order, an array or map is one block, the keys of a map are sorted, a
//! decimal has as few bytes as it can, a UUID is in small letters.
//!
//! How each type is written in JSON (and, by a mapping, in CSV):
//!
//! | type | written as |
//! |---|---|
//! | boolean, string | itself |
//! | int, long | a number without fraction or exponent, within its range |
//! | float, double | a number; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | date | `YYYY-MM-DD` |
//! | time | `HH:mm:ss`, with a fraction down to the type's unit |
//! | timestamp | `YYYY-MM-DDTHH:mm:ss`, with a fraction, `Z` or an offset; without a zone it is Việt Nam's time |
//! | local timestamp | the same without a zone |
//! | decimal | a number or a text of one, with no more digits than the type has |
//! | bytes, fixed | base64 with padding (RFC 4648 section 4) |
//! | enum | the symbol |
//! | array, map, record | array, object, object |
//! | nullable | null or the value; a nullable field may be left out |
//! | a union of several types | the first type that the value fits |
//!
//! A field that is left out takes its default from the schema; a nullable one without default is null. Whether a value is
//! *right* is not asked here but by the rules of the contract.

use std::borrow::Cow;

use apache_avro::types::Value as Avro;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kenh_domain::date;
use kenh_domain::envelope::put_text;
use kenh_domain::limits::MAX_VIOLATIONS;
use kenh_domain::rule::{Rejection, Rule};
use kenh_domain::schema::{Decimal, Record, Type, put_long};

use crate::json::Json;
use crate::time;

/// Whether field names must be written as the contract has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// To the letter.
    Exact,
    /// Capital and small letters are the same, as receivers of the national envelope tolerate.
    Tolerant,
}

/// Appends the Avro body of `value` as a record of `record` to `out`. `keys` are the dotted fields of the record key,
/// whose absence breaks a rule of its own.
///
/// # Errors
/// Every rule that is broken, at most [`MAX_VIOLATIONS`], each with its dotted field: `unknown-field`, `wrong-type`,
/// `required`, `missing-key`, `values`, `malformed`. `out` then holds what it held before.
pub fn encode(
    record: &Record,
    keys: &[String],
    value: &Json<'_>,
    case: Case,
    out: &mut Vec<u8>,
) -> Result<(), Vec<Rejection>> {
    let start = out.len();
    let mut encoder = Encoder { keys, case, path: String::new(), found: Vec::new() };
    match value {
        Json::Object(members) => encoder.record(record, members, out),
        other => encoder.fail(Rule::WrongType, format!("a record is an object, not {}", other.kind())),
    }
    if encoder.found.is_empty() {
        return Ok(());
    }
    out.truncate(start);
    Err(encoder.found)
}

struct Encoder<'k> {
    keys: &'k [String],
    case: Case,
    path: String,
    found: Vec<Rejection>,
}

impl Encoder<'_> {
    fn fail(&mut self, rule: Rule, detail: impl Into<String>) {
        if self.found.len() < MAX_VIOLATIONS {
            self.found.push(Rejection::field(rule, self.path.clone()).with(detail));
        }
    }

    fn wrong(&mut self, wanted: &str, value: &Json<'_>) {
        self.fail(Rule::WrongType, format!("{wanted} is wanted, not {}", value.kind()));
    }

    /// Runs `what` with `name` at the end of the path.
    fn within(&mut self, name: &str, what: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        what(self);
        self.path.truncate(length);
    }

    /// A null, or nothing, where the schema wants a value.
    fn absent(&mut self) {
        let rule = if self.keys.contains(&self.path) { Rule::MissingKey } else { Rule::Required };
        self.fail(rule, "");
    }

    fn record(&mut self, record: &Record, members: &[(Cow<'_, str>, Json<'_>)], out: &mut Vec<u8>) {
        let mut used = 0;
        for field in &record.fields {
            let value = self.member(members, &field.name);
            used += usize::from(value.is_some());
            self.within(&field.name, |this| match value {
                Some(value) => this.value(&field.ty, value, out),
                None if field.put_default(out) => {}
                None if field.ty.is_nullable() => this.value(&field.ty, &Json::Null, out),
                None => this.absent(),
            });
        }
        if used == members.len() {
            return;
        }
        // Rare: say which, and which of two that differ only in their letters.
        for (i, (name, value)) in members.iter().enumerate() {
            let named = |n: &str| self.same(n, name);
            let known = record.fields.iter().any(|f| named(&f.name));
            let twice = known && members.iter().take(i).any(|(n, _)| named(n));
            // The list of files that the national envelope always has, in a dataset that has no files.
            let no_files = self.case == Case::Tolerant
                && name.eq_ignore_ascii_case("PhanPhoi")
                && matches!(value, Json::Null | Json::Array(_))
                && !matches!(value, Json::Array(items) if !items.is_empty());
            if twice || (!known && !no_files) {
                let short: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                self.within(&short, |this| {
                    if twice {
                        this.fail(Rule::Malformed, "the field stands twice");
                    } else {
                        this.fail(Rule::UnknownField, "");
                    }
                });
            }
        }
    }

    fn same(&self, a: &str, b: &str) -> bool {
        a == b || (self.case == Case::Tolerant && a.eq_ignore_ascii_case(b))
    }

    fn member<'m, 'a>(&self, members: &'m [(Cow<'a, str>, Json<'a>)], name: &str) -> Option<&'m Json<'a>> {
        let exact = members.iter().find(|(n, _)| n == name);
        exact.or_else(|| members.iter().find(|(n, _)| self.same(n, name))).map(|(_, value)| value)
    }

    fn value(&mut self, ty: &Type, value: &Json<'_>, out: &mut Vec<u8>) {
        if let Json::Null = value
            && !ty.is_nullable()
        {
            return self.absent();
        }
        match (ty, value) {
            (Type::Null, Json::Null) => {}
            (Type::Boolean, Json::Bool(b)) => out.push((*b).into()),
            (Type::Int, Json::Number(n)) => self.whole(n, i32::MIN.into(), i32::MAX.into(), out),
            (Type::Long, Json::Number(n)) => self.whole(n, i64::MIN, i64::MAX, out),
            (Type::Float, Json::Number(n)) => match n.parse::<f32>() {
                Ok(x) if x.is_finite() => out.extend_from_slice(&x.to_le_bytes()),
                _ => self.fail(Rule::WrongType, "the number is too great for a float"),
            },
            (Type::Double, Json::Number(n)) => match n.parse::<f64>() {
                Ok(x) if x.is_finite() => out.extend_from_slice(&x.to_le_bytes()),
                _ => self.fail(Rule::WrongType, "the number is too great for a double"),
            },
            (Type::Float | Type::Double, Json::Text(text)) => match (ty, special(text)) {
                (_, None) => self.wrong(ty.kind(), value),
                #[expect(clippy::cast_possible_truncation, reason = "none of the three loses anything")]
                (Type::Float, Some(x)) => out.extend_from_slice(&(x as f32).to_le_bytes()),
                (_, Some(x)) => out.extend_from_slice(&x.to_le_bytes()),
            },
            (Type::Text, Json::Text(text)) => put_text(text, out),
            (Type::Uuid, Json::Text(text)) => {
                if is_uuid(text) {
                    put_text(&text.to_ascii_lowercase(), out);
                } else {
                    self.fail(Rule::WrongType, "a UUID is 8-4-4-4-12 hexadecimal digits");
                }
            }
            (Type::Date, Json::Text(text)) => {
                let days = date::parse(text).map(i64::from);
                self.time(days, "a date of the calendar is written YYYY-MM-DD", out);
            }
            (Type::TimeMillis, Json::Text(text)) => {
                let ms = time::of_day_us(text).map(|us| us / 1000);
                self.time(ms, "a time of day is written HH:mm:ss", out);
            }
            (Type::TimeMicros, Json::Text(text)) => {
                self.time(time::of_day_us(text), "a time of day is written HH:mm:ss", out);
            }
            (Type::TimestampMillis, Json::Text(text)) => {
                self.time(time::instant_ms(text), "a time is written YYYY-MM-DDTHH:mm:ss", out);
            }
            (Type::TimestampMicros, Json::Text(text)) => {
                self.time(time::instant_us(text), "a time is written YYYY-MM-DDTHH:mm:ss", out);
            }
            (Type::LocalTimestampMillis, Json::Text(text)) => {
                let ms = time::local_us(text).map(|us| us.div_euclid(1000));
                self.time(ms, "a local time is written YYYY-MM-DDTHH:mm:ss, without zone", out);
            }
            (Type::LocalTimestampMicros, Json::Text(text)) => {
                self.time(time::local_us(text), "a local time is written YYYY-MM-DDTHH:mm:ss, without zone", out);
            }
            (Type::Decimal(decimal), Json::Number(text) | Json::Text(text)) => self.decimal(*decimal, text, out),
            (Type::Bytes, Json::Text(text)) => match STANDARD.decode(text.as_bytes()) {
                Ok(bytes) => put_bytes(&bytes, out),
                Err(_) => self.fail(Rule::WrongType, "bytes are written in base64"),
            },
            (Type::Fixed(fixed), Json::Text(text)) => match STANDARD.decode(text.as_bytes()) {
                Ok(bytes) if bytes.len() == fixed.size => out.extend_from_slice(&bytes),
                _ => self.fail(Rule::WrongType, format!("{} bytes are written in base64", fixed.size)),
            },
            (Type::Enum(of), Json::Text(text)) => match of.symbols.iter().position(|s| s == text) {
                Some(index) => put_count(index, out),
                None => self.fail(Rule::Values, ""),
            },
            (Type::Array(of), Json::Array(items)) => block(items.len(), out, |out| {
                items.iter().for_each(|item| self.value(of, item, out));
            }),
            (Type::Map(of), Json::Object(members)) => {
                let mut members: Vec<(&str, &Json<'_>)> = members.iter().map(|(n, v)| (&**n, v)).collect();
                members.sort_by_key(|(name, _)| *name);
                block(members.len(), out, |out| {
                    for (name, value) in members {
                        put_text(name, out);
                        self.value(of, value, out);
                    }
                });
            }
            (Type::Record(of), Json::Object(members)) => self.record(of, members, out),
            (Type::Nullable(_, null), Json::Null) => out.push(null.null_byte()),
            (Type::Nullable(of, null), value) => {
                out.push(null.value_byte());
                self.value(of, value, out);
            }
            (Type::Union(branches), value) => self.union(branches, value, out),
            (ty, value) => self.wrong(ty.kind(), value),
        }
    }

    fn whole(&mut self, text: &str, least: i64, most: i64, out: &mut Vec<u8>) {
        match text.parse::<i64>() {
            Ok(n) if (least..=most).contains(&n) => put_long(n, out),
            _ if text.contains(['.', 'e', 'E']) => self.fail(Rule::WrongType, "a whole number is wanted"),
            _ => self.fail(Rule::WrongType, format!("the number is not within {least} and {most}")),
        }
    }

    fn time(&mut self, value: Option<i64>, form: &'static str, out: &mut Vec<u8>) {
        match value {
            Some(n) => put_long(n, out),
            None => self.fail(Rule::WrongType, form),
        }
    }

    fn decimal(&mut self, ty: Decimal, text: &str, out: &mut Vec<u8>) {
        match unscaled(text, ty) {
            Some(n) => put_bytes(least_bytes(&n.to_be_bytes()), out),
            None => {
                let Decimal { precision, scale } = ty;
                let detail =
                    format!("a decimal of at most {precision} digits, {scale} of them after the point, is wanted");
                self.fail(Rule::WrongType, detail);
            }
        }
    }

    fn union(&mut self, branches: &[Type], value: &Json<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        for (index, branch) in branches.iter().enumerate() {
            let mut trial = Encoder { keys: &[], case: self.case, path: String::new(), found: Vec::new() };
            put_count(index, out);
            if matches!(value, Json::Null) && *branch != Type::Null {
                trial.absent();
            } else {
                trial.value(branch, value, out);
            }
            if trial.found.is_empty() {
                return;
            }
            out.truncate(start);
        }
        self.wrong("a value of one of the types of the union", value);
    }
}

/// An array or map: one block and its end.
pub(crate) fn block(count: usize, out: &mut Vec<u8>, items: impl FnOnce(&mut Vec<u8>)) {
    if count > 0 {
        put_count(count, out);
        items(out);
    }
    out.push(0);
}

pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_count(count: usize, out: &mut Vec<u8>) {
    // Nothing in memory is longer than i64 can say.
    put_long(i64::try_from(count).unwrap_or(i64::MAX), out);
}

/// The fewest bytes of a number in two's complement that keep its sign.
pub(crate) fn least_bytes(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, second, ..] = rest
        && ((*first == 0 && second & 0x80 == 0) || (*first == 0xff && second & 0x80 != 0))
    {
        rest = rest.get(1..).unwrap_or_default();
    }
    rest
}

/// A decimal's number without its point: none when the text is no number, or has more digits than `ty`.
fn unscaled(text: &str, ty: Decimal) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || digits.ends_with('.') {
        return None;
    }
    // Zeros after the last digit say nothing.
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > ty.scale {
        return None;
    }
    let zeros = ty.scale - fraction.len();
    let mut n: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', zeros)) {
        n = n.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    let most = u32::try_from(ty.precision).ok().and_then(|p| 10_i128.checked_pow(p)).unwrap_or(i128::MAX);
    (n < most).then_some(if negative { -n } else { n })
}

/// What JSON has no numbers for.
fn special(text: &str) -> Option<f64> {
    Some(match text {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ => return None,
    })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() })
}

/// Appends a value that `apache-avro` has read; false when it is not one of `ty` (then `out` holds a part of it).
pub(crate) fn avro(ty: &Type, value: &Avro, out: &mut Vec<u8>) -> bool {
    match (ty, value) {
        (Type::Null, Avro::Null) => true,
        (Type::Boolean, Avro::Boolean(b)) => {
            out.push((*b).into());
            true
        }
        (Type::Int, Avro::Int(n)) | (Type::Date, Avro::Date(n) | Avro::Int(n)) => long(i64::from(*n), out),
        (Type::TimeMillis, Avro::TimeMillis(n) | Avro::Int(n)) => long(i64::from(*n), out),
        (Type::Long, Avro::Long(n))
        | (Type::TimeMicros, Avro::TimeMicros(n) | Avro::Long(n))
        | (Type::TimestampMillis, Avro::TimestampMillis(n) | Avro::Long(n))
        | (Type::TimestampMicros, Avro::TimestampMicros(n) | Avro::Long(n))
        | (Type::LocalTimestampMillis, Avro::LocalTimestampMillis(n) | Avro::Long(n))
        | (Type::LocalTimestampMicros, Avro::LocalTimestampMicros(n) | Avro::Long(n)) => long(*n, out),
        (Type::Float, Avro::Float(x)) => {
            out.extend_from_slice(&x.to_le_bytes());
            true
        }
        (Type::Double, Avro::Double(x)) => {
            out.extend_from_slice(&x.to_le_bytes());
            true
        }
        (Type::Bytes, Avro::Bytes(bytes)) => sized(bytes, out),
        (Type::Decimal(_), Avro::Bytes(bytes)) => sized(least_bytes(bytes), out),
        (Type::Decimal(_), Avro::Decimal(decimal)) => {
            Vec::<u8>::try_from(decimal).is_ok_and(|bytes| sized(least_bytes(&bytes), out))
        }
        (Type::Text, Avro::String(text)) => sized(text.as_bytes(), out),
        (Type::Uuid, Avro::Uuid(uuid)) => sized(uuid.to_string().as_bytes(), out),
        (Type::Uuid, Avro::String(text)) => is_uuid(text) && sized(text.to_ascii_lowercase().as_bytes(), out),
        (Type::Fixed(fixed), Avro::Fixed(size, bytes)) if fixed.size == *size && bytes.len() == *size => {
            out.extend_from_slice(bytes);
            true
        }
        // By name: a resolved value may count symbols as its writer did.
        (Type::Enum(of), Avro::Enum(_, symbol)) => of
            .symbols
            .iter()
            .position(|s| s == symbol)
            .is_some_and(|index| long(i64::try_from(index).unwrap_or(0), out)),
        (Type::Array(of), Avro::Array(items)) => {
            let mut good = true;
            block(items.len(), out, |out| good = items.iter().all(|item| avro(of, item, out)));
            good
        }
        (Type::Map(of), Avro::Map(members)) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|m| m.0);
            let mut good = true;
            block(members.len(), out, |out| {
                good = members.iter().all(|(name, value)| sized(name.as_bytes(), out) && avro(of, value, out));
            });
            good
        }
        (Type::Record(record), Avro::Record(fields)) => {
            record.fields.len() == fields.len()
                && record
                    .fields
                    .iter()
                    .zip(fields)
                    .all(|(field, (name, value))| field.name == *name && avro(&field.ty, value, out))
        }
        (Type::Nullable(of, null), Avro::Union(_, value)) => match &**value {
            Avro::Null => {
                out.push(null.null_byte());
                true
            }
            value => {
                out.push(null.value_byte());
                avro(of, value, out)
            }
        },
        (Type::Union(branches), Avro::Union(index, value)) => {
            let branch = usize::try_from(*index).ok().and_then(|index| branches.get(index));
            branch.is_some_and(|branch| long(i64::from(*index), out) && avro(branch, value, out))
        }
        _ => false,
    }
}

fn long(n: i64, out: &mut Vec<u8>) -> bool {
    put_long(n, out);
    true
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    put_bytes(bytes, out);
    true
}
