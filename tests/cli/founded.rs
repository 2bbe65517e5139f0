//! A bus that is founded on a root, with the keys of its people: everything that signs.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Place, Said};

/// A bus founded on a root, with a roster; what is shipped as declared state lies beside.
pub struct Signed {
    pub place: Place,
    /// What `kenh roster found` printed.
    pub bus: String,
}

pub const PASSPHRASE: &str = "file:passphrase";

impl Signed {
    pub fn new() -> Self {
        Self::found(Place::with_shipped(), "BTC")
    }

    /// Begins a bus at a place where what is shipped lies. Its persons, but for the root and a recipient of H29, are of
    /// `agency`.
    pub fn found(place: Place, agency: &str) -> Self {
        place.write("passphrase", "canary one two three\n");
        let root = new_key(&place, "root");
        let founded = place.kenh(["roster", "found", "--root", &root, "--output", "json"]).ok().json();
        let bus = founded["bus"].as_str().unwrap().to_owned();
        let mut roster = String::from("kind: Roster\nnumber: 1\npersons:\n");
        let persons = [
            ("ghi", agency, "registrar"),
            ("luat", agency, "legal"),
            ("chu", agency, "owner"),
            ("bao", agency, "data-protection-officer"),
            ("soan", agency, "auditor"),
            ("nhan", "H29", "recipient"),
        ];
        for (person, agency, role) in persons {
            let public = new_key(&place, person);
            let line = format!(
                "  - {{ person: {person}, agency: {agency}, roles: [{role}], keys: [{{ public: {public} }}] }}\n"
            );
            roster.push_str(&line);
        }
        place.write("roster.yaml", roster);
        let signed = Self { place, bus };
        signed.sign_roster().ok();
        signed.place.kenh(["submit", "roster.json"]).ok().prints("handed in");
        signed
    }

    /// With the shipped contract of `dataset`, which `owner` answers for, in force.
    pub fn with_contract(dataset: &str, owner: &str) -> Self {
        let bus = Self::found(Place::with_shipped(), owner);
        bus.release_contract(dataset);
        bus
    }

    /// Puts the shipped contract of `dataset` to the vote, and into force.
    pub fn release_contract(&self, dataset: &str) {
        for file in self.to_sign() {
            let article = file.to_str().unwrap().contains("-article-");
            self.sign(&file, if article { "luat" } else { "ghi" }).ok();
            self.submit(&file).ok();
        }
        let propose = ["schema", "propose", dataset, "--author", "soan", "--id", "contract"];
        self.place.kenh(propose).ok();
        self.sign_and_submit("reviews/contract/proposal.json", "soan");
        for person in ["chu", "bao"] {
            self.vote("contract", "approve", person);
        }
        let schemas = format!("schemas/{dataset}");
        self.place.kenh(["apply", &schemas, "broker-config/agencies", "broker-config/laws"]).ok();
    }

    /// A vote on a proposal, signed and handed in.
    pub fn vote(&self, proposal: &str, verdict: &str, person: &str) {
        self.place.kenh(["review", verdict, proposal, "--as", person]).ok();
        self.sign_and_submit(&format!("reviews/{proposal}/vote-{person}.json"), person);
    }

    pub fn sign_and_submit(&self, file: &str, by: &str) {
        let file = self.place.path(file);
        self.sign(&file, by).ok();
        self.submit(&file).ok();
    }

    pub fn sign_roster(&self) -> Said {
        let key = ["--key", "root.key", "--bus", &self.bus, "--out", "roster.json", "--passphrase", PASSPHRASE];
        self.place.kenh(["roster", "sign", "roster.yaml"].into_iter().chain(key))
    }

    pub fn sign(&self, file: &Path, by: &str) -> Said {
        let file = file.to_str().unwrap();
        self.place.kenh(["sign", file, "--key", &format!("{by}.key"), "--passphrase", PASSPHRASE])
    }

    pub fn submit(&self, file: &Path) -> Said {
        self.place.kenh(["submit".as_ref(), file.as_os_str()])
    }

    /// What is to be signed for the shipped declarations: the files in order.
    pub fn to_sign(&self) -> Vec<PathBuf> {
        let apply = ["apply", "schemas", "broker-config", "--to-sign", "to-sign"];
        self.place.kenh(apply).exits(3).complains("to sign: ");
        let mut files: Vec<_> =
            std::fs::read_dir(self.place.path("to-sign")).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    }

    pub fn listed(&self, what: &str) -> usize {
        let listed: Value = self.place.kenh([what, "list", "--output", "json"]).ok().json();
        listed.as_array().unwrap().len()
    }
}

pub fn new_key(place: &Place, whose: &str) -> String {
    let person = if whose == "root" { vec!["--root"] } else { vec!["--person", whose] };
    let file = format!("{whose}.key");
    let rest = ["--out", &file, "--passphrase", PASSPHRASE, "--output", "json"];
    let said = place.kenh(["key", "new"].into_iter().chain(person).chain(rest)).ok();
    said.json()["public"].as_str().unwrap().to_owned()
}
