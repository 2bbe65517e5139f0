//! One turn: decide and carry out, read (`read.rs`), apply, say (`say.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use kenh_domain::log::{ReadError, TopicPartition};
use kenh_domain::notice::{CardState, ViewCard};
use kenh_domain::topic::Edition;

use super::confirm::{EditionNote, EditionState};
use super::feed::{Feed, Phase};
use super::notices::{EditionId, Notices};
use super::plan::{self, Held, Step};
use super::{ENDED_GRACE_MS, MAX_AWAY_MS, PROBE_MS, RETRY_MS, Refusal, SubscribeError, Subscriber, Turn};
use crate::store::{CopyId, Generation, Progress, StoreError};

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
        if turn.applied > 0 {
            self.stored_ms = now_ms;
        } else if now_ms.abs_diff(self.stored_ms) >= PROBE_MS {
            self.stored_ms = now_ms;
            self.config.store.probe().map_err(|e| self.store_failed(e))?;
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

    pub(super) fn feeds_of<'a>(&'a self, copy: &'a CopyId) -> impl Iterator<Item = &'a Feed> {
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
    pub(super) fn usable(&self, feed: &Feed, now_ms: i64) -> bool {
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

    pub(super) fn forget(&mut self, generation: Generation) {
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
}
