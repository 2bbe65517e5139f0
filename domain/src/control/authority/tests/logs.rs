//! Thousands of random signed logs, each record judged by the fold and by a plain [`model`](super::model): which count, why
//! those do not that are refused, what proposals lack, and what stands in the end.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::model::{self, DAY, Event, HOUR, Key, Lack, Model, Name, Reason, Record, Signed, Why};
use super::steps::{Act, Change, Draft, Flaw, PERSONS, ROOT, SPARE, STRANGER, Slip, Step, step};
use super::written::{
    DURATIONS, KEYS, end_reason, proposal_id, public_of, written, written_contract, written_grant, written_roster,
};
use super::*;
use crate::trust::{Gap, needs};

const CASES: u32 = 2_000;
const SEED: [u8; 32] = *b"signed control logs, 2026-11-29 ";

fn base_roster() -> model::Roster {
    let person = |(name, key, agency, roles): (Name, Key, Name, &[model::Role])| model::Person {
        name,
        agency,
        roles: roles.iter().map(|role| model::Tenure { role: *role, from: 0, until: None, deputy_for: None }).collect(),
        keys: vec![model::PersonKey { key, from: 0, until: None }],
    };
    model::Roster { number: 1, persons: PERSONS.into_iter().map(person).collect() }
}

/// One log: the fold, the model, and everything that was made for it.
#[derive(Clone)]
struct Log {
    set: ControlSet,
    model: Model,
    now: i64,
    nonce: u64,
    fresh_key: Key,
    proposed: Vec<(u8, model::Document)>,
    appended: Vec<(Record, Vec<Signature>)>,
    held: Vec<(Record, Vec<Signature>)>,
}

/// What was seen, over all logs.
type Seen = BTreeMap<String, u32>;

impl Log {
    /// With a genesis, and with the schemas that contracts name.
    fn new() -> Self {
        let mut log = Self {
            set: ControlSet::default(),
            model: Model::new(ROOT),
            now: 100 * DAY,
            nonce: 0,
            fresh_key: 40,
            proposed: Vec::new(),
            appended: Vec::new(),
            held: Vec::new(),
        };
        let event = ControlEvent::Genesis { trust: Trust::Root(public_of(ROOT)) };
        let genesis = ControlRecord { format: FORMAT, at_ms: 0, event, signatures: vec![] };
        log.set.apply(Position(1), &serde_json::to_vec(&genesis).unwrap()).unwrap();
        let schema = contract().schemas[0].schema.clone();
        for (id, text) in [(1, schema.clone()), (2, envelope::schema(&schema).unwrap())] {
            let event = schema_event(id, &text);
            let record = ControlRecord { format: FORMAT, at_ms: log.now, event, signatures: vec![] };
            let position = Position(log.set.position.0 + 1);
            log.set.apply(position, &serde_json::to_vec(&record).unwrap()).unwrap();
        }
        log
    }

    /// With roster and agency.
    fn founded(seen: &mut Seen) -> Self {
        let mut log = Self::new();
        log.act(Act::Roster { change: Change::Nothing, by_root: true }, Flaw::None, seen);
        log.act(Act::Agency { role_as_system: false, by: 3 }, Flaw::None, seen);
        log
    }

    /// With a contract of agency A in force, without personal data.
    fn contracted(seen: &mut Seen) -> Self {
        let mut log = Self::founded(seen);
        let draft = Draft::Contract { version: 0, owner: "A", personal: false };
        log.act(Act::Propose { draft, author: 6, days: 14, again: false }, Flaw::None, seen);
        log.act(Act::Approve { on: 0, one: false }, Flaw::None, seen);
        log.act(Act::Release { of: 0, slip: Slip::None }, Flaw::None, seen);
        assert!(log.model.contract.is_some());
        log
    }

    /// The key that a person signs with now, or did at last.
    fn key_of(&self, name: Name) -> Key {
        let person = self.model.roster.as_ref().and_then(|roster| roster.person(name));
        let keys = person.map_or(&[][..], |p| &p.keys);
        let in_force = keys.iter().rev().find(|k| person.is_some_and(|p| p.signs(k.key, self.now)));
        in_force
            .or(keys.last())
            .map_or_else(|| PERSONS.iter().find(|p| p.0 == name).map_or(STRANGER, |p| p.1), |k| k.key)
    }

