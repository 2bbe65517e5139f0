//! Type check and evaluation: a syntax tree becomes a program over the bytes of one writer schema.

use std::cmp::Ordering;

use super::parse::{Constant, Expr, Field, Literal, Op, Test};
use super::{Atom, FilterError};
use crate::date;
use crate::schema::versions::{Source, StandIn};
use crate::schema::{Enum, Path, Spans, Type, Value, nearest};

/// A checked filter. As deep as the syntax tree, which is bounded.
#[derive(Debug)]
pub(super) enum Node {
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Not(Box<Node>),
    Test(Operand, Check),
}

/// A field, or what stands in for it.
#[derive(Debug)]
pub(super) enum Operand {
    Field(Path),
    StandIn(StandIn),
}

#[derive(Debug)]
pub(super) enum Check {
    True,
    Compare(Op, Known),
    Fields(Op, Operand),
    /// Sorted, each once.
    In(Box<[Known]>),
    StartsWith(Box<str>),
}

/// A literal, converted to the type of the field it meets.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Known {
    Double(f64),
    Atom(Atom),
}

impl Known {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Double(x) => Value::Double(*x),
            Self::Atom(Atom::Null) => Value::Null,
            Self::Atom(Atom::Bool(b)) => Value::Bool(*b),
            Self::Atom(Atom::Int(n)) => Value::Int(*n),
            Self::Atom(Atom::Text(text)) => Value::Text(text),
            Self::Atom(Atom::Date(days)) => Value::Date(*days),
        }
    }
}

impl Check {
    /// The values that it is true for, when they are few and an index can hold them.
    pub(super) fn equals(&self) -> Option<Vec<Atom>> {
        let atom = |known: &Known| match known {
            Known::Atom(atom) => Some(atom.clone()),
            // A decimal may equal a whole number: not by looking up.
            Known::Double(_) => None,
        };
        match self {
            Self::True => Some(vec![Atom::Bool(true)]),
            Self::Compare(Op::Eq, known) => Some(vec![atom(known)?]),
            Self::In(list) => {
                let mut atoms: Vec<Atom> = list.iter().map(atom).collect::<Option<_>>()?;
                atoms.sort();
                Some(atoms)
            }
            _ => None,
        }
    }
}

impl Node {
    pub(super) fn holds(&self, body: &[u8], spans: &Spans) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.holds(body, spans)),
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(body, spans)),
            Self::Not(node) => !node.holds(body, spans),
            Self::Test(operand, check) => {
                let value = operand.value(body, spans);
                match check {
                    Check::True => matches!(value, Value::Bool(true)),
                    Check::Compare(op, known) => relate(*op, value, known.value()),
                    Check::Fields(op, other) => relate(*op, value, other.value(body, spans)),
                    Check::In(list) => list.binary_search_by(|known| total(known.value(), value)).is_ok(),
                    Check::StartsWith(text) => matches!(value, Value::Text(t) if t.starts_with(&**text)),
                }
            }
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, body: &'a [u8], spans: &Spans) -> Value<'a> {
        match self {
            Self::Field(path) => path.value(body, spans),
            Self::StandIn(stand_in) => match &stand_in.parent {
                Some(parent) if parent.value(body, spans) == Value::Null => Value::Null,
                _ => stand_in.value(),
            },
        }
    }

    fn ty(&self) -> &Type {
        match self {
            Self::Field(path) => path.ty(),
            Self::StandIn(stand_in) => &stand_in.ty,
        }
        .inner()
    }
}

