//! Is this cluster fit for data of agencies? As an operator asks it.

use serde_json::{Value, json};

use crate::bus::Bus;
use crate::founded::Signed;

#[test]
fn doctor_is_green_on_three_brokers_of_ours_and_red_on_each_planted_fault() {
    let bus = Bus::of(3);
    let desk = bus.machine("kenh-control", &json!({}));
    desk.ship();
    // What is red, and the exit code.
    let doctor = |place: &crate::harness::Place, code: i32| -> Vec<String> {
        let said = place.kenh(["doctor", "--profile", "production", "--output", "json"]).exits(code);
        let lines: Vec<Value> = said.json().as_array().unwrap().clone();
        let red = lines.into_iter().filter(|line| line["verdict"] == "red");
        red.map(|line| format!("{}: {}", line["check"].as_str().unwrap(), line["found"].as_str().unwrap())).collect()
    };
    assert_eq!(doctor(&desk, 1), ["genesis: this bus has not begun"]);
    let signed = Signed::found(desk, "G09");
    assert_eq!(doctor(&signed.place, 0), Vec::<String>::new());

    for fault in [
        "auto.create.topics.enable=true",
        "unclean.leader.election.enable=true",
        "allow.everyone.if.no.acl.found=true",
        "transaction.state.log.replication.factor=1",
    ] {
        bus.cluster.restart_with(2, fault);
        let found = doctor(&signed.place, 1);
        let name = fault.split('=').next().unwrap();
        let of_it = found.iter().filter(|line| line.contains(name) && line.contains("at broker 2")).count();
        assert_eq!(of_it, 1, "{fault} is not red: {found:#?}");
    }
}
