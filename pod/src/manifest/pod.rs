//! The pod manifest.

use std::net::IpAddr;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::app::App;
use super::bounds::{APPS_MAX, ENTRIES_MAX, ISOLATORS_MAX, PORTS_MAX, VOLUMES_MAX, list, text_map};
use super::error::{Document, ManifestError, parse_json};
use super::isolator::{self, PodIsolator};
use super::metadata::{Annotation, Label, TextMap};
use super::name::{AcIdentifier, AcName, AcVersion, ImageId};
use super::port::{ExposedPort, Protocol};
use super::text::AbsolutePath;
use super::unique::{unique, unique_annotations, unique_labels};
use super::volume::Volume;

const DOCUMENT: Document = Document::Pod;

/// A valid pod manifest. Read its fields through [`PodContents`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PodManifest(PodContents);

/// The fields of a pod manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodContents {
    /// Version of the specification that the manifest follows.
    pub ac_version: AcVersion,
    /// Always the same; it tells the manifests apart.
    pub ac_kind: PodKind,
    /// The apps; each name once.
    #[serde(default, deserialize_with = "list::<_, _, APPS_MAX>")]
    pub apps: Vec<RuntimeApp>,
    /// What the apps can mount; each name once.
    #[serde(
        default,
        deserialize_with = "list::<_, _, VOLUMES_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub volumes: Vec<Volume>,
    /// What the pod as a whole may use; each name once.
    #[serde(
        default,
        deserialize_with = "list::<_, _, ISOLATORS_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub isolators: Vec<PodIsolator>,
    /// Notes for executors.
    #[serde(
        default,
        deserialize_with = "list::<_, _, ENTRIES_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub annotations: Vec<Annotation>,
    /// Ports of the host that lead into the pod.
    #[serde(
        default,
        deserialize_with = "list::<_, _, PORTS_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub ports: Vec<ExposedPort>,
    /// The user's own notes.
    #[serde(
        default,
        deserialize_with = "text_map",
        skip_serializing_if = "TextMap::is_empty"
    )]
    pub user_annotations: TextMap,
    /// The user's own labels.
    #[serde(
        default,
        deserialize_with = "text_map",
        skip_serializing_if = "TextMap::is_empty"
    )]
    pub user_labels: TextMap,
}

/// The value of `acKind` in a pod manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodKind {
    /// The only one.
    PodManifest,
}

/// One app of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeApp {
    /// Its name in the pod.
    pub name: AcName,
    /// Its image.
    pub image: RuntimeImage,
    /// What to run, in place of what the image says; none: as the image says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// Whether its root is read-only (volumes are not affected).
    #[serde(
        rename = "readOnlyRootFS",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub read_only_root_fs: bool,
    /// Which volumes it sees, and where.
    #[serde(
        default,
        deserialize_with = "list::<_, _, VOLUMES_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub mounts: Vec<Mount>,
    /// Notes for executors.
    #[serde(
        default,
        deserialize_with = "list::<_, _, ENTRIES_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub annotations: Vec<Annotation>,
}

/// The image of a pod's app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeImage {
    /// Which image, exactly.
    pub id: ImageId,
    /// Its name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AcIdentifier>,
    /// Its labels, for people.
    #[serde(
        default,
        deserialize_with = "list::<_, _, ENTRIES_MAX>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub labels: Vec<Label>,
}

/// A volume in an app's file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// A volume of the pod, unless `app_volume` is given.
    pub volume: AcName,
    /// Where in the app's file system.
    pub path: AbsolutePath,
    /// A volume of this app alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_volume: Option<Volume>,
}

