//! The `cel` crate as oracle: random filters over random records have the outcome that CEL gives them.
//!
//! Where CEL ends in an error, ours is defined, and the text that CEL is given says the same in CEL's own words: a
//! comparison of order, `startsWith` and a boolean field by itself ask first whether the field is null. A nested record
//! that is null is given to CEL as one whose fields are null; dates and symbols are given as texts.

use std::collections::HashMap;

use cel::objects::Key;
use cel::{Context, Program, Value};
use proptest::prelude::*;

use super::testing::{Row, schema};
use super::{Filter, Terms};
use crate::date;
use crate::schema::Spans;

#[derive(Debug, Clone)]
enum Expr {
    Any(Vec<Expr>),
    All(Vec<Expr>),
    Not(Box<Expr>),
    /// Field, operator, literal or field; whether they change sides.
    Compare(&'static str, &'static str, String, bool),
    In(&'static str, Vec<String>),
    StartsWith(&'static str, String),
    Bare(&'static str),
}

const TEXTS: [&str; 4] = ["ma", "ten", "gioi", "noi.ma_tinh"];
const NUMBERS: [&str; 5] = ["so", "dai", "thuc", "so_null", "noi.cap"];
const DATES: [&str; 2] = ["ngay", "ngay_null"];
const BOOLEANS: [&str; 2] = ["co", "co_null"];

fn texts() -> BoxedStrategy<String> {
    prop::sample::select(vec!["\"79\"", "'01'", "\"H\\u1ed3\"", "\"\"", "'\\'\"\\n'", "\"NAM\"", "\"Ánh\""])
        .prop_map(str::to_owned)
        .boxed()
}

/// Symbols of the enum are checked, other texts are not.
fn texts_for(field: &'static str) -> BoxedStrategy<String> {
    if field == "gioi" {
        prop::sample::select(vec!["\"NAM\"", "'NU'"]).prop_map(str::to_owned).boxed()
    } else {
        texts()
    }
}

fn numbers() -> BoxedStrategy<String> {
    prop_oneof![(-3..4_i64).prop_map(|n| n.to_string()), (-6..6_i64).prop_map(|n| format!("{}.5", n))].boxed()
}

fn dates() -> BoxedStrategy<String> {
    (20_267..20_274).prop_map(|days| format!("\"{}\"", date::text(days))).boxed()
}

fn equal() -> BoxedStrategy<&'static str> {
    prop::sample::select(vec!["==", "!="]).boxed()
}

fn relation() -> BoxedStrategy<&'static str> {
    prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]).boxed()
}

fn test() -> BoxedStrategy<Expr> {
    let field = |fields: &'static [&'static str]| prop::sample::select(fields.to_vec());
    let literal = |field: BoxedStrategy<(&'static str, String)>| {
        (field, relation(), any::<bool>()).prop_map(|((f, l), op, flip)| Expr::Compare(f, op, l, flip)).boxed()
    };
    let with = |fields, of: fn(&'static str) -> BoxedStrategy<String>| {
        field(fields).prop_flat_map(move |f| (Just(f), of(f))).boxed()
    };
    let list = |fields, of: fn(&'static str) -> BoxedStrategy<String>| {
        let members =
            move |f| (Just(f), prop::collection::vec(prop_oneof![3 => of(f), 1 => Just("null".to_owned())], 1..4));
        field(fields).prop_flat_map(members).prop_map(|(f, list)| Expr::In(f, list)).boxed()
    };
    let pair = |fields: &'static [&'static str]| {
        (field(fields), relation(), field(fields))
            .prop_map(|(a, op, b)| Expr::Compare(a, op, b.to_owned(), false))
            .boxed()
    };
    let all = [&TEXTS[..], &NUMBERS, &DATES, &BOOLEANS].concat();
    prop_oneof![
        literal(with(&TEXTS, texts_for)),
        literal(with(&NUMBERS, |_| numbers())),
        literal(with(&DATES, |_| dates())),
        (field(&BOOLEANS), equal(), any::<bool>()).prop_map(|(f, op, b)| Expr::Compare(f, op, b.to_string(), b)),
        (prop::sample::select(all), equal(), any::<bool>()).prop_map(|(f, op, flip)| Expr::Compare(
            f,
            op,
            "null".to_owned(),
            flip
        )),
        list(&TEXTS, texts_for),
        list(&NUMBERS, |_| numbers()),
        list(&DATES, |_| dates()),
        pair(&TEXTS),
        pair(&NUMBERS),
        pair(&DATES),
        (field(&TEXTS), texts()).prop_map(|(f, l)| Expr::StartsWith(f, l)),
        field(&BOOLEANS).prop_map(Expr::Bare),
    ]
    .boxed()
}

fn expr() -> BoxedStrategy<Expr> {
    test()
        .prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Any),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::All),
                inner.prop_map(|e| Expr::Not(Box::new(e))),
            ]
        })
        .boxed()
}

