//! The mapping of a CSV file: which column is which field, and how its texts are to be read. `docs/mapping.md` tells it
//! with examples.

use std::collections::BTreeMap;

use kenh_domain::date;
use kenh_domain::schema::{Schema, Type};
use serde::{Deserialize, Serialize};

/// A mapping as written in `mapping.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Mapping {
    /// What separates columns: one ASCII character.
    #[serde(default = "comma", skip_serializing_if = "is_comma")]
    pub delimiter: char,
    /// Texts that mean null, in every column that does not say otherwise.
    #[serde(default = "empty_only", skip_serializing_if = "is_empty_only")]
    pub null_text: Vec<String>,
    /// Whether white space around a text is cut off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trim: bool,
    /// What each column is, by its name in the header line. A column that is not here is an error, so that nothing is
    /// passed over unseen.
    pub columns: BTreeMap<String, Column>,
    /// Fields (dotted) that have one and the same text in every record, read as a column's text would be.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub constants: BTreeMap<String, String>,
}

/// What a column is: the name of a field, or more about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// A dotted field whose texts are written as the type is (see [`crate::encode`]).
    Field(String),
    /// More about it.
    Rich(Box<RichColumn>),
}

/// A column that needs more than a name. One of `field`, `envelope` and `ignore` is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct RichColumn {
    /// The dotted field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// A field of the envelope instead: `SuKien`, `PhienBan`, `ThoiGianCapNhat`, `NgayHieuLuc` or `LyDoCapNhat`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<String>,
    /// The column is passed over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore: bool,
    /// How dates are written: `dd`, `MM`, `yyyy` and what stands between them (`dd/MM/yyyy`, `yyyyMMdd`). `d` and `M`
    /// also take one digit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Numbers have a comma before the fraction, and points between thousands.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub decimal_comma: bool,
    /// Texts that mean true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub true_text: Vec<String>,
    /// Texts that mean false.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub false_text: Vec<String>,
    /// The text is a list, separated by this; an empty text is an empty list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// The text is JSON: for lists of records.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub json: bool,
    /// Texts that mean null here, instead of the mapping's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_text: Option<Vec<String>>,
    /// Texts that stand for others (`Nam: "1"`), before anything else is done with them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub replace: BTreeMap<String, String>,
}

