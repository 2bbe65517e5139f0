//! What the router knows of every record key of one data partition.
//!
//! Keys, owners and contents are kept as keyed hashes and numbers, never as they are. One key takes about 112 bytes with
//! up to four holdings: 104 of entry, the rest index and slack (a test below holds it). The table is split into
//! 256 shards behind `Arc`s: growing one moves a 256th of it, and a [`State::clone`] is 256 reference counts, so that an
//! image is written from a clone on another thread while the loop copies only the shards it changes meanwhile.
//!
//! No key is ever forgotten: the highest version of a cancelled record must be known for as long as there is a log.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use kenh_domain::control::ViewNo;
use kenh_domain::frame::{Sequence, Version};
use kenh_domain::route::Holding;
use smallvec::SmallVec;

/// Shards of a state: by the top eight bits of the hash.
const SHARDS: usize = 256;
/// Holdings kept inside an entry; records that more views hold have theirs beside it.
pub(crate) const INLINE: usize = 4;
/// In [`Entry::held`]: the holdings lie beside the entry.
const SPILLED: u8 = u8::MAX;

/// A 128-bit keyed hash of a record key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHash(pub u128);

impl std::hash::Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        #[expect(clippy::cast_possible_truncation, reason = "the low half of a keyed hash is a hash")]
        state.write_u64(self.0 as u64);
    }
}

/// The hasher for [`KeyHash`], which is a keyed hash already: takes it as it is.
#[derive(Default)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

/// A map by [`KeyHash`].
pub type ByKey<V> = HashMap<KeyHash, V, BuildHasherDefault<AsIs>>;

/// What is known of one record key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Who owns it: index into the engine's list of owners.
    pub owner: u16,
    /// Whether its latest change cancelled it.
    pub cancelled: bool,
    /// Sequence of its latest admitted change.
    pub sequence: Sequence,
    /// Its highest version.
    pub version: Version,
    /// Keyed digest of that version's content.
    pub content: u128,
    /// The views that hold it, by view number.
    pub holdings: SmallVec<[Holding; INLINE]>,
}

/// A holding without padding: 12 bytes.
#[derive(Clone, Copy, Default)]
struct Short {
    view: u32,
    low: u32,
    high: u32,
}

impl From<Holding> for Short {
    #[expect(clippy::cast_possible_truncation, reason = "split into its halves")]
    fn from(h: Holding) -> Self {
        Self { view: h.view.0, low: h.digest as u32, high: (h.digest >> 32) as u32 }
    }
}

impl From<Short> for Holding {
    fn from(s: Short) -> Self {
        Self { view: ViewNo(s.view), digest: u64::from(s.high) << 32 | u64::from(s.low) }
    }
}

/// One record key as it lies in memory: 104 bytes.
#[derive(Clone)]
struct Entry {
    hash: [u64; 2],
    content: [u64; 2],
    sequence: u64,
    version: u64,
    epoch: u32,
    owner: u16,
    cancelled: bool,
    /// How many holdings lie in `inline`, or [`SPILLED`].
    held: u8,
    inline: [Short; INLINE],
}

#[expect(clippy::cast_possible_truncation, reason = "split into its halves")]
const fn halves(n: u128) -> [u64; 2] {
    [n as u64, (n >> 64) as u64]
}

const fn joined([low, high]: [u64; 2]) -> u128 {
    (high as u128) << 64 | low as u128
}

/// A 256th of the table: entries in the order they came, found through an open-addressing index of their numbers.
#[derive(Clone, Default)]
struct Shard {
    /// Power of two long; 0 is free, n is entry n - 1.
    index: Vec<u32>,
    entries: Vec<Entry>,
    spilled: HashMap<u32, Box<[Short]>>,
    /// Holdings in `spilled`, all together.
    spilled_holdings: usize,
}