impl Expr {
    fn ours(&self) -> String {
        let join =
            |parts: &[Self], sign| parts.iter().map(|p| format!("({})", p.ours())).collect::<Vec<_>>().join(sign);
        match self {
            Self::Any(parts) => join(parts, "||"),
            Self::All(parts) => join(parts, " && "),
            Self::Not(inner) => format!("!({})", inner.ours()),
            Self::Compare(field, op, other, false) => format!("{field} {op} {other}"),
            Self::Compare(field, op, other, true) => format!("{other}{op}{field}"),
            Self::In(field, list) => format!("{field} in [{}]", list.join(",")),
            Self::StartsWith(field, text) => format!("{field}.startsWith({text})"),
            Self::Bare(field) => (*field).to_owned(),
        }
    }

    fn cel(&self) -> String {
        let join = |parts: &[Self], sign| parts.iter().map(|p| format!("({})", p.cel())).collect::<Vec<_>>().join(sign);
        match self {
            Self::Any(parts) => join(parts, "||"),
            Self::All(parts) => join(parts, "&&"),
            Self::Not(inner) => format!("!({})", inner.cel()),
            Self::Compare(_, op, ..) if matches!(*op, "==" | "!=") => self.ours(),
            Self::Compare(field, _, other, _) => format!("{field} != null && {other} != null && {}", self.ours()),
            Self::In(..) => self.ours(),
            Self::StartsWith(field, _) => format!("{field} != null && {}", self.ours()),
            Self::Bare(field) => format!("{field} != null && {field}"),
        }
    }
}

fn row() -> BoxedStrategy<Row> {
    let word = || prop::sample::select(vec!["79", "01", "7", "Hồ", "", "'\"\n", "NAM", "Ánh"]).prop_map(str::to_owned);
    let numbers = (-3..4_i32, -3..4_i64, (-6..6_i32).prop_map(|n| f64::from(n) / 2.0), prop::option::of(-3..4_i32));
    let dates = (20_267..20_274_i32, prop::option::of(20_267..20_274_i32));
    let others = (0..2_u32, any::<bool>(), any::<Option<bool>>());
    let noi = prop::option::of((word(), prop::option::of(-3..4_i64)));
    (numbers, word(), prop::option::of(word()), dates, others, noi)
        .prop_map(|((so, dai, thuc, so_null), ma, ten, (ngay, ngay_null), (gioi, co, co_null), noi)| Row {
            so,
            dai,
            thuc,
            ma,
            ten,
            so_null,
            ngay,
            ngay_null,
            gioi,
            co,
            co_null,
            noi,
        })
        .boxed()
}

fn context(row: &Row) -> Context<'static, 'static> {
    fn or_null(value: Option<impl Into<Value>>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
    let (tinh, cap) = row.noi.clone().map_or((None, None), |(tinh, cap)| (Some(tinh), cap));
    let noi = HashMap::from([(Key::from("ma_tinh"), or_null(tinh)), (Key::from("cap"), or_null(cap))]);
    let mut context = Context::default();
    for (name, value) in [
        ("so", Value::Int(row.so.into())),
        ("dai", Value::Int(row.dai)),
        ("thuc", Value::Float(row.thuc)),
        ("ma", row.ma.clone().into()),
        ("ten", or_null(row.ten.clone())),
        ("so_null", or_null(row.so_null.map(i64::from))),
        ("ngay", date::text(row.ngay).into()),
        ("ngay_null", or_null(row.ngay_null.map(date::text))),
        ("gioi", ["NAM", "NU"][row.gioi as usize].into()),
        ("co", row.co.into()),
        ("co_null", or_null(row.co_null)),
        ("noi", noi.into()),
    ] {
        context.add_variable_from_value(name, value);
    }
    context
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_filter_has_the_outcome_that_cel_gives_it(expr in expr(), row in row()) {
        let (schema, body) = (schema(), row.encode());
        let mut spans = Spans::new();
        schema.walk(&body, &mut spans).unwrap();
        let filter = Filter::compile(&expr.ours(), &schema).unwrap();
        let normal = Filter::compile(filter.normalised(), &schema).unwrap();

        let theirs = Program::compile(&expr.cel()).unwrap().execute(&context(&row));
        prop_assert_eq!(theirs, Ok(Value::Bool(filter.matches(&body, &spans))), "{}", expr.cel());
        prop_assert_eq!(normal.matches(&body, &spans), filter.matches(&body, &spans));
        prop_assert_eq!(normal.normalised(), filter.normalised());

        let terms = Terms::of(&expr.ours(), &str::to_owned).unwrap();
        let told = terms.outcome(&schema, &body, &spans, &mut Vec::new()).unwrap();
        prop_assert_eq!(told, filter.matches(&body, &spans), "{}", expr.ours());
    }

    /// No text breaks the compiler, and whatever it takes CEL's parser takes as well.
    #[test]
    fn what_compiles_is_cel(text in "[a-z_ .()\\[\\]!=<>&|'\"0-9,-]{0,24}|(so|ma|co|noi)( ?(==|<|in|&&|!) ?(1|\"a\"|null|\\[1\\]|co))*") {
        if Filter::compile(&text, &schema()).is_ok() {
            prop_assert!(Program::compile(&text).is_ok(), "{}", text);
        }
    }
}
