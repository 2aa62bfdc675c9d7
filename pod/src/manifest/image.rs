//! The image manifest.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::app::App;
use super::bounds::{DEPENDENCIES_MAX, ENTRIES_MAX, PATH_WHITELIST_MAX, list};
use super::error::{Document, ManifestError, parse_json};
use super::metadata::{Annotation, Label};
use super::name::{AcIdentifier, AcVersion, ImageId};
use super::text::AbsolutePath;
use super::unique::{unique_annotations, unique_labels};

/// Annotations of images that were converted from Docker's or OCI's form begin with this.
const CONVERTED: &str = "appc.io/docker/";

/// A valid image manifest. Read its fields through [`ImageContents`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ImageManifest(ImageContents);

/// The fields of an image manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageContents {
    /// Always the same; it tells the manifests apart.
    pub ac_kind: ImageKind,
    /// Version of the specification that the manifest follows.
    pub ac_version: AcVersion,
    /// The image's name, without version.
    pub name: AcIdentifier,
    /// `version`, `os`, `arch` and what else tells images of one name apart.
    #[serde(
        default,
        deserialize_with = "list::<_, _, ENTRIES_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub labels: Vec<Label>,
    /// What to run, if the image is made to be run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// Images whose files lie below this one's.
    #[serde(
        default,
        deserialize_with = "list::<_, _, DEPENDENCIES_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub dependencies: Vec<Dependency>,
    /// The only paths that remain of image and dependencies; empty: all.
    #[serde(
        default,
        deserialize_with = "list::<_, _, PATH_WHITELIST_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub path_whitelist: Vec<AbsolutePath>,
    /// Notes for people and executors.
    #[serde(
        default,
        deserialize_with = "list::<_, _, ENTRIES_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub annotations: Vec<Annotation>,
}

/// The value of `acKind` in an image manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageKind {
    /// The only one.
    ImageManifest,
}

/// An image whose files lie below this one's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Its name.
    pub image_name: AcIdentifier,
    /// Its id, when only one image will do.
    #[serde(rename = "imageID", default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
    /// Labels that it must have.
    #[serde(
        default,
        deserialize_with = "list::<_, _, ENTRIES_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub labels: Vec<Label>,
    /// Its size in bytes, when it must have just that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl ImageManifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    ///
    /// Names the field (`image manifest: app.isolators[0]: …`) that is not valid.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        Self::new(parse_json(Document::Image, json)?)
    }

    /// Checks the rules between fields.
    ///
    /// # Errors
    ///
    /// Names the field that breaks a rule.
    pub fn new(contents: ImageContents) -> Result<Self, ManifestError> {
        let document = Document::Image;
        unique_labels(document, "labels", &contents.labels)?;
        unique_annotations(document, "annotations", &contents.annotations)?;
        for (index, dependency) in contents.dependencies.iter().enumerate() {
            let path = format!("dependencies[{index}].labels");
            unique_labels(document, &path, &dependency.labels)?;
        }
        if let Some(app) = &contents.app {
            app.check(document, "app")?;
        }
        Ok(Self(contents))
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|label| label.name.as_str() == name)
            .map(|l| l.value.as_str())
    }

    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations
            .iter()
            .find(|note| note.name.as_str() == name)
            .map(|n| n.value.as_str())
    }

    /// Whether it was converted from Docker's or OCI's form.
    #[must_use]
    pub fn is_converted(&self) -> bool {
        let mut names = self.annotations.iter().map(|a| a.name.as_str());
        names.any(|name| name.starts_with(CONVERTED))
    }

    /// The manifest as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("all keys are strings and nothing else can fail")
    }
}

impl Deref for ImageManifest {
    type Target = ImageContents;

    fn deref(&self) -> &ImageContents {
        &self.0
    }
}

#[cfg(test)]
#[path = "image_test.rs"]
mod tests;
