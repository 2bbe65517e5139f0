//! Every way in which declared state is refused, and the shipped state, which is not.

use std::fs;
use std::path::{Path, PathBuf};

use kenh_domain::grant::Term;

use super::*;

const AGENCY: &str = "kind: Agency\nname: A\ncode: H01\ntitle: An agency\nsystems: [a-portal]\n";
const AVSC: &str = r#"{"type":"record","name":"R","fields":[
  {"name":"Ma","type":"string"},
  {"name":"Ngay","type":{"type":"int","logicalType":"date"}},
  {"name":"O","type":{"type":"record","name":"O","fields":[{"name":"Xa","type":["null","string"]}]}},
  {"name":"Ds","type":{"type":"array","items":{"type":"record","name":"I","fields":[{"name":"X","type":"int"}]}}}
]}"#;
const CONTRACT: &str = r#"apiVersion: v3.1.0
kind: DataContract
id: thu
version: 1.0.0
status: active
description: {purpose: A trial}
team: {name: A}
customProperties:
  - {property: kenh.providers, value: [A]}
  - {property: otherTool, value: {x: 1}}
schema:
  - name: R
    properties:
      - {name: Ma, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: Ngay, logicalType: date, logicalTypeOptions: {minimum: "2000-01-01"}}
      - name: O
        logicalType: object
        customProperties: [{property: kenh.pii, value: basic}]
        properties:
          - name: Xa
            logicalType: string
            customProperties: [{property: kenh.codeList, value: xa}]
      - {name: Ds, logicalType: array, items: {logicalType: object, properties: [{name: X, logicalType: integer}]}}
"#;
const GRANT: &str = r#"kind: Grant
id: g
recipient: A
systems: [a-portal]
dataset: thu
purpose: To try
legalBasis: [A law]
fields:
  - Ma
  - {path: O.Xa, as: Xa, mask: null}
filter: Ma == "a"
duration: P12M
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in [
            ("a.yaml", AGENCY),
            ("thu/contract.yaml", CONTRACT),
            ("thu/v1.avsc", AVSC),
            ("thu/code-lists/xa.csv", "code\n00002\n00001\n00002\n"),
            ("thu/mapping.yaml", "not: ours"),
            ("g.yaml", GRANT),
        ] {
            folder.write(name, text);
        }
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.0.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let file = self.0.path().join(name);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        fs::write(file, text.replacen(from, to, 1)).unwrap();
    }

    fn read(&self) -> Result<Declared, Vec<Problem>> {
        read(&[self.0.path().to_owned()])
    }

    fn problems(&self) -> Vec<String> {
        let base = format!("{}/", self.0.path().display());
        self.read().expect_err("it was taken").iter().map(|p| p.to_string().replace(&base, "")).collect()
    }
}

#[test]
fn a_whole_declaration_is_read() {
    let declared = Folder::new().read().unwrap();
    let contract = &declared.contracts[0].value;
    assert_eq!(contract.contract.key, ["Ma"]);
    assert_eq!(contract.contract.code_lists["xa"].frozen().unwrap(), ["00001", "00002"]);
    let place = &contract.contract.fields["O.Xa"];
    assert_eq!(
        place.pii,
        kenh_domain::contract::Pii::Basic,
        "what a nested record says of itself holds for its fields"
    );
    assert!(!contract.contract.fields.contains_key("Ds[].X"));
    assert_eq!(contract.versions.len(), 1);
    assert!(!contract.versions[0].text.contains('\n'));
    let grant = &declared.grants[0].value;
    assert_eq!(
        grant.grant.fields[1].mask,
        Some(kenh_domain::grant::Mask::Null),
        "YAML's null is the mask of that name"
    );
    assert!(!grant.ended);
}

#[test]
fn how_long_a_grant_holds_is_a_duration_or_a_last_day() {
    let last = Term::Ends("2027-03-31".parse().unwrap());
    for (text, read) in [
        ("duration: P12M", Term::from("P12M")),
        ("ends: 2027-03-31", last.clone()),
        ("ends: \"2027-03-31\"", last),
        // That it is past is no matter of form.
        ("ends: 1999-12-31", Term::Ends("1999-12-31".parse().unwrap())),
    ] {
        let folder = Folder::new();
        folder.edit("g.yaml", "duration: P12M", text);
        assert_eq!(folder.read().unwrap().grants[0].value.grant.duration, read, "{text}");
    }
}

