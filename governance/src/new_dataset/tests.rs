//! A table in, a declaration out that nobody has to mend.

use kenh_domain::control::ControlSet;
use proptest::prelude::*;

use super::*;
use crate::declared::read;
use crate::plan::{Action, plan};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes the file that people bring.
    fn csv(&self, bytes: impl AsRef<[u8]>) -> Request {
        let from = self.0.path().join("Hộ kinh doanh.csv");
        std::fs::write(&from, bytes).unwrap();
        Request {
            from,
            name: None,
            provider: "my-agency".parse().unwrap(),
            recipient: "my-reader".parse().unwrap(),
            key: vec![],
            into: self.0.path().join("bus"),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("bus").join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// What is in the folder passes everything that `kenh apply` asks, and a second run finds nothing to do.
    fn declared(&self) -> ControlSet {
        let paths = ["schemas", "broker-config"].map(|p| self.file(p));
        let declared = read(&paths).unwrap_or_else(|p| panic!("{p:#?}"));
        let first = plan(&declared, &ControlSet::default(), &[], 0).unwrap_or_else(|p| panic!("{p:#?}"));
        let second = plan(&declared, &first.after, &[], 0).unwrap_or_else(|p| panic!("{p:#?}"));
        assert!(second.events.is_empty());
        first.after
    }
}

const TABLE: &str = "Mã số thuế; Tên hộ kinh doanh;Ngày cấp;Vốn (đồng);Số lao động;Còn hoạt động;Tỉnh;Ghi chú;
0100109106;Hộ ông Bí Mật;01/07/2025;1.500.000;3;Có;01;;
0100109107;\"Hộ bà Bí Mật; cơ sở 2\";15/7/2025;20.000.000;12;Không;79;x;
";

#[test]
fn a_table_becomes_a_declaration_that_can_be_applied() {
    let folder = Folder::new();
    let draft = draft(&folder.csv(TABLE)).unwrap();
    assert_eq!(draft.dataset.as_str(), "ho-kinh-doanh");
    assert_eq!((draft.rows, draft.separator, draft.key.as_slice()), (2, ';', &["MaSoThue".to_owned()][..]));
    let written = draft.write().unwrap();
    assert_eq!(written.created.len(), draft.files.len());
    assert!(written.unchanged.is_empty());
    let set = folder.declared();
    let contract = set.contracts.values().next().unwrap();
    assert!(contract.fields.values().all(|f| f.pii == kenh_domain::contract::Pii::Basic));
    assert_eq!(contract.version_source, kenh_domain::contract::VersionSource::Assigned);
    assert_eq!(contract.fields["TenHoKinhDoanh"].description.as_deref(), Some("Tên hộ kinh doanh"));
    let grant = &set.views.values().next().unwrap().activation.grant;
    assert_eq!((grant.id.as_str(), grant.fields.len()), ("my-reader-ho-kinh-doanh", 8));

    assert_eq!(
        folder.text("schemas/ho-kinh-doanh/v1.avsc"),
        r#"{
  "type": "record",
  "name": "HoKinhDoanh",
  "fields": [
    {
      "name": "MaSoThue",
      "type": "string"
    },
    {
      "name": "TenHoKinhDoanh",
      "type": "string"
    },
    {
      "name": "NgayCap",
      "type": {
        "type": "int",
        "logicalType": "date"
      }
    },
    {
      "name": "VonDong",
      "type": "long"
    },
    {
      "name": "SoLaoDong",
      "type": "long"
    },
    {
      "name": "ConHoatDong",
      "type": "boolean"
    },
    {
      "name": "Tinh",
      "type": "string"
    },
    {
      "name": "GhiChu",
      "type": [
        "null",
        "string"
      ],
      "default": null
    }
  ]
}
"#
    );
    assert_eq!(
        folder.text("schemas/ho-kinh-doanh/mapping.yaml"),
        r#"# Which column of Hộ kinh doanh.csv is which field, and how it is written there.
delimiter: ";"
trim: true
columns:
  "Mã số thuế": "MaSoThue"
  "Tên hộ kinh doanh": "TenHoKinhDoanh"
  "Ngày cấp": {field: "NgayCap", date: d/M/yyyy}
  "Vốn (đồng)": {field: "VonDong", decimalComma: true}
  "Số lao động": "SoLaoDong"
  "Còn hoạt động": {field: "ConHoatDong", trueText: ["Có"], falseText: ["Không"]}
  "Tỉnh": "Tinh"
  "Ghi chú": "GhiChu"
  "": {ignore: true}
"#
    );
    for (file, text) in &draft.files {
        assert!(!text.contains("Bí Mật") && !text.contains("01001091"), "{} holds a row's value", file.display());
    }
}

