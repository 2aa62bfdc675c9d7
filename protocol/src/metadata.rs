//! The metadata service of a pod: requests of apps, which the agent passes on, and the relay's answers.
//!
//! An app speaks HTTP to the agent, on the pod's loopback. The agent knows the shape of a request and nothing of its meaning; the
//! answers are made on the host, where the key is that signs.

use serde::{Deserialize, Serialize};

use crate::MAX_APPS;
use crate::agent::MAX_MANIFEST;
use crate::bounded::{Blob, List, Text};

/// TCP port on the pod's loopback address: the one that rkt's service had on its host.
pub const PORT: u16 = 18112;

/// Requests that wait for an answer at one time.
pub const MAX_REQUESTS: usize = 16;

/// Longest path of a request, with the token.
pub const MAX_PATH: usize = 1024;

/// Longest form that is posted, as it arrives. Whoever wants more signed signs a digest of it.
pub const MAX_FORM: usize = 16 << 10;

/// Longest token: the first element of every path.
pub const MAX_TOKEN: usize = 64;

/// Bytes of a pod's key: the output length of SHA-512, as RFC 2104 recommends at least.
pub const KEY_LENGTH: usize = 64;

/// Names a request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId(pub u32);

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// Anything else that looks like a method.
    Other,
}

/// From an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// For the answer.
    pub id: RequestId,
    /// What it does.
    pub method: Method,
    /// As it was written, without a query, with the token.
    pub path: Text<MAX_PATH>,
    /// What was posted.
    pub form: Blob<MAX_FORM>,
}

/// The status codes that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// 200.
    Ok,
    /// 400: the form lacks a field, or is not a form.
    BadRequest,
    /// 403: a signature that does not hold.
    Forbidden,
    /// 404: also for another token.
    NotFound,
    /// 405: the path has this method and no other.
    Only(Method),
}

/// The media types that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaType {
    /// `application/json`.
    Json,
    /// `text/plain; charset=us-ascii`.
    Text,
}

/// To an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it worked.
    pub status: Status,
    /// What `body` is.
    pub media_type: MediaType,
    /// The answer, or nothing where the status says it all.
    pub body: Blob<MAX_MANIFEST>,
}

/// What the relay needs to answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataSpec {
    /// The pod's name.
    pub uuid: Text<36>,
    /// The first element of every path: apps have it from their environment, so that a program which can be made to fetch any URL
    /// does not give the pod's manifest away.
    pub token: Text<MAX_TOKEN>,
    /// What signs. It never enters the guest.
    pub key: Blob<KEY_LENGTH>,
    /// The image manifests as they were stored, JSON; in the order of the pod manifest's apps.
    pub images: List<Blob<MAX_MANIFEST>, MAX_APPS>,
}

impl std::fmt::Debug for MetadataSpec {
    /// Without the key and the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetadataSpec")
            .field("uuid", &self.uuid)
            .finish_non_exhaustive()
    }
}
