//! One turn: carry out what is decided, read, apply, say.

use std::collections::BTreeMap;
use std::time::Duration;

use kenh_domain::confirm::{self as said, Claim};
use kenh_domain::limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS};
use kenh_domain::log::{Position, ReadError, Reader, Record, TopicPartition};
use kenh_domain::notice::{CardState, ViewCard};
use kenh_domain::topic::{Edition, Partition, Topic};

use super::confirm::{self, ConfirmedNote, EditionNote, EditionState};
use super::feed::{Feed, Phase};
use super::notices::{EditionId, Notices};
use super::plan::{self, Held, Step};
use super::stats::{CopyState, CopyStats, ReachedStats};
use super::{ENDED_GRACE_MS, MAX_AWAY_MS, RETRY_MS, Refusal, SubscribeError, Subscriber, Turn, chain};
use crate::copy::digest;
use crate::store::{CopyId, Generation, Progress, StoreError};

/// A reader and what its sources are for.
pub(super) struct Open {
    reader: Box<dyn Reader>,
    sources: Vec<Source>,
}

/// What a partition is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The notices, to be read to this end before anything is decided.
    Notices(Position),
    /// A generation, and the partition of its view.
    View(Generation, usize),
}

impl Subscriber {
    pub(super) fn try_turn(&mut self, wait: Duration) -> Result<Turn, SubscribeError> {
        let now_ms = self.now_ms();
        let mut turn = Turn::default();
        self.follow_incarnation();
        if self.feeds.is_none() {
            self.load()?;
        }
        let done = self.try_store(now_ms, wait, &mut turn);
        if matches!(done, Err(SubscribeError::Store { .. })) {
            // What was read and not applied is read again from where the store says.
            self.feeds = None;
            self.reader = None;
        }
        done.map(|()| turn)
    }

    fn try_store(&mut self, now_ms: i64, wait: Duration, turn: &mut Turn) -> Result<(), SubscribeError> {
        if self.told {
            self.take_requests();
            for copy in self.copies() {
                for step in self.decide(&copy, now_ms)? {
                    self.carry_out(&copy, &step, now_ms, turn)?;
                }
            }
            self.keep_cards()?;
        }
        // What a step has begun is to be looked at soon.
        let wait = if turn.is_idle() { wait } else { Duration::ZERO };
        let records = self.read(now_ms, wait)?;
        self.take(records, turn);
        let (store, fill_bytes) = (self.config.store.clone(), self.config.fill_bytes);
        for feed in self.feeds.iter_mut().flat_map(BTreeMap::values_mut) {
            if self.reader.as_ref().is_some_and(|open| open.reads(feed.info.generation)) {
                let applied = feed.settle(&*store, &self.notices, fill_bytes, now_ms);
                turn.applied +=
                    applied.map_err(|source| SubscribeError::Store { agency: self.config.agency.clone(), source })?;
            }
        }
        if self.told {
            self.confirm_what_is_due(now_ms, turn)?;
        }
        Ok(())
    }

    /// Another log under the same name: what was told by the old one means nothing.
    fn follow_incarnation(&mut self) {
        let incarnation = self.config.log.incarnation();
        if incarnation != self.incarnation {
            self.incarnation = incarnation;
            self.notices = Notices::default();
            self.told = false;
            self.refused.clear();
            self.reader = None;
        }
    }

    /// The copies that there is something to say of.
    pub(super) fn copies(&self) -> Vec<CopyId> {
        let mut copies = self.notices.copies();
        copies.extend(self.feeds.iter().flatten().map(|(_, feed)| feed.info.copy()));
        copies.sort();
        copies.dedup();
        copies
    }

    fn feeds_of<'a>(&'a self, copy: &'a CopyId) -> impl Iterator<Item = &'a Feed> {
        self.feeds.iter().flatten().map(|(_, feed)| feed).filter(move |feed| feed.info.copy() == *copy)
    }

    fn take_requests(&mut self) {
        let refill = self.requests.change(|asked| std::mem::take(&mut asked.refill));
        for copy in refill {
            let of_copy: Vec<Generation> = self.feeds_of(&copy).map(|feed| feed.info.generation).collect();
            self.spent.extend(of_copy);
        }
    }

