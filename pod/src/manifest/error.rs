//! What is wrong with a manifest, and where in it.

use std::fmt;

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::bounds::MANIFEST_BYTES_MAX;

/// Which kind of manifest an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// The manifest of an image.
    Image,
    /// The manifest of a pod.
    Pod,
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "image manifest",
            Self::Pod => "pod manifest",
        })
    }
}

/// A manifest that is not valid: the field (`apps[1].name`) and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{document}: {}{problem}", Prefix(path))]
pub struct ManifestError {
    document: Document,
    path: String,
    problem: String,
}

impl ManifestError {
    pub(super) fn new(document: Document, path: impl Into<String>, problem: impl ToString) -> Self {
        Self {
            document,
            path: path.into(),
            problem: problem.to_string(),
        }
    }

    /// The field that is wrong, as in `apps[1].name`; empty when it is the document as a whole.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

struct Prefix<'a>(&'a str);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, "{}: ", self.0)
        }
    }
}

/// A single value that is not what its field wants.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ValueError {
    /// The text does not have the field's form.
    #[error("{text:?} is not {expected}")]
    Form {
        /// The text, cut to a readable length.
        text: String,
        /// What the field wants, with its article.
        expected: &'static str,
    },
    /// The text is longer than its bound.
    #[error("{expected} of {length} bytes is longer than {max}")]
    TooLong {
        /// What the field wants, with its article.
        expected: &'static str,
        /// Bytes found.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The number or text is outside the field's range.
    #[error("{value} is outside {range}")]
    Range {
        /// The value found.
        value: String,
        /// The range, as `1..65535`.
        range: &'static str,
    },
    /// The field is known, but what stands in it is not.
    #[error("{0}")]
    Rule(String),
}

/// A value quoted in an error is cut here: the manifest may hold 128 KiB where a name belongs.
const QUOTED_CHARS_MAX: usize = 80;

impl ValueError {
    pub(super) fn form(text: &str, expected: &'static str) -> Self {
        let mut quoted: String = text.chars().take(QUOTED_CHARS_MAX).collect();
        if quoted.len() < text.len() {
            quoted.push('…');
        }
        Self::Form {
            text: quoted,
            expected,
        }
    }

    pub(super) fn bounded(
        text: &str,
        expected: &'static str,
        max: usize,
    ) -> Result<(), ValueError> {
        if text.len() > max {
            return Err(Self::TooLong {
                expected,
                length: text.len(),
                max,
            });
        }
        Ok(())
    }
}

/// Reads JSON, and puts the path of the field into the error.
pub(super) fn parse_json<T: DeserializeOwned>(
    document: Document,
    bytes: &[u8],
) -> Result<T, ManifestError> {
    if bytes.len() > MANIFEST_BYTES_MAX {
        let problem = format!("{} bytes are more than {MANIFEST_BYTES_MAX}", bytes.len());
        return Err(ManifestError::new(document, "", problem));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." || path == "?" {
            String::new()
        } else {
            path
        };
        ManifestError::new(document, path, without_position(error.inner()))
    })?;
    json.end()
        .map_err(|error| ManifestError::new(document, "", error))?;
    Ok(value)
}

/// The path says where a wrong value is; line and column say it only where there is no path, in
/// text that is not JSON.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if !error.is_data() {
        return text;
    }
    let position = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&position) {
        Some(stripped) => stripped.to_owned(),
        None => text,
    }
}
