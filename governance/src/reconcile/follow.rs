//! Reading on in topics of one partition: heads, and the notices of each agency.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kenh_domain::control::ViewEntry;
use kenh_domain::limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS};
use kenh_domain::log::{Log, Position, ReadError, Reader, TopicPartition};
use kenh_domain::names::{Agency, Principal};
use kenh_domain::notice::{Positions, ViewCard, positions_key};
use kenh_domain::topic::{Partition, Topic};

/// Reads a partition from its start, and then what is new.
pub struct Follower {
    of: TopicPartition,
    reader: Option<Box<dyn Reader>>,
}

impl Follower {
    /// Of a partition.
    pub const fn new(of: TopicPartition) -> Self {
        Self { of, reader: None }
    }

    /// Everything since the last call: key and value. A topic that is not there has nothing. After an error it starts
    /// from the beginning, which is harmless to whoever keeps the latest value of each key.
    pub fn new_records(&mut self, log: &dyn Log) -> Result<Vec<(Bytes, Option<Bytes>)>, ReadError> {
        let read = self.read(log);
        if read.is_err() {
            self.reader = None;
        }
        match read {
            Err(ReadError::Denied { .. }) => Ok(Vec::new()),
            read => read,
        }
    }

    fn read(&mut self, log: &dyn Log) -> Result<Vec<(Bytes, Option<Bytes>)>, ReadError> {
        // The first time, everything that is there; then what has come since.
        let mut until = Position::default();
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let bounds = log.bounds(&Principal::control(), &self.of)?;
                until = bounds.end;
                none.insert(log.reader(&Principal::control(), &[(self.of.clone(), bounds.start)])?)
            }
        };
        let mut out = Vec::new();
        loop {
            let behind = reader.positions().first().is_some_and(|at| *at < until);
            let wait = if behind { super::READ_WAIT } else { Duration::ZERO };
            let records = reader.poll(MAX_BATCH_RECORDS, MAX_BATCH_BYTES, wait)?;
            if records.is_empty() && !behind {
                return Ok(out);
            }
            out.extend(records.into_iter().map(|r| (r.key, r.value)));
        }
    }
}

/// What an agency was told.
pub struct Notices {
    from: Follower,
    /// The latest card of each edition, by its key.
    pub cards: BTreeMap<String, ViewCard>,
    /// The latest contract card of each dataset, as written, by its key.
    pub contracts: BTreeMap<String, Bytes>,
    /// Keys of positions that say `filled`.
    filled: BTreeSet<String>,
}

impl Notices {
    /// Of an agency.
    pub fn of(agency: &Agency) -> Self {
        let of = TopicPartition::new(Topic::Notice(agency.clone()), 0);
        Self { from: Follower::new(of), cards: BTreeMap::new(), contracts: BTreeMap::new(), filled: BTreeSet::new() }
    }

    /// Takes in what is new. Whether there was a contract card among it.
    pub fn read(&mut self, log: &dyn Log) -> Result<bool, ReadError> {
        let mut contracts = false;
        for (key, value) in self.from.new_records(log)? {
            let key = String::from_utf8_lossy(&key).into_owned();
            if key.starts_with("contract/") {
                contracts = true;
                match value {
                    Some(value) => self.contracts.insert(key, value),
                    None => self.contracts.remove(&key),
                };
                continue;
            }
            let value = value.as_deref().unwrap_or_default();
            if key.starts_with("card/") {
                match serde_json::from_slice(value) {
                    Ok(card) => self.cards.insert(key, card),
                    // Not a card of this release: it is written anew.
                    Err(_) => self.cards.remove(&key),
                };
            } else if serde_json::from_slice::<Positions>(value).is_ok_and(|p| p.filled) {
                self.filled.insert(key);
            }
        }
        Ok(contracts)
    }

    /// Whether a partition of a view was said to be filled; that does not become untrue.
    pub fn filled(&self, view: &ViewEntry, partition: Partition) -> bool {
        let (grant, edition) = (&view.activation.grant, view.activation.edition);
        self.filled.contains(&positions_key(&grant.dataset, &grant.view, edition, partition))
    }
}