    fn by(&self, persons: &[Name]) -> Vec<(Option<Name>, Key)> {
        persons.iter().map(|name| (Some(*name), self.key_of(name))).collect()
    }

    fn run(&mut self, step: Step, seen: &mut Seen) {
        self.act(step.act, step.flaw, seen);
        // Whoever hands in dates nothing back.
        self.now = self.now.max(self.model.time) + step.after_ms;
    }

    fn act(&mut self, act: Act, flaw: Flaw, seen: &mut Seen) {
        let name = |person: usize| PERSONS[person].0;
        let root = vec![(None, self.model.root)];
        let (event, by) = match act {
            Act::Genesis => (Event::Genesis, root),
            Act::Agency { role_as_system, by } => (Event::Agency { role_as_system }, self.by(&[name(by)])),
            Act::Law { last_day, by } => {
                let today = self.now / DAY;
                (Event::Law { last_day: last_day.map(|days| today + days) }, self.by(&[name(by)]))
            }
            Act::Schema { text } => (Event::Schema { text }, vec![]),
            Act::Roster { change, by_root } => {
                let roster = self.changed(change);
                (Event::Roster(roster), if by_root { root } else { self.by(&["ghi", "chu"]) })
            }
            Act::Root { key, from } => {
                let from = match from {
                    ROOT => self.model.root,
                    SPARE => self.model.spare.unwrap_or(SPARE),
                    other => other,
                };
                let key = if key == 105 { self.model.spare.unwrap_or(key) } else { key };
                (Event::Root(key), vec![(None, from), (None, key)])
            }
            Act::Spare { key, with_before } => {
                let key = if key == ROOT { self.model.root } else { key };
                let before = self.model.spare.filter(|_| with_before);
                let keys = [Some(self.model.root), before, Some(key)];
                (Event::Spare(key), keys.into_iter().flatten().map(|key| (None, key)).collect())
            }
            Act::Rotation { person, to, signed } => {
                let (person, from) = (name(person), self.key_of(name(person)));
                let to = if to == 39 {
                    from
                } else if to == 38 {
                    self.key_of("chu")
                } else {
                    to
                };
                let by = [(1, from), (2, to)].into_iter().filter(|(bit, _)| signed & bit != 0);
                (Event::Rotation { person, from, to }, by.map(|(_, key)| (Some(person), key)).collect())
            }
            Act::Propose { draft, author, days, again } => {
                let used = |id: &u8| self.proposed.iter().all(|(other, _)| other != id);
                let last = self.proposed.last().map(|(id, _)| *id);
                let id = last.filter(|_| again).unwrap_or_else(|| (0..).find(used).unwrap());
                let document = document(draft);
                self.proposed.push((id, document.clone()));
                let deadline = self.now + days * DAY;
                (Event::Proposal { id, document, author: name(author), deadline }, self.by(&[name(author)]))
            }
            Act::Vote { on, person, verdict, reason, other_document, other_page } => {
                let Some((proposal, document)) = self.pick(on) else { return };
                let document = if other_document { other(&document) } else { document };
                let person = name(person);
                let right_page = !other_page;
                (Event::Vote { proposal, document, right_page, person, verdict, reason }, self.by(&[person]))
            }
            Act::Approve { on, one } => return self.approve(on, one, flaw, seen),
            Act::Enact { draft, slip, renews } => {
                self.act(Act::Propose { draft, author: 6, days: 14, again: false }, Flaw::None, seen);
                self.approve(0, false, Flaw::None, seen);
                let act = match renews {
                    Some((view, beyond)) => Act::Renew { of: 0, view, beyond },
                    None => Act::Release { of: 0, slip },
                };
                return self.act(act, flaw, seen);
            }
            Act::Release { of, slip } => {
                let Some((_, document)) = self.pick(of) else { return };
                (self.release(document, slip), vec![])
            }
            Act::Renew { of, view, beyond } => {
                let Some(grant) = self.pick(of).and_then(|(_, document)| grant_of(&document)) else { return };
                let view_no = self.view(view);
                let from = self.model.views.get(&view_no).map_or(self.now, |v| v.start);
                let longest = if grant.emergency { from + 72 * HOUR } else { self.now + (grant.days + 1) * DAY };
                (Event::Renewal { view_no, grant, end: longest + beyond }, vec![])
            }
            Act::End { view, reason, by } => {
                let by = match reason {
                    Reason::Superseded | Reason::Expired | Reason::Law => vec![],
                    _ => self.by(&[name(by)]),
                };
                (Event::End { view_no: self.view(view), reason }, by)
            }
            Act::Epoch { epoch, provider, by } => {
                let by = by.map(name);
                let signing = if by[0] == by[1] { [by[0], "hai-vai"] } else { by };
                (Event::Epoch { provider, epoch, by }, self.by(&signing))
            }
            Act::Replay { of, dated_now } => {
                let Some((record, signatures)) = self.appended.get(of % self.appended.len().max(1)).cloned() else {
                    return;
                };
                let at = if dated_now { self.now } else { record.at };
                return self.put(Record { at, ..record }, signatures, seen);
            }
            Act::Carry { dated_now } => {
                let Some((record, signatures)) = self.held.pop() else { return };
                let at = if dated_now { self.now } else { record.at };
                return self.put(Record { at, ..record }, signatures, seen);
            }
        };
        self.append(event, by, flaw, seen);
    }