    /// Whether a generation can be brought up to date by reading on.
    fn usable(&self, feed: &Feed, now_ms: i64) -> bool {
        let card = self.notices.cards.get(&feed.edition());
        card.is_some_and(|card| plan::same_shape(&feed.info.card, card) && card.incarnation == self.incarnation)
            && !self.spent.contains(&feed.info.generation)
            && now_ms.saturating_sub(feed.info.progress.seen_ms) <= MAX_AWAY_MS
    }

    fn decide(&mut self, copy: &CopyId, now_ms: i64) -> Result<Vec<Step>, SubscribeError> {
        let store = self.config.store.clone();
        let held: Vec<Held> = self
            .feeds_of(copy)
            .map(|feed| Held {
                generation: feed.info.generation,
                edition: feed.info.card.edition,
                published: feed.info.published,
                usable: self.usable(feed, now_ms),
                caught_up: feed.caught_up(),
                complete: feed.complete(&self.notices),
            })
            .collect();
        let over = |card: &&ViewCard| card.state == CardState::Ended;
        let over: Vec<Edition> = self.notices.editions(copy).filter(over).map(|card| card.edition).collect();
        let mut ended = Vec::new();
        for edition in over {
            let id = (copy.clone(), edition);
            let note = self.owed.edition(&*store, &id).map_err(|e| self.store_failed(e))?;
            let holds = held.iter().any(|h| h.edition == edition);
            let fresh = EditionNote { state: EditionState::Held, rows: 0, ended_seen_ms: None };
            let mut note = match note {
                Some(note) if note.state == EditionState::Purged && !holds => continue,
                None if !holds => continue,
                Some(note) if note.state != EditionState::Purged => note,
                _ => fresh,
            };
            if note.ended_seen_ms.is_none() {
                note.ended_seen_ms = Some(now_ms);
                self.owed.set_edition(&*store, &id, note.clone()).map_err(|e| self.store_failed(e))?;
            }
            let waits = self.unsaid.get(&id).is_some_and(|refusal| refusal.again_ms > now_ms);
            if !waits {
                ended.push((edition, now_ms.saturating_sub(note.ended_seen_ms.unwrap_or(now_ms))));
            }
        }
        let mut steps = plan::steps(copy, &self.notices, &held, &ended, ENDED_GRACE_MS);
        steps.retain(|step| match step {
            Step::Begin(edition) => {
                self.refused.get(&(copy.clone(), *edition)).is_none_or(|refusal| refusal.again_ms <= now_ms)
            }
            _ => true,
        });
        Ok(steps)
    }

    fn carry_out(&mut self, copy: &CopyId, step: &Step, now_ms: i64, turn: &mut Turn) -> Result<(), SubscribeError> {
        let store = self.config.store.clone();
        match step {
            Step::Begin(edition) => {
                if self.begin((copy.clone(), *edition), now_ms)? {
                    turn.steps += 1;
                }
            }
            Step::Publish(generation) => {
                store.publish(*generation).map_err(|e| self.store_failed(e))?;
                tracing::info!(agency = %self.config.agency, %copy, %generation, "copy shown");
                turn.steps += 1;
                self.reader = None;
                let keep = |feed: &Feed| feed.info.generation == *generation || !feed.info.published;
                if let Some(feeds) = &mut self.feeds {
                    feeds.retain(|_, feed| feed.info.copy() != *copy || keep(feed));
                    if let Some(feed) = feeds.get_mut(generation) {
                        feed.info.published = true;
                    }
                }
            }
            Step::Discard(generation) => {
                store.discard(*generation).map_err(|e| self.store_failed(e))?;
                turn.steps += 1;
                self.forget(*generation);
            }
            Step::Purge(edition) => self.purge((copy.clone(), *edition), now_ms, turn)?,
        }
        Ok(())
    }

    fn forget(&mut self, generation: Generation) {
        self.reader = None;
        self.spent.remove(&generation);
        if let Some(feeds) = &mut self.feeds {
            feeds.remove(&generation);
        }
    }

