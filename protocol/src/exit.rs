//! How a process ended, and the exit code that a shell would give for it.

use serde::{Deserialize, Serialize};

/// The app could not be started: the code that service managers use for a failed `execve`.
pub const CODE_EXEC_FAILED: u8 = 203;

/// The code of anything that failed in bulkhead itself and not in an app.
pub const CODE_RUNTIME_FAILED: u8 = 254;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It called `exit` with this code.
    Code(u8),
    /// A signal of this number killed it.
    Signal(u8),
}

impl Exit {
    /// The exit code: the process's own, or 128 + the signal's number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128_u8.saturating_add(signal),
        }
    }

    /// Whether the process ended with 0.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn codes_are_those_of_a_shell() {
        assert_eq!(Exit::Code(3).code(), 3);
        assert_eq!(Exit::Signal(9).code(), 137);
        assert_eq!(Exit::Signal(255).code(), 255);
    }
}
