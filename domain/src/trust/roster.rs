//! The roster: which persons there are, what they may decide for which agency, and with which keys they sign.
//!
//! A roster is whole: a later one takes the place of the one before. It is signed by the root, which is kept offline; a
//! person may change their own key with a signature of the old and of the new one ([`ControlEvent::Rotation`]).
//!
//! [`ControlEvent::Rotation`]: crate::control::ControlEvent::Rotation

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::PublicKey;
use crate::limits::{MAX_KEYS, MAX_PERSONS};
use crate::names::{Agency, Person};

/// What a person may decide for their agency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Answers for its datasets: contracts, grants, revocations.
    Owner,
    /// The agency's data-protection officer (Luật 91/2025/QH15): the second signature on contracts and grants.
    DataProtectionOfficer,
    /// Takes up, and gives up, what the agency may receive.
    Recipient,
    /// Records which agencies there are, and their systems.
    Registrar,
    /// Keeps the articles of law.
    Legal,
    /// Reads; decides nothing.
    Auditor,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::DataProtectionOfficer => "data-protection-officer",
            Self::Recipient => "recipient",
            Self::Registrar => "registrar",
            Self::Legal => "legal",
            Self::Auditor => "auditor",
        })
    }
}

/// A role that a person has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Tenure {
    /// Which.
    pub role: Role,
    /// From when: milliseconds since 1970 (UTC), inclusive.
    #[serde(default)]
    pub from_ms: i64,
    /// Until when, exclusive; a deputy's always ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// Whose deputy they are in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deputy_for: Option<Person>,
}

/// A key of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PersonKey {
    /// The public half.
    pub public: PublicKey,
    /// From when: milliseconds since 1970 (UTC), inclusive.
    #[serde(default)]
    pub from_ms: i64,
    /// Until when, exclusive: it ran out, was replaced, or is revoked from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Member {
    /// Their name on the bus.
    pub person: Person,
    /// Whom they act for.
    pub agency: Agency,
    /// What they may decide.
    pub roles: Vec<Tenure>,
    /// What they sign with.
    pub keys: Vec<PersonKey>,
}

impl Member {
    /// Whether they have the role at a moment.
    #[must_use]
    pub fn has(&self, role: Role, at_ms: i64) -> bool {
        self.roles.iter().any(|t| t.role == role && within(t.from_ms, t.until_ms, at_ms))
    }

    /// Whether they may sign with the key at a moment.
    #[must_use]
    pub fn signs_with(&self, key: &PublicKey, at_ms: i64) -> bool {
        self.keys.iter().any(|k| &k.public == key && within(k.from_ms, k.until_ms, at_ms))
    }
}

fn within(from_ms: i64, until_ms: Option<i64>, at_ms: i64) -> bool {
    from_ms <= at_ms && until_ms.is_none_or(|until| at_ms < until)
}

/// Everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Roster {
    /// 1, 2, …; rises with each.
    pub number: u32,
    /// The persons, each once.
    pub persons: Vec<Member>,
}

impl Roster {
    /// Whether it is one: each person and each key once, deputies time-boxed and for somebody who has the role.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.persons.len() > MAX_PERSONS {
            return Err(format!("a roster of {} persons; at most {MAX_PERSONS}", self.persons.len()));
        }
        let mut keys = BTreeSet::new();
        let mut roles: BTreeMap<&Person, BTreeSet<Role>> = BTreeMap::new();
        for member in &self.persons {
            let own = member.roles.iter().filter(|t| t.deputy_for.is_none()).map(|t| t.role).collect();
            if roles.insert(&member.person, own).is_some() {
                return Err(format!("person {} stands in the roster twice", member.person));
            }
            if member.keys.len() > MAX_KEYS {
                return Err(format!(
                    "{} would have {} keys; a person has at most {MAX_KEYS}",
                    member.person,
                    member.keys.len()
                ));
            }
            if let Some(key) = member.keys.iter().find(|k| !keys.insert(k.public)) {
                return Err(format!("key {} of {} stands in the roster twice", key.public, member.person));
            }
        }
        for member in &self.persons {
            for tenure in &member.roles {
                let (person, role) = (&member.person, tenure.role);
                let Some(principal) = &tenure.deputy_for else { continue };
                if tenure.until_ms.is_none() {
                    return Err(format!("{person} is deputy {role} without an end"));
                }
                if principal == person || !roles.get(principal).is_some_and(|own| own.contains(&role)) {
                    return Err(format!("{person} is deputy {role} for {principal}, who is no {role}"));
                }
            }
        }
        Ok(())
    }

    /// Whether it may come after `old`: of whoever stays it knows every key, none of which ends later than was said. So
    /// that a roster written before a rotation does not take the new key back and the old one up again.
    ///
    /// # Errors
    /// What it leaves out, in words.
    pub fn follows(&self, old: &Self) -> Result<(), String> {
        for member in &self.persons {
            for key in old.member(&member.person).map(|m| m.keys.as_slice()).unwrap_or_default() {
                let (person, public) = (&member.person, key.public);
                let Some(now) = member.keys.iter().find(|k| k.public == public) else {
                    return Err(format!(
                        "roster {} leaves out the key {public} of {person}; list it with its end",
                        self.number
                    ));
                };
                let later = key.until_ms.is_some_and(|ended| now.until_ms.is_none_or(|until| until > ended));
                if later {
                    return Err(format!(
                        "roster {} takes up the key {public} of {person} again, which has an end; give them a new one",
                        self.number
                    ));
                }
            }
        }
        Ok(())
    }

    /// A person.
    #[must_use]
    pub fn member(&self, person: &Person) -> Option<&Member> {
        self.persons.iter().find(|m| &m.person == person)
    }

    /// Who has a role for an agency at a moment.
    pub fn holders<'a>(&'a self, agency: &'a Agency, role: Role, at_ms: i64) -> impl Iterator<Item = &'a Member> + 'a {
        self.persons.iter().filter(move |m| &m.agency == agency && m.has(role, at_ms))
    }
}