    /// Begins a generation; false where its view cannot be read yet.
    fn begin(&mut self, id: EditionId, now_ms: i64) -> Result<bool, SubscribeError> {
        let Some(card) = self.notices.cards.get(&id).cloned() else { return Ok(false) };
        let mut progress = Progress { seen_ms: now_ms, ..Progress::default() };
        let mut ends = Vec::new();
        for partition in 0..card.partitions {
            let of = TopicPartition::new(card.topic(), partition);
            match self.config.log.bounds(&self.config.principal, &of) {
                Ok(bounds) => {
                    progress.positions.push(bounds.start);
                    ends.push(bounds.end);
                }
                Err(error @ ReadError::Storage { .. }) => return Err(self.read_failed(error)),
                Err(error) => {
                    self.refuse(id, &error, now_ms);
                    return Ok(false);
                }
            }
        }
        progress.reached = vec![None; progress.positions.len()];
        let store = self.config.store.clone();
        let note = EditionNote { state: EditionState::Held, rows: 0, ended_seen_ms: None };
        self.owed.set_edition(&*store, &id, note).map_err(|e| self.store_failed(e))?;
        let begun = store.begin(&card, &self.indexes(&card), &progress);
        let generation = match begun {
            Ok(generation) => generation,
            Err(StoreError::Refused(reason)) => {
                self.refused.insert(id, Refusal { reason, again_ms: now_ms.saturating_add(RETRY_MS) });
                return Ok(false);
            }
            Err(error) => return Err(self.store_failed(error)),
        };
        tracing::info!(agency = %self.config.agency, topic = %card.topic(), %generation, "copy begun");
        self.refused.remove(&id);
        let indexes = Vec::new();
        let info = crate::store::GenerationInfo {
            generation,
            card: card.into(),
            indexes,
            published: false,
            progress,
            counters: crate::store::Counters::default(),
        };
        let mut feed = Feed::new(info);
        feed.phase = Phase::Filling(ends);
        self.feeds.get_or_insert_default().insert(generation, feed);
        self.reader = None;
        Ok(true)
    }

    fn indexes(&self, card: &ViewCard) -> Vec<String> {
        let copy = CopyId::of(card);
        let named = self.config.indexes.iter().filter(|(of, _)| *of == copy).map(|(_, path)| path.clone());
        // One field of a composite key finds nothing by the key itself.
        let of_key = card.key_fields.iter().filter(|_| card.key_fields.len() > 1).cloned();
        named.chain(of_key).collect()
    }

    fn refuse(&mut self, id: EditionId, error: &ReadError, now_ms: i64) {
        let again_ms = now_ms.saturating_add(RETRY_MS);
        self.refused.insert(id, Refusal { reason: chain(error), again_ms });
    }

    fn read_failed(&self, source: ReadError) -> SubscribeError {
        SubscribeError::Read { agency: self.config.agency.clone(), source }
    }

    /// Removes every row of an edition and says so. The confirmation is owed until it is known to be written.
    fn purge(&mut self, id: EditionId, now_ms: i64, turn: &mut Turn) -> Result<(), SubscribeError> {
        let store = self.config.store.clone();
        let held: Vec<(Generation, u64)> = self
            .feeds_of(&id.0)
            .filter(|feed| feed.info.card.edition == id.1)
            .map(|feed| (feed.info.generation, feed.info.counters.rows))
            .collect();
        let note = self.owed.edition(&*store, &id).map_err(|e| self.store_failed(e))?;
        let fresh = EditionNote { state: EditionState::Held, rows: 0, ended_seen_ms: Some(now_ms) };
        let mut note = note.unwrap_or(fresh);
        if note.state == EditionState::Held || !held.is_empty() {
            note.state = EditionState::Purging;
            note.rows += held.iter().map(|(_, rows)| rows).sum::<u64>();
            self.owed.set_edition(&*store, &id, note.clone()).map_err(|e| self.store_failed(e))?;
            for (generation, _) in held {
                store.discard(generation).map_err(|e| self.store_failed(e))?;
                self.forget(generation);
                turn.steps += 1;
            }
            tracing::info!(agency = %self.config.agency, copy = %id.0, edition = %id.1, rows = note.rows, "copy purged");
        }
        // That it can no longer be read is as it should be.
        self.refused.remove(&id);
        let confirmation = confirm::of(&self.config.agency, &id, now_ms, Claim::Purged { rows: note.rows });
        match confirm::send(&*self.config.log, &self.config.principal, &confirmation) {
            Ok(()) => {
                note.state = EditionState::Purged;
                self.owed.set_edition(&*store, &id, note).map_err(|e| self.store_failed(e))?;
                self.unsaid.remove(&id);
                turn.confirmations += 1;
            }
            Err(error) => {
                let reason = format!("the purge of {}/{} is not confirmed: {}", id.0, id.1, chain(&error));
                tracing::warn!(agency = %self.config.agency, reason, "confirmation not written");
                self.unsaid.insert(id, Refusal { reason, again_ms: now_ms.saturating_add(RETRY_MS) });
            }
        }
        Ok(())
    }

