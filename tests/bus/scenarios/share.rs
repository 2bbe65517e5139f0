//! Sharing: reform day through the declared state of this repository, with the real units and a small made-up
//! population, against the model and against the counts that are known of the source.

use std::path::Path;

use kenh_producers::reform::{Record, Reform, Step};

use crate::ground::Ground;
use crate::oracle::at;
use crate::roles::{Bus, Sent};
use crate::world::{Fields, Grant, RowsOf, World, grant};

on_every_log!(reform_day);

const UNITS: &str = "don-vi-hanh-chinh";
const PEOPLE: &str = "dan-cu";
const CITIZENS: u64 = 400;
const SEED: u64 = 7;

// The grants of broker-config/grants, as a person reads them.
const G01_UNITS: Fields = &[
    ("Ma", "Ma"),
    ("HieuLucTu", "HieuLucTu"),
    ("HieuLucDen", "HieuLucDen"),
    ("Ten", "Ten"),
    ("TenTA", "TenTA"),
    ("Cap", "Cap"),
    ("CapTren", "CapTren"),
    ("MaTinh", "MaTinh"),
    ("ViDo", "ViDo"),
    ("KinhDo", "KinhDo"),
    ("DienTich", "DienTich"),
    ("KeThua", "KeThua"),
    ("VanBan", "VanBan"),
];
const H29_UNITS: Fields = &[
    ("Ma", "Ma"),
    ("HieuLucTu", "HieuLucTu"),
    ("HieuLucDen", "HieuLucDen"),
    ("Ten", "Ten"),
    ("Cap", "Cap"),
    ("CapTren", "CapTren"),
    ("MaTinh", "MaTinh"),
    ("ViDo", "ViDo"),
    ("KinhDo", "KinhDo"),
    ("DienTich", "DienTich"),
    ("KeThua", "KeThua"),
];
const G12_UNITS: Fields =
    &[("Ma", "Ma"), ("HieuLucTu", "HieuLucTu"), ("HieuLucDen", "HieuLucDen"), ("Ten", "Ten"), ("Cap", "Cap")];
const G01_PEOPLE: Fields = &[
    ("SoDinhDanh", "SoDinhDanh"),
    ("HoVaTen", "HoVaTen"),
    ("NgaySinh", "NgaySinh"),
    ("GioiTinh", "GioiTinh"),
    ("DanToc", "DanToc"),
    ("NoiOHienTai", "NoiOHienTai"),
    ("ThuongTru", "ThuongTru"),
    ("SoDienThoai", "SoDienThoai"),
    ("TinhTrangHonNhan", "TinhTrangHonNhan"),
    ("NhomMau", "NhomMau"),
    ("SoCMND", "SoCMND"),
];
const H29_PEOPLE: Fields = &[
    ("SoDinhDanh", "SoDinhDanh"),
    ("HoVaTen", "HoVaTen"),
    ("NgaySinh", "NgaySinh"),
    ("GioiTinh", "GioiTinh"),
    ("NoiOHienTai.MaXa", "NoiOHienTai_MaXa"),
    ("NoiOHienTai.MaXaTu", "NoiOHienTai_MaXaTu"),
    ("NoiOHienTai.MaTinh", "NoiOHienTai_MaTinh"),
    ("NoiOHienTai.ChiTiet", "NoiOHienTai_ChiTiet"),
    ("SoDienThoai", "SoDienThoai"),
];
const G12_PEOPLE: Fields = &[("SoDinhDanh", "SoDinhDanh"), ("HoVaTen", "HoVaTen"), ("NoiOHienTai.MaTinh", "MaTinh")];
const G18_PEOPLE: Fields = &[("NgaySinh.year", "NamSinh"), ("GioiTinh", "GioiTinh"), ("NoiOHienTai.MaXa", "MaXa")];

