//! Which records of a signed control log count, as sets and ifs, written from `docs/signatures.md` and `docs/reviews.md`
//! alone: it knows no type and calls no function of what it is compared with. For every record it names *all* that is
//! wrong with it; the fold names one of these.

use std::collections::{BTreeMap, BTreeSet};

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;

/// A person or an agency.
pub type Name = &'static str;
/// A key pair, by the seed of its private half.
pub type Key = u8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Owner,
    Officer,
    Recipient,
    Registrar,
    Legal,
    Auditor,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Tenure {
    pub role: Role,
    pub from: i64,
    pub until: Option<i64>,
    pub deputy_for: Option<Name>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PersonKey {
    pub key: Key,
    pub from: i64,
    pub until: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    pub name: Name,
    pub agency: Name,
    pub roles: Vec<Tenure>,
    pub keys: Vec<PersonKey>,
}

impl Person {
    fn has(&self, role: Role, at: i64) -> bool {
        self.roles.iter().any(|t| t.role == role && t.from <= at && t.until.is_none_or(|until| at < until))
    }

    /// Owner or data-protection officer.
    fn decides(&self, at: i64) -> bool {
        self.has(Role::Owner, at) || self.has(Role::Officer, at)
    }

    pub fn signs(&self, key: Key, at: i64) -> bool {
        self.keys.iter().any(|k| k.key == key && k.from <= at && k.until.is_none_or(|until| at < until))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Roster {
    pub number: u32,
    pub persons: Vec<Person>,
}

impl Roster {
    pub fn person(&self, name: Name) -> Option<&Person> {
        self.persons.iter().find(|p| p.name == name)
    }

    fn wrong(&self) -> BTreeSet<Why> {
        let mut why = BTreeSet::new();
        let keys: Vec<Key> = self.persons.iter().flat_map(|p| &p.keys).map(|k| k.key).collect();
        let names: BTreeSet<Name> = self.persons.iter().map(|p| p.name).collect();
        if names.len() < self.persons.len() || keys.iter().collect::<BTreeSet<_>>().len() < keys.len() {
            why.insert(Why::Refused("stands in the roster twice"));
        }
        for person in &self.persons {
            for tenure in &person.roles {
                let Some(principal) = tenure.deputy_for else { continue };
                if tenure.until.is_none() {
                    why.insert(Why::Refused("without an end"));
                }
                let own = |t: &Tenure| t.role == tenure.role && t.deputy_for.is_none();
                let has = self.person(principal).is_some_and(|p| p.roles.iter().any(own));
                if principal == person.name || !has {
                    why.insert(Why::Refused("who is no"));
                }
            }
        }
        why
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    pub version: u8,
    pub owner: Name,
    pub personal: bool,
}

/// A grant of the one dataset to agency B.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    pub id: u8,
    pub view: u8,
    pub shape: u8,
    pub emergency: bool,
    pub template: bool,
    /// The most days that its duration can be, its last one not counted.
    pub days: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    Contract(Contract),
    Grant(Grant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Approve,
    Refuse,
    TakeUp,
    Advise,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Revoked,
    Suspended,
    Ended,
    Superseded,
    Expired,
    Law,
}

#[derive(Debug, Clone)]
pub enum Event {
    Genesis,
    Roster(Roster),
    Root(Key),
    Spare(Key),
    Rotation { person: Name, from: Key, to: Key },
    Agency { role_as_system: bool },
    Law { last_day: Option<i64> },
    Schema { text: u8 },
    Proposal { id: u8, document: Document, author: Name, deadline: i64 },
    Vote { proposal: u8, document: Document, right_page: bool, person: Name, verdict: Verdict, reason: bool },
    Contract { contract: Contract, own_schemas: bool },
    Grant { grant: Grant, view_no: u32, edition: u32, start: i64, end: i64, own_label: bool },
    Renewal { view_no: u32, grant: Grant, end: i64 },
    End { view_no: u32, reason: Reason },
    Epoch { provider: Name, epoch: u32, by: [Name; 2] },
}

#[derive(Debug, Clone)]
pub struct Signed {
    /// None: the root.
    pub by: Option<Name>,
    pub key: Key,
    pub nonce: u64,
    pub expires: i64,
    /// Whether it was made over this event for this bus.
    pub fits: bool,
}

#[derive(Debug, Clone)]
pub struct Record {
    pub at: i64,
    pub event: Event,
    pub signed: Vec<Signed>,
}

/// Something that is wrong with a record. A refusal by what stands has a part of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    Backdated,
    TooMany,
    Expired,
    TooLong,
    Wrong,
    Replayed,
    Twice,
    NotInRoster,
    NoRoster,
    Unsigned,
    MissingRole,
    NotApproved,
    Unfit,
    Refused(&'static str),
}

/// What a proposal lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    Roster,
    Contract,
    Released,
    Lapsed,
    Refused(Vec<Name>),
    Approval(Vec<Role>),
    SecondPerson,
    TakeUp,
}

#[derive(Debug, Clone)]
struct Cast {
    person: Name,
    verdict: Verdict,
    at: i64,
    key: Key,
}

#[derive(Debug, Clone)]
pub struct Proposal {
    pub document: Document,
    author: Name,
    deadline: i64,
    votes: Vec<Cast>,
    pub released: bool,
}

#[derive(Debug, Clone)]
pub struct View {
    pub grant: Grant,
    pub edition: u32,
    pub start: i64,
    pub end: i64,
    pub ended: Option<Reason>,
}

/// What stands.
#[derive(Debug, Clone)]
pub struct Model {
    /// When somebody last signed.
    pub time: i64,
    pub root: Key,
    pub spare: Option<Key>,
    pub roster: Option<Roster>,
    pub agencies: bool,
    pub contract: Option<Contract>,
    pub views: BTreeMap<u32, View>,
    pub proposals: BTreeMap<u8, Proposal>,
    pub epochs: BTreeMap<Name, u32>,
    schema: Option<u8>,
    law: Option<Option<i64>>,
    retired: BTreeSet<u8>,
    nonces: BTreeMap<u64, i64>,
}

impl Model {
    pub fn new(root: Key) -> Self {
        Self {
            time: 0,
            root,
            spare: None,
            roster: None,
            agencies: false,
            contract: None,
            views: BTreeMap::new(),
            proposals: BTreeMap::new(),
            epochs: BTreeMap::new(),
            schema: None,
            law: None,
            retired: BTreeSet::new(),
            nonces: BTreeMap::new(),
        }
    }

    /// Everything that is wrong with a record; nothing if it counts.
    pub fn wrong(&self, record: &Record) -> BTreeSet<Why> {
        let mut why = self.carried(record);
        why.extend(match &record.event {
            Event::Root(..) | Event::Spare(..) | Event::Rotation { .. } => self.key_change(record),
            _ => self.signers(record),
        });
        why.extend(self.needs(record));
        why.extend(self.contradicts(record));
        why
    }

    /// How the signatures came.
    fn carried(&self, record: &Record) -> BTreeSet<Why> {
        let mut why = BTreeSet::new();
        if record.at < self.time {
            why.insert(Why::Backdated);
        }
        if record.signed.len() > 8 {
            why.insert(Why::TooMany);
        }
        let mut nonces = BTreeSet::new();
        for s in &record.signed {
            if s.expires <= record.at {
                why.insert(Why::Expired);
            }
            if s.expires > record.at + 90 * DAY {
                why.insert(Why::TooLong);
            }
            if !s.fits {
                why.insert(Why::Wrong);
            }
            let used = self.nonces.get(&s.nonce).is_some_and(|expires| *expires > record.at);
            if !nonces.insert(s.nonce) || used {
                why.insert(Why::Replayed);
            }
        }
        why
    }

    /// Root and persons change a key with the old and the new one; the spare replaces the root, and never becomes it.
    fn key_change(&self, record: &Record) -> BTreeSet<Why> {
        let keys: BTreeSet<Key> = record.signed.iter().map(|s| s.key).collect();
        let by = |who: Option<Name>| record.signed.iter().all(|s| s.by == who);
        let enough = match record.event {
            Event::Root(new) => {
                let from = |old: Option<Key>| old.is_some_and(|old| old != new && keys == BTreeSet::from([old, new]));
                by(None) && Some(new) != self.spare && (from(Some(self.root)) || from(self.spare))
            }
            Event::Spare(new) => {
                let before: BTreeSet<Key> = self.spare.into_iter().chain([self.root]).collect();
                let mut all = before.clone();
                all.insert(new);
                by(None) && !before.contains(&new) && keys == all
            }
            Event::Rotation { person, from, to } => {
                by(Some(person)) && from != to && keys == BTreeSet::from([from, to])
            }
            _ => false,
        };
        let mut why = BTreeSet::new();
        if !enough {
            why.insert(if keys.is_empty() { Why::Unsigned } else { Why::MissingRole });
        }
        if let Event::Rotation { person, from, .. } = record.event {
            match &self.roster {
                None => drop(why.insert(Why::NoRoster)),
                Some(r) if r.person(person).is_some_and(|p| p.signs(from, record.at)) => {}
                Some(_) => drop(why.insert(Why::NotInRoster)),
            }
        }
        why
    }

    /// Each signature is another's, with a key in force.
    fn signers(&self, record: &Record) -> BTreeSet<Why> {
        let mut why = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for s in &record.signed {
            if !seen.insert(s.by) {
                why.insert(Why::Twice);
            }
            match (s.by, &self.roster) {
                (None, _) if s.key == self.root => {}
                (None, _) => drop(why.insert(Why::NotInRoster)),
                (Some(_), None) => drop(why.insert(Why::NoRoster)),
                (Some(name), Some(r)) if r.person(name).is_some_and(|p| p.signs(s.key, record.at)) => {}
                _ => drop(why.insert(Why::NotInRoster)),
            }
        }
        why
    }

    fn persons(&self, record: &Record) -> Vec<&Person> {
        let named = record.signed.iter().filter_map(|s| s.by);
        named.filter_map(|name| self.roster.as_ref()?.person(name)).collect()
    }

    /// The table of `docs/signatures.md`.
    fn needs(&self, record: &Record) -> BTreeSet<Why> {
        let at = record.at;
        let persons = self.persons(record);
        let lacking = if record.signed.is_empty() { Why::Unsigned } else { Why::MissingRole };
        let mut why = BTreeSet::new();
        let mut need = |enough: bool, else_why: Why| {
            if !enough {
                why.insert(else_why);
            }
        };
        let for_owner = |p: &&&Person| self.contract.as_ref().is_some_and(|c| c.owner == p.agency) && p.decides(at);
        match &record.event {
            Event::Roster(_) => need(record.signed.iter().any(|s| s.by.is_none()), lacking),
            Event::Agency { .. } => need(persons.iter().any(|p| p.has(Role::Registrar, at)), lacking),
            Event::Law { .. } => need(persons.iter().any(|p| p.has(Role::Legal, at)), lacking),
            Event::Proposal { author, .. } => need(persons.iter().any(|p| p.name == *author), lacking),
            Event::Vote { proposal, person, verdict, .. } => {
                let voter = persons.iter().find(|p| p.name == *person);
                need(voter.is_some(), lacking);
                if let Some(p) = self.proposals.get(proposal) {
                    let agency = self.decider(&p.document);
                    let of_it = voter.is_some_and(|v| agency == Some(v.agency) && v.decides(at));
                    let receives = voter.is_some_and(|v| v.agency == "B" && v.has(Role::Recipient, at));
                    match (verdict, &p.document) {
                        (Verdict::Approve | Verdict::Refuse, _) => need(of_it, lacking),
                        (Verdict::TakeUp, Document::Contract(_)) => need(false, Why::Unfit),
                        (Verdict::TakeUp, Document::Grant(_)) => need(receives, lacking),
                        (Verdict::Advise, _) => {}
                    }
                }
            }
            Event::Contract { contract, own_schemas } => {
                need(self.approved(&Document::Contract(contract.clone()), at).is_some(), Why::NotApproved);
                need(*own_schemas, Why::Unfit);
                let beyond = |v: &View| v.ended.is_none() && v.end - at.max(v.start) > 367 * DAY;
                need(!(contract.personal && self.views.values().any(beyond)), Why::Unfit);
            }
            Event::Grant { grant, start, end, own_label, .. } => {
                need(self.approved(&Document::Grant(grant.clone()), at.max(*start)).is_some(), Why::NotApproved);
                need(*own_label && *start >= at, Why::Unfit);
                need(self.within_bounds(grant, end - start), Why::Unfit);
            }
            Event::Renewal { grant, end, .. } => {
                need(self.approved(&Document::Grant(grant.clone()), at).is_some(), Why::NotApproved);
                need(self.within_bounds(grant, end - at), Why::Unfit);
            }
            Event::End { view_no, reason } => {
                let Some(view) = self.views.get(view_no) else { return why };
                let receives = persons.iter().any(|p| p.agency == "B" && p.has(Role::Recipient, at));
                let owner = persons.iter().any(|p| for_owner(&p));
                match reason {
                    Reason::Revoked | Reason::Suspended => need(owner, lacking),
                    Reason::Ended => need(owner || receives, lacking),
                    Reason::Superseded => need(self.has_successor(view, at), Why::Unfit),
                    Reason::Expired | Reason::Law => need(view.end <= at, Why::Unfit),
                }
            }
            Event::Epoch { provider, by, .. } => {
                let may = |p: &&&Person| (p.agency == *provider && p.decides(at)) || for_owner(p);
                let deciding: BTreeSet<Name> = persons.iter().filter(may).map(|p| p.name).collect();
                need(by.iter().all(|name| deciding.contains(name)) && deciding.len() >= 2, lacking);
            }
            _ => {}
        }
        why
    }

    /// What a grant may be, whoever approves it.
    fn within_bounds(&self, grant: &Grant, holds: i64) -> bool {
        let personal = self.contract.as_ref().is_some_and(|c| c.personal);
        holds <= (grant.days + 1) * DAY && !(personal && holds > 367 * DAY) && (!grant.emergency || grant.template)
    }

    fn has_successor(&self, view: &View, at: i64) -> bool {
        let newer = |v: &View| v.grant.view == view.grant.view && v.edition > view.edition && v.ended.is_none();
        let next = |p: &Proposal| match &p.document {
            Document::Grant(g) => g.view == view.grant.view && *g != view.grant && self.lacks(p, at).is_empty(),
            Document::Contract(_) => false,
        };
        self.views.values().any(newer) || self.proposals.values().any(next)
    }

    /// The agency that answers for the dataset.
    pub fn decider(&self, document: &Document) -> Option<Name> {
        match (&self.contract, document) {
            (Some(contract), _) => Some(contract.owner),
            (None, Document::Contract(first)) => Some(first.owner),
            (None, Document::Grant(_)) => None,
        }
    }

    /// The proposal that a document comes into force by.
    fn approved(&self, document: &Document, at: i64) -> Option<u8> {
        let of_it = self.proposals.iter().filter(|(_, p)| &p.document == document);
        of_it.filter(|(_, p)| self.lacks(p, at).is_empty()).map(|(id, _)| *id).next()
    }

    /// What a proposal lacks.
    pub fn lacks(&self, proposal: &Proposal, at: i64) -> BTreeSet<Lack> {
        let Some(roster) = &self.roster else { return [Lack::Roster].into() };
        let Some(agency) = self.decider(&proposal.document) else { return [Lack::Contract].into() };
        let mut lacks = BTreeSet::new();
        if proposal.released {
            lacks.insert(Lack::Released);
        }
        if at >= proposal.deadline + 90 * DAY {
            lacks.insert(Lack::Lapsed);
        }
        // The last word of each person.
        let last: BTreeMap<Name, &Cast> = proposal.votes.iter().map(|vote| (vote.person, vote)).collect();
        let refusing: Vec<Name> = last.values().filter(|v| v.verdict == Verdict::Refuse).map(|v| v.person).collect();
        if !refusing.is_empty() {
            lacks.insert(Lack::Refused(refusing));
        }
        // Votes count while their persons are in the roster, and unless the key was another's by then.
        let stands = |v: &&&Cast| roster.person(v.person).is_some_and(|p| p.signs(v.key, v.at));
        let who = |verdict: Verdict| {
            let said = last.values().filter(move |v| v.verdict == verdict).filter(stands);
            said.filter_map(|v| Some((roster.person(v.person)?, v.at))).collect::<Vec<_>>()
        };
        let approving: Vec<(&Person, i64)> =
            who(Verdict::Approve).into_iter().filter(|(p, _)| p.agency == agency).collect();
        let with = |role: Role| -> BTreeSet<Name> {
            approving.iter().filter(|(p, _)| p.has(role, at)).map(|(p, _)| p.name).collect()
        };
        let (owners, officers) = (with(Role::Owner), with(Role::Officer));
        let two = !owners.is_empty() && !officers.is_empty() && owners.union(&officers).count() >= 2;
        let urgent = matches!(&proposal.document, Document::Grant(g) if g.emergency);
        let lately = self.views.values().any(|v| v.grant.emergency && at < v.start + 7 * DAY);
        let fresh = approving.iter().any(|(p, cast)| p.decides(at) && at < cast + 72 * HOUR);
        if !(two || urgent && !lately && fresh) {
            let mut missing = Vec::new();
            if owners.is_empty() {
                missing.push(Role::Owner);
            }
            if officers.is_empty() {
                missing.push(Role::Officer);
            }
            lacks.insert(if missing.is_empty() { Lack::SecondPerson } else { Lack::Approval(missing) });
        }
        let grant = matches!(proposal.document, Document::Grant(_));
        if grant && !who(Verdict::TakeUp).iter().any(|(p, _)| p.agency == "B" && p.has(Role::Recipient, at)) {
            lacks.insert(Lack::TakeUp);
        }
        lacks
    }

    /// What it contradicts, whoever signed it.
    fn contradicts(&self, record: &Record) -> BTreeSet<Why> {
        let at = record.at;
        let mut why = BTreeSet::new();
        let mut refuse = |when: bool, text: &'static str| {
            if when {
                why.insert(Why::Refused(text));
            }
        };
        match &record.event {
            Event::Genesis => refuse(true, "the genesis is the first event"),
            Event::Roster(roster) => {
                let old = self.roster.as_ref();
                refuse(roster.number != old.map_or(1, |r| r.number + 1), "does not follow");
                for person in &roster.persons {
                    for key in old.and_then(|r| r.person(person.name)).map_or(&[][..], |p| &p.keys) {
                        match person.keys.iter().find(|k| k.key == key.key) {
                            None => refuse(true, "leaves out the key"),
                            Some(now) => {
                                let later = key.until.is_some_and(|end| now.until.is_none_or(|until| until > end));
                                refuse(later, "takes up the key");
                            }
                        }
                    }
                }
                why.extend(roster.wrong());
            }
            Event::Rotation { person, from, to } => {
                if let Some(next) = self.rotated(person, *from, *to, at) {
                    why.extend(next.wrong());
                }
            }
            Event::Agency { role_as_system } => refuse(*role_as_system, "bears the name of a role"),
            Event::Law { last_day } => {
                let over = |day: &Option<i64>| day.is_some_and(|day| (day + 1) * DAY - 7 * HOUR <= at);
                let known = self.law.as_ref().filter(|known| *known != last_day);
                refuse(
                    known.is_some_and(|known| over(known) || over(last_day)),
                    "a last day is set while it lies ahead",
                );
            }
            Event::Schema { text } => refuse(self.schema.is_some_and(|known| known != *text), "taken by another text"),
            Event::Proposal { id, deadline, .. } => {
                refuse(self.proposals.contains_key(id), "was made before");
                refuse(*deadline <= at, "has passed when it is made");
                refuse(*deadline > at + 90 * DAY, "more than 90 days ahead");
            }
            Event::Vote { proposal, document, right_page, person, verdict, reason } => {
                let Some(p) = self.proposals.get(proposal) else {
                    return [Why::Refused("there is no proposal")].into();
                };
                refuse(*document != p.document || !right_page, "is on another document or page");
                refuse(p.released, "comes after the release");
                refuse(p.deadline <= at, "comes after the deadline");
                refuse(*verdict == Verdict::Refuse && !reason, "without a reason");
                refuse(*verdict == Verdict::Approve && *person == p.author, "does not approve it");
                refuse(p.votes.iter().filter(|v| v.person == *person).count() >= 16, "has voted 16 times");
            }
            Event::Grant { grant, view_no, edition, start, end, .. } => {
                refuse(self.views.contains_key(view_no), "is taken");
                refuse(self.retired.contains(&grant.id), "was used before");
                let name = |v: &View| v.grant.view == grant.view && v.edition == *edition;
                refuse(self.views.values().any(name), "was used before");
                refuse(self.contract.is_none(), "there is no contract");
                refuse(!self.agencies, "there is no agency");
                refuse(grant.emergency && end - start > 72 * HOUR, "more than 72 hours");
            }
            Event::Renewal { view_no, grant, end } => {
                let Some(view) = self.views.get(view_no) else { return [Why::Refused("there is no view")].into() };
                refuse(view.ended.is_some(), "has ended and cannot be renewed");
                let same = (view.grant.view, view.grant.shape) == (grant.view, grant.shape);
                refuse(!same, "with another shape or for somebody else");
                refuse(grant.emergency && end - view.start > 72 * HOUR, "more than 72 hours");
            }
            Event::End { view_no, .. } => refuse(!self.views.contains_key(view_no), "there is no view"),
            Event::Epoch { provider, epoch, by } => {
                refuse(by[0] == by[1], "two persons, not by one twice");
                refuse(*epoch <= self.epochs.get(provider).copied().unwrap_or_default(), "is not above");
            }
            Event::Root(_) | Event::Spare(_) | Event::Contract { .. } => {}
        }
        why
    }

    fn rotated(&self, person: Name, from: Key, to: Key, at: i64) -> Option<Roster> {
        let mut next = self.roster.clone()?;
        let keys = &mut next.persons.iter_mut().find(|p| p.name == person)?.keys;
        let old = keys.iter_mut().find(|k| k.key == from)?;
        let until = old.until;
        old.until = Some(until.map_or(at, |until| until.min(at)));
        keys.push(PersonKey { key: to, from: at, until });
        Some(next)
    }

    /// What a record changes that counts.
    pub fn take(&mut self, record: &Record) {
        let at = record.at;
        let used = match &record.event {
            Event::Contract { contract, .. } => self.approved(&Document::Contract(contract.clone()), at),
            Event::Grant { grant, start, .. } => self.approved(&Document::Grant(grant.clone()), at.max(*start)),
            Event::Renewal { grant, .. } => self.approved(&Document::Grant(grant.clone()), at),
            _ => None,
        };
        if let Some(proposal) = used.and_then(|id| self.proposals.get_mut(&id)) {
            proposal.released = true;
        }
        match record.event.clone() {
            Event::Genesis => {}
            Event::Roster(roster) => self.roster = Some(roster),
            Event::Root(key) => self.root = key,
            Event::Spare(key) => self.spare = Some(key),
            Event::Rotation { person, from, to } => self.roster = self.rotated(person, from, to, at),
            Event::Agency { .. } => self.agencies = true,
            Event::Law { last_day } => self.law = Some(last_day),
            Event::Schema { text } => self.schema = Some(text),
            Event::Proposal { id, document, author, deadline } => {
                self.proposals.retain(|_, p| p.released || at < p.deadline + 90 * DAY);
                self.proposals.insert(id, Proposal { document, author, deadline, votes: vec![], released: false });
            }
            Event::Vote { proposal, person, verdict, .. } => {
                let key = record.signed.iter().find(|s| s.by == Some(person)).unwrap().key;
                self.proposals.get_mut(&proposal).unwrap().votes.push(Cast { person, verdict, at, key });
            }
            Event::Contract { contract, .. } => self.contract = Some(contract),
            Event::Grant { grant, view_no, edition, start, end, .. } => {
                self.views.insert(view_no, View { grant, edition, start, end, ended: None });
            }
            Event::Renewal { view_no, grant, end } => {
                let view = self.views.get_mut(&view_no).unwrap();
                if view.grant.id != grant.id {
                    self.retired.insert(view.grant.id);
                }
                (view.grant, view.end) = (grant, end);
            }
            Event::End { view_no, reason } => {
                let ended = &mut self.views.get_mut(&view_no).unwrap().ended;
                // The first end stays; what is suspended may still end otherwise.
                if ended.is_none_or(|was| was == Reason::Suspended) {
                    *ended = Some(reason);
                }
            }
            Event::Epoch { provider, epoch, .. } => drop(self.epochs.insert(provider, epoch)),
        }
        if !record.signed.is_empty() {
            self.time = at;
            self.nonces.extend(record.signed.iter().map(|s| (s.nonce, s.expires)));
        }
    }
}
