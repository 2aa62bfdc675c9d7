//! The answers of the metadata service (App Container specification, "App Container Metadata Service").
//!
//! They are made on the host, because the key that signs must never enter the guest, and because manifests that lie here
//! cost an idle guest no memory. What arrives is a request that an app wrote and an agent passed on: neither is trusted.
//!
//! Pure: no descriptor, thread or clock.
//!
//! `Metadata-Flavor` is absent on purpose: the specification's last version no longer asks for it, so clients that leave it
//! out are right too.

mod form;

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_pod::Uuid;
use bulkhead_pod::manifest::{
    Annotation, ImageManifest, ManifestError, PodContents, PodManifest, RuntimeApp,
    annotations_json, set_annotation,
};
use bulkhead_protocol::bounded::{Blob, BoundError};
use bulkhead_protocol::metadata::{
    Answer, KEY_LENGTH, MediaType, MetadataSpec, Method, Request, Status,
};
use bulkhead_protocol::plan::AppName;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;

use form::Form;

/// Where everything lies, behind the token.
const ROOT: &str = "acMetadata/v1/";

/// A specification that is none. The supervisor has read the same manifests before.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// A manifest.
    #[error("what the metadata service is to answer")]
    Manifest(#[from] ManifestError),
    /// The pod's name.
    #[error("the pod's name {0:?}")]
    Uuid(String),
    /// Annotations of image and pod together are longer than a manifest.
    #[error("the annotations of app {app}")]
    Annotations {
        /// Which.
        app: String,
        /// How long they are.
        source: BoundError,
    },
    /// The images are not those of the apps.
    #[error("{apps} apps and {images} images")]
    Images {
        /// In the pod manifest.
        apps: usize,
        /// Given.
        images: usize,
    },
}

/// A document that is passed on.
pub type Json = Blob<{ bulkhead_protocol::agent::MAX_MANIFEST }>;

/// What the service knows of an app.
struct AppMetadata {
    /// The image's annotations with the app's over them.
    annotations: Json,
    /// As it was stored.
    image_manifest: Json,
    /// `sha512-…`.
    image_id: String,
}

impl AppMetadata {
    fn read(app: &RuntimeApp, image_manifest: &Json) -> Result<Self, MetadataError> {
        let mut merged = ImageManifest::parse(image_manifest)?.annotations.clone();
        for own in &app.annotations {
            set_annotation(&mut merged, own.name.clone(), own.value.clone());
        }
        Ok(Self {
            annotations: annotations(app.name.as_str(), &merged)?,
            image_manifest: image_manifest.clone(),
            image_id: app.image.id.to_string(),
        })
    }
}

fn annotations(whose: &str, annotations: &[Annotation]) -> Result<Json, MetadataError> {
    Json::try_from(annotations_json(annotations)).map_err(|source| MetadataError::Annotations {
        app: whose.to_owned(),
        source,
    })
}

/// What the service knows of a pod.
struct PodMetadata {
    uuid: Uuid,
    annotations: Json,
    manifest: Json,
    apps: BTreeMap<String, AppMetadata>,
}

impl PodMetadata {
    fn read(spec: &MetadataSpec, manifest: &Json) -> Result<Self, MetadataError> {
        let pod = PodManifest::parse(manifest)?;
        if pod.apps.len() != spec.images.len() {
            return Err(MetadataError::Images {
                apps: pod.apps.len(),
                images: spec.images.len(),
            });
        }
        let mut apps = BTreeMap::new();
        for (app, image_manifest) in pod.apps.iter().zip(&spec.images) {
            let known = AppMetadata::read(app, image_manifest)?;
            apps.insert(app.name.to_string(), known);
        }
        let uuid = spec.uuid.parse();
        Ok(Self {
            uuid: uuid.map_err(|_| MetadataError::Uuid(spec.uuid.to_string()))?,
            annotations: annotations("of the pod", &pod.annotations)?,
            manifest: manifest.clone(),
            apps,
        })
    }
}

fn without(manifest: &Json, app: &AppName) -> Result<Json, MetadataError> {
    let mut contents = PodContents::clone(&*PodManifest::parse(manifest)?);
    contents
        .apps
        .retain(|other| other.name.as_str() != app.as_str());
    let json = PodManifest::new(contents)?.to_json();
    Json::try_from(json).map_err(|source| MetadataError::Annotations {
        app: app.to_string(),
        source,
    })
}

fn only(status: Status) -> Answer {
    text(status, "")
}

fn text(status: Status, text: &str) -> Answer {
    Answer {
        status,
        media_type: MediaType::Text,
        body: Blob::try_from(text.as_bytes()).expect("an id or a signature"),
    }
}

fn json(body: &Json) -> Answer {
    Answer {
        status: Status::Ok,
        media_type: MediaType::Json,
        body: body.clone(),
    }
}

/// What a path names.
enum Endpoint<'a> {
    Json(&'a Json),
    Text(String),
    Sign,
    Verify,
}

/// Whether [`Service::add`] takes an app of this image.
///
/// # Errors
/// As there.
pub fn check(app: &RuntimeApp, image_manifest: &Json) -> Result<(), MetadataError> {
    AppMetadata::read(app, image_manifest).map(|_| ())
}

