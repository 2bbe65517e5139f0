//! Who may do what at the cluster itself: the lines that its access lists are to have, as a function of the bus's own
//! lists, and what differs from them.
//!
//! An agency's system gets a line per topic of its list, literally named, and its own group names (its name, and what
//! begins with its name and a dot). A role gets what the table of [`role_rights`] says. Each line names one certificate:
//! `User:CN=h29-portal,OU=3`; a certificate that is not in force has none. The control role is a super user of the cluster
//! and needs no line. There are no denying lines, and no other lines at all: the cluster is the bus's alone.
//!
//! `docs/boundary.md` shows the same as a table.

use std::collections::{BTreeSet, HashMap};

use kenh_domain::identity::{Identity, Serial};
use kenh_domain::log::{Access, Operation};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;

use super::acl::{Kind, Line, Pattern, Right};

/// Access lists by topic.
pub type Lists = HashMap<Topic, Vec<Access>>;
/// Which certificates of a system, or of a role, are in force.
pub type Serials = HashMap<Principal, BTreeSet<Serial>>;

/// What differs between the lines that are to be and those that are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// To be, and not there: somebody is kept from what he may do.
    pub missing: Vec<Line>,
    /// There, and not to be: somebody may do what he may not, or is denied by hand.
    pub unexpected: Vec<Line>,
}

impl Drift {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }

    pub(super) fn between(wanted: &BTreeSet<Line>, found: &BTreeSet<Line>) -> Self {
        Self {
            missing: wanted.difference(found).cloned().collect(),
            unexpected: found.difference(wanted).cloned().collect(),
        }
    }
}

/// What a role other than control may do with a topic; the least that it needs.
pub fn role_rights(topic: &Topic) -> &'static [(&'static str, &'static [Right])] {
    const READ: &[Right] = &[Right::Read];
    const WRITE: &[Right] = &[Right::Write];
    const BOTH: &[Right] = &[Right::Read, Right::Write];
    match topic {
        Topic::In(..) => &[("kenh-router", READ), ("kenh-serve", WRITE)],
        Topic::Data(_) => &[("kenh-router", BOTH)],
        Topic::View(..) | Topic::Notice(_) => &[("kenh-router", WRITE)],
        Topic::Receipt(_) | Topic::DeadLetter(..) => &[("kenh-router", WRITE), ("kenh-serve", READ)],
        Topic::Control => &[("kenh-router", READ), ("kenh-serve", READ)],
        Topic::Heads => &[("kenh-router", BOTH), ("kenh-serve", READ)],
        Topic::Confirm(_) | Topic::Ledger => &[],
    }
}

/// What the access lists themselves stand in (`kenh.access`): read by those who enforce them too.
const LISTS_READERS: [&str; 2] = ["kenh-router", "kenh-serve"];
/// The router commits as `kenh.<group>`, with a transactional id of the same name.
const ROUTER: &str = "kenh-router";
const CLAIMS: &str = "kenh.";

/// A principal as the cluster names it.
fn user(system: &Principal, serial: Serial) -> String {
    format!("User:{}", Identity { system: system.clone(), serial })
}

fn line(kind: Kind, name: &str, pattern: Pattern, principal: String, right: Right) -> Line {
    Line { kind, name: name.into(), pattern, principal, host: "*".into(), right, allow: true }
}

/// One line for each certificate of a system that is in force.
fn for_each(serials: &Serials, system: &str, mut add: impl FnMut(String)) {
    let Ok(system) = system.parse::<Principal>() else { return };
    for serial in serials.get(&system).into_iter().flatten() {
        add(user(&system, *serial));
    }
}

/// The lines of one topic.
pub fn topic_lines(topic: &Topic, list: &[Access], serials: &Serials) -> BTreeSet<Line> {
    let mut out = BTreeSet::new();
    let name = topic.to_string();
    for access in list {
        let right = match access.operation {
            Operation::Read => Right::Read,
            Operation::Write => Right::Write,
        };
        for_each(serials, access.principal.as_str(), |user| {
            out.insert(line(Kind::Topic, &name, Pattern::Literal, user, right));
        });
    }
    for (role, rights) in role_rights(topic) {
        for right in *rights {
            for_each(serials, role, |user| {
                out.insert(line(Kind::Topic, &name, Pattern::Literal, user, *right));
            });
        }
    }
    out
}

/// All lines of a cluster.
pub fn all_lines(lists: &Lists, serials: &Serials) -> BTreeSet<Line> {
    let mut out: BTreeSet<Line> = lists.iter().flat_map(|(topic, list)| topic_lines(topic, list, serials)).collect();
    for role in LISTS_READERS {
        for_each(serials, role, |user| {
            out.insert(line(Kind::Topic, super::access::NAME, Pattern::Literal, user, Right::Read));
        });
    }
    for_each(serials, ROUTER, |user| {
        out.insert(line(Kind::Group, CLAIMS, Pattern::Prefixed, user.clone(), Right::Read));
        out.insert(line(Kind::TransactionalId, CLAIMS, Pattern::Prefixed, user, Right::Write));
    });
    for system in serials.keys() {
        for_each(serials, system.as_str(), |user| {
            out.insert(line(Kind::Group, system.as_str(), Pattern::Literal, user.clone(), Right::Read));
            out.insert(line(Kind::Group, &format!("{system}."), Pattern::Prefixed, user, Right::Read));
        });
    }
    out
}

