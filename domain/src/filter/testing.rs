//! For tests: a record with a field of every kind that filters know.

use apache_avro::types::Value as Avro;

use crate::schema::Schema;
use crate::schema::testing::encode;

pub(super) const RECORD: &str = r#"{"type":"record","name":"R","fields":[
    {"name":"so","type":"int"},
    {"name":"dai","type":"long"},
    {"name":"thuc","type":"double"},
    {"name":"ma","type":"string"},
    {"name":"ten","type":["null","string"]},
    {"name":"so_null","type":["int","null"]},
    {"name":"ngay","type":{"type":"int","logicalType":"date"}},
    {"name":"ngay_null","type":["null",{"type":"int","logicalType":"date"}]},
    {"name":"gioi","type":{"type":"enum","name":"Gioi","symbols":["NAM","NU"]}},
    {"name":"co","type":"boolean"},
    {"name":"co_null","type":["null","boolean"]},
    {"name":"noi","type":["null",{"type":"record","name":"Noi","fields":[
        {"name":"ma_tinh","type":"string"},{"name":"cap","type":["null","long"]}]}]},
    {"name":"luc","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"ds","type":{"type":"array","items":"int"}}]}"#;

pub(super) fn schema() -> Schema {
    Schema::parse(RECORD).unwrap()
}

/// What differs from row to row.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) so: i32,
    pub(super) dai: i64,
    pub(super) thuc: f64,
    pub(super) ma: String,
    pub(super) ten: Option<String>,
    pub(super) so_null: Option<i32>,
    pub(super) ngay: i32,
    pub(super) ngay_null: Option<i32>,
    pub(super) gioi: u32,
    pub(super) co: bool,
    pub(super) co_null: Option<bool>,
    pub(super) noi: Option<(String, Option<i64>)>,
}

impl Row {
    pub(super) fn encode(&self) -> Vec<u8> {
        let option = |value: Option<Avro>| match value {
            None => Avro::Union(0, Box::new(Avro::Null)),
            Some(value) => Avro::Union(1, Box::new(value)),
        };
        let so_null = match self.so_null {
            Some(n) => Avro::Union(0, Box::new(Avro::Int(n))),
            None => Avro::Union(1, Box::new(Avro::Null)),
        };
        let noi = self.noi.as_ref().map(|(tinh, cap)| {
            let fields = [("ma_tinh", Avro::String(tinh.clone())), ("cap", option(cap.map(Avro::Long)))];
            Avro::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
        });
        let fields = [
            Avro::Int(self.so),
            Avro::Long(self.dai),
            Avro::Double(self.thuc),
            Avro::String(self.ma.clone()),
            option(self.ten.clone().map(Avro::String)),
            so_null,
            Avro::Date(self.ngay),
            option(self.ngay_null.map(Avro::Date)),
            Avro::Enum(self.gioi, String::new()),
            Avro::Boolean(self.co),
            option(self.co_null.map(Avro::Boolean)),
            option(noi),
            Avro::TimestampMillis(1),
            Avro::Array(vec![Avro::Int(1)]),
        ];
        encode(&Avro::Record(fields.map(|value| (String::new(), value)).into()))
    }
}
