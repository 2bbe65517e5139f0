//! Cursors: where a page ended, as text that is opaque to whoever carries it.
//!
//! Format 1, base64url of: byte 1, the edition (u32, big-endian), the number of the index value (u32, big-endian; 0 where
//! no index is used), the record key of the last row. Where the page ended before the first row of that value there is no
//! key, and the highest bit of the number says so. A cursor holds a record key: it travels in a body, not in a URL,
//! wherever the data is personal (invariant 7).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kenh_domain::limits::MAX_KEY_BYTES;
use kenh_domain::topic::Edition;

const FORMAT: u8 = 1;
const HEAD: usize = 9;
const NO_KEY: u32 = 1 << 31;

/// Where a page ended. `Debug` shows no key.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(super) edition: Edition,
    pub(super) step: u32,
    /// None: before the first row of the step.
    pub(super) key: Option<Vec<u8>>,
}

/// A text that is no cursor of this release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor that a page was answered with; start without one")]
pub struct CursorError;

impl std::str::FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text.len() > (HEAD + MAX_KEY_BYTES) * 2 {
            return Err(CursorError);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        match bytes.as_slice() {
            [FORMAT, a, b, c, d, e, f, g, h, key @ ..] => {
                let step = u32::from_be_bytes([*e, *f, *g, *h]);
                let no_key = step & NO_KEY != 0;
                if no_key && !key.is_empty() {
                    return Err(CursorError);
                }
                Ok(Self {
                    edition: Edition(u32::from_be_bytes([*a, *b, *c, *d])),
                    step: step & !NO_KEY,
                    key: (!no_key).then(|| key.to_vec()),
                })
            }
            _ => Err(CursorError),
        }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = Vec::new();
        bytes.push(FORMAT);
        bytes.extend_from_slice(&self.edition.0.to_be_bytes());
        let no_key = if self.key.is_none() { NO_KEY } else { 0 };
        bytes.extend_from_slice(&(self.step | no_key).to_be_bytes());
        bytes.extend_from_slice(self.key.as_deref().unwrap_or_default());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cursor(edition {}, step {})", self.edition, self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_other_texts_are_refused() {
        // Format 1, as it stays.
        let formats = [(Some(b"k".to_vec()), "AQAAAAMAAAABaw"), (Some(vec![]), "AQAAAAMAAAAB"), (None, "AQAAAAOAAAAB")];
        for (key, text) in formats {
            let cursor = Cursor { edition: Edition(3), step: 1, key };
            assert_eq!(cursor.to_string(), text);
            assert_eq!(text.parse::<Cursor>(), Ok(cursor));
        }
        for bad in ["", "AgAAAAMAAAABaw", "AQAAAAOAAAABaw", "AQ", "#", &"A".repeat(4000)] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError), "{bad} was taken");
        }
    }
}
