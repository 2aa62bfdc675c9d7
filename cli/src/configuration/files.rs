//! Configuration files, before it is known what they say.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::VERSION;

/// Longest file; real ones have some lines.
const BYTES_MAX: u64 = 64 << 10;

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ConfigurationError {
    #[error("read configuration {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("configuration {}", path.display())]
    Wrong { path: PathBuf, source: Problem },
}

/// What is wrong with a file.
#[derive(Debug, Error)]
pub(crate) enum Problem {
    #[error("it is not the JSON that it should be")]
    Json(#[from] serde_json::Error),
    #[error("it is longer than {BYTES_MAX} bytes")]
    TooLong,
    #[error("it has no {0}")]
    Missing(&'static str),
    #[error("its rktKind is \"{found}\", and files of this directory have \"{}\"", wanted.join("\" or \""))]
    Kind {
        found: String,
        wanted: &'static [&'static str],
    },
    #[error("its rktVersion \"{0}\" is not known for its rktKind, \"{VERSION}\" is")]
    Version(String),
    #[error("{0} is specified by another file of this directory already")]
    Twice(&'static str),
    #[error("{what} \"{value}\" {problem}")]
    Value {
        what: &'static str,
        value: String,
        problem: &'static str,
    },
    #[error("{0}")]
    Pair(&'static str),
}

/// The files of a directory that count: regular ones whose names end in `.json`, in the order of their names.
pub(super) fn list(directory: &Path) -> Result<Vec<PathBuf>, ConfigurationError> {
    let failed = |source| ConfigurationError::Read {
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let is_json = path.extension().is_some_and(|ending| ending == "json");
        if is_json && entry.file_type().map_err(failed)?.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file of the kind that its directory is for.
pub(super) struct File {
    path: PathBuf,
    kind: &'static str,
    bytes: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    #[serde(default)]
    rkt_kind: String,
    #[serde(default)]
    rkt_version: String,
}

impl File {
    /// Of one of these kinds.
    pub(super) fn read(
        path: &Path,
        kinds: &'static [&'static str],
    ) -> Result<Self, ConfigurationError> {
        let mut bytes = Vec::new();
        let read =
            fs::File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
        let length = read.map_err(|source| ConfigurationError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut file = Self {
            path: path.to_owned(),
            kind: kinds[0],
            bytes,
        };
        if length as u64 > BYTES_MAX {
            return Err(file.wrong(Problem::TooLong));
        }
        match file.check(kinds) {
            Ok(kind) => {
                file.kind = kind;
                Ok(file)
            }
            Err(problem) => Err(file.wrong(problem)),
        }
    }

    /// Which of the kinds it is.
    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    fn check(&self, kinds: &'static [&'static str]) -> Result<&'static str, Problem> {
        let header: Header = self.fields()?;
        if header.rkt_kind.is_empty() {
            return Err(Problem::Missing("rktKind"));
        }
        if header.rkt_version.is_empty() {
            return Err(Problem::Missing("rktVersion"));
        }
        let kind = kinds.iter().find(|kind| **kind == header.rkt_kind);
        let Some(kind) = kind else {
            return Err(Problem::Kind {
                found: header.rkt_kind,
                wanted: kinds,
            });
        };
        match header.rkt_version.as_str() {
            VERSION => Ok(kind),
            _ => Err(Problem::Version(header.rkt_version)),
        }
    }

    /// The fields that a kind knows; others say nothing.
    pub(super) fn fields<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        Ok(serde_json::from_slice(&self.bytes)?)
    }

    pub(super) fn wrong(&self, source: Problem) -> ConfigurationError {
        ConfigurationError::Wrong {
            path: self.path.clone(),
            source,
        }
    }
}
