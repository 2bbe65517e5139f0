//! What H29 is to hold after reform day, worked out from the last change of every record: nothing of it comes through a
//! grant, a filter or a projector of Kênh.

use std::collections::BTreeMap;

use kenh_producers::reform::{Record, Reform};
use serde_json::{Map, Value};

/// What broker-config/grants/h29-don-vi-hanh-chinh.yaml gives.
const OF_UNITS: &[&str] =
    &["Ma", "HieuLucTu", "HieuLucDen", "Ten", "Cap", "CapTren", "MaTinh", "ViDo", "KinhDo", "DienTich", "KeThua"];
/// What broker-config/grants/h29-dan-cu.yaml gives.
const OF_PEOPLE: &[&str] = &[
    "SoDinhDanh",
    "HoVaTen",
    "NgaySinh",
    "GioiTinh",
    "NoiOHienTai.MaXa",
    "NoiOHienTai.MaXaTu",
    "NoiOHienTai.MaTinh",
    "NoiOHienTai.ChiTiet",
    "SoDienThoai",
];
/// The seed that `kenh demo` takes when none is given.
const SEED: u64 = 2025;

/// The units of province 79 that have no last day, by record key.
pub fn units() -> BTreeMap<String, Value> {
    let reform = Reform::load().unwrap();
    let steps = reform.units_before().chain(reform.units_reform());
    let last: BTreeMap<_, _> = steps.map(|step| keyed(&step.record)).collect();
    let of_it = |unit: &Value| unit["MaTinh"] == "79" && unit["HieuLucDen"].is_null();
    rows(last, of_it, OF_UNITS)
}

/// Of so many people those who live in province 79 in the end, by record key.
pub fn people(count: u64) -> BTreeMap<String, Value> {
    let reform = Reform::load().unwrap();
    let people = reform.people(SEED, count).unwrap();
    let last = |index| {
        let life = people.life(index);
        keyed(&life.moved().unwrap_or_else(|| life.reform()).record)
    };
    rows((0..count).map(last).collect(), |person| person["NoiOHienTai"]["MaTinh"] == "79", OF_PEOPLE)
}

fn keyed(record: &impl Record) -> (String, Value) {
    let mut key = Vec::new();
    record.put_key(&mut key);
    (String::from_utf8(key).unwrap(), record.json())
}

fn rows(all: BTreeMap<String, Value>, of_it: impl Fn(&Value) -> bool, fields: &[&str]) -> BTreeMap<String, Value> {
    all.into_iter().filter(|(_, row)| of_it(row)).map(|(key, row)| (key, only(&row, fields))).collect()
}

/// These fields of a record under their names in a view, where a path has `_` for its dots.
fn only(row: &Value, fields: &[&str]) -> Value {
    let at = |path: &str| path.split('.').fold(row, |value, name| &value[name]).clone();
    fields.iter().map(|path| (path.replace('.', "_"), at(path))).collect::<Map<_, _>>().into()
}