    /// Keeps the newest card with each generation: a renewal changes the grant and not the shape.
    fn keep_cards(&mut self) -> Result<(), SubscribeError> {
        let store = self.config.store.clone();
        let mut failure = None;
        for feed in self.feeds.iter_mut().flat_map(BTreeMap::values_mut) {
            let Some(card) = self.notices.cards.get(&feed.edition()) else { continue };
            if *card != *feed.info.card && plan::same_shape(&feed.info.card, card) {
                match store.set_card(feed.info.generation, card) {
                    Ok(()) => feed.info.card = card.clone().into(),
                    Err(error) => failure = Some(error),
                }
            }
        }
        failure.map_or(Ok(()), |error| Err(self.store_failed(error)))
    }

    /// Whether a generation is to be read now: it can be brought up to date, and is not refused.
    fn to_be_read(&self, feed: &Feed, now_ms: i64) -> bool {
        let refused = self.refused.get(&feed.edition()).is_some_and(|refusal| refusal.again_ms > now_ms);
        self.told && !refused && self.usable(feed, now_ms)
    }

    /// Reads what is new for the notices and every generation that is to be read.
    fn read(&mut self, now_ms: i64, wait: Duration) -> Result<Vec<(Source, Record)>, SubscribeError> {
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
        let lost: Vec<(Generation, EditionId)> = self
            .feeds
            .iter()
            .flatten()
            .filter(of_topic)
            .map(|(generation, feed)| (*generation, feed.edition()))
            .collect();
        if lost.is_empty() {
            return Err(self.read_failed(error));
        }
        for (generation, id) in lost {
            if gone {
                self.spent.insert(generation);
            } else {
                self.refuse(id, &error, now_ms);
            }
        }
        Ok(())
    }

