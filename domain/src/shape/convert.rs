//! From the bytes of a writer's type to the bytes of the view's type, as Avro resolves schemas, without decoding.

use smallvec::SmallVec;

use super::view::put_null;
use crate::schema::versions::put_default;
use crate::schema::{Fault, NullBranch, Reader, Record, Type, put_long};

/// How to write a value of one type as another.
#[derive(Debug, Clone)]
pub(super) enum Convert {
    /// The bytes are the same.
    Copy(Type),
    /// A value becomes a nullable one.
    Wrap(NullBranch, Box<Convert>),
    /// A nullable value stays one.
    Nullable(NullBranch, NullBranch, Box<Convert>),
    IntegerToFloat,
    IntegerToDouble,
    FloatToDouble,
    /// The view's symbol for each of the writer's.
    Symbols(Box<[i64]>),
    Array(Box<Convert>),
    Map(Box<Convert>),
    /// Types of the writer's fields, and the view's fields.
    Record(Box<[Type]>, Box<[Part]>),
}

/// A field of a nested record of the view.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// From the writer's field of that number.
    From(usize, Convert),
    /// The writer has no such field.
    Default(Box<[u8]>),
}

/// Why a type cannot be written as another.
pub(super) type Misfit = &'static str;

/// Whether every value of `writer` has the same bytes as that value of `view`.
pub(super) fn same_bytes(writer: &Type, view: &Type) -> bool {
    match (writer, view) {
        // Both are zigzag numbers, both are a length and bytes.
        (Type::Int, Type::Long) | (Type::Text | Type::Uuid, Type::Bytes) | (Type::Uuid, Type::Text) => true,
        (Type::Fixed(a), Type::Fixed(b)) => a.size == b.size,
        (Type::Enum(a), Type::Enum(b)) => b.symbols.starts_with(&a.symbols),
        (Type::Array(a), Type::Array(b)) | (Type::Map(a), Type::Map(b)) => same_bytes(a, b),
        (Type::Nullable(a, x), Type::Nullable(b, y)) => x == y && same_bytes(a, b),
        (Type::Union(a), Type::Union(b)) => a.len() <= b.len() && a.iter().zip(b.iter()).all(|(a, b)| same_bytes(a, b)),
        (Type::Record(a), Type::Record(b)) => {
            a.fields.len() == b.fields.len()
                && a.fields.iter().zip(&b.fields).all(|(a, b)| a.name == b.name && same_bytes(&a.ty, &b.ty))
        }
        // The types without parts.
        (a, b) => a == b,
    }
}

impl Convert {
    /// `origins`: the field's type in every version that has it, oldest first; defaults of nested fields come from the
    /// first that has them.
    pub(super) fn new(writer: &Type, view: &Type, origins: &[&Type]) -> Result<Self, Misfit> {
        if same_bytes(writer, view) {
            return Ok(Self::Copy(writer.clone()));
        }
        let inner: Vec<&Type> = origins.iter().map(|ty| ty.inner()).collect();
        Ok(match (writer, view) {
            (Type::Nullable(w, from), Type::Nullable(v, to)) => {
                Self::Nullable(*from, *to, Box::new(Self::new(w, v, &inner)?))
            }
            (w, Type::Nullable(v, to)) if !w.is_nullable() => Self::Wrap(*to, Box::new(Self::new(w, v, &inner)?)),
            (Type::Nullable(..), _) => return Err("it may be null, and the view's field may not"),
            (Type::Int | Type::Long, Type::Float) => Self::IntegerToFloat,
            (Type::Int | Type::Long, Type::Double) => Self::IntegerToDouble,
            (Type::Float, Type::Double) => Self::FloatToDouble,
            (Type::Enum(w), Type::Enum(v)) => {
                let index = |symbol| v.symbols.iter().zip(0..).find(|(s, _)| *s == symbol).map(|(_, index)| index);
                let symbols: Option<_> = w.symbols.iter().map(index).collect();
                Self::Symbols(symbols.ok_or("it has an enum symbol that the view's enum does not have")?)
            }
            (Type::Array(w), Type::Array(v)) => {
                let items: Vec<&Type> = inner.iter().filter_map(|ty| array_items(ty)).collect();
                Self::Array(Box::new(Self::new(w, v, &items)?))
            }
            (Type::Map(w), Type::Map(v)) => {
                let values: Vec<&Type> = inner.iter().filter_map(|ty| map_values(ty)).collect();
                Self::Map(Box::new(Self::new(w, v, &values)?))
            }
            (Type::Record(w), Type::Record(v)) => Self::record(w, v, &inner)?,
            (Type::Union(_), _) | (_, Type::Union(_)) => {
                return Err("unions of several types must be branch by branch the same");
            }
            _ => return Err("its type is another, and Avro does not promote it"),
        })
    }

