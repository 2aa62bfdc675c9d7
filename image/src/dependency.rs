//! What an image's manifest says of the images that it is put together from.

use std::collections::BTreeMap;

use bulkhead_trust::{BadPrefix, Prefix};
use serde::Deserialize;

use crate::digest::{BadDigest, ImageId};
use crate::discovery::{AciName, BadAciName};
use crate::limits::MAX_DEPENDENCIES;

/// An image that another one is put together from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// Its name, and labels that it must have.
    pub(crate) name: AciName,
    /// The SHA-512 of its uncompressed archive, if it must have just this one.
    pub(crate) id: Option<ImageId>,
    /// Bytes of its archive as it is fetched.
    pub(crate) size: Option<u64>,
}

/// A dependency that cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum BadDependency {
    /// The manifest is not the JSON that it should be.
    #[error("manifest is not valid")]
    Manifest(#[source] serde_json::Error),
    /// See the bound.
    #[error("manifest: {0} dependencies, and an image can have {MAX_DEPENDENCIES}")]
    TooMany(usize),
    /// Nothing can have this name.
    #[error("manifest: field dependencies[{0}].imageName")]
    Name(usize, #[source] BadPrefix),
    /// Labels that no image can be asked for with.
    #[error("manifest: field dependencies[{0}].labels")]
    Labels(usize, #[source] BadAciName),
    /// What is no id.
    #[error("manifest: field dependencies[{0}].imageID")]
    Id(usize, #[source] BadDigest),
}

#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    name: String,
    #[serde(default)]
    labels: Option<Vec<Label>>,
    #[serde(default)]
    dependencies: Option<Vec<Field>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    image_name: String,
    #[serde(default, rename = "imageID")]
    image_id: Option<String>,
    #[serde(default)]
    labels: Option<Vec<Label>>,
    #[serde(default)]
    size: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Label {
    name: String,
    value: String,
}

impl Dependency {
    /// Those of a manifest, in its order: what a later one has is over what earlier ones have.
    pub(crate) fn all_of(manifest: &[u8]) -> Result<Vec<Self>, BadDependency> {
        let manifest: Manifest =
            serde_json::from_slice(manifest).map_err(BadDependency::Manifest)?;
        let fields = manifest.dependencies.unwrap_or_default();
        if fields.len() > MAX_DEPENDENCIES {
            return Err(BadDependency::TooMany(fields.len()));
        }
        let numbered = fields.iter().enumerate();
        numbered.map(|(n, field)| Self::of(n, field)).collect()
    }

    fn of(number: usize, field: &Field) -> Result<Self, BadDependency> {
        let name: Prefix = field
            .image_name
            .parse()
            .map_err(|error| BadDependency::Name(number, error))?;
        let labels = field.labels.iter().flatten();
        let labels = labels.map(|label| (label.name.as_str(), label.value.as_str()));
        let name = AciName::with_labels(name, labels)
            .map_err(|error| BadDependency::Labels(number, error))?;
        let id = match field.image_id.as_deref() {
            None | Some("") => None,
            Some(id) => Some(id.parse().map_err(|e| BadDependency::Id(number, e))?),
        };
        Ok(Self {
            name,
            id,
            size: field.size,
        })
    }

    /// Whether an image is the one that is meant: of this name, and with this id, or else with these labels among its own.
    pub(crate) fn is_met_by(&self, archive: &ImageId, manifest: &[u8]) -> bool {
        let Ok(manifest) = serde_json::from_slice::<Manifest>(manifest) else {
            return false;
        };
        let has: BTreeMap<String, String> = manifest
            .labels
            .into_iter()
            .flatten()
            .map(|label| (label.name, label.value))
            .collect();
        manifest.name == self.name.name().as_str()
            && match &self.id {
                Some(id) => id == archive,
                None => self
                    .name
                    .labels()
                    .all(|(name, value)| has.get(name).is_some_and(|its_value| its_value == value)),
            }
    }
}

#[cfg(test)]
#[path = "dependency_test.rs"]
mod tests;
