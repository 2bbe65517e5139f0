//! Keys that change, are revoked, or are lost; and who stands in for whom.

use super::*;

impl Bus {
    /// Signed with root keys, old or new.
    fn put_signed(&mut self, event: &ControlEvent, keys: &[&SigningKey]) -> Result<(), ControlError> {
        let value = serde_json::to_value(event).unwrap();
        let signatures = keys.iter().map(|key| self.sign_with(&value, None, key)).collect();
        self.put(&ControlRecord { format: FORMAT, at_ms: self.at_ms, event: event.clone(), signatures })
    }
}

#[test]
fn keys_change_with_old_and_new_and_a_revoked_key_signs_nothing() {
    let mut bus = Bus::new();
    let person: Person = "ghi".parse().unwrap();
    let (old, new) = (key(4), key(44));
    let event = ControlEvent::Rotation { person: person.clone(), from: public(&old), to: public(&new) };
    let value = serde_json::to_value(&event).unwrap();
    let rotate = |bus: &mut Bus, keys: &[&SigningKey]| {
        let signatures = keys.iter().map(|k| bus.sign_with(&value, Some(person.clone()), k)).collect();
        let record = ControlRecord { format: FORMAT, at_ms: bus.at_ms, event: event.clone(), signatures };
        bus.put(&record)
    };
    for keys in [&[][..], &[&old], &[&new], &[&old, &key(1)]] {
        refusal(rotate(&mut bus, keys));
    }
    rotate(&mut bus, &[&old, &new]).unwrap();
    // The old one is over, and cannot be rotated from again.
    assert!(matches!(refusal(bus.append(&agency_event("C"), &["ghi"])), TrustError::NotInRoster(_)));
    refusal(rotate(&mut bus, &[&old, &new]));
    let value = serde_json::to_value(agency_event("C")).unwrap();
    let signature = bus.sign_with(&value, Some("ghi".parse().unwrap()), &new);
    let record =
        ControlRecord { format: FORMAT, at_ms: bus.at_ms, event: agency_event("C"), signatures: vec![signature] };
    bus.put(&record).unwrap();

    // The root, likewise.
    let root = key(101);
    let event = ControlEvent::Root { key: public(&root) };
    refusal(bus.append(&event, &["root"]));
    let value = serde_json::to_value(&event).unwrap();
    let signatures = vec![bus.sign(&value, "root"), bus.sign_with(&value, None, &root)];
    bus.put(&ControlRecord { format: FORMAT, at_ms: bus.at_ms, event, signatures }).unwrap();
    refusal(bus.append(&ControlEvent::Roster(Box::new(roster(2))), &["root"]));

    // A date of revocation in the roster.
    let mut without = Roster { number: 2, ..(**bus.set.roster.as_ref().unwrap()).clone() };
    without.persons[0].keys[0].until_ms = Some(bus.at_ms + DAY);
    let value = serde_json::to_value(ControlEvent::Roster(Box::new(without.clone()))).unwrap();
    let signatures = vec![bus.sign_with(&value, None, &root)];
    let event = ControlEvent::Roster(Box::new(without));
    bus.put(&ControlRecord { format: FORMAT, at_ms: bus.at_ms, event, signatures }).unwrap();
    bus.propose("p", Document::of_contract(&contract()), "chu");
    bus.at_ms += DAY;
    assert!(matches!(refusal(bus.vote("p", "chu", Verdict::AdviseFor)), TrustError::NotInRoster(_)));
}