    fn pick(&self, of: usize) -> Option<(u8, model::Document)> {
        // The newest most of all: they are what the next steps are about.
        let newest = self.proposed.len().checked_sub(1)?;
        self.proposed.get(newest.saturating_sub(of / 2)).cloned()
    }

    /// A view that there is, or the next number.
    fn view(&self, pick: usize) -> u32 {
        let known: Vec<u32> = self.model.views.keys().rev().copied().collect();
        known.get(pick).copied().unwrap_or_else(|| self.next_view())
    }

    fn next_view(&self) -> u32 {
        self.model.views.keys().last().map_or(1, |last| last + 1)
    }

    fn approve(&mut self, on: usize, one: bool, flaw: Flaw, seen: &mut Seen) {
        let Some((proposal, document)) = self.pick(on) else { return };
        let (owner, officer) = match self.model.decider(&document) {
            Some("B") => ("chu-b", "bao-b"),
            _ => ("chu", "bao"),
        };
        let mut votes = vec![(owner, model::Verdict::Approve)];
        votes.extend((!one).then_some((officer, model::Verdict::Approve)));
        votes.extend(grant_of(&document).map(|_| ("nhan", model::Verdict::TakeUp)));
        let last = votes.len() - 1;
        for (n, (person, verdict)) in votes.into_iter().enumerate() {
            let document = document.clone();
            let event = Event::Vote { proposal, document, right_page: true, person, verdict, reason: false };
            let flaw = if n == last { flaw } else { Flaw::None };
            self.append(event, self.by(&[person]), flaw, seen);
        }
    }

    fn release(&self, document: model::Document, slip: Slip) -> Event {
        let document = if slip == Slip::OtherDocument { other(&document) } else { document };
        let grant = match document {
            model::Document::Contract(contract) => {
                return Event::Contract { contract, own_schemas: slip != Slip::OtherSchemas };
            }
            model::Document::Grant(grant) => grant,
        };
        let editions = self.model.views.values().filter(|v| v.grant.view == grant.view).map(|v| v.edition);
        let last = editions.max().unwrap_or_default();
        let start = match slip {
            Slip::StartsEarly => self.now - 1,
            Slip::StartsIn(ms) => self.now + ms,
            _ => self.now,
        };
        let longest = if grant.emergency { 72 * HOUR } else { (grant.days + 1) * DAY };
        let holds = match slip {
            Slip::Longer(ms) => longest + ms,
            _ if grant.emergency => longest,
            _ => grant.days * DAY,
        };
        let view_no = if slip == Slip::TakenNumber { self.view(0) } else { self.next_view() };
        let edition = if slip == Slip::TakenEdition { last.max(1) } else { last + 1 };
        Event::Grant { grant, view_no, edition, start, end: start + holds, own_label: slip != Slip::OtherLabel }
    }