impl Shard {
    /// The number of the entry of `hash`, or the free slot of the index where it would go.
    fn find(&self, hash: [u64; 2]) -> Result<usize, usize> {
        let mask = self.index.len().wrapping_sub(1);
        if self.index.is_empty() {
            return Err(0);
        }
        #[expect(clippy::cast_possible_truncation, reason = "masked at once")]
        let mut slot = hash[0] as usize & mask;
        loop {
            match self.index[slot] {
                0 => return Err(slot),
                n if self.entries[n as usize - 1].hash == hash => return Ok(n as usize - 1),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn get(&self, hash: [u64; 2]) -> Option<Known> {
        let number = self.find(hash).ok()?;
        Some(self.known(number))
    }

    fn known(&self, number: usize) -> Known {
        let e = &self.entries[number];
        let shorts = if e.held == SPILLED {
            #[expect(clippy::cast_possible_truncation, reason = "a shard holds less than 2^32 entries")]
            self.spilled.get(&(number as u32)).map_or(&[][..], |all| all)
        } else {
            &e.inline[..usize::from(e.held)]
        };
        Known {
            owner: e.owner,
            cancelled: e.cancelled,
            sequence: Sequence(e.sequence),
            version: Version { epoch: e.epoch, version: e.version },
            content: joined(e.content),
            holdings: shorts.iter().map(|s| Holding::from(*s)).collect(),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a shard holds less than 2^32 entries, a record that many views"
    )]
    fn put(&mut self, hash: [u64; 2], known: &Known) {
        let mut entry = Entry {
            hash,
            content: halves(known.content),
            sequence: known.sequence.0,
            version: known.version.version,
            epoch: known.version.epoch,
            owner: known.owner,
            cancelled: known.cancelled,
            held: SPILLED,
            inline: [Short::default(); INLINE],
        };
        let spills = known.holdings.len() > INLINE;
        if !spills {
            entry.held = known.holdings.len() as u8;
            for (short, holding) in entry.inline.iter_mut().zip(&known.holdings) {
                *short = Short::from(*holding);
            }
        }
        let number = match self.find(hash) {
            Ok(number) => {
                if self.entries[number].held == SPILLED && !spills {
                    self.spilled_holdings -= self.spilled.remove(&(number as u32)).map_or(0, |before| before.len());
                }
                self.entries[number] = entry;
                number
            }
            Err(_) => self.add(entry),
        };
        if spills {
            let shorts = known.holdings.iter().map(|h| Short::from(*h)).collect();
            let before = self.spilled.insert(number as u32, shorts);
            self.spilled_holdings += known.holdings.len();
            self.spilled_holdings -= before.map_or(0, |before| before.len());
        }
    }

    fn add(&mut self, entry: Entry) -> usize {
        // At most four fifths full, so that a search ends after a few steps.
        if (self.entries.len() + 1) * 5 > self.index.len() * 4 {
            self.index = vec![0; (self.index.len() * 2).max(16)];
            for number in 0..self.entries.len() {
                self.point_at(number);
            }
        }
        if self.entries.len() == self.entries.capacity() {
            // An eighth more at a time: doubling would leave a quarter of all memory unused on average.
            self.entries.reserve_exact((self.entries.len() / 8).max(8));
        }
        self.entries.push(entry);
        self.point_at(self.entries.len() - 1);
        self.entries.len() - 1
    }

    #[expect(clippy::cast_possible_truncation, reason = "a shard holds less than 2^32 entries")]
    fn point_at(&mut self, number: usize) {
        if let Err(slot) = self.find(self.entries[number].hash) {
            self.index[slot] = number as u32 + 1;
        }
    }

    /// Bytes allocated, without looking at each entry.
    fn bytes(&self) -> usize {
        self.index.capacity() * size_of::<u32>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.spilled.capacity() * (size_of::<(u32, Box<[Short]>)>() + 1)
            + self.spilled_holdings * size_of::<Short>()
    }
}

/// The table of one data partition. Cloning shares every shard until one side changes it.
#[derive(Clone)]
pub struct State {
    shards: Vec<Arc<Shard>>,
    len: usize,
    bytes: usize,
}

impl Default for State {
    fn default() -> Self {
        Self { shards: std::iter::repeat_n(Arc::new(Shard::default()), SHARDS).collect(), len: 0, bytes: 0 }
    }
}

impl State {
    const fn shard(hash: KeyHash) -> usize {
        (hash.0 >> 120) as usize
    }

    /// What is known of a record key.
    #[must_use]
    pub fn get(&self, hash: KeyHash) -> Option<Known> {
        self.shards[Self::shard(hash)].get(halves(hash.0))
    }

    /// Puts what is known of a record key.
    pub fn put(&mut self, hash: KeyHash, known: &Known) {
        let shard = Arc::make_mut(&mut self.shards[Self::shard(hash)]);
        let (len, bytes) = (shard.entries.len(), shard.bytes());
        shard.put(halves(hash.0), known);
        self.len += shard.entries.len() - len;
        self.bytes = self.bytes - bytes + shard.bytes();
    }

    /// How many record keys are known.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes allocated for the table, as if no clone shared any of it.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Everything, shard by shard; the order within a shard is the order in which the keys came.
    pub fn iter(&self) -> impl Iterator<Item = (KeyHash, Known)> + '_ {
        self.shards.iter().flat_map(|s| (0..s.entries.len()).map(|n| (KeyHash(joined(s.entries[n].hash)), s.known(n))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn known(sequence: u64, holdings: usize) -> Known {
        let holdings = (0..holdings as u32).map(|v| Holding { view: ViewNo(v), digest: u64::MAX - u64::from(v) });
        Known {
            owner: 3,
            cancelled: sequence.is_multiple_of(2),
            sequence: Sequence(sequence),
            version: Version { epoch: 1, version: sequence },
            content: u128::from(sequence) << 70 | 5,
            holdings: holdings.collect(),
        }
    }

    #[test]
    fn an_entry_is_104_bytes() {
        assert_eq!(size_of::<Entry>(), 104);
    }

    /// The aim of the design: 128 bytes a key at four holdings, wherever growth happens to stand.
    #[test]
    fn a_key_with_four_holdings_takes_at_most_128_bytes() {
        let mut state = State::default();
        let mut most = 0;
        for n in 0..400_000u64 {
            let hash = kenh_domain::key::hash128(&kenh_domain::secret::Secret::new([1; 32]), &n.to_be_bytes());
            state.put(KeyHash(hash), &known(n, INLINE));
            if n > 50_000 && n.is_multiple_of(1_000) {
                most = most.max(state.bytes() / state.len());
            }
        }
        assert_eq!(state.len(), 400_000);
        assert!(most <= 128, "{most} bytes a key");
        println!("at the most {most} bytes a key, at 400,000 keys {}", state.bytes() / state.len());
    }

    #[test]
    fn a_clone_does_not_see_what_came_after_it() {
        let mut state = State::default();
        state.put(KeyHash(7), &known(1, 2));
        let before = state.clone();
        state.put(KeyHash(7), &known(2, 9));
        state.put(KeyHash(8), &known(3, 0));
        assert_eq!((before.len(), before.get(KeyHash(7))), (1, Some(known(1, 2))));
        assert_eq!((state.len(), state.get(KeyHash(7))), (2, Some(known(2, 9))));
    }

    proptest! {
        /// Few distinct keys and colliding low halves, so that probing, replacing and spilling all happen.
        #[test]
        fn it_is_a_map(puts in prop::collection::vec((0u128..4, 0u128..40, 1u64..1000, 0usize..8), 0..300)) {
            let mut state = State::default();
            let mut oracle = BTreeMap::new();
            for (shard, low, sequence, holdings) in puts {
                let hash = KeyHash(shard << 120 | (low / 8) << 64 | (low % 8));
                state.put(hash, &known(sequence, holdings));
                oracle.insert(hash, known(sequence, holdings));
                prop_assert_eq!(state.get(hash), oracle.get(&hash).cloned());
            }
            let beside: usize = oracle.values().map(|k| k.holdings.len()).filter(|n| *n > INLINE).sum();
            prop_assert_eq!(state.shards.iter().map(|s| s.spilled_holdings).sum::<usize>(), beside);
            prop_assert_eq!(state.bytes(), state.shards.iter().map(|s| s.bytes()).sum::<usize>());
            prop_assert_eq!(state.len(), oracle.len());
            prop_assert_eq!(state.iter().collect::<BTreeMap<_, _>>(), oracle);
        }
    }
}
