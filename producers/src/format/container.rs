//! Avro object container files (Avro specification 1.12, "Object Container Files"), of records or of envelopes.
//!
//! A file names the schema it was written with. One of the contract's own versions is read as it is; any
//! other is resolved to the newest by `apache-avro`. Every body is first validated byte by byte as what its writer says,
//! and written anew as the bus writes it, so that the same record from another source is *repeated* and no conflict.
//!
//! Blocks are framed here and not by `apache-avro`: a block that is damaged costs its own records and no others, and what
//! a few bytes claim to hold is never allocated. Codecs: null and deflate.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::SchemaCompatibility;
use kenh_domain::admit::Rules;
use kenh_domain::envelope;
use kenh_domain::error::chain;
use kenh_domain::limits::{MAX_CONTAINER_BLOCK_BYTES, MAX_CONTROL_BYTES};
use kenh_domain::rule::{Rejection, Rule};
use kenh_domain::schema::{Field, Record, Schema, Type};
use kenh_domain::wire::SchemaId;

use super::{Items, SourceError};
use crate::change::{Change, Item};
use crate::encode;

const MAGIC: [u8; 4] = *b"Obj\x01";

pub(super) struct Container<'r> {
    input: BufReader<Box<dyn Read + 'r>>,
    writer: Writer,
    deflate: bool,
    sync: [u8; 16],
    block: Vec<u8>,
    /// Where the next record starts in `block`, and how many are left in it.
    at: usize,
    left: u64,
    /// The rest of the block cannot be read.
    lost: bool,
    number: u64,
    done: bool,
}

/// How the bodies of a file are read.
struct Writer {
    /// What it was written with.
    schema: Schema,
    /// What its records become.
    id: SchemaId,
    into: Arc<Record>,
    /// Set where apache-avro has to resolve one to the other.
    resolve: Option<Schema>,
    /// The bodies are envelopes, around records of this schema.
    envelope: Option<Schema>,
}

impl<'r> Container<'r> {
    /// Reads the head of a file.
    pub(super) fn open(input: Box<dyn Read + 'r>, rules: &'r Rules) -> Result<Self, SourceError> {
        let mut input = BufReader::with_capacity(1 << 16, input);
        let head = head(&mut input)?;
        let deflate = match head.codec.as_deref() {
            None | Some(b"null") => false,
            Some(b"deflate") => true,
            Some(_) => return Err(fault("its codec is neither null nor deflate; write it with one of these")),
        };
        let text = String::from_utf8(head.schema).map_err(|_| fault("its schema is not UTF-8"))?;
        let writer = Writer::find(&text, rules)?;
        let (block, sync) = (Vec::new(), head.sync);
        Ok(Self { input, writer, deflate, sync, block, at: 0, left: 0, lost: false, number: 0, done: false })
    }

    /// Reads the next block; false at the end of the file.
    fn block(&mut self) -> Result<Result<bool, Rejection>, io::Error> {
        let truncated = || Ok(Err(Rejection::record(Rule::Truncated)));
        let malformed = |what: &str| Ok(Err(Rejection::record(Rule::Malformed).with(what)));
        let count = match long(&mut self.input)? {
            Long::End => return Ok(Ok(false)),
            Long::Truncated => return truncated(),
            Long::Overflow => return malformed("the head of a block is damaged"),
            Long::Of(count) => count,
        };
        let size = match long(&mut self.input)? {
            Long::Of(size) => size,
            Long::End | Long::Truncated => return truncated(),
            Long::Overflow => return malformed("the head of a block is damaged"),
        };
        let (Ok(count), Ok(size)) = (u64::try_from(count), usize::try_from(size)) else {
            return malformed("the head of a block is damaged");
        };
        if size > MAX_CONTAINER_BLOCK_BYTES {
            return malformed("a block is larger than 64 MiB, or its head is damaged");
        }
        self.block.clear();
        let wanted = u64::try_from(size).unwrap_or(u64::MAX);
        (&mut self.input).take(wanted).read_to_end(&mut self.block)?;
        let mut sync = [0; 16];
        if self.block.len() < size || !full(&mut self.input, &mut sync)? {
            return truncated();
        }
        if sync != self.sync {
            return malformed(
                "the mark behind a block is not the file's: it is damaged, and what follows cannot be found",
            );
        }
        if self.deflate {
            match miniz_oxide::inflate::decompress_to_vec_with_limit(&self.block, MAX_CONTAINER_BLOCK_BYTES) {
                Ok(block) => self.block = block,
                Err(_) => {
                    // The next one can be found: only this one is lost.
                    self.block.clear();
                }
            }
        }
        // A record that has fields takes a byte at least.
        let most = u64::try_from(self.block.len()).unwrap_or(u64::MAX).max(1);
        self.at = 0;
        self.left = count.min(most);
        self.lost = false;
        Ok(Ok(true))
    }