    /// The next roster.
    fn changed(&mut self, change: Change) -> model::Roster {
        let now = self.now;
        let mut roster = self.model.roster.clone().unwrap_or_else(|| model::Roster { number: 0, ..base_roster() });
        let number = roster.number + 1;
        let at =
            |roster: &model::Roster, person: usize| roster.persons.iter().position(|p| p.name == PERSONS[person].0);
        let keys = |roster: &mut model::Roster, person: usize, change: &mut dyn FnMut(&mut Vec<model::PersonKey>)| {
            if let Some(n) = at(roster, person) {
                change(&mut roster.persons[n].keys);
            }
        };
        match change {
            Change::Nothing | Change::Number(_) => {}
            Change::EndKey(person, ms) => keys(&mut roster, person, &mut |keys| {
                keys.iter_mut().for_each(|k| k.until = Some(k.until.map_or(now + ms, |until| until.min(now + ms))));
            }),
            Change::NewKey(person) => {
                self.fresh_key += 1;
                let key = self.fresh_key;
                keys(&mut roster, person, &mut |keys| keys.push(model::PersonKey { key, from: now, until: None }));
            }
            Change::DropKey(person) => keys(&mut roster, person, &mut |keys| {
                keys.pop();
            }),
            Change::ReopenKeys(person) => {
                keys(&mut roster, person, &mut |keys| keys.iter_mut().for_each(|k| k.until = None));
            }
            Change::TwoOfOneKey(person) => {
                let key = self.key_of("soan");
                keys(&mut roster, person, &mut |keys| keys.push(model::PersonKey { key, from: now, until: None }));
            }
            Change::Drop(person) => roster.persons.retain(|p| p.name != PERSONS[person].0),
            Change::Twice(person) => {
                let again = at(&roster, person).map(|n| model::Person { keys: vec![], ..roster.persons[n].clone() });
                roster.persons.extend(again);
            }
            Change::EndRoles(person) => {
                if let Some(n) = at(&roster, person) {
                    roster.persons[n].roles.iter_mut().for_each(|t| t.until = Some(now + HOUR));
                }
            }
            Change::Deputy { until, of } => {
                if let Some(n) = at(&roster, 9) {
                    let until = until.map(|ms| now + ms);
                    let role = model::Role::Owner;
                    roster.persons[n].roles.push(model::Tenure { role, from: now, until, deputy_for: Some(of) });
                }
            }
            Change::FromTheStart => roster = base_roster(),
        }
        roster.number = match change {
            Change::Number(n) => number - 1 + n,
            _ => number,
        };
        roster
    }

