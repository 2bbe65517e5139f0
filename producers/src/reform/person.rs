//! A record of `dan-cu`, and its two forms.

use std::fmt;

use kenh_domain::date;
use kenh_domain::envelope::{put_long, put_text};
use serde_json::{Value, json};

use super::data::Unit;
use super::{Record, put_nullable_int, put_nullable_text};

/// Where a person lives or is registered.
#[derive(Clone, Copy, PartialEq)]
pub struct Place<'a> {
    /// The commune.
    pub commune: &'a Unit,
    /// `MaXaTu`: first day of the commune under this code, in days since 1970.
    pub since: i32,
    /// `ChiTiet`: house and street, or hamlet.
    pub detail: &'a str,
}

/// A made-up person at one time.
#[derive(Clone, Copy, PartialEq)]
pub struct Person<'a> {
    /// What does not change.
    pub facts: &'a Facts,
    /// `NoiOHienTai`.
    pub lives: Place<'a>,
    /// `ThuongTru`.
    pub registered: Place<'a>,
}

/// What of a person does not change on reform day.
#[derive(Clone, PartialEq, Eq)]
pub struct Facts {
    /// `SoDinhDanh`: 12 digits.
    pub id: String,
    /// `HoVaTen`, in NFC.
    pub name: String,
    /// `NgaySinh.year`.
    pub birth_year: i32,
    /// `NgaySinh.month`, 1 to 12, where known.
    pub birth_month: Option<i32>,
    /// `NgaySinh.day`, where known; never without month.
    pub birth_day: Option<i32>,
    /// `GioiTinh`: 1 male, 2 female.
    pub sex: i32,
    /// `DanToc`: 01 to 54.
    pub group: &'static str,
    /// `SoDienThoai`.
    pub phone: Option<String>,
    /// `TinhTrangHonNhan`: 0 unknown, 1 single, 2 married, 3 divorced, 4 widowed.
    pub marital_status: i32,
    /// `NhomMau`.
    pub blood_group: Option<&'static str>,
    /// `SoCMND`: 9 digits.
    pub old_id_card: Option<String>,
}

impl fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place(…)")
    }
}

impl fmt::Debug for Person<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person(…)")
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Facts(…)")
    }
}

impl Place<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        put_text(&self.commune.code, out);
        put_long(self.since.into(), out);
        put_text(&self.commune.province, out);
        put_text(self.detail, out);
    }

    fn json(&self) -> Value {
        json!({
            "MaXa": self.commune.code,
            "MaXaTu": date::text(self.since),
            "MaTinh": self.commune.province,
            "ChiTiet": self.detail,
        })
    }
}

impl Record for Person<'_> {
    fn put_key(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.facts.id.as_bytes());
    }

    fn put_body(&self, out: &mut Vec<u8>) {
        let facts = self.facts;
        put_text(&facts.id, out);
        put_text(&facts.name, out);
        put_long(facts.birth_year.into(), out);
        put_nullable_int(facts.birth_month, out);
        put_nullable_int(facts.birth_day, out);
        put_long(facts.sex.into(), out);
        put_text(facts.group, out);
        self.lives.put(out);
        self.registered.put(out);
        put_nullable_text(facts.phone.as_deref(), out);
        put_long(facts.marital_status.into(), out);
        put_nullable_text(facts.blood_group, out);
        put_nullable_text(facts.old_id_card.as_deref(), out);
    }

    fn json(&self) -> Value {
        let facts = self.facts;
        json!({
            "SoDinhDanh": facts.id,
            "HoVaTen": facts.name,
            "NgaySinh": {"year": facts.birth_year, "month": facts.birth_month, "day": facts.birth_day},
            "GioiTinh": facts.sex,
            "DanToc": facts.group,
            "NoiOHienTai": self.lives.json(),
            "ThuongTru": self.registered.json(),
            "SoDienThoai": facts.phone,
            "TinhTrangHonNhan": facts.marital_status,
            "NhomMau": facts.blood_group,
            "SoCMND": facts.old_id_card,
        })
    }
}
