//! What providers bring: files of records, and what says how to read them.

use std::cell::RefCell;
use std::io::Cursor;

use kenh_governance::new_dataset::{Request, draft};
use kenh_producers::{Checker, Format, Mapping, check, open};

use super::ground::{CLOCK_MS, DEFAULTS, ground};

/// Reads to the end, and asks the rules about each record.
fn drain(which: u8, format: Format, bytes: &[u8], mapping: Option<&Mapping>) {
    let data = ground().pick(which);
    let Ok(mut items) = open(format, Box::new(Cursor::new(bytes)), &data.rules, mapping) else { return };
    let mut checker = Checker::new(&data.rules, data.provider.clone(), DEFAULTS);
    let most = bytes.len() as u64 + 1;
    let _ =
        check(&mut *items, &mut checker, CLOCK_MS, None, &mut |at| assert!(at.read <= most, "more records than bytes"));
}

fn split(bytes: &[u8]) -> Option<(u8, &[u8])> {
    bytes.split_first().map(|(which, rest)| (*which, rest))
}

pub fn jsonl(bytes: &[u8]) {
    if let Some((which, text)) = split(bytes) {
        drain(which, Format::Jsonl, text, None);
    }
}

pub fn national(bytes: &[u8]) {
    if let Some((which, text)) = split(bytes) {
        drain(which, Format::Envelope, text, None);
    }
}

pub fn csv(bytes: &[u8]) {
    let Some((which, text)) = split(bytes) else { return };
    let mut parts = text.splitn(2, |b| *b == 0);
    let (mapping, rows) = (parts.next().unwrap_or_default(), parts.next());
    // Without a zero byte, all of it is a file whose columns are called like fields.
    let Some(rows) = rows else { return drain(which, Format::Csv, text, None) };
    let Ok(mapping) = std::str::from_utf8(mapping) else { return };
    if let Ok(mapping) = Mapping::parse(mapping) {
        drain(which, Format::Csv, rows, Some(&mapping));
    }
}

pub fn container(bytes: &[u8]) {
    if let Some((which, file)) = split(bytes) {
        drain(which, Format::Avro, file, None);
    }
}

pub fn mapping(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(mapping) = Mapping::parse(text) else { return };
    drain(1, Format::Csv, b"Ma,Ten\n79,x\n", Some(&mapping));
}

thread_local! {
    /// A folder of its own: these readers take files.
    static FOLDER: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a folder"));
}

pub fn own_table(bytes: &[u8]) {
    FOLDER.with_borrow(|folder| {
        let from = folder.path().join("bang.csv");
        std::fs::write(&from, bytes).expect("the file can be written");
        let agency = |name: &str| name.parse().expect("a name");
        let request = Request {
            from,
            name: Some("bang".parse().expect("a name")),
            provider: agency("A"),
            recipient: agency("B"),
            key: Vec::new(),
            into: folder.path().to_owned(),
        };
        let Ok(draft) = draft(&request) else { return };
        // What is written passes as it stands.
        let written = draft.write().expect("the files can be written");
        let folders = ["schemas", "broker-config"].map(|name| folder.path().join(name));
        let declared = kenh_governance::read(&folders);
        let plan = declared.and_then(|d| kenh_governance::plan(&d, &Default::default(), &[], CLOCK_MS));
        for file in written.created {
            std::fs::remove_file(file).expect("it was just written");
        }
        if let Err(problems) = plan {
            panic!("a draft is refused: {problems:#?}");
        }
    });
}

pub mod seeds {
    use apache_avro::{Codec, DeflateSettings, Writer};

    use super::super::ground::{examples, ground};

    const DATASETS: [&str; 2] = ["dan-cu", "don-vi-hanh-chinh"];

    fn compact(text: &[u8]) -> Vec<u8> {
        let value: serde_json::Value = serde_json::from_slice(text).expect("an example is JSON");
        value.to_string().into_bytes()
    }

