//! The control role: keeps topics, access lists, view cards and contract cards as the control log has it, and finishes what
//! a decision began once the router has acted on it.
//!
//! It decides nothing about anyone's rights. Each turn reads what is new and does what is not done yet; it may be stopped
//! between any two steps and started again.
//!
//! # How a view ends
//! 1. The control event, or the end of its time.
//! 2. Every data partition has a marker at or after it (`kenh.heads` says so): nothing more is written to the view.
//! 3. Its access list is emptied.
//! 4. Its topic is deleted: a fetch that was waiting at the broker may still be answered after an access list has gone.
//! 5. Its card says *ended*, and the agency purges.
//!
//! # How an edition gives way
//! When every partition of the newer edition is filled, the older one gets its end, as *superseded*.

mod card;
mod follow;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kenh_domain::control::{ControlEvent, ControlSet, ViewEntry, ViewNo};
use kenh_domain::frame::Head;
use kenh_domain::grant::EndReason;
use kenh_domain::log::{AdminError, Log, NewRecord, Position, ReadError, Reader, TopicPartition, WriteError};
use kenh_domain::names::{Agency, Dataset, Principal};
use kenh_domain::notice::{CardState, ContractCard, card_key, contract_key};
use kenh_domain::secret::Secret;
use kenh_domain::topic::{Partition, Topic};

use crate::apply::settle;
use crate::control_log::{self, AppendError, LoadError, append, bootstrap};
use crate::layout;
use follow::{Follower, Notices};

/// How long one look at what is known to be there waits: a log over a network needs some milliseconds to bring it.
const READ_WAIT: Duration = Duration::from_millis(100);