    fn record(&mut self) -> Result<Change, Vec<Rejection>> {
        self.left -= 1;
        if self.lost {
            let detail = "a record before it in the same block is damaged";
            return Err(vec![Rejection::record(Rule::Malformed).with(detail)]);
        }
        let rest = self.block.get(self.at..).unwrap_or_default();
        match self.writer.schema.measure(rest) {
            Ok(length) => {
                self.at += length;
                self.writer.change(&rest[..length])
            }
            Err(error) => {
                self.lost = true;
                Err(vec![Rejection::field(Rule::Avro, error.field).with(error.fault.to_string())])
            }
        }
    }
}

impl Items for Container<'_> {
    fn next(&mut self) -> Result<Option<Item>, SourceError> {
        while self.left == 0 {
            if self.done {
                return Ok(None);
            }
            if self.at < self.block.len() && !self.lost {
                // The count was too small for the bytes.
                self.at = self.block.len();
                let detail = "a block holds more than it says";
                return Ok(Some(self.item(Err(vec![Rejection::record(Rule::Malformed).with(detail)]))));
            }
            match self.block().map_err(|source| SourceError::Read { after: self.number, source })? {
                Ok(true) => {}
                Ok(false) => self.done = true,
                Err(rejection) => {
                    self.done = true;
                    self.block.clear();
                    self.at = 0;
                    return Ok(Some(self.item(Err(vec![rejection]))));
                }
            }
        }
        let change = self.record();
        Ok(Some(self.item(change)))
    }
}

impl Container<'_> {
    const fn item(&mut self, change: Result<Change, Vec<Rejection>>) -> Item {
        self.number += 1;
        Item { number: self.number, line: None, change }
    }
}

impl Writer {
    fn find(text: &str, rules: &Rules) -> Result<Self, SourceError> {
        let schema = Schema::parse(text)
            .map_err(|error| fault(&format!("the bus does not carry its schema: {}", chain(&error))))?;
        for (id, own) in rules.schemas().iter().rev() {
            let into = Arc::clone(own.record());
            if reads(own.record(), schema.record()) {
                // The same bytes, and they mean the same.
                return Ok(Self { schema: own.clone(), id: *id, into, resolve: None, envelope: None });
            }
            let wrapped = envelope::schema(own.text()).ok().and_then(|text| Schema::parse(&text).ok());
            if let Some(wrapped) = wrapped.filter(|w| reads(w.record(), schema.record())) {
                return Ok(Self { schema: wrapped, id: *id, into, resolve: None, envelope: Some(own.clone()) });
            }
        }
        let (id, newest) = rules.schemas().last().ok_or(SourceError::NoSchema)?;
        if let Some(field) = other_meaning(newest.record(), schema.record()) {
            return Err(fault(&format!(
                "field {field} is of another logical type than the contract's, so that its bytes mean other values"
            )));
        }
        SchemaCompatibility::can_read(schema.avro(), newest.avro()).map_err(|error| {
            fault(&format!("its schema is none of the contract's and cannot be read as the newest: {}", chain(&error)))
        })?;
        let into = Arc::clone(newest.record());
        Ok(Self { schema, id: *id, into, resolve: Some(newest.clone()), envelope: None })
    }