/// The metadata service of one pod.
pub struct Service {
    pod: PodMetadata,
    token: String,
    key: [u8; KEY_LENGTH],
}

impl fmt::Debug for Service {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("pod", &self.pod.uuid)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// A service for the pod of this manifest.
    ///
    /// # Errors
    /// Manifests that are none.
    pub fn new(spec: &MetadataSpec, manifest: &Json) -> Result<Self, MetadataError> {
        let mut key = [0; KEY_LENGTH];
        // A shorter key is one with zeros behind it (RFC 2104, section 2).
        key[..spec.key.len()].copy_from_slice(&spec.key);
        Ok(Self {
            pod: PodMetadata::read(spec, manifest)?,
            token: spec.token.to_string(),
            key,
        })
    }

    /// The pod has one more app, and this manifest with it.
    ///
    /// # Errors
    /// Manifests that are none, or none of this app.
    pub fn add(
        &mut self,
        app: &AppName,
        manifest: &Json,
        image_manifest: &Json,
    ) -> Result<(), MetadataError> {
        let pod = PodManifest::parse(manifest)?;
        let planned = pod.app(app.as_str()).ok_or(MetadataError::Images {
            apps: pod.apps.len(),
            images: 1,
        })?;
        let known = AppMetadata::read(planned, image_manifest)?;
        self.pod.manifest = manifest.clone();
        self.pod.apps.insert(app.to_string(), known);
        Ok(())
    }

    /// The pod has lost an app.
    pub fn remove(&mut self, app: &AppName) {
        self.pod.apps.remove(app.as_str());
        if let Ok(manifest) = without(&self.pod.manifest, app) {
            self.pod.manifest = manifest;
        }
    }

    /// Answers one request.
    pub fn answer(&self, request: &Request) -> Answer {
        let Some(endpoint) = self.endpoint(&request.path) else {
            return only(Status::NotFound);
        };
        let allowed = match endpoint {
            Endpoint::Json(_) | Endpoint::Text(_) => Method::Get,
            Endpoint::Sign | Endpoint::Verify => Method::Post,
        };
        if request.method != allowed {
            return only(Status::Only(allowed));
        }
        match endpoint {
            Endpoint::Json(body) => json(body),
            Endpoint::Text(body) => text(Status::Ok, &body),
            Endpoint::Sign => with_form(&request.form, |form| self.sign(form)),
            Endpoint::Verify => with_form(&request.form, |form| self.verify(form)),
        }
    }

    fn endpoint(&self, path: &str) -> Option<Endpoint<'_>> {
        let (token, path) = path.strip_prefix('/')?.split_once('/')?;
        if token != self.token {
            return None;
        }
        let path = path.strip_prefix(ROOT)?;
        match path {
            "pod/annotations" => return Some(Endpoint::Json(&self.pod.annotations)),
            "pod/manifest" => return Some(Endpoint::Json(&self.pod.manifest)),
            "pod/uuid" => return Some(Endpoint::Text(self.pod.uuid.to_string())),
            "pod/hmac/sign" => return Some(Endpoint::Sign),
            "pod/hmac/verify" => return Some(Endpoint::Verify),
            _ => {}
        }
        let (name, entry) = path.strip_prefix("apps/")?.split_once('/')?;
        let app = self.pod.apps.get(name)?;
        match entry {
            "annotations" => Some(Endpoint::Json(&app.annotations)),
            "image/manifest" => Some(Endpoint::Json(&app.image_manifest)),
            "image/id" => Some(Endpoint::Text(app.image_id.clone())),
            _ => None,
        }
    }

    fn sign(&self, form: &Form) -> Option<Answer> {
        let signature = self.mac(form.field("content")?).finalize().into_bytes();
        Some(text(Status::Ok, &STANDARD.encode(signature)))
    }

    /// Another pod's signature never holds here: each pod has a key of its own, so that a guest that takes over its relay
    /// can speak for no pod but its own.
    fn verify(&self, form: &Form) -> Option<Answer> {
        let content = form.field("content")?;
        let uuid = std::str::from_utf8(form.field("uuid")?).ok()?;
        let uuid: Uuid = uuid.parse().ok()?;
        let signature = STANDARD.decode(form.field("signature")?).ok()?;
        // In constant time: a guest must not find a signature byte by byte.
        let holds = self.mac(content).verify_slice(&signature).is_ok() && uuid == self.pod.uuid;
        let status = if holds { Status::Ok } else { Status::Forbidden };
        Some(only(status))
    }

    /// HMAC-SHA512 of the pod's UUID in text, which has one length, and `content`.
    fn mac(&self, content: &[u8]) -> Hmac<Sha512> {
        let mut mac =
            Hmac::<Sha512>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(self.pod.uuid.to_string().as_bytes());
        mac.update(content);
        mac
    }
}

/// Reads the form and asks `answer`, whose `None` says that a field is missing or makes no sense.
fn with_form(body: &[u8], answer: impl FnOnce(&Form) -> Option<Answer>) -> Answer {
    let form = Form::parse(body);
    form.and_then(|form| answer(&form))
        .unwrap_or_else(|| only(Status::BadRequest))
}

#[cfg(test)]
#[path = "metadata_test.rs"]
mod tests;
