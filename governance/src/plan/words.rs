//! What changes, in words.

use std::collections::BTreeSet;
use std::fmt::Display;

use kenh_domain::contract::{CodeList, Contract};
use kenh_domain::grant::{Grant, GrantedField, KeyForm, Mask, Term};
use kenh_domain::law::Day;

/// The last day of what ends at a moment, exclusive.
pub fn last_day(ends_ms: i64) -> String {
    Day::of(ends_ms - 1).to_string()
}

/// `no legs` → `1 leg` → `2 legs`.
pub fn count(n: usize, one: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    }
}

/// A text that changes; nothing if it does not.
pub fn text(what: &str, old: &str, new: &str, out: &mut Vec<String>) {
    if old != new {
        out.push(if old.len() + new.len() < 80 {
            format!("{what}: {old:?} → {new:?}")
        } else {
            format!("{what} is reworded")
        });
    }
}

/// Members of a set that come and go.
pub fn members<T: Display>(what: &str, old: &[T], new: &[T], out: &mut Vec<String>) {
    let set = |list: &[T]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let (old, new) = (set(old), set(new));
    let join = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let more: Vec<_> = new.difference(&old).collect();
    let less: Vec<_> = old.difference(&new).collect();
    if !more.is_empty() {
        out.push(format!("{what} + {}", join(more)));
    }
    if !less.is_empty() {
        out.push(format!("{what} − {}", join(less)));
    }
}

/// A granted field with its name and mask.
pub fn field(field: &GrantedField) -> String {
    let mut out = field.path.clone();
    if let Some(name) = &field.name {
        out = format!("{out} as {name}");
    }
    match &field.mask {
        None => out,
        Some(Mask::Null) => format!("{out} (always null)"),
        Some(Mask::Constant(_)) => format!("{out} (a constant)"),
        Some(Mask::Last(n)) => format!("{out} (last {n})"),
        Some(Mask::Year) => format!("{out} (year)"),
        Some(Mask::Hash) => format!("{out} (hash)"),
    }
}

/// What a new grant gives.
pub fn granted(grant: &Grant, ends_ms: i64) -> Vec<String> {
    let rows = grant.filter.as_ref().map_or_else(|| "all rows".to_owned(), |f| format!("rows where {f}"));
    let key = if grant.key == KeyForm::Pseudonym { ", under pseudonyms" } else { "" };
    let fields = count(grant.fields.len(), "field");
    vec![format!(
        "{} receives {fields} of {}, {rows}{key}, until {}",
        grant.recipient,
        grant.dataset,
        last_day(ends_ms)
    )]
}

/// How a grant differs.
pub fn grant(old: &Grant, new: &Grant) -> Vec<String> {
    let mut out = Vec::new();
    let list = |g: &Grant| g.fields.iter().map(field).collect::<Vec<_>>();
    members("fields", &list(old), &list(new), &mut out);
    let order = |g: &Grant| g.fields.iter().map(field).collect::<Vec<_>>();
    if out.is_empty() && order(old) != order(new) {
        out.push("its fields stand in another order".into());
    }
    text("filter", old.filter.as_deref().unwrap_or("all rows"), new.filter.as_deref().unwrap_or("all rows"), &mut out);
    if old.key != new.key {
        out.push(format!("key: {:?} → {:?}", old.key, new.key).to_lowercase());
    }
    members("systems", &old.systems, &new.systems, &mut out);
    text("purpose", &old.purpose, &new.purpose, &mut out);
    members("legal basis", &old.legal_basis, &new.legal_basis, &mut out);
    let what = match (&old.duration, &new.duration) {
        (Term::Duration(_), Term::Duration(_)) => "duration",
        _ => "how long it holds",
    };
    text(what, &old.duration.to_string(), &new.duration.to_string(), &mut out);
    out
}

/// How a contract differs.
pub fn contract(old: &Contract, new: &Contract) -> Vec<String> {
    let mut out = Vec::new();
    text("version", &old.version, &new.version, &mut out);
    if new.schemas.len() > old.schemas.len() {
        let added: Vec<String> = new.schemas[old.schemas.len()..].iter().map(|s| format!("v{}", s.version)).collect();
        out.push(format!("schema + {}", added.join(", ")));
    }
    text("owner", old.owner.as_str(), new.owner.as_str(), &mut out);
    text("description", &old.description, &new.description, &mut out);
    let providers = |c: &Contract| c.providers.iter().map(|p| p.agency.clone()).collect::<Vec<_>>();
    members("providers", &providers(old), &providers(new), &mut out);
    if providers(old) == providers(new) && old.providers != new.providers {
        out.push("the rows that providers may write".into());
    }
    for (what, same) in [
        ("where versions come from", old.version_source == new.version_source),
        ("the largest version step", old.max_version_step == new.max_version_step),
        ("whether changes may speak of the future", old.effective == new.effective),
        ("whether the data is open", old.open == new.open),
        ("whether the data is synthetic", old.synthetic == new.synthetic),
        ("who answers for it, or what it promises", old.terms == new.terms),
    ] {
        if !same {
            out.push(what.into());
        }
    }
    let paths: BTreeSet<&String> = old.fields.keys().chain(new.fields.keys()).collect();
    let rules: Vec<&str> =
        paths.into_iter().filter(|p| old.fields.get(*p) != new.fields.get(*p)).map(String::as_str).collect();
    if !rules.is_empty() {
        out.push(format!("rules of {}", rules.join(", ")));
    }
    let lists: BTreeSet<&String> = old.code_lists.keys().chain(new.code_lists.keys()).collect();
    for name in lists {
        let (old, new) = (old.code_lists.get(name), new.code_lists.get(name));
        if old == new {
            continue;
        }
        if let Some(list) = new.and_then(CodeList::dataset) {
            out.push(format!("code list {name}: the records of {}", list.dataset));
            continue;
        }
        let codes = |list: Option<&CodeList>| list.and_then(CodeList::frozen).unwrap_or_default().to_vec();
        let (old, new) = (codes(old), codes(new));
        let more = new.iter().filter(|c| old.binary_search(c).is_err()).count();
        let less = old.iter().filter(|c| new.binary_search(c).is_err()).count();
        out.push(format!("code list {name}: + {more}, − {less}"));
    }
    out
}
