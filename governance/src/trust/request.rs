//! An event on its way to those who sign it: a file that anybody may carry, and that a machine without configuration,
//! network or log can sign.
//!
//! The file is JSON: the bus it is for, the event word for word, the page that people read (where there is one), and the
//! signatures so far. Its format number is its own. Carrying it gives no power: what counts is decided by whoever folds
//! the control log, and a signature over a changed event is none.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kenh_domain::control::{ControlError, ControlEvent, ControlRecord, ControlSet, FORMAT as CONTROL_FORMAT, Trust};
use kenh_domain::limits::{MAX_CARRIED_MS, MAX_CONTROL_BYTES, MAX_SIGNATURES};
use kenh_domain::log::{Log, Position};
use kenh_domain::trust::{Nonce, PublicKey, Signature};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::key::{KeyError, PrivateKey, nonce};
use crate::control_log::{AppendError, append, bootstrap, load, write};

/// The format number of request files that this release writes.
const FORMAT: u32 = 1;
/// Largest request file: an event, its page, and room.
const MAX_FILE_BYTES: u64 = 2 * MAX_CONTROL_BYTES as u64;

/// The digest of a bus's genesis, which every signature is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusId(pub [u8; 32]);

impl std::str::FromStr for BusId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<PublicKey>().map(|same_form| Self(same_form.0))
    }
}

impl std::fmt::Display for BusId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Request {
    format: u32,
    /// Digest of the genesis of the bus it is for, in hexadecimal.
    pub bus: String,
    /// The event, as it will stand in the log. It is kept as it was written: signatures are over that.
    pub event: Value,
    /// The page on which a proposal was read (Markdown), for whoever signs a proposal or a vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// Signatures so far.
    #[serde(default)]
    pub signatures: Vec<Signature>,
}

