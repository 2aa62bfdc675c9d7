//! Untrusted bytes in messages.

use std::fmt;

/// Bytes of an archive as they appear in an error: escaped, so that a terminal does not obey them,
/// and cut, so that a name of 4 KiB does not fill the screen.
#[derive(Clone, PartialEq, Eq)]
pub struct Escaped(String);

/// Bytes that are shown before the rest becomes "…".
const SHOWN: usize = 200;

impl Escaped {
    /// Escapes `bytes` for a message.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let shown = &bytes[..bytes.len().min(SHOWN)];
        let text = match std::str::from_utf8(shown) {
            Ok(text) if !text.contains(char::is_control) => text.replace('"', "\\\""),
            _ => shown.escape_ascii().to_string(),
        };
        let cut = if bytes.len() > SHOWN { "…" } else { "" };
        Self(format!("{text}{cut}"))
    }
}

impl fmt::Display for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}
