//! A private key, and the file in which it lies.
//!
//! The key (Ed25519, RFC 8032) is made from the operating system's randomness and leaves memory zeroed. Its file is JSON,
//! readable by its owner alone, with the private half sealed under a passphrase: XChaCha20-Poly1305 (RFC 8439 with the
//! longer nonce of draft-irtf-cfrg-xchacha) under a key that argon2id (RFC 9106, its second recommended choice: 64 MiB,
//! three passes, four lanes) makes of the passphrase. What stands beside the seal in clear is bound to it, so that
//! nobody passes off one person's file as another's.
//!
//! It is not an agent: the key is open for as long as one command runs.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use ed25519_dalek::{Signer, SigningKey};
use kenh_domain::names::Person;
use kenh_domain::trust::signature::{SignatureBytes, canonical, signed_text};
use kenh_domain::trust::{Nonce, PublicKey, Signature};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

/// The format number of key files that this release writes.
const FORMAT: u32 = 1;
/// Fewest characters of a passphrase. The file may be copied and guessed at for years; twelve is what NIST SP 800-63B-4
/// and common sense ask of a secret that nothing else guards.
pub const MIN_PASSPHRASE_CHARS: usize = 12;
/// Memory for argon2id, in KiB.
const MEMORY_KIB: u32 = 64 << 10;
/// Passes.
const PASSES: u32 = 3;
/// Lanes.
const LANES: u32 = 4;
/// Most memory, passes and lanes that a file may ask for: a strange file must not take the machine.
const MOST: (u32, u32, u32) = (1 << 20, 16, 16);
/// Largest key file that is read; ours have some 500 bytes.
const MAX_FILE_BYTES: u64 = 16 << 10;

/// What opens a key file. `Debug` shows nothing; zeroed when dropped.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes it as it was typed.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// Why a key could not be made, kept, or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Random,
    /// Too easily guessed.
    #[error("the passphrase has fewer than {MIN_PASSPHRASE_CHARS} characters; take a longer one, such as five words")]
    Short,
    /// The file is there already, and a key is never written over.
    #[error("{0} is there already; a key is never written over: name another file")]
    Exists(PathBuf),
    /// The file cannot be read or written.
    #[error("key file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not a key file of this format.
    #[error("{0} is not a key file of this release; `kenh key new` makes one")]
    NotAKey(PathBuf),
    /// The passphrase is another, or the file was changed.
    #[error("the key does not open: the passphrase is another one, or the file was changed")]
    Sealed,
    /// The event has no canonical form.
    #[error("the event holds a number that JSON does not carry exactly, and cannot be signed")]
    NoCanonicalForm,
}

/// A private key and whose it is. `Debug` shows the public half; the private one is zeroed when dropped.
pub struct PrivateKey {
    person: Option<Person>,
    key: SigningKey,
}