/// Why a request could not be read, signed or kept.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The file cannot be read or written.
    #[error("request file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not a request of this format.
    #[error("this is no request to sign: {0}")]
    NotARequest(String),
    /// The page is not the one that the event names.
    #[error(
        "the page in this file is not the one that the event names: whoever carried it changed one of them; sign nothing"
    )]
    OtherPage,
    /// This person has signed it.
    #[error("{0} has signed this already; a decision of two is signed by two persons")]
    SignedAlready(String),
    /// The key is no part of it: somebody else's vote, for instance.
    #[error("this is for {wanted} to sign, and the key is {key}'s")]
    NotYours {
        /// Whose act it is.
        wanted: String,
        /// Whose key it is.
        key: String,
    },
    /// There is no room for more.
    #[error("it has {MAX_SIGNATURES} signatures, the most that a control record takes")]
    Full,
    /// The end is not in the future, or too far in it.
    #[error("a signature is valid for at least a minute and at most {} days", MAX_CARRIED_MS / 86_400_000)]
    Validity,
    /// The key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Request {
    /// An event for a bus, not signed yet.
    ///
    /// # Errors
    /// [`RequestError::NotARequest`]: the event cannot be written as JSON.
    pub fn new(set: &ControlSet, event: &ControlEvent, page: Option<String>) -> Result<Self, RequestError> {
        Self::of(BusId(set.bus), event, page)
    }

    /// An event for the bus of that name, as `kenh roster found` and `kenh roster show` print it.
    ///
    /// # Errors
    /// [`RequestError::NotARequest`]: the event cannot be written as JSON.
    pub fn of(bus: BusId, event: &ControlEvent, page: Option<String>) -> Result<Self, RequestError> {
        let event = serde_json::to_value(event).map_err(|e| RequestError::NotARequest(e.to_string()))?;
        let request = Self { format: FORMAT, bus: bus.to_string(), event, page, signatures: Vec::new() };
        request.check()?;
        Ok(request)
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn read(path: &Path) -> Result<Self, RequestError> {
        let failed = |source| RequestError::File { path: path.into(), source };
        if fs::metadata(path).map_err(failed)?.len() > MAX_FILE_BYTES {
            return Err(RequestError::NotARequest(format!("the file has more than {MAX_FILE_BYTES} bytes")));
        }
        Self::parse(&fs::read(path).map_err(failed)?)
    }

    /// Reads the bytes of a request file.
    ///
    /// # Errors
    /// [`RequestError::NotARequest`], [`RequestError::OtherPage`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        let request: Self = serde_json::from_slice(bytes).map_err(|e| RequestError::NotARequest(e.to_string()))?;
        request.check()?;
        Ok(request)
    }

    /// Writes it, whole or not at all: a new file takes the place of the one before.
    ///
    /// # Errors
    /// [`RequestError::File`].
    pub fn write(&self, path: &Path) -> Result<(), RequestError> {
        let failed = |source: io::Error| RequestError::File { path: path.into(), source };
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| failed(e.into()))?;
        text.push(b'\n');
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let mut file = fs::File::create(&beside).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&beside, path).map_err(failed)
    }

    /// The event, as this release understands it.
    ///
    /// # Errors
    /// [`RequestError::NotARequest`].
    pub fn event(&self) -> Result<ControlEvent, RequestError> {
        serde_json::from_value(self.event.clone()).map_err(|e| RequestError::NotARequest(e.to_string()))
    }

    fn check(&self) -> Result<(), RequestError> {
        if self.format != FORMAT {
            return Err(RequestError::NotARequest(format!(
                "it has format {}; this release reads {FORMAT}",
                self.format
            )));
        }
        self.bus_digest()?;
        let event = self.event()?;
        // What this release does not understand would be signed unread.
        if serde_json::to_value(&event).ok().as_ref() != Some(&self.event) {
            return Err(RequestError::NotARequest(
                "it says more than this release understands: use a newer kenh".into(),
            ));
        }
        let named = match &event {
            ControlEvent::Proposal(proposal) => Some(&proposal.page_sha256),
            ControlEvent::Vote(vote) => Some(&vote.page_sha256),
            _ => None,
        };
        match (&self.page, named) {
            (Some(page), Some(named)) if hex(&Sha256::digest(page)) == *named => Ok(()),
            (None, _) => Ok(()),
            _ => Err(RequestError::OtherPage),
        }
    }

    fn bus_digest(&self) -> Result<[u8; 32], RequestError> {
        let BusId(digest) =
            self.bus.parse().map_err(|why: String| RequestError::NotARequest(format!("`bus` is {why}")))?;
        Ok(digest)
    }

    /// Adds a signature that holds from `now_ms` for `valid_ms` (milliseconds), with a nonce of its own.
    ///
    /// # Errors
    /// [`RequestError`]; nothing was added.
    pub fn sign(&mut self, key: &PrivateKey, now_ms: i64, valid_ms: i64) -> Result<(), RequestError> {
        self.sign_with(key, nonce()?, now_ms, valid_ms)
    }

    /// [`Request::sign`] with a given nonce, which must never have been used with this key.
    ///
    /// # Errors
    /// [`RequestError`]; nothing was added.
    pub fn sign_with(
        &mut self,
        key: &PrivateKey,
        nonce: Nonce,
        now_ms: i64,
        valid_ms: i64,
    ) -> Result<(), RequestError> {
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(RequestError::Full);
        }
        // Longer than it may be carried by the time it is appended would be refused there.
        if !(60_000..=MAX_CARRIED_MS).contains(&valid_ms) {
            return Err(RequestError::Validity);
        }
        let event = self.event()?;
        let whose = key.person().map_or_else(|| "the root".to_owned(), ToString::to_string);
        let wanted = match &event {
            ControlEvent::Proposal(proposal) => Some(Some(&proposal.author)),
            ControlEvent::Vote(vote) => Some(Some(&vote.person)),
            ControlEvent::Rotation { person, .. } => Some(Some(person)),
            ControlEvent::Roster(_) | ControlEvent::Root { .. } | ControlEvent::Spare { .. } => Some(None),
            _ => None,
        };
        if let Some(wanted) = wanted
            && wanted != key.person()
        {
            let wanted = wanted.map_or_else(|| "the root".to_owned(), ToString::to_string);
            return Err(RequestError::NotYours { wanted, key: whose });
        }
        let twice = |s: &Signature| match event {
            ControlEvent::Rotation { .. } | ControlEvent::Root { .. } | ControlEvent::Spare { .. } => {
                s.key == key.public()
            }
            _ => s.person.as_ref() == key.person(),
        };
        if self.signatures.iter().any(twice) {
            return Err(RequestError::SignedAlready(whose));
        }
        let bus = self.bus_digest()?;
        self.signatures.push(key.sign(&bus, &self.event, nonce, now_ms.saturating_add(valid_ms))?);
        Ok(())
    }

    /// The record that it becomes when it is appended at `at_ms` (milliseconds since 1970, UTC).
    ///
    /// # Errors
    /// [`RequestError::NotARequest`].
    pub fn record(&self, at_ms: i64) -> Result<ControlRecord, RequestError> {
        let signatures = self.signatures.clone();
        Ok(ControlRecord { format: CONTROL_FORMAT, at_ms, event: self.event()?, signatures })
    }
}

