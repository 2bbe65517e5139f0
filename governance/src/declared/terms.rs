//! What a contract says to people, from the places that ODCS has for it; [`Terms`](kenh_domain::contract::Terms) is what the bus keeps of it.
//!
//! | | in the contract |
//! |---|---|
//! | owner | `team.name`, an agency; its persons: `team.members` with role `owner` |
//! | data-protection officer | `team.members` with role `data-protection-officer` |
//! | contact | `support` |
//! | purpose | `description.purpose` |
//! | data group | `domain` |
//! | the law it stands on | `authoritativeDefinitions` of type `law`; the description is the article |
//! | update duty | `slaProperties`: `frequency` |
//! | retention | `slaProperties`: `retention`, with an authoritative definition of type `law` of its own |
//! | share-back | `customProperties`: `kenh.shareBack`, `originated` and `territory` |
//! | passing on | `customProperties`: `kenh.onward`: `none`, `ask` or `free` |
//!
//! None of it is asked at admission or by the router. What is written wrongly is a problem all the same: a duty that
//! nobody can read is none.

use kenh_domain::contract::{Contact, Onward, Period, PeriodUnit, Person, Retention, ShareBack};
use kenh_domain::names::Agency;

use super::yaml::{Document, Kind, Node};

/// The role of a member who speaks for the owner.
pub const OWNER: &str = "owner";
/// The role of a member who answers for personal data.
pub const DATA_PROTECTION: &str = "data-protection-officer";

/// The type of an authoritative definition that is an article of law.
const LAW: &str = "law";

/// Longest period, in its unit; longer ones are mistyped.
const MAX_COUNT: i64 = 10_000;

/// ODCS's team: the agency that answers for the contract, its owners and its data-protection officers.
pub fn team(doc: &mut Document<'_>, node: &Node) -> (Option<Agency>, Vec<Person>, Vec<Person>) {
    let (mut owners, mut officers) = (Vec::new(), Vec::new());
    let Some(mut fields) = doc.fields(node, "the team of a contract") else { return (None, owners, officers) };
    let name = fields.need(doc, "name").and_then(|n| doc.parsed(n, "the team's name, which is the owning agency"));
    let members = fields.take("members").and_then(|n| doc.list(n, "the members of the team")).unwrap_or_default();
    fields.also(&["id", "description", "tags", "customProperties", "authoritativeDefinitions"]);
    fields.finish(doc);
    for node in members {
        let Some(mut member) = doc.fields(node, "a member of the team") else { continue };
        let id = member.need(doc, "username").and_then(|n| doc.text(n, "the username of a member"));
        let name = member.take("name").and_then(|n| doc.text(n, "the name of a member")).unwrap_or_default();
        let role = member.take("role").and_then(|n| doc.text(n, "the role of a member"));
        let left = member.take("dateOut").is_some();
        member.also(&["id", "description", "dateIn", "replacedByUsername", "tags", "customProperties"]);
        member.also(&["authoritativeDefinitions"]);
        member.finish(doc);
        let (Some(id), false) = (id, left) else { continue };
        let list = match role.as_deref() {
            Some(OWNER) => &mut owners,
            Some(DATA_PROTECTION) => &mut officers,
            _ => continue,
        };
        if list.iter().any(|p: &Person| p.id == id) {
            doc.problem(node.at, format!("{id} is named twice in this role"), "keep one of the two");
        } else {
            list.push(Person { id, name });
        }
    }
    (name, owners, officers)
}

/// ODCS's support channels.
pub fn contacts(doc: &mut Document<'_>, node: &Node) -> Vec<Contact> {
    let mut out = Vec::new();
    for item in doc.list(node, "support").unwrap_or_default() {
        let Some(mut fields) = doc.fields(item, "a support channel") else { continue };
        let channel = fields.need(doc, "channel").and_then(|n| doc.text(n, "the name of a support channel"));
        let url = fields.take("url").and_then(|n| {
            let url = doc.text(n, "the url of a support channel")?;
            if !["https://", "http://", "mailto:", "tel:"].iter().any(|scheme| url.starts_with(scheme)) {
                let hint = "write https://…, mailto:… or tel:…";
                doc.problem(n.at, "the url of a support channel is no address that a page may link to", hint);
                return None;
            }
            Some(url)
        });
        fields.also(&["id", "description", "tool", "scope", "invitationUrl", "customProperties"]);
        fields.finish(doc);
        out.extend(channel.map(|channel| Contact { channel, url: url.unwrap_or_default() }));
    }
    out
}

