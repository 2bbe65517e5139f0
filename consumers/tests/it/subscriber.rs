//! The subscriber on a log in memory that fails on command.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kenh_consumers::copy::Copy;
use kenh_consumers::store::{Counters, ViewStore};
use kenh_consumers::subscriber::{
    CopyState, CopyStats, ENDED_GRACE_MS, MAX_AWAY_MS, RETRY_MS, Stats, SubscribeError, Subscriber,
};
use kenh_domain::confirm::Claim;
use kenh_domain::digest::SetDigest;
use kenh_domain::log::Log as _;
use kenh_domain::names::GrantId;
use kenh_domain::notice::{ViewCard, card_key};
use kenh_domain::secret::Secret;
use kenh_domain::topic::{Edition, Topic};
use kenh_testkit::FlushFault;
use proptest::prelude::*;

use crate::memory_store::MemoryStore;
use crate::stores::sled;
use crate::support::{ApplyFault, Bus, DAY_MS, FaultyStore, START_MS, agency, card, copy_id, row, rows, settle, shown};

fn memory() -> Arc<dyn ViewStore> {
    Arc::new(MemoryStore::default())
}

fn stats(subscriber: &Subscriber) -> Stats {
    subscriber.stats().lock().unwrap().clone()
}

fn copy_stats(subscriber: &Subscriber) -> CopyStats {
    let mut copies = stats(subscriber).copies;
    assert_eq!(copies.len(), 1);
    copies.remove(0)
}

fn counted(subscriber: &Subscriber) -> (u64, u64, u64, u64) {
    let copy = copy_stats(subscriber);
    (copy.rows, copy.inserted, copy.updated, copy.left)
}

/// The keys that readers see.
fn keys(store: &dyn ViewStore) -> Vec<String> {
    let Some(info) = shown(store) else { return Vec::new() };
    rows(store, info.generation).into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
}

fn value(key: &str, so: i64) -> Option<Bytes> {
    Some(row(key, Some("79"), so))
}

#[test]
fn it_fills_follows_and_says_how_fresh_it_is() {
    let bus = Bus::new(3);
    let store = memory();
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    assert_eq!(stats(&subscriber).copies, []);

    bus.activate(1);
    for key in ["a", "b", "c", "d"] {
        bus.put(1, key, value(key, 1));
    }
    bus.put(1, "b", value("b", 2));
    bus.put(1, "c", None);
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a", "b", "d"]);
    let copy = copy_stats(&subscriber);
    assert_eq!((copy.state.clone(), copy.complete, copy.clock_ms), (CopyState::Live, false, None));
    assert_eq!(counted(&subscriber), (3, 4, 1, 1), "a fill counts as it reads");

    bus.advance(1_000);
    bus.tell_positions(1, true);
    settle(&mut subscriber);
    let copy = copy_stats(&subscriber);
    assert_eq!((copy.complete, copy.clock_ms, copy.reached.len()), (true, Some(START_MS + 1_000), 3));

    bus.put(1, "e", value("e", 1));
    bus.put(1, "a", None);
    bus.put(1, "zz", None);
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["b", "d", "e"]);
    assert_eq!(counted(&subscriber), (3, 5, 1, 2), "a tombstone for a key that is not there counts nothing");
    let held: usize = rows(&*store, shown(&*store).unwrap().generation).iter().map(|(k, v)| k.len() + v.len()).sum();
    assert_eq!(copy_stats(&subscriber).bytes, held as u64);

    bus.put(1, "f", value("f", 1));
    bus.tell_positions(1, true);
    // The notice may be read before what it speaks of: complete only when both are there.
    settle(&mut subscriber);
    assert!(copy_stats(&subscriber).complete);
    assert_eq!(keys(&*store), ["b", "d", "e", "f"]);
}

