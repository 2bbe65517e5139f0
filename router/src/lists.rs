//! Code lists on the bus: datasets whose records say which codes there are.
//!
//! A marker names each by its last change that counts and the digest of its changes up to there, so that whoever decides
//! a change again, after an abort or as the next owner, asks the same list. Live, that is the newest: the dataset's data
//! partition is read to its end before a marker is chosen. An earlier one is read again from the start of the log.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kenh_domain::codes::{Codes, CodesError, CodesReader};
use kenh_domain::contract::{CodeListDataset, Contract};
use kenh_domain::frame::{self, Data, FrameError, ListAt, Sequence};
use kenh_domain::limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_CODE_LIST_BYTES};
use kenh_domain::log::{Log, Position, ReadError, Reader, Record, TopicPartition};
use kenh_domain::names::{Dataset, Principal};
use kenh_domain::topic::Topic;
use kenh_domain::wire::SchemaId;
use sha2::{Digest as _, Sha256};

/// Why a code list cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The log failed, or its topic is missing.
    #[error("reading a code list")]
    Read(#[from] ReadError),
    /// A record in it is not a data record of ours.
    #[error("{of} at position {position}, read as a code list")]
    Frame {
        /// Which partition.
        of: TopicPartition,
        /// Where.
        position: Position,
        /// What is wrong.
        #[source]
        source: FrameError,
    },
    /// The log does not hold the changes that a marker names.
    #[error("{of} is not the code list that the marker names: its changes up to {sequence} are others")]
    Differs {
        /// Which partition.
        of: TopicPartition,
        /// The last change that the marker names.
        sequence: Sequence,
    },
    /// It would not fit into memory.
    #[error("{of} is larger than {MAX_CODE_LIST_BYTES} bytes, the most that a code list may be")]
    TooLarge {
        /// Which partition.
        of: TopicPartition,
    },
    /// What the contract says of it does not fit its dataset.
    #[error("a code list")]
    Codes(#[from] CodesError),
}

/// A dataset read as a list, from its start up to a change.
struct Reading {
    of: TopicPartition,
    reader: Box<dyn Reader>,
    next: Position,
    /// The end that was waited for: positions are sparse, so that it may lie behind all that can be read.
    looked_to: Position,
    at: ListAt,
    records: HashMap<Bytes, (SchemaId, Bytes)>,
    bytes: usize,
    too_large: bool,
}

impl Reading {
    fn open(log: &dyn Log, dataset: &Dataset) -> Result<Self, ListError> {
        let of = TopicPartition::new(Topic::Data(dataset.clone()), 0);
        let start = log.bounds(&Principal::router(), &of)?.start;
        let reader = log.reader(&Principal::router(), &[(of.clone(), start)])?;
        let at = ListAt { dataset: dataset.clone(), sequence: Sequence(0), digest: [0; 32] };
        let (records, looked_to) = (HashMap::new(), start);
        Ok(Self { of, reader, next: start, looked_to, at, records, bytes: 0, too_large: false })
    }

    /// Reads on to `end`, or to the change `last` if that comes first; then it is not to be read on.
    fn to(&mut self, end: Position, last: Option<Sequence>) -> Result<(), ListError> {
        self.looked_to = end;
        crate::read::to_end(self.next, end, |wait| {
            let came = self.poll(wait, last)?;
            Ok::<_, ListError>((came, if last == Some(self.at.sequence) { end } else { self.next }))
        })
    }

    /// Takes what there is, waiting up to `wait` for it, but nothing behind the change `last`. Whether anything came.
    fn poll(&mut self, wait: Duration, last: Option<Sequence>) -> Result<bool, ListError> {
        let records = self.reader.poll(MAX_BATCH_RECORDS, MAX_BATCH_BYTES, wait)?;
        let came = !records.is_empty();
        for record in records {
            self.next = Position(record.position.0 + 1);
            self.take(&record)?;
            if last == Some(self.at.sequence) {
                return Ok(came);
            }
        }
        self.next = self.reader.positions().first().copied().unwrap_or(self.next).max(self.next);
        Ok(came)
    }

    fn take(&mut self, record: &Record) -> Result<(), ListError> {
        let value = record.value.as_deref().unwrap_or_default();
        let damaged = |source| ListError::Frame { of: self.of.clone(), position: record.position, source };
        let (sequence, data) = frame::decode(value).map_err(damaged)?;
        // Markers change no code.
        let Data::Change(change) = data else { return Ok(()) };
        let mut digest = Sha256::new();
        digest.update(self.at.digest);
        digest.update((record.key.len() as u64).to_be_bytes());
        digest.update(&record.key);
        digest.update(value);
        self.at.digest = digest.finalize().into();
        self.at.sequence = sequence;
        let before = match change.after {
            // Copied, so that what was read beside it is let go.
            Some(after) if !self.too_large => {
                self.bytes += record.key.len() + after.body.len();
                let key = Bytes::copy_from_slice(&record.key);
                self.records.insert(key, (after.schema, Bytes::copy_from_slice(after.body)))
            }
            _ => self.records.remove(&record.key),
        };
        self.bytes -= before.map_or(0, |(_, body)| record.key.len() + body.len());
        if self.bytes > MAX_CODE_LIST_BYTES {
            // Read on without holding it, so that it stops those who use it and nobody else.
            self.too_large = true;
            self.records = HashMap::new();
            self.bytes = 0;
        }
        Ok(())
    }

    fn codes(&self, list: &CodeListDataset, contract: &Contract) -> Result<Codes, ListError> {
        if self.too_large {
            return Err(ListError::TooLarge { of: self.of.clone() });
        }
        let records = self.records.values().map(|(schema, body)| (*schema, &**body));
        Ok(CodesReader::compile(list, contract)?.read(records)?)
    }
}

/// The codes of a dataset, for each use that a contract makes of it.
type Uses = Vec<(CodeListDataset, Arc<Codes>)>;

/// See the module's documentation.
#[derive(Default)]
pub struct Lists {
    newest: BTreeMap<Dataset, Reading>,
    looked_up: BTreeMap<ListAt, Uses>,
}

impl Lists {
    /// Reads `dataset` on to `end`, the end of its data partition.
    ///
    /// Where its topic is missing, it is no list until it is there again.
    ///
    /// # Errors
    /// [`ListError`]; the list is then read from its start again.
    pub fn follow(&mut self, log: &dyn Log, dataset: &Dataset, end: Position) -> Result<(), ListError> {
        if self.newest.get(dataset).is_some_and(|reading| reading.next >= end) {
            return Ok(());
        }
        let reading = self.newest.remove(dataset).map_or_else(|| Reading::open(log, dataset), Ok);
        let read = reading.and_then(|mut reading| {
            // An end that was waited for once is not waited for again, but looked at.
            let read = if reading.looked_to < end {
                reading.to(end, None)
            } else {
                reading.poll(Duration::ZERO, None).map(drop)
            };
            read.map(|()| reading)
        });
        match read {
            Ok(reading) => drop(self.newest.insert(dataset.clone(), reading)),
            Err(ListError::Read(ReadError::Denied { .. })) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// How far the datasets that `contract` uses as code lists have been followed, in their order; those that were not are
    /// left out.
    #[must_use]
    pub fn newest(&self, contract: &Contract) -> Vec<ListAt> {
        let mut found: Vec<_> = contract
            .lists_on_the_bus()
            .filter_map(|(_, list)| self.newest.get(&list.dataset).map(|reading| reading.at.clone()))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The codes of the list `at`, as `list` says to read it; `contract` is that of its dataset.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn codes(
        &mut self,
        log: &dyn Log,
        at: &ListAt,
        list: &CodeListDataset,
        contract: &Contract,
    ) -> Result<Arc<Codes>, ListError> {
        let known = self.looked_up.get(at).and_then(|uses| uses.iter().find(|(of, _)| of == list));
        if let Some((_, codes)) = known {
            return Ok(codes.clone());
        }
        let codes = match self.newest.get(&at.dataset).filter(|reading| reading.at == *at) {
            Some(reading) => reading.codes(list, contract)?,
            None => {
                let mut reading = Reading::open(log, &at.dataset)?;
                if at.sequence.0 > 0 {
                    let end = log.bounds(&Principal::router(), &reading.of)?.end;
                    reading.to(end, Some(at.sequence))?;
                }
                if reading.at != *at {
                    return Err(ListError::Differs { of: reading.of, sequence: at.sequence });
                }
                reading.codes(list, contract)?
            }
        };
        let codes = Arc::new(codes);
        self.looked_up.entry(at.clone()).or_default().push((list.clone(), codes.clone()));
        Ok(codes)
    }

    /// Forgets what was looked up of lists that no marker names any more.
    pub fn keep<'a>(&mut self, named: impl Iterator<Item = &'a ListAt> + Clone) {
        self.looked_up.retain(|at, _| named.clone().any(|named| named == at));
    }
}

/// The codes of a list as it is now, for who asks the rules before anything is sent; `contract` is that of its dataset.
///
/// # Errors
/// [`ListError`].
pub fn newest(log: &dyn Log, list: &CodeListDataset, contract: &Contract) -> Result<Arc<Codes>, ListError> {
    let mut reading = Reading::open(log, &list.dataset)?;
    let end = log.bounds(&Principal::router(), &reading.of)?.end;
    reading.to(end, None)?;
    Ok(Arc::new(reading.codes(list, contract)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kenh_domain::frame::{After, Change, ENGINE, Marker, Version};
    use kenh_domain::log::NewRecord;
    use kenh_domain::names::Agency;
    use kenh_testkit::{MemoryLog, builders};

    fn dataset() -> Dataset {
        Dataset::new("don-vi").unwrap()
    }

    /// `Ma` of the sample's records is the code.
    fn list() -> CodeListDataset {
        CodeListDataset { dataset: dataset(), code: "Ma".into(), from: None, to: None, rows: None }
    }

    fn contract() -> Contract {
        Contract { open: true, ..builders::contract("don-vi", "G01") }
    }

    fn write(log: &MemoryLog, key: &str, framed: Vec<u8>) {
        let to = TopicPartition::new(Topic::Data(dataset()), 0);
        let record = NewRecord { to, timestamp_ms: 5, key: Bytes::from(key.to_owned()), value: Some(framed.into()) };
        let mut writer = log.writer(&Principal::router());
        writer.write(vec![record]).unwrap();
        writer.flush().unwrap();
    }

    fn change(sequence: u64, key: &str, cancel: bool) -> Vec<u8> {
        let mut body = Vec::new();
        kenh_domain::envelope::put_text(key, &mut body);
        kenh_domain::envelope::put_text("tên", &mut body);
        let change = Change {
            provider: Agency::new("G01").unwrap(),
            submission: "s",
            number: 1,
            version: Version { epoch: 0, version: 1 },
            updated_ms: 0,
            effective_days: None,
            after: (!cancel).then_some(After { schema: SchemaId(1), body: &body }),
        };
        frame::encode(Sequence(sequence), &Data::Change(change))
    }

    fn marker(sequence: u64) -> Vec<u8> {
        let marker =
            Marker { control: Position(1), control_digest: [0; 32], clock_ms: 5, engine: ENGINE, code_lists: vec![] };
        frame::encode(Sequence(sequence), &Data::Marker(marker))
    }

    fn log() -> Arc<MemoryLog> {
        let log = MemoryLog::new();
        log.create_topic(&builders::spec(&Topic::Data(dataset()), 1)).unwrap();
        log
    }

    fn follow(lists: &mut Lists, log: &MemoryLog) -> ListAt {
        let end = log.bounds(&Principal::router(), &TopicPartition::new(Topic::Data(dataset()), 0)).unwrap().end;
        lists.follow(log, &dataset(), end).unwrap();
        let user = kenh_domain::contract::CodeList::Dataset(list());
        let user = Contract { code_lists: [("xa".to_owned(), user)].into(), ..contract() };
        lists.newest(&user).pop().unwrap()
    }

    #[test]
    fn an_earlier_list_is_read_again_as_it_was() {
        let (log, mut lists) = (log(), Lists::default());
        let nothing = follow(&mut lists, &log);
        assert_eq!(nothing, ListAt { dataset: dataset(), sequence: Sequence(0), digest: [0; 32] });
        write(&log, "", marker(1));
        write(&log, "a", change(2, "a", false));
        write(&log, "b", change(3, "b", false));
        let two = follow(&mut lists, &log);
        assert_eq!(two.sequence, Sequence(3));
        // A marker of its own changes no code, and so is no other list.
        write(&log, "", marker(4));
        assert_eq!(follow(&mut lists, &log), two);
        write(&log, "a", change(5, "a", true));
        let one = follow(&mut lists, &log);
        let has = |lists: &mut Lists, at: &ListAt| {
            let codes = lists.codes(&*log, at, &list(), &contract()).unwrap();
            (codes.has("a"), codes.has("b"))
        };
        assert_eq!(has(&mut lists, &one), (false, true));
        assert_eq!(has(&mut lists, &two), (true, true));
        assert_eq!(has(&mut lists, &nothing), (false, false));
        // What no marker names is forgotten, and can be read again.
        lists.keep([&one].into_iter());
        assert_eq!(lists.looked_up.keys().collect::<Vec<_>>(), [&one]);
        assert_eq!(has(&mut Lists::default(), &two), (true, true));
    }

    #[test]
    fn a_log_that_holds_other_changes_is_not_the_list() {
        let (log, mut lists) = (log(), Lists::default());
        write(&log, "a", change(1, "a", false));
        let at = follow(&mut lists, &log);
        for other in [ListAt { digest: [9; 32], ..at.clone() }, ListAt { sequence: Sequence(7), ..at }] {
            let error = lists.codes(&*log, &other, &list(), &contract()).unwrap_err();
            assert!(matches!(error, ListError::Differs { .. }), "{error}");
        }
    }

    #[test]
    fn what_is_no_list_says_why() {
        let (log, mut lists) = (log(), Lists::default());
        write(&log, "a", change(1, "a", false));
        let at = follow(&mut lists, &log);
        let closed = Contract { open: false, ..contract() };
        assert!(matches!(lists.codes(&*log, &at, &list(), &closed), Err(ListError::Codes(CodesError::NotOpen { .. }))));
        let gone = Dataset::new("khong-co").unwrap();
        lists.follow(&*log, &gone, Position(1)).unwrap();
        let named = ListAt { dataset: gone, sequence: Sequence(1), digest: [1; 32] };
        let read = lists.codes(&*log, &named, &list(), &contract());
        assert!(matches!(read, Err(ListError::Read(ReadError::Denied { .. }))));
        write(&log, "b", b"no data record".to_vec());
        let end = log.bounds(&Principal::router(), &TopicPartition::new(Topic::Data(dataset()), 0)).unwrap().end;
        let damaged = lists.follow(&*log, &dataset(), end);
        assert!(matches!(damaged, Err(ListError::Frame { .. })));
    }
}
