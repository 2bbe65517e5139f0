//! What a CA has signed: one line of JSON each, in order. It says which serial comes next, so that none is given twice.

use std::collections::BTreeMap;

use kenh_domain::identity::Serial;
use kenh_domain::names::Principal;
use serde::{Deserialize, Serialize};

/// One certificate that was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// The number of this format: 1.
    pub format: u32,
    /// For which system.
    pub system: Principal,
    /// Which of its certificates.
    pub serial: Serial,
    /// The fingerprint of its key, as people read it.
    pub fingerprint: String,
    /// When it was signed (milliseconds since 1970, UTC).
    pub at_ms: i64,
    /// For how many days from the beginning of that day.
    pub days: u16,
}

/// The number of the format.
const FORMAT: u32 = 1;

impl Issued {
    /// Its line, with the line's end.
    #[must_use]
    pub fn line(&self) -> String {
        // A struct of texts and numbers has a JSON form.
        serde_json::to_string(self).map(|line| line + "\n").unwrap_or_default()
    }
}

/// Why a register cannot be used. Nothing is signed by one that is in doubt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// A line is none of ours.
    #[error("line {line} of the register of certificates cannot be read ({reason}): restore it from a copy")]
    Line {
        /// Which, from 1 on.
        line: usize,
        /// What the reader said.
        reason: String,
    },
    /// A serial does not rise.
    #[error("line {line} of the register: serial {serial} of {system} was there before; restore it from a copy")]
    Order {
        /// Which, from 1 on.
        line: usize,
        /// Of which system.
        system: Principal,
        /// The serial.
        serial: Serial,
    },
    /// A system has had them all.
    #[error("{0} has had every serial there is")]
    Full(Principal),
}

/// Everything that a CA has signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Register {
    last: BTreeMap<Principal, Serial>,
}

impl Register {
    /// Reads a register; an empty text is one of a CA that has signed nothing. A line that was cut off (the machine stopped
    /// while it was written) is one that cannot be read.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn read(text: &str) -> Result<Self, RegisterError> {
        let mut register = Self::default();
        for (line, text) in (1..).zip(text.lines()) {
            let wrong = |reason: String| RegisterError::Line { line, reason };
            let issued: Issued = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
            if issued.format != FORMAT {
                return Err(wrong(format!("format {}; this release knows {FORMAT}", issued.format)));
            }
            let before = register.last.insert(issued.system.clone(), issued.serial);
            if before.is_some_and(|before| before >= issued.serial) {
                return Err(RegisterError::Order { line, system: issued.system, serial: issued.serial });
            }
        }
        Ok(register)
    }

    /// The serial of a system's next certificate.
    ///
    /// # Errors
    /// [`RegisterError::Full`].
    pub fn next(&self, system: &Principal) -> Result<Serial, RegisterError> {
        match self.last.get(system) {
            None => Ok(Serial::FIRST),
            Some(last) => last.next().ok_or_else(|| RegisterError::Full(system.clone())),
        }
    }
}
