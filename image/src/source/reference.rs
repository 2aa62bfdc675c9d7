//! What a user writes for an image.

use std::path::{Path, PathBuf};

use bulkhead_protocol::import::Form;

use super::SourceError;

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

/// Schemes that need a network.
const REMOTE: [&str; 4] = ["docker://", "oci://", "http://", "https://"];

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
        let looks_local = path.starts_with(['/', '.']) || Path::new(path).exists();
        if !looks_local && path.contains('/') && !path.ends_with(".aci") && !path.ends_with(".tar")
        {
            // "example.com/app" may be meant as a name.
            return Err(SourceError::Name {
                name: path.to_owned(),
            });
        }
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
