//! The inputs of a group: every partition of every `in.<dataset>.<provider>` that the contracts name.
//!
//! An input is read when its own topic and those of its receipts and dead letters are there; otherwise it waits, and
//! nothing of it is lost.
//!
//! After a claim, inputs that the owner before may have decided in a transaction that did not commit are decided again
//! first, under the marker that stood then: until each has passed [`MAX_BATCH_RECORDS`] records (no batch takes more) or
//! the end seen at the claim, no marker is written and no other input is read. So a reader that ignores transactions
//! never holds a record that is not committed later. (Markers and lanes commit apart from batches.) An input that has to
//! wait for a topic meanwhile is not waited for: one provider's missing topic stops nobody else.

use kenh_domain::control::ControlSet;
use kenh_domain::limits::MAX_BATCH_RECORDS;
use kenh_domain::log::{Committed, Log, Position, ReadError, TopicPartition};
use kenh_domain::names::Principal;
use kenh_domain::topic::{Partition, Topic};

use crate::stats::{InputStats, Reason};
use crate::tally::InputId;

/// What may have been decided before the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redo {
    /// The end seen at the claim.
    pub end: Position,
    /// Records that may still be among them.
    pub left: usize,
}

/// See the module's documentation.
pub struct Input {
    /// Which.
    pub id: InputId,
    /// The same, as a partition of the log.
    pub of: TopicPartition,
    /// The data partition that it goes into.
    pub slot: usize,
    /// Position after the last record consumed.
    pub next: Position,
    /// Its end, as last seen.
    pub end: Position,
    /// Why it is not read.
    pub waiting: Option<Reason>,
    /// What is decided again first.
    pub redo: Option<Redo>,
    /// When something of it was last decided and committed.
    decided_ms: Option<i64>,
    /// The newest time that its source gave a change that was admitted.
    updated_ms: Option<i64>,
}

impl Input {
    /// An input that was not looked at yet.
    #[must_use]
    pub fn new(id: InputId, slot: usize) -> Self {
        let topic = Topic::In(id.dataset.clone(), id.provider.clone());
        let of = TopicPartition { topic, partition: id.partition };
        let waiting = Some(Reason::Topic(of.topic.clone(), "not looked at yet".into()));
        Self {
            id,
            of,
            slot,
            next: Position(0),
            end: Position(0),
            waiting,
            redo: None,
            decided_ms: None,
            updated_ms: None,
        }
    }

    /// Looks whether it can be read now, and from where.
    ///
    /// # Errors
    /// When the log itself fails; a missing topic is a reason to wait.
    pub fn look(&mut self, log: &dyn Log, control: &ControlSet, committed: &Committed) -> Result<(), ReadError> {
        self.waiting = None;
        let contract = control.contracts.get(&self.id.dataset);
        if contract.is_none_or(|c| c.provider(&self.id.provider).is_none()) {
            self.waiting = Some(Reason::Contract("the contract names this provider no longer".into()));
            return Ok(());
        }
        let InputId { dataset, provider, partition } = &self.id;
        let answers = [
            TopicPartition { topic: Topic::Receipt(provider.clone()), partition: Partition(0) },
            TopicPartition { topic: Topic::DeadLetter(dataset.clone(), provider.clone()), partition: *partition },
        ];
        for of in answers.iter().chain([&self.of]) {
            let bounds = match log.bounds(&Principal::router(), of) {
                Ok(bounds) => bounds,
                Err(ReadError::Denied { .. }) => {
                    self.waiting = Some(Reason::Topic(of.topic.clone(), "is missing".into()));
                    return Ok(());
                }
                Err(other) => return Err(other),
            };
            if *of != self.of {
                continue;
            }
            self.end = bounds.end;
            self.next = committed.consumed.get(of).copied().unwrap_or(bounds.start);
            if self.next < bounds.start {
                // Retention has taken records before they were decided; what is left is still to be decided.
                tracing::error!(input = %of, from = self.next.0, to = bounds.start.0, "input records are gone undecided");
                self.next = bounds.start;
            }
            if self.next > bounds.end {
                let text =
                    format!("the group stands at {}, the log ends at {}: it is another log", self.next, bounds.end);
                self.waiting = Some(Reason::Gone(text));
            }
        }
        Ok(())
    }

    /// Whether the owner before may have decided something of it: then it is decided again first. `known` says that its
    /// provider was in the contract at the latest marker of its data partition.
    pub fn look_back(&mut self, known: bool) {
        if known && self.waiting.is_none() && self.next < self.end {
            self.redo = Some(Redo { end: self.end, left: MAX_BATCH_RECORDS });
        }
    }

    /// Takes note that `records` of it were decided, up to `next`.
    pub fn passed(&mut self, next: Position, records: usize) {
        self.next = next;
        self.end = self.end.max(next);
        if let Some(redo) = &mut self.redo {
            redo.left = redo.left.saturating_sub(records);
            if redo.left == 0 || next >= redo.end {
                self.redo = None;
            }
        }
    }

    /// Takes note that something of it was committed at `now_ms`; `updated_ms` is the newest time of what was admitted.
    pub fn decided(&mut self, now_ms: i64, updated_ms: Option<i64>) {
        self.decided_ms = Some(now_ms);
        self.updated_ms = self.updated_ms.max(updated_ms);
    }

    /// For whoever asks.
    #[must_use]
    pub fn stats(&self) -> InputStats {
        InputStats {
            of: self.of.clone(),
            position: self.next,
            end: self.end,
            waiting: self.waiting.clone(),
            decided_ms: self.decided_ms,
            updated_ms: self.updated_ms,
        }
    }
}
