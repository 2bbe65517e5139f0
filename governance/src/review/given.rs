//! What a grant gives that may not be given, by itself or beside what its recipient holds: in the same words for a review,
//! which blocks, and for planning, which refuses.

use kenh_domain::contract::{Contract, Pii};
use kenh_domain::element::Element;
use kenh_domain::grant::{Grant, KeyForm, Mask};

use super::{Finding, Findings, Severity, Words, class_of};

/// Sensitive and secret fields that are given as they are.
pub fn classes(contract: &Contract, grant: &Grant) -> Findings {
    let mut found = Findings::default();
    for field in &grant.fields {
        let (pii, secret) = class_of(contract, &field.path);
        let hidden = matches!(field.mask, Some(Mask::Null | Mask::Constant(_)));
        if secret && !hidden {
            let says = Words::new("it is secret, and is given unmasked", "trường mật nhưng được cấp không che");
            found.find(Severity::Blocks, "secret-field", &field.path, says);
        }
        if pii == Pii::Sensitive && !hidden {
            let says = Words::new("sensitive personal data", "dữ liệu cá nhân nhạy cảm");
            found.find(Severity::Attention, "sensitive-field", &field.path, says);
        }
    }
    found
}

/// Those that no grant gives, whoever approves it.
pub fn secret(contract: &Contract, grant: &Grant) -> impl Iterator<Item = Finding> {
    classes(contract, grant).0.into_iter().filter(|found| found.code == "secret-field")
}

/// Whether a grant and `others`, which are its recipient's other views with their contracts, taken together undo a
/// pseudonym.
pub fn linked<'a>(
    contract: &Contract,
    grant: &Grant,
    others: impl IntoIterator<Item = (&'a Contract, &'a Grant)>,
) -> Findings {
    let mut found = Findings::default();
    if grant.key == KeyForm::Pseudonym
        && let Some(path) = clear(contract, grant)
    {
        let says = Words::new(
            "the key is a pseudonym, and this field says who it is",
            "khóa là mã giả danh nhưng trường này cho biết đó là ai",
        );
        found.find(Severity::Blocks, "pseudonym-undone", path, says);
    }
    if contract.personal() {
        for (of, other) in others {
            beside(contract, grant, of, other, &mut found);
        }
    }
    found
}

fn beside(contract: &Contract, grant: &Grant, of: &Contract, other: &Grant, found: &mut Findings) {
    let (this, that) = (names(contract, grant), names(of, other));
    let (recipient, id, dataset) = (&grant.recipient, &other.id, &other.dataset);
    if other.dataset == grant.dataset && this != that {
        let en = format!(
            "{recipient} holds the same people under grant {id}: one with a pseudonym, the other in clear; together they undo it"
        );
        let vi = format!(
            "{recipient} đang giữ cùng những người này theo văn bản {id}: một bên giả danh, một bên rõ danh tính; ghép lại sẽ lộ danh tính"
        );
        found.find(Severity::Blocks, "pseudonym-beside-clear", "", Words::new(en, vi));
    } else if other.dataset != grant.dataset && this != that && same_people(contract, of) {
        let en = format!(
            "{recipient} holds the same people in {dataset} under grant {id}, by the same identifier: one with a pseudonym, the other in clear; together they undo it"
        );
        let vi = format!(
            "{recipient} đang giữ cùng những người này trong {dataset} theo văn bản {id}, với cùng loại số định danh: một bên giả danh, một bên rõ danh tính; ghép lại sẽ lộ danh tính"
        );
        found.find(Severity::Blocks, "pseudonym-beside-clear", "", Words::new(en, vi));
    } else if other.dataset == grant.dataset && !this && !that && other.purpose != grant.purpose {
        let en = format!("grant {id} shows the same people under other pseudonyms; fields in both may link them");
        let vi = format!(
            "văn bản {id} cho thấy cùng những người này dưới mã giả danh khác; các trường trùng nhau có thể liên kết họ"
        );
        found.find(Severity::Attention, "two-pseudonyms", "", Words::new(en, vi));
    } else if other.dataset != grant.dataset
        && !this
        && of.personal()
        && clear(of, other).is_some_and(|path| gives_ids(of, path))
    {
        let en =
            format!("grant {id} gives personal IDs of {dataset}; shared fields may tell who is behind a pseudonym");
        let vi = format!(
            "văn bản {id} cung cấp số định danh của {dataset}; các trường chung có thể làm lộ người đứng sau mã giả danh"
        );
        found.find(Severity::Attention, "linkable", "", Words::new(en, vi));
    }
}

fn element(contract: &Contract, path: &str) -> Option<Element> {
    contract.fields.get(path)?.element.as_deref()?.parse().ok()
}

/// Whether a granted path is, or holds, another one.
fn covers(granted: &str, path: &str) -> bool {
    path.strip_prefix(granted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether what lies at a granted path is, or holds, a personal ID.
fn gives_ids(contract: &Contract, granted: &str) -> bool {
    let id = |path: &&String| element(contract, path) == Some(Element::PersonalId);
    contract.fields.keys().filter(id).any(|path| covers(granted, path))
}

/// The first field, if any, that a grant gives as it is and that says who a record is about.
fn clear<'a>(contract: &Contract, grant: &'a Grant) -> Option<&'a str> {
    let says = |granted: &str| contract.key.iter().any(|path| covers(granted, path)) || gives_ids(contract, granted);
    grant.fields.iter().find(|f| f.mask.is_none() && says(&f.path)).map(|f| f.path.as_str())
}

/// Whether a grant says who its records are about.
fn names(contract: &Contract, grant: &Grant) -> bool {
    grant.key == KeyForm::Clear || clear(contract, grant).is_some()
}

/// Whether the records of both datasets are found by the same identifier of a person.
fn same_people(a: &Contract, b: &Contract) -> bool {
    let ids = |c: &Contract| -> Vec<Element> {
        let of_person = |e: &Element| {
            matches!(
                e,
                Element::PersonalId | Element::OldIdCard | Element::SocialInsuranceNo | Element::HealthInsuranceCard
            )
        };
        c.key.iter().filter_map(|path| element(c, path)).filter(of_person).collect()
    };
    let theirs = ids(b);
    ids(a).iter().any(|id| theirs.contains(id))
}
