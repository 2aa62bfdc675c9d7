//! Configuration fragments: files of `CONFIG_X=value` lines, each headed by the reason for its being.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// One `config/*.config` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// File name without the extension: the reason in a word.
    pub name: String,
    /// The whole file.
    pub text: String,
}

/// What an option shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `=n`, or `# CONFIG_X is not set`.
    Off,
    /// `=y`, a number or a quoted string, as it stands in `.config`.
    Value(String),
}

/// One line of a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// With the `CONFIG_` prefix.
    pub option: String,
    /// What it shall be.
    pub setting: Setting,
    /// The fragment that asks for it.
    pub fragment: String,
}

/// Why fragments are not usable.
#[derive(Debug, thiserror::Error)]
pub enum FragmentError {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// File or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There are no fragments.
    #[error("no fragment in {}", .0.display())]
    Empty(PathBuf),
    /// A fragment does not begin with a comment.
    #[error("fragment {0} does not begin with a comment that says why it exists")]
    NoReason(String),
    /// A line is neither comment nor setting.
    #[error("fragment {fragment}, line {line}: expected `CONFIG_NAME=value`, found `{text}`")]
    Line {
        /// Its name.
        fragment: String,
        /// From 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// An option stands in two places.
    #[error("{option} is set twice: in {first} and in {second}")]
    Twice {
        /// The option.
        option: String,
        /// Fragment that came first.
        first: String,
        /// Fragment that repeats it.
        second: String,
    },
}

impl Fragment {
    /// Reads every `*.config` file of `dir`, in the order of their names.
    ///
    /// # Errors
    /// The directory or a file cannot be read, or there is no fragment.
    pub fn read_dir(dir: &Path) -> Result<Vec<Self>, FragmentError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| FragmentError::Read { path, source }
        };
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(at(dir))? {
            let path = entry.map_err(at(dir))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "config")
            {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            return Err(FragmentError::Empty(dir.to_owned()));
        }
        paths
            .iter()
            .map(|path| {
                let name = path
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                let text = fs::read_to_string(path).map_err(at(path))?;
                Ok(Self { name, text })
            })
            .collect()
    }

    /// The settings that this fragment asks for.
    ///
    /// # Errors
    /// A line that is neither blank, comment nor `CONFIG_NAME=value`, or no comment at the top.
    pub fn requests(&self) -> Result<Vec<Request>, FragmentError> {
        if !self.text.starts_with("# ") {
            return Err(FragmentError::NoReason(self.name.clone()));
        }
        let mut requests = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (option, setting) = parse(line).ok_or_else(|| FragmentError::Line {
                fragment: self.name.clone(),
                line: index + 1,
                text: line.to_owned(),
            })?;
            requests.push(Request {
                option: option.to_owned(),
                setting,
                fragment: self.name.clone(),
            });
        }
        Ok(requests)
    }
}

/// All requests of all fragments, in order of option name.
///
/// # Errors
/// As [`Fragment::requests`], or an option that stands in two places: each has one reason.
pub(crate) fn merge(fragments: &[Fragment]) -> Result<Vec<Request>, FragmentError> {
    let mut merged = BTreeMap::<String, Request>::new();
    for fragment in fragments {
        for request in fragment.requests()? {
            if let Some(first) = merged.get(&request.option) {
                return Err(FragmentError::Twice {
                    option: request.option,
                    first: first.fragment.clone(),
                    second: request.fragment,
                });
            }
            merged.insert(request.option.clone(), request);
        }
    }
    Ok(merged.into_values().collect())
}

fn parse(line: &str) -> Option<(&str, Setting)> {
    let (option, value) = line.split_once('=')?;
    let name = option.strip_prefix("CONFIG_")?;
    if name.is_empty()
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return None;
    }
    let quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
    let setting = match value {
        "n" => Setting::Off,
        "y" => Setting::Value(value.to_owned()),
        _ if quoted || value.parse::<i64>().is_ok() || is_hexadecimal(value) => {
            Setting::Value(value.to_owned())
        }
        _ => return None,
    };
    Some((option, setting))
}

fn is_hexadecimal(value: &str) -> bool {
    value
        .strip_prefix("0x")
        .is_some_and(|digits| u64::from_str_radix(digits, 16).is_ok())
}

#[cfg(test)]
#[path = "fragment_test.rs"]
mod tests;