/// The articles among authoritative definitions: the description of each of type `law`.
pub fn articles(doc: &mut Document<'_>, node: &Node) -> Vec<String> {
    let mut out = Vec::new();
    for item in doc.list(node, "authoritativeDefinitions").unwrap_or_default() {
        let Some(mut fields) = doc.fields(item, "an authoritative definition") else { continue };
        let kind = fields.need(doc, "type").and_then(|n| doc.text(n, "the type of an authoritative definition"));
        let _ = fields.need(doc, "url").and_then(|n| doc.text(n, "the url of an authoritative definition"));
        let description = fields.take("description").and_then(|n| doc.text(n, "the description of a definition"));
        fields.also(&["id"]);
        fields.finish(doc);
        if kind.as_deref() != Some(LAW) {
            continue;
        }
        match description.filter(|d| !d.trim().is_empty()) {
            Some(article) => out.push(article),
            None => doc.problem(item.at, "this law has no description", "name the law and the article in it"),
        }
    }
    out
}

/// Update duty and retention among the service levels; others are for people.
pub fn service_levels(doc: &mut Document<'_>, node: &Node) -> (Option<Period>, Option<Retention>) {
    let (mut update, mut retention) = (None, None);
    for item in doc.list(node, "slaProperties").unwrap_or_default() {
        let Some(mut fields) = doc.fields(item, "a service level") else { continue };
        let property = fields.need(doc, "property").and_then(|n| doc.text(n, "the property of a service level"));
        let value = fields.need(doc, "value");
        let unit = fields.take("unit");
        let law = fields.take("authoritativeDefinitions").map(|n| articles(doc, n)).unwrap_or_default();
        fields.also(&["id", "valueExt", "element", "driver", "description", "scheduler", "schedule"]);
        fields.also(&["customProperties"]);
        fields.finish(doc);
        let known = match property.as_deref() {
            Some("frequency") => update.is_some(),
            Some("retention") => retention.is_some(),
            _ => continue,
        };
        if known {
            doc.problem(item.at, "this service level is given twice", "keep one of the two");
            continue;
        }
        let Some(period) = value.and_then(|value| period(doc, item, value, unit)) else { continue };
        if property.as_deref() == Some("frequency") {
            update = Some(period);
            continue;
        }
        match law.into_iter().next() {
            Some(article) => retention = Some(Retention { period, article }),
            None => doc.problem(
                item.at,
                "the retention names no article",
                "add authoritativeDefinitions: [{type: law, url: …, description: the law and its article}]",
            ),
        }
    }
    (update, retention)
}

/// ODCS writes units as words or letters; `m`, which is a minute to some and a month to others, is not taken.
fn period(doc: &mut Document<'_>, item: &Node, value: &Node, unit: Option<&Node>) -> Option<Period> {
    let count = doc.whole(value, "the value of this service level", 1, MAX_COUNT)?;
    let Some(unit) = unit else {
        doc.problem(item.at, "this service level has no unit", "write unit: h, d, mo or y");
        return None;
    };
    let text = doc.text(unit, "the unit of a service level")?;
    let unit = match text.as_str() {
        "h" | "hour" | "hours" => PeriodUnit::Hour,
        "d" | "day" | "days" => PeriodUnit::Day,
        "mo" | "month" | "months" => PeriodUnit::Month,
        "y" | "yr" | "year" | "years" => PeriodUnit::Year,
        other => {
            doc.problem(unit.at, format!("the unit {other:?} is not known"), "write h, d, mo or y");
            return None;
        }
    };
    Some(Period { count: u32::try_from(count).ok()?, unit })
}

/// `kenh.shareBack`.
pub fn share_back(doc: &mut Document<'_>, node: &Node) -> Option<ShareBack> {
    let mut fields = doc.fields(node, "kenh.shareBack")?;
    let originated = fields.take("originated").and_then(|n| doc.boolean(n, "`originated` of kenh.shareBack"));
    let territory = fields.take("territory").map(|n| doc.text(n, "the territory of kenh.shareBack"));
    fields.finish(doc);
    let territory = match territory {
        // A territory that cannot be read must not turn into none, nor into all.
        Some(None) => return None,
        Some(Some(path)) => Some(path),
        None => None,
    };
    let out = ShareBack { originated: originated.unwrap_or_default(), territory };
    if !out.originated && out.territory.is_none() {
        doc.problem(node.at, "kenh.shareBack gives nothing back", "set originated: true, territory: FIELD, or drop it");
        return None;
    }
    Some(out)
}

