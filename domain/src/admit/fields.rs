//! Field rules: one pass over a walked body, leaf by leaf, arrays and maps included.

use std::collections::HashSet;

use regex::Regex;
use unicode_normalization::is_nfc;

use super::RulesError;
use super::beside::Beside;
use crate::codes::{CodeLists, Codes};
use crate::contract::{CodeList, CodeListUse, Contract, FieldRules};
use crate::date;
use crate::element::Element;
use crate::relaxation::Relaxed;
use crate::rule::{Rejection, Rule};
use crate::schema::{NullBranch, Path, Schema, Spans, Type, Value};

/// The rules of one schema version.
pub(super) struct FieldChecks {
    root: Node,
    lists: Vec<ListCheck>,
    beside: Beside,
}

/// A type with the rules that apply where it stands.
struct Node {
    dotted: String,
    rules: Option<Box<LeafRules>>,
    kind: Kind,
}

enum Kind {
    Record(Vec<Node>),
    Array(Box<Node>),
    Map(Box<Node>),
    Nullable(Box<Node>, NullBranch),
    Union(Vec<Node>),
    Leaf(Type),
}

#[derive(Default)]
struct LeafRules {
    required: bool,
    element: Option<Element>,
    pattern: Option<Regex>,
    values: Option<HashSet<String>>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    max_length: Option<usize>,
}

/// A code that must be in a list.
struct ListCheck {
    path: Path,
    name: String,
    day: Option<Day>,
    /// The codes of a frozen list; none for one that is a dataset.
    frozen: Option<HashSet<String>>,
}

/// The field that is looked up beside a code.
enum Day {
    /// It names the code together with it.
    With(Path),
    /// The code must be in force then.
    On(Path),
}

/// What the rules have found in a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What refuses it, in the order in which the rules are looked at.
    pub rejections: Vec<Rejection>,
    /// Relaxed rules that it breaks, each once.
    pub warnings: Vec<Rule>,
}

/// Findings as they come: how many are wanted, and which only warn.
pub(super) struct Findings<'a> {
    most: usize,
    relaxed: &'a Relaxed,
    key: &'a [String],
    found: &'a mut Found,
}

impl Findings<'_> {
    pub(super) fn add(&mut self, rejection: Rejection) {
        let Rejection { rule, field, .. } = &rejection;
        let relaxed = self.relaxed.covers(*rule, field) && rule.protects().is_none();
        if relaxed && !self.key.iter().any(|key| key == field) {
            if !self.found.warnings.contains(rule) {
                self.found.warnings.push(*rule);
            }
        } else if !self.full() {
            self.found.rejections.push(rejection);
        }
    }

    const fn full(&self) -> bool {
        self.found.rejections.len() >= self.most
    }
}

/// The names of a schema's fields, for hints.
pub(super) fn names(schema: &Schema) -> String {
    let names: Vec<_> = schema.fields().iter().map(|f| f.name.as_str()).collect();
    format!("there are: {}", names.join(", "))
}

impl FieldChecks {
    pub(super) fn compile(
        contract: &Contract,
        schema: &Schema,
        version: u32,
        newest: bool,
    ) -> Result<Self, RulesError> {
        let dataset = || contract.dataset.to_string();
        let mut used = HashSet::new();
        let fields = schema.fields().iter().map(|f| node(contract, f.name.clone(), &f.ty, &mut used));
        let root = Node { dotted: String::new(), rules: None, kind: Kind::Record(fields.collect::<Result<_, _>>()?) };
        // A rule for a field that an older version lacks is no mistake; one that the newest lacks is.
        if newest && let Some(path) = contract.fields.keys().find(|path| !used.contains(path.as_str())) {
            return Err(RulesError::Path { dataset: dataset(), path: path.clone(), version, hint: names(schema) });
        }
        let mut lists = Vec::new();
        for (dotted, rules) in &contract.fields {
            let Some(path) = schema.path(dotted) else { continue };
            if let Some(list) = &rules.code_list {
                lists.push(list_check(contract, schema, path, list)?);
            }
        }
        Ok(Self { root, lists, beside: Beside::compile(contract, schema) })
    }

