//! What came of a call, and what a test expects of it.
//!
//! Every method of [`Finished`] that expects something shows the whole call, its streams and its
//! end when the expectation fails; standard error carries the VMM's log and the guest's console.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

/// What came of a call.
pub(crate) struct Finished {
    pub(crate) words: Vec<OsString>,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Bytes of a stream that a failure shows.
const SHOWN_BYTES: usize = 16 * 1024;

impl Finished {
    /// Expects this exit status.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        if self.status.code() != Some(code) {
            self.fail(&format!("expected exit status {code}"));
        }
        self
    }

    /// Expects the death by this signal.
    #[track_caller]
    pub(crate) fn dies_of(self, signal: Signal) -> Self {
        if self.status.signal() != Some(signal as i32) {
            self.fail(&format!("expected death by {signal}"));
        }
        self
    }

    /// Expects exactly this standard output.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        if self.stdout != text.as_bytes() {
            self.fail(&format!("expected standard output {text:?}"));
        }
        self
    }

    /// Expects this text somewhere in standard output.
    #[track_caller]
    pub(crate) fn shows(self, text: &str) -> Self {
        if !String::from_utf8_lossy(&self.stdout).contains(text) {
            self.fail(&format!("expected {text:?} in standard output"));
        }
        self
    }

    /// Expects this text somewhere in standard error.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        if !String::from_utf8_lossy(&self.stderr).contains(text) {
            self.fail(&format!("expected {text:?} in standard error"));
        }
        self
    }

    /// Expects that this text is nowhere in standard error.
    #[track_caller]
    pub(crate) fn does_not_say(self, text: &str) -> Self {
        if String::from_utf8_lossy(&self.stderr).contains(text) {
            self.fail(&format!("expected no {text:?} in standard error"));
        }
        self
    }

    /// Whether the exit status is 0.
    pub(crate) fn succeeded(&self) -> bool {
        self.status.success()
    }

    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails the test and shows everything.
    #[track_caller]
    pub(crate) fn fail(&self, why: &str) -> ! {
        let words: Vec<_> = self
            .words
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        panic!(
            "{why}\ncall: bulkhead {}\nended: {}\n--- standard output\n{}\n--- standard error\n{}\n---",
            words.join(" "),
            self.status,
            shown(&self.stdout),
            shown(&self.stderr)
        );
    }
}

/// The end of a stream: what went wrong stands there.
fn shown(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(SHOWN_BYTES);
    let cut = if start > 0 {
        format!("[{start} bytes before]\n")
    } else {
        String::new()
    };
    format!("{cut}{}", String::from_utf8_lossy(&bytes[start..]))
}
