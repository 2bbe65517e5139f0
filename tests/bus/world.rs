//! Declared state as a user writes it: YAML and Avro files in a folder, applied through governance. And the dataset
//! `ho-so` that most scenarios share: `So` is its record key, `An` is what hardly anybody is granted.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use kenh_domain::law::Day;
use kenh_domain::log::Log;
use kenh_governance::{Applied, Plan};
use serde_json::Value;

use crate::oracle::{Rows, Wanted, at};

/// The sample dataset.
pub const HO_SO: &str = "ho-so";

/// Agencies of the sample: two that provide, and some that receive.
pub const AGENCIES: [&str; 6] = ["G01", "G02", "H29", "G12", "G18", "A01"];

/// A row filter, and what it means.
#[derive(Clone, Copy)]
pub struct RowsOf(pub &'static str, pub Rows);

pub const OF_79: RowsOf = RowsOf("Tinh == '79'", |r| at(r, "Tinh") == "79");
pub const OF_79_AND_01: RowsOf = RowsOf("Tinh in ['79', '01']", |r| at(r, "Tinh") == "79" || at(r, "Tinh") == "01");
pub const OF_NOWHERE: RowsOf = RowsOf("Tinh == null", |r| at(r, "Tinh").is_null());

/// Granted fields: path and name in the view.
pub type Fields = &'static [(&'static str, &'static str)];

pub const ALL: Fields = &[("So", "So"), ("Ten", "Ten"), ("Tinh", "Tinh"), ("An", "An")];
pub const OPEN: Fields = &[("So", "So"), ("Ten", "Ten"), ("Tinh", "Tinh")];
pub const FEW: Fields = &[("So", "So"), ("Tinh", "Tinh")];

/// A grant, as its document says.
#[derive(Clone)]
pub struct Grant {
    pub id: &'static str,
    pub recipient: &'static str,
    pub dataset: &'static str,
    pub view: &'static str,
    pub fields: Fields,
    pub rows: Option<RowsOf>,
    pub pseudonym: bool,
    pub purpose: &'static str,
    pub basis: &'static str,
    pub duration: &'static str,
    /// Instead of its duration: the last day.
    pub ends: Option<Day>,
    pub ended: bool,
}

/// A grant of `fields` of all rows of the sample dataset, for a year.
pub fn grant(id: &'static str, recipient: &'static str, fields: Fields) -> Grant {
    Grant {
        id,
        recipient,
        dataset: HO_SO,
        view: "main",
        fields,
        rows: None,
        pseudonym: false,
        purpose: "Thử nghiệm",
        basis: "Điều 1",
        duration: "P12M",
        ends: None,
        ended: false,
    }
}

impl Grant {
    pub fn rows(self, rows: RowsOf) -> Self {
        Self { rows: Some(rows), ..self }
    }

    pub fn ended(self) -> Self {
        Self { ended: true, ..self }
    }

    /// What the view is to hold.
    pub fn wanted(&self) -> Wanted {
        Wanted { rows: self.rows.map_or(|_| true, |RowsOf(_, rows)| rows), fields: self.fields }
    }

    fn yaml(&self) -> String {
        let Self { id, recipient, dataset, view, purpose, basis, duration, .. } = self;
        let state = if self.ended { "ended" } else { "active" };
        let term = self.ends.map_or_else(|| format!("duration: {duration}"), |day| format!("ends: {day}"));
        let mut text = format!(
            "kind: Grant\nstate: {state}\nid: {id}\nrecipient: {recipient}\nsystems: [{}]\ndataset: {dataset}\n\
             view: {view}\npurpose: {purpose}\nlegalBasis: [{basis}]\n{term}\nfields:\n",
            system(recipient)
        );
        for (path, name) in self.fields {
            writeln!(text, "  - {{path: {path}, as: {name}}}").unwrap();
        }
        if let Some(RowsOf(filter, _)) = self.rows {
            writeln!(text, "filter: {filter}").unwrap();
        }
        if self.pseudonym {
            text.push_str("key: pseudonym\n");
        }
        text
    }
}

/// The system of an agency of the sample.
pub fn system(agency: &str) -> String {
    format!("{}-portal", agency.to_lowercase())
}

/// The contract of the sample dataset.
#[derive(Clone)]
pub struct Contract {
    pub partitions: u32,
    pub providers: &'static [&'static str],
    /// Schema versions: 1, or 2 with a new field `Them`.
    pub versions: u32,
    pub max_step: Option<u64>,
    /// The values that `Tinh` may have; none: any.
    pub places: &'static [&'static str],
}

