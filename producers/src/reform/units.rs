//! The administrative units as changes of dataset `don-vi-hanh-chinh`, record key (`Ma`, `HieuLucTu`).
//!
//! First every old unit, NEW, version 1, from 2025-03-01. Then the reform: every old unit UPDATE, version 2, last day
//! 2025-06-30; every new unit NEW, version 1, from 2025-07-01, with the units it took over. An old code that goes on
//! under the same name is no exception: code and first day together are the key. `TenTA` is null and `VanBan` empty
//! throughout, since the source has neither.

use kenh_domain::date;
use kenh_domain::envelope::{Event, put_long, put_text};
use kenh_domain::key::{KeyPart, put_record_key};
use serde_json::{Value, json};

use super::data::{Extent, Predecessor, Reform, Unit};
use super::{
    BEFORE_DAY, BEFORE_MS, Change, LAST_DAY, REFORM_DAY, REFORM_MS, Record, Step, put_nullable_double,
    put_nullable_int, put_nullable_text,
};

/// A record of `don-vi-hanh-chinh`.
#[derive(Debug, Clone, Copy)]
pub struct UnitRecord<'a> {
    /// The unit.
    pub unit: &'a Unit,
    /// `HieuLucTu`, in days since 1970.
    pub since: i32,
    /// `HieuLucDen`; none while open-ended.
    pub until: Option<i32>,
    /// `KeThua`: units of the time before, all of them there from [`BEFORE_DAY`].
    pub predecessors: &'a [Predecessor],
}

impl Reform {
    /// How many changes [`Self::units`] gives.
    #[must_use]
    pub fn units_len(&self) -> u64 {
        (2 * self.before.len() + self.after.len()) as u64
    }

    /// All changes, in order.
    pub fn units(&self) -> impl Iterator<Item = Change> {
        self.units_before().chain(self.units_reform()).map(|step| step.change())
    }

    /// What stood before the reform.
    pub fn units_before(&self) -> impl Iterator<Item = Step<UnitRecord<'_>>> {
        self.before.iter().map(|unit| Step {
            event: Event::New,
            version: 1,
            updated_ms: BEFORE_MS,
            record: UnitRecord { unit, since: BEFORE_DAY, until: None, predecessors: &[] },
        })
    }

    /// The reform: the old units end, then the new ones begin.
    pub fn units_reform(&self) -> impl Iterator<Item = Step<UnitRecord<'_>>> {
        let ended = self.before.iter().map(|unit| Step {
            event: Event::Update,
            version: 2,
            updated_ms: REFORM_MS,
            record: UnitRecord { unit, since: BEFORE_DAY, until: Some(LAST_DAY), predecessors: &[] },
        });
        let begun = self.after.iter().zip(&self.predecessors).map(|(unit, predecessors)| Step {
            event: Event::New,
            version: 1,
            updated_ms: REFORM_MS,
            record: UnitRecord { unit, since: REFORM_DAY, until: None, predecessors },
        });
        ended.chain(begun)
    }
}

impl Record for UnitRecord<'_> {
    fn put_key(&self, out: &mut Vec<u8>) {
        put_record_key(&[KeyPart::Text(&self.unit.code), KeyPart::Text(&date::text(self.since))], out);
    }

    fn put_body(&self, out: &mut Vec<u8>) {
        put_text(&self.unit.code, out);
        put_long(self.since.into(), out);
        put_nullable_int(self.until, out);
        put_text(&self.unit.name, out);
        put_nullable_text(None, out);
        put_long(self.unit.level.into(), out);
        put_nullable_text(self.unit.parent.as_deref(), out);
        put_text(&self.unit.province, out);
        put_nullable_double(self.unit.latitude, out);
        put_nullable_double(self.unit.longitude, out);
        put_nullable_double(self.unit.area, out);
        if !self.predecessors.is_empty() {
            put_long(i64::try_from(self.predecessors.len()).unwrap_or(i64::MAX), out);
            for predecessor in self.predecessors {
                put_text(&predecessor.code, out);
                put_long(BEFORE_DAY.into(), out);
                put_long(i64::from(predecessor.extent == Extent::Partial), out);
            }
        }
        put_long(0, out);
        put_long(0, out);
    }

    fn json(&self) -> Value {
        let unit = self.unit;
        let predecessors: Vec<_> = self
            .predecessors
            .iter()
            .map(|p| json!({"Ma": p.code, "HieuLucTu": date::text(BEFORE_DAY), "Loai": p.extent.word()}))
            .collect();
        json!({
            "Ma": unit.code,
            "HieuLucTu": date::text(self.since),
            "HieuLucDen": self.until.map(date::text),
            "Ten": unit.name,
            "TenTA": null,
            "Cap": unit.level,
            "CapTren": unit.parent,
            "MaTinh": unit.province,
            "ViDo": unit.latitude,
            "KinhDo": unit.longitude,
            "DienTich": unit.area,
            "KeThua": predecessors,
            "VanBan": [],
        })
    }
}
