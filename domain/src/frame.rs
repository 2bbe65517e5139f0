//! The framing of `data.<dataset>`: changes as admitted, and markers. Format 1.
//!
//! Only the router writes it. All numbers are big-endian; `text` is a 2-byte length and UTF-8.
//!
//! ```text
//! format    u8   = 1
//! kind      u8   0 change, 1 cancel, 2 marker
//! sequence  u64  dense, from 1, within the data partition
//!
//! change and cancel                        marker
//!   provider      text                       control position  u64
//!   submission    text                       control digest    32 bytes
//!   number        u64  in its submission     clock             i64  ms since 1970
//!   epoch         u32                        engine            u16
//!   version       u64                        code lists        u16 count, then each:
//!   updated       i64  ms since 1970           dataset text, sequence u64, digest 32 bytes
//!   effective     u8 0 | u8 1, i32 days
//!   sealing form  u8   0 = clear
//!     form 1:     secret id u32, nonce 12 bytes   (reserved; written and read by no release yet)
//!   schema id     u32  of the record        (change only)
//!   body          the record's Avro body    (change only; to the end)
//! ```
//!
//! The record key is the key of the log's record; a marker has an empty key.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::log::Position;
use crate::names::{Agency, Dataset};
use crate::topic::Partition;
use crate::wire::SchemaId;

/// The format number that this release writes.
pub const FORMAT: u8 = 1;

/// The decision engine of this release. It rises when the same log would give other bytes.
pub const ENGINE: u16 = 1;

/// A number of ours within a data partition: dense, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The version of a record as its provider counts: `epoch` first, which only a control event raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Version {
    /// Raised when a source was restored from a backup.
    pub epoch: u32,
    /// `PhienBan`: at least 1.
    pub version: u64,
}

/// What a data record holds of an admitted change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// Who submitted it.
    pub provider: Agency,
    /// The provider's name of the submission.
    pub submission: &'a str,
    /// Number in the submission, from 1.
    pub number: u64,
    /// Its version.
    pub version: Version,
    /// When the source changed it: milliseconds since 1970 (UTC).
    pub updated_ms: i64,
    /// When it takes legal effect: days since 1970, a calendar date without zone.
    pub effective_days: Option<i32>,
    /// The record after the change; `None` cancels it.
    pub after: Option<After<'a>>,
}

/// An after-image: the whole record as it is to stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct After<'a> {
    /// The id of the contract's schema it is written in.
    pub schema: SchemaId,
    /// Its Avro body.
    pub body: &'a [u8],
}

impl fmt::Debug for After<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "After(schema {}, {} bytes)", self.schema, self.body.len())
    }
}

/// What decides bytes besides the changes themselves, as of here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// Control events up to and including this position are in force.
    pub control: Position,
    /// Digest of the control log up to there.
    pub control_digest: [u8; 32],
    /// The clock: milliseconds since 1970 (UTC). Never goes back within a partition.
    pub clock_ms: i64,
    /// The decision engine.
    pub engine: u16,
    /// The code lists on the bus that admission asks from here on, by dataset.
    pub code_lists: Vec<ListAt>,
}

/// A dataset that is a code list, up to one of its changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListAt {
    /// The dataset, of one partition.
    pub dataset: Dataset,
    /// The last change of it that counts, by the data partition's own number; 0 before the first.
    pub sequence: Sequence,
    /// Digest of its changes up to there.
    pub digest: [u8; 32],
}

/// One record of a data partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data<'a> {
    /// A change as admitted.
    Change(Change<'a>),
    /// A marker.
    Marker(Marker),
}

/// A data record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Written by a newer release.
    #[error("a data record of format {0}; this release reads format {FORMAT}: use a newer kenh")]
    Format(u8),
    /// Sealed under a form that this release does not know.
    #[error("a data record sealed under form {0}, which this release does not read: use a newer kenh")]
    Sealed(u8),
    /// Cut short, or not a data record at all.
    #[error("a damaged data record: {0}")]
    Damaged(&'static str),
}

