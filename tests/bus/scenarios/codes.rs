//! A code list that is a dataset on the bus: who may write a code is told by the records that stand, whoever starts again
//! meanwhile; an old code is right in an old record.

use std::time::Duration;

use kenh_domain::frame::ListAt;
use kenh_testkit::CommitFault;
use serde_json::{Value, json};

use crate::check::What;
use crate::ground::Ground;
use crate::roles::{Bus, Sent, dataset, sent};
use crate::world::{AGENCIES, Grant, World, grant};

on_every_log!(a_code_list_is_a_dataset_and_an_old_code_is_right_in_an_old_record);

const UNITS: &str = "don-vi";
const HOMES: &str = "cu-tru";

const UNITS_CONTRACT: &str = "\
apiVersion: v3.1.0
kind: DataContract
id: don-vi
version: 1.0.0
status: active
team: {name: G02}
customProperties:
  - {property: kenh.open, value: true}
  - {property: kenh.effective, value: in-key}
schema:
  - name: DonVi
    properties:
      - {name: Ma, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: Tu, logicalType: date, required: true, primaryKey: true, primaryKeyPosition: 2}
      - {name: Den, logicalType: date}
      - {name: Cap, logicalType: integer, required: true}
";

const UNITS_SCHEMA: &str = r#"{"type":"record","name":"DonVi","fields":[
    {"name":"Ma","type":"string"},
    {"name":"Tu","type":{"type":"int","logicalType":"date"}},
    {"name":"Den","type":["null",{"type":"int","logicalType":"date"}],"default":null},
    {"name":"Cap","type":"int"}]}"#;

const HOMES_CONTRACT: &str = "\
apiVersion: v3.1.0
kind: DataContract
id: cu-tru
version: 1.0.0
status: active
team: {name: G01}
customProperties:
  - {property: kenh.partitions, value: 2}
  - property: kenh.codeLists
    value:
      - {name: xa, dataset: don-vi, code: Ma, from: Tu, to: Den, rows: Cap == 3}
schema:
  - name: CuTru
    properties:
      - {name: So, logicalType: string, required: true, primaryKey: true}
      - name: Xa
        logicalType: string
        required: true
        customProperties:
          - {property: kenh.codeList, value: xa}
          - {property: kenh.codeListWith, value: XaTu}
      - {name: XaTu, logicalType: date, required: true}
      - name: NoiCap
        logicalType: string
        customProperties:
          - {property: kenh.codeList, value: xa}
          - {property: kenh.codeListOn, value: NgayCap}
      - {name: NgayCap, logicalType: date}
";

const HOMES_SCHEMA: &str = r#"{"type":"record","name":"CuTru","fields":[
    {"name":"So","type":"string"},
    {"name":"Xa","type":"string"},
    {"name":"XaTu","type":{"type":"int","logicalType":"date"}},
    {"name":"NoiCap","type":["null","string"],"default":null},
    {"name":"NgayCap","type":["null",{"type":"int","logicalType":"date"}],"default":null}]}"#;

const FIRST: &str = "2004-01-01";
const LAST: &str = "2025-06-30";
const REFORM: &str = "2025-07-01";

fn unit(code: &str, from: &str, version: u64, to: Option<&str>, level: i64) -> Sent {
    let record = json!({"Ma": code, "Tu": from, "Den": to, "Cap": level});
    sent(&json!([code, from]).to_string(), version, record).by("G02")
}

fn home(so: &str, version: u64, xa: (&str, &str), issued: (&str, &str)) -> Sent {
    let text = |t: &str| if t.is_empty() { Value::Null } else { t.into() };
    let record = json!({"So": so, "Xa": xa.0, "XaTu": xa.1, "NoiCap": text(issued.0), "NgayCap": text(issued.1)});
    sent(so, version, record)
}

/// Submits a home that the router must reject.
fn refused(bus: &mut Bus, change: &Sent) {
    let contract = bus.contract(HOMES);
    let name = format!("sai-{}-{}", change.key, change.version);
    crate::roles::submit(bus.log(), &contract, std::slice::from_ref(change), &name, bus.now_ms());
    bus.expected.entry(("G01".into(), HOMES.into())).or_default().rejected += 1;
}

fn named(bus: &Bus) -> Vec<Vec<ListAt>> {
    let markers = bus.data(HOMES).into_iter().filter(|line| line.partition == 0);
    markers
        .filter_map(|line| if let What::Marker(marker) = line.what { Some(marker.code_lists) } else { None })
        .collect()
}

/// Units by G02, homes by G01, and one who receives homes; nothing is submitted yet.
fn bus(ground: Ground) -> Bus {
    let world = World::empty();
    for agency in AGENCIES {
        world.agency(agency);
    }
    for (name, contract, schema) in [(UNITS, UNITS_CONTRACT, UNITS_SCHEMA), (HOMES, HOMES_CONTRACT, HOMES_SCHEMA)] {
        world.write(&format!("{name}/contract.yaml"), contract);
        world.write(&format!("{name}/v1.avsc"), schema);
    }
    let mut bus = Bus::over(ground, world);
    bus.apply();
    bus.grant(&Grant { dataset: HOMES, ..grant("noi-o", "H29", &[("So", "So"), ("Xa", "Xa")]) });
    for name in [UNITS, HOMES] {
        bus.oracles.entry(name.into()).or_default();
    }
    bus
}

