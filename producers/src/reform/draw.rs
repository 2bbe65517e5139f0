//! Chance from a seed. Each person has streams of their own, so that anyone can be made without the others before them,
//! and a draw that is added to one purpose changes nothing in another.
//!
//! ChaCha8 is specified, unlike "the standard generator" of a library: the same seed gives the same people in every
//! release.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// Place of registration, province of birth, sex, year of birth: what the personal ID is made of.
    Identity = 0,
    /// Everything else that a person has from the start.
    Facts = 1,
    /// The successors of the communes.
    Reform = 2,
    /// Moving house.
    Move = 3,
    /// What belongs to nobody: index 0 only.
    Common = 4,
}

/// The source of all streams of one seed.
#[derive(Debug, Clone)]
pub(super) struct Seeded(ChaCha8Rng);

impl Seeded {
    pub(super) fn new(seed: u64) -> Self {
        let mut key = *b"--------kenh: reform day, people";
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// The stream of person `index` for `purpose`, from its start.
    pub(super) fn stream(&self, index: u64, purpose: Purpose) -> Draw {
        let mut rng = self.0.clone();
        rng.set_stream(index << 3 | purpose as u64);
        Draw(rng)
    }
}

/// One stream.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// A whole number below `bound`; 0 where the bound is 0. Uniform but for one part in 2^64 / `bound` (Lemire, "Fast
    /// Random Integer Generation in an Interval", without its rejection step).
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.0.next_u64()) * bound as u128;
        #[expect(clippy::cast_possible_truncation, reason = "the upper half of the product is below the bound")]
        let drawn = (wide >> 64) as usize;
        drawn
    }

    /// A whole number from `low` to `high`, both included.
    pub(super) fn within(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True in `share` of 1,000 cases.
    pub(super) fn permille(&mut self, share: usize) -> bool {
        self.below(1_000) < share
    }

    /// One of a list that is not empty.
    pub(super) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// One of a list that is not empty, by weight.
    pub(super) fn weighted<'a, T>(&mut self, list: &'a [(T, usize)]) -> &'a T {
        let mut rest = self.below(list.iter().map(|(_, weight)| weight).sum());
        for (item, weight) in list {
            if rest < *weight {
                return item;
            }
            rest -= weight;
        }
        &list[0].0
    }

    /// `count` digits, the first perhaps 0.
    pub(super) fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b"0123456789"[self.below(10)])).collect()
    }
}
