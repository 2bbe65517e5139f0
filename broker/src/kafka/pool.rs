//! Clients for readers, kept for the next one: making a client takes threads, connections and metadata, and closing one
//! takes 100 ms in rdkafka. A kept one has no partitions and fetches nothing.
//!
//! The broker answers a connection's requests one after the other. A client that has just been given back may have a fetch
//! there that waits for records; it rests until that is over.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;

use super::Options;
use super::fetch::Fetcher;
use super::settings::FETCH_WAIT_MS;

/// Most clients that are kept without work: each has two threads and a connection to every broker.
const IDLE: usize = 8;
/// How long a client rests.
const REST: Duration = Duration::from_millis(FETCH_WAIT_MS as u64);

pub struct Pool {
    options: Options,
    /// And since when; the one that has rested longest first.
    idle: Mutex<VecDeque<(Instant, Fetcher)>>,
}

impl Pool {
    pub fn new(options: &Options) -> Self {
        Self { options: options.clone(), idle: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Instant, Fetcher)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client of these partitions, each from an offset.
    pub fn take(&self, from: &[(String, i32, i64)]) -> Result<Fetcher, KafkaError> {
        let rested = self.lock().pop_front_if(|(since, _)| since.elapsed() >= REST);
        let mut fetcher = match rested {
            Some((_, fetcher)) => fetcher,
            None => Fetcher::new(&self.options, "kenh-read")?,
        };
        fetcher.assign(from)?;
        Ok(fetcher)
    }

    pub fn give_back(&self, mut fetcher: Fetcher) {
        if fetcher.release() {
            let mut idle = self.lock();
            if idle.len() < IDLE {
                idle.push_back((Instant::now(), fetcher));
                return;
            }
        }
        // Closing takes its time: the reader's owner need not wait for it. Where no thread can be had it does.
        let closing = std::thread::Builder::new().name("kenh-close".into());
        if let Err(error) = closing.spawn(move || drop(fetcher)) {
            tracing::debug!(%error, "a client of a reader was closed in the reader's own thread");
        }
    }
}