#[test]
fn a_fill_that_does_not_fit_into_memory_counts_the_same() {
    let bus = Bus::new(2);
    bus.activate(1);
    for n in 0..200_i64 {
        let key = format!("k{}", n % 37);
        bus.put(1, &key, if n % 5 == 0 { None } else { value(&key, n) });
    }
    let (whole, pieces) = (memory(), memory());
    let mut one = bus.subscriber(whole.clone());
    let faulty = FaultyStore::new(pieces.clone());
    let config = kenh_consumers::subscriber::Config { fill_bytes: 1, ..bus.config(faulty.clone()) };
    let mut other = Subscriber::open(config).unwrap();
    settle(&mut one);
    settle(&mut other);
    assert_eq!(counted(&one), counted(&other));
    let generation = |store: &dyn ViewStore| shown(store).unwrap().generation;
    assert_eq!(rows(&*whole, generation(&*whole)), rows(&*pieces, generation(&*pieces)));
}

#[test]
fn an_edition_gives_way_without_a_gap() {
    let bus = Bus::new(2);
    let store = memory();
    let mut subscriber = bus.subscriber(store.clone());
    bus.activate(1);
    bus.put(1, "a", value("a", 1));
    bus.tell_positions(1, true);
    settle(&mut subscriber);

    // The bus fills the second edition while the first goes on.
    bus.activate(2);
    bus.put(2, "a", value("a", 10));
    settle(&mut subscriber);
    bus.put(1, "b", value("b", 1));
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a", "b"], "the first edition is not kept up to date any more");
    assert_eq!(copy_stats(&subscriber).edition, Edition(1), "swapped before the bus said that it is filled");
    bus.put(2, "b", value("b", 10));
    bus.put(2, "c", value("c", 10));
    bus.tell_positions(2, true);
    settle(&mut subscriber);
    assert_eq!((copy_stats(&subscriber).edition, copy_stats(&subscriber).state), (Edition(2), CopyState::Live));
    assert_eq!(keys(&*store), ["a", "b", "c"]);
    assert_eq!(store.generations().unwrap().len(), 1, "the first edition is still there");
    assert_eq!(counted(&subscriber), (3, 3, 0, 0), "a new generation counts from its own fill");

    bus.end(1);
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a", "b", "c"]);
    let said = bus.confirmations();
    assert_eq!((said.len(), said[0].edition, &said[0].claim), (1, Edition(1), &Claim::Purged { rows: 0 }));
}

#[test]
fn an_edition_that_ended_while_its_successor_is_read_is_shown_until_then() {
    let bus = Bus::new(1);
    let store = memory();
    let mut subscriber = bus.subscriber(store.clone());
    bus.activate(1);
    bus.put(1, "a", value("a", 1));
    bus.tell_positions(1, true);
    settle(&mut subscriber);
    // All of it at once, while the second edition cannot be read.
    bus.activate(2);
    bus.put(2, "b", value("b", 1));
    bus.tell_positions(2, true);
    bus.end(1);
    bus.log.faults().deny_reads(&bus.view_topic(2), true);
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a"]);
    assert!(matches!(copy_stats(&subscriber).state, CopyState::Refused(_)));
    bus.log.faults().deny_reads(&bus.view_topic(2), false);
    bus.advance(RETRY_MS);
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["b"]);
    assert_eq!(bus.confirmations().len(), 1);
}

#[test]
fn an_edition_that_ended_is_not_shown_longer_than_its_grace() {
    let bus = Bus::new(1);
    let store = memory();
    let mut subscriber = bus.subscriber(store.clone());
    bus.activate(1);
    bus.put(1, "a", value("a", 1));
    settle(&mut subscriber);
    bus.activate(2);
    bus.tell_positions(2, true);
    bus.end(1);
    bus.log.faults().deny_reads(&bus.view_topic(2), true);
    settle(&mut subscriber);
    bus.advance(ENDED_GRACE_MS - 1);
    // A restart does not begin the time anew.
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a"]);
    bus.advance(1);
    settle(&mut subscriber);
    assert_eq!(store.generations().unwrap(), []);
    assert_eq!(bus.confirmations()[0].claim, Claim::Purged { rows: 1 });
}

#[test]
fn a_narrowed_view_ends_before_the_new_one_is_there() {
    let bus = Bus::new(1);
    let store = memory();
    let mut subscriber = bus.subscriber(store.clone());
    bus.activate(1);
    bus.put(1, "a", value("a", 1));
    bus.tell_positions(1, true);
    settle(&mut subscriber);
    bus.end(1);
    bus.activate(2);
    bus.log.faults().deny_reads(&bus.view_topic(2), true);
    settle(&mut subscriber);
    assert_eq!(store.generations().unwrap(), [], "rows are shown that the agency has no right to any more");
    assert_eq!(bus.confirmations()[0].claim, Claim::Purged { rows: 1 });
}

