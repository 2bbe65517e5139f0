//! Reading: one reader for the notices and every generation, and what becomes of what cannot be read.

use std::time::Duration;

use kenh_domain::error::chain;
use kenh_domain::limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS};
use kenh_domain::log::{Position, ReadError, Reader, Record, TopicPartition};
use kenh_domain::topic::Topic;

use super::feed::{Feed, Phase};
use super::notices::EditionId;
use super::{RETRY_MS, Refusal, SubscribeError, Subscriber, Turn};
use crate::store::Generation;

/// A reader and what its sources are for.
pub(super) struct Open {
    reader: Box<dyn Reader>,
    sources: Vec<Source>,
}

/// What a partition is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The notices, to be read to this end before anything is decided.
    Notices(Position),
    /// A generation, and the partition of its view.
    View(Generation, usize),
}

impl Subscriber {
    pub(super) fn refuse(&mut self, id: EditionId, error: &ReadError, now_ms: i64) {
        let again_ms = now_ms.saturating_add(RETRY_MS);
        self.refused.insert(id, Refusal { reason: chain(error), again_ms });
    }

    pub(super) fn read_failed(&self, source: ReadError) -> SubscribeError {
        SubscribeError::Read { agency: self.config.agency.clone(), source }
    }

    /// Whether a generation is to be read now: it can be brought up to date, and is not refused.
    fn to_be_read(&self, feed: &Feed, now_ms: i64) -> bool {
        let refused = self.refused.get(&feed.edition()).is_some_and(|refusal| refusal.again_ms > now_ms);
        self.told && !refused && self.usable(feed, now_ms)
    }

    /// Reads what is new for the notices and every generation that is to be read.
    pub(super) fn read(&mut self, now_ms: i64, wait: Duration) -> Result<Vec<(Source, Record)>, SubscribeError> {
        // What turns out not to be readable is not wanted the next time round, so that this ends.
        loop {
            let wanted: Vec<Generation> = self
                .feeds
                .iter()
                .flatten()
                .filter(|(_, feed)| self.to_be_read(feed, now_ms))
                .map(|(generation, _)| *generation)
                .collect();
            if self.reader.as_ref().is_some_and(|open| open.generations() != wanted) {
                self.reader = None;
            }
            if self.reader.is_none() && !self.open_reader(&wanted, now_ms)? {
                continue;
            }
            let Some(open) = &mut self.reader else { return Ok(Vec::new()) };
            match open.reader.poll(MAX_BATCH_RECORDS, MAX_BATCH_BYTES, wait) {
                Ok(records) => {
                    let of = |record: Record| Some((*open.sources.get(record.source)?, record));
                    return Ok(records.into_iter().filter_map(of).collect());
                }
                Err(error) => {
                    self.reader = None;
                    self.lost(error, now_ms)?;
                }
            }
        }
    }

    /// Opens a reader; false where a view could not be read, which is then not wanted any more.
    fn open_reader(&mut self, wanted: &[Generation], now_ms: i64) -> Result<bool, SubscribeError> {
        let (log, principal) = (self.config.log.clone(), self.config.principal.clone());
        let notices = TopicPartition::new(Topic::Notice(self.config.agency.clone()), 0);
        let unread = |source| SubscribeError::Notices { agency: self.config.agency.clone(), source };
        let bounds = log.bounds(&principal, &notices).map_err(unread)?;
        let mut from = vec![(notices, bounds.start)];
        let mut sources = vec![Source::Notices(bounds.end)];
        for generation in wanted {
            let Some(feed) = self.feeds.as_mut().and_then(|feeds| feeds.get_mut(generation)) else { continue };
            let topic = feed.info.card.topic();
            if feed.phase == Phase::Unopened {
                let ends = (0..feed.info.card.partitions)
                    .map(|p| log.bounds(&principal, &TopicPartition::new(topic.clone(), p)).map(|b| b.end));
                match ends.collect() {
                    Ok(ends) => feed.phase = Phase::Filling(ends),
                    Err(error) => {
                        self.lost(error, now_ms)?;
                        return Ok(false);
                    }
                }
            }
            for (number, (partition, next)) in (0..).zip(&feed.next).enumerate() {
                from.push((TopicPartition::new(topic.clone(), partition), *next));
                sources.push(Source::View(*generation, number));
            }
        }
        match log.reader(&principal, &from) {
            Ok(reader) => {
                self.reader = Some(Open { reader, sources });
                Ok(true)
            }
            Err(error) => {
                self.lost(error, now_ms)?;
                Ok(false)
            }
        }
    }

    /// A partition cannot be read: refused for now, or its generation is spent, or the log itself failed.
    fn lost(&mut self, error: ReadError, now_ms: i64) -> Result<(), SubscribeError> {
        let (of, gone) = match &error {
            ReadError::Denied { of, .. } => (of.clone(), false),
            ReadError::Gone { of, .. } => (of.clone(), true),
            ReadError::Storage { .. } => return Err(self.read_failed(error)),
        };
        if matches!(of.topic, Topic::Notice(_)) {
            return Err(SubscribeError::Notices { agency: self.config.agency.clone(), source: error });
        }
        let of_topic = |(_, feed): &(&Generation, &Feed)| feed.info.card.topic() == of.topic;
        let lost: Vec<(Generation, EditionId, bool)> = self
            .feeds
            .iter()
            .flatten()
            .filter(of_topic)
            .map(|(generation, feed)| (*generation, feed.edition(), feed.is_unread()))
            .collect();
        if lost.is_empty() {
            return Err(self.read_failed(error));
        }
        for (generation, id, unread) in lost {
            if gone {
                self.spent.insert(generation);
            }
            // A log that takes back where it has just said that it starts would otherwise be asked without end.
            if !gone || unread {
                self.refuse(id, &error, now_ms);
            }
        }
        Ok(())
    }

    /// Hands records to whom they are for, and notes how far each has been read.
    pub(super) fn take(&mut self, records: Vec<(Source, Record)>, turn: &mut Turn) {
        for (source, record) in records {
            match source {
                Source::Notices(_) => {
                    turn.notices += 1;
                    self.notices.take(&self.config.agency, &record.key, record.value.as_deref());
                }
                Source::View(generation, partition) => {
                    turn.records += 1;
                    if let Some(feed) = self.feeds.as_mut().and_then(|feeds| feeds.get_mut(&generation)) {
                        feed.take(partition, record);
                    }
                }
            }
        }
        let Some(open) = &self.reader else { return };
        for (source, position) in open.sources.iter().zip(open.reader.positions()) {
            match source {
                Source::Notices(end) => {
                    if position >= *end && !self.told {
                        self.told = true;
                        // Whatever is to be done by them is to be done at once.
                        turn.notices = turn.notices.max(1);
                    }
                }
                Source::View(generation, partition) => {
                    if let Some(feed) = self.feeds.as_mut().and_then(|feeds| feeds.get_mut(generation)) {
                        let id = feed.edition();
                        feed.read_to(*partition, position);
                        self.refused.remove(&id);
                    }
                }
            }
        }
    }
}

impl Open {
    pub(super) fn reads(&self, generation: Generation) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::View(of, _) if *of == generation))
    }

    /// The generations that are read, in the order of their numbers.
    fn generations(&self) -> Vec<Generation> {
        let of = |source: &Source| match source {
            Source::Notices(_) => None,
            Source::View(generation, _) => Some(*generation),
        };
        let mut generations: Vec<Generation> = self.sources.iter().filter_map(of).collect();
        generations.dedup();
        generations
    }
}
