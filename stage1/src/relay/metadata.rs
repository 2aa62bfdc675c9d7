//! The answers of the metadata service (App Container specification, "App Container Metadata Service").
//!
//! They are made on the host, because the key that signs must never enter the guest, and because manifests that lie here
//! cost an idle guest no memory. What arrives is a request that an app wrote and an agent passed on: neither is trusted.
//!
//! Pure: no descriptor, thread or clock. The first path element, the token, is gone when a request comes here.
//!
//! `Metadata-Flavor` is absent on purpose: the specification's last version no longer asks for it, so clients that leave it
//! out are right too.

mod form;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_pod::Uuid;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;

use form::Form;

/// Bytes of a pod's key: the output length of SHA-512, as RFC 2104 recommends at least.
pub const KEY_LENGTH: usize = 64;

/// Longest form that is taken, in bytes as they arrive.
pub const MAX_FORM: usize = 64 << 10;

/// Where everything lies.
const ROOT: &str = "/acMetadata/v1/";

/// What the service knows of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppMetadata {
    /// The image's annotations with the app's over them, as JSON.
    pub annotations: Vec<u8>,
    /// The image manifest as it was stored, JSON.
    pub image_manifest: Vec<u8>,
    /// `sha512-…`.
    pub image_id: String,
}

/// What the service knows of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodMetadata {
    /// The pod's name.
    pub uuid: Uuid,
    /// The pod's annotations as JSON.
    pub annotations: Vec<u8>,
    /// The pod manifest, JSON.
    pub manifest: Vec<u8>,
    /// By name.
    pub apps: BTreeMap<String, AppMetadata>,
}

/// The status codes that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200.
    Ok,
    /// 400: the form lacks a field, or is not a form.
    BadRequest,
    /// 403: a signature that does not hold.
    Forbidden,
    /// 404.
    NotFound,
    /// 405: with the method that there is.
    MethodNotAllowed {
        /// For the header `Allow`.
        allow: &'static str,
    },
    /// 413: over [`MAX_FORM`].
    TooLarge,
}

/// The media types that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`.
    Json,
    /// `text/plain; charset=us-ascii`.
    Text,
}

impl MediaType {
    /// The value of `Content-Type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=us-ascii",
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether it worked.
    pub status: Status,
    /// What `body` is.
    pub media_type: MediaType,
    /// The answer, or nothing where the status says it all.
    pub body: Vec<u8>,
}

impl Answer {
    fn only(status: Status) -> Self {
        Self::text(status, String::new())
    }

    fn text(status: Status, text: String) -> Self {
        Self {
            status,
            media_type: MediaType::Text,
            body: text.into_bytes(),
        }
    }

    fn json(body: &[u8]) -> Self {
        Self {
            status: Status::Ok,
            media_type: MediaType::Json,
            body: body.to_vec(),
        }
    }
}

/// What a path names.
enum Endpoint<'a> {
    Json(&'a [u8]),
    Text(String),
    Sign,
    Verify,
}

/// The metadata service of one pod.
pub struct Service {
    pod: PodMetadata,
    key: [u8; KEY_LENGTH],
}

impl Service {
    /// A service that signs with `key`, which is random and this pod's alone.
    pub fn new(pod: PodMetadata, key: [u8; KEY_LENGTH]) -> Self {
        Self { pod, key }
    }

    /// Answers one request. `path` is what follows the token, without a query.
    pub fn answer(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let Some(endpoint) = self.endpoint(path) else {
            return Answer::only(Status::NotFound);
        };
        let allow = match endpoint {
            Endpoint::Json(_) | Endpoint::Text(_) => "GET",
            Endpoint::Sign | Endpoint::Verify => "POST",
        };
        if method != allow {
            return Answer::only(Status::MethodNotAllowed { allow });
        }
        match endpoint {
            Endpoint::Json(json) => Answer::json(json),
            Endpoint::Text(text) => Answer::text(Status::Ok, text),
            Endpoint::Sign => with_form(body, |form| self.sign(form)),
            Endpoint::Verify => with_form(body, |form| self.verify(form)),
        }
    }

    fn endpoint(&self, path: &str) -> Option<Endpoint<'_>> {
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
        Some(Answer::text(Status::Ok, STANDARD.encode(signature)))
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
        Some(Answer::only(status))
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
    if body.len() > MAX_FORM {
        return Answer::only(Status::TooLarge);
    }
    let form = Form::parse(body);
    form.and_then(|form| answer(&form))
        .unwrap_or_else(|| Answer::only(Status::BadRequest))
}

#[cfg(test)]
#[path = "metadata_test.rs"]
mod tests;