    /// Appends up to `most` violations that refuse, and every relaxed rule that is broken before there are so many.
    pub(super) fn check(
        &self,
        contract: &Contract,
        schema: &Schema,
        (body, spans): (&[u8], &Spans),
        (relaxed, lists): (&Relaxed, &CodeLists),
        most: usize,
        found: &mut Found,
    ) {
        let mut findings = Findings { most, relaxed, key: &contract.key, found };
        // The body has been walked: what cannot be read here cannot happen, and ends the pass.
        let _ = Walk { rest: body, findings: &mut findings }.node(&self.root);
        for list in &self.lists {
            if !findings.full() {
                list.check(schema, body, spans, lists, &mut findings);
            }
        }
        if !findings.full() {
            self.beside.check(schema, body, spans, &mut findings);
        }
    }
}

fn node(contract: &Contract, dotted: String, ty: &Type, used: &mut HashSet<String>) -> Result<Node, RulesError> {
    let rules = contract.fields.get(&dotted).map(|rules| leaf_rules(contract, &dotted, ty, rules)).transpose()?;
    if rules.is_some() {
        used.insert(dotted.clone());
    }
    Ok(Node { kind: kind(contract, &dotted, ty, used)?, rules: rules.map(Box::new), dotted })
}

fn kind(contract: &Contract, dotted: &str, ty: &Type, used: &mut HashSet<String>) -> Result<Kind, RulesError> {
    // What is inside an array or a nullable field stands at the same dotted path; its rules are the field's own.
    let mut inside = |ty: &Type| -> Result<Box<Node>, RulesError> {
        Ok(Box::new(Node { dotted: dotted.into(), rules: None, kind: kind(contract, dotted, ty, used)? }))
    };
    Ok(match ty {
        Type::Record(record) => {
            let fields = record.fields.iter().map(|f| node(contract, format!("{dotted}.{}", f.name), &f.ty, used));
            Kind::Record(fields.collect::<Result<_, _>>()?)
        }
        Type::Array(item) => Kind::Array(inside(item)?),
        Type::Map(item) => Kind::Map(inside(item)?),
        Type::Nullable(item, branch) => Kind::Nullable(inside(item)?, *branch),
        Type::Union(branches) => Kind::Union(branches.iter().map(|b| inside(b).map(|b| *b)).collect::<Result<_, _>>()?),
        leaf => Kind::Leaf(leaf.clone()),
    })
}

fn leaf_rules(contract: &Contract, dotted: &str, ty: &Type, rules: &FieldRules) -> Result<LeafRules, RulesError> {
    let wrong =
        |reason: String| RulesError::Rule { dataset: contract.dataset.to_string(), path: dotted.into(), reason };
    // A rule that is never looked at would be believed to hold.
    for (set, name, types, test) in [
        (rules.pattern.is_some(), "a pattern", "texts and numbers", has_form as fn(&Type) -> bool),
        (rules.values.is_some(), "a list of values", "texts and numbers", has_form),
        (rules.element.is_some(), "a data element", "texts and numbers", has_form),
        (rules.max_length.is_some(), "a greatest length", "texts", is_text),
        (rules.minimum.is_some(), "a minimum", "numbers and dates", is_ordered),
        (rules.maximum.is_some(), "a maximum", "numbers and dates", is_ordered),
    ] {
        if set && !every_leaf(ty, test) {
            return Err(wrong(format!("it is {} and has {name}, which is for {types}", ty.inner().kind())));
        }
    }
    let element = rules
        .element
        .as_deref()
        .map(|name| {
            name.parse().map_err(|()| {
                let all: Vec<_> = Element::ALL.iter().map(|e| e.name()).collect();
                wrong(format!("there is no data element {name:?}; there are: {}", all.join(", ")))
            })
        })
        .transpose()?;
    let pattern = rules
        .pattern
        .as_deref()
        .map(|p| {
            Regex::new(&format!("^(?:{p})$"))
                .map_err(|e| wrong(format!("its pattern is not a regular expression: {e}")))
        })
        .transpose()?;
    let bound = |text: &Option<String>| -> Result<Option<f64>, RulesError> {
        let Some(text) = text else { return Ok(None) };
        let number = if *ty.inner() == Type::Date { date::parse(text).map(f64::from) } else { text.parse().ok() };
        number
            .map(Some)
            .ok_or_else(|| wrong(format!("its bound {text:?} is neither a number nor, for a date, YYYY-MM-DD")))
    };
    Ok(LeafRules {
        required: rules.required,
        element,
        pattern,
        values: rules.values.as_ref().map(|v| v.iter().cloned().collect()),
        minimum: bound(&rules.minimum)?,
        maximum: bound(&rules.maximum)?,
        max_length: rules.max_length.map(|n| n as usize),
    })
}

