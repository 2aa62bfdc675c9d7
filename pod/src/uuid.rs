//! The pod's identity.

use std::fmt;
use std::io;
use std::str::FromStr;

use rustix::rand::{GetRandomFlags, getrandom};
use thiserror::Error;

/// Bytes of a UUID.
const BYTES: usize = 16;
/// Hex digits of each group, as RFC 9562 writes them.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// A UUID, written in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; BYTES]);

/// The text is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a UUID")]
pub struct UuidError(String);

impl Uuid {
    /// A new random UUID (version 4).
    ///
    /// # Errors
    ///
    /// When the kernel has no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        let got = getrandom(&mut bytes, GetRandomFlags::empty())?;
        // Up to 256 bytes are never cut short (getrandom(2)); an identity must not rest on that.
        if got != BYTES {
            return Err(io::Error::other(format!(
                "{got} random bytes instead of {BYTES}"
            )));
        }
        Ok(Self::version_4(bytes))
    }

    /// RFC 9562, 5.4: version in the high half of byte 6, variant in the high bits of byte 8.
    fn version_4(mut bytes: [u8; BYTES]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0.iter();
        for (index, digits) in GROUPS.iter().enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            for byte in bytes.by_ref().take(digits / 2) {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Uuid {
    type Err = UuidError;

    fn from_str(text: &str) -> Result<Self, UuidError> {
        let wrong = || UuidError(text.chars().take(2 * BYTES + GROUPS.len()).collect());
        let groups: Vec<&str> = text.split('-').take(GROUPS.len() + 1).collect();
        if !groups.iter().map(|group| group.len()).eq(GROUPS) {
            return Err(wrong());
        }
        let digits = groups.concat();
        let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if !digits.bytes().all(lower) {
            return Err(wrong());
        }
        let number = u128::from_str_radix(&digits, 16).map_err(|_| wrong())?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
#[path = "uuid_test.rs"]
mod tests;
