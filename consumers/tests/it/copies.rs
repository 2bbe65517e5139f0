//! Reading copies: pages, look-ups, searches, exports, on every store.

use std::sync::Arc;

use kenh_consumers::copy::{self, Copy, CopyError, ExportError, Format, MAX_PAGE, MAX_SCAN, Page};
use kenh_consumers::store::{Generation, ViewStore};
use kenh_domain::filter::Filter;
use kenh_domain::names::View;
use kenh_domain::notice::ViewCard;
use kenh_domain::schema::{Schema, Spans};
use kenh_domain::wire;
use proptest::prelude::*;

use crate::memory_store::MemoryStore;
use crate::stores::{Open, batch, fjall, progress, sled};
use crate::support::{SCHEMA, card, copy_id, row, rows};

/// A copy of `count` rows, `k000` on, of three provinces in turn (the first: none).
fn filled(store: &dyn ViewStore, edition: u32, count: usize) -> Generation {
    let generation = store.begin(&card(edition, 1), &["Tinh".into(), "So".into()], &progress(0)).unwrap();
    let names: Vec<String> = (0..count).map(|n| format!("k{n:05}")).collect();
    let tinh = |n: usize| [None, Some("79"), Some("01")][n % 3];
    let records = names.iter().enumerate().map(|(n, name)| (name.as_str(), Some(row(name, tinh(n), (n % 10) as i64))));
    store.apply(generation, &batch(records), &progress(5)).unwrap();
    store.publish(generation).unwrap();
    generation
}

fn keys(page: &Page) -> Vec<String> {
    page.rows.iter().map(|row| row.key_text().into_owned()).collect()
}

/// All pages, one after the other.
fn all(mut page: impl FnMut(Option<&copy::Cursor>) -> Page) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = None;
    loop {
        // A cursor travels as text.
        let got = page(next.as_ref());
        found.extend(keys(&got));
        match got.next {
            None => return found,
            Some(cursor) => next = Some(cursor.to_string().parse().unwrap()),
        }
    }
}

fn on_every_store(test: impl Fn(Arc<dyn ViewStore>)) {
    test(Arc::new(MemoryStore::default()));
    for open in [sled as Open, fjall] {
        let dir = tempfile::tempdir().unwrap();
        test(open(dir.path()).unwrap());
    }
}

#[test]
fn rows_are_got_listed_and_shown_with_where_they_stand() {
    on_every_store(|store| {
        let copy = Copy::new(store.clone(), copy_id());
        assert!(matches!(copy.get(b"k00001"), Err(CopyError::None(_))));
        let generation = filled(&*store, 1, 25);
        let found = copy.get(b"k00001").unwrap().unwrap();
        let expected = r#"{"Ma":"k00001","Tinh":"79","Ngay":"2025-07-01","So":1,"Nhan":["a"]}"#;
        assert_eq!((found.key(), found.json().unwrap().as_str()), (&b"k00001"[..], expected));
        assert!(copy.get(b"k99999").unwrap().is_none());
        let (some, as_of) = copy.lookup(&[b"k00002", b"no", b"k00000"]).unwrap();
        let some: Vec<_> = some.iter().map(|row| row.as_ref().map(|row| row.key_text().into_owned())).collect();
        assert_eq!(some, [Some("k00002".to_owned()), None, Some("k00000".to_owned())]);
        assert_eq!((as_of.generation, as_of.counters.rows, as_of.clock_ms), (generation, 25, Some(5)));
        assert!(matches!(copy.lookup(&vec![&b"k"[..]; MAX_PAGE + 1]), Err(CopyError::TooMany(_))));

        let page = copy.page(None, 10).unwrap();
        assert_eq!(keys(&page), (0..10).map(|n| format!("k{n:05}")).collect::<Vec<_>>());
        let everything: Vec<String> = (0..25).map(|n| format!("k{n:05}")).collect();
        assert_eq!(all(|after| copy.page(after, 10).unwrap()), everything);
        assert_eq!(all(|after| copy.page(after, 25).unwrap()), everything, "a page that is the last row too");
        assert_eq!(copy::list(&*store).unwrap()[0].0, copy_id());
        assert_eq!(copy.shown().unwrap().card.edition.0, 1);
    });
}