impl PrivateKey {
    /// A new key for a person, or for the root where none is named.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate(person: Option<Person>) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        random(&mut *seed)?;
        Ok(Self::from_seed(person, &seed))
    }

    /// The key of 32 secret bytes (RFC 8032), as a test or another tool made them.
    #[must_use]
    pub fn from_seed(person: Option<Person>, seed: &[u8; 32]) -> Self {
        Self { person, key: SigningKey::from_bytes(seed) }
    }

    /// Whose it is; none: the root's.
    #[must_use]
    pub const fn person(&self) -> Option<&Person> {
        self.person.as_ref()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.key.verifying_key().to_bytes())
    }

    /// Signs an event for one bus, to be appended before `expires_ms` (milliseconds since 1970, UTC).
    ///
    /// # Errors
    /// [`KeyError::NoCanonicalForm`].
    pub fn sign(&self, bus: &[u8; 32], event: &Value, nonce: Nonce, expires_ms: i64) -> Result<Signature, KeyError> {
        let text = signed_text(bus, event, nonce, expires_ms).ok_or(KeyError::NoCanonicalForm)?;
        let signature = SignatureBytes(self.key.sign(&text).to_bytes());
        Ok(Signature { person: self.person.clone(), key: self.public(), nonce, expires_ms, signature })
    }

    /// The file that holds it, sealed.
    ///
    /// # Errors
    /// [`KeyError::Short`], [`KeyError::Random`].
    pub fn seal(&self, passphrase: &Passphrase) -> Result<KeyFile, KeyError> {
        if passphrase.0.chars().count() < MIN_PASSPHRASE_CHARS {
            return Err(KeyError::Short);
        }
        let (mut salt, mut nonce) = ([0; 16], [0; 24]);
        random(&mut salt)?;
        random(&mut nonce)?;
        let mut file = KeyFile {
            format: FORMAT,
            person: self.person.clone(),
            public: self.public(),
            argon2id: Stretch { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt: hex(&salt) },
            xchacha20poly1305: Seal { nonce: hex(&nonce), sealed: String::new() },
        };
        let cipher = file.cipher(passphrase)?;
        let mut seed = Zeroizing::new(self.key.to_bytes());
        let bound = file.bound()?;
        let sealed = cipher
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: &*seed, aad: &bound })
            .map_err(|_| KeyError::Sealed)?;
        seed.zeroize();
        file.xchacha20poly1305.sealed = hex(&sealed);
        Ok(file)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = self.person.as_ref().map_or("the root", Person::as_str);
        write!(f, "PrivateKey({whose}, {}, …)", self.public())
    }
}

/// 128 bits from the operating system, for one signature.
///
/// # Errors
/// [`KeyError::Random`].
pub fn nonce() -> Result<Nonce, KeyError> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    Ok(Nonce(bytes))
}

fn random(bytes: &mut [u8]) -> Result<(), KeyError> {
    getrandom::fill(bytes).map_err(|_| KeyError::Random)
}

