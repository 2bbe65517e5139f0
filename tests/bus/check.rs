//! Holding the bus to the model, at rest: copies, receipts, and the data log itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use kenh_consumers::copy::{Copy, CopyError, MAX_PAGE};
use kenh_domain::confirm::Confirmation;
use kenh_domain::control::ViewNo;
use kenh_domain::frame::{self, Change, Data, Marker, Sequence};
use kenh_domain::log::{Log, Record, TopicPartition};
use kenh_domain::names::Principal;
use kenh_domain::receipt::{Counts, DeadLetter, Receipt};
use kenh_domain::route::Effects;
use kenh_domain::topic::{Partition, Topic};
use kenh_testkit::PATIENCE;
use serde_json::Value;

use crate::roles::{Bus, agency, dataset, master};
use crate::world::{Grant, HO_SO};

/// Everything in a topic, partition by partition ([`Record::source`]); nothing where it is not there.
pub fn records(log: &dyn Log, topic: &Topic) -> Vec<Record> {
    let Some(spec) = log.topics().unwrap().into_iter().find(|spec| spec.topic == *topic) else { return Vec::new() };
    let mut found = Vec::new();
    for partition in 0..spec.partitions {
        let of = TopicPartition::new(topic.clone(), partition);
        let bounds = log.bounds(&Principal::router(), &of).unwrap();
        let mut reader = log.reader(&Principal::router(), &[(of, bounds.start)]).unwrap();
        let deadline = std::time::Instant::now() + PATIENCE;
        while reader.positions()[0] < bounds.end {
            let polled = reader.poll(10_000, 64 << 20, Duration::from_millis(20)).unwrap();
            found.extend(polled.into_iter().map(|r| Record { source: partition as usize, ..r }));
            assert!(std::time::Instant::now() < deadline, "{topic}/{partition} cannot be read to its end");
        }
    }
    found
}

