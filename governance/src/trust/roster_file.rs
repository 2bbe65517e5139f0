//! The roster as people write it: YAML, checked as strictly as every other document of declared state.
//!
//! ```yaml
//! kind: Roster
//! number: 2
//! persons:
//!   - person: nguyen-an
//!     agency: G12
//!     roles:
//!       - owner
//!       - { role: data-protection-officer, deputyFor: tran-binh, from: 2026-07-01, until: 2026-07-31 }
//!     keys:
//!       - { public: 3b6a27bc…, from: 2026-01-01 }
//! ```
//!
//! Days are days in Asia/Ho_Chi_Minh (UTC+7 all year): `from` begins with its first moment, `until` ends with its last,
//! and `revoked` holds from its first moment on. `revoked` may also be a moment (`2026-07-01T09:30:00+07:00`), since a key
//! is taken back in the middle of a day. A roster is whole: who is not in it decides nothing any more.

use std::path::Path;

use jiff::Timestamp;
use kenh_domain::date::DAY_MS;
use kenh_domain::law::Day;
use kenh_domain::trust::{Member, PersonKey, Role, Roster, Tenure};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as DeError, StrDeserializer};

use crate::declared::Problem;
use crate::declared::yaml::{Document, Fields, Kind, Node};

/// Every role, for a hint.
const ROLES: &str = "owner, data-protection-officer, recipient, registrar, legal, auditor";

/// Reads a roster file's text.
///
/// # Errors
/// Every [`Problem`] there is.
pub fn read(file: &Path, text: &str) -> Result<Roster, Vec<Problem>> {
    let mut problems = Vec::new();
    let roster = Document::parse(file, text, &mut problems).and_then(|(mut doc, node)| whole(&mut doc, &node));
    match roster {
        Some(roster) if problems.is_empty() => match roster.check() {
            Ok(()) => Ok(roster),
            Err(why) => Err(vec![Problem::of_file(file, why, "")]),
        },
        _ => {
            problems.sort();
            Err(problems)
        }
    }
}

fn whole(doc: &mut Document<'_>, node: &Node) -> Option<Roster> {
    let mut fields = doc.fields(node, "a roster")?;
    if let Some(kind) = fields.need(doc, "kind")
        && !matches!(&kind.kind, Kind::Text(text) if text == "Roster")
    {
        doc.problem(kind.at, "this is no roster", "write `kind: Roster`");
    }
    let number = fields.need(doc, "number").and_then(|n| doc.whole(n, "number", 1, u32::MAX.into()));
    let persons = fields.need(doc, "persons").and_then(|n| doc.list(n, "persons"));
    fields.finish(doc);
    let persons = persons?.iter().filter_map(|person| member(doc, person)).collect();
    Some(Roster { number: u32::try_from(number?).ok()?, persons })
}

fn member(doc: &mut Document<'_>, node: &Node) -> Option<Member> {
    let mut fields = doc.fields(node, "a person")?;
    let person = fields.need(doc, "person").and_then(|n| doc.parsed(n, "person"));
    let agency = fields.need(doc, "agency").and_then(|n| doc.parsed(n, "agency"));
    let roles = fields.need(doc, "roles").and_then(|n| doc.list(n, "roles"));
    let keys = fields.need(doc, "keys").and_then(|n| doc.list(n, "keys"));
    fields.finish(doc);
    let roles = roles?.iter().filter_map(|role| tenure(doc, role)).collect();
    let keys = keys?.iter().filter_map(|k| key(doc, k)).collect();
    Some(Member { person: person?, agency: agency?, roles, keys })
}

/// A role: its name, or its name with from, until and whom it is a deputy for.
fn tenure(doc: &mut Document<'_>, node: &Node) -> Option<Tenure> {
    if matches!(node.kind, Kind::Text(_)) {
        return Some(Tenure { role: role(doc, node)?, from_ms: 0, until_ms: None, deputy_for: None });
    }
    let mut fields = doc.fields(node, "a role")?;
    let named = fields.need(doc, "role").and_then(|n| role(doc, n));
    let deputy_for = fields.take("deputyFor").map(|n| doc.parsed(n, "deputyFor"));
    let (from_ms, until_ms) = span(doc, &mut fields);
    fields.finish(doc);
    let deputy_for = match deputy_for {
        None => None,
        Some(person) => Some(person?),
    };
    Some(Tenure { role: named?, from_ms: from_ms?, until_ms: until_ms?, deputy_for })
}

fn role(doc: &mut Document<'_>, node: &Node) -> Option<Role> {
    let text = doc.text(node, "role")?;
    let deserializer: StrDeserializer<'_, DeError> = text.as_str().into_deserializer();
    let role = Role::deserialize(deserializer).ok();
    if role.is_none() {
        doc.problem(node.at, format!("there is no role `{text}`"), format!("it may be: {ROLES}"));
    }
    role
}

