//! For tests: a small declaration on disk, to be edited. Agency A provides dataset `thu` of one partition, agency B
//! receives two fields of some of its rows.

use std::path::{Path, PathBuf};

use crate::declared::{Declared, read};

pub const AVSC: &str = r#"{"type":"record","name":"R","fields":[
  {"name":"Ma","type":"string"},{"name":"Ten","type":"string"},{"name":"Tinh","type":"string"},{"name":"Tuoi","type":"int"}]}"#;
pub const CONTRACT: &str = "apiVersion: v3.1.0
kind: DataContract
id: thu
version: 1.0.0
status: active
team: {name: A}
schema:
  - name: R
    properties:
      - {name: Ma, logicalType: string, required: true, primaryKey: true}
      - {name: Ten, logicalType: string, customProperties: [{property: kenh.pii, value: basic}]}
      - {name: Tinh, logicalType: string}
      - {name: Tuoi, logicalType: integer}
";
pub const GRANT: &str = "kind: Grant
id: g
recipient: B
systems: [b-portal]
dataset: thu
purpose: To try
legalBasis: [A law]
fields: [Ma, Tinh]
filter: Tinh == '79'
duration: P12M
";

/// A declaration in a folder of its own.
pub struct Declaration(tempfile::TempDir);

impl Declaration {
    pub fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let agency = |n: &str, low: &str| {
            format!("kind: Agency\nname: {n}\ncode: H01\ntitle: {n}\nsystems: [{low}-portal, {low}-two]\n")
        };
        files.write("a.yaml", &agency("A", "a"));
        files.write("b.yaml", &agency("B", "b"));
        files.write("thu/contract.yaml", CONTRACT);
        files.write("thu/v1.avsc", AVSC);
        files.write("g.yaml", GRANT);
        files
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn read(&self) -> Declared {
        read(&[self.path().to_owned()]).unwrap_or_else(|p| panic!("{p:#?}"))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        std::fs::write(self.file(name), text).unwrap();
    }

    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.file(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        std::fs::write(self.file(name), text.replacen(from, to, 1)).unwrap();
    }
}
