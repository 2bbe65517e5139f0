//! Who a certificate is: a system, and which of its certificates.
//!
//! The subject of a certificate on the bus is `CN=<system>,OU=<serial>` and nothing else (as RFC 2253 writes it; in the
//! certificate itself the OU comes first). Serials of a system rise; which of them are in force is kept by the control
//! role, so that a certificate can be taken back before it ends.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::Principal;

/// Which certificate of a system: 1 for its first, then rising. At most nine digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Serial(u32);

/// The highest serial there can be.
const MAX_SERIAL: u32 = 999_999_999;

impl Serial {
    /// The first of a system.
    pub const FIRST: Self = Self(1);

    /// Checks and takes a number.
    ///
    /// # Errors
    /// [`IdentityError`] for 0 and for more than nine digits.
    pub fn new(number: u32) -> Result<Self, IdentityError> {
        if (1..=MAX_SERIAL).contains(&number) { Ok(Self(number)) } else { Err(IdentityError) }
    }

    /// The one after this; none after the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Self::new(self.0 + 1).ok()
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u32> for Serial {
    type Error = IdentityError;
    fn try_from(number: u32) -> Result<Self, IdentityError> {
        Self::new(number)
    }
}

impl From<Serial> for u32 {
    fn from(serial: Serial) -> Self {
        serial.0
    }
}

/// A system with the serial of one of its certificates. Its text is the certificate's subject: `CN=h29-portal,OU=3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Which system, or which role of the bus.
    pub system: Principal,
    /// Which of its certificates.
    pub serial: Serial,
}

/// A text or number that no certificate of the bus has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the subject of a certificate on the bus is CN=<system>,OU=<serial> and nothing else, serials from 1 on")]
pub struct IdentityError;

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CN={},OU={}", self.system, self.serial)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let (system, serial) = text.strip_prefix("CN=").and_then(|t| t.split_once(",OU=")).ok_or(IdentityError)?;
        let identity = Self {
            system: system.parse().map_err(|_| IdentityError)?,
            serial: Serial::new(serial.parse().map_err(|_| IdentityError)?)?,
        };
        // One text per identity: "+3" and "03" are numbers too.
        if identity.to_string() == text { Ok(identity) } else { Err(IdentityError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_one_text_only() {
        let good = "CN=h29-portal,OU=3";
        assert_eq!(good.parse::<Identity>().map(|i| i.to_string()), Ok(good.into()));
        for bad in [
            "",
            "h29-portal",
            "CN=h29-portal",
            "OU=3,CN=h29-portal",
            "CN=h29-portal,OU=0",
            "CN=h29-portal,OU=03",
            "CN=h29-portal,OU=+3",
            "CN=h29-portal,OU=1000000000",
            "CN=h29-portal,OU=3,O=x",
            "CN=h29 portal,OU=3",
            "CN=,OU=3",
            "CN=a,OU=1,OU=3",
            "cn=h29-portal,ou=3",
        ] {
            assert_eq!(bad.parse::<Identity>(), Err(IdentityError), "{bad:?} was taken");
        }
    }

    #[test]
    fn serials_rise_to_an_end() {
        assert_eq!(Serial::FIRST.next().map(Serial::get), Some(2));
        assert_eq!(Serial::new(MAX_SERIAL).map(Serial::next), Ok(None));
        assert!(serde_json::from_str::<Serial>("0").is_err());
    }
}