    pub fn jsonl() -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for (n, dataset) in (0..).zip(DATASETS) {
            let lines: Vec<_> = examples(dataset).iter().map(|text| compact(text)).collect();
            all.extend(lines.iter().map(|line| [vec![n], line.clone()].concat()));
            all.push([vec![n], lines.join(&b'\n')].concat());
        }
        all.push(b"\0{\"SuKien\":\"CANCEL\",\"PhienBan\":2,\"IdBanGhi\":\"079085001234\",\"DuLieu\":null}".to_vec());
        all
    }

    pub fn national() -> Vec<Vec<u8>> {
        let state = r#"{"SuKien":"NEW","PhienBan":1,"ThoiGianCapNhat":"2025-07-01T08:00:00","NgayHieuLuc":"2025-07-01","MoTa":{"LyDoCapNhat":"01","ChiTietLyDoCapNhat":"sắp xếp"}}"#;
        let mut all = Vec::new();
        for (n, dataset) in (0..).zip(DATASETS) {
            let elements: Vec<_> = examples(dataset)
                .iter()
                .take(3)
                .map(|text| {
                    let record = String::from_utf8(compact(text)).expect("UTF-8");
                    format!(r#"{{"NguonDuLieu":"G01","TrangThaiDuLieu":{state},"DuLieuTiepNhan":{record}}}"#)
                })
                .collect();
            let whole = [
                format!(r#"{{"Root":{}}}"#, elements[0]),
                format!(r#"{{"DanhSach":{{"Root":[{}]}}}}"#, elements.join(",")),
                format!("[{}]\n{}", elements.join(", "), elements[1]),
            ];
            all.extend(whole.map(|text| [vec![n], text.into_bytes()].concat()));
        }
        all
    }

    const MAPPINGS: [&str; 2] = [
        "columns:\n  Mã: Ma\n  Từ: {field: HieuLucTu, date: dd/MM/yyyy}\n  Tên: Ten\n  Cấp: {field: Cap, replace: {xã: \"3\"}}\n  Ghi chú: {ignore: true}\n  Vĩ: {field: ViDo, decimalComma: true}\nconstants:\n  MaTinh: \"79\"\nnullText: [\"\", \"-\"]\ntrim: true\ndelimiter: ;\n",
        "columns:\n  Ma: Ma\n  KeThua: {field: KeThua, json: true}\n  VanBan: {field: VanBan, separator: \"|\"}\nnullText: []\n",
    ];

    pub fn csv() -> Vec<Vec<u8>> {
        let rows = [
            "Mã;Từ;Tên;Cấp;Ghi chú;Vĩ\n79;01/07/2025;\"Thành phố \"\"X\"\"\";xã;;10,5\n;;;;;\n",
            "Ma,KeThua,VanBan\n79,\"[{\"\"Ma\"\":\"\"74\"\",\"\"HieuLucTu\"\":\"\"2025-03-01\"\",\"\"Loai\"\":\"\"full\"\"}]\",a|b\n",
        ];
        let mut all: Vec<_> = MAPPINGS
            .iter()
            .zip(rows)
            .map(|(mapping, rows)| [b"\x01", mapping.as_bytes(), b"\0", rows.as_bytes()].concat())
            .collect();
        all.push(
            "\u{1}Ma,HieuLucTu,Ten,Cap,MaTinh\n79,2025-07-01,Thành phố,1,79\r\n01,2025-07-01,\"a\nb\",1,01".into(),
        );
        all
    }

    pub fn mapping() -> Vec<Vec<u8>> {
        MAPPINGS.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    pub fn container() -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for (n, data) in (0..).zip(&ground().data) {
            let (_, schema) = data.rules.schemas().last().expect("a shipped contract has a schema");
            for codec in [Codec::Null, Codec::Deflate(DeflateSettings::default())] {
                let mut writer = Writer::with_codec(schema.avro(), vec![n], codec).expect("a writer");
                let reader = apache_avro::reader::datum::GenericDatumReader::builder(schema.avro());
                let reader = reader.build().expect("a reader");
                for body in data.bodies.iter().take(3) {
                    let value = reader.read_value(&mut body.as_slice()).expect("a body that we wrote");
                    writer.append_value(value).expect("a value of the schema");
                    writer.flush().expect("memory takes it");
                }
                all.push(writer.into_inner().expect("memory takes it"));
            }
        }
        all
    }

    pub fn own_table() -> Vec<Vec<u8>> {
        [
            "Mã số,Họ và tên,Ngày sinh,Điểm,Có\n001,An,2000-01-02,1.5,true\n002,Bình,1999-12-31,,false\n",
            "\u{feff}id;name;name\r\n1;\"a;b\";x\r\n2;;y\r\n",
            "a|b\n-1|9223372036854775807\n0|x\n",
            "type\t_x\t1st\nrecord\t\t\u{301}e\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }
}
