//! The same work done with `apache-avro`, as somebody would who has no compiled shapes: decode, look at fields, encode.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

pub fn parse(schema: &str) -> Schema {
    Schema::parse_str(schema).expect("a schema")
}

pub fn decode(reader: &GenericDatumReader<'_>, mut body: &[u8]) -> Value {
    reader.read_value(&mut body).expect("a body")
}

pub fn encode(writer: &GenericDatumWriter<'_>, value: Value) -> Vec<u8> {
    writer.write_value_to_vec(value).expect("the value is of the schema")
}

/// The value at a dotted path, as it is (a nullable one stays a union).
pub fn at<'v>(mut value: &'v Value, path: &str) -> &'v Value {
    for part in path.split('.') {
        let Value::Record(fields) = value else { panic!("{path} leads through no record") };
        value = fields.iter().find(|(name, _)| name == part).map(|(_, v)| v).expect("a field of the schema");
    }
    value
}

/// The fields granted, by path and name, as a record of the view.
pub fn project(value: &Value, fields: &[(String, String)]) -> Value {
    Value::Record(fields.iter().map(|(path, name)| (name.clone(), at(value, path).clone())).collect())
}