/// All rows of a copy by record key, as JSON.
pub fn rows(copy: &Copy) -> Result<BTreeMap<String, Value>, CopyError> {
    let mut found = BTreeMap::new();
    let mut after = None;
    loop {
        let page = copy.page(after.as_ref(), MAX_PAGE)?;
        for row in &page.rows {
            found.insert(row.key_text().into_owned(), serde_json::from_str(&row.json().unwrap()).unwrap());
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}

/// The changes in a dataset's data log with their partition, sequence and record key, in order.
pub struct Line {
    pub partition: usize,
    pub sequence: Sequence,
    pub key: Bytes,
    pub what: What,
}

/// What a line of the data log is.
pub enum What {
    /// A change: epoch and version.
    Change {
        epoch: u32,
        version: u64,
    },
    Marker(Marker),
}

impl Bus {
    /// Everything: copies, receipts, data logs, and that a replay gives the views.
    pub fn check(&self) {
        self.check_copies();
        self.check_receipts();
        self.check_data();
        self.check_replay();
    }

    /// Every copy that is kept holds what the model says, and nobody holds what nobody granted.
    pub fn check_copies(&self) {
        let mut wanted = BTreeSet::new();
        for grant in self.grants.values().filter(|g| !g.ended) {
            wanted.insert((grant.recipient, grant.dataset, grant.view));
            if self.kept().contains(&grant.recipient) {
                self.check_copy(grant);
            }
        }
        for name in self.kept() {
            for (id, _) in kenh_consumers::copy::list(&*self.store(name)).unwrap() {
                let known = wanted.contains(&(name, id.dataset.as_str(), id.view.as_str()));
                assert!(known, "{name} holds {id}, and no grant says so");
            }
        }
    }

    /// What a grant's view is to hold by the model.
    pub fn wanted(&self, grant: &Grant) -> BTreeMap<String, Value> {
        self.oracles.get(grant.dataset).map(|oracle| oracle.view(&grant.wanted())).unwrap_or_default()
    }

    pub fn check_copy(&self, grant: &Grant) {
        let held = rows(&self.copy(grant)).unwrap_or_else(|e| panic!("{}: {e}", grant.id));
        let counters = self.copy(grant).shown().unwrap().as_of.counters;
        assert_eq!(counters.rows, held.len() as u64, "{}: rows counted", grant.id);
        assert_eq!(counters.inserted, counters.rows + counters.left, "{}: something counted twice", grant.id);
        let wanted = self.wanted(grant);
        if grant.pseudonym {
            // Which pseudonym is whose is nobody's business here: as many keys, the same rows.
            let clear: BTreeSet<&String> = wanted.keys().collect();
            assert!(held.keys().all(|key| !clear.contains(key)), "{}: a record key in clear", grant.id);
            assert_eq!(sorted(held.into_values()), sorted(wanted.into_values()), "{}", grant.id);
        } else {
            same(&held, &wanted, grant.id);
        }
    }

    /// The receipts of every provider add up to what became of its changes by the model, and each rejected change has one
    /// dead letter.
    pub fn check_receipts(&self) {
        for ((provider, name), expected) in &self.expected {
            assert_eq!(self.receipts(provider, name), *expected, "receipts of {provider} for {name}");
            assert_eq!(self.letters(provider, name).len() as u64, expected.rejected, "dead letters of {provider}");
        }
    }

    pub fn receipts(&self, provider: &str, name: &str) -> Counts {
        let mut sum = Counts::default();
        for record in records(self.log(), &Topic::Receipt(agency(provider))) {
            let receipt: Receipt = serde_json::from_slice(&record.value.unwrap()).unwrap();
            if receipt.dataset.as_str() == name {
                sum.merge(&receipt.counts);
            }
        }
        sum
    }

    pub fn letters(&self, provider: &str, name: &str) -> Vec<DeadLetter> {
        let letters = records(self.log(), &Topic::DeadLetter(dataset(name), agency(provider)));
        letters.into_iter().map(|r| serde_json::from_slice(&r.value.unwrap()).unwrap()).collect()
    }

    /// Rules broken by a provider in the sample dataset, in order per partition.
    pub fn rules(&self, provider: &str) -> Vec<String> {
        self.rules_of(provider, HO_SO)
    }

    /// The same, in any dataset.
    pub fn rules_of(&self, provider: &str, name: &str) -> Vec<String> {
        self.letters(provider, name).into_iter().map(|letter| letter.rule).collect()
    }

    pub fn confirmations(&self, name: &str) -> Vec<Confirmation> {
        let said = records(self.log(), &Topic::Confirm(agency(name)));
        said.into_iter().map(|r| serde_json::from_slice(&r.value.unwrap()).unwrap()).collect()
    }

    /// The data log of a dataset.
    pub fn data(&self, name: &str) -> Vec<Line> {
        let line = |record: Record| {
            let (sequence, data) = frame::decode(record.value.as_ref().unwrap()).unwrap();
            let what = match data {
                Data::Marker(marker) => What::Marker(marker),
                Data::Change(Change { version, .. }) => What::Change { epoch: version.epoch, version: version.version },
            };
            Line { partition: record.source, sequence, key: record.key, what }
        };
        records(self.log(), &Topic::Data(dataset(name))).into_iter().map(line).collect()
    }

    /// Sequences are dense from 1 in every partition; no version of a record is there twice, and they rise; there are as
    /// many changes as were admitted.
    pub fn check_data(&self) {
        for name in self.oracles.keys() {
            let mut last: HashMap<usize, u64> = HashMap::new();
            let mut versions: HashMap<Bytes, (u32, u64)> = HashMap::new();
            let mut changes = 0;
            for line in self.data(name) {
                let last = last.entry(line.partition).or_default();
                assert_eq!(line.sequence.0, *last + 1, "data.{name}/{}: sequences are not dense", line.partition);
                *last = line.sequence.0;
                if let What::Change { epoch, version } = line.what {
                    changes += 1;
                    let before = versions.insert(line.key, (epoch, version));
                    assert!(before.is_none_or(|b| b < (epoch, version)), "data.{name}: a version is there twice");
                }
            }
            let admitted: u64 =
                self.expected.iter().filter(|((_, of), _)| of == name).map(|(_, counts)| counts.admitted).sum();
            assert_eq!(changes, admitted, "changes in data.{name}");
        }
    }

    /// A replay of the data log alone gives every view that stands, record for record. Not after compaction.
    pub fn check_replay(&self) {
        type Seen = (u32, i64, Bytes, Option<Bytes>);
        let set = self.control_set();
        for (of, contract) in &set.contracts {
            let mut replayed: HashMap<ViewNo, Vec<Seen>> = HashMap::new();
            for partition in 0..contract.partitions {
                let mut sink = |out: &Effects, clock_ms: i64| {
                    for write in &out.writes {
                        let key = Bytes::copy_from_slice(&out.arena[write.key.clone()]);
                        let value = write.value.clone().map(|v| Bytes::copy_from_slice(&out.arena[v]));
                        replayed.entry(write.view).or_default().push((partition, clock_ms, key, value));
                    }
                };
                kenh_router::replay(self.log(), (of, Partition(partition)), &master(), &mut sink).unwrap();
            }
            for (number, view) in set.views.iter().filter(|(_, v)| v.in_force(self.now_ms())) {
                if view.activation.grant.dataset != *of {
                    continue;
                }
                let topic = view.activation.topic();
                let seen = |r: Record| (u32::try_from(r.source).unwrap(), r.timestamp_ms, r.key, r.value);
                let there: Vec<Seen> = records(self.log(), &topic).into_iter().map(seen).collect();
                let replayed = replayed.remove(number).unwrap_or_default();
                assert!(
                    replayed == there,
                    "a replay of {topic} gives {} records, {} are there",
                    replayed.len(),
                    there.len()
                );
            }
        }
    }
}

fn sorted(rows: impl Iterator<Item = Value>) -> Vec<String> {
    let mut rows: Vec<String> = rows.map(|row| canonical(&row)).collect();
    rows.sort();
    rows
}

/// Fields in the order of their names.
fn canonical(row: &Value) -> String {
    match row {
        Value::Object(fields) => serde_json::to_string(&fields.iter().collect::<BTreeMap<_, _>>()).unwrap(),
        other => other.to_string(),
    }
}

/// Two maps of rows are equal; what differs is named by its key.
pub fn same(held: &BTreeMap<String, Value>, wanted: &BTreeMap<String, Value>, what: &str) {
    let keys: BTreeSet<&String> = held.keys().chain(wanted.keys()).collect();
    for key in keys {
        assert_eq!(held.get(key), wanted.get(key), "{what}: record {key}");
    }
}