/// Writes a data record.
#[must_use]
pub fn encode(sequence: Sequence, data: &Data<'_>) -> Vec<u8> {
    let body = if let Data::Change(Change { after: Some(after), .. }) = data { after.body.len() } else { 0 };
    let mut out = Vec::with_capacity(128 + body);
    out.push(FORMAT);
    out.push(match data {
        Data::Change(change) if change.after.is_some() => 0,
        Data::Change(_) => 1,
        Data::Marker(_) => 2,
    });
    out.extend_from_slice(&sequence.0.to_be_bytes());
    match data {
        Data::Change(change) => put_change(change, &mut out),
        Data::Marker(marker) => put_marker(marker, &mut out),
    }
    out
}

fn put_change(change: &Change<'_>, out: &mut Vec<u8>) {
    put_text(change.provider.as_str(), out);
    put_text(change.submission, out);
    out.extend_from_slice(&change.number.to_be_bytes());
    out.extend_from_slice(&change.version.epoch.to_be_bytes());
    out.extend_from_slice(&change.version.version.to_be_bytes());
    out.extend_from_slice(&change.updated_ms.to_be_bytes());
    match change.effective_days {
        None => out.push(0),
        Some(days) => {
            out.push(1);
            out.extend_from_slice(&days.to_be_bytes());
        }
    }
    out.push(0); // sealing form: clear
    if let Some(after) = change.after {
        out.extend_from_slice(&after.schema.0.to_be_bytes());
        out.extend_from_slice(after.body);
    }
}

fn put_marker(marker: &Marker, out: &mut Vec<u8>) {
    out.extend_from_slice(&marker.control.0.to_be_bytes());
    out.extend_from_slice(&marker.control_digest);
    out.extend_from_slice(&marker.clock_ms.to_be_bytes());
    out.extend_from_slice(&marker.engine.to_be_bytes());
    let lists = marker.code_lists.len().min(usize::from(u16::MAX));
    #[expect(clippy::cast_possible_truncation, reason = "cut to u16::MAX on the line above")]
    out.extend_from_slice(&(lists as u16).to_be_bytes());
    for list in &marker.code_lists[..lists] {
        put_text(list.dataset.as_str(), out);
        out.extend_from_slice(&list.sequence.0.to_be_bytes());
        out.extend_from_slice(&list.digest);
    }
}

/// Texts written here are names and submission ids, both far below 64 KiB; a longer one is cut at a character.
fn put_text(text: &str, out: &mut Vec<u8>) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    #[expect(clippy::cast_possible_truncation, reason = "cut to u16::MAX on the line above")]
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Reads a data record. The body is not checked here: the router checked it before it wrote it.
///
/// # Errors
/// [`FrameError`].
pub fn decode(bytes: &[u8]) -> Result<(Sequence, Data<'_>), FrameError> {
    let mut cursor = Cursor(bytes);
    let format = cursor.array::<1>()?[0];
    if format != FORMAT {
        return Err(FrameError::Format(format));
    }
    let kind = cursor.array::<1>()?[0];
    let sequence = Sequence(u64::from_be_bytes(cursor.array()?));
    let data = match kind {
        0 | 1 => Data::Change(read_change(&mut cursor, kind == 1)?),
        2 => Data::Marker(read_marker(&mut cursor)?),
        _ => return Err(FrameError::Damaged("unknown kind")),
    };
    Ok((sequence, data))
}

fn read_change<'a>(cursor: &mut Cursor<'a>, cancel: bool) -> Result<Change<'a>, FrameError> {
    let provider = Agency::new(cursor.text()?).map_err(|_| FrameError::Damaged("provider"))?;
    let submission = cursor.text()?;
    let number = u64::from_be_bytes(cursor.array()?);
    let epoch = u32::from_be_bytes(cursor.array()?);
    let version = u64::from_be_bytes(cursor.array()?);
    let updated_ms = i64::from_be_bytes(cursor.array()?);
    let effective_days = match cursor.array::<1>()?[0] {
        0 => None,
        1 => Some(i32::from_be_bytes(cursor.array()?)),
        _ => return Err(FrameError::Damaged("effective date")),
    };
    let form = cursor.array::<1>()?[0];
    if form != 0 {
        return Err(FrameError::Sealed(form));
    }
    let after = if cancel {
        cursor.finished()?;
        None
    } else {
        let schema = SchemaId(u32::from_be_bytes(cursor.array()?));
        Some(After { schema, body: cursor.0 })
    };
    Ok(Change { provider, submission, number, version: Version { epoch, version }, updated_ms, effective_days, after })
}

