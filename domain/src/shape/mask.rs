//! Masks: which types they are for, what they give, and their bytes.

use std::io::Write as _;

use crate::date;
use crate::grant::Mask;
use crate::key::put_pseudonym;
use crate::schema::{NullBranch, Type, Value, put_long};
use crate::secret::Secret;

use super::view::nullable;

/// What to call it in a message: as the grant's document writes it.
pub(super) const fn name(mask: &Mask) -> &'static str {
    match mask {
        Mask::Null => "null",
        Mask::Constant(_) => "constant",
        Mask::Last(_) => "last",
        Mask::Year => "year",
        Mask::Hash => "hash",
    }
}

/// Whether it is for fields of this type; if not, what to use instead.
pub(super) fn fits(mask: &Mask, ty: &Type) -> Result<(), &'static str> {
    match (mask, ty.inner()) {
        (Mask::Null | Mask::Constant(_), _) => Ok(()),
        (Mask::Last(0), _) => Err("last 0 shows nothing: use constant or null"),
        (Mask::Last(_), Type::Text | Type::Uuid) => Ok(()),
        (Mask::Last(_), _) => Err("it is for strings"),
        (Mask::Year, Type::Date | Type::Text) => Ok(()),
        (Mask::Year, _) => Err("it is for dates, and for strings that are dates"),
        (Mask::Hash, Type::Text | Type::Uuid | Type::Enum(_) | Type::Int | Type::Long | Type::Date) => Ok(()),
        (Mask::Hash, _) => Err("it is for strings, enums, whole numbers and dates"),
    }
}

/// What it gives for a field of this type that `may_be_null`.
pub(super) fn output(mask: &Mask, ty: &Type, may_be_null: bool) -> Type {
    let out = match mask {
        Mask::Null => return nullable(ty),
        Mask::Constant(_) | Mask::Last(_) | Mask::Hash => Type::Text,
        Mask::Year => Type::Int,
    };
    if gives_null(mask, ty, may_be_null) { nullable(&out) } else { out }
}

/// Whether it may give null (or is declared so) for a field of this type that `may_be_null`: a text that should be a
/// date may be none.
pub(super) fn gives_null(mask: &Mask, ty: &Type, may_be_null: bool) -> bool {
    may_be_null || matches!(mask, Mask::Null) || (matches!(mask, Mask::Year) && *ty.inner() == Type::Text)
}

/// Appends what `mask` makes of `value`; `null` says where null is in the view's type, if it is. Masks but
/// [`Mask::Null`], which is a constant of the view's type.
pub(super) fn put(mask: &Mask, value: Value<'_>, null: Option<NullBranch>, secret: Option<&Secret>, out: &mut Vec<u8>) {
    let start = out.len();
    if let Some(null) = null {
        out.push(null.value_byte());
    }
    let done = match (mask, value) {
        // Always: that a value is null is hidden too.
        (Mask::Constant(text), _) => put_text(text, out),
        (Mask::Last(count), Value::Text(text)) => put_text(last(text, *count), out),
        (Mask::Year, Value::Date(days)) => put_number(date::year(days).into(), out),
        (Mask::Year, Value::Text(text)) => year(text).and_then(|year| put_number(year, out)),
        (Mask::Hash, value) => secret.and_then(|secret| put_hash(secret, value, out)),
        _ => None,
    };
    if done.is_none() {
        out.truncate(start);
        // A view's field without null is compiled only where this cannot happen.
        debug_assert!(null.is_some(), "a mask gave null where the view has none");
        out.extend(null.map(NullBranch::null_byte));
    }
}

/// The last `count` characters (Unicode scalar values); all of a shorter text.
fn last(text: &str, count: u32) -> &str {
    let skip = count.checked_sub(1).and_then(|n| text.char_indices().rev().nth(n as usize));
    skip.and_then(|(at, _)| text.get(at..)).unwrap_or(text)
}

/// The year of `YYYY-MM-DD`, and of the shorter forms of dates of birth, `YYYY-MM` and `YYYY`.
fn year(text: &str) -> Option<i64> {
    let mut whole = *b"0000-01-01";
    let text = text.as_bytes();
    if !matches!(text.len(), 4 | 7 | 10) {
        return None;
    }
    whole.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    date::parse(std::str::from_utf8(&whole).ok()?).map(|days| date::year(days).into())
}

/// The hash of a value's text: a text as it is, a whole number in decimal, a date as `YYYY-MM-DD`: as a record key of
/// that one field would be written, so that its pseudonym for the same recipient and purpose is the same.
fn put_hash(secret: &Secret, value: Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    const CHARACTERS: i64 = 22;
    let start = out.len();
    match value {
        Value::Text(text) => {
            put_long(CHARACTERS, out);
            put_pseudonym(secret, text.as_bytes(), out);
            return Some(());
        }
        // The text goes to the end of `out` for a moment, so that nothing is allocated. Writing to a Vec cannot fail.
        Value::Int(n) => write!(out, "{n}").ok()?,
        Value::Date(days) => date::put_text(days, out),
        _ => return None,
    }
    let mut hashed = [0; 22];
    crate::key::pseudonym_into(secret, out.get(start..)?, &mut hashed);
    out.truncate(start);
    put_long(CHARACTERS, out);
    out.extend_from_slice(&hashed);
    Some(())
}

fn put_text(text: &str, out: &mut Vec<u8>) -> Option<()> {
    put_long(i64::try_from(text.len()).ok()?, out);
    out.extend_from_slice(text.as_bytes());
    Some(())
}

fn put_number(number: i64, out: &mut Vec<u8>) -> Option<()> {
    put_long(number, out);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_counts_characters_and_not_bytes() {
        for (text, count, want) in
            [("0912345678", 4, "5678"), ("Nguyễn Ánh", 3, "Ánh"), ("ab", 5, "ab"), ("", 1, ""), ("đ", 1, "đ")]
        {
            assert_eq!(last(text, count), want);
        }
    }

    #[test]
    fn the_year_of_a_text_is_that_of_a_real_date_only() {
        for (text, want) in [
            ("1980-05-17", Some(1980)),
            ("1980-05", Some(1980)),
            ("1980", Some(1980)),
            ("0044-03-15", Some(44)),
            ("1980-02-30", None),
            ("17/05/1980", None),
            ("198", None),
            ("", None),
            ("năm", None),
        ] {
            assert_eq!(year(text), want, "{text}");
        }
    }
}