#[test]
fn a_lost_root_is_replaced_by_the_spare_and_by_nothing_else() {
    let mut bus = Bus::new();
    let (root, spare, new, thief) = (key(ROOT), key(101), key(102), key(103));
    let named = |key: &SigningKey| ControlEvent::Spare { key: public(key) };
    let event = ControlEvent::Root { key: public(&new) };
    // Before there is one, the spare is anybody.
    assert!(matches!(refusal(bus.put_signed(&event, &[&spare, &new])), TrustError::MissingRole { .. }));
    // It is named by the root, and shows that it is there.
    for keys in [&[][..], &[&root], &[&spare], &[&root, &thief], &[&root, &spare, &thief]] {
        refusal(bus.put_signed(&named(&spare), keys));
    }
    refusal(bus.put_signed(&named(&root), &[&root]));
    bus.put_signed(&named(&spare), &[&root, &spare]).unwrap();
    // It decides nothing but who is the root.
    let roster = ControlEvent::Roster(Box::new(roster(2)));
    assert!(matches!(refusal(bus.put_signed(&roster, &[&spare])), TrustError::NotInRoster(_)));
    refusal(bus.put_signed(&ControlEvent::Root { key: public(&spare) }, &[&root, &spare]));
    // Whoever has stolen the root does not name another, and is put out even after making the root their own.
    refusal(bus.put_signed(&named(&thief), &[&root, &thief]));
    let stolen = ControlEvent::Root { key: public(&thief) };
    bus.put_signed(&stolen, &[&root, &thief]).unwrap();
    for keys in [&[&spare][..], &[&new], &[&spare, &thief], &[&spare, &thief, &new]] {
        refusal(bus.put_signed(&event, keys));
    }
    bus.put_signed(&event, &[&spare, &new]).unwrap();
    refusal(bus.put_signed(&stolen, &[&root, &thief]));
    refusal(bus.put_signed(&roster, &[&thief]));
    bus.put_signed(&roster, &[&new]).unwrap();
    // With root and spare in hand, the spare is changed.
    let next = key(104);
    refusal(bus.put_signed(&named(&next), &[&new, &next]));
    bus.put_signed(&named(&next), &[&new, &spare, &next]).unwrap();
    assert_eq!((bus.set.root, bus.set.spare), (Some(public(&new)), Some(public(&next))));
    refusal(bus.put_signed(&ControlEvent::Root { key: public(&thief) }, &[&spare, &thief]));
}

#[test]
fn a_roster_forgets_no_key_and_takes_none_up_again() {
    let mut bus = Bus::new();
    let mut ended = roster(2);
    ended.persons[0].keys[0].until_ms = Some(bus.at_ms);
    ended.persons[0].keys.push(PersonKey { public: public(&key(11)), from_ms: 0, until_ms: None });
    bus.append(&ControlEvent::Roster(Box::new(ended.clone())), &["root"]).unwrap();
    // As it was before; without the new key; with a later end.
    let mut later = Roster { number: 3, ..ended.clone() };
    later.persons[0].keys[0].until_ms = Some(bus.at_ms + DAY);
    let mut without = Roster { number: 3, ..ended.clone() };
    without.persons[0].keys.pop();
    for bad in [roster(3), later, without] {
        let done = bus.append(&ControlEvent::Roster(Box::new(bad)), &["root"]);
        assert!(matches!(done, Err(ControlError::Refused { .. })), "{done:?}");
    }
    bus.append(&ControlEvent::Roster(Box::new(Roster { number: 3, ..ended })), &["root"]).unwrap();
}

#[test]
fn a_vote_with_a_key_that_was_stolen_by_then_does_not_stand() {
    let mut bus = Bus::with_contract();
    bus.approve_grant("g1", &grant("g"));
    let stolen_at = bus.set.proposals[&"g1".parse().unwrap()].votes[0].0;
    let mut without = roster(2);
    without.persons[0].keys[0].until_ms = Some(stolen_at);
    let mut honest = bus.clone();
    bus.append(&ControlEvent::Roster(Box::new(without.clone())), &["root"]).unwrap();
    let event = bus.activation(&grant("g"), 1);
    let TrustError::NotApproved { missing, .. } = refusal(bus.append(&event, &[])) else { panic!() };
    assert!(missing.contains("owner"), "{missing}");
    // One that ends after the vote takes nothing back.
    without.persons[0].keys[0].until_ms = Some(honest.at_ms);
    honest.append(&ControlEvent::Roster(Box::new(without)), &["root"]).unwrap();
    let event = honest.activation(&grant("g"), 1);
    honest.append(&event, &[]).unwrap();
}

#[test]
fn a_deputy_has_an_end_and_a_principal() {
    let deputy = |until_ms, principal: &str| {
        let mut roster = roster(1);
        let tenure = Tenure { role: Role::Owner, from_ms: 0, until_ms, deputy_for: Some(principal.parse().unwrap()) };
        roster.persons[6].roles.push(tenure);
        roster
    };
    assert!(deputy(Some(5), "chu").check().is_ok());
    for bad in [deputy(None, "chu"), deputy(Some(5), "bao"), deputy(Some(5), "soan"), deputy(Some(5), "ai")] {
        assert!(bad.check().is_err());
    }
    let twice = Roster { persons: [roster(1).persons, roster(1).persons].concat(), ..roster(1) };
    assert!(twice.check().is_err());
}
