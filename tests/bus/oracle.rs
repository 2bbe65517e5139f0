//! The bus as it should be, in a hundred lines over JSON: no Avro, no log, no transactions, no suppression, nothing
//! shared with the product. What an agency holds must equal what this says, after any weather.

use std::collections::BTreeMap;

use serde_json::Value;

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Admitted,
    Repeated,
    Stale,
    Rejected,
}

struct Standing {
    owner: String,
    version: (u32, u64),
    record: Option<Value>,
}

/// Which rows a view holds, as a plain function.
pub type Rows = fn(&Value) -> bool;

/// A view: which rows, and which fields under which names.
pub struct Wanted {
    pub rows: Rows,
    pub fields: &'static [(&'static str, &'static str)],
}

/// One dataset.
#[derive(Default)]
pub struct Oracle {
    standing: BTreeMap<String, Standing>,
    pub epochs: BTreeMap<String, u32>,
    /// The highest step of a version within an epoch, where there is a bound.
    pub max_step: Option<u64>,
}

impl Oracle {
    /// With a bound for steps.
    pub fn stepping(max_step: Option<u64>) -> Self {
        Self { max_step, ..Self::default() }
    }

    /// Takes a change whose form is right. `record` None cancels.
    pub fn submit(&mut self, provider: &str, key: &str, version: u64, record: Option<Value>) -> Outcome {
        let version = (self.epochs.get(provider).copied().unwrap_or(0), version);
        if let Some(known) = self.standing.get_mut(key) {
            if known.owner != provider {
                return Outcome::Rejected;
            }
            if version < known.version {
                return Outcome::Stale;
            }
            if version == known.version {
                return if known.record == record { Outcome::Repeated } else { Outcome::Rejected };
            }
            let same_epoch = version.0 == known.version.0;
            if same_epoch && self.max_step.is_some_and(|most| version.1 - known.version.1 > most) {
                return Outcome::Rejected;
            }
            known.version = version;
            known.record = record;
        } else {
            self.standing.insert(key.into(), Standing { owner: provider.into(), version, record });
        }
        Outcome::Admitted
    }

    /// The version and the record that stand for a key.
    pub fn standing(&self, key: &str) -> Option<(u64, Option<&Value>)> {
        self.standing.get(key).map(|s| (s.version.1, s.record.as_ref()))
    }

    /// What the view holds now: record key to the row as granted.
    pub fn view(&self, wanted: &Wanted) -> BTreeMap<String, Value> {
        let rows = self.standing.iter().filter_map(|(key, s)| Some((key, s.record.as_ref()?)));
        rows.filter(|(_, record)| (wanted.rows)(record))
            .map(|(key, record)| {
                let fields = wanted.fields.iter().map(|(path, name)| ((*name).to_owned(), at(record, path)));
                (key.clone(), Value::Object(fields.collect()))
            })
            .collect()
    }
}

/// The value at a dotted path; null where any part of it is.
pub fn at(record: &Value, path: &str) -> Value {
    path.split('.').fold(record.clone(), |value, part| value.get(part).cloned().unwrap_or(Value::Null))
}