    /// Signs an event, flawed or not, and appends or holds it.
    fn append(&mut self, event: Event, mut by: Vec<(Option<Name>, Key)>, flaw: Flaw, seen: &mut Seen) {
        let name = |person: usize| PERSONS[person].0;
        match flaw {
            Flaw::Unsigned => by.clear(),
            Flaw::LacksLast => drop(by.pop()),
            Flaw::Doubled => by.extend(by.first().copied()),
            Flaw::OtherKey(person) => {
                let key = self.key_of(name(person));
                by.iter_mut().take(1).for_each(|signer| signer.1 = key);
            }
            Flaw::Instead(person) => by = self.by(&[name(person)]),
            Flaw::NoPerson => by.push((Some("ai"), STRANGER)),
            Flaw::Also(person) => by.insert(0, (Some(name(person)), self.key_of(name(person)))),
            Flaw::AlsoRoot => by.push((None, self.model.root)),
            Flaw::Nine => by = self.by(&PERSONS.map(|p| p.0)[..9]),
            _ => {}
        }
        let at = match flaw {
            Flaw::Dated(ms) => self.model.time.max(0) + ms,
            _ => self.now,
        };
        let after = match flaw {
            Flaw::ExpiresAfter(ms) => ms,
            Flaw::Held => 30 * DAY,
            _ => DAY,
        };
        let value = serde_json::to_value(written(&event)).unwrap();
        let mut signed = Vec::new();
        let mut signatures = Vec::new();
        for (by, key) in by {
            self.nonce += 1;
            let used = self.appended.iter().rev().flat_map(|(record, _)| &record.signed).map(|s| s.nonce).next();
            let nonce = used.filter(|_| flaw == Flaw::OldNonce).unwrap_or(self.nonce);
            let expires = at + after;
            let bus = if flaw == Flaw::OtherBus { [9; 32] } else { self.set.bus };
            let changed = json!({"kind": "genesis"});
            let over = if flaw == Flaw::Changed { &changed } else { &value };
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&nonce.to_be_bytes());
            let text = signed_text(&bus, over, Nonce(bytes), expires).unwrap();
            let signature = SignatureBytes(KEYS[usize::from(key)].sign(&text).to_bytes());
            signatures.push(Signature {
                person: by.map(|name| name.parse().unwrap()),
                key: public_of(key),
                nonce: Nonce(bytes),
                expires_ms: expires,
                signature,
            });
            let fits = !matches!(flaw, Flaw::OtherBus | Flaw::Changed);
            signed.push(Signed { by, key, nonce, expires, fits });
        }
        let record = Record { at, event, signed };
        if flaw == Flaw::Held {
            self.held.push((record, signatures));
        } else {
            self.put(record, signatures, seen);
        }
    }

    /// Appends a record, and compares what the fold says with what the model does.
    fn put(&mut self, record: Record, signatures: Vec<Signature>, seen: &mut Seen) {
        let event = written(&record.event);
        let written = ControlRecord { format: FORMAT, at_ms: record.at, event, signatures: signatures.clone() };
        let before = self.set.clone();
        let wrong = self.model.wrong(&record);
        let done = self.set.apply(Position(before.position.0 + 1), &serde_json::to_vec(&written).unwrap());
        let kind = kind(&record, &self.model);
        match done {
            Ok(()) => {
                assert!(wrong.is_empty(), "it counted, and is wrong: {wrong:?}\n{record:#?}");
                *seen.entry(format!("counts: {kind}")).or_default() += 1;
                self.model.take(&record);
            }
            Err(error) => {
                let named = wrong.iter().find(|why| names(**why, &error));
                let Some(why) = named else { panic!("{error}: the model says {wrong:?}\n{record:#?}") };
                let ControlSet { position, digest, .. } = self.set;
                assert_eq!(self.set, ControlSet { position, digest, ..before }, "a refused record changed something");
                *seen.entry(format!("refused: {why:?}")).or_default() += 1;
                *seen.entry(format!("{kind} refused: {why:?}")).or_default() += 1;
            }
        }
        for (id, proposal) in &self.model.proposals {
            let standing = &self.set.proposals[&proposal_id(*id)];
            let gaps: BTreeSet<Lack> = needs::gaps(&self.set, standing, record.at).iter().map(lack).collect();
            assert_eq!(gaps, self.model.lacks(proposal, record.at), "what {id} lacks after {record:#?}");
            for lack in gaps {
                let lack = format!("{lack:?}");
                *seen.entry(format!("lacks: {}", lack.split('(').next().unwrap())).or_default() += 1;
            }
        }
        self.appended.push((record, signatures));
    }

    /// What stands in the end.
    fn compare(&self) {
        let (set, model) = (&self.set, &self.model);
        assert_eq!(set.root, Some(public_of(model.root)));
        assert_eq!(set.spare, model.spare.map(public_of));
        assert_eq!(set.roster.as_deref(), model.roster.as_ref().map(written_roster).as_ref());
        let contract = set.contracts.values().next().map(|c| (**c).clone());
        assert_eq!(contract, model.contract.as_ref().map(|c| written_contract(c, true)));
        let views: Vec<_> = set.views.values().map(|v| (&v.activation.grant, v.ended.map(|(_, why)| why))).collect();
        let wanted: Vec<_> = model.views.values().map(|v| (written_grant(&v.grant), v.ended.map(end_reason))).collect();
        assert_eq!(views, wanted.iter().map(|(grant, why)| (grant, *why)).collect::<Vec<_>>());
        let spans: Vec<_> = set.views.values().map(|v| (v.activation.starts_ms, v.activation.ends_ms)).collect();
        assert_eq!(spans, model.views.values().map(|v| (v.start, v.end)).collect::<Vec<_>>());
        let proposals: Vec<_> = set.proposals.iter().map(|(id, s)| (id.clone(), s.released.is_some())).collect();
        let wanted: Vec<_> = model.proposals.iter().map(|(id, p)| (proposal_id(*id), p.released)).collect();
        assert_eq!(proposals, wanted);
        let epochs: Vec<_> = set.epochs.iter().map(|((_, agency), epoch)| (agency.as_str(), *epoch)).collect();
        assert_eq!(epochs, model.epochs.iter().map(|(agency, epoch)| (*agency, *epoch)).collect::<Vec<_>>());
    }
}

