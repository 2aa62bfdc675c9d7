//! The JSON documents, as far as they matter here. Unknown fields are left alone, as the formats
//! ask.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// `index.json`, or an index blob (OCI image index, Docker manifest list).
#[derive(Debug, Deserialize)]
pub(super) struct Index {
    pub(super) manifests: Vec<Descriptor>,
}

/// A reference to a blob.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default)]
    pub(super) annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) platform: Option<Platform>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
}

/// An image manifest.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// An image configuration.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) created: Option<String>,
    #[serde(default)]
    pub(super) author: Option<String>,
    #[serde(default)]
    pub(super) config: Option<Execution>,
    pub(super) rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
pub(super) struct RootFs {
    // Docker writes null for an image without layers.
    #[serde(default)]
    pub(super) diff_ids: Option<Vec<String>>,
}

/// How the image wants to be run. Docker writes null for what is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Execution {
    #[serde(default)]
    pub(super) user: Option<String>,
    #[serde(default)]
    pub(super) exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(default)]
    pub(super) env: Option<Vec<String>>,
    #[serde(default)]
    pub(super) entrypoint: Option<Vec<String>>,
    #[serde(default)]
    pub(super) cmd: Option<Vec<String>>,
    #[serde(default)]
    pub(super) volumes: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(default)]
    pub(super) working_dir: Option<String>,
    #[serde(default)]
    pub(super) labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) stop_signal: Option<String>,
}

/// One image of a `docker save` archive's `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    pub(super) config: String,
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(super) layers: Option<Vec<String>>,
}

/// An index or a manifest, of any schema.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnyDocument {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    pub(super) media_type: String,
    /// Only an index has them.
    pub(super) manifests: Option<IgnoredAny>,
    /// These two only a manifest has.
    pub(super) config: Option<IgnoredAny>,
    pub(super) layers: Option<IgnoredAny>,
    /// Only a manifest of Docker's schema 1 has them.
    fs_layers: Option<IgnoredAny>,
}

impl AnyDocument {
    pub(super) fn is_schema_1(&self) -> bool {
        self.schema_version == Some(1) || self.fs_layers.is_some()
    }
}
