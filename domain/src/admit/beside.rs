//! Rules of fields beside each other: a personal ID with sex and year of birth, the parts of a date of birth.

use super::fields::{Findings, text_of};
use crate::contract::Contract;
use crate::date;
use crate::element::{self, Element};
use crate::rule::{Rejection, Rule};
use crate::schema::{Path, Schema, Spans};

/// What one schema version has of them.
#[derive(Default)]
pub(super) struct Beside {
    id: Option<Path>,
    sex: Option<Path>,
    year: Option<Path>,
    dates: Vec<Parts>,
}

/// A date of birth as a record `{year, month?, day?}`: the citizen message knows dates of which only the year, or year
/// and month, are known.
struct Parts {
    year: Path,
    month: Path,
    day: Path,
}

impl Beside {
    pub(super) fn compile(contract: &Contract, schema: &Schema) -> Self {
        let mut beside = Self::default();
        for (dotted, rules) in &contract.fields {
            let Some(path) = schema.path(dotted) else { continue };
            match rules.element.as_deref().and_then(|e| e.parse().ok()) {
                Some(Element::PersonalId) => {
                    beside.id.get_or_insert(path);
                }
                Some(Element::Sex) => {
                    beside.sex.get_or_insert(path);
                }
                Some(Element::BirthYear) => {
                    let part =
                        |name| dotted.rsplit_once('.').and_then(|(date, _)| schema.path(&format!("{date}.{name}")));
                    if let (Some(month), Some(day)) = (part("month"), part("day")) {
                        beside.dates.push(Parts { year: path.clone(), month, day });
                    }
                    beside.year.get_or_insert(path);
                }
                _ => {}
            }
        }
        beside
    }

    pub(super) fn check(&self, schema: &Schema, body: &[u8], spans: &Spans, findings: &mut Findings<'_>) {
        let value = |path: &Path| text_of(schema.value(body, spans, path));
        for parts in &self.dates {
            let number = |path| value(path).and_then(|text| text.parse().ok());
            // Parts that are unknown, or are no numbers, are for the rules of their own fields.
            let (Some(month), Some(day)) = (number(&parts.month), number(&parts.day)) else { continue };
            // In a year that is not known, February may have had its 29th.
            let last = date::days_in_month(number(&parts.year), month);
            if last.is_some_and(|last| (last + 1..=31).contains(&day)) {
                findings.add(Rejection::field(Rule::DayOfMonth, parts.day.dotted()));
            }
        }
        let Some(states) = self.id.as_ref().and_then(value).and_then(|id| element::personal_id_states(&id)) else {
            return;
        };
        // Sex 0 is "unknown" and contradicts nothing.
        if let Some(path) = &self.sex
            && value(path).is_some_and(|sex| sex != "0" && sex != states.0.to_string())
        {
            findings.add(Rejection::field(Rule::IdSex, path.dotted()));
        }
        if let Some(path) = &self.year
            && value(path).is_some_and(|year| year != states.1.to_string())
        {
            findings.add(Rejection::field(Rule::IdBirthYear, path.dotted()));
        }
    }
}
