//! Which rows and fields a grant gives, and why, or why not: asked of one record.
//!
//! [`explain`] decides nothing that matters: it asks the same filter and the same contract that the router works by, one
//! comparison and one field at a time. It tells of a record only what holds of it, never a value of it; what stands in an
//! [`Explanation`] comes from the grant and the contract.

use kenh_domain::contract::{Contract, Pii};
use kenh_domain::control::{ControlSet, ViewEntry};
use kenh_domain::filter::{FilterError, Terms};
use kenh_domain::grant::{Grant, GrantedField, KeyForm, Mask};
use kenh_domain::law::Day;
use kenh_domain::names::{Agency, Dataset, GrantId, View};
use kenh_domain::schema::{BodyError, Schema, SchemaError, Spans};
use kenh_domain::topic::Edition;
use serde::Serialize;

use super::{Said, said};

/// The record that is asked about.
#[derive(Clone, Copy)]
pub enum Sample<'a> {
    /// None: only the grant is explained.
    None,
    /// A whole record: its Avro body in the newest schema of the dataset.
    Record(&'a [u8]),
    /// A row of the recipient's copy: its Avro body in the view's schema.
    Row(&'a [u8]),
    /// A record key that is not in the recipient's copy.
    NotHeld,
}

/// Why a grant, or one record under it, cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is none of that name.
    #[error("there is no grant {0}; `kenh grant list` shows those there are")]
    NoGrant(GrantId),
    /// The contract or the view's schema is not there.
    #[error("grant {0}: its contract or the schema of its view is not there")]
    NoSchema(GrantId),
    /// A schema in the control log cannot be read.
    #[error("a schema of this grant cannot be read")]
    Schema(#[from] SchemaError),
    /// The sample is not of the schema.
    #[error("the sample is no record of this dataset")]
    Sample(#[from] BodyError),
    /// The filter does not fit the schema any more.
    #[error("the filter of this grant, or of a provider, does not fit the schema")]
    Filter(#[from] FilterError),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The grant.
    pub grant: GrantId,
    /// Who receives.
    pub recipient: Agency,
    /// Of what.
    pub dataset: Dataset,
    /// Under which name.
    pub view: View,
    /// The edition that is explained: the newest.
    pub edition: Edition,
    /// What for.
    pub purpose: String,
    /// On which articles.
    pub legal_basis: Vec<String>,
    /// Whether it is in force.
    pub in_force: bool,
    /// Why, or why not.
    pub state: Said,
    /// Whether the record's key is shown as it is, or how else.
    pub key: Said,
    /// The row filter, comparison by comparison; `rows.holds` is none without a record.
    pub rows: Rows,
    /// Providers that may write such a record; empty where no whole record was given.
    pub providers: Vec<ProviderWhy>,
    /// Every field of the dataset, in the schema's order.
    pub fields: Vec<FieldWhy>,
    /// Whether the recipient receives this record now; none where no record was given.
    pub receives: Option<bool>,
    /// The answer in a sentence.
    pub answer: Said,
}

/// The row filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// Its text in the grant; none: all rows.
    pub filter: Option<String>,
    /// Each comparison in the order of the text.
    pub terms: Vec<TermWhy>,
    /// Whether the record is among the rows.
    pub holds: Option<bool>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TermWhy {
    /// As the filter has it.
    pub term: String,
    /// Whether it holds for the record.
    pub holds: bool,
}

/// A provider of the dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderWhy {
    /// Who.
    pub agency: Agency,
    /// Whether the contract lets it write this record.
    pub may_write: bool,
    /// Each comparison of the contract's rule; empty: it may write any.
    pub terms: Vec<TermWhy>,
}

/// A field of the dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldWhy {
    /// Its dotted path.
    pub path: String,
    /// How sensitive it is.
    pub pii: Pii,
    /// Its name in the view, where it is there.
    pub view_name: Option<String>,
    /// Granted, masked or not granted.
    pub given: Given,
    /// In words.
    pub why: Said,
}

/// What a grant does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Given {
    /// As it is.
    Granted,
    /// Under a mask.
    Masked,
    /// Not at all.
    NotGranted,
}

