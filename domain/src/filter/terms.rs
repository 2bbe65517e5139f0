//! A filter comparison by comparison, for explaining what it makes of one record. Not on any path of data: routing asks
//! [`Filter::matches`](super::Filter::matches), and a test holds the two to the same answer.

use super::parse::{self, Expr, Field, Test};
use super::{Filter, FilterError, print};
use crate::schema::{Schema, Spans};

/// A filter's syntax, down to its comparisons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Terms {
    /// One of them must hold (`||`).
    Any(Vec<Self>),
    /// All of them must hold (`&&`).
    All(Vec<Self>),
    /// It must not hold (`!`).
    Not(Box<Self>),
    /// One comparison, in normal form.
    Test(Term),
}

/// One comparison of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// As the filter has it, in normal form.
    pub text: String,
    /// The same with its fields under other names (see [`Terms::of`]); a filter itself.
    asked: String,
}

impl Terms {
    /// The terms of a filter. `name` gives each field's dotted path in the records that will be asked about: the
    /// identity for whole records, the names in a view for its rows.
    ///
    /// # Errors
    /// [`FilterError`] when it is not in the subset.
    pub fn of(text: &str, name: &dyn Fn(&str) -> String) -> Result<Self, FilterError> {
        Ok(Self::from_expr(&parse::parse(text)?, name))
    }

    fn from_expr(expr: &Expr, name: &dyn Fn(&str) -> String) -> Self {
        let each = |parts: &[Expr]| parts.iter().map(|part| Self::from_expr(part, name)).collect();
        match expr {
            Expr::Any(parts) => Self::Any(each(parts)),
            Expr::All(parts) => Self::All(each(parts)),
            Expr::Not(inner) => Self::Not(Box::new(Self::from_expr(inner, name))),
            Expr::Test(test) => {
                Self::Test(Term { text: print::print(expr), asked: print::print(&Expr::Test(renamed(test, name))) })
            }
        }
    }

    /// Every comparison in the order of the text, each with whether it holds for a record; and whether all of the filter
    /// does. `body` has been walked with `schema`, into `spans`. Every comparison is asked, also those that no longer
    /// decide anything.
    ///
    /// # Errors
    /// [`FilterError`] when a comparison does not fit the schema.
    pub fn outcome(
        &self,
        schema: &Schema,
        body: &[u8],
        spans: &Spans,
        each: &mut Vec<(String, bool)>,
    ) -> Result<bool, FilterError> {
        let all = |parts: &[Self], each: &mut Vec<(String, bool)>| {
            parts.iter().map(|part| part.outcome(schema, body, spans, each)).collect::<Result<Vec<_>, _>>()
        };
        Ok(match self {
            Self::Any(parts) => all(parts, each)?.contains(&true),
            Self::All(parts) => !all(parts, each)?.contains(&false),
            Self::Not(inner) => !inner.outcome(schema, body, spans, each)?,
            Self::Test(term) => {
                let holds = Filter::compile(&term.asked, schema)?.matches(body, spans);
                each.push((term.text.clone(), holds));
                holds
            }
        })
    }
}

fn renamed(test: &Test, name: &dyn Fn(&str) -> String) -> Test {
    let field = |field: &Field| Field { dotted: name(&field.dotted), at: field.at };
    match test {
        Test::Bare(f) => Test::Bare(field(f)),
        Test::Compare(f, op, literal) => Test::Compare(field(f), *op, literal.clone()),
        Test::Fields(left, op, right) => Test::Fields(field(left), *op, field(right)),
        Test::In(f, list) => Test::In(field(f), list.clone()),
        Test::StartsWith(f, text) => Test::StartsWith(field(f), text.clone()),
    }
}
