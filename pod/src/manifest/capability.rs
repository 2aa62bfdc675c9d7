//! Linux capabilities by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::bounds::{SET_MAX, list};
use super::error::ValueError;

/// In the order of `linux/capability.h`: the index is the capability's number.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// A Linux capability, written `CAP_NET_ADMIN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Capability(u8);

impl Capability {
    /// Its number, as `capset(2)` and `prctl(2)` count.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its name, `CAP_…`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }
}

impl FromStr for Capability {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        (0..)
            .zip(NAMES)
            .find(|(_, name)| *name == text)
            .map(|(number, _)| Self(number))
            .ok_or_else(|| {
                ValueError::form(
                    text,
                    "a capability of Linux (as CAP_NET_ADMIN, in capitals)",
                )
            })
    }
}

impl TryFrom<String> for Capability {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<Capability> for String {
    fn from(capability: Capability) -> String {
        capability.name().to_owned()
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The value of the two capability isolators: at least one capability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawSet")]
pub struct CapabilitySet {
    set: Vec<Capability>,
}

#[derive(Deserialize)]
struct RawSet {
    #[serde(default, deserialize_with = "list::<_, _, SET_MAX>")]
    set: Vec<Capability>,
}

impl CapabilitySet {
    /// The set of these capabilities, which must not be none.
    ///
    /// # Errors
    ///
    /// When `set` is empty: an app that may do nothing privileged is written with one harmless
    /// capability retained, not with a set that says nothing.
    pub fn new(set: Vec<Capability>) -> Result<Self, ValueError> {
        if set.is_empty() {
            return Err(ValueError::Rule("set: names no capability".to_owned()));
        }
        Ok(Self { set })
    }

    /// The capabilities, as written.
    #[must_use]
    pub fn capabilities(&self) -> &[Capability] {
        &self.set
    }
}

impl TryFrom<RawSet> for CapabilitySet {
    type Error = ValueError;

    fn try_from(raw: RawSet) -> Result<Self, ValueError> {
        Self::new(raw.set)
    }
}
