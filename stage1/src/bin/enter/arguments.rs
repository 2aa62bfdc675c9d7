//! The argument vector of the `enter` entrypoint: `--pid=N --appname=APP -- PROGRAM ARGUMENTS…` (rkt, stage1 interface).

use std::ffi::OsString;

use bulkhead_protocol::bounded::{BoundError, List, Text};
use bulkhead_protocol::plan::{AppName, AppNameError, MAX_ARGUMENT, MAX_ARGUMENTS};

/// What to run, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) app: AppName,
    /// Not empty.
    pub(crate) command: List<Text<MAX_ARGUMENT>, MAX_ARGUMENTS>,
}

/// An argument vector that cannot be followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    #[error("unknown argument {0:?}")]
    Unknown(String),
    #[error("argument {0:?} is not UTF-8")]
    NotUtf8(OsString),
    #[error("--appname=APP is missing")]
    NoApp,
    #[error("--appname")]
    App(#[from] AppNameError),
    #[error("there is no program to run behind --")]
    NoProgram,
    #[error("the program's arguments")]
    Bound(#[from] BoundError),
}

impl Arguments {
    /// Reads the arguments behind the program's name. `--pid` says which process to enter where a pod has some; a pod of ours
    /// is entered by the socket in the working directory.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, ArgumentError> {
        let mut app = None;
        let mut words = arguments.into_iter();
        for word in words.by_ref() {
            let word = word.into_string().map_err(ArgumentError::NotUtf8)?;
            match word.split_once('=') {
                _ if word == "--" => break,
                Some(("--pid", _)) => {}
                Some(("--appname", name)) => app = Some(AppName::try_from(name.to_owned())?),
                _ => return Err(ArgumentError::Unknown(word)),
            }
        }
        let command: Result<Vec<_>, ArgumentError> = words
            .map(|word| {
                let word = word.into_string().map_err(ArgumentError::NotUtf8)?;
                Ok(Text::try_from(word)?)
            })
            .collect();
        let command = command?;
        if command.is_empty() {
            return Err(ArgumentError::NoProgram);
        }
        Ok(Self {
            app: app.ok_or(ArgumentError::NoApp)?,
            command: List::try_from(command)?,
        })
    }
}

#[cfg(test)]
#[path = "arguments_test.rs"]
mod tests;