#[test]
fn what_is_there_is_never_overwritten() {
    let folder = Folder::new();
    let request = folder.csv(TABLE);
    let first = draft(&request).unwrap();
    first.write().unwrap();
    let again = draft(&request).unwrap().write().unwrap();
    assert_eq!((again.created.len(), again.unchanged.len()), (0, first.files.len()), "a second run changes nothing");

    std::fs::remove_file(folder.file("schemas/ho-kinh-doanh/v1.avsc")).unwrap();
    std::fs::write(folder.file("schemas/ho-kinh-doanh/contract.yaml"), "# mine").unwrap();
    let error = draft(&request).unwrap().write().unwrap_err();
    assert!(matches!(&error, NewDatasetError::Differs(files) if files.len() == 1), "{error}");
    assert!(
        error.to_string().contains("contract.yaml is there already and would change; nothing was written"),
        "{error}"
    );
    assert_eq!(folder.text("schemas/ho-kinh-doanh/contract.yaml"), "# mine");
    assert!(!folder.file("schemas/ho-kinh-doanh/v1.avsc").exists(), "nothing is half done");
}

#[test]
fn agencies_that_are_declared_are_taken_as_they_are() {
    let folder = Folder::new();
    let agency = "kind: Agency\nname: G01\ncode: G01\ntitle: Bộ Công an\nsystems: [g01-lgsp, g01-portal]\n";
    std::fs::create_dir_all(folder.file("broker-config/agencies")).unwrap();
    std::fs::write(folder.file("broker-config/agencies/G01.yaml"), agency).unwrap();
    let g01: Agency = "G01".parse().unwrap();
    let request = Request { provider: g01.clone(), recipient: g01, ..folder.csv(TABLE) };
    draft(&request).unwrap().write().unwrap();
    assert_eq!(folder.text("broker-config/agencies/G01.yaml"), agency);
    let set = folder.declared();
    assert_eq!(set.agencies.len(), 1);
    assert_eq!(set.views.values().next().unwrap().activation.grant.systems[0].as_str(), "g01-lgsp");

    std::fs::write(folder.file("broker-config/agencies/G01.yaml"), "kind: Agency\nname: G01\n").unwrap();
    assert!(matches!(draft(&request), Err(NewDatasetError::Agency(problems)) if !problems.is_empty()));
}

#[test]
fn separators_marks_and_line_ends_are_found_out() {
    for (text, separator, fields) in [
        ("a,b\n1,2\n", ',', 2),
        ("a;b\r\n1,5;2\r\n2,5;3\r\n", ';', 2),
        ("a\tb\n1;2\t3\n", '\t', 2),
        ("a|b|c\n1|2|3\n", '|', 3),
        ("a\n1\n2\n", ',', 1),
        ("\u{feff}a,b\n1,2\n", ',', 2),
        ("\"a,b,c\";d\n\"x\";y\n", ';', 2),
        ("a,b\n\"x\ny\",2\n\n", ',', 2),
        (" a , b\n 1, x \n", ',', 2),
    ] {
        let folder = Folder::new();
        let draft = draft(&folder.csv(text)).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!((draft.separator, draft.fields.len()), (separator, fields), "{text:?}");
        assert!(!draft.fields[0].header.starts_with('\u{feff}'));
        draft.write().unwrap();
        folder.declared();
    }
}