    /// The change in a body that was measured. A pure function of its arguments.
    fn change(&self, body: &[u8]) -> Result<Change, Vec<Rejection>> {
        if let Some(schema) = &self.envelope {
            let sent = envelope::decode(body)
                .map_err(|error| vec![Rejection::record(Rule::Envelope).with(error.to_string())])?;
            let record = sent.record.map(|record| self.written(schema, record, None)).transpose()?;
            return Ok(Change {
                event: Some(sent.event),
                version: Some(sent.version),
                updated_ms: Some(sent.updated_ms),
                effective_days: sent.effective_days,
                reason: sent.reason.map(str::to_owned),
                documents: sent.documents().into_iter().map(str::to_owned).collect(),
                trace: sent.trace.map(str::to_owned),
                key: None,
                schema: self.id,
                record,
            });
        }
        let body = self.written(&self.schema, body, self.resolve.as_ref())?;
        Ok(Change::bare(self.id, body))
    }

    /// A body as the bus writes it.
    fn written(&self, schema: &Schema, body: &[u8], resolve: Option<&Schema>) -> Result<Vec<u8>, Vec<Rejection>> {
        // An error of apache-avro may hold values, and is not shown.
        let failed = |what: &str| vec![Rejection::record(Rule::Avro).with(what)];
        let reader = GenericDatumReader::builder(schema.avro()).maybe_reader_schema(resolve.map(Schema::avro)).build();
        let reader = reader.map_err(|_| failed("the writer's schema cannot be resolved to the contract's"))?;
        let value = reader
            .read_value(&mut &*body)
            .map_err(|_| failed("a value cannot be read as the contract's newest schema has it"))?;
        let mut out = Vec::with_capacity(body.len());
        if encode::avro(&Type::Record(Arc::clone(&self.into)), &value, &mut out) {
            Ok(out)
        } else {
            Err(failed("a value has another type than the contract's schema says"))
        }
    }
}

/// Whether the contract's record reads the file's bytes as what the file says they are: by structure and field names,
/// whatever types are called (some writers lose the namespace of a type inside another). A file that leaves out a logical
/// type has the contract's; one that says another has other values in the same bytes.
fn reads(own: &Record, file: &Record) -> bool {
    fn ty(own: &Type, file: &Type) -> bool {
        match (own, file) {
            (Type::Record(a), Type::Record(b)) => reads(a, b),
            (Type::Enum(a), Type::Enum(b)) => a.symbols == b.symbols,
            (Type::Fixed(a), Type::Fixed(b)) => a.size == b.size,
            (Type::Array(a), Type::Array(b)) | (Type::Map(a), Type::Map(b)) => ty(a, b),
            (Type::Nullable(a, first), Type::Nullable(b, other)) => first == other && ty(a, b),
            (Type::Union(a), Type::Union(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| ty(a, b)),
            (Type::Uuid, Type::Text)
            | (Type::Date | Type::TimeMillis, Type::Int)
            | (
                Type::TimeMicros
                | Type::TimestampMillis
                | Type::TimestampMicros
                | Type::LocalTimestampMillis
                | Type::LocalTimestampMicros,
                Type::Long,
            )
            | (Type::Decimal(_), Type::Bytes) => true,
            (own, file) => own == file,
        }
    }
    let same = |(own, file): (&Field, &Field)| own.name == file.name && ty(&own.ty, &file.ty);
    own.fields.len() == file.fields.len() && own.fields.iter().zip(&file.fields).all(same)
}

/// The first field that both have, and of which the file says that its bytes mean something else: Avro resolves a date
/// to a time, and a decimal to one with another scale, without a word.
fn other_meaning(own: &Record, file: &Record) -> Option<String> {
    fn ty(own: &Type, file: &Type) -> Option<String> {
        match (own, file) {
            (Type::Record(a), Type::Record(b)) => other_meaning(a, b),
            (Type::Array(a), Type::Array(b)) | (Type::Map(a), Type::Map(b)) => ty(a, b),
            (Type::Nullable(a, _), b) => ty(a, b),
            (a, Type::Nullable(b, _)) => ty(a, b),
            (a, b) if is_logical(a) && is_logical(b) && a != b => Some(String::new()),
            _ => None,
        }
    }
    own.fields.iter().find_map(|field| {
        let theirs = file.fields.iter().find(|f| f.name == field.name)?;
        let inner = ty(&field.ty, &theirs.ty)?;
        Some(if inner.is_empty() { field.name.clone() } else { format!("{}.{inner}", field.name) })
    })
}

const fn is_logical(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Uuid
            | Type::Date
            | Type::TimeMillis
            | Type::TimeMicros
            | Type::TimestampMillis
            | Type::TimestampMicros
            | Type::LocalTimestampMillis
            | Type::LocalTimestampMicros
            | Type::Decimal(_)
    )
}

