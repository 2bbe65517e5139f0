//! Signing on another machine: the file and the key are carried there, and nothing else is needed.

use serde_json::Value;

use crate::founded::Signed;
use crate::harness::Place;

const PROPOSAL: &str = "reviews/ten-dai/proposal.json";

#[test]
fn a_proposal_is_signed_in_an_empty_directory_and_counts_when_carried_back() {
    let bus = Signed::with_contract("don-vi-hanh-chinh", "G09");
    let place = &bus.place;
    let relax = ["rule", "relax", "don-vi-hanh-chinh", "max-length", "--for", "24h", "--id", "ten-dai"];
    place.kenh(relax.iter().chain(&["--reason", "Tên dài hơn", "--author", "soan"])).ok();
    bus.submit(&place.path(PROPOSAL)).exits(3).complains("it is not signed");

    for (n, command) in [&["review", "sign"][..], &["sign"]].into_iter().enumerate() {
        let elsewhere = Place::new();
        for (from, to) in [(PROPOSAL, "proposal.json"), ("soan.key", "soan.key"), ("passphrase", "passphrase")] {
            elsewhere.write(to, place.read(from));
        }
        let args = ["proposal.json", "--key", "soan.key", "--passphrase", "file:passphrase"];
        let mut sign = elsewhere.command(command.iter().chain(&args));
        // A machine that knows no bus: no directory of one, no cluster, no configuration.
        sign.env_remove("KENH_DATA").env_remove("KENH_LISTEN");
        let said = crate::harness::finish(sign, b"").ok();
        // What is signed is shown before it is signed.
        let said = said.complains("soan proposes").complains("ten-dai");
        assert!(!said.stderr.contains("canary"), "{}", said.stderr);
        let mut left: Vec<_> = elsewhere.files("").into_iter().map(|(path, _)| path).collect();
        left.iter_mut().for_each(|path| *path = path.file_name().unwrap().into());
        let left: Vec<_> = left.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(left, ["passphrase", "proposal.json", "soan.key"], "signing made something");
        let signed: Value = serde_json::from_str(&elsewhere.read("proposal.json")).unwrap();
        assert_eq!(signed["signatures"].as_array().unwrap().len(), 1);
        if n == 0 {
            place.write("signed.json", elsewhere.read("proposal.json"));
        }
    }
    bus.submit(&place.path("signed.json")).ok();
    place.kenh(["review", "list"]).ok().prints("ten-dai");
}
