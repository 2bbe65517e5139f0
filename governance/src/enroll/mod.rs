//! Enrolment: how a system of an agency, or a role of the bus, comes by its certificate.
//!
//! 1. [`request`]: a key is made on the system's own machine and never leaves it. What leaves is a request: the public key
//!    and the system's name, signed with the key.
//! 2. Whoever made it reads the request's [`Fingerprint`] to an operator over another way than the file came by; the
//!    operator types what he hears.
//! 3. [`Authority::sign`]: if it is the request's, the bus's CA signs. The serial is one more than the system's last, by the
//!    CA's [`Register`].
//! 4. The certificate goes back; the control role puts its serial in force.
//!
//! Nothing of a request but name and key gets into a certificate: what it may be used for, for how long and with which
//! serial is said here. No I/O and no clock: files are the caller's business.

mod register;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use kenh_domain::identity::{Identity, Serial};
use kenh_domain::names::Principal;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub use register::{Issued, Register, RegisterError};

/// Most days that a certificate of a system lives: a stolen key of which nobody knows is of no use after that.
pub const MAX_DAYS: u16 = 90;
/// Days that the CA's own certificate lives.
const CA_DAYS: u16 = 3650;
/// Most bytes of a request file; ours have some 400.
pub const MAX_REQUEST_BYTES: usize = 16 << 10;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The SHA-256 of a request's public key. Its text is sixteen groups of four hexadecimal digits, to be read aloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, pair) in self.0.chunks(2).enumerate() {
            let space = if n > 0 { " " } else { "" };
            write!(f, "{space}")?;
            pair.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 hexadecimal digits, in groups or not: all of them, as the other side reads them")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits: Vec<u8> = text.bytes().filter(|b| !matches!(b, b' ' | b':' | b'-')).collect();
        let digit = |b: u8| (b as char).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(FingerprintError);
        if digits.len() != 64 {
            return Err(FingerprintError);
        }
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(out))
    }
}

/// Why a request cannot be made or taken.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It is no request, or its signature is not its key's.
    #[error(
        "this is no certificate request that was signed with its own key: make it again with `kenh enroll request`"
    )]
    Unreadable(#[source] rcgen::Error),
    /// Its subject is not CN=system and nothing else.
    #[error("the request names no system of the bus: its subject must be CN=<system> and nothing else")]
    Subject,
    /// It is larger than any of ours.
    #[error("the request has more than {MAX_REQUEST_BYTES} bytes")]
    TooLarge,
    /// No key could be made.
    #[error("no key could be made")]
    Key(#[source] rcgen::Error),
}

/// A new key and a request for it.
pub struct Requested {
    /// The private key, PKCS#8 in PEM: for a file that its owner alone reads.
    pub key_pem: Zeroizing<String>,
    /// The request in PEM: nothing in it is secret.
    pub request_pem: String,
    /// To be read to the operator.
    pub fingerprint: Fingerprint,
}

/// Makes a key (ECDSA, P-256) and a request for a system.
///
/// # Errors
/// [`RequestError::Key`].
pub fn request(system: &Principal) -> Result<Requested, RequestError> {
    let key = KeyPair::generate().map_err(RequestError::Key)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, system.as_str());
    let request = params.serialize_request(&key).and_then(|r| r.pem()).map_err(RequestError::Key)?;
    let fingerprint = Request::read(&request)?.fingerprint();
    Ok(Requested { key_pem: Zeroizing::new(key.serialize_pem()), request_pem: request, fingerprint })
}

/// A request that was signed with the key it names.
pub struct Request {
    system: Principal,
    public: rcgen::PublicKey,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn read(pem: &str) -> Result<Self, RequestError> {
        if pem.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLarge);
        }
        let read = CertificateSigningRequestParams::from_pem(pem).map_err(RequestError::Unreadable)?;
        let mut parts = read.params.distinguished_name.iter();
        let (Some((DnType::CommonName, name)), None) = (parts.next(), parts.next()) else {
            return Err(RequestError::Subject);
        };
        let name = match name {
            DnValue::Utf8String(text) => text.as_str(),
            DnValue::PrintableString(text) => text.as_str(),
            _ => return Err(RequestError::Subject),
        };
        let system = name.parse().map_err(|_| RequestError::Subject)?;
        Ok(Self { system, public: read.public_key })
    }

    /// For which system.
    #[must_use]
    pub const fn system(&self) -> &Principal {
        &self.system
    }

    /// Of its public key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(self.public.der_bytes()).into())
    }
}

