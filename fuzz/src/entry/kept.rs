//! What roles and stores keep and read again, and the cursor that a client brings back. A damaged disk writes these.

use std::cell::RefCell;
use std::str::FromStr;

use kenh_broker::embedded::format::{self, TopicEntry};
use kenh_consumers::copy::Cursor;
use kenh_domain::log::{Incarnation, NewRecord, TopicPartition};
use kenh_domain::secret::Secret;
use kenh_domain::topic::{Partition, Topic};
use kenh_router::image::{Identity, Image};
use kenh_router::metadata::Metadata;

pub fn metadata(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(metadata) = Metadata::decode(text) else { return };
    // Foreign text may hold more than a commit has room for.
    let Ok(again) = metadata.encode() else { return };
    assert!(Metadata::decode(&again).is_ok_and(|m| m == metadata), "written and read is another");
}

/// Of the kept fixture of format 1.
fn identity() -> Identity {
    let dataset = "don-vi".parse().expect("a name");
    Identity::new(Incarnation("log-1".into()), &Secret::new([7; 32]), dataset, Partition(2))
}

thread_local! {
    static FOLDER: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a folder"));
}

pub fn state_image(bytes: &[u8]) {
    FOLDER.with_borrow(|folder| {
        let identity = identity();
        let path = identity.path(folder.path());
        std::fs::write(&path, bytes).expect("the file can be written");
        let Ok(Some(image)) = Image::read(folder.path(), &identity) else { return };
        image.write(folder.path()).expect("what was read can be written");
        let again = Image::read(folder.path(), &identity).expect("what was written can be read").expect("it is there");
        assert!(
            image.state.iter().eq(again.state.iter()) && image.owners == again.owners && image.marker == again.marker
        );
    });
}

pub fn log_entries(bytes: &[u8]) {
    let Some((&which, entry)) = bytes.split_first() else { return };
    match which % 7 {
        0 => {
            if let Ok(record) = format::read_record(0, 1, entry) {
                let to = TopicPartition::new(Topic::Control, 0);
                let (key, value) = (record.key, record.value);
                let written = format::record_value(&NewRecord { to, timestamp_ms: record.timestamp_ms, key, value });
                assert_eq!(written, entry, "a record has one form");
            }
            let _ = format::record_time(entry);
        }
        1 => {
            if let Ok((topic, partition, position)) = format::read_record_key(entry) {
                assert_eq!(format::record_key(topic, partition, position), entry);
            }
        }
        2 => drop(format::read_topic_key(entry)),
        3 => {
            if let Ok(topic) = format::read_topic(entry) {
                let written = format::topic_value(&topic).expect("what was read can be written");
                let again: TopicEntry = format::read_topic(&written).expect("what was written can be read");
                assert!(again.spec == topic.spec && again.access == topic.access);
            }
        }
        4 => {
            if let Ok(bounds) = format::read_bounds(entry) {
                assert_eq!(format::bounds_value(bounds), entry);
            }
        }
        5 => {
            if let Ok((group, topic, partition)) = format::read_consumed_key(entry) {
                assert_eq!(format::consumed_key(&group, topic, partition)[1..], entry[1..]);
            }
        }
        _ => drop((format::read_group(entry), format::read_u32(entry), format::read_u64(entry))),
    }
}

pub fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(cursor) = Cursor::from_str(text) {
        assert_eq!(cursor.to_string(), text, "a cursor has one text");
    }
}

pub mod seeds {
    use super::super::ground::file;

    pub fn metadata() -> Vec<Vec<u8>> {
        [
            r#"{"f":1,"l":["dan-cu",2,40,77],"s":[3,9],"n":["dan-cu/G01"],"u":["s-1"],"t":[[0,0,2,5,0,1,2,61]]}"#,
            r#"{"f":1,"s":[],"n":["a/A","b/B"],"u":["s\u0000","é"],"t":[[0,1,0,0,0,0,0,0],[1,0,255,1,1,1,1,18446744073709551615]]}"#,
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    pub fn state_image() -> Vec<Vec<u8>> {
        vec![file("router/tests/fixtures/image-format-1.image")]
    }

    pub fn log_entries() -> Vec<Vec<u8>> {
        let text = String::from_utf8(file("broker/tests/fixtures/format-1/entries.txt")).expect("UTF-8");
        let unhex = |hex: &str| -> Vec<u8> {
            hex.as_bytes()
                .chunks(2)
                .map(|two| u8::from_str_radix(str::from_utf8(two).expect("hex"), 16).expect("hex"))
                .collect()
        };
        let mut all = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            let keyspace = words.next().unwrap_or_default();
            let (key, value) = (unhex(words.next().unwrap_or_default()), unhex(words.next().unwrap_or_default()));
            let (of_key, of_value) = match (keyspace, key.first()) {
                ("records", _) => (1, 0),
                (_, Some(b't')) => (2, 3),
                (_, Some(b'p')) => (2, 4),
                (_, Some(b'c')) => (5, 6),
                _ => (6, 6),
            };
            all.push([vec![of_key], key].concat());
            all.push([vec![of_value], value].concat());
        }
        all
    }

    pub fn cursor() -> Vec<Vec<u8>> {
        ["AQAAAAMAAAABaw", "AQAAAAMAAAAB", "AQAAAAOAAAAB"].map(|text| text.as_bytes().to_vec()).to_vec()
    }
}
