//! Which stage1 image runs pods when no flag says so.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::files::Problem;

pub(super) const KIND: &str = "stage1";

/// Schemes of a location that is no path (rkt).
const SCHEMES: [&str; 4] = ["file", "docker", "http", "https"];

/// The default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct DefaultStage1 {
    #[serde(flatten)]
    pub(crate) name: Option<Stage1Name>,
    /// An absolute path, or a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
}

/// Both or neither are said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Stage1Name {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl fmt::Display for Stage1Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.version)
    }
}

/// The fields of the kind `stage1`. An empty text says nothing (rkt).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    name: String,
    version: String,
    location: String,
}

impl DefaultStage1 {
    pub(super) fn take(&mut self, fields: Fields) -> Result<(), Problem> {
        let Fields {
            name,
            version,
            location,
        } = fields;
        match (name.is_empty(), version.is_empty()) {
            (true, true) => {}
            (true, false) => return Err(Problem::Pair("it has a version, and no name")),
            (false, true) => return Err(Problem::Pair("it has a name, and no version")),
            (false, false) if self.name.is_some() => {
                return Err(Problem::Twice("name and version"));
            }
            (false, false) => self.name = Some(Stage1Name { name, version }),
        }
        if location.is_empty() {
            return Ok(());
        }
        if self.location.is_some() {
            return Err(Problem::Twice("location"));
        }
        let problem = match location.split_once("://") {
            _ if location.starts_with('/') => None,
            None => Some("is neither an absolute path nor a URL"),
            Some((scheme, _)) if SCHEMES.contains(&scheme) => None,
            Some(_) => Some("has a scheme that is none of file, docker, http and https"),
        };
        match problem {
            None => self.location = Some(location),
            Some(problem) => {
                return Err(Problem::Value {
                    what: "location",
                    value: location,
                    problem,
                });
            }
        }
        Ok(())
    }

    pub(super) fn override_with(&mut self, stronger: Self) {
        self.name = stronger.name.or(self.name.take());
        self.location = stronger.location.or(self.location.take());
    }
}