fn read_marker(cursor: &mut Cursor<'_>) -> Result<Marker, FrameError> {
    let control = Position(u64::from_be_bytes(cursor.array()?));
    let control_digest = cursor.array()?;
    let clock_ms = i64::from_be_bytes(cursor.array()?);
    let engine = u16::from_be_bytes(cursor.array()?);
    let count = u16::from_be_bytes(cursor.array()?);
    let mut code_lists = Vec::new();
    for _ in 0..count {
        let dataset = Dataset::new(cursor.text()?).map_err(|_| FrameError::Damaged("code list"))?;
        let sequence = Sequence(u64::from_be_bytes(cursor.array()?));
        code_lists.push(ListAt { dataset, sequence, digest: cursor.array()? });
    }
    cursor.finished()?;
    Ok(Marker { control, control_digest, clock_ms, engine, code_lists })
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(FrameError::Damaged("cut short"))?;
        self.0 = tail;
        Ok(*head)
    }

    fn text(&mut self) -> Result<&'a str, FrameError> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        let (head, tail) = self.0.split_at_checked(length).ok_or(FrameError::Damaged("cut short"))?;
        self.0 = tail;
        std::str::from_utf8(head).map_err(|_| FrameError::Damaged("not UTF-8"))
    }

    fn finished(&self) -> Result<(), FrameError> {
        if self.0.is_empty() { Ok(()) } else { Err(FrameError::Damaged("bytes after its end")) }
    }
}

/// How far one data partition has come: JSON in `kenh.heads`, keyed `<dataset>/<partition>`, written with every marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Format number.
    pub format: u32,
    /// The dataset.
    pub dataset: Dataset,
    /// The partition.
    pub partition: Partition,
    /// The marker's own sequence.
    pub sequence: Sequence,
    /// The control position in force from here.
    pub control: Position,
    /// The marker's clock.
    pub clock_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change(after: Option<After<'_>>) -> Data<'_> {
        Data::Change(Change {
            provider: Agency::new("G01").unwrap(),
            submission: "s-1",
            number: 3,
            version: Version { epoch: 1, version: 2 },
            updated_ms: -5,
            effective_days: Some(-1),
            after,
        })
    }

    #[test]
    fn format_1_stays_as_it_was_first_written() {
        let bytes = encode(Sequence(9), &change(Some(After { schema: SchemaId(7), body: b"xy" })));
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "0100000000000000000900034730310003732d31000000000000000300000001\
             0000000000000002fffffffffffffffb01ffffffff00000000077879"
        );
    }

    #[test]
    fn a_newer_format_is_refused_plainly() {
        let mut bytes = encode(Sequence(9), &change(None));
        bytes[0] = 2;
        assert_eq!(decode(&bytes), Err(FrameError::Format(2)));
    }

    #[test]
    fn a_record_cut_anywhere_is_damaged_and_not_a_panic() {
        let marker = Marker {
            control: Position(4),
            control_digest: [1; 32],
            clock_ms: 5,
            engine: ENGINE,
            code_lists: vec![ListAt { dataset: Dataset::new("a").unwrap(), sequence: Sequence(1), digest: [2; 32] }],
        };
        for data in [change(None), Data::Marker(marker)] {
            let bytes = encode(Sequence(1), &data);
            assert_eq!(decode(&bytes), Ok((Sequence(1), data)));
            for cut in 0..bytes.len() {
                assert!(matches!(decode(&bytes[..cut]), Err(FrameError::Damaged(_))), "cut at {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            sequence: u64, submission in "[a-z0-9-]{0,64}", number: u64, epoch: u32, version: u64,
            updated_ms: i64, effective_days: Option<i32>, schema: u32, body: Option<Vec<u8>>,
        ) {
            let data = Data::Change(Change {
                provider: Agency::new("G01").unwrap(), submission: &submission, number,
                version: Version { epoch, version }, updated_ms, effective_days,
                after: body.as_deref().map(|body| After { schema: SchemaId(schema), body }),
            });
            let bytes = encode(Sequence(sequence), &data);
            prop_assert_eq!(decode(&bytes), Ok((Sequence(sequence), data)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