/// Explains grant `id` as it stands at `now_ms` (milliseconds since 1970, UTC), on a sample.
///
/// # Errors
/// [`ExplainError`].
pub fn explain(set: &ControlSet, id: &GrantId, now_ms: i64, sample: Sample<'_>) -> Result<Explanation, ExplainError> {
    let entry = set.view_of_grant(id).ok_or_else(|| ExplainError::NoGrant(id.clone()))?;
    let grant = &entry.activation.grant;
    let contract = set.contracts.get(&grant.dataset).ok_or_else(|| ExplainError::NoSchema(id.clone()))?;
    let newest = contract.latest().ok_or_else(|| ExplainError::NoSchema(id.clone()))?;
    let schema = Schema::parse(&newest.schema)?;
    let view = set.schemas.get(&entry.activation.schema_id).ok_or_else(|| ExplainError::NoSchema(id.clone()))?;
    let rows = rows(grant, &schema, &view.schema, sample)?;
    let in_force = entry.in_force(now_ms);
    let receives = rows.holds.map(|holds| holds && in_force);
    Ok(Explanation {
        grant: id.clone(),
        recipient: grant.recipient.clone(),
        dataset: grant.dataset.clone(),
        view: grant.view.clone(),
        edition: entry.activation.edition,
        purpose: grant.purpose.clone(),
        legal_basis: grant.legal_basis.clone(),
        in_force,
        state: state(entry, now_ms),
        key: key(grant.key),
        providers: match sample {
            Sample::Record(body) => providers(contract, &schema, body)?,
            _ => Vec::new(),
        },
        fields: schema.paths().into_iter().filter_map(|path| field(grant, contract, &schema, path)).collect(),
        answer: answer(receives, in_force, sample),
        receives,
        rows,
    })
}

fn rows(grant: &Grant, schema: &Schema, view: &str, sample: Sample<'_>) -> Result<Rows, ExplainError> {
    let filter = grant.filter.clone();
    let (body, schema, of_view) = match sample {
        Sample::None => return Ok(Rows { filter, terms: Vec::new(), holds: None }),
        Sample::NotHeld => return Ok(Rows { filter, terms: Vec::new(), holds: Some(false) }),
        Sample::Record(body) => (body, schema.clone(), false),
        Sample::Row(body) => (body, Schema::parse(view)?, true),
    };
    let mut spans = Spans::new();
    schema.walk(body, &mut spans)?;
    let Some(text) = &filter else { return Ok(Rows { filter, terms: Vec::new(), holds: Some(true) }) };
    let name = |path: &str| if of_view { name_in_view(grant, path) } else { path.to_owned() };
    let mut each = Vec::new();
    let holds = Terms::of(text, &name)?.outcome(&schema, body, &spans, &mut each)?;
    Ok(Rows { terms: told(each), holds: Some(holds), filter })
}

fn told(each: Vec<(String, bool)>) -> Vec<TermWhy> {
    each.into_iter().map(|(term, holds)| TermWhy { term, holds }).collect()
}

/// Where the field at `path` is in a view: under its own name, or within a nested record that is granted whole.
fn name_in_view(grant: &Grant, path: &str) -> String {
    match granted(grant, path) {
        Some((field, rest)) => format!("{}{rest}", field.view_name()),
        None => path.to_owned(),
    }
}

/// The granted field that gives `path`, and what of the path lies below it (`.year`).
fn granted<'g, 'p>(grant: &'g Grant, path: &'p str) -> Option<(&'g GrantedField, &'p str)> {
    let below = |f: &'g GrantedField| {
        let rest = path.strip_prefix(f.path.as_str())?;
        (rest.is_empty() || rest.starts_with('.')).then_some((f, rest))
    };
    // The field itself before a record that holds it.
    let mut all: Vec<_> = grant.fields.iter().filter_map(below).collect();
    all.sort_by_key(|(_, rest)| rest.len());
    all.into_iter().next()
}

