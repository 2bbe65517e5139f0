//! Made-up records: what the data dictionary gives for the fields of a contract, never a record of anybody.
//!
//! The same contract gives the same record. Elements give their first sample, frozen code lists their first code, allowed values
//! the first of them; other texts are the field's name in angle brackets, so that nobody takes them for data.

use std::collections::BTreeMap;

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use kenh_domain::contract::{CodeListUse, Contract};
use kenh_domain::date;
use kenh_domain::element::Element;
use kenh_domain::filter::Atom;
use kenh_domain::schema::{Schema, Type};

/// 1 January 2025, for dates that no rule says.
const DAY: i32 = 20_089;

/// A made-up body of `schema` (the newest of the contract, or an older one). `fixed` are values that certain paths must
/// have, so that the record is in somebody's rows. None for a schema of types that nothing is made up for.
#[must_use]
pub fn body(contract: &Contract, schema: &Schema, fixed: &BTreeMap<String, Atom>) -> Option<Vec<u8>> {
    let maker = Maker { contract, fixed, with: with_codes(contract) };
    let fields = schema.fields().iter().map(|f| Some((f.name.clone(), maker.value(&f.name, &f.ty)?)));
    let record = Value::Record(fields.collect::<Option<_>>()?);
    GenericDatumWriter::builder(schema.avro()).build().ok()?.write_value_to_vec(record).ok()
}

/// Field and value of a body, as people read them.
#[must_use]
pub fn shown(schema: &Schema, body: &[u8]) -> Option<Vec<(String, String)>> {
    let mut out = Vec::new();
    schema
        .json_fields(body, &mut |field, json| {
            let text = String::from_utf8_lossy(json).into_owned();
            let text = serde_json::from_str::<String>(&text).unwrap_or(text);
            out.push((field.name.clone(), text));
        })
        .ok()?;
    Some(out)
}

/// What the fields that go with a code must be: the part of the code behind `@`.
fn with_codes(contract: &Contract) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for rules in contract.fields.values() {
        let Some(used) = &rules.code_list else { continue };
        let code = contract.code_lists.get(&used.list).and_then(|list| list.frozen()?.first());
        if let (Some(with), Some((_, since))) = (&used.with, code.and_then(|code| code.split_once('@'))) {
            out.insert(with.clone(), since.to_owned());
        }
    }
    out
}

struct Maker<'a> {
    contract: &'a Contract,
    fixed: &'a BTreeMap<String, Atom>,
    with: BTreeMap<String, String>,
}

impl Maker<'_> {
    fn value(&self, path: &str, ty: &Type) -> Option<Value> {
        if let Type::Nullable(inner, null) = ty {
            let is_null = self.fixed.get(path) == Some(&Atom::Null);
            let (branch, value) =
                if is_null { (null.null(), Value::Null) } else { (1 - null.null(), self.value(path, inner)?) };
            return Some(Value::Union(u32::try_from(branch).ok()?, Box::new(value)));
        }
        if let Some(atom) = self.fixed.get(path) {
            match (atom, ty) {
                (Atom::Bool(b), Type::Boolean) => return Some(Value::Boolean(*b)),
                (Atom::Int(n), Type::Int) => return Some(Value::Int(i32::try_from(*n).ok()?)),
                (Atom::Int(n), Type::Long) => return Some(Value::Long(*n)),
                (Atom::Text(text), Type::Text) => return Some(Value::String(text.to_string())),
                (Atom::Date(days), Type::Date) => return Some(Value::Date(*days)),
                _ => {}
            }
        }
        let text = self.text(path);
        let number = || text.as_deref().and_then(|t| t.parse::<i64>().ok());
        Some(match ty {
            Type::Null => Value::Null,
            Type::Boolean => Value::Boolean(true),
            Type::Int => Value::Int(i32::try_from(number().unwrap_or(1)).ok()?),
            Type::Long => Value::Long(number().unwrap_or(1)),
            #[expect(clippy::cast_precision_loss, reason = "bounds of contracts are far below 2^53")]
            Type::Double => Value::Double(number().unwrap_or(1) as f64),
            Type::Float => Value::Float(1.0),
            Type::Text => Value::String(text.unwrap_or_else(|| self.named(path))),
            Type::Date => Value::Date(text.as_deref().and_then(date::parse).unwrap_or(DAY)),
            Type::Enum(symbols) => {
                let symbol = text.unwrap_or_else(|| symbols.symbols.first().cloned().unwrap_or_default());
                let at = symbols.symbols.iter().position(|s| *s == symbol).unwrap_or_default();
                Value::Enum(u32::try_from(at).ok()?, symbols.symbols.get(at)?.clone())
            }
            Type::Bytes => Value::Bytes(Vec::new()),
            Type::Fixed(fixed) => Value::Fixed(fixed.size, vec![0; fixed.size]),
            Type::Array(item) => Value::Array(vec![self.value(path, item)?]),
            Type::Map(_) => Value::Map(std::collections::HashMap::new()),
            Type::Record(record) => {
                let fields = record
                    .fields
                    .iter()
                    .map(|f| Some((f.name.clone(), self.value(&format!("{path}.{}", f.name), &f.ty)?)));
                Value::Record(fields.collect::<Option<_>>()?)
            }
            Type::TimestampMillis => Value::TimestampMillis(i64::from(DAY) * 86_400_000),
            Type::TimestampMicros => Value::TimestampMicros(i64::from(DAY) * 86_400_000_000),
            Type::LocalTimestampMillis => Value::LocalTimestampMillis(i64::from(DAY) * 86_400_000),
            Type::LocalTimestampMicros => Value::LocalTimestampMicros(i64::from(DAY) * 86_400_000_000),
            Type::Uuid | Type::Decimal(_) | Type::TimeMillis | Type::TimeMicros | Type::Union(_) => return None,
            Type::Nullable(..) => return None,
        })
    }

    /// What the rules of a field say that it may be.
    fn text(&self, path: &str) -> Option<String> {
        if let Some(with) = self.with.get(path) {
            return Some(with.clone());
        }
        let rules = self.contract.fields.get(path)?;
        let frozen = |used: &CodeListUse| self.contract.code_lists.get(&used.list)?.frozen()?.first();
        if let Some(code) = rules.code_list.as_ref().and_then(frozen) {
            return Some(code.split('@').next().unwrap_or(code).to_owned());
        }
        if let Some(first) = rules.values.as_ref().and_then(|v| v.first()) {
            return Some(first.clone());
        }
        let element: Option<Element> = rules.element.as_deref().and_then(|name| name.parse().ok());
        if let Some(sample) = element.and_then(|e| e.samples().first().copied()) {
            return Some(sample.to_owned());
        }
        rules.minimum.clone()
    }

    fn named(&self, path: &str) -> String {
        let name = path.rsplit('.').next().unwrap_or(path);
        let most = self.contract.fields.get(path).and_then(|r| r.max_length).map_or(usize::MAX, |n| n as usize);
        format!("<{name}>").chars().take(most).collect()
    }
}