/// Why a certificate was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// What the operator was told is not the request's fingerprint.
    #[error(
        "the fingerprint is not that of this request: somebody may have put another one in its place; nothing was signed"
    )]
    Fingerprint,
    /// Too long, or no time at all.
    #[error("{0} days: a certificate lives from 1 to {MAX_DAYS} days")]
    Days(u16),
    /// The time given is outside of what a certificate can say.
    #[error("the clock is wrong: a certificate cannot say that time")]
    Clock,
    /// The CA's files are not what they should be.
    #[error("the files of the CA cannot be used: is the key the certificate's?")]
    Authority(#[source] rcgen::Error),
    /// Signing failed.
    #[error("the certificate could not be signed")]
    Sign(#[source] rcgen::Error),
}

/// The bus's CA.
pub struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// Makes a CA: its key (PKCS#8, PEM) and its certificate. It signs certificates of systems and no further CA.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn make(name: &str, now_ms: i64) -> Result<(Zeroizing<String>, String), SignError> {
        let key = KeyPair::generate().map_err(SignError::Authority)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (day(now_ms, 0)?, day(now_ms, CA_DAYS)?);
        let certificate = params.self_signed(&key).map_err(SignError::Sign)?;
        Ok((Zeroizing::new(key.serialize_pem()), certificate.pem()))
    }

    /// Takes a CA's key and certificate.
    ///
    /// # Errors
    /// [`SignError::Authority`].
    pub fn open(key_pem: &str, certificate_pem: &str) -> Result<Self, SignError> {
        let key = KeyPair::from_pem(key_pem).map_err(SignError::Authority)?;
        let public = key.public_key_raw().to_vec();
        let of_certificate = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes())
            .ok()
            .and_then(|(_, pem)| pem.parse_x509().ok().map(|c| c.public_key().subject_public_key.data.to_vec()));
        if of_certificate != Some(public) {
            return Err(SignError::Authority(rcgen::Error::CouldNotParseCertificate));
        }
        Issuer::from_ca_cert_pem(certificate_pem, key).map(Self).map_err(SignError::Authority)
    }

    /// Signs a request, if `confirmed` is its fingerprint: a certificate in PEM for `CN=<system>,OU=<serial>`, good from the
    /// beginning of the day of `now_ms` (milliseconds since 1970, UTC) for `days` days, and for `hosts` (the names that it
    /// listens as; most systems listen nowhere). The caller notes the serial before the certificate leaves his hands.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(
        &self,
        request: Request,
        confirmed: &Fingerprint,
        serial: Serial,
        hosts: &[SanType],
        now_ms: i64,
        days: u16,
    ) -> Result<String, SignError> {
        if request.fingerprint() != *confirmed {
            return Err(SignError::Fingerprint);
        }
        if !(1..=MAX_DAYS).contains(&days) {
            return Err(SignError::Days(days));
        }
        let identity = Identity { system: request.system.clone(), serial };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // RFC 2253 writes the last part first.
        params.distinguished_name.push(DnType::OrganizationalUnitName, serial.to_string());
        params.distinguished_name.push(DnType::CommonName, identity.system.as_str());
        params.subject_alt_names = hosts.to_vec();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !hosts.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (day(now_ms, 0)?, day(now_ms, days)?);
        // What X.509 calls serial is a number of the CA's, of 16 bytes: here of who, which and what key.
        let mut number: [u8; 32] =
            Sha256::new().chain_update(identity.to_string()).chain_update(confirmed.0).finalize().into();
        // Neither negative nor shorter than it seems.
        number[0] = number[0] & 0x3f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&number[..16]));
        let signed = CertificateSigningRequestParams { params, public_key: request.public };
        Ok(signed.signed_by(&self.0).map_err(SignError::Sign)?.pem())
    }
}

/// A name that a system listens as: an IP address, or a DNS name.
///
/// # Errors
/// [`HostError`].
pub fn host(text: &str) -> Result<SanType, HostError> {
    if let Ok(address) = text.parse() {
        return Ok(SanType::IpAddress(address));
    }
    let label = |l: &str| {
        (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !l.starts_with('-')
    };
    if text.len() > 253 || !text.split('.').all(label) {
        return Err(HostError);
    }
    text.try_into().map(SanType::DnsName).map_err(|_| HostError)
}

/// A text that is no host's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a host is an IP address or a DNS name, without wildcards")]
pub struct HostError;

/// The beginning of a day so many days after the one of a time.
fn day(ms: i64, days: u16) -> Result<time::OffsetDateTime, SignError> {
    let seconds = (ms.div_euclid(DAY_MS) + i64::from(days)) * (DAY_MS / 1000);
    time::OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| SignError::Clock)
}