#[test]
fn an_ended_view_is_purged_and_confirmed_once() {
    let bus = Bus::new(1);
    let store = memory();
    let mut subscriber = bus.subscriber(store.clone());
    bus.activate(1);
    bus.put(1, "a", value("a", 1));
    bus.put(1, "b", value("b", 1));
    settle(&mut subscriber);
    bus.end(1);
    bus.log.faults().next_flushes(1, FlushFault::FailedLost);
    settle(&mut subscriber);
    assert_eq!(store.generations().unwrap(), [], "the purge waits for nobody");
    assert!(bus.confirmations().is_empty());
    assert!(stats(&subscriber).waiting.unwrap().contains("not confirmed"));

    // A crash in between: the confirmation is still owed.
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    let said = bus.confirmations();
    assert_eq!((said.len(), &said[0].claim, said[0].agency.clone()), (1, &Claim::Purged { rows: 2 }, agency()));
    assert_eq!((copy_stats(&subscriber).state, stats(&subscriber).waiting), (CopyState::Ended, None));
    let mut subscriber = bus.subscriber(store);
    settle(&mut subscriber);
    assert_eq!(bus.confirmations().len(), 1);
}

#[test]
fn an_edition_that_was_never_held_is_not_confirmed_as_purged() {
    let bus = Bus::new(1);
    bus.activate(1);
    bus.end(1);
    let mut subscriber = bus.subscriber(memory());
    settle(&mut subscriber);
    assert!(bus.confirmations().is_empty());
    assert_eq!(copy_stats(&subscriber).state, CopyState::Ended);
}

#[test]
fn another_log_is_read_from_its_start_while_the_old_rows_are_shown() {
    let store = memory();
    let old = Bus::new(1);
    old.activate(1);
    old.put(1, "a", value("a", 1));
    old.put(1, "ghost", value("ghost", 1));
    settle(&mut old.subscriber(store.clone()));
    assert_eq!(keys(&*store), ["a", "ghost"]);

    // Made anew: the same names, positions that mean other things.
    let new = Bus::new(1);
    new.activate(1);
    new.put(1, "x", value("x", 1));
    let mut subscriber = new.subscriber(store.clone());
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a", "ghost"], "nothing says yet that the new log is filled");
    assert_eq!(copy_stats(&subscriber).state, CopyState::Filling);
    new.put(1, "a", value("a", 2));
    new.tell_positions(1, true);
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a", "x"]);
    assert_eq!(copy_stats(&subscriber).state, CopyState::Live);
    assert_eq!(store.generations().unwrap().len(), 1);
}

#[test]
fn who_was_away_too_long_comes_back_without_ghosts() {
    let bus = Bus::new(1);
    let store = memory();
    bus.activate(1);
    for key in ["a", "ghost"] {
        bus.put(1, key, value(key, 1));
    }
    bus.tell_positions(1, true);
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    let first = shown(&*store).unwrap().generation;
    drop(subscriber);

    // The tombstone comes and goes while nobody reads.
    bus.put(1, "ghost", None);
    bus.advance(31 * DAY_MS);
    bus.put(1, "b", value("b", 1));
    bus.log.maintain(bus.now_ms.load(Ordering::Relaxed)).unwrap();
    bus.tell_positions(1, true);
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a", "b"]);
    assert_ne!(shown(&*store).unwrap().generation, first);

    // Nor is one that slept in the middle of its work any wiser.
    let second = shown(&*store).unwrap().generation;
    bus.advance(MAX_AWAY_MS + 1);
    settle(&mut subscriber);
    assert_ne!(shown(&*store).unwrap().generation, second);
}

#[test]
fn a_quiet_view_that_is_being_read_is_not_away() {
    let bus = Bus::new(1);
    let store = memory();
    bus.activate(1);
    bus.put(1, "a", value("a", 1));
    bus.tell_positions(1, true);
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    let first = shown(&*store).unwrap().generation;
    for _ in 0..40 {
        bus.advance(DAY_MS);
        settle(&mut subscriber);
    }
    // That it was read is known to a later process, too.
    settle(&mut bus.subscriber(store.clone()));
    assert_eq!(shown(&*store).unwrap().generation, first);
}