/// Whether an error is what the model means.
fn names(why: Why, error: &ControlError) -> bool {
    match error {
        ControlError::Refused { reason, .. } => matches!(why, Why::Refused(text) if reason.contains(text)),
        ControlError::Untrusted { source, .. } => {
            why == match source {
                TrustError::Unsigned { .. } => Why::Unsigned,
                TrustError::TooMany(_) => Why::TooMany,
                TrustError::Wrong(_) => Why::Wrong,
                TrustError::Twice(_) => Why::Twice,
                TrustError::Replayed(_) => Why::Replayed,
                TrustError::Expired(_) => Why::Expired,
                TrustError::TooLong(_) => Why::TooLong,
                TrustError::NotInRoster(_) => Why::NotInRoster,
                TrustError::NoRoster => Why::NoRoster,
                TrustError::MissingRole { .. } => Why::MissingRole,
                TrustError::NotApproved { .. } => Why::NotApproved,
                TrustError::Backdated(_) => Why::Backdated,
                TrustError::Unfit(_) => Why::Unfit,
            }
        }
        ControlError::Unreadable { .. } | ControlError::Format { .. } => false,
    }
}

fn lack(gap: &Gap) -> Lack {
    let role = |role: &Role| if *role == Role::Owner { model::Role::Owner } else { model::Role::Officer };
    let name = |person: &Person| PERSONS.iter().find(|p| p.0 == person.as_str()).unwrap().0;
    match gap {
        Gap::Roster => Lack::Roster,
        Gap::Contract(_) => Lack::Contract,
        Gap::Released => Lack::Released,
        Gap::Lapsed => Lack::Lapsed,
        Gap::Refused(by) => {
            let mut by: Vec<Name> = by.iter().map(name).collect();
            by.sort_unstable();
            Lack::Refused(by)
        }
        Gap::Approval(roles, _) => Lack::Approval(roles.iter().map(role).collect()),
        Gap::SecondPerson(_) => Lack::SecondPerson,
        Gap::TakeUp(_) => Lack::TakeUp,
    }
}

fn kind(record: &Record, model: &Model) -> String {
    let by_spare = || record.signed.iter().any(|s| Some(s.key) == model.spare);
    match &record.event {
        Event::Root(_) if by_spare() => "root by the spare".into(),
        Event::End { reason, .. } => format!("end {reason:?}"),
        Event::Vote { verdict, .. } => format!("vote {verdict:?}"),
        Event::Grant { grant, .. } if grant.emergency => "grant for an emergency".into(),
        other => format!("{other:?}").split(['(', ' ']).next().unwrap().to_lowercase(),
    }
}

fn document(draft: Draft) -> model::Document {
    match draft {
        Draft::Contract { version, owner, personal } => {
            model::Document::Contract(model::Contract { version, owner, personal })
        }
        Draft::Grant { id, view, shape, emergency, template, duration } => {
            let days = DURATIONS[duration].1;
            model::Document::Grant(model::Grant { id, view, shape, emergency, template, days })
        }
    }
}

/// A document of which nobody has read anything.
fn other(document: &model::Document) -> model::Document {
    match document.clone() {
        model::Document::Contract(c) => model::Document::Contract(model::Contract { version: c.version + 10, ..c }),
        model::Document::Grant(g) => model::Document::Grant(model::Grant { id: g.id + 10, ..g }),
    }
}

fn grant_of(document: &model::Document) -> Option<model::Grant> {
    match document {
        model::Document::Grant(grant) => Some(grant.clone()),
        model::Document::Contract(_) => None,
    }
}