    /// Hands records to whom they are for, and notes how far each has been read.
    fn take(&mut self, records: Vec<(Source, Record)>, turn: &mut Turn) {
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

    /// Confirms copies that are asked for, or whose time has come and that have changed.
    fn confirm_what_is_due(&mut self, now_ms: i64, turn: &mut Turn) -> Result<(), SubscribeError> {
        let store = self.config.store.clone();
        let asked = self.requests.change(|asked| asked.confirm.clone());
        let every = self.config.confirm_every.map(|every| i64::try_from(every.as_millis()).unwrap_or(i64::MAX));
        for copy in self.copies() {
            let Some(feed) = self.feeds_of(&copy).find(|feed| feed.info.published) else { continue };
            let exact = feed.complete(&self.notices) && feed.exact();
            let filled = self.notices.filled(&feed.info.card);
            let (generation, id) = (feed.info.generation, feed.edition());
            let reached = feed.info.progress.reached.clone();
            let last = self.owed.confirmed(&*store, &copy).map_err(|e| self.store_failed(e))?;
            let due = match (&last, every) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(last), Some(every)) => {
                    // Whatever is not exactly where it was last confirmed has changed since.
                    let changed = !exact || last.reached != reached || last.edition != id.1;
                    changed && now_ms.saturating_sub(last.at_ms) >= every
                }
            };
            let waits = self.unsaid.get(&id).is_some_and(|refusal| refusal.again_ms > now_ms);
            if waits || !(due || asked.contains(&copy)) {
                continue;
            }
            if !exact {
                if let Some(feed) = self.feeds.as_mut().and_then(|feeds| feeds.get_mut(&generation)).filter(|_| filled)
                {
                    feed.aim(now_ms);
                }
                continue;
            }
            let digest = {
                let snapshot = store.snapshot(generation).map_err(|e| self.store_failed(e))?;
                digest::of(&*snapshot).map_err(|e| self.store_failed(e))?
            };
            let places = (0..).zip(&reached).filter_map(|(partition, reached)| {
                let partition = Partition(partition);
                reached.map(|r| said::Reached { partition, sequence: r.sequence })
            });
            let claim = Claim::Holds {
                reached: places.collect(),
                rows: digest.rows(),
                digest: digest.hex(),
                // There is no ledger yet.
                checkpoint: None,
            };
            let confirmation = confirm::of(&self.config.agency, &id, now_ms, claim);
            if let Some(feed) = self.feeds.as_mut().and_then(|feeds| feeds.get_mut(&generation)) {
                feed.release();
            }
            match confirm::send(&*self.config.log, &self.config.principal, &confirmation) {
                Ok(()) => {
                    let note = ConfirmedNote { at_ms: now_ms, edition: id.1, reached };
                    self.owed.set_confirmed(&*store, &copy, note).map_err(|e| self.store_failed(e))?;
                    self.requests.change(|asked| asked.confirm.remove(&copy));
                    self.unsaid.remove(&id);
                    turn.confirmations += 1;
                }
                Err(error) => {
                    tracing::warn!(agency = %self.config.agency, %copy, error = chain(&error), "not confirmed");
                    let reason = format!("{copy} is not confirmed: {}", chain(&error));
                    self.unsaid.insert(id, Refusal { reason, again_ms: now_ms.saturating_add(RETRY_MS) });
                }
            }
        }
        Ok(())
    }

    /// What there is to say of each copy.
    pub(super) fn copy_stats(&self) -> Vec<CopyStats> {
        self.copies().iter().filter_map(|copy| self.stats_of(copy)).collect()
    }

    fn stats_of(&self, copy: &CopyId) -> Option<CopyStats> {
        let shown = self.feeds_of(copy).find(|feed| feed.info.published);
        let feed = shown.or_else(|| self.feeds_of(copy).last());
        let card = self.notices.active(copy);
        let edition = feed.map(|feed| feed.info.card.edition).or(card.map(|card| card.edition));
        let edition = edition.or_else(|| self.notices.editions(copy).last().map(|card| card.edition))?;
        let refusal = card.and_then(|card| self.refused.get(&(copy.clone(), card.edition)));
        let counters = feed.map(|feed| feed.info.counters).unwrap_or_default();
        let now_ms = self.now_ms();
        let state = match (refusal, feed) {
            (Some(refusal), _) => CopyState::Refused(refusal.reason.clone()),
            (None, Some(feed)) if feed.info.published && self.usable(feed, now_ms) => CopyState::Live,
            (None, Some(_)) => CopyState::Filling,
            (None, None) if card.is_some() => CopyState::Filling,
            (None, None) => CopyState::Ended,
        };
        let reached: Vec<Option<ReachedStats>> = feed
            .map(|feed| {
                let of = |(p, r): (u32, &Option<crate::store::Reached>)| {
                    let partition = Partition(p);
                    r.map(|r| ReachedStats { partition, sequence: r.sequence, clock_ms: r.clock_ms })
                };
                (0..).zip(&feed.info.progress.reached).map(of).collect()
            })
            .unwrap_or_default();
        let clocks: Option<Vec<i64>> = reached.iter().map(|r| r.map(|r| r.clock_ms)).collect();
        Some(CopyStats {
            dataset: copy.dataset.clone(),
            view: copy.view.clone(),
            edition,
            state,
            rows: counters.rows,
            inserted: counters.inserted,
            updated: counters.updated,
            left: counters.left,
            bytes: counters.bytes,
            clock_ms: clocks.and_then(|clocks| clocks.into_iter().min()),
            reached: reached.into_iter().flatten().collect(),
            complete: feed.is_some_and(|feed| feed.info.published && feed.complete(&self.notices)),
        })
    }
}

impl Open {
    fn reads(&self, generation: Generation) -> bool {
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