#[test]
fn the_record_key_is_the_first_unique_column_or_the_one_named() {
    let key = |text: &str, key: &[&str]| {
        let folder = Folder::new();
        let key = key.iter().map(|k| (*k).to_owned()).collect();
        let draft = draft(&Request { key, ..folder.csv(text) })?;
        draft.write().unwrap();
        let set = folder.declared();
        assert_eq!(set.contracts.values().next().unwrap().key, draft.key);
        Ok::<_, NewDatasetError>(draft.key.join("+"))
    };
    let table = "Tỉnh,Mã,Tên\n01,a,x\n01,b,y\n79,a,y\n";
    assert_eq!(key("Tỉnh,Mã\n01,a\n01,b\n", &[]).unwrap(), "Ma");
    assert_eq!(key(table, &["Tỉnh", "Mã"]).unwrap(), "Tinh+Ma");
    assert_eq!(key(table, &["Ma", " Tinh "]).unwrap(), "Ma+Tinh", "field names are taken, in the order given");
    assert_eq!(key("a,b\n1.5,x\n2.5,x\n", &[]).unwrap(), "a", "a number that is the key is kept as text");
    for (text, asked, message) in [
        (table, &[][..], "no column has a value in every row and none twice; name the columns"),
        (table, &["Mã"][..], "lines 2 and 4 have the same record key; name further columns"),
        (table, &["Mâ"][..], "there is no column Mâ; did you mean Mã?"),
        (table, &["Quận"][..], "there is no column Quận; columns are Tỉnh, Mã, Tên"),
        ("a,b\n1,\n2,x\n", &["b"][..], "line 2 has no value for b, which is part of the record key"),
    ] {
        let error = key(text, asked).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_file_that_is_no_table_is_refused_with_its_line() {
    let windows_1258 = b"M\xe3,T\xean\n1,x\n";
    let broken = b"a,b\n1,x\n2,\xff\xfe\n";
    let wide = format!("{}\n{}\n", vec!["a"; 513].join(","), vec!["1"; 513].join(","));
    let named: Vec<String> = (0..513).map(|i| format!("a{i}")).collect();
    let wide = wide.replacen(&vec!["a"; 513].join(","), &named.join(","), 1);
    for (bytes, message) in [
        (&b""[..], "the file has no header line"),
        (b"\n\n", "the file has no header line"),
        (b"a,b\n", "the file has a header and no record"),
        (b",,\n1,2,3\n", "the file has no header line"),
        (b"a,b\n1,2\n1,2,3\n", ".csv:3: the line has 3 cells, and the header 2"),
        (b"a,a\n1,2\n", ".csv:1: two columns are called a"),
        (b"a, a\n1,2\n", ".csv:1: two columns are called a"),
        (b"a,,\n1,2,\n", ".csv:1: several columns have no name; give each its own name"),
        (b"\xff\xfea\x00,\x00", ".csv:1: the file is UTF-16; save it as UTF-8"),
        (windows_1258, ".csv:1: the text is not UTF-8; save it as UTF-8"),
        (broken, ".csv:3: the text is not UTF-8"),
        (wide.as_bytes(), "has 513 columns, and a record has at most 512 fields"),
    ] {
        let error = draft(&Folder::new().csv(bytes)).unwrap_err().to_string();
        assert!(error.contains(message), "{error} does not say {message}");
    }
    let missing = Request { from: "/nowhere-at-all.csv".into(), ..Folder::new().csv("") };
    assert!(matches!(draft(&missing), Err(NewDatasetError::Open { .. })));
    let folder = Folder::new();
    let long = Request { recipient: "a".repeat(48).parse().unwrap(), ..folder.csv(TABLE) };
    assert!(matches!(draft(&long), Err(NewDatasetError::Name(_))));
}

#[test]
fn what_to_look_at_is_said() {
    let notes = |text: &str| draft(&Folder::new().csv(text)).unwrap().notes.join("\n");
    assert!(notes("a,b\n0123,x\n").contains("a look like codes and are text"));
    let decomposed = "a\nTe\u{302}n\n";
    assert!(notes(decomposed).contains("1 cells are not in Unicode form NFC"));
    assert!(notes("a\nx\n").contains("kenh.pii"));
}

fn cell() -> BoxedStrategy<String> {
    prop_oneof![
        Just(String::new()),
        "[0-9]{1,3}",
        "[a-zđơ \"#:&*{}\\[\\],;|'!%@`-]{0,6}",
        Just("01/02/2025".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        any::<String>(),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever somebody's table holds, what is made of it can be applied as it is.
    #[test]
    fn any_table_gives_a_declaration_or_a_reason(
        headers in prop::collection::vec(cell(), 1..5),
        rows in prop::collection::vec(prop::collection::vec(cell(), 5), 1..5),
        separator in prop::sample::select(vec![b',', b';', b'\t', b'|']),
    ) {
        let mut writer = csv::WriterBuilder::new().delimiter(separator).from_writer(Vec::new());
        let count = headers.len();
        writer.write_record(&headers).unwrap();
        for (i, row) in rows.iter().enumerate() {
            let first = i.to_string();
            writer.write_record(std::iter::once(&first).chain(row.iter().skip(1).take(count - 1))).unwrap();
        }
        let folder = Folder::new();
        if let Ok(draft) = draft(&folder.csv(writer.into_inner().unwrap())) {
            draft.write().unwrap();
            let set = folder.declared();
            prop_assert_eq!(set.views.len(), 1);
        }
    }
}

#[test]
fn it_is_planned_beside_what_is_shipped() {
    let folder = Folder::new();
    draft(&folder.csv(TABLE)).unwrap().write().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shipped = ["schemas", "broker-config"].map(|p| root.join(p));
    let all: Vec<PathBuf> = shipped.into_iter().chain(["schemas", "broker-config"].map(|p| folder.file(p))).collect();
    let declared = read(&all).unwrap_or_else(|p| panic!("{p:#?}"));
    let plan = plan(&declared, &ControlSet::default(), &[], 1_795_500_000_000).unwrap_or_else(|p| panic!("{p:#?}"));
    assert!(plan.count(Action::Create) > 5);
}