fn declared() -> Vec<Grant> {
    let units = |id, recipient, fields| Grant { dataset: UNITS, ..grant(id, recipient, fields) };
    let people = |id, recipient, fields| Grant { dataset: PEOPLE, ..grant(id, recipient, fields) };
    // The filters' texts are in the repository's files; only what they mean is asked here.
    let open = RowsOf("", |r| r["HieuLucDen"].is_null());
    let open_79 = RowsOf("", |r| r["HieuLucDen"].is_null() && r["MaTinh"] == "79");
    let lives_79 = RowsOf("", |r| at(r, "NoiOHienTai.MaTinh") == "79");
    vec![
        units("g01-don-vi-hanh-chinh", "G01", G01_UNITS),
        units("h29-don-vi-hanh-chinh", "H29", H29_UNITS).rows(open_79),
        units("g12-don-vi-hanh-chinh", "G12", G12_UNITS).rows(open),
        people("g01-dan-cu", "G01", G01_PEOPLE),
        people("h29-dan-cu", "H29", H29_PEOPLE).rows(lives_79),
        people("g12-dan-cu", "G12", G12_PEOPLE),
        Grant { pseudonym: true, ..people("g18-dan-cu", "G18", G18_PEOPLE) },
    ]
}

fn change<R: Record>(provider: &'static str, step: &Step<R>) -> Sent {
    let mut key = Vec::new();
    step.record.put_key(&mut key);
    let version = step.version.try_into().unwrap();
    let key = String::from_utf8(key).unwrap();
    Sent { provider, key, version, record: Some(step.record.json()), schema: u32::MAX }
}

fn reform_day(ground: &dyn Fn() -> Ground) {
    let mut world = World::empty();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    world.more = vec![root.join("schemas"), root.join("broker-config")];
    let mut bus = Bus::over(ground(), world);
    bus.apply();
    for grant in declared() {
        bus.keep(grant.recipient);
        bus.grants.insert(grant.id, grant);
    }
    bus.settle();

    let reform = Reform::load().unwrap();
    let people = reform.people(SEED, CITIZENS).unwrap();
    let before: Vec<Sent> = reform.units_before().map(|s| change("G09", &s)).collect();
    let after: Vec<Sent> = reform.units_reform().map(|s| change("G09", &s)).collect();
    let lives: Vec<_> = (0..CITIZENS).map(|n| people.life(n)).collect();
    let born: Vec<Sent> = lives.iter().map(|l| change("G01", &l.before())).collect();
    let moved = lives.iter().map(|l| change("G01", &l.reform()));
    let moved: Vec<Sent> = moved.chain(lives.iter().filter_map(|l| Some(change("G01", &l.moved()?)))).collect();
    bus.send_to(UNITS, &before);
    // People live in communes that the bus knows.
    bus.settle();
    bus.send_to(PEOPLE, &born);
    bus.settle();
    bus.check_copies();
    bus.send_to(UNITS, &after);
    bus.settle();
    bus.send_to(PEOPLE, &moved);
    bus.settle();
    bus.check();

    // Counts that are known of the source.
    let counts = |id: &str| {
        let c = bus.copy(&bus.grants[id]).shown().unwrap().as_of.counters;
        (c.rows, c.inserted, c.updated, c.left)
    };
    assert_eq!(counts("g01-don-vi-hanh-chinh"), (14_149, 14_149, 10_794, 0));
    assert_eq!(counts("h29-don-vi-hanh-chinh"), (169, 465, 0, 296));
    assert_eq!(counts("g12-don-vi-hanh-chinh"), (3_355, 14_149, 0, 10_794));
    let residents = &people.residents()["79"];
    let (rows, _, _, left) = counts("h29-dan-cu");
    assert_eq!((rows, left), (residents.now, residents.left));
    assert_eq!(bus.expected[&("G09".to_owned(), UNITS.to_owned())].admitted, 24_943);

    // Once more: nothing is admitted, and no view moves.
    let ends: Vec<_> = bus.grants.keys().map(|id| (*id, counts(id))).collect();
    bus.send_to(UNITS, &before);
    bus.send_to(UNITS, &after);
    bus.send_to(PEOPLE, &born);
    bus.send_to(PEOPLE, &moved);
    bus.settle();
    bus.check();
    let counts = |id: &str| {
        let c = bus.copy(&bus.grants[id]).shown().unwrap().as_of.counters;
        (c.rows, c.inserted, c.updated, c.left)
    };
    for (id, before) in ends {
        assert_eq!(counts(id), before, "{id}");
    }
    assert_eq!(bus.expected[&("G09".to_owned(), UNITS.to_owned())].admitted, 24_943);
}
