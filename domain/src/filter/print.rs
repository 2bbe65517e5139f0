//! The normal form of a syntax tree: one text for equal syntax.

use std::fmt::Write as _;

use super::parse::{Constant, Expr, Field, Literal, Test};

pub(super) fn print(expr: &Expr) -> String {
    let mut out = String::new();
    put(expr, Place::Any, &mut out);
    out
}

/// What an expression stands in; decides whether it needs parentheses.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Place {
    Any,
    All,
    Not,
}

fn put(expr: &Expr, place: Place, out: &mut String) {
    let parentheses = match expr {
        Expr::Any(_) => place > Place::Any,
        Expr::All(_) => place > Place::All,
        Expr::Not(_) | Expr::Test(Test::Bare(_) | Test::StartsWith(..)) => false,
        Expr::Test(_) => place == Place::Not,
    };
    if parentheses {
        out.push('(');
    }
    match expr {
        Expr::Any(parts) => join(parts, " || ", Place::All, out),
        Expr::All(parts) => join(parts, " && ", Place::All, out),
        Expr::Not(inner) => {
            out.push('!');
            put(inner, Place::Not, out);
        }
        Expr::Test(test) => put_test(test, out),
    }
    if parentheses {
        out.push(')');
    }
}

fn join(parts: &[Expr], sign: &str, place: Place, out: &mut String) {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push_str(sign);
        }
        put(part, place, out);
    }
}

fn put_test(test: &Test, out: &mut String) {
    match test {
        Test::Bare(field) => out.push_str(&field.dotted),
        Test::Compare(field, op, literal) => {
            put_field(field, op.sign(), out);
            put_literal(literal, out);
        }
        Test::Fields(left, op, right) => {
            put_field(left, op.sign(), out);
            out.push_str(&right.dotted);
        }
        Test::In(field, list) => {
            put_field(field, "in", out);
            out.push('[');
            for (i, literal) in list.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                put_literal(literal, out);
            }
            out.push(']');
        }
        Test::StartsWith(field, text) => {
            out.push_str(&field.dotted);
            out.push_str(".startsWith(");
            put_literal(text, out);
            out.push(')');
        }
    }
}

fn put_field(field: &Field, sign: &str, out: &mut String) {
    out.push_str(&field.dotted);
    out.push(' ');
    out.push_str(sign);
    out.push(' ');
}

fn put_literal(literal: &Literal, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = match &literal.value {
        Constant::Null => write!(out, "null"),
        Constant::Bool(b) => write!(out, "{b}"),
        Constant::Int(n) => write!(out, "{n}"),
        // Debug is the shortest form that reads back as the same number, with a point or an exponent.
        Constant::Double(x) => write!(out, "{x:?}"),
        Constant::Text(text) => {
            put_text(text, out);
            Ok(())
        }
    };
}

fn put_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