#[test]
fn a_copy_that_was_replaced_or_purged_is_not_read_from_memory() {
    on_every_store(|store| {
        let copy = Copy::new(store.clone(), copy_id());
        filled(&*store, 1, 5);
        let cursor = copy.page(None, 2).unwrap().next.unwrap();
        let generation = filled(&*store, 1, 4);
        assert_eq!(keys(&copy.page(Some(&cursor), 10).unwrap()), ["k00002", "k00003"], "a refill keeps cursors");
        let second = filled(&*store, 2, 3);
        assert_ne!(generation, second);
        assert!(matches!(copy.page(Some(&cursor), 10), Err(CopyError::Replaced { .. })));
        assert_eq!(copy.page(None, 10).unwrap().rows.len(), 3);
        store.discard(second).unwrap();
        assert!(matches!(copy.get(b"k00001"), Err(CopyError::None(_))));
    });
}

#[test]
fn a_search_finds_what_the_filter_holds_for_with_an_index_and_without() {
    on_every_store(|store| {
        let generation = filled(&*store, 1, 60);
        let copy = Copy::new(store.clone(), copy_id());
        let schema = Schema::parse(SCHEMA).unwrap();
        for text in [
            "Tinh == '79'",
            "Tinh == '79' && So < 5",
            "Tinh in ['01', '79'] && So == 4",
            "Tinh == null",
            "So in [1, 2, 3] && Tinh != '79'",
            "So > 7",
            "Ngay < '2025-07-01'",
            "Ma.startsWith('k0001')",
        ] {
            let filter = Filter::compile(text, &schema).unwrap();
            let mut spans = Spans::new();
            let mut holds = |value: &[u8]| {
                let (_, body) = wire::split(value).unwrap();
                schema.walk(body, &mut spans).unwrap();
                filter.matches(body, &spans)
            };
            let expected = rows(&*store, generation).into_iter().filter(|(_, value)| holds(value));
            let expected: Vec<String> = expected.map(|(k, _)| String::from_utf8(k.to_vec()).unwrap()).collect();
            for limit in [1, 3, 1000] {
                let mut found = all(|after| copy.search(text, after, limit).unwrap());
                found.sort();
                assert_eq!(found, expected, "{text}");
            }
        }
        let wrong = copy.search("Tinhh == '79'", None, 10).unwrap_err();
        assert!(matches!(wrong, CopyError::Filter(_)), "{wrong}");
        assert!(wrong.to_string().contains("Tinh"), "{wrong}");
    });
}

#[test]
fn a_search_without_an_index_answers_in_bounded_steps() {
    let store: Arc<dyn ViewStore> = Arc::new(MemoryStore::default());
    filled(&*store, 1, MAX_SCAN + 2);
    let copy = Copy::new(store, copy_id());
    let last = format!("k{:05}", MAX_SCAN + 1);
    let text = format!("Ma == '{last}'");
    let first = copy.search(&text, None, 10).unwrap();
    assert!(first.rows.is_empty() && first.next.is_some());
    assert_eq!(all(|after| copy.search(&text, after, 10).unwrap()), [last]);
}

fn exported(copy: &Copy, format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    copy.export(format, &mut out).unwrap();
    out
}

