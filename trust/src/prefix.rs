//! Names of images, and what they begin with.

use std::fmt;
use std::str::FromStr;

/// Longest name: far above real ones, and below what a path may have.
const MAX_BYTES: usize = 1024;

/// The name of an image, or the first parts of one: an appc identifier, so it is also a path that leads nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// Text that no image's name begins with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of an image or the beginning of one: small letters and digits, and one of \"-._~/\" between two of them"
)]
pub struct BadPrefix(String);

impl Prefix {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its last parts, one fewer each time, from one part to all: `a`, `a/b`, `a/b/c`.
    pub fn ancestry(&self) -> impl Iterator<Item = &str> {
        let ends = self.0.match_indices('/').map(|(slash, _)| slash);
        ends.chain([self.0.len()]).map(|end| &self.0[..end])
    }
}

impl FromStr for Prefix {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let mut words = text.split(['-', '.', '_', '~', '/']);
        match text.len() <= MAX_BYTES
            && words.all(|word| !word.is_empty() && word.chars().all(is_word))
        {
            true => Ok(Self(text.to_owned())),
            false => Err(BadPrefix(text.chars().take(MAX_BYTES).collect())),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "..",
            "a/../b",
            "a/.b",
            "A",
            "a b",
            "a\0",
            "https://a",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text:?}");
        }
        assert!("a".repeat(MAX_BYTES + 1).parse::<Prefix>().is_err());
    }

    #[test]
    fn a_name_has_all_beginnings_by_whole_parts() {
        let name: Prefix = "example.com/app/web-1".parse().unwrap();
        let beginnings: Vec<&str> = name.ancestry().collect();
        assert_eq!(
            beginnings,
            ["example.com", "example.com/app", "example.com/app/web-1"]
        );
    }
}
