//! Whose a certificate is: the one place that reads the subject of one. Whether somebody of the bus's CA signed it is for
//! whoever speaks TLS.

use kenh_domain::identity::{Identity, IdentityError};
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATIONAL_UNIT};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

/// What a certificate of the bus says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is, and which of his.
    pub identity: Identity,
    /// Its last second: milliseconds since 1970 (UTC).
    pub until_ms: i64,
}

/// Why a certificate is of nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is no certificate in DER.
    #[error("this is no certificate")]
    Unreadable,
    /// Its subject is another.
    #[error(transparent)]
    Subject(IdentityError),
}

impl Certificate {
    /// Reads a certificate in DER (RFC 5280).
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::Unreadable)?;
        let identity = identity_of(certificate.subject()).map_err(CertificateError::Subject)?;
        Ok(Self { identity, until_ms: certificate.validity().not_after.timestamp().saturating_mul(1000) })
    }
}

/// A subject that is one OU and one CN, in this order, and nothing else.
fn identity_of(subject: &X509Name<'_>) -> Result<Identity, IdentityError> {
    let mut parts = subject.iter();
    let mut part = |kind| {
        let rdn = parts.next().ok_or(IdentityError)?;
        let mut attributes = rdn.iter();
        match (attributes.next(), attributes.next()) {
            (Some(only), None) if *only.attr_type() == kind => only.as_str().map_err(|_| IdentityError),
            _ => Err(IdentityError),
        }
    };
    let serial = part(OID_X509_ORGANIZATIONAL_UNIT)?;
    let system = part(OID_X509_COMMON_NAME)?;
    if parts.next().is_some() {
        return Err(IdentityError);
    }
    format!("CN={system},OU={serial}").parse()
}