/// Every kind of event that counts, every kind of refusal and every gap: a generator that no longer reaches one proves
/// nothing of it.
const REACHED: &[&str] = &[
    "counts: agency",
    "counts: contract",
    "counts: end Ended",
    "counts: end Expired",
    "counts: end Law",
    "counts: end Revoked",
    "counts: end Superseded",
    "counts: end Suspended",
    "counts: epoch",
    "counts: grant",
    "counts: grant for an emergency",
    "counts: law",
    "counts: proposal",
    "counts: root",
    "counts: root by the spare",
    "counts: roster",
    "counts: rotation",
    "counts: schema",
    "counts: spare",
    "counts: vote Advise",
    "counts: vote Approve",
    "counts: vote Refuse",
    "counts: vote TakeUp",
    "counts: renewal",
    "contract refused: Unfit",
    "epoch refused: Refused(\"two persons, not by one twice\")",
    "grant refused: Refused(\"is taken\")",
    "grant refused: Refused(\"was used before\")",
    "proposal refused: MissingRole",
    "renewal refused: Refused(\"has ended and cannot be renewed\")",
    "renewal refused: Refused(\"with another shape or for somebody else\")",
    "renewal refused: Unfit",
    "lacks: Approval",
    "lacks: Contract",
    "lacks: Lapsed",
    "lacks: Refused",
    "lacks: Released",
    "lacks: SecondPerson",
    "lacks: TakeUp",
    "refused: Backdated",
    "refused: Expired",
    "refused: MissingRole",
    "refused: NoRoster",
    "refused: NotApproved",
    "refused: NotInRoster",
    "refused: Replayed",
    "refused: TooLong",
    "refused: TooMany",
    "refused: Twice",
    "refused: Unfit",
    "refused: Unsigned",
    "refused: Wrong",
    "agency refused: Refused(\"bears the name of a role\")",
    "end Ended refused: MissingRole",
    "end Expired refused: Unfit",
    "end Revoked refused: MissingRole",
    "end Superseded refused: Unfit",
    "epoch refused: MissingRole",
    "epoch refused: Refused(\"is not above\")",
    "genesis refused: Refused(\"the genesis is the first event\")",
    "grant for an emergency refused: NotApproved",
    "grant for an emergency refused: Refused(\"more than 72 hours\")",
    "grant for an emergency refused: Unfit",
    "grant refused: NotApproved",
    "grant refused: Unfit",
    "law refused: MissingRole",
    "law refused: Refused(\"a last day is set while it lies ahead\")",
    "proposal refused: Refused(\"has passed when it is made\")",
    "proposal refused: Refused(\"more than 90 days ahead\")",
    "proposal refused: Refused(\"was made before\")",
    "renewal refused: NotApproved",
    "root refused: MissingRole",
    "roster refused: MissingRole",
    "roster refused: Refused(\"does not follow\")",
    "roster refused: Refused(\"leaves out the key\")",
    "roster refused: Refused(\"stands in the roster twice\")",
    "roster refused: Refused(\"takes up the key\")",
    "roster refused: Refused(\"who is no\")",
    "roster refused: Refused(\"without an end\")",
    "rotation refused: MissingRole",
    "rotation refused: Refused(\"stands in the roster twice\")",
    "schema refused: Refused(\"taken by another text\")",
    "spare refused: MissingRole",
    "vote Approve refused: MissingRole",
    "vote Approve refused: Refused(\"comes after the deadline\")",
    "vote Approve refused: Refused(\"comes after the release\")",
    "vote Approve refused: Refused(\"does not approve it\")",
    "vote Approve refused: Refused(\"is on another document or page\")",
    "vote Approve refused: Refused(\"there is no proposal\")",
    "vote Refuse refused: Refused(\"without a reason\")",
    "vote TakeUp refused: MissingRole",
    "vote TakeUp refused: Unfit",
];

#[test]
fn any_signed_log_counts_as_the_documents_say() {
    let seen = RefCell::new(Seen::new());
    let (new, founded, contracted) =
        (Log::new(), Log::founded(&mut Seen::new()), Log::contracted(&mut seen.borrow_mut()));
    let strategy = (prop_oneof![1 => Just(0), 1 => Just(1), 6 => Just(2)], prop::collection::vec(step(), 1..32));
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &SEED);
    let done = TestRunner::new_with_rng(config, rng).run(&strategy, |(from, steps)| {
        let mut log = [&new, &founded, &contracted][from].clone();
        for step in steps {
            log.run(step, &mut seen.borrow_mut());
        }
        log.compare();
        Ok(())
    });
    if let Err(error) = done {
        panic!("{error}");
    }
    let seen = seen.into_inner();
    let never: Vec<_> = REACHED.iter().filter(|kind| !seen.contains_key(**kind)).collect();
    assert!(never.is_empty(), "never reached: {never:#?}\nof {seen:#?}");
}
