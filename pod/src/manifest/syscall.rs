//! The value of the two seccomp isolators.

use serde::{Deserialize, Serialize};

use super::bounds::{SET_MAX, list};
use super::error::ValueError;
use super::text::checked_text;

checked_text! {
    /// A system call (`openat`) or a named group of them (`@appc.io/all`).
    SyscallName, |text| {
        let word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b))
        };
        let valid = match text.strip_prefix('@') {
            Some(group) => group.split_once('/').is_some_and(|(from, name)| word(from) && word(name)),
            None => word(text),
        };
        if valid && text.len() <= SYSCALL_NAME_BYTES_MAX {
            return Ok(());
        }
        Err(ValueError::form(text, "a system call's name or an @group"))
    }
}

/// Twice the longest name of a system call in Linux 6.12.
const SYSCALL_NAME_BYTES_MAX: usize = 64;

checked_text! {
    /// The name of an error number, as `EPERM`.
    Errno, |text| {
        let rest = text.strip_prefix('E').unwrap_or_default();
        let upper = rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !rest.is_empty() && rest.len() < ERRNO_BYTES_MAX && upper {
            return Ok(());
        }
        Err(ValueError::form(text, "the name of an error number (as EPERM)"))
    }
}

/// `ENOTRECOVERABLE` is the longest of Linux, with 15.
const ERRNO_BYTES_MAX: usize = 20;

/// The value of the two seccomp isolators: at least one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawFilter")]
pub struct SyscallFilter {
    set: Vec<SyscallName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<Errno>,
}

#[derive(Deserialize)]
struct RawFilter {
    #[serde(default, deserialize_with = "list::<_, _, SET_MAX>")]
    set: Vec<SyscallName>,
    #[serde(default)]
    errno: Option<String>,
}

impl SyscallFilter {
    /// The filter for these names.
    ///
    /// # Errors
    ///
    /// When `set` is empty; the specification has `@appc.io/empty` for that.
    pub fn new(set: Vec<SyscallName>, errno: Option<Errno>) -> Result<Self, ValueError> {
        if set.is_empty() {
            let text = "set: names no system call (@appc.io/empty stands for none)";
            return Err(ValueError::Rule(text.to_owned()));
        }
        Ok(Self { set, errno })
    }

    /// System calls and groups, as written.
    #[must_use]
    pub fn names(&self) -> &[SyscallName] {
        &self.set
    }

    /// What a forbidden call returns; none: the process is killed with SIGSYS.
    #[must_use]
    pub fn errno(&self) -> Option<&Errno> {
        self.errno.as_ref()
    }
}

impl TryFrom<RawFilter> for SyscallFilter {
    type Error = ValueError;

    fn try_from(raw: RawFilter) -> Result<Self, ValueError> {
        // Go writes an absent errno as "".
        let errno = raw
            .errno
            .filter(|text| !text.is_empty())
            .map(Errno::try_from)
            .transpose()?;
        Self::new(raw.set, errno)
    }
}