#[test]
fn an_export_holds_every_row_in_every_format() {
    on_every_store(|store| {
        // More than a page of the export.
        filled(&*store, 1, 2_001);
        let copy = Copy::new(store.clone(), copy_id());

        let lines = String::from_utf8(exported(&copy, Format::Jsonl)).unwrap();
        assert_eq!(lines.lines().count(), 2_001);
        assert_eq!(
            lines.lines().next(),
            Some(r#"{"Ma":"k00000","Tinh":null,"Ngay":"2025-07-01","So":0,"Nhan":["a"]}"#)
        );

        let table = exported(&copy, Format::Csv);
        assert!(table.starts_with(b"Ma,Tinh,Ngay,So,Nhan\r\nk00000,,2025-07-01,0,\"[\"\"a\"\"]\"\r\nk00001,79,"));
        assert_eq!(csv::Reader::from_reader(&*table).records().map(Result::unwrap).count(), 2_001);

        // apache-avro reads it, and it holds the very values.
        let container = exported(&copy, Format::Avro);
        let reader = apache_avro::Reader::new(&*container).unwrap();
        let values: Vec<_> = reader.map(Result::unwrap).collect();
        assert_eq!(values.len(), 2_001);
        let apache_avro::types::Value::Record(fields) = &values[1] else { panic!() };
        assert_eq!(fields[0], ("Ma".to_owned(), apache_avro::types::Value::String("k00001".into())));
        assert_eq!(fields[2].1, apache_avro::types::Value::Union(1, Box::new(apache_avro::types::Value::Date(20_270))));
    });
}

#[test]
fn an_export_of_no_rows_has_its_head() {
    let store: Arc<dyn ViewStore> = Arc::new(MemoryStore::default());
    filled(&*store, 1, 0);
    let copy = Copy::new(store, copy_id());
    assert_eq!(exported(&copy, Format::Jsonl), b"");
    assert_eq!(exported(&copy, Format::Csv), b"Ma,Tinh,Ngay,So,Nhan\r\n");
    assert_eq!(apache_avro::Reader::new(&*exported(&copy, Format::Avro)).unwrap().count(), 0);
}

#[test]
fn a_row_that_is_not_of_the_schema_is_an_error_and_says_no_value() {
    let store: Arc<dyn ViewStore> = Arc::new(MemoryStore::default());
    let generation = store.begin(&card(1, 1), &[], &progress(0)).unwrap();
    let bad = batch([("a", Some(bytes::Bytes::from_static(b"\0\0\0\0\x07\x10secret"))), ("b", Some("x".into()))]);
    store.apply(generation, &bad, &progress(1)).unwrap();
    store.publish(generation).unwrap();
    let copy = Copy::new(store, copy_id());
    let error = copy.get(b"a").unwrap().unwrap().json().unwrap_err();
    let text = format!("{error} {error:?} {:?}", copy.get(b"a").unwrap());
    assert!(!text.contains("secret"), "{text}");
    assert!(matches!(copy.search("So == 1", None, 10), Err(CopyError::Row(_))));
    assert!(matches!(copy.export(Format::Jsonl, &mut Vec::new()), Err(ExportError::Copy(_))));
    let other = Copy::new(Arc::new(MemoryStore::default()), copy_id());
    assert!(matches!(other.digest(), Err(CopyError::None(_))));
}

#[test]
fn two_views_of_a_dataset_are_two_copies() {
    on_every_store(|store| {
        filled(&*store, 1, 3);
        let other = ViewCard { view: View::new("phu").unwrap(), ..card(1, 1) };
        let generation = store.begin(&other, &[], &progress(0)).unwrap();
        store.apply(generation, &batch([("x", Some(row("x", None, 1)))]), &progress(1)).unwrap();
        store.publish(generation).unwrap();
        let id = kenh_consumers::store::CopyId { view: View::new("phu").unwrap(), ..copy_id() };
        assert_eq!(keys(&Copy::new(store.clone(), id).page(None, 10).unwrap()), ["x"]);
        assert_eq!(Copy::new(store.clone(), copy_id()).page(None, 10).unwrap().rows.len(), 3);
        assert_eq!(copy::list(&*store).unwrap().len(), 2);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// A text that anybody sends as a cursor is an error or a place, never a panic.
    #[test]
    fn any_text_as_a_cursor_is_an_error_or_a_place(text in "[A-Za-z0-9_-]{0,40}") {
        let store: Arc<dyn ViewStore> = Arc::new(MemoryStore::default());
        filled(&*store, 1, 3);
        let copy = Copy::new(store, copy_id());
        if let Ok(cursor) = text.parse::<copy::Cursor>() {
            drop(copy.page(Some(&cursor), 2));
            drop(copy.search("Tinh in ['01', '79']", Some(&cursor), 2));
        }
    }
}
