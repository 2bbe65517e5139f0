//! Reading Avro bytes: the validating walk, and values after it.
//!
//! Source of the encoding: Avro specification 1.12, "Binary encoding".

use std::ops::Range;

use super::types::{Record, Type};
use crate::limits::MAX_BODY_ITEMS;

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It ends too early.
    #[error("the bytes end too early")]
    Truncated,
    /// More than 10 bytes or 64 bits.
    #[error("a number does not fit into 64 bits")]
    Overflow,
    /// A number with padding: the same number has a shorter form.
    #[error("a number is not in its shortest form")]
    Overlong,
    /// An int beyond 32 bits.
    #[error("an int does not fit into 32 bits")]
    IntRange,
    /// A length below 0 or beyond the bytes that are left.
    #[error("a length is negative or goes beyond the end")]
    Length,
    /// Text that is not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
    /// A boolean other than 0 or 1.
    #[error("a boolean is neither 0 nor 1")]
    Boolean,
    /// A union branch that does not exist.
    #[error("a union has no such branch")]
    Branch,
    /// An enum symbol that does not exist.
    #[error("the enum has no such symbol")]
    Symbol,
    /// An array or map block whose stated size is not its size.
    #[error("a block does not have the size it states")]
    BlockSize,
    /// More array and map items than [`MAX_BODY_ITEMS`].
    #[error("there are more than {MAX_BODY_ITEMS} array and map items")]
    TooManyItems,
    /// A uuid that is not 8-4-4-4-12 hexadecimal digits.
    #[error("the text is not a uuid (8-4-4-4-12 hexadecimal digits)")]
    Uuid,
    /// Bytes after the last field.
    #[error("there are bytes after the last field")]
    Trailing,
    /// Longer than positions can say.
    #[error("the body is longer than 4 GiB")]
    TooLong,
}

/// A body that does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{fault}", if field.is_empty() { String::new() } else { format!("field {field}: ") })]
pub struct BodyError {
    /// Dotted path of the field; empty when it is about the whole body.
    pub field: String,
    /// What is wrong.
    pub fault: Fault,
}

/// Where the fields of a walked body lie. Scratch: make one and use it again.
#[derive(Debug, Clone, Default)]
pub struct Spans {
    slots: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

/// Of a field in a record that is null.
const ABSENT: Span = Span { start: u32::MAX, end: u32::MAX };

impl Spans {
    /// Empty scratch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the field of `slot` lies; none when a record on the way is null.
    #[inline]
    pub(crate) fn get(&self, slot: usize) -> Option<Range<usize>> {
        let span = self.slots.get(slot)?;
        (span.start != u32::MAX).then_some(span.start as usize..span.end as usize)
    }
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Null, or a field of a record that is null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An int or long.
    Int(i64),
    /// A float or double.
    Double(f64),
    /// A string, a uuid, the symbol of an enum.
    Text(&'a str),
    /// Bytes, fixed, and the unscaled number of a decimal.
    Bytes(&'a [u8]),
    /// A date: days since 1970-01-01.
    Date(i32),
    /// A time or timestamp, in the unit of its type.
    Timestamp(i64),
    /// An array, map, record or union of several types: carried whole.
    Nested,
}

pub(super) fn walk(record: &Record, body: &[u8], spans: &mut Spans) -> Result<(), BodyError> {
    let whole = |fault| BodyError { field: String::new(), fault };
    if body.len() >= u32::MAX as usize {
        return Err(whole(Fault::TooLong));
    }
    // Every slot is written below before it is read, so that only growth costs.
    spans.slots.resize(record.slots, ABSENT);
    let mut reader = Reader::new(body);
    let mut blame = String::new();
    reader.record(record, &mut spans.slots, &mut blame).map_err(|fault| BodyError { field: blame, fault })?;
    if reader.pos != body.len() {
        return Err(whole(Fault::Trailing));
    }
    Ok(())
}

pub(super) fn measure(record: &Record, bytes: &[u8]) -> Result<usize, BodyError> {
    let mut reader = Reader::new(bytes);
    let mut blame = String::new();
    for field in &record.fields {
        reader.skip(&field.ty, &mut blame).map_err(|fault| {
            name_in(&mut blame, &field.name);
            BodyError { field: std::mem::take(&mut blame), fault }
        })?;
    }
    Ok(reader.pos)
}

/// A cursor over Avro bytes, for whoever reads a whole body field by field. Never panics and never allocates by a length
/// that the bytes claim.
#[derive(Clone)]
pub struct Reader<'a> {
    body: &'a [u8],
    pos: usize,
    items: u64,
}

// The body is a row (invariant 7).
impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader(at {} of {} bytes)", self.pos, self.body.len())
    }
}