/// Whether a test holds for every leaf of a type but null: for the items of arrays and maps, for each branch of a union.
fn every_leaf(ty: &Type, test: fn(&Type) -> bool) -> bool {
    match ty {
        Type::Array(inner) | Type::Map(inner) | Type::Nullable(inner, _) => every_leaf(inner, test),
        Type::Union(branches) => branches.iter().all(|b| *b == Type::Null || every_leaf(b, test)),
        leaf => test(leaf),
    }
}

const fn is_text(ty: &Type) -> bool {
    matches!(ty, Type::Text | Type::Uuid | Type::Enum(_))
}

const fn is_number(ty: &Type) -> bool {
    matches!(ty, Type::Int | Type::Long | Type::Float | Type::Double)
}

const fn has_form(ty: &Type) -> bool {
    is_text(ty) || is_number(ty)
}

const fn is_ordered(ty: &Type) -> bool {
    is_number(ty) || matches!(ty, Type::Date)
}

fn list_check(contract: &Contract, schema: &Schema, path: Path, list: &CodeListUse) -> Result<ListCheck, RulesError> {
    let wrong =
        |reason: String| RulesError::Rule { dataset: contract.dataset.to_string(), path: path.dotted().into(), reason };
    // Looked up is the field's own value, not the items of a list.
    if !matches!(path.ty().inner(), Type::Text | Type::Uuid | Type::Enum(_) | Type::Int | Type::Long | Type::Date) {
        let kind = path.ty().inner().kind();
        return Err(wrong(format!("it is {kind} and has a code list, which is for texts, whole numbers and dates")));
    }
    let codes = contract
        .code_lists
        .get(&list.list)
        .ok_or_else(|| wrong(format!("the contract has no code list {:?}", list.list)))?;
    let beside = |dotted: &str| {
        schema.path(dotted).ok_or_else(|| wrong(format!("there is no field {dotted:?} to look the code up with")))
    };
    let day = match (&list.with, &list.on) {
        (None, None) => None,
        (Some(with), None) => Some(Day::With(beside(with)?)),
        (None, Some(on)) => Some(Day::On(beside(on)?)),
        (Some(_), Some(_)) => {
            return Err(wrong("its code is looked up with a first day and on a day; keep one of the two".into()));
        }
    };
    match (codes, &day) {
        (CodeList::Frozen(_), Some(Day::On(_))) => {
            return Err(wrong(format!("its code list {:?} is frozen and knows no days", list.list)));
        }
        (CodeList::Dataset(known), Some(Day::With(path) | Day::On(path))) => {
            if *path.ty().inner() != Type::Date {
                let kind = path.ty().inner().kind();
                return Err(wrong(format!("{:?}, to look the code up with, is {kind} and no date", path.dotted())));
            }
            if known.from.is_none() && (known.to.is_none() || matches!(day, Some(Day::With(_)))) {
                return Err(wrong(format!("its code list {:?} does not say from which day a code holds", list.list)));
            }
        }
        _ => {}
    }
    let frozen = codes.frozen().map(|codes| codes.iter().cloned().collect());
    Ok(ListCheck { name: list.list.clone(), day, frozen, path })
}

