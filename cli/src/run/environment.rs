//! Which value a variable of an app has when several places set it.
//!
//! From weak to strong: `--inherit-env` (for what the image does not set), the image,
//! `--set-env-file`, `--set-env`, the app's `--environment`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bulkhead_pod::manifest::{ENVIRONMENT_MAX, EnvironmentVariable};
use thiserror::Error;

use super::values::{OptionError, Variable};

/// A file of variables: as many as an app can have, at a readable length each.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Variables of all apps, by the flag that set them.
#[derive(Debug, Default)]
pub(crate) struct PodEnvironment {
    /// `--inherit-env`: this program's own.
    pub(crate) inherited: Vec<Variable>,
    /// `--set-env-file`.
    pub(crate) file: Vec<Variable>,
    /// `--set-env`.
    pub(crate) flags: Vec<Variable>,
}

/// Variables that do not fit together, or a file that holds something else.
#[derive(Debug, Error)]
pub(crate) enum EnvironmentError {
    #[error("{flag} sets \"{name}\" twice")]
    Twice { flag: &'static str, name: String },
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is longer than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("{} line {line}", path.display())]
    Line {
        path: PathBuf,
        line: usize,
        source: OptionError,
    },
    #[error("{} line {line}: \"{name}\" is set twice", path.display())]
    LineTwice {
        path: PathBuf,
        line: usize,
        name: String,
    },
    #[error("{0} variables are more than {ENVIRONMENT_MAX}")]
    TooMany(usize),
}

/// No variable twice in one place: which one counts would be a guess.
pub(crate) fn distinct(flag: &'static str, variables: &[Variable]) -> Result<(), EnvironmentError> {
    for (index, variable) in variables.iter().enumerate() {
        if variables[..index]
            .iter()
            .any(|other| other.name == variable.name)
        {
            let name = variable.name.to_string();
            return Err(EnvironmentError::Twice { flag, name });
        }
    }
    Ok(())
}

/// Reads `--set-env-file`'s file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<Variable>, EnvironmentError> {
    let read = |source| EnvironmentError::Read {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(read)?.len() > FILE_BYTES_MAX {
        return Err(EnvironmentError::TooLong {
            path: path.to_owned(),
        });
    }
    parse_file(path, &fs::read_to_string(path).map_err(read)?)
}

/// Blank lines and lines that begin with `#` or `;` are passed over.
fn parse_file(path: &Path, text: &str) -> Result<Vec<Variable>, EnvironmentError> {
    let mut variables: Vec<Variable> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let (path, line) = (path.to_owned(), index + 1);
        let variable: Variable = match trimmed.parse() {
            Ok(variable) => variable,
            Err(source) => return Err(EnvironmentError::Line { path, line, source }),
        };
        if variables.iter().any(|other| other.name == variable.name) {
            let name = variable.name.to_string();
            return Err(EnvironmentError::LineTwice { path, line, name });
        }
        variables.push(variable);
    }
    Ok(variables)
}

/// What a service manager says to the process that it starts, and to no other (`sd_notify(3)`, `sd_listen_fds(3)`, `sd_watchdog_enabled(3)`).
const OF_THE_SERVICE: [&str; 6] = [
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// The caller's variables that a manifest can hold and that are not [of the service](OF_THE_SERVICE). Others (not UTF-8, or of an odd name) are left
/// out: the user asked for the environment, not for each of its entries.
pub(crate) fn inherited(
    variables: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> Vec<Variable> {
    let variable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.into_string().ok()?;
        if OF_THE_SERVICE.contains(&name.as_str()) {
            return None;
        }
        let name = name.try_into().ok()?;
        let value = value.into_string().ok()?.try_into().ok()?;
        Some(Variable { name, value })
    };
    variables.filter_map(variable).collect()
}

/// One app's environment; what is set by a flag keeps its place when it replaces a value.
pub(crate) fn merge(
    image: &[EnvironmentVariable],
    pod: &PodEnvironment,
    app: &[Variable],
) -> Result<Vec<EnvironmentVariable>, EnvironmentError> {
    let mut merged = image.to_vec();
    let set =
        |merged: &mut Vec<EnvironmentVariable>, variable: &Variable, replace: bool| match merged
            .iter_mut()
            .find(|other| other.name == variable.name)
        {
            Some(other) if replace => other.value = variable.value.clone(),
            Some(_) => {}
            None => merged.push(EnvironmentVariable {
                name: variable.name.clone(),
                value: variable.value.clone(),
            }),
        };
    for variable in &pod.inherited {
        set(&mut merged, variable, false);
    }
    for variable in pod.file.iter().chain(&pod.flags).chain(app) {
        set(&mut merged, variable, true);
    }
    if merged.len() > ENVIRONMENT_MAX {
        return Err(EnvironmentError::TooMany(merged.len()));
    }
    Ok(merged)
}

#[cfg(test)]
#[path = "environment_test.rs"]
mod tests;
