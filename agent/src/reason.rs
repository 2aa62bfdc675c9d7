//! Errors as one line for the host.

use std::error::Error;
use std::fmt::Write;
use std::io;

use bulkhead_protocol::agent::MAX_REASON;
use bulkhead_protocol::bounded::Text;
use rustix::io::Errno;

/// What a message to the host says of a failure.
pub type Reason = Text<MAX_REASON>;

/// `error` and its causes, joined by colons.
pub fn reason(error: &(dyn Error + 'static)) -> Reason {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let separator = if text.is_empty() { "" } else { ": " };
        let _ = match error_number(error) {
            Some(errno) => write!(text, "{separator}{}", describe(errno)),
            None => write!(text, "{separator}{error}"),
        };
        next = error.source();
    }
    Text::truncated(&text)
}

fn error_number(error: &(dyn Error + 'static)) -> Option<Errno> {
    let from_std = || error.downcast_ref::<io::Error>()?.raw_os_error();
    let plain = error.downcast_ref::<Errno>().copied();
    plain.or_else(|| from_std().map(Errno::from_raw_os_error))
}

/// What the C library says of an error number, without the number.
pub fn describe(errno: Errno) -> String {
    let raw = errno.raw_os_error();
    let mut text = io::Error::from_raw_os_error(raw).to_string();
    let number = format!(" (os error {raw})");
    if text.ends_with(&number) {
        text.truncate(text.len() - number.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::{describe, reason};

    #[derive(Debug, thiserror::Error)]
    #[error("mount proc at {target:?}")]
    struct Outer {
        target: &'static str,
        source: Errno,
    }

    #[test]
    fn causes_are_joined_and_error_numbers_left_out() {
        let error = Outer {
            target: "/proc",
            source: Errno::NOENT,
        };
        assert_eq!(
            reason(&error).as_str(),
            "mount proc at \"/proc\": No such file or directory"
        );
        assert_eq!(describe(Errno::ACCESS), "Permission denied");
    }
}