    fn record(writer: &Record, view: &Record, origins: &[&Type]) -> Result<Self, Misfit> {
        let part = |field: &crate::schema::Field| {
            let known: Vec<_> = origins.iter().filter_map(|ty| ty.record()?.field(&field.name)).collect();
            let types: Vec<&Type> = known.iter().map(|f| &f.ty).collect();
            if let Some(index) = writer.fields.iter().position(|f| f.name == field.name) {
                let ty = writer.fields.get(index).map_or(&field.ty, |f| &f.ty);
                return Ok(Part::From(index, Self::new(ty, &field.ty, &types)?));
            }
            let mut bytes = Vec::new();
            match known.first().and_then(|first| Some((first, first.default.as_ref()?))) {
                Some((first, default)) => {
                    let mut encoded = Vec::new();
                    if !put_default(&first.ty, default, &mut encoded) {
                        return Err("a nested field that it does not have has a default of another type");
                    }
                    Self::new(&first.ty, &field.ty, &types)?.whole(&encoded, &mut bytes);
                }
                None if put_null(&field.ty, &mut bytes) => {}
                None => return Err("it does not have a nested field of the view, which has neither default nor null"),
            }
            Ok(Part::Default(bytes.into()))
        };
        let parts = view.fields.iter().map(part).collect::<Result<_, _>>()?;
        Ok(Self::Record(writer.fields.iter().map(|f| f.ty.clone()).collect(), parts))
    }

    /// Writes the value that `bytes` are. They have been walked, so that nothing in them is at fault.
    pub(super) fn whole(&self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Copy(_) => out.extend_from_slice(bytes),
            Self::Wrap(null, inner) => {
                out.push(null.value_byte());
                inner.whole(bytes, out);
            }
            other => {
                let done = other.put(&mut Reader::new(bytes), out);
                debug_assert!(done.is_ok(), "a walked body is at fault");
            }
        }
    }

    fn put(&self, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Self::Copy(ty) => {
                let start = reader.position();
                reader.skip(ty, &mut String::new())?;
                out.extend_from_slice(reader.since(start));
            }
            Self::Wrap(null, inner) => {
                out.push(null.value_byte());
                inner.put(reader, out)?;
            }
            Self::Nullable(from, to, inner) => {
                if reader.branch(2)? == from.null() {
                    out.push(to.null_byte());
                } else {
                    out.push(to.value_byte());
                    inner.put(reader, out)?;
                }
            }
            // Avro promotes by rounding to the nearest.
            #[expect(clippy::cast_precision_loss, reason = "what promotion to float means")]
            Self::IntegerToFloat => out.extend_from_slice(&(reader.long()? as f32).to_le_bytes()),
            #[expect(clippy::cast_precision_loss, reason = "what promotion to double means")]
            Self::IntegerToDouble => out.extend_from_slice(&(reader.long()? as f64).to_le_bytes()),
            Self::FloatToDouble => out.extend_from_slice(&f64::from(reader.float()?).to_le_bytes()),
            Self::Symbols(symbols) => {
                let symbol = symbols.get(reader.symbol(symbols.len())?).ok_or(Fault::Symbol)?;
                put_long(*symbol, out);
            }
            Self::Array(inner) => blocks(reader, out, |reader, out| inner.put(reader, out))?,
            Self::Map(inner) => blocks(reader, out, |reader, out| {
                let start = reader.position();
                reader.text()?;
                out.extend_from_slice(reader.since(start));
                inner.put(reader, out)
            })?,
            Self::Record(types, parts) => {
                let mut starts: SmallVec<[Reader<'_>; 16]> = SmallVec::new();
                for ty in types {
                    starts.push(reader.clone());
                    reader.skip(ty, &mut String::new())?;
                }
                for part in parts {
                    match part {
                        Part::From(index, convert) => {
                            convert.put(&mut starts.get(*index).ok_or(Fault::Truncated)?.clone(), out)?;
                        }
                        Part::Default(bytes) => out.extend_from_slice(bytes),
                    }
                }
            }
        }
        Ok(())
    }
}

/// Writes blocks of the same counts; without their sizes, which change.
fn blocks<'a>(
    reader: &mut Reader<'a>,
    out: &mut Vec<u8>,
    mut item: impl FnMut(&mut Reader<'a>, &mut Vec<u8>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    loop {
        let (count, _) = reader.block()?;
        put_long(i64::try_from(count).map_err(|_| Fault::TooManyItems)?, out);
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            item(reader, out)?;
        }
    }
}

fn array_items(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Array(items) => Some(items),
        _ => None,
    }
}

fn map_values(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Map(values) => Some(values),
        _ => None,
    }
}