const fn comma() -> char {
    ','
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_comma(c: &char) -> bool {
    *c == ','
}

fn empty_only() -> Vec<String> {
    vec![String::new()]
}

fn is_empty_only(texts: &Vec<String>) -> bool {
    *texts == empty_only()
}

/// A mapping that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// Not YAML, or not of this form; the text says where.
    #[error("not a mapping: {0}")]
    Yaml(String),
    /// It does not fit the contract or the file.
    #[error("{at}: {problem}")]
    Misfit {
        /// The column or constant, as the mapping names it.
        at: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl Mapping {
    /// Reads `mapping.yaml`.
    ///
    /// # Errors
    /// [`MappingError::Yaml`], with line and column.
    pub fn parse(yaml: &str) -> Result<Self, MappingError> {
        serde_saphyr::from_str(yaml).map_err(|error| MappingError::Yaml(error.to_string()))
    }

    /// The mapping of a file whose columns are called like fields, for `header`'s columns.
    #[must_use]
    pub fn identity<'a>(header: impl IntoIterator<Item = &'a str>) -> Self {
        let columns = header.into_iter().map(|name| (name.to_owned(), Column::Field(name.to_owned())));
        Self {
            delimiter: ',',
            null_text: empty_only(),
            trim: false,
            columns: columns.collect(),
            constants: BTreeMap::new(),
        }
    }
}

/// A column, as checked against the schema.
#[derive(Debug)]
pub(super) enum Use {
    /// Passed over.
    Ignore,
    /// A field of the envelope, by its own spelling.
    Envelope(&'static str, Reading),
    /// A field of the record, by the names on the way to it.
    Field(Vec<String>, Reading),
}

/// How the text of a column is to be read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) nulls: Vec<String>,
    pub(super) trim: bool,
    pub(super) replace: BTreeMap<String, String>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Number { decimal_comma: bool },
    Bool { yes: Vec<String>, no: Vec<String> },
    Date(Option<DateForm>),
    List { separator: String, of: Box<Kind> },
    Json,
}

/// The fields of the envelope that a column can be.
const ENVELOPE: [&str; 5] = ["SuKien", "PhienBan", "ThoiGianCapNhat", "NgayHieuLuc", "LyDoCapNhat"];

impl Mapping {
    fn misfit(at: &str, problem: impl Into<String>) -> MappingError {
        MappingError::Misfit { at: at.into(), problem: problem.into() }
    }

    /// What the column called `name` is.
    pub(super) fn column(&self, name: &str, schema: &Schema) -> Result<Use, MappingError> {
        let plain;
        let rich = match self.columns.get(name) {
            None => {
                let near = schema.nearest(name).map(|n| format!("; is it field {n}?")).unwrap_or_default();
                let problem = format!(
                    "the file has this column and the mapping does not: name its field, or `ignore: true`{near}"
                );
                return Err(Self::misfit(&column_label(name), problem));
            }
            Some(Column::Field(field)) => {
                plain = RichColumn { field: Some(field.clone()), ..RichColumn::default() };
                &plain
            }
            Some(Column::Rich(rich)) => rich,
        };
        let at = column_label(name);
        match (&rich.field, &rich.envelope, rich.ignore) {
            (None, None, true) => Ok(Use::Ignore),
            (Some(field), None, false) => self.field(&at, field, rich, schema),
            (None, Some(field), false) => {
                let Some(own) = ENVELOPE.into_iter().find(|n| n == field) else {
                    return Err(Self::misfit(&at, format!("{field} is none of {}", ENVELOPE.join(", "))));
                };
                let ty = match own {
                    "PhienBan" => Type::Long,
                    "NgayHieuLuc" => Type::Date,
                    _ => Type::Text,
                };
                Ok(Use::Envelope(own, self.reading(&at, &ty, rich)?))
            }
            _ => Err(Self::misfit(&at, "exactly one of field, envelope and ignore must be there")),
        }
    }

    /// The constants, each with its text.
    pub(super) fn constants(&self, schema: &Schema) -> Result<Vec<(Use, &str)>, MappingError> {
        let plain = RichColumn { null_text: Some(Vec::new()), ..RichColumn::default() };
        let constants = self.constants.iter();
        constants
            .map(|(field, text)| {
                Ok((self.field(&format!("constant {field:?}"), field, &plain, schema)?, text.as_str()))
            })
            .collect()
    }

    fn field(&self, at: &str, field: &str, rich: &RichColumn, schema: &Schema) -> Result<Use, MappingError> {
        let Some(path) = schema.path(field) else {
            let near = schema.nearest(field).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            return Err(Self::misfit(at, format!("the contract has no field {field}{near}")));
        };
        if let Type::Record(_) = path.ty().inner()
            && !rich.json
        {
            return Err(Self::misfit(at, format!("{field} is a record: name a field in it, or say `json: true`")));
        }
        let names = field.split('.').map(str::to_owned).collect();
        Ok(Use::Field(names, self.reading(at, path.ty(), rich)?))
    }

    fn reading(&self, at: &str, ty: &Type, rich: &RichColumn) -> Result<Reading, MappingError> {
        let kind = if rich.json {
            Kind::Json
        } else if let Some(separator) = &rich.separator {
            let Type::Array(of) = ty.inner() else {
                return Err(Self::misfit(at, "separator is for lists, and the field is none"));
            };
            if separator.is_empty() {
                return Err(Self::misfit(at, "a separator has one character at least"));
            }
            Kind::List { separator: separator.clone(), of: Box::new(single(at, of, rich)?) }
        } else {
            single(at, ty, rich)?
        };
        let misplaced = |set: bool, name: &str, what: &str| {
            if set { Err(Self::misfit(at, format!("{name} is for {what}, and the field is none"))) } else { Ok(()) }
        };
        let inner = match &kind {
            Kind::List { of, .. } => of,
            other => other,
        };
        misplaced(rich.date.is_some() && !matches!(inner, Kind::Date(_)), "date", "dates")?;
        misplaced(rich.decimal_comma && !matches!(inner, Kind::Number { .. }), "decimalComma", "numbers")?;
        let booleans = !rich.true_text.is_empty() || !rich.false_text.is_empty();
        misplaced(booleans && !matches!(inner, Kind::Bool { .. }), "trueText", "booleans")?;
        let nulls = rich.null_text.clone().unwrap_or_else(|| self.null_text.clone());
        Ok(Reading { nulls, trim: self.trim, replace: rich.replace.clone(), kind })
    }
}

fn column_label(name: &str) -> String {
    let name: String = name.chars().take(100).collect();
    format!("column {name:?}")
}

/// How one value of `ty` is read from a text.
fn single(at: &str, ty: &Type, rich: &RichColumn) -> Result<Kind, MappingError> {
    Ok(match ty.inner() {
        Type::Int | Type::Long | Type::Float | Type::Double | Type::Decimal(_) => {
            Kind::Number { decimal_comma: rich.decimal_comma }
        }
        Type::Boolean => Kind::Bool {
            yes: if rich.true_text.is_empty() { vec!["true".into()] } else { rich.true_text.clone() },
            no: if rich.false_text.is_empty() { vec!["false".into()] } else { rich.false_text.clone() },
        },
        Type::Date => Kind::Date(match &rich.date {
            None => None,
            Some(form) => Some(DateForm::parse(form).ok_or_else(|| {
                Mapping::misfit(
                    at,
                    format!("{form:?} is no form of a date: write yyyy, MM or M, and dd or d once each"),
                )
            })?),
        }),
        Type::Array(_) => return Err(Mapping::misfit(at, "the field is a list: say its separator, or `json: true`")),
        Type::Map(_) | Type::Record(_) | Type::Union(_) => {
            return Err(Mapping::misfit(at, format!("the field is {}: say `json: true`", ty.inner().kind())));
        }
        _ => Kind::Text,
    })
}

/// A form of dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateForm(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Digits of the year (0), month (1) or day (2): how many at the least and at the most.
    Digits {
        what: usize,
        least: usize,
        most: usize,
    },
    Literal(char),
}