/// What a commit of which nobody knows the outcome may have held is decided again, and comes out as it did.
#[test]
fn what_is_decided_again_comes_out_as_it_did() {
    for fault in [CommitFault::UnclearLost, CommitFault::UnclearWritten] {
        let mut bus = bus(Ground::memory());
        bus.send_to(UNITS, &[unit("00001", FIRST, 1, None, 3)]);
        bus.settle();
        refused(&mut bus, &home("a", 1, ("00002", FIRST), ("", "")));
        bus.send_to(HOMES, &[home("b", 1, ("00001", FIRST), ("", ""))]);
        bus.ground.memory.as_ref().unwrap().faults().next_commits(1, fault);
        while !matches!(bus.turn_router(Duration::ZERO), kenh_router::Turn::Waiting(_)) {}
        // Meanwhile there is such a unit; it was not there when this was decided.
        bus.send_to(UNITS, &[unit("00002", FIRST, 1, None, 3)]);
        bus.settle();
        bus.check();
        assert_eq!(bus.rules_of("G01", HOMES), ["code-list"], "{fault:?}");
        bus.send_to(HOMES, &[home("a", 1, ("00002", FIRST), ("", ""))]);
        bus.settle();
        bus.check();
    }
}

/// A router that dies between the commit of a code and the marker that names it: where inputs are decided again under the
/// marker that stood, they ask the list that it names, and not what the log holds by now (docs/adr/0006).
#[test]
fn a_list_that_no_marker_names_yet_is_not_asked() {
    let mut bus = bus(Ground::memory());
    bus.send_to(UNITS, &[unit("00001", FIRST, 1, None, 3)]);
    bus.settle();
    bus.send_to(HOMES, &[home("b", 1, ("00001", FIRST), ("", ""))]);
    bus.settle();
    bus.send_to(UNITS, &[unit("00002", FIRST, 1, None, 3)]);
    while !matches!(bus.turn_router(Duration::ZERO), kenh_router::Turn::Decided { .. }) {}
    bus.crash_router();
    let early = home("a", 1, ("00002", FIRST), ("", ""));
    refused(&mut bus, &early);
    bus.settle();
    bus.check();
    assert_eq!(bus.rules_of("G01", HOMES), ["code-list"]);
    bus.send_to(HOMES, &[early]);
    bus.settle();
    bus.check();
}

fn a_code_list_is_a_dataset_and_an_old_code_is_right_in_an_old_record(ground: &dyn Fn() -> Ground) {
    let mut bus = bus(ground());
    // No record, no code.
    refused(&mut bus, &home("a", 1, ("00001", FIRST), ("", "")));
    bus.settle();
    bus.check();

    // Whoever has the receipt of a new unit may use it. A province is no commune.
    bus.send_to(UNITS, &[unit("00001", FIRST, 1, None, 3), unit("79", FIRST, 1, None, 1)]);
    bus.settle();
    bus.send_to(
        HOMES,
        &[home("a", 1, ("00001", FIRST), ("00001", "2020-05-05")), home("b", 1, ("00001", FIRST), ("00001", ""))],
    );
    refused(&mut bus, &home("c", 1, ("79", FIRST), ("", "")));
    refused(&mut bus, &home("d", 1, ("00001", REFORM), ("", "")));
    refused(&mut bus, &home("e", 1, ("00001", FIRST), ("00001", "2003-12-31")));
    bus.settle();
    bus.check();

    // The unit ends, another takes over its code, and one is written that is wrong. Meanwhile the router starts again.
    bus.send_to(
        UNITS,
        &[unit("00001", FIRST, 2, Some(LAST), 3), unit("00001", REFORM, 1, None, 3), unit("00002", REFORM, 1, None, 3)],
    );
    bus.settle();
    bus.crash_router();
    let both = [
        // An old code in an old record, corrected years later.
        home("a", 2, ("00001", FIRST), ("00001", LAST)),
        home("b", 2, ("00001", REFORM), ("00001", REFORM)),
        home("f", 1, ("00002", REFORM), ("00002", REFORM)),
    ];
    bus.send_to(HOMES, &both);
    refused(&mut bus, &home("g", 1, ("00002", FIRST), ("", "")));
    refused(&mut bus, &home("h", 1, ("00002", REFORM), ("00002", LAST)));
    bus.settle();
    bus.check();

    // What is cancelled as wrong takes its code with it; records that have it stay until they are corrected.
    bus.send_to(UNITS, &[Sent { record: None, ..unit("00002", REFORM, 2, None, 3) }]);
    bus.settle();
    refused(&mut bus, &home("f", 2, ("00002", REFORM), ("", "")));
    refused(&mut bus, &home("i", 1, ("00002", REFORM), ("", "")));
    // The router is gone when it has decided them, and when it has not.
    bus.crash_router();
    bus.settle();
    bus.crash_router();
    bus.settle();
    bus.check();
    assert_eq!(bus.rules_of("G01", HOMES), ["code-list"; 8]);

    // Every marker says which list was asked, and lists only go on.
    let named = named(&bus);
    assert!(named.iter().all(|lists| lists.len() == 1 && lists[0].dataset == dataset(UNITS)), "{named:?}");
    let sequences: Vec<u64> = named.iter().map(|lists| lists[0].sequence.0).collect();
    assert!(sequences.is_sorted() && sequences.first() < sequences.last(), "{sequences:?}");
}