impl ListCheck {
    fn check(&self, schema: &Schema, body: &[u8], spans: &Spans, lists: &CodeLists, findings: &mut Findings<'_>) {
        let Some(code) = text_of(schema.value(body, spans, &self.path)) else { return };
        let there = match (&self.frozen, lists) {
            (Some(codes), _) => self.is_in_frozen(codes, code, schema, body, spans),
            (None, CodeLists::NotAsked) => true,
            (None, CodeLists::Known(lists)) => {
                lists.get(&self.name).is_some_and(|codes| self.is_in(codes, &code, schema, body, spans))
            }
        };
        if !there {
            findings.add(Rejection::field(Rule::CodeList, self.path.dotted()).with(&self.name));
        }
    }

    fn is_in_frozen(
        &self,
        codes: &HashSet<String>,
        mut code: String,
        schema: &Schema,
        body: &[u8],
        spans: &Spans,
    ) -> bool {
        if let Some(Day::With(with)) = &self.day {
            code.push('@');
            code.push_str(&text_of(schema.value(body, spans, with)).unwrap_or_default());
        }
        codes.contains(&code)
    }

    fn is_in(&self, codes: &Codes, code: &str, schema: &Schema, body: &[u8], spans: &Spans) -> bool {
        let day = |path| match schema.value(body, spans, path) {
            Value::Date(days) => Some(days),
            _ => None,
        };
        match &self.day {
            None => codes.has(code),
            Some(Day::With(path)) => day(path).is_some_and(|day| codes.starts(code, day)),
            Some(Day::On(path)) => day(path).map_or_else(|| codes.has(code), |day| codes.in_force(code, day)),
        }
    }
}

/// A value as text, by which it is looked up and compared; none for those that are not.
pub(super) fn text_of(value: Value<'_>) -> Option<String> {
    Some(match value {
        Value::Text(text) => text.to_owned(),
        Value::Int(n) => n.to_string(),
        Value::Date(days) => date::text(days),
        Value::Bool(b) => b.to_string(),
        _ => return None,
    })
}

/// A pass over a body that has been validated.
struct Walk<'a, 'f, 'g> {
    rest: &'a [u8],
    findings: &'f mut Findings<'g>,
}

impl<'a> Walk<'a, '_, '_> {
    fn reject(&mut self, rule: Rule, dotted: &str) {
        self.findings.add(Rejection::field(rule, dotted));
    }

    fn node(&mut self, node: &Node) -> Option<()> {
        self.value(node, node.rules.as_deref())
    }

    /// Rules of a field apply to what is inside its array or union: to every item, to the value that is not null.
    fn value(&mut self, node: &Node, rules: Option<&LeafRules>) -> Option<()> {
        match &node.kind {
            Kind::Record(fields) => fields.iter().try_for_each(|field| self.node(field)),
            Kind::Array(item) => {
                let mut any = false;
                while self.block(|walk| walk.value(item, rules))? {
                    any = true;
                }
                if !any && rules.is_some_and(|r| r.required) {
                    self.reject(Rule::Required, &node.dotted);
                }
                Some(())
            }
            Kind::Map(item) => {
                let keyed = |walk: &mut Self| {
                    walk.text_leaf(&node.dotted, None)?;
                    walk.value(item, rules)
                };
                while self.block(keyed)? {}
                Some(())
            }
            Kind::Nullable(item, branch) => {
                if usize::try_from(self.long()?).ok()? == branch.null() {
                    if rules.is_some_and(|r| r.required) {
                        self.reject(Rule::Required, &node.dotted);
                    }
                    return Some(());
                }
                self.value(item, rules)
            }
            Kind::Union(branches) => {
                let branch = usize::try_from(self.long()?).ok()?;
                self.value(branches.get(branch)?, rules)
            }
            Kind::Leaf(ty) => self.leaf(ty, &node.dotted, rules),
        }
    }