fn relate(op: Op, a: Value<'_>, b: Value<'_>) -> bool {
    let order = match (a, b) {
        // Null equals null and is in no order, not even with itself.
        (Value::Null, Value::Null) => return op == Op::Eq,
        (Value::Null, _) | (_, Value::Null) => return op == Op::Ne,
        _ => compare(a, b),
    };
    match op {
        Op::Eq => order == Some(Ordering::Equal),
        Op::Ne => order != Some(Ordering::Equal),
        Op::Lt => order == Some(Ordering::Less),
        Op::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Op::Gt => order == Some(Ordering::Greater),
        Op::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

/// None where a number is NaN. Other pairs of types do not pass the type check.
fn compare(a: Value<'_>, b: Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(&b)),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(&b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(&b),
        (Value::Int(a), Value::Double(b)) => int_with_double(a, b),
        (Value::Double(a), Value::Int(b)) => int_with_double(b, a).map(Ordering::reverse),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(&b)),
        _ => None,
    }
}

/// By exact value: neither is rounded to the other.
fn int_with_double(a: i64, b: f64) -> Option<Ordering> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if b.is_nan() {
        return None;
    }
    if b >= TWO_TO_63 {
        return Some(Ordering::Less);
    }
    if b < -TWO_TO_63 {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "within the range of i64, and whole")]
    let whole = b.trunc() as i64;
    // Equal whole parts: the fraction decides.
    Some(a.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&b.fract()).unwrap_or(Ordering::Equal)))
}

/// An order of all that a list may hold and a field may be, for sorting and searching; a value that equals none (NaN,
/// or what the list's type check excludes) compares as unequal.
fn total(a: Value<'_>, b: Value<'_>) -> Ordering {
    const fn rank(value: Value<'_>) -> u8 {
        match value {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Int(_) | Value::Double(_) => 2,
            Value::Text(_) => 3,
            Value::Date(_) => 4,
            Value::Bytes(_) | Value::Timestamp(_) | Value::Nested => 5,
        }
    }
    if matches!((a, b), (Value::Null, Value::Null)) {
        return Ordering::Equal;
    }
    rank(a).cmp(&rank(b)).then_with(|| compare(a, b).unwrap_or(Ordering::Less))
}

/// What of a type matters for comparing.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Class {
    Bool,
    Number,
    Text,
    Date,
    /// Only with null.
    Other,
}

fn class(ty: &Type) -> Class {
    match ty {
        Type::Boolean => Class::Bool,
        Type::Int | Type::Long | Type::Float | Type::Double => Class::Number,
        Type::Text | Type::Uuid | Type::Enum(_) => Class::Text,
        Type::Date => Class::Date,
        _ => Class::Other,
    }
}

pub(super) struct Binder<'a> {
    pub(super) find: &'a dyn Fn(&Field) -> Result<Source, FilterError>,
    /// Whether a symbol must be one of the enum's: an older version may not have it yet.
    pub(super) strict: bool,
    pub(super) paths: Vec<String>,
}

