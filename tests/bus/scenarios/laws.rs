//! A view ends with the article of law that it stands on, by the router's own reading, when nobody decides anything.

use kenh_domain::date::DAY_MS;
use kenh_domain::grant::EndReason;
use kenh_domain::law::Day;

use super::grants::{find, nothing_is_left, people, view};
use crate::check::records;
use crate::ground::Ground;
use crate::roles::{Bus, sent};
use crate::world::{ALL, Contract, Grant, grant, record};

on_every_log!(a_grant_ends_with_the_last_day_of_its_article);

/// Records the article that the sample's grants stand on.
fn article(bus: &Bus, until: Option<Day>) {
    let until = until.map_or(String::new(), |day| format!("until: \"{day}\"\n"));
    let text = format!("kind: Law\nid: dieu-1\ncitation: Điều 1\ntitleEn: Article 1\nfrom: \"2020-01-01\"\n{until}");
    bus.world.write("laws/dieu-1.yaml", &text);
}

fn a_grant_ends_with_the_last_day_of_its_article(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract::default());
    article(&bus, None);
    let ends = grant("theo-dieu-1", "H29", ALL);
    bus.grant(&ends);
    bus.grant(&Grant { basis: "Điều 2", ..grant("theo-dieu-2", "G12", ALL) });
    bus.send(&people());
    bus.settle();
    bus.check();
    let topic = view(&bus, &ends).activation.topic();
    let held = bus.wanted(&ends).len();

    let last = Day::of(bus.now_ms() + DAY_MS);
    article(&bus, Some(last));
    bus.apply();
    bus.settle();
    bus.check();
    assert_eq!(view(&bus, &ends).activation.ends_ms, last.ends_ms());
    // To the last moment of that day it is written to; then no more, and neither a command nor control had a part in it.
    bus.tick(last.ends_ms() - bus.now_ms() - 1);
    bus.send(&[sent("k0", 2, record("k0", "Còn", "79", 98))]);
    while bus.turn_router(bus.ground.wait) != kenh_router::Turn::Idle {}
    let holds = |bus: &Bus, text: &str| {
        records(bus.log(), &topic).iter().any(|r| r.value.as_ref().is_some_and(|value| find(value, text)))
    };
    assert!(holds(&bus, "Còn"));
    bus.tick(1);
    bus.send(&[sent("k0", 3, record("k0", "Sau", "79", 99))]);
    while bus.turn_router(bus.ground.wait) != kenh_router::Turn::Idle {}
    assert!(!holds(&bus, "Sau"));
    bus.grants.get_mut(ends.id).unwrap().ended = true;
    bus.settle();
    bus.check();
    let set = bus.control_set();
    assert_eq!(set.end_of(&view(&bus, &ends), bus.now_ms()), Some(EndReason::Law));
    nothing_is_left(&bus, &ends, &topic, held);
}
