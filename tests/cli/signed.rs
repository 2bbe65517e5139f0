//! A bus whose decisions are signed, as its people meet it: keys, the roster, signing offline, and an operator who has
//! every file and configuration and still grants nothing.

use serde_json::Value;

use crate::founded::{PASSPHRASE, Signed, new_key};

#[test]
fn an_operator_with_every_file_grants_himself_nothing() {
    let bus = Signed::new();
    let refused = bus.place.kenh(["apply", "schemas", "broker-config"]).exits(3);
    let refused = refused.complains("it needs the signature of a registrar").complains("is not approved");
    refused.complains("nothing was changed");
    assert_eq!((bus.listed("contract"), bus.listed("grant")), (0, 0));

    // What can be signed is signed by whoever may, and by nobody else.
    let files = bus.to_sign();
    let first = files.first().unwrap().clone();
    bus.submit(&first).exits(3).complains("it is not signed");
    bus.sign(&first, "chu").ok();
    bus.submit(&first).exits(3).complains("it needs the signature of a registrar");
    let operator = new_key(&bus.place, "van-hanh");
    assert_eq!(operator.len(), 64);
    let files = bus.to_sign();
    bus.sign(&first, "van-hanh").ok();
    bus.submit(&first).exits(3).complains("van-hanh is not in the roster");

    let files_again = bus.to_sign();
    assert_eq!(files, files_again);
    for file in &files {
        let article = file.to_str().unwrap().contains("-article-");
        bus.sign(file, if article { "luat" } else { "ghi" }).ok();
        bus.submit(file).ok();
    }
    // Handed in once more, it counts no second time.
    bus.submit(files.last().unwrap()).exits(3).complains("was used before");
    // Contracts and grants come by votes alone.
    let refused = bus.place.kenh(["apply", "schemas", "broker-config"]).exits(3).complains("is not approved");
    assert!(!refused.stderr.contains("registrar"), "{}", refused.stderr);
    assert_eq!((bus.listed("contract"), bus.listed("grant")), (0, 0));
}

#[test]
fn what_was_changed_on_its_way_is_refused() {
    let bus = Signed::new();
    let file = bus.to_sign().remove(0);
    bus.sign(&file, "ghi").ok();
    bus.sign(&file, "ghi").exits(3).complains("has signed this already");
    let name = file.strip_prefix(bus.place.path("")).unwrap().to_str().unwrap().to_owned();
    let good = bus.place.read(&name);
    let code = serde_json::from_str::<Value>(&good).unwrap()["event"]["code"].as_str().unwrap().to_owned();
    bus.place.write(&name, good.replace(&format!("\"code\": \"{code}\""), "\"code\": \"ZZZ\""));
    bus.submit(&file).exits(3).complains("does not fit");
    bus.place.write(&name, good.replace(&bus.bus, &"0".repeat(64)));
    bus.submit(&file).exits(3).complains("counts nowhere else");
    bus.place.write(&name, good.replacen('{', "{\"force\": true,", 1));
    bus.submit(&file).exits(3).complains("this is no request to sign");
    bus.place.write(&name, good);
    bus.submit(&file).ok();
}

#[test]
fn keys_stay_sealed_and_a_bus_begins_once() {
    let bus = Signed::new();
    let again = new_key(&bus.place, "khac");
    bus.place.kenh(["roster", "found", "--root", &again]).exits(3).complains("begun already");
    bus.place.kenh(["roster", "found", "--root", &"0".repeat(64)]).exits(1).complains("no public key");
    bus.place.kenh(["key", "new", "--root", "--out", "root.key", "--passphrase", PASSPHRASE]).exits(1);
    bus.place.kenh(["key", "new", "--person", "x", "--out", "x.key", "--passphrase", "canary one two three"]).exits(2);
    bus.place.write("other", "canary one two four");
    let file = bus.to_sign().remove(0);
    let wrong = ["sign", file.to_str().unwrap(), "--key", "ghi.key", "--passphrase", "file:other"];
    let said = bus.place.kenh(wrong).exits(1).complains("does not open");
    assert!(!said.stderr.contains("canary") && !bus.place.read("ghi.key").contains("canary"));
    // The roster that stands, written again, has the wrong number now.
    bus.sign_roster().ok();
    bus.place.kenh(["submit", "roster.json"]).exits(3).complains("the next has number 2");

    // A key is changed for another, by its owner alone.
    bus.place.kenh(["key", "new", "--person", "ghi", "--out", "ghi2.key", "--passphrase", PASSPHRASE]).ok();
    let rotate = ["key", "rotate", "--from", "ghi.key", "--bus", &bus.bus, "--passphrase", PASSPHRASE];
    let to = |key| rotate.into_iter().chain(["--to", key, "--out", "rotation.json"]);
    bus.place.kenh(to("chu.key")).exits(2);
    bus.place.kenh(to("ghi2.key")).ok();
    bus.place.kenh(["submit", "rotation.json"]).ok();
    bus.sign(&file, "ghi").ok();
    bus.submit(&file).exits(3).complains("ghi is not in the roster with this key now");
    bus.place.kenh(["roster", "show"]).ok().prints("over since").prints(&bus.bus);
}

#[test]
fn a_lost_root_is_replaced_by_the_spare_that_was_named() {
    let bus = Signed::new();
    let new_root = |file: &str| {
        let said = bus.place.kenh(["key", "new", "--root", "--out", file, "--passphrase", PASSPHRASE]).ok();
        said.stdout.split_whitespace().last().unwrap().to_owned()
    };
    let spare = new_root("spare.key");
    bus.place.kenh(["roster", "show"]).ok().prints("spare none");
    let name = |spare: &str| {
        let keys = ["key", "spare", "--root", "root.key", "--spare", spare, "--out", "spare.json"];
        bus.place.kenh(keys.into_iter().chain(["--bus", &bus.bus, "--passphrase", PASSPHRASE]))
    };
    name("chu.key").exits(2).complains("is no root key");
    name("root.key").exits(3);
    name("spare.key").ok().prints(&spare);
    bus.place.kenh(["submit", "spare.json"]).ok();
    bus.place.kenh(["roster", "show"]).ok().prints(&format!("spare {spare}"));

    // The root's file is gone; without it there would be no other roster.
    std::fs::remove_file(bus.place.path("root.key")).unwrap();
    let root = new_root("root.key");
    bus.place.edit("roster.yaml", "number: 1", "number: 2");
    bus.sign_roster().ok();
    bus.place.kenh(["submit", "roster.json"]).exits(3).complains("the root is not in the roster with this key");
    let keys = ["key", "rotate", "--from", "spare.key", "--to", "root.key", "--out", "root.json"];
    bus.place.kenh(keys.into_iter().chain(["--bus", &bus.bus, "--passphrase", PASSPHRASE])).ok();
    bus.place.kenh(["submit", "root.json"]).ok();
    bus.place.kenh(["submit", "roster.json"]).ok();
    bus.place.kenh(["roster", "show"]).ok().prints(&format!("root  {root}")).prints("roster 2");
}
