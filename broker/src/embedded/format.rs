//! Format 1: the keys and values of the store.
//!
//! Numbers are big-endian, so that keys sort as what they mean. A topic is named by a number that is never given twice;
//! its name stands once, in its own entry. Readers of a release after a change of any of this must still read this
//! (invariant 10): `tests/fixtures/format-1` holds it to that.
//!
//! Keyspace `records`:
//!
//! | key | value |
//! |---|---|
//! | topic (4), partition (4), position (8) | kind (1: 0 value, 1 tombstone), time in ms (8), length of the key (4), key, value |
//!
//! Keyspace `meta`:
//!
//! | key | value |
//! |---|---|
//! | `i` | the incarnation, text |
//! | `n` | number of the next topic (4) |
//! | `t`, topic (4) | the topic as JSON: [`TopicEntry`] |
//! | `p`, topic (4), partition (4) | start (8), end (8) |
//! | `f`, name of a deleted topic | where one made again under the name starts (8) |
//! | `d`, topic (4) | empty: its records are being removed |
//! | `s`, system | its certificates in force: their serials as a JSON list |
//! | `m`, group | the group's metadata, text |
//! | `c`, group, 0, topic (4), partition (4) | position after the last record consumed (8) |

use std::collections::BTreeSet;

use bytes::Bytes;
use kenh_domain::identity::Serial;
use kenh_domain::log::{Access, Bounds, NewRecord, Position, Record, TopicSpec};
use kenh_domain::names::{Group, Principal};
use serde::{Deserialize, Serialize};

/// The number of this format.
pub const FORMAT: u32 = 1;

/// Key of the incarnation.
pub const INCARNATION: &[u8] = b"i";
/// Key of the next topic's number.
pub const NEXT_TOPIC: &[u8] = b"n";
/// First byte of the keys of topics.
pub const TOPIC: u8 = b't';
/// First byte of the keys of bounds.
pub const BOUNDS: u8 = b'p';
/// First byte of the keys of floors.
pub const FLOOR: u8 = b'f';
/// First byte of the keys of topics that are being removed.
pub const DELETED: u8 = b'd';
/// First byte of the keys of certificates in force.
pub const SERIALS: u8 = b's';
/// First byte of the keys of metadata.
pub const METADATA: u8 = b'm';
/// First byte of the keys of consumed positions.
pub const CONSUMED: u8 = b'c';

/// Number of a topic in this log, never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicNo(pub u32);

/// A topic, as its entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicEntry {
    /// Name, partitions, retention.
    pub spec: TopicSpec,
    /// Its access list, sorted.
    pub access: Vec<Access>,
}

/// An entry that is not as this format says. It names no part of the entry: that may be personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not as format {FORMAT} of the log says")]
pub struct FormatError(pub &'static str);

/// Key of a record.
#[must_use]
pub fn record_key(topic: TopicNo, partition: u32, position: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&topic.0.to_be_bytes());
    key[4..8].copy_from_slice(&partition.to_be_bytes());
    key[8..].copy_from_slice(&position.to_be_bytes());
    key
}

/// Topic, partition and position of a record's key.
///
/// # Errors
/// [`FormatError`] when it does not have 16 bytes.
pub fn read_record_key(key: &[u8]) -> Result<(TopicNo, u32, u64), FormatError> {
    let wrong = FormatError("the key of a record");
    let (topic, rest) = take_u32(key).ok_or(wrong)?;
    let (partition, rest) = take_u32(rest).ok_or(wrong)?;
    Ok((TopicNo(topic), partition, read_u64(rest).ok_or(wrong)?))
}

const HEAD_BYTES: usize = 13;