/// Whether a system may have certificates. One called `kenh` would own the group names of the router's claims.
pub fn may_have_certificates(system: &Principal) -> bool {
    system.as_str() != CLAIMS.trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serials(of: &[(&str, &[u32])]) -> Serials {
        let numbers = |n: &[u32]| n.iter().map(|n| Serial::new(*n).unwrap()).collect();
        of.iter().map(|(system, n)| (system.parse().unwrap(), numbers(n))).collect()
    }

    fn access(who: &str, operation: Operation) -> Access {
        Access { principal: who.parse().unwrap(), operation }
    }

    /// The policy of the boundary, line by line: a change of it shows here.
    #[test]
    fn lines_are_what_the_lists_say_for_certificates_in_force_and_nothing_else() {
        let lists: Lists = [
            ("view.H29.dan-cu.main.1", vec![access("h29-portal", Operation::Read)]),
            ("in.dan-cu.G01", vec![access("g01-portal", Operation::Write), access("g01-old", Operation::Write)]),
            ("confirm.H29", vec![access("h29-portal", Operation::Write)]),
            ("data.dan-cu", vec![]),
            ("kenh.control", vec![]),
            ("kenh.ledger", vec![]),
        ]
        .map(|(topic, list)| (topic.parse().unwrap(), list))
        .into();
        let serials = serials(&[
            ("h29-portal", &[2, 3]),
            ("g01-portal", &[1]),
            ("g01-old", &[]),
            ("kenh-router", &[1]),
            ("kenh-serve", &[1]),
        ]);
        let said: Vec<String> = all_lines(&lists, &serials).iter().map(ToString::to_string).collect();
        let wanted = "\
User:CN=kenh-router,OU=1 may Read Topic data.dan-cu
User:CN=kenh-router,OU=1 may Write Topic data.dan-cu
User:CN=g01-portal,OU=1 may Write Topic in.dan-cu.G01
User:CN=kenh-router,OU=1 may Read Topic in.dan-cu.G01
User:CN=kenh-serve,OU=1 may Write Topic in.dan-cu.G01
User:CN=h29-portal,OU=2 may Write Topic confirm.H29
User:CN=h29-portal,OU=3 may Write Topic confirm.H29
User:CN=kenh-router,OU=1 may Read Topic kenh.access
User:CN=kenh-serve,OU=1 may Read Topic kenh.access
User:CN=kenh-router,OU=1 may Read Topic kenh.control
User:CN=kenh-serve,OU=1 may Read Topic kenh.control
User:CN=h29-portal,OU=2 may Read Topic view.H29.dan-cu.main.1
User:CN=h29-portal,OU=3 may Read Topic view.H29.dan-cu.main.1
User:CN=kenh-router,OU=1 may Write Topic view.H29.dan-cu.main.1
User:CN=g01-portal,OU=1 may Read Group g01-portal
User:CN=g01-portal,OU=1 may Read Group g01-portal.…
User:CN=h29-portal,OU=2 may Read Group h29-portal
User:CN=h29-portal,OU=2 may Read Group h29-portal.…
User:CN=h29-portal,OU=3 may Read Group h29-portal
User:CN=h29-portal,OU=3 may Read Group h29-portal.…
User:CN=kenh-router,OU=1 may Read Group kenh-router
User:CN=kenh-router,OU=1 may Read Group kenh-router.…
User:CN=kenh-router,OU=1 may Read Group kenh.…
User:CN=kenh-serve,OU=1 may Read Group kenh-serve
User:CN=kenh-serve,OU=1 may Read Group kenh-serve.…
User:CN=kenh-router,OU=1 may Write TransactionalId kenh.…";
        let mut wanted: Vec<_> = wanted.lines().collect();
        let mut said: Vec<_> = said.iter().map(String::as_str).collect();
        wanted.sort_unstable();
        said.sort_unstable();
        assert_eq!(said, wanted);
    }

    #[test]
    fn drift_goes_both_ways() {
        let lines = all_lines(&Lists::new(), &serials(&[("a", &[1]), ("b", &[1])]));
        let (wanted, found): (BTreeSet<_>, BTreeSet<_>) = lines.into_iter().partition(|l| l.name.starts_with('a'));
        let drift = Drift::between(&wanted, &found);
        assert_eq!((drift.missing.len(), drift.unexpected.len()), (2, 2));
        assert!(drift.missing.iter().all(|l| l.name.starts_with('a')));
        assert!(Drift::between(&wanted, &wanted).is_none());
    }

    #[test]
    fn nobody_is_called_as_the_claims_are() {
        assert!(!may_have_certificates(&"kenh".parse().unwrap()));
        assert!(may_have_certificates(&"kenh-router".parse().unwrap()));
    }
}