impl DateForm {
    /// `yyyy`, `MM` or `M`, `dd` or `d`, each once, and anything that is no letter between them.
    #[must_use]
    pub fn parse(form: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut seen = [false; 3];
        let mut rest = form;
        while let Some(first) = rest.chars().next() {
            let run = rest.chars().take_while(|c| *c == first).count();
            let (what, most) = match (first, run) {
                ('y', 4) => (0, 4),
                ('M', 1 | 2) => (1, 2),
                ('d', 1 | 2) => (2, 2),
                (c, _) if c.is_alphanumeric() => return None,
                (c, _) => {
                    pieces.push(Piece::Literal(c));
                    rest = rest.get(c.len_utf8()..)?;
                    continue;
                }
            };
            if std::mem::replace(&mut seen[what], true) {
                return None;
            }
            pieces.push(Piece::Digits { what, least: run, most });
            rest = rest.get(run..)?;
        }
        (seen == [true; 3]).then_some(Self(pieces))
    }

    /// The `YYYY-MM-DD` text of a date in this form; none when it is no date or not in this form.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<String> {
        let mut found = [0_u32; 3];
        let mut rest = text;
        for piece in &self.0 {
            match piece {
                Piece::Literal(c) => rest = rest.strip_prefix(*c)?,
                Piece::Digits { what, least, most } => {
                    let digits = rest.bytes().take(*most).take_while(u8::is_ascii_digit).count();
                    if digits < *least {
                        return None;
                    }
                    found[*what] = rest.get(..digits)?.parse().ok()?;
                    rest = rest.get(digits..)?;
                }
            }
        }
        let [year, month, day] = found;
        let iso = format!("{year:04}-{month:02}-{day:02}");
        (rest.is_empty() && date::parse(&iso).is_some()).then_some(iso)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_the_form_of_the_source() {
        let read = |form: &str, text: &str| DateForm::parse(form).expect("a form").read(text);
        assert_eq!(read("dd/MM/yyyy", "30/06/2025").as_deref(), Some("2025-06-30"));
        assert_eq!(read("d/M/yyyy", "1/7/2025").as_deref(), Some("2025-07-01"));
        assert_eq!(read("d/M/yyyy", "01/07/2025").as_deref(), Some("2025-07-01"));
        assert_eq!(read("yyyyMMdd", "20250701").as_deref(), Some("2025-07-01"));
        for (form, text) in [
            ("dd/MM/yyyy", "1/7/2025"),
            ("dd/MM/yyyy", "30/02/2025"),
            ("dd/MM/yyyy", "30-06-2025"),
            ("dd/MM/yyyy", "30/06/2025 "),
            ("dd/MM/yyyy", "30/06/25"),
            ("dd/MM/yyyy", ""),
        ] {
            assert_eq!(read(form, text), None, "{text:?} was taken as {form}");
        }
        for form in ["", "dd/MM", "dd/MM/yy", "dd/MM/yyyy dd", "DD/MM/yyyy", "dd/MMM/yyyy"] {
            assert_eq!(DateForm::parse(form), None, "{form:?} was taken");
        }
    }

    #[test]
    fn a_mapping_is_written_as_it_is_read() {
        let yaml = "columns:\n  Mã: Ma\n  Từ ngày:\n    field: HieuLucTu\n    date: dd/MM/yyyy\n  Ghi chú:\n    ignore: true\nconstants:\n  MaTinh: \"79\"\n";
        let mapping = Mapping::parse(yaml).expect("it is one");
        assert_eq!(mapping.columns["Mã"], Column::Field("Ma".into()));
        assert_eq!(mapping.delimiter, ',');
        let again = serde_saphyr::to_string(&mapping).expect("it can be written");
        assert_eq!(Mapping::parse(&again).expect("it can be read"), mapping);
    }

    #[test]
    fn what_no_mapping_says_is_refused() {
        for yaml in ["columns: {a: b}\nextra: 1", "columns: {a: {fild: b}}", "a", "columns: {a: b}\ndelimiter: ab"] {
            assert!(Mapping::parse(yaml).is_err(), "{yaml:?} was taken");
        }
    }
}