impl Binder<'_> {
    pub(super) fn expr(&mut self, expr: &Expr) -> Result<Node, FilterError> {
        Ok(match expr {
            Expr::Any(parts) => Node::Any(parts.iter().map(|p| self.expr(p)).collect::<Result<_, _>>()?),
            Expr::All(parts) => Node::All(parts.iter().map(|p| self.expr(p)).collect::<Result<_, _>>()?),
            Expr::Not(inner) => Node::Not(Box::new(self.expr(inner)?)),
            Expr::Test(test) => self.test(test)?,
        })
    }

    fn operand(&mut self, field: &Field) -> Result<Operand, FilterError> {
        self.paths.push(field.dotted.clone());
        Ok(match (self.find)(field)? {
            Source::Field(path) => Operand::Field(path),
            Source::StandIn(stand_in) => Operand::StandIn(stand_in),
        })
    }

    fn test(&mut self, test: &Test) -> Result<Node, FilterError> {
        let (Test::Bare(field)
        | Test::Compare(field, ..)
        | Test::Fields(field, ..)
        | Test::In(field, _)
        | Test::StartsWith(field, _)) = test;
        let operand = self.operand(field)?;
        let ty = operand.ty();
        let check = match test {
            Test::Bare(_) if class(ty) == Class::Bool => Check::True,
            Test::Bare(_) => {
                let error = FilterError::new(field.at, format!("{} is {}, not a condition", field.dotted, ty.kind()));
                return Err(error.hint("compare it with something"));
            }
            Test::Compare(_, op, literal) => Check::Compare(*op, self.known(field, ty, *op, literal)?),
            Test::Fields(_, op, right) => {
                let other = self.operand(right)?;
                let (a, b) = (class(ty), class(other.ty()));
                if a != b || a == Class::Other || (a == Class::Bool && op.is_order()) {
                    let (left, right_kind) = (ty.kind(), other.ty().kind());
                    let message = format!(
                        "{} ({left}) and {} ({right_kind}) cannot be compared with {}",
                        field.dotted,
                        right.dotted,
                        op.sign()
                    );
                    return Err(FilterError::new(field.at, message));
                }
                Check::Fields(*op, other)
            }
            Test::In(_, list) => {
                let mut known: Vec<Known> =
                    list.iter().map(|literal| self.known(field, ty, Op::Eq, literal)).collect::<Result<_, _>>()?;
                known.sort_by(|a, b| total(a.value(), b.value()));
                known.dedup_by(|a, b| total(a.value(), b.value()).is_eq());
                Check::In(known.into())
            }
            Test::StartsWith(_, literal) => match &literal.value {
                _ if class(ty) != Class::Text => {
                    let message = format!("{} is {}; startsWith is for texts", field.dotted, ty.kind());
                    return Err(FilterError::new(field.at, message));
                }
                Constant::Text(text) => Check::StartsWith(text.as_str().into()),
                _ => return Err(FilterError::new(literal.at, "startsWith takes a text").hint("write it in quotes")),
            },
        };
        Ok(Node::Test(operand, check))
    }

    /// The literal as the field's type has it.
    fn known(&self, field: &Field, ty: &Type, op: Op, literal: &Literal) -> Result<Known, FilterError> {
        let wrong = |hint: &str| {
            let message = format!("{} is {} and cannot be compared with this", field.dotted, ty.kind());
            FilterError::new(literal.at, message).hint(hint)
        };
        Ok(Known::Atom(match (&literal.value, class(ty)) {
            (Constant::Null, _) if op.is_order() => {
                return Err(FilterError::new(literal.at, "nothing is less or greater than null")
                    .hint("ask with == null or != null"));
            }
            (Constant::Null, _) => Atom::Null,
            (_, Class::Other) => return Err(wrong("it can only be compared with null")),
            (Constant::Bool(_), Class::Bool) if op.is_order() => return Err(wrong("use == or !=")),
            (Constant::Bool(b), Class::Bool) => Atom::Bool(*b),
            (Constant::Int(n), Class::Number) => Atom::Int(*n),
            (Constant::Double(x), Class::Number) => return Ok(Known::Double(*x)),
            (Constant::Text(text), Class::Text) => {
                if let Type::Enum(symbols) = ty
                    && self.strict
                    && !op.is_order()
                {
                    has_symbol(field, symbols, text, literal.at)?;
                }
                Atom::Text(text.as_str().into())
            }
            (Constant::Text(text), Class::Date) => Atom::Date(date::parse(text).ok_or_else(|| {
                FilterError::new(literal.at, format!("{} is a date and this is no day of the calendar", field.dotted))
                    .hint("write \"YYYY-MM-DD\"")
            })?),
            (_, Class::Text) => return Err(wrong("write the text in quotes")),
            (_, Class::Date) => return Err(wrong("write a date as \"YYYY-MM-DD\"")),
            (_, Class::Number) => return Err(wrong("write a number without quotes")),
            (_, Class::Bool) => return Err(wrong("write true or false")),
        }))
    }
}

fn has_symbol(field: &Field, symbols: &Enum, text: &str, at: usize) -> Result<(), FilterError> {
    if symbols.symbols.iter().any(|s| s == text) {
        return Ok(());
    }
    let error = FilterError::new(at, format!("the enum {} has no such symbol", field.dotted));
    Err(match nearest(text, symbols.symbols.iter().cloned()) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint(format!("it has {}", symbols.symbols.join(", "))),
    })
}
