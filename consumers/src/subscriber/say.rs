//! Saying back: purges, confirmations, and what the subscriber tells of itself.

use kenh_domain::confirm::{self as said, Claim};
use kenh_domain::error::chain;
use kenh_domain::topic::Partition;

use super::confirm::{self, ConfirmedNote, EditionNote, EditionState};
use super::notices::EditionId;
use super::stats::{CopyState, CopyStats, ReachedStats};
use super::{RETRY_MS, Refusal, SubscribeError, Subscriber, Turn};
use crate::copy::digest;
use crate::store::{CopyId, Generation};

impl Subscriber {
    /// Removes every row of an edition and says so. The confirmation is owed until it is known to be written.
    pub(super) fn purge(&mut self, id: EditionId, now_ms: i64, turn: &mut Turn) -> Result<(), SubscribeError> {
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

    /// Confirms copies that are asked for, or whose time has come and that have changed.
    pub(super) fn confirm_what_is_due(&mut self, now_ms: i64, turn: &mut Turn) -> Result<(), SubscribeError> {
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
                    r.map(|r| ReachedStats { partition, sequence: r.sequence, end: r.end, clock_ms: r.clock_ms })
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