fn providers(contract: &Contract, schema: &Schema, body: &[u8]) -> Result<Vec<ProviderWhy>, ExplainError> {
    let mut spans = Spans::new();
    schema.walk(body, &mut spans)?;
    let why = |provider: &kenh_domain::contract::Provider| {
        let mut each = Vec::new();
        let may_write = match &provider.rows {
            None => true,
            Some(text) => Terms::of(text, &str::to_owned)?.outcome(schema, body, &spans, &mut each)?,
        };
        Ok(ProviderWhy { agency: provider.agency.clone(), may_write, terms: told(each) })
    };
    contract.providers.iter().map(why).collect()
}

/// A leaf of the schema; a record that only holds others is not told by itself.
fn field(grant: &Grant, contract: &Contract, schema: &Schema, path: String) -> Option<FieldWhy> {
    let inner = format!("{path}.");
    if schema.paths().iter().any(|other| other.starts_with(&inner)) {
        return None;
    }
    let found = granted(grant, &path);
    let (given, why) = match found.map(|(f, _)| &f.mask) {
        None => (Given::NotGranted, said("the grant does not name it", "văn bản cấp quyền không nêu trường này")),
        Some(None) => (Given::Granted, said("granted as it is", "được cung cấp nguyên giá trị")),
        Some(Some(mask)) => (Given::Masked, mask_words(mask)),
    };
    let view_name = found.map(|(f, rest)| format!("{}{rest}", f.view_name()));
    Some(FieldWhy { pii: contract.pii_of(&path), view_name, given, why, path })
}

fn mask_words(mask: &Mask) -> Said {
    match mask {
        Mask::Null => said("always null", "luôn để trống"),
        Mask::Constant(_) => said("always the same text", "luôn là một giá trị cố định"),
        Mask::Last(n) => said(format!("its last {n} characters"), format!("{n} ký tự cuối")),
        Mask::Year => said("its year", "chỉ năm"),
        Mask::Hash => said("a keyed hash of it", "mã băm có khóa"),
    }
}

fn key(form: KeyForm) -> Said {
    match form {
        KeyForm::Clear => said("the record key as it is", "khóa bản ghi nguyên dạng"),
        KeyForm::Pseudonym => {
            said("a pseudonym of this recipient and purpose", "bí danh riêng của bên nhận và mục đích này")
        }
    }
}

fn state(entry: &ViewEntry, now_ms: i64) -> Said {
    let (from, until) = (Day::of(entry.activation.starts_ms), Day::of(entry.activation.ends_ms - 1));
    match entry.ended {
        Some((_, reason)) => super::ended(reason),
        None if now_ms < entry.activation.starts_ms => {
            said(format!("not yet in force: from {from}"), format!("chưa có hiệu lực: từ ngày {from}"))
        }
        None if entry.in_force(now_ms) => {
            said(format!("in force from {from} to {until}"), format!("có hiệu lực từ ngày {from} đến hết ngày {until}"))
        }
        None => said(format!("its time ran out after {until}"), format!("hết thời hạn sau ngày {until}")),
    }
}

fn answer(receives: Option<bool>, in_force: bool, sample: Sample<'_>) -> Said {
    match (receives, sample) {
        (None, _) => said("no record was given", "chưa có bản ghi để xét"),
        (Some(true), _) => said("the recipient receives this record", "bên nhận được nhận bản ghi này"),
        (Some(false), Sample::NotHeld) => said(
            "the recipient's copy does not hold this key: there is no such record, or it is not among the rows; give the record itself to see why",
            "bản sao của bên nhận không có khóa này: không có bản ghi, hoặc bản ghi ngoài phạm vi; hãy đưa chính bản ghi để biết lý do",
        ),
        (Some(false), _) if !in_force => said(
            "the recipient receives nothing: the grant is not in force",
            "bên nhận không nhận gì: quyền không có hiệu lực",
        ),
        (Some(false), _) => {
            said("the record is not among the rows of this grant", "bản ghi nằm ngoài các dòng được cấp")
        }
    }
}
