//! The digest of a view's rows: equal for equal sets of (record key, value), whatever the order in which they were
//! stored or scanned.
//!
//! Construction, number 1:
//! - of a row: `h = HMAC-SHA-256(secret, u32 length of the key, big-endian ‖ key ‖ value)`, as a 256-bit number;
//! - of a bucket (256 of them, by the low byte of murmur2 of the key): the number of rows, and the sum of their `h`
//!   modulo 2^256;
//! - of the view: SHA-256 of the byte 1 and, for each bucket in order, the number of rows (u64, big-endian) and the sum
//!   (32 bytes, big-endian).
//!
//! This is MSet-Add-Hash of Clarke, Devadas, van Dijk, Gassend and Suh, "Incremental Multiset Hash Functions and Their
//! Application to Memory Integrity Checking" (ASIACRYPT 2003), with HMAC as the keyed function. Who does not know the
//! secret can neither make two sets of the same digest nor learn a row from one. Who knows it (the agency itself and the
//! bus) could, by about 2^32 work (Wagner's generalised birthday), make a wrong set of the right digest; but a digest
//! proves nothing against its own writer anyway, who can compute it from the right rows and hold others. It finds
//! mistakes; what was made available is proven by the view's tree.
//!
//! A sum costs 10 KiB of memory whatever the size of the view. Buckets let two sides find where they differ.

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};

use crate::key::murmur2;
use crate::secret::Secret;

/// The number of the construction.
pub const CONSTRUCTION: u8 = 1;
/// Buckets.
pub const BUCKETS: usize = 256;

/// A digest in the making. `Debug` shows no secret.
#[derive(Clone)]
pub struct SetDigest {
    keyed: Hmac<Sha256>,
    buckets: Box<[Bucket]>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Bucket {
    rows: u64,
    /// Least significant first.
    sum: [u64; 4],
}

impl SetDigest {
    /// Of no rows, under the secret of the view's card.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let keyed = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("any key length is valid");
        Self { keyed, buckets: vec![Bucket::default(); BUCKETS].into() }
    }

    /// Adds a row: its record key, and its value as it stands in the view's topic.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut mac = self.keyed.clone();
        // Record keys are at most a kilobyte (limits.rs).
        mac.update(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
        mac.update(key);
        mac.update(value);
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        if let Some(bucket) = self.buckets.get_mut(murmur2(key) as usize % BUCKETS) {
            bucket.add(&hash);
        }
    }

    /// Rows added.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.buckets.iter().map(|b| b.rows).sum()
    }

    /// The digest.
    #[must_use]
    pub fn finish(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update([CONSTRUCTION]);
        for bucket in &self.buckets {
            hasher.update(bucket.rows.to_be_bytes());
            bucket.sum.iter().rev().for_each(|limb| hasher.update(limb.to_be_bytes()));
        }
        hasher.finalize().into()
    }

    /// The digest as 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.finish().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The buckets in which two digests under one secret differ.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Vec<usize> {
        let pairs = self.buckets.iter().zip(&other.buckets).enumerate();
        pairs.filter(|(_, (a, b))| a != b).map(|(i, _)| i).collect()
    }
}

impl std::fmt::Debug for SetDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SetDigest({} rows)", self.rows())
    }
}

impl Bucket {
    fn add(&mut self, hash: &[u8; 32]) {
        self.rows += 1;
        let mut carry = false;
        for (limb, bytes) in self.sum.iter_mut().zip(hash.rchunks_exact(8)) {
            let addend = bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
            let (sum, over) = limb.overflowing_add(addend);
            let (sum, over_by_carry) = sum.overflowing_add(carry.into());
            *limb = sum;
            carry = over || over_by_carry;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(rows: &[(Vec<u8>, Vec<u8>)]) -> SetDigest {
        let mut digest = SetDigest::new(&Secret::new([3; 32]));
        rows.iter().for_each(|(key, value)| digest.add(key, value));
        digest
    }

    /// Construction 1, as it stays; computed apart from this code (Python's hmac and integers of any size).
    #[test]
    fn the_digest_of_construction_1_stays() {
        assert_eq!(of(&[]).hex(), EMPTY);
        let rows: Vec<_> = (0..1000_u32).map(|i| (i.to_string().into_bytes(), vec![b'v'; i as usize % 7])).collect();
        assert_eq!(of(&rows).hex(), THOUSAND);
    }

    const EMPTY: &str = "e716ebdbf7da367070f95f5d8822b6f51996e63a4766a30cf85dcd70259fa03f";
    const THOUSAND: &str = "527908264dd49da309048b63df92503686f6fae3bcedb3c94182e06f78803d2d";

    #[test]
    fn a_byte_moved_from_key_to_value_shows() {
        let a = of(&[(b"ab".to_vec(), b"c".to_vec())]);
        assert_ne!(a.finish(), of(&[(b"a".to_vec(), b"bc".to_vec())]).finish());
        let mut other = SetDigest::new(&Secret::new([4; 32]));
        other.add(b"ab", b"c");
        assert_ne!(a.finish(), other.finish(), "the secret does not matter");
    }

    #[test]
    fn two_sides_find_the_bucket_in_which_they_differ() {
        let rows: Vec<_> = (0..500_u32).map(|i| (i.to_string().into_bytes(), vec![1])).collect();
        let mut wrong = rows.clone();
        wrong[250].1 = vec![2];
        assert_eq!(of(&rows).differing(&of(&wrong)), [murmur2(b"250") as usize % BUCKETS]);
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_content_does(
            rows in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..5), prop::collection::vec(any::<u8>(), 0..5)), 1..40),
            shift in 0..40_usize,
        ) {
            let mut turned = rows.clone();
            turned.rotate_left(shift % rows.len());
            turned.reverse();
            prop_assert_eq!(of(&rows).finish(), of(&turned).finish());
            prop_assert_ne!(of(&rows).finish(), of(&rows[1..]).finish());
        }
    }
}
