//! A rule of admission that warns for a while: decided by the time of the log, whoever starts again meanwhile.

use std::collections::BTreeMap;

use kenh_domain::control::ControlEvent;
use kenh_domain::receipt::{Receipt, Warnings};
use kenh_domain::relaxation::Relaxation;
use kenh_domain::rule::Rule;
use kenh_domain::topic::Topic;
use kenh_governance::trust::{Request, submit as hand_in};

use crate::check::records;
use crate::ground::Ground;
use crate::roles::{Bus, Sent, agency, dataset, sent, submit};
use crate::world::{ALL, Contract, HO_SO, OF_79, grant, record};

on_every_log!(a_relaxed_rule_warns_and_rejects_again_by_the_time_of_the_log);

const HOUR: i64 = 3_600_000;

/// Submits a change from software that does not ask the rule itself.
fn send(bus: &Bus, change: &Sent, submission: &str) {
    let mut contract = (*bus.contract(HO_SO)).clone();
    contract.fields.get_mut("Tinh").unwrap().values = None;
    submit(bus.log(), &contract, std::slice::from_ref(change), submission, bus.now_ms());
}

fn rejected(bus: &mut Bus) {
    bus.expected.entry(("G01".into(), HO_SO.into())).or_default().rejected += 1;
}

fn warnings(bus: &Bus) -> BTreeMap<String, u64> {
    let mut sum = Warnings::default();
    for record in records(bus.log(), &Topic::Receipt(agency("G01"))) {
        let receipt: Receipt = serde_json::from_slice(&record.value.unwrap()).unwrap();
        sum.merge(&receipt.warnings);
    }
    sum.0
}

fn a_relaxed_rule_warns_and_rejects_again_by_the_time_of_the_log(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { places: &["79", "01"], ..Contract::default() });
    bus.grant(&grant("tat-ca", "G12", ALL));
    bus.grant(&grant("thanh-pho", "H29", ALL).rows(OF_79));
    let of_48 = |key: &str, version| sent(key, version, record(key, "An", "48", 0));
    send(&bus, &of_48("a", 1), "truoc");
    rejected(&mut bus);
    bus.settle();
    assert_eq!(bus.rules("G01"), ["values"]);

    let ends_ms = bus.now_ms() + HOUR;
    let event = ControlEvent::Relaxation(Box::new(Relaxation {
        id: "tinh-moi".parse().unwrap(),
        dataset: dataset(HO_SO),
        rule: Rule::Values,
        field: Some("Tinh".into()),
        reason: "tỉnh mới".into(),
        ends_ms,
    }));
    let request = Request::new(&bus.control_set(), &event, None).unwrap();
    hand_in(bus.log(), &request, bus.now_ms()).unwrap();
    for (n, change) in [of_48("a", 1), sent("b", 1, record("b", "Bình", "79", 0))].iter().enumerate() {
        send(&bus, change, &format!("trong-{n}"));
        bus.note(HO_SO, change);
    }
    bus.settle();
    bus.check();

    // The router starts again, and the relaxation stands to its last moment.
    bus.crash_router();
    bus.tick(ends_ms - bus.now_ms() - 1);
    let last = of_48("c", 1);
    send(&bus, &last, "cuoi");
    bus.note(HO_SO, &last);
    while bus.turn_router(bus.ground.wait) != kenh_router::Turn::Idle {}
    bus.crash_router();
    while bus.turn_router(bus.ground.wait) != kenh_router::Turn::Idle {}
    bus.tick(1);
    send(&bus, &of_48("d", 1), "sau");
    rejected(&mut bus);
    bus.settle();
    bus.check();
    assert_eq!(bus.rules("G01"), ["values", "values"]);
    assert_eq!(warnings(&bus), BTreeMap::from([("values".to_owned(), 2)]));
}