/// Why a turn was not finished. The next one goes on where this one stopped.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The control log could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The control log could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Heads or notices could not be read.
    #[error("heads or notices cannot be read")]
    Read(#[from] ReadError),
    /// A topic could not be made, changed or deleted.
    #[error("a topic cannot be made, changed or deleted")]
    Admin(#[from] AdminError),
    /// A card could not be written.
    #[error("a view card or contract card cannot be written")]
    Write(#[from] WriteError),
}

/// What a turn has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turn {
    /// Control events read.
    pub events: usize,
    /// Topics and access lists made or changed.
    pub topics: usize,
    /// View cards and contract cards written or taken away.
    pub cards: usize,
    /// Editions that got their end because a newer one is filled.
    pub superseded: Vec<ViewNo>,
    /// Ended views whose access and topic have gone in this turn.
    pub removed: Vec<ViewNo>,
}

impl Turn {
    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

/// The control role of a bus; there is one.
pub struct Control {
    log: Arc<dyn Log>,
    master: Secret,
    set: Arc<ControlSet>,
    reader: Option<Box<dyn Reader>>,
    heads: BTreeMap<(Dataset, Partition), Head>,
    heads_from: Follower,
    notices: BTreeMap<Agency, Notices>,
    /// Whether topics and access lists are as `set` has it.
    settled: bool,
    /// Whether the contract cards are as `set` has it. They are a function of it alone (a relaxation in them says when it
    /// ends), and may be large.
    contracts_told: bool,
    /// Ended views of which nothing is left to do.
    gone: BTreeSet<ViewNo>,
}

impl Control {
    /// Over a log; `master` is the node's secret, of which view digests are derived.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, master: Secret) -> Self {
        Self {
            log,
            master,
            set: Arc::default(),
            reader: None,
            heads: BTreeMap::new(),
            heads_from: Follower::new(TopicPartition::new(Topic::Heads, 0)),
            notices: BTreeMap::new(),
            settled: false,
            contracts_told: false,
            gone: BTreeSet::new(),
        }
    }

    /// Everything in force as of the last turn.
    #[must_use]
    pub const fn set(&self) -> &Arc<ControlSet> {
        &self.set
    }

    /// One turn at `now_ms` (milliseconds since 1970, UTC): reads what is new, does what is due. Does not wait.
    ///
    /// # Errors
    /// [`TurnError`]: some of it is done, and the next turn does the rest.
    pub fn turn(&mut self, now_ms: i64) -> Result<Turn, TurnError> {
        let mut turn = Turn { events: self.read_control()?, ..Turn::default() };
        self.read_heads()?;
        let settled = if self.settled { Ok(0) } else { settle(&*self.log, &self.set, now_ms) };
        self.settled = settled.is_ok();
        // One topic that cannot be as it is to be keeps nobody's access: what has ended goes, and is told.
        let rest = self.finish(now_ms, &mut turn);
        turn.topics = settled?;
        rest?;
        Ok(turn)
    }

    /// Finishes what a decision began once the router has acted on it, and tells the agencies.
    fn finish(&mut self, now_ms: i64, turn: &mut Turn) -> Result<(), TurnError> {
        self.read_notices()?;
        self.supersede(now_ms, turn)?;
        self.remove_ended(now_ms, turn)?;
        turn.cards = self.write_cards(now_ms)?;
        Ok(())
    }

    fn read_control(&mut self) -> Result<usize, TurnError> {
        // From the start, everything that is there: acting on half of what was decided would take back the other half.
        let mut until = Position::default();
        if self.reader.is_none() {
            bootstrap(&*self.log)?;
            let of = control_log::partition();
            let bounds = self.log.bounds(&Principal::control(), &of)?;
            until = bounds.end;
            self.set = Arc::default();
            self.reader = Some(self.log.reader(&Principal::control(), &[(of, bounds.start)])?);
        }
        let mut set = (*self.set).clone();
        let mut events = 0;
        let read = loop {
            let Some(reader) = &mut self.reader else { break Ok(()) };
            let behind = reader.positions().first().is_some_and(|at| *at < until);
            let wait = if behind { READ_WAIT } else { Duration::ZERO };
            match control_log::follow(&mut **reader, &mut set, wait) {
                Ok(0) if behind => {}
                Ok(0) => break Ok(()),
                Ok(n) => events += n,
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = read {
            // The reader's place and the set belong together: both anew.
            self.reader = None;
            return Err(error.into());
        }
        if events > 0 {
            self.set = Arc::new(set);
            self.settled = false;
            self.contracts_told = false;
        }
        Ok(events)
    }

    fn read_heads(&mut self) -> Result<(), ReadError> {
        for (_, value) in self.heads_from.new_records(&*self.log)? {
            let head: Head = match value.as_deref().map(serde_json::from_slice) {
                Some(Ok(head)) => head,
                _ => continue,
            };
            self.heads.insert((head.dataset.clone(), head.partition), head);
        }
        Ok(())
    }

    fn read_notices(&mut self) -> Result<(), ReadError> {
        for agency in self.set.agencies.keys() {
            let notices = self.notices.entry(agency.clone()).or_insert_with(|| Notices::of(agency));
            if notices.read(&*self.log)? {
                self.contracts_told = false;
            }
        }
        Ok(())
    }

    /// Gives older editions their end once the newest in force is filled.
    fn supersede(&mut self, now_ms: i64, turn: &mut Turn) -> Result<(), TurnError> {
        let mut events = Vec::new();
        for newest in self.set.views.values().filter(|v| v.in_force(now_ms)) {
            let grant = &newest.activation.grant;
            let edition = newest.activation.edition;
            let older: Vec<&ViewEntry> = self
                .set
                .editions(&grant.recipient, &grant.dataset, &grant.view)
                .filter(|v| layout::stands(v, now_ms) && v.activation.edition < edition)
                .collect();
            if older.is_empty() || !self.filled(newest) {
                continue;
            }
            for view in older {
                let view_no = view.activation.view_no;
                if !turn.superseded.contains(&view_no) {
                    turn.superseded.push(view_no);
                    events.push(ControlEvent::End { view_no, reason: EndReason::Superseded, because: String::new() });
                }
            }
        }
        if !events.is_empty() {
            // A clock that was set back does not date them before what was decided.
            append(&*self.log, events, now_ms.max(self.set.at_ms))?;
            turn.events += self.read_control()?;
        }
        Ok(())
    }

    fn partitions(&self, view: &ViewEntry) -> u32 {
        self.set.contracts.get(&view.activation.grant.dataset).map_or(0, |c| c.partitions)
    }

    /// Whether everything that was current at its start has been written to every partition of a view.
    fn filled(&self, view: &ViewEntry) -> bool {
        let partitions = self.partitions(view);
        let Some(notices) = self.notices.get(&view.activation.grant.recipient) else { return false };
        partitions > 0 && (0..partitions).all(|p| notices.filled(view, Partition(p)))
    }

    /// Whether a view has ended and the router has acted on it in every data partition.
    fn written_out(&self, view: &ViewEntry, now_ms: i64) -> bool {
        if layout::stands(view, now_ms) {
            return false;
        }
        let dataset = &view.activation.grant.dataset;
        (0..self.partitions(view)).all(|p| {
            self.heads.get(&(dataset.clone(), Partition(p))).is_some_and(|head| {
                let by_event = view.ended.is_some_and(|(at, _)| head.control >= at);
                by_event || head.clock_ms >= view.activation.ends_ms
            })
        })
    }

    fn remove_ended(&mut self, now_ms: i64, turn: &mut Turn) -> Result<(), TurnError> {
        let due: Vec<(ViewNo, Topic)> = self
            .set
            .views
            .values()
            .filter(|v| !self.gone.contains(&v.activation.view_no) && self.written_out(v, now_ms))
            .map(|v| (v.activation.view_no, v.activation.topic()))
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        let existing = self.log.topics()?;
        for (view_no, topic) in due {
            if existing.iter().any(|spec| spec.topic == topic) {
                self.log.set_access(&topic, &[])?;
                self.log.delete_topic(&topic)?;
                turn.removed.push(view_no);
            }
            self.gone.insert(view_no);
        }
        Ok(())
    }

    /// Writes the cards that are not as they should be.
    fn write_cards(&mut self, now_ms: i64) -> Result<usize, TurnError> {
        let mut records = if self.contracts_told { Vec::new() } else { self.contract_cards(now_ms)? };
        for view in self.set.views.values() {
            let state = if self.gone.contains(&view.activation.view_no) {
                CardState::Ended
            } else if layout::stands(view, now_ms) {
                CardState::Active
            } else {
                // Ended, and the router has not acted on it yet: the agency hears when its topic has gone.
                continue;
            };
            let Some(card) = card::of(view, state, &self.set, &self.master, self.log.incarnation()) else { continue };
            let Some(notices) = self.notices.get_mut(&card.agency) else { continue };
            let key = card_key(&card.dataset, &card.view, card.edition);
            if notices.cards.get(&key) == Some(&card) {
                continue;
            }
            let value = serde_json::to_vec(&card).map_err(|e| AppendError::Event(e.to_string()))?;
            records.push(notice(&card.agency, now_ms, &key, Some(Bytes::from(value))));
            notices.cards.insert(key, card);
        }
        let count = records.len();
        if count > 0 {
            let mut writer = self.log.writer(&Principal::control());
            let written = writer.write(records).and_then(|()| writer.flush());
            if let Err(error) = written {
                // What is known of the cards is read again.
                self.notices.clear();
                return Err(error.into());
            }
        }
        self.contracts_told = true;
        Ok(count)
    }

    /// What there is to write so that each provider has a card of each dataset that it provides, and of no other.
    fn contract_cards(&mut self, now_ms: i64) -> Result<Vec<NewRecord>, TurnError> {
        let mut records = Vec::new();
        for (agency, notices) in &mut self.notices {
            let mut wanted = BTreeMap::new();
            for mut card in self.set.contracts.values().filter_map(|contract| ContractCard::of(contract, agency)) {
                card.relaxed = self.set.relaxed_rules(&card.contract.dataset, now_ms).collect();
                let value = serde_json::to_vec(&card).map_err(|e| AppendError::Event(e.to_string()))?;
                wanted.insert(contract_key(&card.contract.dataset), Bytes::from(value));
            }
            let over = notices.contracts.keys().filter(|key| !wanted.contains_key(*key));
            records.extend(over.map(|key| notice(agency, now_ms, key, None)));
            let changed = wanted.iter().filter(|(key, value)| notices.contracts.get(*key) != Some(*value));
            records.extend(changed.map(|(key, value)| notice(agency, now_ms, key, Some(value.clone()))));
            notices.contracts = wanted;
        }
        Ok(records)
    }
}

fn notice(agency: &Agency, now_ms: i64, key: &str, value: Option<Bytes>) -> NewRecord {
    let to = TopicPartition::new(Topic::Notice(agency.clone()), 0);
    NewRecord { to, timestamp_ms: now_ms, key: Bytes::from(key.to_owned()), value }
}