/// A key file: whose the key is, its public half, and the sealed private one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KeyFile {
    format: u32,
    /// Whose; none: the root's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Person>,
    /// The public half, for the roster.
    pub public: PublicKey,
    argon2id: Stretch,
    xchacha20poly1305: Seal,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Stretch {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Seal {
    nonce: String,
    sealed: String,
}

impl KeyFile {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyError::File`], [`KeyError::NotAKey`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.into(), source };
        if fs::metadata(path).map_err(failed)?.len() > MAX_FILE_BYTES {
            return Err(KeyError::NotAKey(path.into()));
        }
        let bytes = fs::read(path).map_err(failed)?;
        let file: Self = serde_json::from_slice(&bytes).map_err(|_| KeyError::NotAKey(path.into()))?;
        let Stretch { memory_kib, passes, lanes, .. } = &file.argon2id;
        if file.format != FORMAT || *memory_kib > MOST.0 || *passes > MOST.1 || *lanes > MOST.2 {
            return Err(KeyError::NotAKey(path.into()));
        }
        Ok(file)
    }

    /// Writes it where nothing is yet, for its owner alone (mode 600), and durably.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::File`].
    pub fn write_new(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists(path.into()),
            _ => KeyError::File { path: path.into(), source },
        };
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| failed(e.into()))?;
        text.push(b'\n');
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`KeyError::Sealed`].
    pub fn open(&self, passphrase: &Passphrase) -> Result<PrivateKey, KeyError> {
        let nonce = bytes::<24>(&self.xchacha20poly1305.nonce)?;
        let sealed = bytes::<48>(&self.xchacha20poly1305.sealed)?;
        let bound = self.bound()?;
        let opened = self
            .cipher(passphrase)?
            .decrypt(XNonce::from_slice(&nonce), Payload { msg: &sealed, aad: &bound })
            .map(Zeroizing::new)
            .map_err(|_| KeyError::Sealed)?;
        let mut seed = Zeroizing::new([0; 32]);
        if opened.len() != seed.len() {
            return Err(KeyError::Sealed);
        }
        seed.copy_from_slice(&opened);
        let key = PrivateKey::from_seed(self.person.clone(), &seed);
        if key.public() == self.public { Ok(key) } else { Err(KeyError::Sealed) }
    }

    /// What stands in clear and is bound to the seal.
    fn bound(&self) -> Result<Vec<u8>, KeyError> {
        let head =
            json!({ "format": self.format, "person": self.person, "public": self.public, "argon2id": self.argon2id });
        canonical(&head).ok_or(KeyError::Sealed)
    }

    fn cipher(&self, passphrase: &Passphrase) -> Result<XChaCha20Poly1305, KeyError> {
        let Stretch { memory_kib, passes, lanes, salt } = &self.argon2id;
        let salt = bytes::<16>(salt)?;
        let params = Params::new(*memory_kib, *passes, *lanes, Some(32)).map_err(|_| KeyError::Sealed)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params)
            .hash_password_into(passphrase.0.as_bytes(), &salt, &mut *key)
            .map_err(|_| KeyError::Sealed)?;
        Ok(XChaCha20Poly1305::new((&*key).into()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Hexadecimal of exactly `N` bytes.
fn bytes<const N: usize>(text: &str) -> Result<[u8; N], KeyError> {
    let mut out = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return Err(KeyError::Sealed);
    }
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| KeyError::Sealed)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.into())
    }

    fn person(name: &str) -> Option<Person> {
        Some(Person::new(name).unwrap())
    }

    /// RFC 8032, 7.1, test 1.
    #[test]
    fn the_public_half_is_that_of_rfc_8032() {
        let seed = bytes::<32>("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let public = PrivateKey::from_seed(None, &seed).public();
        assert_eq!(public.to_string(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    }

    #[test]
    fn a_sealed_key_opens_with_its_passphrase_and_no_other() {
        let key = PrivateKey::generate(person("an")).unwrap();
        let file = key.seal(&passphrase("năm từ dài dài nữa")).unwrap();
        let open = file.open(&passphrase("năm từ dài dài nữa")).unwrap();
        assert_eq!((open.public(), open.person()), (key.public(), key.person()));
        assert!(matches!(file.open(&passphrase("năm từ dài dài nua")), Err(KeyError::Sealed)));
        assert!(matches!(key.seal(&passphrase("ngắn")), Err(KeyError::Short)));
        for changed in [
            KeyFile { person: person("binh"), ..file.clone() },
            KeyFile { person: None, ..file.clone() },
            KeyFile { public: PrivateKey::generate(None).unwrap().public(), ..file.clone() },
        ] {
            assert!(matches!(changed.open(&passphrase("năm từ dài dài nữa")), Err(KeyError::Sealed)), "{changed:?}");
        }
    }

    #[test]
    fn a_key_file_is_for_its_owner_alone_and_never_written_over() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("an.key");
        let key = PrivateKey::generate(person("an")).unwrap();
        let file = key.seal(&passphrase("one two three four")).unwrap();
        file.write_new(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(KeyFile::read(&path).unwrap(), file);
        assert!(matches!(file.write_new(&path), Err(KeyError::Exists(_))));

        let text = fs::read_to_string(&path).unwrap();
        for (what, wrong) in [
            ("a newer format", text.replace("\"format\": 1", "\"format\": 2")),
            ("more memory than a machine has", text.replace("65536", "4000000")),
            ("an unknown key", text.replace("\"format\"", "\"extra\": 1, \"format\"")),
            ("no JSON", "-----BEGIN".into()),
            ("too long", " ".repeat(20_000)),
        ] {
            fs::write(&path, wrong).unwrap();
            assert!(matches!(KeyFile::read(&path), Err(KeyError::NotAKey(_))), "{what} was taken");
        }
    }

    #[test]
    fn nothing_shows_a_private_key_or_a_passphrase() {
        let seed = [0x5a; 32];
        let key = PrivateKey::from_seed(person("an"), &seed);
        let words = passphrase("canary canary canary");
        let file = key.seal(&words).unwrap();
        let shown = format!("{key:?} {words:?} {file:?} {}", serde_json::to_string(&file).unwrap());
        for secret in ["canary", "5a5a5a5a", "90, 90, 90"] {
            assert!(!shown.contains(secret), "{secret} is shown");
        }
    }
}