impl Default for Contract {
    fn default() -> Self {
        Self { partitions: 1, providers: &["G01"], versions: 1, max_step: None, places: &[] }
    }
}

impl Contract {
    fn yaml(&self) -> String {
        let Self { partitions, versions, .. } = self;
        let step =
            self.max_step.map_or(String::new(), |n| format!("  - {{property: kenh.maxVersionStep, value: {n}}}\n"));
        let places = match self.places {
            [] => String::new(),
            places => format!(", customProperties: [{{property: kenh.values, value: {places:?}}}]"),
        };
        let them = if *versions > 1 { "      - {name: Them, logicalType: string}\n" } else { "" };
        format!(
            "apiVersion: v3.1.0\nkind: DataContract\nid: {HO_SO}\nversion: {versions}.0.0\nstatus: active\n\
             team: {{name: G01}}\ncustomProperties:\n  - {{property: kenh.providers, value: [{}]}}\n  \
             - {{property: kenh.partitions, value: {partitions}}}\n{step}schema:\n  - name: HoSo\n    properties:\n      \
             - {{name: So, logicalType: string, required: true, primaryKey: true}}\n      \
             - {{name: Ten, logicalType: string, required: true}}\n      - {{name: Tinh, logicalType: string{places}}}\n      \
             - {{name: An, logicalType: integer, required: true}}\n{them}",
            self.providers.join(", ")
        )
    }
}

fn avsc(version: u32) -> String {
    let them = if version > 1 { r#",{"name":"Them","type":["null","string"],"default":null}"# } else { "" };
    format!(
        r#"{{"type":"record","name":"HoSo","fields":[{{"name":"So","type":"string"}},{{"name":"Ten","type":"string"}},
        {{"name":"Tinh","type":["null","string"],"default":null}},{{"name":"An","type":"int"}}{them}]}}"#
    )
}

/// A record of the sample dataset.
pub fn record(so: &str, ten: &str, tinh: &str, an: i64) -> Value {
    let tinh = if tinh.is_empty() { Value::Null } else { tinh.into() };
    serde_json::json!({"So": so, "Ten": ten, "Tinh": tinh, "An": an})
}

/// The folder of declared state.
pub struct World {
    dir: tempfile::TempDir,
    /// What is applied besides the folder.
    pub more: Vec<PathBuf>,
}

impl World {
    /// With nothing declared.
    pub fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), more: Vec::new() }
    }

    /// With the agencies and the contract of the sample.
    pub fn sample(contract: &Contract) -> Self {
        let world = Self::empty();
        for agency in AGENCIES {
            world.agency(agency);
        }
        world.contract(contract);
        world
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of the folder.
    pub fn write(&self, name: &str, text: &str) {
        let file = self.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    pub fn agency(&self, name: &str) {
        let text = format!("kind: Agency\nname: {name}\ncode: {name}\ntitle: {name}\nsystems: [{}]\n", system(name));
        self.write(&format!("agencies/{name}.yaml"), &text);
    }

    pub fn contract(&self, contract: &Contract) {
        self.write("ho-so/contract.yaml", &contract.yaml());
        for version in 1..=contract.versions {
            self.write(&format!("ho-so/v{version}.avsc"), &avsc(version));
        }
    }

    pub fn grant(&self, grant: &Grant) {
        self.write(&format!("grants/{}.yaml", grant.id), &grant.yaml());
    }

    /// What the folder would change.
    pub fn plan(&self, log: &dyn Log, now_ms: i64) -> Plan {
        let mut paths = vec![self.path().to_owned()];
        paths.extend(self.more.iter().cloned());
        let declared = kenh_governance::read(&paths).unwrap_or_else(|p| panic!("{p:#?}"));
        let set = kenh_governance::load(log).unwrap();
        kenh_governance::plan(&declared, &set, &log.topics().unwrap(), now_ms).unwrap_or_else(|p| panic!("{p:#?}"))
    }

    /// `kenh apply`: makes it so, and finds nothing left to do.
    pub fn apply(&self, log: &dyn Log, now_ms: i64) -> Applied {
        let plan = self.plan(log, now_ms);
        let applied = kenh_governance::apply(log, &plan, now_ms).unwrap();
        let again = self.plan(log, now_ms);
        assert!(again.is_empty(), "a second run finds something to do: {:?}", again.changes);
        applied
    }
}
