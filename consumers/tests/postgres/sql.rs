//! What an agency sees with SQL.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use kenh_consumers::store::postgres::{Options, PostgresStore, shown};
use kenh_consumers::store::{Batch, Counters, StoreError, ViewStore};
use kenh_domain::filter::Atom;
use kenh_domain::notice::ViewCard;
use kenh_domain::schema::put_long;
use kenh_domain::wire::put_header;
use kenh_producers::reform::{Record as _, Reform};
use kenh_testkit::postgres::Cluster;

use crate::server::{connect, one, open, open_on};
use crate::stores::{batch, progress};
use crate::support::{SCHEMA_ID, agency, card, row, rows};

#[test]
fn a_table_has_types_comments_keys_and_indexes() {
    let store = open("kieu");
    let described = ViewCard {
        comments: vec![("Ma".into(), "Mã, it's the key".into()), ("Tinh".into(), "Tỉnh".into())],
        ..card(1, 1)
    };
    let generation = store.begin(&described, &["Tinh".into(), "So".into()], &progress(0)).unwrap();
    store.apply(generation, &batch([("a", Some(row("a", Some("79"), 5)))]), &progress(1)).unwrap();
    store.publish(generation).unwrap();
    let mut sql = connect(Cluster::shared());
    let shown: String = one(
        &mut sql,
        r#"SELECT concat_ws('|', "Ma", "Tinh", "Ngay", "So", "Nhan"::text, convert_from(_kenh_key, 'UTF8')) FROM kieu.dan_cu"#,
    );
    assert_eq!(shown, "a|79|2025-07-01|5|{a}|a");
    let types: String = one(
        &mut sql,
        "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
         FROM pg_attribute WHERE attrelid = 'kieu.dan_cu'::regclass AND attnum > 0",
    );
    assert_eq!(
        types,
        "Ma text, Tinh text, Ngay date, So bigint, Nhan text[], _kenh_key bytea, _kenh_value bytea, _kenh_unshown text[]"
    );
    let comment = |n: i32| format!("SELECT coalesce(col_description('kieu.dan_cu'::regclass, {n}), '')");
    assert_eq!(one::<String>(&mut sql, &comment(1)), "Mã, it's the key");
    assert_eq!(one::<String>(&mut sql, &comment(2)), "Tỉnh");
    assert_eq!(one::<String>(&mut sql, &comment(4)), "");
    let about: String = one(&mut sql, "SELECT obj_description('kieu.dan_cu'::regclass)");
    assert!(about.contains("edition 1") && about.contains("grant-1"), "{about}");
    let key: String = one(
        &mut sql,
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'kieu.dan_cu'::regclass AND contype = 'p'",
    );
    assert_eq!(key, r#"PRIMARY KEY ("Ma")"#);
    // The agency's own query uses the index.
    sql.batch_execute("SET enable_seqscan = off").unwrap();
    let plan = sql.query(r#"EXPLAIN SELECT * FROM kieu.dan_cu WHERE "Tinh" = '79'"#, &[]).unwrap();
    let plan: String = plan.iter().map(|line| line.get::<_, String>(0)).collect();
    assert!(plan.contains("Index"), "{plan}");

    let renewed = ViewCard { comments: vec![("Tinh".into(), "Khác".into())], ..card(1, 1) };
    store.set_card(generation, &renewed).unwrap();
    assert_eq!(one::<String>(&mut sql, &comment(1)) + &one::<String>(&mut sql, &comment(2)), "Khác");
    let copies: String = one(
        &mut sql,
        r#"SELECT concat_ws('|', "table", dataset, view, edition, "grant", rows, inserted, updated, "left") FROM kieu.kenh_copies"#,
    );
    assert_eq!(copies, "dan_cu|dan-cu|main|1|grant-1|1|1|0|0");
}

/// Every row of generation n says n; a reader sees all rows of one generation, never none, and never an older one again.
#[test]
fn a_swap_has_no_gap_for_who_reads_with_sql_and_keeps_their_rights() {
    const SWAPS: i64 = 40;
    const ROWS: i64 = 200;
    let store = open("doi");
    let publish = |n: i64| {
        let generation = store.begin(&card(u32::try_from(n).unwrap(), 1), &[], &progress(0)).unwrap();
        let keys: Vec<String> = (0..ROWS).map(|i| format!("k{i}")).collect();
        let rows = keys.iter().map(|key| (key.as_str(), Some(row(key, None, n))));
        store.apply(generation, &batch(rows), &progress(1)).unwrap();
        store.publish(generation).unwrap();
    };
    publish(1);
    connect(Cluster::shared()).batch_execute("GRANT SELECT ON doi.dan_cu TO PUBLIC").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for prepared in [true, false] {
            let done = &done;
            scope.spawn(move || {
                let mut sql = connect(Cluster::shared());
                let query = r#"SELECT count(*), min("So"), max("So") FROM doi.dan_cu"#;
                let statement = sql.prepare(query).unwrap();
                let (mut last, mut seen) = (0, std::collections::BTreeSet::new());
                while !done.load(Ordering::Acquire) || last < SWAPS {
                    let row = if prepared { sql.query_one(&statement, &[]) } else { sql.query_one(query, &[]) };
                    let row = row.unwrap();
                    let (count, min, max): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
                    assert_eq!((count, min), (ROWS, max), "two generations at once, or a part of one");
                    assert!(max >= last, "an older generation came back");
                    last = max;
                    seen.insert(max);
                }
                assert!(seen.len() > 3, "hardly any swap was seen: {seen:?}");
            });
        }
        (2..=SWAPS).for_each(publish);
        done.store(true, Ordering::Release);
    });
    let public: bool = one(
        &mut connect(Cluster::shared()),
        "SELECT EXISTS (SELECT FROM pg_class c, aclexplode(relacl) a WHERE c.oid = 'doi.dan_cu'::regclass
         AND grantee = 0 AND privilege_type = 'SELECT')",
    );
    assert!(public, "a right was lost with the table it was given on");
    let tables: i64 = one(
        &mut connect(Cluster::shared()),
        "SELECT count(*) FROM pg_tables WHERE schemaname LIKE 'doi%' AND tablename LIKE '\\_g%'",
    );
    assert_eq!(tables, 0, "a replaced generation is still there");
}

