//! A bus that is founded on a root, on a cluster behind TLS: data moves by a reviewed contract and a signed grant, and an
//! operator who holds the control role's certificate and every file moves none.

use std::path::PathBuf;

use bytes::Bytes;
use kenh_domain::control::{ControlEvent, ControlRecord, FORMAT, Trust};
use kenh_domain::log::{Log as _, NewRecord, TopicPartition};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use serde_json::json;

use crate::bus::{Bus, now_ms};
use crate::founded::Signed;
use crate::harness::{Up, until};

const DATASET: &str = "don-vi-hanh-chinh";
const GRANT: &str = "broker-config/grants/h29-don-vi-hanh-chinh.yaml";
const VIEW: &str = "view.H29.don-vi-hanh-chinh.main.1";

/// What would give H29 its view, were this bus unsigned: the events of the plan, written to the control log as they are.
fn write_past_everybody(bus: &Bus, paths: &[PathBuf]) {
    let declared = kenh_governance::read(paths).unwrap();
    let mut set = kenh_governance::load(&bus.control).unwrap();
    set.trust = Some(Trust::Unsigned);
    let plan = kenh_governance::plan(&declared, &set, &bus.control.topics().unwrap(), now_ms()).unwrap();
    assert!(plan.events.iter().any(|event| matches!(event, ControlEvent::Grant(_))));
    let to = TopicPartition::new(Topic::Control, 0);
    let records = plan.events.into_iter().map(|event| {
        let record = ControlRecord { format: FORMAT, at_ms: now_ms(), event, signatures: Vec::new() };
        let value = Some(Bytes::from(serde_json::to_vec(&record).unwrap()));
        NewRecord { to: to.clone(), timestamp_ms: now_ms(), key: Bytes::new(), value }
    });
    let mut writer = bus.control.writer(&Principal::control());
    writer.write(records.collect()).unwrap();
    writer.flush().unwrap();
}

fn view_is_there(bus: &Bus) -> bool {
    bus.control.topics().unwrap().iter().any(|spec| spec.topic.to_string() == VIEW)
}

#[test]
fn a_grant_counts_with_its_signatures_and_an_operator_writes_past_them_in_vain() {
    let bus = Bus::start();
    let desk = bus.machine("kenh-control", &json!({}));
    desk.ship();
    let signed = Signed::found(desk, "G09");
    let desk = &signed.place;
    signed.release_contract(DATASET);
    bus.admit("h29-portal");
    let [route, control] = ["kenh-router", "kenh-control"].map(|role| bus.machine(role, &json!({})));
    let roles = [Up::serve(&route, route.command(["route"])), Up::serve(&control, control.command(["control"]))];

    let units: String = ["commune", "province", "abolished-district"]
        .map(|name| {
            let text = desk.read(&format!("schemas/{DATASET}/examples/valid/{name}.json"));
            format!("{}\n", serde_json::from_str::<serde_json::Value>(&text).unwrap())
        })
        .concat();
    desk.write("units.jsonl", units);
    desk.kenh(["produce", DATASET, "--from", "units.jsonl"]).ok();

    // With kenh, and past it.
    desk.kenh(["apply", GRANT]).exits(3).complains("is not approved");
    write_past_everybody(&bus, &[desk.path(GRANT)]);
    for role in &roles {
        until("the role to report what it ignores", || {
            role.said().contains("grant h29-don-vi-hanh-chinh is not approved").then_some(())
        });
    }
    assert!(!view_is_there(&bus));
    desk.kenh(["doctor"]).exits(1).prints("somebody wrote to kenh.control who should not have");
    assert_eq!(signed.listed("grant"), 0);
    let reader = bus.machine("h29-portal", &json!({}));
    let copy = || reader.kenh(["subscribe", "H29", "--once", "--output", "json"]).ok().json();
    assert_eq!(copy(), json!([]));

    // By those who decide.
    desk.kenh(["review", "grant", "--from", GRANT, "--author", "nhan", "--id", "grant"]).ok();
    signed.sign_and_submit("reviews/grant/proposal.json", "nhan");
    signed.vote("grant", "approve", "chu");
    signed.vote("grant", "approve", "bao");
    desk.kenh(["apply", GRANT]).exits(3);
    signed.vote("grant", "take-up", "nhan");
    desk.kenh(["apply", GRANT]).ok();
    // The commune and the province of 79; the district has a last day.
    until("H29's copy", || (copy()[0]["rows"] == 2).then_some(()));

    // Revoked by a signature, and by nothing that an operator writes.
    desk.kenh(["grant", "revoke", "h29-don-vi-hanh-chinh"]).ok();
    desk.kenh(["submit", "h29-don-vi-hanh-chinh.end.json"]).exits(3).complains("it is not signed");
    assert!(view_is_there(&bus));
    signed.sign_and_submit("h29-don-vi-hanh-chinh.end.json", "chu");
    until("the view to go", || (!view_is_there(&bus)).then_some(()));
}
