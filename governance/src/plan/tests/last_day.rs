//! Grants that end on a calendar day: when they may, what another day is, and what counts from when.

use super::*;

#[test]
fn a_last_day_is_held_to_and_stands_declared_when_it_is_over() {
    let mut bus = Bus::new();
    bus.files.edit("g.yaml", "duration: P12M", "ends: 1970-06-30");
    bus.now = 40 * 86_400_000;
    let plan = bus.apply();
    assert!(lines(&plan).last().unwrap().ends_with("until 1970-06-30"), "{:?}", lines(&plan));
    let over = "1970-06-30".parse::<Day>().unwrap().ends_ms();
    assert_eq!(bus.set.views[&ViewNo(1)].activation.ends_ms, over);
    for now in [bus.now, over - 1, over, over + YEAR_MS] {
        bus.now = now;
        let plan = bus.plan().unwrap();
        assert!(plan.is_empty() && plan.events.is_empty(), "{:?}", lines(&plan));
    }
    let last = bus.plan().unwrap().changes.into_iter().find(|c| c.kind == Kind::Grant).unwrap();
    assert!(last.words[0].starts_with("its time ran out on 1970-06-30"), "{last}");
    bus.files.edit("g.yaml", "1970-06-30", "1975-06-30");
    assert!(bus.problems()[0].starts_with("g.yaml:2:5: grant g has ended, and its id is never used again"));
}

#[test]
fn another_last_day_renews_until_it_is_over_and_counts_from_the_activation() {
    let mut bus = Bus::new();
    bus.files.edit("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Ten]");
    bus.files.edit("g.yaml", "duration: P12M", "ends: 1970-06-30");
    bus.apply();
    bus.now = 60 * 86_400_000;
    bus.files.edit("g.yaml", "1970-06-30", "1970-09-30");
    let plan = bus.apply();
    assert_eq!(events(&plan), ["renewal 1 by g"]);
    let line = &lines(&plan)[0];
    assert!(line.contains("how long it holds: \"until 1970-06-30\" → \"until 1970-09-30\""), "{line}");
    assert!(line.contains("until 1970-09-30 and no longer 1970-06-30"), "{line}");
    // To a day that is over it does not go back: whoever wants an end now says so.
    bus.files.edit("g.yaml", "1970-09-30", "1970-02-28");
    let past = "g.yaml:10:7: its last day, 1970-02-28, is over (name a day that is still to come, or end the grant with `state: ended`)";
    assert_eq!(bus.problems(), [past]);
    // Personal data: twelve months from the activation, not from the renewal.
    bus.files.edit("g.yaml", "1970-02-28", "1971-01-02");
    let long = "g.yaml:10:7: it gives personal data of thu, and 1971-01-02 is more than twelve months after its activation (let it end on 1971-01-01 at the latest, and grant it anew when that is over)";
    assert_eq!(bus.problems(), [long]);
    // A next edition is activated anew.
    bus.files.edit("g.yaml", "filter: Tinh == '79'\n", "");
    bus.apply();
    assert_eq!(bus.set.views[&ViewNo(2)].activation.ends_ms, "1971-01-02".parse::<Day>().unwrap().ends_ms());
}

#[test]
fn no_contract_makes_personal_data_of_what_is_given_until_a_day_beyond_a_year() {
    for (day, refused) in [("1971-01-01", false), ("1971-01-02", true)] {
        let mut bus = Bus::new();
        bus.files.edit("g.yaml", "duration: P12M", &format!("ends: {day}"));
        bus.apply();
        bus.files.edit("thu/contract.yaml", "version: 1.0.0", "version: 1.1.0");
        let basic = "{name: Tinh, logicalType: string, customProperties: [{property: kenh.pii, value: basic}]}";
        bus.files.edit("thu/contract.yaml", "{name: Tinh, logicalType: string}", basic);
        let wanted =
            format!("thu/contract.yaml:4:10: grant g holds until {day}; with personal data it may be P12M at most");
        assert_eq!(told(&bus).iter().any(|p| p.starts_with(&wanted)), refused, "{day}: {:#?}", told(&bus));
        assert_eq!(told(&bus).is_empty(), !refused, "{day}: {:#?}", told(&bus));
    }
}

#[test]
fn where_decisions_are_signed_a_last_day_is_voted_on_like_a_duration() {
    const NOW: i64 = 1_795_500_000_000; // 2026-11-24
    let files = Declaration::new();
    files.edit("g.yaml", "duration: P12M", "ends: 2027-03-31");
    let mut bus = Signed::new(NOW);
    bus.apply(&files);
    files.edit("g.yaml", "2027-03-31", "2027-06-30");
    bus.apply(&files);
    let view = &bus.set.views[&ViewNo(1)].activation;
    assert_eq!(view.ends_ms, "2027-06-30".parse::<Day>().unwrap().ends_ms());
    assert!(bus.planned(&files).is_empty());
}