#[test]
fn what_an_agency_built_on_a_table_stops_a_swap_with_words_and_a_purge_not_at_all() {
    let store = open("phu_thuoc");
    let first = store.begin(&card(1, 1), &[], &progress(0)).unwrap();
    store.publish(first).unwrap();
    let mut sql = connect(Cluster::shared());
    sql.batch_execute("CREATE VIEW phu_thuoc.rieng AS SELECT * FROM phu_thuoc.dan_cu").unwrap();
    let second = store.begin(&card(2, 1), &[], &progress(0)).unwrap();
    let Err(StoreError::Refused(text)) = store.publish(second) else { panic!("a view of the agency's was broken") };
    assert!(text.contains("dan_cu"), "{text}");
    assert!(store.generations().unwrap()[0].published, "the one before is still shown");
    store.discard(first).unwrap();
    assert!(store.generations().unwrap().iter().all(|info| info.generation == second));
    store.publish(second).unwrap();
}

/// Whoever only reads needs no lock and makes nothing; SQL counts what the store counts.
#[test]
fn a_store_is_read_beside_its_writer_and_not_written_to() {
    let server = Cluster::shared();
    let options = || {
        let options = Options::new(&agency(), server.url(), Some(server.password())).unwrap();
        options.schema("ben_canh").unwrap()
    };
    assert!(PostgresStore::open_to_read(options()).unwrap().is_none());
    assert!(shown(&options()).is_err());
    let mut sql = connect(server);
    assert_eq!(one::<i64>(&mut sql, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'ben_canh%'"), 0);
    let writer = open("ben_canh");
    let generation = writer.begin(&card(1, 1), &[], &progress(0)).unwrap();
    writer.apply(generation, &batch([("a", Some(row("a", Some("79"), 5)))]), &progress(1)).unwrap();
    let beside = PostgresStore::open_to_read(options()).unwrap().unwrap();
    assert_eq!(shown(&options()).unwrap(), [], "what is being filled is not shown");
    writer.publish(generation).unwrap();
    assert_eq!(rows(&beside, generation), rows(&writer, generation));
    for refused in [beside.publish(generation), beside.discard(generation), beside.set_note("n", None), beside.probe()]
    {
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    }
    let more = batch([("b", Some(row("b", Some("01"), 5))), ("c", Some(row("c", None, 5)))]);
    writer.apply(generation, &more, &progress(2)).unwrap();
    writer.apply(generation, &batch([("c", None)]), &progress(3)).unwrap();
    writer.probe().unwrap();
    let [table] = &shown(&options()).unwrap()[..] else { panic!("one table is shown") };
    let counted = (table.counted, table.rows, table.inserted, table.updated, table.left);
    assert_eq!((table.name.as_str(), counted), ("ben_canh.dan_cu", (2, 2, 3, 0, 1)));
    sql.batch_execute("UPDATE ben_canh_internal.store SET format = 2").unwrap();
    assert!(matches!(PostgresStore::open_to_read(options()), Err(StoreError::Newer { found: 2 })));
}

#[test]
fn a_newer_format_and_somebody_elses_schema_are_refused_and_left() {
    drop(open("sau"));
    let mut sql = connect(Cluster::shared());
    sql.batch_execute("UPDATE sau_internal.store SET format = 2").unwrap();
    let server = Cluster::shared();
    let newer = open_on(server.url(), server.password(), "sau").map(drop);
    assert!(matches!(newer, Err(StoreError::Newer { found: 2 })), "{newer:?}");
    assert_eq!(one::<i64>(&mut sql, "SELECT format FROM sau_internal.store"), 2);
    sql.batch_execute("CREATE SCHEMA khac_internal; CREATE TABLE khac_internal.cua_ho ()").unwrap();
    let other = open_on(server.url(), server.password(), "khac").map(drop);
    assert!(matches!(other, Err(StoreError::Damaged { .. })), "{other:?}");
    // Something of the agency's stands where the table would.
    let store = open("trung");
    sql.batch_execute("CREATE TABLE trung.dan_cu ()").unwrap();
    let generation = store.begin(&card(1, 1), &[], &progress(0)).unwrap();
    assert!(matches!(store.publish(generation), Err(StoreError::Refused(_))));
}

#[test]
fn a_wrong_password_is_in_no_error() {
    let server = Cluster::shared();
    let error = open_on(server.url(), "bi-mat-sai", "sai").map(drop).unwrap_err();
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    assert!(text.contains("28P01") && !text.contains("bi-mat-sai"), "{text}");
}

/// A NUL in a text: SQL has no such text, so that the row says so; everything else of it is there, and it is found.
#[test]
fn what_sql_cannot_hold_is_named_and_kept() {
    let store = open("nul");
    let generation = store.begin(&card(1, 1), &["Tinh".into()], &progress(0)).unwrap();
    let strange = row("a", Some("7\09"), 5);
    let long = row("b", Some(&"x".repeat(5000)), 6);
    let records =
        batch([("a", Some(strange.clone())), ("b", Some(long.clone())), ("c", Some(row("c", Some("79"), 7)))]);
    store.apply(generation, &records, &progress(1)).unwrap();
    store.publish(generation).unwrap();
    assert_eq!(rows(&store, generation)[..2], [(Bytes::from("a"), strange), (Bytes::from("b"), long)]);
    let mut sql = connect(Cluster::shared());
    let shown: String = one(
        &mut sql,
        r#"SELECT string_agg(concat_ws('|', "Ma", "Tinh", "So", _kenh_unshown::text), ' ' ORDER BY "Ma") FROM nul.dan_cu"#,
    );
    assert_eq!(shown, "a|5|{Tinh} b|6|{Tinh} c|79|7");
    let snapshot = store.snapshot(generation).unwrap();
    for (value, expected) in [("7\09", "ab"), ("79", "abc")] {
        let mut found = String::new();
        let mut each = |key: &[u8], _: &[u8]| {
            found += std::str::from_utf8(key).unwrap();
            std::ops::ControlFlow::Continue(())
        };
        snapshot.find("Tinh", &Atom::Text(value.into()), None, &mut each).unwrap();
        assert_eq!(found, expected, "a row that may be it is always visited");
    }
    drop(snapshot);
    // In the key there is no way out: the row is refused by the name of its field.
    let refused = store.apply(generation, &batch([("d\0", Some(row("d\0", None, 1)))]), &progress(2));
    let Err(StoreError::Refused(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("field Ma") && !text.contains("d\0"), "{text}");
    let refused = store.apply(generation, &batch([("d", Some(row("e", None, 1)))]), &progress(2));
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(store.generations().unwrap()[0].progress, progress(1), "a refused batch has moved something");
}

const UNITS: &str = r#"{"type":"record","name":"View","fields":[
    {"name":"Ma","type":"string"},
    {"name":"HieuLucTu","type":{"type":"int","logicalType":"date"}},
    {"name":"HieuLucDen","type":["null",{"type":"int","logicalType":"date"}]},
    {"name":"Ten","type":"string"},
    {"name":"MaTinh","type":"string"}]}"#;

fn unit(code: &str, since: i32, until: Option<i32>, name: &str, province: &str) -> Bytes {
    let mut out = Vec::new();
    put_header(SCHEMA_ID, &mut out);
    let text = |text: &str, out: &mut Vec<u8>| {
        put_long(text.len().try_into().unwrap(), out);
        out.extend_from_slice(text.as_bytes());
    };
    text(code, &mut out);
    put_long(since.into(), &mut out);
    match until {
        None => out.push(0),
        Some(day) => {
            out.push(2);
            put_long(day.into(), &mut out);
        }
    }
    text(name, &mut out);
    text(province, &mut out);
    out.into()
}

/// H29's open-ended units of province 79, before and after the reform of 2025.
#[test]
fn reform_day_of_h29_counts_in_sql_as_in_the_copy() {
    let store = open("h29");
    let key_fields = vec!["Ma".into(), "HieuLucTu".into()];
    let card = ViewCard { schema: UNITS.into(), key_fields, ..card(1, 1) };
    let generation = store.begin(&card, &[], &progress(0)).unwrap();
    let reform = Reform::load().unwrap();
    let mut held = std::collections::BTreeSet::new();
    let mut all = Batch::default();
    for step in reform.units_before().chain(reform.units_reform()) {
        let (record, unit) = (step.record, step.record.unit);
        let mut key = Vec::new();
        record.put_key(&mut key);
        let key = Bytes::from(key);
        if record.until.is_none() && unit.province == "79" {
            held.insert(key.clone());
            all.push(key, Some(self::unit(&unit.code, record.since, record.until, &unit.name, &unit.province)));
        } else if held.remove(&key) {
            all.push(key, None);
        }
        if all.records() == 100 {
            store.apply(generation, &std::mem::take(&mut all), &progress(1)).unwrap();
        }
    }
    let Counters { rows, inserted, updated, left, .. } = store.apply(generation, &all, &progress(2)).unwrap();
    assert_eq!((rows, inserted, updated, left), (169, 465, 0, 296));
    store.publish(generation).unwrap();
    let mut sql = connect(Cluster::shared());
    let counted: i64 = one(
        &mut sql,
        r#"SELECT count(*) FROM h29.dan_cu WHERE "HieuLucDen" IS NULL AND "MaTinh" = '79' AND "HieuLucTu" = date '2025-07-01'"#,
    );
    assert_eq!(counted, 169);
    assert_eq!(one::<i64>(&mut sql, "SELECT count(*) FROM h29.dan_cu"), 169);
    let key: String = one(
        &mut sql,
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'h29.dan_cu'::regclass AND contype = 'p'",
    );
    assert_eq!(key, r#"PRIMARY KEY ("Ma", "HieuLucTu")"#);
}