#[test]
fn a_topic_made_again_is_filled_again() {
    let bus = Bus::new(1);
    let store = memory();
    bus.activate(1);
    bus.put(1, "ghost", value("ghost", 1));
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    bus.log.delete_topic(&bus.view_topic(1)).unwrap();
    settle(&mut subscriber);
    bus.topic(bus.view_topic(1), 1, kenh_domain::log::Operation::Read);
    bus.put(1, "a", value("a", 1));
    bus.tell_positions(1, true);
    bus.advance(RETRY_MS);
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a"]);
}

#[test]
fn what_is_denied_is_said_and_the_rows_stay_until_the_view_ends() {
    let bus = Bus::new(2);
    let store = memory();
    bus.activate(1);
    bus.put(1, "a", value("a", 1));
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    bus.log.set_access(&bus.view_topic(1), &[]).unwrap();
    bus.put(1, "b", value("b", 1));
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    assert!(matches!(copy_stats(&subscriber).state, CopyState::Refused(reason) if reason.contains("may not read")));
    assert!(stats(&subscriber).waiting.is_some());
    assert_eq!(keys(&*store), ["a"]);
    // Not asked for again at every turn.
    bus.topic(bus.view_topic(1), 2, kenh_domain::log::Operation::Read);
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a"]);
    bus.advance(RETRY_MS);
    settle(&mut subscriber);
    assert_eq!((keys(&*store), stats(&subscriber).waiting), (vec!["a".into(), "b".into()], None));
    assert_eq!(counted(&subscriber), (2, 2, 0, 0));
}

#[test]
fn one_refused_view_does_not_hold_up_another() {
    let bus = Bus::new(1);
    let store = memory();
    bus.activate(1);
    let other = ViewCard { view: kenh_domain::names::View::new("phu").unwrap(), ..bus.card(1) };
    bus.tell_card(&other);
    bus.put(1, "a", value("a", 1));
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    bus.put(1, "b", value("b", 1));
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a", "b"]);
    let stats = stats(&subscriber);
    assert_eq!(stats.copies[0].state, CopyState::Live);
    assert!(matches!(stats.copies[1].state, CopyState::Refused(_)));
}

#[test]
fn without_access_to_its_notices_it_says_so_and_decides_nothing() {
    let bus = Bus::new(1);
    let store = memory();
    bus.activate(1);
    bus.put(1, "a", value("a", 1));
    settle(&mut bus.subscriber(store.clone()));
    bus.log.faults().deny_reads(&Topic::Notice(agency()), true);
    let mut subscriber = bus.subscriber(store.clone());
    let error = subscriber.turn(Duration::ZERO).unwrap_err();
    assert!(matches!(error, SubscribeError::Notices { .. }));
    assert!(stats(&subscriber).waiting.unwrap().contains("notice"));
    assert_eq!(keys(&*store), ["a"]);
    bus.log.faults().deny_reads(&Topic::Notice(agency()), false);
    bus.put(1, "b", value("b", 1));
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a", "b"]);
}

#[test]
fn a_failing_store_and_a_failing_log_lose_nothing_and_count_nothing_twice() {
    for fault in [ApplyFault::Before, ApplyFault::After] {
        let bus = Bus::new(2);
        let store = FaultyStore::new(memory());
        bus.activate(1);
        let mut subscriber = bus.subscriber(store.clone());
        settle(&mut subscriber);
        for n in 0..5 {
            for key in ["a", "b", "c"] {
                bus.put(1, key, value(key, n));
            }
            bus.put(1, "c", None);
            store.next_applies(&[fault]);
            assert!(matches!(subscriber.turn(Duration::ZERO), Err(SubscribeError::Store { .. })), "{fault:?}");
            bus.log.faults().next_reads(1);
            assert!(matches!(subscriber.turn(Duration::ZERO), Err(SubscribeError::Read { .. })), "{fault:?}");
            settle(&mut subscriber);
        }
        assert_eq!(keys(&*store), ["a", "b"]);
        assert_eq!(counted(&subscriber), (2, 7, 8, 5), "{fault:?}");
        assert_eq!(stats(&subscriber).failures, 10);
    }
}