impl PodManifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    ///
    /// Names the field (`pod manifest: apps[1].name: …`) that is not valid.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        Self::new(parse_json(DOCUMENT, json)?)
    }

    /// Checks the rules between fields.
    ///
    /// # Errors
    ///
    /// Names the field that breaks a rule.
    pub fn new(contents: PodContents) -> Result<Self, ManifestError> {
        contents.check_apps()?;
        let volumes = &contents.volumes;
        unique(DOCUMENT, "volumes", volumes, "name", |v| {
            v.name.as_str().to_owned()
        })?;
        contents.check_mounts()?;
        isolator::check(
            DOCUMENT,
            "isolators",
            contents.isolators.iter().map(PodIsolator::name),
        )?;
        unique_annotations(DOCUMENT, "annotations", &contents.annotations)?;
        contents.check_ports()?;
        Ok(Self(contents))
    }

    /// The app of this name.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&RuntimeApp> {
        self.apps.iter().find(|app| app.name.as_str() == name)
    }

    /// The manifest as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("all keys are strings and nothing else can fail")
    }
}

impl Deref for PodManifest {
    type Target = PodContents;

    fn deref(&self) -> &PodContents {
        &self.0
    }
}

impl PodContents {
    fn check_apps(&self) -> Result<(), ManifestError> {
        unique(DOCUMENT, "apps", &self.apps, "name", |app| {
            app.name.as_str().to_owned()
        })?;
        for (index, app) in self.apps.iter().enumerate() {
            let path = format!("apps[{index}]");
            unique_labels(DOCUMENT, &format!("{path}.image.labels"), &app.image.labels)?;
            unique_annotations(DOCUMENT, &format!("{path}.annotations"), &app.annotations)?;
            if let Some(app) = &app.app {
                app.check(DOCUMENT, &format!("{path}.app"))?;
            }
        }
        Ok(())
    }

    fn check_mounts(&self) -> Result<(), ManifestError> {
        for (index, app) in self.apps.iter().enumerate() {
            for (mount_index, mount) in app.mounts.iter().enumerate() {
                let declared = self
                    .volumes
                    .iter()
                    .any(|volume| volume.name == mount.volume);
                if mount.app_volume.is_none() && !declared {
                    let path = format!("apps[{index}].mounts[{mount_index}].volume");
                    let problem = format!("dangling mount point: no volume \"{}\"", mount.volume);
                    return Err(ManifestError::new(DOCUMENT, path, problem));
                }
            }
        }
        Ok(())
    }

    /// Each exposed port leads to one port, and no two want the same of the host.
    fn check_ports(&self) -> Result<(), ManifestError> {
        let mut taken: Vec<(Protocol, u16, Option<IpAddr>)> = Vec::new();
        for (index, port) in self.ports.iter().enumerate() {
            let path = |field| format!("ports[{index}].{field}");
            let Some(protocol) = self.exposed_protocol(port, &path("name"))? else {
                continue;
            };
            let host_port = port.host_port.get();
            let conflict = taken.iter().any(|(other, number, ip)| {
                *other == protocol && *number == host_port && overlap(*ip, port.host_ip)
            });
            if conflict {
                let problem = format!("{host_port} is exposed already");
                return Err(ManifestError::new(DOCUMENT, path("hostPort"), problem));
            }
            taken.push((protocol, host_port, port.host_ip));
        }
        Ok(())
    }

    /// The protocol of what a port leads to. None: it is a port of an app whose image only says so.
    fn exposed_protocol(
        &self,
        port: &ExposedPort,
        path: &str,
    ) -> Result<Option<Protocol>, ManifestError> {
        if let Some(pod_port) = &port.pod_port {
            return Ok(Some(pod_port.protocol));
        }
        let declared = self.apps.iter().filter_map(|app| app.app.as_ref());
        let targets: Vec<_> = declared
            .flat_map(|app| &app.ports)
            .filter(|p| p.name == port.name)
            .collect();
        match targets.as_slice() {
            [target] => Ok(Some(target.protocol)),
            [] if self.apps.iter().any(|app| app.app.is_none()) => Ok(None),
            [] => {
                let problem = format!("no app has a port \"{}\"", port.name);
                Err(ManifestError::new(DOCUMENT, path, problem))
            }
            _ => {
                let problem = format!("several apps have a port \"{}\"", port.name);
                Err(ManifestError::new(DOCUMENT, path, problem))
            }
        }
    }
}

/// Whether two listeners of one port meet: on the same address, or where one listens on all.
fn overlap(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    let all = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
    all(a) || all(b) || a == b
}

#[cfg(test)]
#[path = "pod_test.rs"]
mod tests;