/// Why a request was not handed in.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// It is for another bus.
    #[error("this is for the bus {wanted}, and this bus is {is}")]
    OtherBus {
        /// For which.
        wanted: String,
        /// Which this is.
        is: String,
    },
    /// It would not count. Nothing was appended.
    #[error("it would not count: {0}")]
    Refused(ControlError),
    /// The request itself.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The log failed.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl SubmitError {
    /// Whether a rule refused it (nothing was changed), as opposed to a failure of the log.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Append(_))
    }
}

/// Appends a request as it stands, carried by anybody; answers the end of the control log after it. What would not count
/// is not appended.
///
/// # Errors
/// [`SubmitError`].
pub fn submit(log: &dyn Log, request: &Request, now_ms: i64) -> Result<Position, SubmitError> {
    let set = load(log).map_err(AppendError::from)?;
    let is = hex(&set.bus);
    if request.bus != is {
        return Err(SubmitError::OtherBus { wanted: request.bus.clone(), is });
    }
    // A clock that was set back does not make a decision look older than the one before it.
    let record = request.record(now_ms.max(set.at_ms))?;
    would_count(&set, &record).map_err(SubmitError::Refused)?;
    Ok(write(log, vec![record])?)
}

/// Why a bus was not founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// There is one already.
    #[error("this bus has begun already, {0}, and that is for ever; a new one needs a new log")]
    There(&'static str),
    /// No point of the curve, or one that anybody can sign for.
    #[error("{0} is no public key that a signature could be checked against; `kenh key new --root` makes one")]
    Key(PublicKey),
    /// The log failed.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Begins a new bus whose decisions count only with signatures that lead back to `root`. Answers what they are bound to.
///
/// # Errors
/// [`FoundError`].
pub fn found(log: &dyn Log, root: PublicKey, now_ms: i64) -> Result<BusId, FoundError> {
    if !root.is_sound() {
        return Err(FoundError::Key(root));
    }
    match load(log).map_err(AppendError::from)?.trust {
        Some(Trust::Unsigned) => return Err(FoundError::There("unsigned")),
        Some(Trust::Root(_)) => return Err(FoundError::There("with a root")),
        None => {}
    }
    bootstrap(log).map_err(AppendError::from)?;
    append(log, vec![ControlEvent::Genesis { trust: Trust::Root(root) }], now_ms)?;
    Ok(BusId(load(log).map_err(AppendError::from)?.bus))
}

/// Whether a record would count after what a control set holds.
///
/// # Errors
/// [`ControlError`], as the fold would have it.
pub fn would_count(set: &ControlSet, record: &ControlRecord) -> Result<(), ControlError> {
    let position = Position(set.position.0 + 1);
    let bytes = serde_json::to_vec(record).map_err(|source| ControlError::Unreadable { position, source })?;
    set.clone().apply(position, &bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