#[test]
fn a_store_that_goes_away_is_missed_while_nothing_is_to_be_written() {
    let bus = Bus::new(1);
    let store = FaultyStore::new(memory());
    bus.activate(1);
    bus.put(1, "a", value("a", 1));
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    store.is_gone.store(true, Ordering::Relaxed);
    // Not at every turn: a server is asked once a second.
    settle(&mut subscriber);
    bus.advance(1_000);
    assert!(matches!(subscriber.turn(Duration::ZERO), Err(SubscribeError::Store { .. })));
    assert!(stats(&subscriber).waiting.unwrap().contains("failed to be reached"));
    store.is_gone.store(false, Ordering::Relaxed);
    bus.advance(1_000);
    settle(&mut subscriber);
    assert_eq!((stats(&subscriber).waiting, counted(&subscriber)), (None, (1, 1, 0, 0)));
}

#[test]
fn a_renewal_refills_nothing() {
    let bus = Bus::new(1);
    let store = memory();
    bus.activate(1);
    bus.put(1, "a", value("a", 1));
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    let first = shown(&*store).unwrap().generation;
    bus.tell_card(&ViewCard { grant: GrantId::new("grant-2").unwrap(), ..bus.card(1) });
    settle(&mut subscriber);
    let info = shown(&*store).unwrap();
    assert_eq!((info.generation, info.card.grant.as_str()), (first, "grant-2"));
}

#[test]
fn a_copy_is_filled_again_on_request() {
    let bus = Bus::new(1);
    let store = memory();
    bus.activate(1);
    bus.put(1, "a", value("a", 1));
    bus.tell_positions(1, true);
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    // A row that somebody has put there.
    let info = shown(&*store).unwrap();
    let wrong = crate::stores::batch([("wrong", value("wrong", 1))]);
    store.apply(info.generation, &wrong, &info.progress).unwrap();
    subscriber.requests().refill(copy_id());
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a"]);
    assert_ne!(shown(&*store).unwrap().generation, info.generation);
}

#[test]
fn a_copy_is_confirmed_with_its_digest_at_the_place_that_was_told() {
    let bus = Bus::new(2);
    let store = memory();
    bus.activate(1);
    for key in ["a", "b", "c"] {
        bus.put(1, key, value(key, 1));
    }
    let config = kenh_consumers::subscriber::Config {
        confirm_every: Some(Duration::from_secs(60)),
        ..bus.config(store.clone())
    };
    let mut subscriber = Subscriber::open(config.clone()).unwrap();
    settle(&mut subscriber);
    assert!(bus.confirmations().is_empty(), "confirmed as of a place that nobody has told of");
    bus.tell_positions(1, true);
    settle(&mut subscriber);
    let said = bus.confirmations();
    assert_eq!(said.len(), 1);
    let mut digest = SetDigest::new(&Secret::new([7; 32]));
    for key in ["a", "b", "c"] {
        digest.add(key.as_bytes(), &value(key, 1).unwrap());
    }
    let Claim::Holds { reached, rows, digest: hex, checkpoint: None } = &said[0].claim else { panic!() };
    assert_eq!((reached.len(), *rows, hex), (2, 3, &digest.hex()));
    assert_eq!(Copy::new(store.clone(), copy_id()).digest().unwrap().hex, digest.hex());

    // Nothing new, then something new but too soon, then it is time; and a restart knows.
    bus.advance(60_000);
    let mut subscriber = Subscriber::open(config).unwrap();
    settle(&mut subscriber);
    bus.put(1, "d", value("d", 1));
    settle(&mut subscriber);
    assert_eq!(bus.confirmations().len(), 1, "confirmed with rows behind the place that was told");
    bus.tell_positions(1, true);
    settle(&mut subscriber);
    assert_eq!(bus.confirmations().len(), 2);
    bus.put(1, "d", None);
    bus.tell_positions(1, true);
    settle(&mut subscriber);
    assert_eq!(bus.confirmations().len(), 2, "confirmed more often than stated");
    subscriber.requests().confirm(copy_id());
    settle(&mut subscriber);
    let said = bus.confirmations();
    let Claim::Holds { digest: again, .. } = &said[2].claim else { panic!() };
    assert_eq!((said.len(), again), (3, &digest.hex()), "the same rows have the same digest");
}

