//! How often somebody may ask: per system, and per address where nobody knows who it is. And what else is kept of each
//! system: how much it has under way, and its tickets.
//!
//! What is kept of addresses has a fixed size, whoever comes: addresses that meet in one place share its rate.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kenh_domain::names::Principal;
use tokio::sync::Semaphore;

use super::views::Tickets;

/// For an address: connections, health, and requests of whoever is not let in. A whole agency may come from one.
const OF_ADDRESS: Rate = Rate { per_second: 200, at_once: 400 };
/// For a system. A look-up takes up to 1,000 keys, so that this is no bound of what an agency can learn.
const OF_SYSTEM: Rate = Rate { per_second: 100, at_once: 200 };
/// Requests that a system may have under way.
const UNDER_WAY: usize = 8;
/// Tickets that are remembered for a system.
const TICKETS: usize = 1_000;
/// Places for addresses.
const PLACES: usize = 4_096;

/// So many a second, and so many at once after a pause.
#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: u32,
    at_once: u32,
}

/// How far ahead of the clock somebody has asked: the time at which all of it would have been due (GCRA, as of ITU-T I.371).
#[derive(Debug, Clone, Copy)]
struct Due(Instant);

impl Due {
    /// Takes one, or says after how long there is one.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let each = Duration::from_secs(1) / rate.per_second;
        let due = self.0.max(now);
        let ahead = (due + each).saturating_duration_since(now);
        let most = each * rate.at_once;
        if ahead > most {
            return Err(ahead.saturating_sub(most));
        }
        self.0 = due + each;
        Ok(())
    }
}

/// Who is counted as one: an IPv4 address, or the /64 of an IPv6 address, of which a single machine has all.
pub fn place_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
        four @ IpAddr::V4(_) => four,
    }
}

/// Rates of addresses.
pub struct Addresses {
    places: Mutex<Vec<Due>>,
    // Keyed anew in each process: nobody can choose addresses that meet another's.
    hasher: RandomState,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { places: Mutex::new(vec![Due(Instant::now()); PLACES]), hasher: RandomState::new() }
    }
}

impl Addresses {
    /// Takes one for an address, or says after how long there is one.
    pub fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        #[expect(clippy::cast_possible_truncation, reason = "cut to the number of places at once")]
        let place = self.hasher.hash_one(place_of(address)) as usize % PLACES;
        self.places.lock().unwrap_or_else(PoisonError::into_inner)[place].take(OF_ADDRESS, now)
    }
}

/// What is kept of a system.
pub struct Kept {
    due: Mutex<Due>,
    /// One for each request that may be under way.
    pub under_way: Arc<Semaphore>,
    /// Its cursors.
    pub tickets: Tickets,
}

impl Kept {
    fn new() -> Self {
        Self {
            due: Mutex::new(Due(Instant::now())),
            under_way: Arc::new(Semaphore::new(UNDER_WAY)),
            tickets: Tickets::new(TICKETS),
        }
    }

    /// Takes one, or says after how long there is one.
    pub fn take(&self, now: Instant) -> Result<(), Duration> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).take(OF_SYSTEM, now)
    }
}

/// What is kept of systems. Only those are in it that the control role has admitted.
#[derive(Default)]
pub struct Systems(Mutex<HashMap<Principal, Arc<Kept>>>);

impl Systems {
    /// Of one that has been let in.
    pub fn of(&self, system: &Principal) -> Arc<Kept> {
        let mut systems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        systems.entry(system.clone()).or_insert_with(|| Arc::new(Kept::new())).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: Rate = Rate { per_second: 10, at_once: 5 };

    #[test]
    fn so_many_at_once_and_then_one_after_the_other() {
        let start = Instant::now();
        let mut due = Due(start);
        for _ in 0..5 {
            assert_eq!(due.take(RATE, start), Ok(()));
        }
        assert_eq!(due.take(RATE, start), Err(Duration::from_millis(100)));
        let later = start + Duration::from_millis(100);
        assert_eq!(due.take(RATE, later), Ok(()));
        assert!(due.take(RATE, later).is_err());
        assert_eq!(
            due.take(RATE, later + Duration::from_secs(3600)),
            Ok(()),
            "a pause counts, and not for more than 5"
        );
    }

    proptest! {
        /// In no stretch of time more than what stands at its beginning and what comes in it; whoever waits as told is let in.
        #[test]
        fn never_more_than_the_rate(pauses in prop::collection::vec(0u64..400, 1..80)) {
            let start = Instant::now();
            let (mut due, mut now, mut taken) = (Due(start), start, Vec::new());
            for pause in pauses {
                now += Duration::from_millis(pause);
                match due.take(RATE, now) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        let mut waited = due;
                        prop_assert!(waited.take(RATE, now + wait).is_ok());
                    }
                }
            }
            for (i, from) in taken.iter().enumerate() {
                for (j, to) in taken.iter().enumerate().skip(i) {
                    let most = 5.0 + to.duration_since(*from).as_secs_f64() * 10.0;
                    prop_assert!((j - i + 1) as f64 <= most + 1e-6);
                }
            }
        }
    }

    #[test]
    fn an_address_has_one_place_and_others_have_others() {
        let addresses = Addresses::default();
        let now = Instant::now();
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        while addresses.take(of("2001:db8::1"), now).is_ok() {}
        assert!(addresses.take(of("2001:db8::ffff:1"), now).is_err(), "another address of the same /64");
        let free = (0..50).filter(|n| addresses.take(of(&format!("10.0.0.{n}")), now).is_ok()).count();
        assert!(free >= 45, "only {free} of 50 other addresses are let in");
        assert_eq!(place_of(of("::ffff:10.0.0.1")), of("10.0.0.1"));
    }
}