    /// One block of an array or map; false at its end.
    fn block(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<bool> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        for _ in 0..count.unsigned_abs() {
            item(self)?;
        }
        Some(count != 0)
    }

    fn leaf(&mut self, ty: &Type, dotted: &str, rules: Option<&LeafRules>) -> Option<()> {
        match ty {
            Type::Null => Some(()),
            Type::Boolean => self.skip(1),
            Type::Float => {
                let number = f32::from_le_bytes(self.take(4)?.try_into().ok()?);
                self.number(f64::from(number), None, dotted, rules)
            }
            Type::Double => {
                let number = f64::from_le_bytes(self.take(8)?.try_into().ok()?);
                self.number(number, None, dotted, rules)
            }
            Type::Fixed(fixed) => self.skip(fixed.size),
            Type::Bytes | Type::Decimal(_) => {
                let length = usize::try_from(self.long()?).ok()?;
                self.skip(length)
            }
            Type::Text | Type::Uuid => self.text_leaf(dotted, rules),
            Type::Enum(symbols) => {
                let symbol = symbols.symbols.get(usize::try_from(self.long()?).ok()?)?;
                self.text(symbol, dotted, rules);
                Some(())
            }
            // Everything else is a long or an int on the wire.
            _ => {
                let n = self.long()?;
                #[expect(clippy::cast_precision_loss, reason = "bounds of contracts are far below 2^53")]
                self.number(n as f64, Some(n), dotted, rules)
            }
        }
    }

    fn number(&mut self, number: f64, whole: Option<i64>, dotted: &str, rules: Option<&LeafRules>) -> Option<()> {
        let Some(rules) = rules else { return Some(()) };
        if rules.minimum.is_some_and(|least| number < least) {
            self.reject(Rule::Minimum, dotted);
        }
        if rules.maximum.is_some_and(|most| number > most) {
            self.reject(Rule::Maximum, dotted);
        }
        if rules.values.is_some() || rules.element.is_some() || rules.pattern.is_some() {
            let text = whole.map_or_else(|| number.to_string(), |n| n.to_string());
            self.forms(&text, dotted, rules);
        }
        Some(())
    }

    fn text_leaf(&mut self, dotted: &str, rules: Option<&LeafRules>) -> Option<()> {
        let length = usize::try_from(self.long()?).ok()?;
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        self.text(text, dotted, rules);
        Some(())
    }

    fn text(&mut self, text: &str, dotted: &str, rules: Option<&LeafRules>) {
        // ASCII is in NFC; most texts that are not take the table.
        if !text.is_ascii() && !is_nfc(text) {
            self.reject(Rule::NotNfc, dotted);
        }
        let Some(rules) = rules else { return };
        if text.is_empty() {
            if rules.required {
                self.reject(Rule::Required, dotted);
            }
            return;
        }
        if rules.max_length.is_some_and(|most| text.len() > most && text.chars().count() > most) {
            self.reject(Rule::MaxLength, dotted);
        }
        self.forms(text, dotted, rules);
    }

    fn forms(&mut self, text: &str, dotted: &str, rules: &LeafRules) {
        if rules.values.as_ref().is_some_and(|values| !values.contains(text)) {
            self.reject(Rule::Values, dotted);
        }
        if rules.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(text)) {
            self.reject(Rule::Pattern, dotted);
        }
        if let Some(element) = rules.element
            && let Err(rule) = element.check(text)
        {
            self.findings.add(Rejection::field(rule, dotted).of(element));
        }
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(count)?;
        self.rest = tail;
        Some(head)
    }

    fn long(&mut self) -> Option<i64> {
        let mut bits = 0u64;
        for (i, byte) in self.rest.iter().enumerate().take(10) {
            bits |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[i + 1..];
                #[expect(clippy::cast_possible_wrap, reason = "zigzag maps unsigned bits to signed")]
                return Some((bits >> 1) as i64 ^ -((bits & 1) as i64));
            }
        }
        None
    }
}