#[test]
fn a_busy_copy_is_confirmed_at_a_place_that_was_told() {
    let bus = Bus::new(2);
    let store = memory();
    bus.activate(1);
    for key in ["a", "b"] {
        bus.put(1, key, value(key, 1));
    }
    bus.tell_positions(1, true);
    let mut subscriber = bus.subscriber(store.clone());
    settle(&mut subscriber);
    // Always something behind the place that is told of.
    bus.put(1, "c", value("c", 1));
    settle(&mut subscriber);
    subscriber.requests().confirm(copy_id());
    settle(&mut subscriber);
    bus.put(1, "d", value("d", 1));
    bus.put(1, "a", None);
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["a", "b", "c"], "records are not held back");
    bus.tell_positions(1, true);
    bus.put(1, "e", value("e", 1));
    bus.put(1, "b", None);
    settle(&mut subscriber);
    let said = bus.confirmations();
    assert_eq!(said.len(), 1);
    let Claim::Holds { rows, digest: hex, .. } = &said[0].claim else { panic!() };
    let mut digest = SetDigest::new(&Secret::new([7; 32]));
    for key in ["b", "c", "d"] {
        digest.add(key.as_bytes(), &value(key, 1).unwrap());
    }
    assert_eq!((*rows, hex), (3, &digest.hex()));
    assert_eq!(keys(&*store), ["c", "d", "e"], "what was held back is applied afterwards");
    assert_eq!(counted(&subscriber), (3, 5, 0, 2));

    // A bus that tells nothing more does not keep rows from the copy.
    subscriber.requests().confirm(copy_id());
    settle(&mut subscriber);
    bus.put(1, "f", value("f", 1));
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["c", "d", "e"]);
    bus.advance(5_000);
    settle(&mut subscriber);
    bus.put(1, "g", value("g", 1));
    settle(&mut subscriber);
    assert_eq!(keys(&*store), ["c", "d", "e", "f", "g"]);
    assert_eq!(bus.confirmations().len(), 1);
}

#[test]
fn a_notice_of_a_newer_release_is_left_alone() {
    let bus = Bus::new(1);
    let newer = ViewCard { format: kenh_domain::notice::FORMAT + 1, ..bus.card(1) };
    bus.tell_card(&newer);
    bus.notice("card/x".into(), b"{".to_vec());
    bus.notice("later/x".into(), b"{}".to_vec());
    let foreign = ViewCard { agency: kenh_domain::names::Agency::new("G01").unwrap(), ..card(1, 1) };
    bus.notice(card_key(&foreign.dataset, &foreign.view, Edition(9)), serde_json::to_vec(&foreign).unwrap());
    let mut subscriber = bus.subscriber(memory());
    settle(&mut subscriber);
    assert_eq!(stats(&subscriber).copies, []);
}

#[test]
fn it_runs_until_it_is_told_to_stop_and_gets_over_failures() {
    let bus = Bus::new(1);
    let dir = tempfile::tempdir().unwrap();
    let store = FaultyStore::new(sled(dir.path()).unwrap());
    store.next_applies(&[ApplyFault::After, ApplyFault::Before]);
    bus.activate(1);
    bus.put(1, "a", value("a", 1));
    bus.tell_positions(1, true);
    bus.log.faults().next_reads(1);
    let backoff =
        kenh_consumers::subscriber::Backoff { first: Duration::from_millis(1), most: Duration::from_millis(2) };
    let config = kenh_consumers::subscriber::Config { backoff, ..bus.config(store.clone()) };
    let mut subscriber = Subscriber::open(config).unwrap();
    let stats = subscriber.stats();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| subscriber.run(&stop));
        let deadline = Instant::now() + kenh_testkit::PATIENCE;
        let live = || stats.lock().unwrap().copies.first().is_some_and(|copy| copy.complete && copy.rows == 1);
        while !live() {
            assert!(Instant::now() < deadline, "{:?}", stats.lock().unwrap());
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap();
    });
    assert_eq!((keys(&*store), stats.lock().unwrap().failures), (vec!["a".into()], 3));
}