fn key(doc: &mut Document<'_>, node: &Node) -> Option<PersonKey> {
    let mut fields = doc.fields(node, "a key")?;
    let public = fields.need(doc, "public").and_then(|n| doc.parsed(n, "public"));
    let (from_ms, until_ms) = span(doc, &mut fields);
    let revoked = fields.take("revoked").map(|n| moment(doc, n, "revoked"));
    fields.finish(doc);
    let revoked = match revoked {
        None => None,
        Some(at) => Some(at?),
    };
    let until_ms = [until_ms?, revoked].into_iter().flatten().min();
    Some(PersonKey { public: public?, from_ms: from_ms?, until_ms })
}

/// `from` (else always) and `until` (else for ever). None where one of them is wrong.
fn span(doc: &mut Document<'_>, fields: &mut Fields<'_>) -> (Option<i64>, Option<Option<i64>>) {
    let from = fields.take("from").map_or(Some(0), |n| day(doc, n, "from"));
    let until = match fields.take("until") {
        None => Some(None),
        Some(n) => day(doc, n, "until").map(|start| Some(start + DAY_MS)),
    };
    (from, until)
}

/// The first moment of a day, in milliseconds since 1970 (UTC).
fn day(doc: &mut Document<'_>, node: &Node, what: &str) -> Option<i64> {
    let text = doc.text(node, what)?;
    let start = start_of(&text);
    if start.is_none() {
        doc.problem(node.at, format!("{what} is no day of the calendar"), "write it as 2026-07-31");
    }
    start
}

/// A day's first moment, or a moment with its offset.
fn moment(doc: &mut Document<'_>, node: &Node, what: &str) -> Option<i64> {
    let text = doc.text(node, what)?;
    let at = start_of(&text).or_else(|| Some(text.parse::<Timestamp>().ok()?.as_millisecond()));
    if at.is_none() {
        let hint = "write a day (2026-07-31) or a moment with its offset (2026-07-31T09:30:00+07:00)";
        doc.problem(node.at, format!("{what} is neither a day nor a moment"), hint);
    }
    at
}

fn start_of(text: &str) -> Option<i64> {
    text.parse().ok().map(Day::starts_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kenh_domain::names::Person;

    const KEY: &str = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";

    fn roster(persons: &str) -> Result<Roster, Vec<Problem>> {
        read(Path::new("roster.yaml"), &format!("kind: Roster\nnumber: 2\npersons:\n{persons}"))
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn a_roster_is_read_with_days_of_viet_nam() {
        let text = format!(
            "  - person: an\n    agency: G12\n    roles: [owner]\n    keys: [{{ public: {KEY}, until: 2026-12-31, revoked: \"2026-07-01T09:30:00+07:00\" }}]\n  \
             - person: binh\n    agency: G12\n    roles: [auditor, {{ role: owner, deputyFor: an, from: 2026-07-01, until: 2026-07-31 }}]\n    keys: []\n"
        );
        let roster = roster(&text).unwrap();
        assert_eq!((roster.number, roster.persons.len()), (2, 2));
        let key = &roster.persons[0].keys[0];
        assert_eq!((key.from_ms, key.until_ms), (0, Some(at("2026-07-01T02:30:00Z"))));
        let deputy = &roster.persons[1].roles[1];
        assert_eq!(deputy.deputy_for, Some(Person::new("an").unwrap()));
        assert_eq!(deputy.from_ms, at("2026-06-30T17:00:00Z"));
        assert_eq!(deputy.until_ms, Some(at("2026-07-31T17:00:00Z")));
    }

    #[test]
    fn what_is_wrong_with_a_roster_is_told_with_its_line() {
        let person = |roles: &str, keys: &str| {
            format!("  - person: an\n    agency: G12\n    roles: [{roles}]\n    keys: [{keys}]\n")
        };
        for (text, told) in [
            (person("king", ""), "there is no role `king`"),
            (person("owner", "{ public: abc }"), "64 lower-case hexadecimal digits"),
            (person("owner", &format!("{{ public: {KEY}, until: 2026-02-30 }}")), "until is no day"),
            (person("owner", &format!("{{ public: {KEY}, revoked: today }}")), "neither a day nor a moment"),
            (person("owner", &format!("{{ public: {KEY}, expires: 2026-01-01 }}")), "no key `expires`"),
            (person("{ role: owner, deputyFor: an, until: 2026-01-01 }", ""), "who is no owner"),
            (person("{ role: owner, deputyFor: an }", ""), "without an end"),
            (person("owner", &format!("{{ public: {KEY} }}, {{ public: {KEY} }}")), "stands in the roster twice"),
            ("  - person: an\n    agency: G12\n    keys: []\n".into(), "lacks `roles`"),
            ("  - an\n".into(), "a person is text"),
        ] {
            let problems = roster(&text).unwrap_err();
            assert!(problems.iter().any(|p| p.message.contains(told)), "{text}: {problems:?}");
        }
        assert!(read(Path::new("r.yaml"), "kind: Agency\nnumber: 1\npersons: []\n").is_err());
    }
}