/// `kenh.onward`.
pub fn onward(doc: &mut Document<'_>, node: &Node) -> Option<Onward> {
    match &node.kind {
        Kind::Text(text) if text == "none" => Some(Onward::None),
        Kind::Text(text) if text == "ask" => Some(Onward::Ask),
        Kind::Text(text) if text == "free" => Some(Onward::Free),
        _ => {
            doc.problem(
                node.at,
                format!("kenh.onward is {}, and none of its words", node.what()),
                "write none, ask or free",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declared::read;
    use crate::testing::Declaration;

    const FULL: &str = "team:
  name: A
  members:
    - {username: lan, name: Lan, role: owner}
    - {username: minh, role: data-protection-officer}
    - {username: hoa, role: data-protection-officer, dateOut: 2025-01-01}
    - {username: tu, role: developer}
support: [{channel: Help, url: 'mailto:help@example.gov.vn'}]
domain: trial
authoritativeDefinitions:
  - {type: law, url: 'https://example.gov.vn/1', description: 'Law 1, Article 2'}
  - {type: tutorial, url: 'https://example.gov.vn/2'}
slaProperties:
  - {property: frequency, value: 1, unit: d}
  - {property: retention, value: 5, unit: y, authoritativeDefinitions: [{type: law, url: 'https://example.gov.vn/3', description: 'Law 3, Article 4'}]}
  - {property: latency, value: 4, unit: d}
customProperties:
  - {property: kenh.shareBack, value: {originated: true, territory: Tinh}}
  - {property: kenh.onward, value: none}
";

    fn declared(edit: (&str, &str)) -> Declaration {
        let files = Declaration::new();
        assert!(FULL.contains(edit.0), "{:?} is in no place", edit.0);
        files.edit("thu/contract.yaml", "team: {name: A}\n", &FULL.replacen(edit.0, edit.1, 1));
        files
    }

    #[test]
    fn each_of_them_is_read_from_its_place() {
        let files = declared(("", ""));
        let terms = files.read().contracts[0].value.contract.terms.clone();
        let person = |id: &str, name: &str| Person { id: id.into(), name: name.into() };
        assert_eq!(terms.owners, [person("lan", "Lan")]);
        assert_eq!(terms.data_protection, [person("minh", "")]);
        let url = "mailto:help@example.gov.vn".into();
        assert_eq!(terms.contacts, [Contact { channel: "Help".into(), url }]);
        assert_eq!(terms.group.as_deref(), Some("trial"));
        assert_eq!(terms.articles, ["Law 1, Article 2"]);
        assert_eq!(terms.update_within, Some(Period { count: 1, unit: PeriodUnit::Day }));
        let period = Period { count: 5, unit: PeriodUnit::Year };
        assert_eq!(terms.retention, Some(Retention { period, article: "Law 3, Article 4".into() }));
        assert_eq!(terms.share_back, Some(ShareBack { originated: true, territory: Some("Tinh".into()) }));
        assert_eq!(terms.onward, Some(Onward::None));
    }

    #[test]
    fn what_is_written_wrongly_is_a_problem() {
        for (from, to, says) in [
            ("value: 5, unit: y, auth", "value: 5, unit: m, auth", "the unit \"m\" is not known"),
            ("value: 5, unit: y, auth", "value: 0, unit: y, auth", "is 0, not 1 to 10000"),
            (
                "unit: d}\n  - {property: ret",
                "unit: d}\n  - {property: frequency, value: 1, unit: d}\n  - {property: ret",
                "given twice",
            ),
            (
                "[{type: law, url: 'https://example.gov.vn/3', description: 'Law 3, Article 4'}]",
                "[]",
                "the retention names no article",
            ),
            (", description: 'Law 1, Article 2'", "", "this law has no description"),
            ("mailto:", "javascript:", "is no address that a page may link to"),
            ("territory: Tinh", "territory: Tin", "which is no field"),
            ("territory: Tinh", "territory: Tuoi", "which is no text"),
            ("originated: true, territory: Tinh", "originated: false", "gives nothing back"),
            ("value: none", "value: never", "none of its words"),
            ("username: minh", "user: minh", "no key `user`"),
        ] {
            let files = declared((from, to));
            let problems = read(&[files.path().to_owned()]).expect_err(to);
            assert!(problems.iter().any(|p| p.message.contains(says)), "{to}: {problems:#?}");
            assert!(problems.iter().all(|p| p.at.is_some()), "{to}: {problems:#?}");
        }
    }

    #[test]
    fn an_open_dataset_has_no_secret_field_and_what_lies_within_one_is_secret() {
        let files = Declaration::new();
        let open = "customProperties: [{property: kenh.open, value: true}]\nschema:";
        files.edit("thu/contract.yaml", "schema:", open);
        files.edit("thu/contract.yaml", "kenh.pii, value: basic", "kenh.secret, value: true");
        let problems = read(&[files.path().to_owned()]).unwrap_err();
        assert!(problems[0].message.contains("Ten is secret"), "{problems:#?}");
    }
}
