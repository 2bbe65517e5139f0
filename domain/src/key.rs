//! Record keys: their text, their partition, their pseudonym, their hash in memory.

use std::hash::Hasher;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::secret::Secret;
use crate::topic::Partition;

/// murmur2 as Kafka's Java client computes it (`org.apache.kafka.common.utils.Utils.murmur2`, seed 0x9747b28c).
#[must_use]
pub fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    #[expect(clippy::cast_possible_truncation, reason = "the algorithm mixes the length modulo 2^32")]
    let mut h = 0x9747_b28c_u32 ^ key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

/// The partition of a record key among `partitions` (at least 1): murmur2 with the sign bit cleared, modulo, as Kafka's
/// own default partitioner does, so that foreign producers agree with us.
#[must_use]
pub fn partition(key: &[u8], partitions: u32) -> Partition {
    Partition((murmur2(key) & 0x7fff_ffff) % partitions.max(1))
}

/// One part of a composite record key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPart<'a> {
    /// Text, and dates in their `YYYY-MM-DD` form.
    Text(&'a str),
    /// A whole number.
    Int(i64),
}

/// Appends the record key of `parts` to `out`: one part as it is; several as the RFC 8785 (JCS) array of them.
///
/// A whole number beyond 2^53 is written in full: RFC 8785 would round it, and two records would share a key.
pub fn put_record_key(parts: &[KeyPart<'_>], out: &mut Vec<u8>) {
    if let [one] = parts {
        match one {
            KeyPart::Text(text) => out.extend_from_slice(text.as_bytes()),
            KeyPart::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
        }
        return;
    }
    out.push(b'[');
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        match part {
            KeyPart::Text(text) => put_json_string(text, out),
            KeyPart::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
        }
    }
    out.push(b']');
}

/// A JSON string with the escapes of RFC 8785 section 3.2.2.2 and no others.
fn put_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            0x00..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// The pseudonym of a record key: base64url of HMAC-SHA-256 under a secret per recipient and purpose, cut to 128 bits
/// (22 characters).
#[must_use]
pub fn pseudonym(secret: &Secret, record_key: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&secret.mac(record_key)[..16])
}

/// Appends what [`pseudonym`] gives, without allocating for it.
pub fn put_pseudonym(secret: &Secret, record_key: &[u8], out: &mut Vec<u8>) {
    let mut text = [0; 22];
    pseudonym_into(secret, record_key, &mut text);
    out.extend_from_slice(&text);
}

/// Writes what [`pseudonym`] gives.
pub(crate) fn pseudonym_into(secret: &Secret, record_key: &[u8], out: &mut [u8; 22]) {
    let written = URL_SAFE_NO_PAD.encode_slice(&secret.mac(record_key)[..16], out);
    debug_assert_eq!(written.ok(), Some(22), "16 bytes are 22 characters");
}

/// A 128-bit keyed hash (`SipHash-1-3`), for state in memory: an outsider who does not know `secret` cannot make two
/// record keys or contents collide.
#[must_use]
pub fn hash128(secret: &Secret, bytes: &[u8]) -> u128 {
    let mut key = [0u8; 16];
    key.copy_from_slice(&secret.expose()[..16]);
    let mut hasher = SipHasher13::new_with_key(&key);
    hasher.write(bytes);
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn murmur2_equals_kafkas_own_test_vectors() {
        // From org.apache.kafka.common.utils.UtilsTest.testMurmur2.
        for (text, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            #[expect(clippy::cast_possible_wrap, reason = "Java prints the same bits signed")]
            let ours = murmur2(text.as_bytes()) as i32;
            assert_eq!(ours, hash, "{text}");
        }
    }

    fn text_key(parts: &[KeyPart<'_>]) -> String {
        let mut out = Vec::new();
        put_record_key(parts, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_single_key_is_bare_and_a_composite_one_is_an_array() {
        assert_eq!(text_key(&[KeyPart::Text("001204012345")]), "001204012345");
        assert_eq!(text_key(&[KeyPart::Text("00001"), KeyPart::Text("2025-07-01")]), "[\"00001\",\"2025-07-01\"]");
        assert_eq!(text_key(&[KeyPart::Text("a"), KeyPart::Int(-7)]), "[\"a\",-7]");
    }

    proptest! {
        #[test]
        fn a_composite_key_is_the_jcs_form(texts in prop::collection::vec(any::<String>(), 2..4)) {
            let parts: Vec<_> = texts.iter().map(|t| KeyPart::Text(t)).collect();
            let oracle = serde_json_canonicalizer::to_string(&texts);
            prop_assert_eq!(Some(text_key(&parts)), oracle.ok());
        }
    }
}
