//! The values of `run`'s flags, each read into a type that holds nothing else.

use std::str::FromStr;

use bulkhead_pod::manifest::{
    Argument, CpuShares, EnvironmentName, Errno, OomScoreAdjust, Quantity, SyscallFilter,
    SyscallName, Text, ValueError,
};
use thiserror::Error;

/// A value of a flag that is not what the flag wants.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum OptionError {
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("{0:?} is not of the form NAME=VALUE")]
    NotAPair(String),
    #[error("{0} bytes are fewer than 4096; was a unit meant, as in {0}Mi?")]
    LittleMemory(u64),
    #[error("names no program")]
    NoProgram,
    #[error("only none is supported yet: networking comes later")]
    Network,
    #[error("{0:?} is not a host name (letters, digits, dots and dashes, at most 64)")]
    HostName(String),
    #[error("{0:?} is not a number")]
    Number(String),
    #[error("mode {0:?} is neither retain nor remove")]
    SeccompMode(String),
}

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair<Name> {
    /// Before the first `=`.
    pub(crate) name: Name,
    /// After it.
    pub(crate) value: Text,
}

impl<Name: FromStr<Err = ValueError>> FromStr for Pair<Name> {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (name, value) = split_pair(text)?;
        Ok(Self {
            name: name.parse()?,
            value: value.parse()?,
        })
    }
}

/// A variable of an environment, `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Before the first `=`.
    pub(crate) name: EnvironmentName,
    /// After it.
    pub(crate) value: Argument,
}

impl FromStr for Variable {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (name, value) = split_pair(text)?;
        Ok(Self {
            name: name.parse()?,
            value: value.parse()?,
        })
    }
}

fn split_pair(text: &str) -> Result<(&str, &str), OptionError> {
    text.split_once('=')
        .ok_or_else(|| OptionError::NotAPair(text.chars().take(80).collect()))
}

/// A limit of memory that cannot be a slip: `16m` is a hundredth of a byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryLimit(pub(crate) Quantity);

/// rkt's bound: one page.
const MEMORY_LIMIT_MIN: u64 = 4096;

impl FromStr for MemoryLimit {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let quantity: Quantity = text.parse()?;
        if quantity.units() < MEMORY_LIMIT_MIN {
            return Err(OptionError::LittleMemory(quantity.units()));
        }
        Ok(Self(quantity))
    }
}

/// `--seccomp`'s value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seccomp {
    /// Whether the named calls are the only ones allowed; otherwise they are the forbidden ones.
    pub(crate) retain: bool,
    /// The calls.
    pub(crate) filter: SyscallFilter,
}

impl FromStr for Seccomp {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let mut retain = true;
        let mut errno = None;
        let mut names = Vec::new();
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("mode", "retain")) => retain = true,
                Some(("mode", "remove")) => retain = false,
                Some(("mode", mode)) => return Err(OptionError::SeccompMode(mode.to_owned())),
                Some(("errno", name)) => errno = Some(name.parse::<Errno>()?),
                _ => names.push(part.parse::<SyscallName>()?),
            }
        }
        Ok(Self {
            retain,
            filter: SyscallFilter::new(names, errno)?,
        })
    }
}

pub(crate) fn program(text: &str) -> Result<Argument, OptionError> {
    if text.is_empty() {
        return Err(OptionError::NoProgram);
    }
    Ok(text.parse()?)
}

pub(crate) fn networks(text: &str) -> Result<String, OptionError> {
    if text == "none" {
        Ok(text.to_owned())
    } else {
        Err(OptionError::Network)
    }
}

/// `HOST_NAME_MAX` of Linux.
const HOST_NAME_BYTES_MAX: usize = 64;

pub(crate) fn host_name(text: &str) -> Result<String, OptionError> {
    let label = |part: &str| {
        let inner = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !part.is_empty() && inner && !part.starts_with('-') && !part.ends_with('-')
    };
    if text.len() <= HOST_NAME_BYTES_MAX && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    Err(OptionError::HostName(text.chars().take(80).collect()))
}

fn number(text: &str) -> Result<i64, OptionError> {
    text.parse()
        .map_err(|_| OptionError::Number(text.chars().take(80).collect()))
}

pub(crate) fn cpu_shares(text: &str) -> Result<CpuShares, OptionError> {
    Ok(CpuShares::try_from(number(text)?)?)
}

pub(crate) fn oom_score_adjust(text: &str) -> Result<OomScoreAdjust, OptionError> {
    Ok(OomScoreAdjust::try_from(number(text)?)?)
}

#[cfg(test)]
#[path = "values_test.rs"]
mod tests;
