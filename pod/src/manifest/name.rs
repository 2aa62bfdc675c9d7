//! Names of the appc specification: AC names, AC identifiers, image ids, versions.

use super::bounds::{AC_IDENTIFIER_BYTES_MAX, AC_NAME_BYTES_MAX};
use super::error::ValueError;
use super::text::checked_text;

/// Hex digits of a whole SHA-512 digest.
const SHA512_HEX: usize = 128;
/// Shorter prefixes of an image id collide too easily to name an image in a manifest.
const IMAGE_ID_HEX_MIN: usize = 32;
/// A version as written: longer ones are nobody's release.
const VERSION_BYTES_MAX: usize = 128;

checked_text! {
    /// `^[a-z0-9]+([-][a-z0-9]+)*$`: names of apps, volumes, mount points and ports.
    AcName, |text| {
        ValueError::bounded(text, "an AC name", AC_NAME_BYTES_MAX)?;
        words(text, "-", "an AC name")
    }
}

checked_text! {
    /// `^[a-z0-9]+([-._~/][a-z0-9]+)*$`: names of images, labels and annotations.
    AcIdentifier, |text| {
        ValueError::bounded(text, "an AC identifier", AC_IDENTIFIER_BYTES_MAX)?;
        words(text, "-._~/", "an AC identifier")
    }
}

checked_text! {
    /// `sha512-` and the hex digits of the digest, whole or a prefix of at least 32 digits.
    ImageId, |text| {
        let hex = text.strip_prefix("sha512-").unwrap_or_default();
        let digits = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if digits && (IMAGE_ID_HEX_MIN..=SHA512_HEX).contains(&hex.len()) {
            return Ok(());
        }
        Err(ValueError::form(text, "an image id (sha512-…)"))
    }
}

checked_text! {
    /// A semantic version, `MAJOR.MINOR.PATCH` with optional `-PRERELEASE` and `+BUILD`.
    AcVersion, |text| {
        ValueError::bounded(text, "a version", VERSION_BYTES_MAX)?;
        let wrong = || ValueError::form(text, "a version (MAJOR.MINOR.PATCH)");
        let (release, build) = text.split_once('+').unwrap_or((text, "0"));
        let (numbers, prerelease) = release.split_once('-').unwrap_or((release, "0"));
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let tag = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let three = numbers.split('.').count() == 3 && numbers.split('.').all(number);
        if three && prerelease.split('.').all(tag) && build.split('.').all(tag) {
            return Ok(());
        }
        Err(wrong())
    }
}

/// Non-empty words of lower-case letters and digits, with one separator between two words.
fn words(text: &str, separators: &str, expected: &'static str) -> Result<(), ValueError> {
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    if text.split(|c| separators.contains(c)).all(word) {
        return Ok(());
    }
    Err(ValueError::form(text, expected))
}

impl AcName {
    /// The AC name nearest to `text`: lower case, every run of other characters one dash. None
    /// when no letter or digit is left.
    #[must_use]
    pub fn sanitized(text: &str) -> Option<Self> {
        let mut name = String::new();
        for part in text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|p| !p.is_empty())
        {
            if !name.is_empty() {
                name.push('-');
            }
            name.push_str(&part.to_ascii_lowercase());
        }
        name.truncate(AC_NAME_BYTES_MAX);
        Self::try_from(name.trim_end_matches('-').to_owned()).ok()
    }
}

#[cfg(test)]
#[path = "name_test.rs"]
mod tests;