#[test]
fn what_is_shipped_is_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let paths: Vec<PathBuf> = ["schemas", "broker-config"].map(|p| root.join(p)).into();
    let declared = read(&paths).unwrap_or_else(|p| panic!("{p:#?}"));
    assert_eq!(declared.contracts.len(), 2);
    assert_eq!(declared.agencies.len(), 5);
    assert_eq!(declared.grants.len(), 7);
}

/// Each edit is refused with exactly this message.
#[test]
fn every_wrong_thing_is_named_with_its_place() {
    let table: &[(&str, &str, &str, &str)] = &[
        (
            "a.yaml",
            "kind: Agency",
            "kind: Agancy",
            "a.yaml:1:7: kind \"Agancy\" is not known (write Agency, DataContract, Law, GrantTemplate or Grant)",
        ),
        ("a.yaml", "kind: Agency\n", "", "a.yaml:1:1: a declared document lacks `kind`"),
        ("a.yaml", "title", "tilte", "a.yaml:1:1: an agency lacks `title`"),
        ("a.yaml", "name: A", "name: 9", "a.yaml:2:7: the name of an agency is a number, not text (put it in quotes)"),
        (
            "a.yaml",
            "a-portal",
            "kenh-router",
            "a.yaml:5:10: system kenh-router bears the name of a role of the bus (choose another name)",
        ),
        (
            "a.yaml",
            "[a-portal]",
            "a-portal",
            "a.yaml:5:10: a system of an agency is text, not a list (write `[a, b]`, or one `- item` a line)",
        ),
        (
            "thu/contract.yaml",
            "v3.1.0",
            "v2.2.2",
            "thu/contract.yaml:1:13: apiVersion \"v2.2.2\" is not read (write v3.1.0)",
        ),
        (
            "thu/contract.yaml",
            "status: active",
            "status: draft",
            "thu/contract.yaml:5:9: the status of this contract is \"draft\" (only a contract with status active (or deprecated) is applied; keep drafts elsewhere)",
        ),
        (
            "thu/contract.yaml",
            "1.0.0\nstatus",
            "1\nstatus",
            "thu/contract.yaml:4:10: the version of a contract is a number, not text (put it in quotes)",
        ),
        (
            "thu/contract.yaml",
            "kenh.providers",
            "kenh.provider",
            "thu/contract.yaml:9:5: a contract has no setting kenh.provider (see the contract reference in docs/)",
        ),
        (
            "thu/contract.yaml",
            "name: Ngay",
            "name: Ngya",
            "thu/contract.yaml:15:9: v1.avsc has no field Ngya (did you mean Ngay?)",
        ),
        (
            "thu/contract.yaml",
            "logicalType: date",
            "logicalType: string",
            "thu/contract.yaml:15:9: Ngay is \"string\" here and a date in v1.avsc (make the two agree)",
        ),
        (
            "thu/contract.yaml",
            "minimum:",
            "exclusiveMinimum:",
            "thu/contract.yaml:15:80: Ngay has exclusiveMinimum, which Kênh does not enforce (use pattern, minimum, maximum or maxLength)",
        ),
        (
            "thu/contract.yaml",
            "primaryKey: true, primaryKeyPosition: 1",
            "unique: true",
            "thu/contract.yaml:14:65: Ma is to be unique, which Kênh does not enforce (only the record key is unique: name it with primaryKey, or drop `unique`)",
        ),
        (
            "thu/contract.yaml",
            "value: basic",
            "value: secret",
            "thu/contract.yaml:18:56: kenh.pii of O is \"secret\" (write none, basic or sensitive)",
        ),
        (
            "thu/contract.yaml",
            "value: xa",
            "value: ya",
            "thu/code-lists/ya.csv: the code list cannot be read: No such file or directory (os error 2) (O.Xa uses it; a list on the bus is named in kenh.codeLists)",
        ),
        (
            "thu/contract.yaml",
            "logicalType: integer}",
            "logicalType: integer, logicalTypeOptions: {minimum: 1}}",
            "thu/contract.yaml:23:82: Ds[].X lies within an array and has rules, which Kênh does not enforce there (describe it only, or make the array's items a dataset of their own)",
        ),
        (
            "thu/v1.avsc",
            "\"Ngay\"",
            "\"Ngay2\"",
            "thu/contract.yaml: field Ngay2 of v1.avsc is not described in the contract (add a property for it)",
        ),
        (
            "thu/v1.avsc",
            "\"name\":\"Ma\",\"type\":\"string\"",
            "\"name\":\"Ma\",\"type\":[\"null\",\"string\"]",
            "thu/contract.yaml:14:9: Ma is part of the record key and cannot be (a record key is made of texts, whole numbers and dates that are never null)",
        ),
        ("thu/v1.avsc", "record\",\"name\":\"R\"", "recard\",\"name\":\"R\"", "thu/v1.avsc: not an Avro schema"),
        (
            "thu/code-lists/xa.csv",
            "code\n",
            "ma\n",
            "thu/code-lists/xa.csv: the first line of a code list is `code`, and that is its only column (O.Xa uses it; a list on the bus is named in kenh.codeLists)",
        ),
        ("g.yaml", "filter:", "fliter:", "g.yaml:11:1: a grant has no key `fliter` (did you mean `filter`?)"),
        (
            "g.yaml",
            "P12M",
            "12 months",
            "g.yaml:12:11: the duration of a grant: \"12 months\" is not a duration: write P and then whole years, months or days, such as P12M, P1Y or P90D",
        ),
        (
            "g.yaml",
            "duration: P12M",
            "ends: 2027-02-31",
            "g.yaml:12:7: the last day of a grant: \"2027-02-31\" is not a day of the calendar: write YYYY-MM-DD",
        ),
        (
            "g.yaml",
            "duration: P12M",
            "ends: 31/03/2027",
            "g.yaml:12:7: the last day of a grant: \"31/03/2027\" is not a day of the calendar: write YYYY-MM-DD",
        ),
        (
            "g.yaml",
            "duration: P12M",
            "ends: 20270331",
            "g.yaml:12:7: the last day of a grant is a number, not text (put it in quotes)",
        ),
        (
            "g.yaml",
            "duration: P12M",
            "duration: P12M\nends: 2027-03-31",
            "g.yaml:13:7: a grant has both `duration` and `ends` (keep the one that is meant)",
        ),
        (
            "g.yaml",
            "duration: P12M\n",
            "",
            "g.yaml:1:1: a grant lacks `duration` or `ends` (write `duration: P12M`, which counts from its activation, or its last day, `ends: 2027-03-31`)",
        ),
        (
            "g.yaml",
            "mask: null",
            "mask: secret",
            "g.yaml:10:32: this is not a mask (a mask is null, year, hash, {constant: TEXT} or {last: N})",
        ),
        ("g.yaml", "systems: [a-portal]", "systems: []", "g.yaml:4:10: systems of a grant are an empty list"),
        (
            "g.yaml",
            "recipient: A",
            "recipient: A.1",
            "g.yaml:3:12: the recipient of a grant: agency name \"A.1\" is not valid: 1 to 48 letters a-z, A-Z, digits and hyphens, a letter first",
        ),
        (
            "g.yaml",
            "id: g\n",
            "id: g\nstate: gone\n",
            "g.yaml:3:8: the state of a grant is \"gone\" (write one of: active, ended)",
        ),
    ];
    let mut wrong = Vec::new();
    for (file, from, to, expected) in table {
        let folder = Folder::new();
        folder.edit(file, from, to);
        let problems = folder.problems();
        if !problems.iter().any(|p| p.starts_with(expected)) {
            wrong.push(format!("{from:?} → {to:?}\nwanted {expected}\ngot {problems:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_that_are_missing_in_the_way_or_there_twice_are_named() {
    let folder = Folder::new();
    folder.write("thu/v3.avsc", AVSC);
    folder.write("thu/new.avsc", AVSC);
    folder.write("b.yaml", AGENCY);
    let problems = folder.problems();
    for expected in [
        "thu/v2.avsc: the file is missing, and v3.avsc is there",
        "thu/new.avsc: this schema file is not called by its version (name it v1.avsc, v2.avsc, …)",
        "b.yaml:2:7: agency A is declared here and in ",
    ] {
        assert!(problems.iter().any(|p| p.starts_with(expected)), "{expected} is not among {problems:#?}");
    }
    let missing = read(&["/nowhere-at-all".into()]).unwrap_err();
    assert!(missing[0].message.starts_with("cannot be read"));
    let empty = tempfile::tempdir().unwrap();
    assert!(read(&[empty.path().to_owned()]).is_err());
}

/// Files that no editor makes: each is refused in the time it takes to read it, with its place.
#[test]
fn hostile_files_are_refused_and_cost_nothing() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let alias = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{alias}]\n"));
    }
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "x.yaml",
            bomb.into_bytes(),
            "x.yaml:6:15: this is not YAML that can be read: it nests too deep, or its aliases repeat too much",
        ),
        (
            "x.yaml",
            b"kind: Agency\nname: &a [*a]\n".to_vec(),
            "x.yaml:2:11: this is not YAML that can be read: an alias stands within what it names",
        ),
        ("x.yaml", format!("kind: {}x{}\n", "[".repeat(20_000), "]".repeat(20_000)).into_bytes(), "x.yaml:1:"),
        ("x.yaml", format!("{}x\n", "- ".repeat(20_000)).into_bytes(), "x.yaml:1:"),
        (
            "x.yaml",
            b"kind: Agency\nkind: Grant\n".to_vec(),
            "x.yaml:2:1: this is not YAML that can be read: duplicate mapping key: kind (write each key once)",
        ),
        (
            "x.yaml",
            b"kind: Agency\n---\nkind: Grant\n".to_vec(),
            "x.yaml:3:1: this is not YAML that can be read: it holds several documents (write one document a file)",
        ),
        ("x.yaml", b"kind: Agency\nname: \tA\n  b\n: c".to_vec(), "x.yaml"),
        ("x.yaml", b"kind: !!binary aGVsbG8=\n".to_vec(), "x.yaml"),
        ("x.yaml", b"<<: {kind: Agency}\nname: A\n".to_vec(), "x.yaml"),
        ("x.yaml", b"".to_vec(), "x.yaml:1:1: a declared document is nothing, not a set of keys"),
        ("x.yaml", b"- kind: Agency\n".to_vec(), "x.yaml:1:1: a declared document is a list, not a set of keys"),
        (
            "x.yaml",
            b"kind: Agency\nname: \xc4\x90\xff\n".to_vec(),
            "x.yaml:2:8: the file is not UTF-8 (save it as UTF-8)",
        ),
        ("x.yaml", b"kind: Agency\nname: A\0\n".to_vec(), "x.yaml:2"),
        ("x.yaml", vec![b'#'; (1 << 20) + 1], "x.yaml: the file is larger than 1048576 bytes"),
        ("thu/v1.avsc", b"\xff\xfe{\0".to_vec(), "thu/v1.avsc:1:1: the file is not UTF-8"),
        ("thu/v1.avsc", "[".repeat(100_000).into_bytes(), "thu/v1.avsc: nested too deep at line 1"),
        (
            "thu/v1.avsc",
            br#"{"type":"record","name":"R","fields":[{"name":"Ma","type":"R"}]}"#.to_vec(),
            "thu/v1.avsc: ",
        ),
        ("thu/code-lists/xa.csv", b"code\n\xff\n".to_vec(), "thu/code-lists/xa.csv: "),
    ];
    let mut wrong = Vec::new();
    for (file, bytes, expected) in table {
        let folder = Folder::new();
        fs::write(folder.0.path().join(file), &bytes).unwrap();
        let start = std::time::Instant::now();
        let problems = folder.problems();
        let place = problems.iter().any(|p| p.starts_with(expected));
        let short = problems.iter().all(|p| p.len() < 1_000);
        if !place || !short || start.elapsed().as_secs() > 5 {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
            wrong.push(format!("{shown:?}\nwanted {expected}, got in {:?} {problems:#.300?}", start.elapsed()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn aliases_within_reason_are_read() {
    let folder = Folder::new();
    folder.edit("g.yaml", "systems: [a-portal]", "systems: &s [a-portal]");
    folder.edit("g.yaml", "legalBasis: [A law]", "legalBasis: *s");
    assert_eq!(folder.read().unwrap().grants[0].value.grant.legal_basis, ["a-portal"]);
}

#[test]
fn a_problem_within_a_text_points_into_it() {
    let folder = Folder::new();
    let declared = folder.read().unwrap();
    let at = |item: &Item<DeclaredGrant>| item.problem_within("filter", 3, "x", "").at.unwrap();
    assert_eq!(at(&declared.grants[0]), At { line: 11, column: 12 });
    folder.edit("g.yaml", "Ma == \"a\"", "'Ma == \"a\"'");
    let declared = folder.read().unwrap();
    assert_eq!(at(&declared.grants[0]), At { line: 11, column: 13 });
}