struct Head {
    schema: Vec<u8>,
    codec: Option<Vec<u8>>,
    sync: [u8; 16],
}

fn fault(what: &str) -> SourceError {
    SourceError::Head(format!("the Avro container file: {what}"))
}

fn head(input: &mut impl Read) -> Result<Head, SourceError> {
    let read = |source| SourceError::Read { after: 0, source };
    let cut = || fault("it ends in its head");
    let mut magic = [0; 4];
    if !full(input, &mut magic).map_err(read)? || magic != MAGIC {
        return Err(fault("it does not start like one"));
    }
    let (mut schema, mut codec, mut budget) = (None, None, MAX_CONTROL_BYTES);
    loop {
        let number = |input: &mut _| match long(input).map_err(read)? {
            Long::Of(n) => Ok(n),
            Long::Overflow => Err(fault("its head is damaged")),
            Long::End | Long::Truncated => Err(cut()),
        };
        let count = number(input)?;
        if count == 0 {
            break;
        }
        if count < 0 {
            number(input)?;
        }
        for _ in 0..count.unsigned_abs() {
            let mut piece = || {
                let length = usize::try_from(number(input)?).ok().filter(|n| *n < budget);
                let length = length.ok_or_else(|| fault("its head is damaged"))?;
                budget -= length + 1;
                let mut bytes = Vec::new();
                let wanted = u64::try_from(length).unwrap_or(u64::MAX);
                input.take(wanted).read_to_end(&mut bytes).map_err(read)?;
                if bytes.len() < length { Err(cut()) } else { Ok(bytes) }
            };
            let (name, value) = (piece()?, piece()?);
            match name.as_slice() {
                b"avro.schema" => schema = Some(value),
                b"avro.codec" => codec = Some(value),
                _ => {}
            }
        }
    }
    let schema = schema.ok_or_else(|| fault("it names no schema"))?;
    let mut sync = [0; 16];
    if full(input, &mut sync).map_err(read)? { Ok(Head { schema, codec, sync }) } else { Err(cut()) }
}

/// Fills `bytes`; false when the input ends before.
fn full(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

enum Long {
    Of(i64),
    /// There is nothing.
    End,
    /// There is a part of a number.
    Truncated,
    Overflow,
}

fn long(input: &mut impl Read) -> io::Result<Long> {
    let mut bits = 0_u64;
    for shift in (0..70).step_by(7) {
        let mut byte = [0];
        if !full(input, &mut byte)? {
            return Ok(if shift == 0 { Long::End } else { Long::Truncated });
        }
        let low = u64::from(byte[0] & 0x7f);
        if shift == 63 && low > 1 {
            return Ok(Long::Overflow);
        }
        bits |= low << shift;
        if byte[0] < 0x80 {
            #[expect(clippy::cast_possible_wrap, reason = "zigzag maps unsigned bits to signed")]
            return Ok(Long::Of((bits >> 1) as i64 ^ -((bits & 1) as i64)));
        }
    }
    Ok(Long::Overflow)
}