impl<'a> Reader<'a> {
    /// At the first byte of a body.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Self { body, pos: 0, items: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.pos
    }

    /// The bytes from `start` to here.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.body.get(start..self.pos).unwrap_or_default()
    }

    /// A record whose fields have slots. On a fault `blame` becomes the path of the field.
    fn record(&mut self, record: &Record, slots: &mut [Span], blame: &mut String) -> Result<(), Fault> {
        for field in &record.fields {
            let start = self.position32();
            let result = match &field.ty {
                // The two forms that hold further slots.
                Type::Record(nested) => {
                    let own = slots.get_mut(field.offset + 1..).unwrap_or_default();
                    self.record(nested, own, blame)
                }
                Type::Nullable(inner, null) if let Type::Record(nested) = &**inner => {
                    let own = slots.get_mut(field.offset + 1..).unwrap_or_default();
                    match self.branch(2) {
                        Ok(branch) if branch == null.null() => {
                            own.iter_mut().take(nested.slots).for_each(|slot| *slot = ABSENT);
                            Ok(())
                        }
                        Ok(_) => self.record(nested, own, blame),
                        Err(fault) => Err(fault),
                    }
                }
                other => self.skip(other, blame),
            };
            if let Err(fault) = result {
                name_in(blame, &field.name);
                return Err(fault);
            }
            if let Some(slot) = slots.get_mut(field.offset) {
                *slot = Span { start, end: self.position32() };
            }
        }
        Ok(())
    }

    /// Validates one value of `ty` and stands behind it.
    pub(crate) fn skip(&mut self, ty: &Type, blame: &mut String) -> Result<(), Fault> {
        match ty {
            Type::Null => Ok(()),
            Type::Boolean => self.boolean().map(drop),
            Type::Int | Type::Date | Type::TimeMillis => self.int().map(drop),
            Type::Long
            | Type::TimeMicros
            | Type::TimestampMillis
            | Type::TimestampMicros
            | Type::LocalTimestampMillis
            | Type::LocalTimestampMicros => self.long().map(drop),
            Type::Float => self.take(4).map(drop),
            Type::Double => self.take(8).map(drop),
            Type::Bytes | Type::Decimal(_) => self.bytes().map(drop),
            Type::Text => self.text().map(drop),
            Type::Uuid => self.uuid().map(drop),
            Type::Fixed(fixed) => self.take(fixed.size).map(drop),
            Type::Enum(symbols) => self.symbol(symbols.symbols.len()).map(drop),
            Type::Array(inner) => self.blocks(|reader| reader.skip(inner, blame)),
            Type::Map(inner) => self.blocks(|reader| {
                reader.text()?;
                reader.skip(inner, blame)
            }),
            Type::Nullable(inner, null) => {
                if self.branch(2)? == null.null() {
                    Ok(())
                } else {
                    self.skip(inner, blame)
                }
            }
            Type::Union(branches) => {
                let branch = self.branch(branches.len())?;
                branches.get(branch).map_or(Err(Fault::Branch), |ty| self.skip(ty, blame))
            }
            Type::Record(record) => {
                for field in &record.fields {
                    self.skip(&field.ty, blame).inspect_err(|_| name_in(blame, &field.name))?;
                }
                Ok(())
            }
        }
    }

    /// One value of `ty`, with the reader behind it; of an array, map, record or union of several types nothing is read
    /// but the branch.
    ///
    /// # Errors
    /// [`Fault`] when the bytes are not of `ty`.
    pub fn value(&mut self, ty: &'a Type) -> Result<Value<'a>, Fault> {
        Ok(match ty {
            Type::Null => Value::Null,
            Type::Boolean => Value::Bool(self.boolean()?),
            Type::Int => Value::Int(self.int()?.into()),
            Type::Long => Value::Int(self.long()?),
            Type::Date => Value::Date(self.int()?),
            Type::TimeMillis => Value::Timestamp(self.int()?.into()),
            Type::TimeMicros
            | Type::TimestampMillis
            | Type::TimestampMicros
            | Type::LocalTimestampMillis
            | Type::LocalTimestampMicros => Value::Timestamp(self.long()?),
            Type::Float => Value::Double(self.float()?.into()),
            Type::Double => Value::Double(self.double()?),
            Type::Bytes | Type::Decimal(_) => Value::Bytes(self.bytes()?),
            Type::Text | Type::Uuid => Value::Text(self.text()?),
            Type::Fixed(fixed) => Value::Bytes(self.take(fixed.size)?),
            Type::Enum(symbols) => {
                let symbol = self.symbol(symbols.symbols.len())?;
                Value::Text(symbols.symbols.get(symbol).ok_or(Fault::Symbol)?)
            }
            Type::Nullable(inner, null) => {
                if self.branch(2)? == null.null() {
                    return Ok(Value::Null);
                }
                self.value(inner)?
            }
            // A union of several types may hold a null too; it is carried whole all the same.
            Type::Union(branches) => match branches.get(self.branch(branches.len())?) {
                Some(Type::Null) => Value::Null,
                Some(_) => Value::Nested,
                None => return Err(Fault::Branch),
            },
            Type::Array(_) | Type::Map(_) | Type::Record(_) => Value::Nested,
        })
    }

    /// The blocks of an array or map, calling `item` for each item.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        loop {
            let (count, size) = match self.block()? {
                (0, _) => return Ok(()),
                block => block,
            };
            let start = self.pos;
            for _ in 0..count {
                item(self)?;
            }
            if size.is_some_and(|size| start.checked_add(size) != Some(self.pos)) {
                return Err(Fault::BlockSize);
            }
        }
    }

    /// The head of a block: how many items, and how many bytes where it says so. No items: the end.
    ///
    /// Items may take no bytes (an array of null), so that a few bytes could claim any number: they are counted, over
    /// the whole body.
    ///
    /// # Errors
    /// [`Fault`] when this is no head of a block, or there are too many items.
    pub fn block(&mut self) -> Result<(u64, Option<usize>), Fault> {
        let count = self.long()?;
        let size = if count < 0 { Some(self.length()?) } else { None };
        self.items = self.items.saturating_add(count.unsigned_abs());
        if self.items > MAX_BODY_ITEMS {
            return Err(Fault::TooManyItems);
        }
        Ok((count.unsigned_abs(), size))
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let end = self.pos.checked_add(count).ok_or(Fault::Length)?;
        let bytes = self.body.get(self.pos..end).ok_or(Fault::Truncated)?;
        self.pos = end;
        Ok(bytes)
    }

    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, Fault> {
        let first = *self.body.get(self.pos).ok_or(Fault::Truncated)?;
        self.pos += 1;
        if first < 0x80 {
            return Ok(unzigzag(first.into()));
        }
        let mut n = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = *self.body.get(self.pos).ok_or(Fault::Truncated)?;
            self.pos += 1;
            // The tenth byte holds the 64th bit and no more.
            if shift == 63 && byte > 1 {
                return Err(Fault::Overflow);
            }
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if byte == 0 { Err(Fault::Overlong) } else { Ok(unzigzag(n)) };
            }
        }
        Err(Fault::Overflow)
    }

    #[inline]
    pub(crate) fn int(&mut self) -> Result<i32, Fault> {
        i32::try_from(self.long()?).map_err(|_| Fault::IntRange)
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Fault> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Fault::Boolean),
        }
    }

    pub(crate) fn float(&mut self) -> Result<f32, Fault> {
        let bytes = self.take(4)?.try_into().map_err(|_| Fault::Truncated)?;
        Ok(f32::from_le_bytes(bytes))
    }

    pub(crate) fn double(&mut self) -> Result<f64, Fault> {
        let bytes = self.take(8)?.try_into().map_err(|_| Fault::Truncated)?;
        Ok(f64::from_le_bytes(bytes))
    }

    fn length(&mut self) -> Result<usize, Fault> {
        let length = usize::try_from(self.long()?).map_err(|_| Fault::Length)?;
        if length > self.body.len() - self.pos { Err(Fault::Length) } else { Ok(length) }
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.length()?;
        self.take(length)
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Fault::Utf8)
    }

    fn uuid(&mut self) -> Result<&'a str, Fault> {
        let text = self.text()?;
        let form = text.len() == 36
            && text
                .bytes()
                .enumerate()
                .all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() });
        if form { Ok(text) } else { Err(Fault::Uuid) }
    }

    #[inline]
    pub(crate) fn symbol(&mut self, symbols: usize) -> Result<usize, Fault> {
        usize::try_from(self.int()?).ok().filter(|&s| s < symbols).ok_or(Fault::Symbol)
    }

    /// The branch of a union that has `branches` of them.
    ///
    /// # Errors
    /// [`Fault`] when there is no such branch.
    #[inline]
    pub fn branch(&mut self, branches: usize) -> Result<usize, Fault> {
        usize::try_from(self.long()?).ok().filter(|&b| b < branches).ok_or(Fault::Branch)
    }

    /// Bodies of 4 GiB are refused before the walk.
    #[expect(clippy::cast_possible_truncation, reason = "walk() has refused longer bodies")]
    const fn position32(&self) -> u32 {
        self.pos as u32
    }
}

/// Appends an int or long: zigzag, then 7 bits a byte, least first.
#[inline]
pub fn put_long(n: i64, out: &mut Vec<u8>) {
    let mut rest = zigzag(n);
    while rest >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits are wanted")]
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "fewer than eight bits are left")]
    out.push(rest as u8);
}

#[inline]
#[expect(clippy::cast_sign_loss, reason = "zigzag encoding is defined on the bits")]
const fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

#[inline]
#[expect(clippy::cast_possible_wrap, reason = "zigzag decoding is defined on the bits")]
const fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

fn name_in(blame: &mut String, name: &str) {
    if blame.is_empty() {
        blame.push_str(name);
    } else {
        blame.insert(0, '.');
        blame.insert_str(0, name);
    }
}