/// Value of a record.
#[must_use]
pub fn record_value(record: &NewRecord) -> Vec<u8> {
    let value = record.value.as_deref().unwrap_or_default();
    let mut bytes = Vec::with_capacity(HEAD_BYTES + record.key.len() + value.len());
    bytes.push(u8::from(record.value.is_none()));
    bytes.extend_from_slice(&record.timestamp_ms.to_be_bytes());
    // A log takes no record of 4 GiB (limits.rs).
    bytes.extend_from_slice(&(record.key.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&record.key);
    bytes.extend_from_slice(value);
    bytes
}

/// The record that `value` says, lying at `position` of `source`.
///
/// # Errors
/// [`FormatError`].
pub fn read_record(source: usize, position: u64, value: &[u8]) -> Result<Record, FormatError> {
    let wrong = FormatError("a record");
    let timestamp_ms = record_time(value)?;
    let (length, _) = value.get(9..).and_then(take_u32).ok_or(wrong)?;
    let key_end = HEAD_BYTES.checked_add(length as usize).filter(|end| *end <= value.len()).ok_or(wrong)?;
    // One copy for both: the block of the store that holds the record may go.
    let bytes = Bytes::copy_from_slice(value);
    let payload = match value[0] {
        0 => Some(bytes.slice(key_end..)),
        1 if key_end == value.len() => None,
        _ => return Err(wrong),
    };
    Ok(Record {
        source,
        position: Position(position),
        timestamp_ms,
        key: bytes.slice(HEAD_BYTES..key_end),
        value: payload,
    })
}

/// The time of a record, from its value.
///
/// # Errors
/// [`FormatError`].
pub fn record_time(value: &[u8]) -> Result<i64, FormatError> {
    let bytes = value.get(1..9).and_then(|bytes| bytes.try_into().ok());
    bytes.map(i64::from_be_bytes).ok_or(FormatError("a record"))
}

/// Key of a topic, or of one being removed.
#[must_use]
pub fn topic_key(kind: u8, topic: TopicNo) -> Vec<u8> {
    [&[kind], &topic.0.to_be_bytes()[..]].concat()
}

/// Number of the topic from such a key.
///
/// # Errors
/// [`FormatError`].
pub fn read_topic_key(key: &[u8]) -> Result<TopicNo, FormatError> {
    let number = key.get(1..).and_then(take_u32).filter(|(_, rest)| rest.is_empty());
    number.map(|(number, _)| TopicNo(number)).ok_or(FormatError("the key of a topic"))
}

/// Value of a topic.
///
/// # Errors
/// [`FormatError`], which no topic can bring about: names, numbers and lists of them always have a JSON text.
pub fn topic_value(entry: &TopicEntry) -> Result<Vec<u8>, FormatError> {
    serde_json::to_vec(entry).map_err(|_| FormatError("a topic"))
}

/// A topic from its value.
///
/// # Errors
/// [`FormatError`].
pub fn read_topic(value: &[u8]) -> Result<TopicEntry, FormatError> {
    serde_json::from_slice(value).map_err(|_| FormatError("a topic"))
}

/// Key of a partition's bounds.
#[must_use]
pub fn bounds_key(topic: TopicNo, partition: u32) -> Vec<u8> {
    [&[BOUNDS], &topic.0.to_be_bytes()[..], &partition.to_be_bytes()].concat()
}

/// Value of a partition's bounds.
#[must_use]
pub fn bounds_value(bounds: Bounds) -> Vec<u8> {
    [bounds.start.0.to_be_bytes(), bounds.end.0.to_be_bytes()].concat()
}

/// Bounds from their value.
///
/// # Errors
/// [`FormatError`].
pub fn read_bounds(value: &[u8]) -> Result<Bounds, FormatError> {
    let halves = (value.get(..8).and_then(read_u64), value.get(8..).and_then(read_u64));
    match halves {
        (Some(start), Some(end)) if start <= end => Ok(Bounds { start: Position(start), end: Position(end) }),
        _ => Err(FormatError("the bounds of a partition")),
    }
}

/// Key of the floor that a deleted topic left under its name.
#[must_use]
pub fn floor_key(topic: &str) -> Vec<u8> {
    [&[FLOOR], topic.as_bytes()].concat()
}

/// Key of a system's certificates in force.
#[must_use]
pub fn serials_key(system: &Principal) -> Vec<u8> {
    [&[SERIALS], system.as_str().as_bytes()].concat()
}

/// Value of a system's certificates in force.
///
/// # Errors
/// [`FormatError`], which no serials can bring about: numbers always have a JSON text.
pub fn serials_value(serials: &BTreeSet<Serial>) -> Result<Vec<u8>, FormatError> {
    serde_json::to_vec(serials).map_err(|_| FormatError("certificates in force"))
}

/// A system and its certificates in force, from their entry.
///
/// # Errors
/// [`FormatError`].
pub fn read_serials(key: &[u8], value: &[u8]) -> Result<(Principal, BTreeSet<Serial>), FormatError> {
    let system = key.get(1..).and_then(|name| std::str::from_utf8(name).ok()?.parse().ok());
    let serials = serde_json::from_slice(value).ok();
    system.zip(serials).ok_or(FormatError("certificates in force"))
}

/// Key of a group's metadata.
#[must_use]
pub fn metadata_key(group: &Group) -> Vec<u8> {
    [&[METADATA], group.as_str().as_bytes()].concat()
}

/// Key of a consumed position.
#[must_use]
pub fn consumed_key(group: &Group, topic: TopicNo, partition: u32) -> Vec<u8> {
    let (topic, partition) = (topic.0.to_be_bytes(), partition.to_be_bytes());
    [&[CONSUMED], group.as_str().as_bytes(), &[0], &topic[..], &partition].concat()
}

/// Group, topic and partition from the key of a consumed position.
///
/// # Errors
/// [`FormatError`].
pub fn read_consumed_key(key: &[u8]) -> Result<(Group, TopicNo, u32), FormatError> {
    let wrong = FormatError("the key of a consumed position");
    let rest = key.get(1..).ok_or(wrong)?;
    let (rest, tail) = rest.split_last_chunk::<8>().ok_or(wrong)?;
    let group = rest.strip_suffix(&[0]).and_then(read_group).ok_or(wrong)?;
    let (topic, tail) = take_u32(tail).ok_or(wrong)?;
    let (partition, _) = take_u32(tail).ok_or(wrong)?;
    Ok((group, TopicNo(topic), partition))
}

/// A group's name.
#[must_use]
pub fn read_group(name: &[u8]) -> Option<Group> {
    std::str::from_utf8(name).ok()?.parse().ok()
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

/// A number of four bytes.
#[must_use]
pub fn read_u32(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// A number of eight bytes.
#[must_use]
pub fn read_u64(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}