/// One step of the property below.
#[derive(Debug, Clone)]
enum Op {
    Put(u8, i64),
    Remove(u8),
    Tell,
    Turn,
    Restart,
    StoreFails(bool),
    LogFails,
    Deny(bool),
    Confirm,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..8_u8, any::<i64>()).prop_map(|(key, so)| Op::Put(key, so)),
        4 => (0..8_u8).prop_map(Op::Remove),
        2 => Just(Op::Tell),
        8 => Just(Op::Turn),
        1 => Just(Op::Restart),
        1 => any::<bool>().prop_map(Op::StoreFails),
        1 => Just(Op::LogFails),
        1 => any::<bool>().prop_map(Op::Deny),
        1 => Just(Op::Confirm),
    ]
}

fn digest_of(rows: &BTreeMap<String, Bytes>) -> String {
    let mut digest = SetDigest::new(&Secret::new([7; 32]));
    rows.iter().for_each(|(key, value)| digest.add(key.as_bytes(), value));
    digest.hex()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Whatever fails and whenever it is started again: at the end the copy holds what the view says, and has counted
    /// each record once.
    #[test]
    fn whatever_happens_the_copy_is_right(ops in prop::collection::vec(op(), 1..80), fill_bytes in 1..400_usize) {
        let bus = Bus::new(3);
        let store = FaultyStore::new(memory());
        let open = || {
            let config = kenh_consumers::subscriber::Config { fill_bytes, ..bus.config(store.clone()) };
            Subscriber::open(config).unwrap()
        };
        bus.activate(1);
        let mut subscriber = open();
        let mut model: BTreeMap<String, Bytes> = BTreeMap::new();
        let mut counters = Counters::default();
        let mut told: BTreeMap<u64, String> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Put(key, so) => {
                    let key = format!("k{key}");
                    let value = row(&key, None, so);
                    bus.put(1, &key, Some(value.clone()));
                    match model.insert(key, value) {
                        None => counters.inserted += 1,
                        Some(_) => counters.updated += 1,
                    }
                }
                Op::Remove(key) => {
                    let key = format!("k{key}");
                    bus.put(1, &key, None);
                    counters.left += u64::from(model.remove(&key).is_some());
                }
                Op::Tell => {
                    let sequence = bus.tell_positions(1, true);
                    told.insert(sequence, digest_of(&model));
                }
                Op::Turn => drop(subscriber.turn(Duration::ZERO)),
                Op::Restart => subscriber = open(),
                Op::StoreFails(after) => {
                    store.next_applies(&[if after { ApplyFault::After } else { ApplyFault::Before }]);
                }
                Op::LogFails => bus.log.faults().next_reads(1),
                Op::Confirm => subscriber.requests().confirm(copy_id()),
                Op::Deny(on) => {
                    bus.log.faults().deny_reads(&bus.view_topic(1), on);
                    bus.advance(RETRY_MS);
                }
            }
        }
        bus.log.faults().deny_reads(&bus.view_topic(1), false);
        let sequence = bus.tell_positions(1, true);
        told.insert(sequence, digest_of(&model));
        bus.advance(10 * RETRY_MS);
        // What is still to fail fails, and then nothing does.
        while subscriber.turn(Duration::ZERO).is_err() {}
        for _ in 0..200 {
            drop(subscriber.turn(Duration::ZERO));
        }
        settle(&mut subscriber);
        let info = shown(&*store).unwrap();
        let held: Vec<(Bytes, Bytes)> = model.into_iter().map(|(key, value)| (key.into(), value)).collect();
        prop_assert_eq!(rows(&*store, info.generation), &held[..]);
        counters.rows = held.len() as u64;
        counters.bytes = held.iter().map(|(k, v)| (k.len() + v.len()) as u64).sum();
        prop_assert_eq!(info.counters, counters);
        prop_assert!(copy_stats(&subscriber).complete);
        // Whatever was confirmed is what the view was at that place.
        for said in bus.confirmations() {
            let Claim::Holds { reached, digest, .. } = said.claim else { panic!() };
            prop_assert_eq!(reached.len(), 3);
            prop_assert!(reached.iter().all(|r| r.sequence == reached[0].sequence), "all partitions are told of at once");
            prop_assert_eq!(&digest, &told[&reached[0].sequence.0]);
        }
    }
}
