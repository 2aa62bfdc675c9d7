//! Where the standard streams of an app lead: annotations of the app in the pod's manifest, as rkt names them.

use std::fmt;
use std::str::FromStr;

use crate::manifest::{Annotation, RuntimeApp};

/// Of standard input: `null`, `stream` or `tty`.
pub const STDIN: &str = "coreos.com/rkt/stage2/stdin";

/// Of standard output: `log`, `null`, `stream` or `tty`.
pub const STDOUT: &str = "coreos.com/rkt/stage2/stdout";

/// The same of standard error.
pub const STDERR: &str = "coreos.com/rkt/stage2/stderr";

/// Where an input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputMode {
    /// From nowhere.
    Null,
    /// From those who attach.
    Stream,
    /// From a terminal.
    Tty,
}

/// Where an output goes, beside those who attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// To the caller and the log.
    Log,
    /// Nowhere, and nobody attaches to it.
    Null,
    /// To the caller.
    Stream,
    /// To a terminal.
    Tty,
}

/// Not one of the modes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not one of {modes}")]
pub struct UnknownMode {
    found: String,
    modes: &'static str,
}

impl FromStr for InputMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "null" => Ok(Self::Null),
            "stream" => Ok(Self::Stream),
            "tty" => Ok(Self::Tty),
            _ => Err(UnknownMode {
                found: text.to_owned(),
                modes: "null, stream and tty",
            }),
        }
    }
}

impl FromStr for OutputMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "log" => Ok(Self::Log),
            "null" => Ok(Self::Null),
            "stream" => Ok(Self::Stream),
            "tty" => Ok(Self::Tty),
            _ => Err(UnknownMode {
                found: text.to_owned(),
                modes: "log, null, stream and tty",
            }),
        }
    }
}

impl fmt::Display for InputMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Stream => "stream",
            Self::Tty => "tty",
        })
    }
}

impl fmt::Display for OutputMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "log",
            Self::Null => "null",
            Self::Stream => "stream",
            Self::Tty => "tty",
        })
    }
}

/// The mode that an annotation of the app gives, if there is one.
///
/// # Errors
///
/// When it is none.
pub fn mode<T: FromStr<Err = UnknownMode>>(
    app: &RuntimeApp,
    name: &str,
) -> Result<Option<T>, UnknownMode> {
    let mut annotations = app.annotations.iter();
    let found: Option<&Annotation> = annotations.find(|a| a.name.as_str() == name);
    found.map(|a| a.value.as_str().parse()).transpose()
}
