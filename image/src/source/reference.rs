//! What a user writes for an image.

use std::path::{Path, PathBuf};

use bulkhead_protocol::import::Form;

use super::SourceError;
use crate::discovery::AciName;
use crate::registry::{BadReference, RegistryReference};

/// A local image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) form: Form,
    pub(crate) path: PathBuf,
    /// Which image of several.
    pub(crate) tag: Option<String>,
}

/// Transports as `skopeo` and `podman` write them.
const LOCAL: [(&str, Form); 3] = [
    ("oci:", Form::OciLayout),
    ("oci-archive:", Form::OciArchive),
    ("docker-archive:", Form::DockerArchive),
];

/// Schemes of what is no file.
const REMOTE: [&str; 3] = ["oci://", "http://", "https://"];

/// Of web servers.
const WEB: [&str; 2] = ["http://", "https://"];

/// What may stand before an image of a registry.
const REGISTRY: &str = "docker://";

/// Endings of files, which no name of a registry needs.
const FILES: [&str; 4] = [".aci", ".tar", ".oci", ".tgz"];

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or directory, see [`crate::Store::import`].
    Local,
    /// A registry, see [`crate::Store::fetch`].
    Registry(RegistryReference),
    /// The name of an ACI, to be read as an [`crate::AciName`].
    Name(String),
    /// The address of an ACI, see [`crate::Store::download`].
    Web(String),
}

impl Source {
    /// Tells by what a user writes. What is there as a file is a file; so is what begins as a path or ends as a file of an image does.
    pub fn parse(text: &str) -> Result<Self, BadReference> {
        if let Some(name) = text.strip_prefix(REGISTRY) {
            return Ok(Self::Registry(name.parse()?));
        }
        if WEB.iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(Self::Web(text.to_owned()));
        }
        if AciName::is_meant(text) {
            return Ok(Self::Name(text.to_owned()));
        }
        let has_scheme =
            text.contains("://") || LOCAL.iter().any(|(scheme, _)| text.starts_with(scheme));
        let is_path = text.is_empty() || text.starts_with(['/', '.']) || Path::new(text).exists();
        let is_file = FILES.iter().any(|ending| text.ends_with(ending));
        match has_scheme || is_path || is_file {
            true => Ok(Self::Local),
            false => Ok(Self::Registry(text.parse()?)),
        }
    }
}

impl Reference {
    pub(crate) fn parse(text: &str) -> Result<Self, SourceError> {
        if let Some(scheme) = REMOTE.into_iter().find(|scheme| text.starts_with(scheme)) {
            return Err(SourceError::Remote { scheme });
        }
        for (prefix, form) in LOCAL {
            if let Some(rest) = text.strip_prefix(prefix) {
                let (path, tag) = split_tag(rest);
                return Self::new(form, path, tag);
            }
        }
        let path = text.strip_prefix("file://").unwrap_or(text);
        Self::new(Form::Any, path, None)
    }

    fn new(form: Form, path: &str, tag: Option<&str>) -> Result<Self, SourceError> {
        if path.is_empty() {
            return Err(SourceError::Empty);
        }
        Ok(Self {
            form,
            path: path.into(),
            tag: tag.filter(|tag| !tag.is_empty()).map(str::to_owned),
        })
    }
}

/// `PATH[:TAG]`. A path with a colon wins if it exists; otherwise the first colon ends the path,
/// for a docker reference has colons of its own.
fn split_tag(rest: &str) -> (&str, Option<&str>) {
    match rest.split_once(':') {
        Some((path, tag)) if !Path::new(rest).exists() => (path, Some(tag)),
        _ => (rest, None),
    }
}

#[cfg(test)]
#[path = "reference_test.rs"]
mod tests;
