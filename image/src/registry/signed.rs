//! Whether an image of a registry may be taken: what the policy says, and cosign's signatures of it.
//!
//! They lie beside the image, under a tag that is made of its digest: a manifest whose layers are what was signed, each with a
//! signature in an annotation (`specs/SIGNATURE_SPEC.md` of cosign). Whoever answers for the registry can leave some out, or show
//! others; without one of somebody who is trusted nothing of the image is taken.

use std::collections::BTreeMap;
use std::io::Read;

use bulkhead_trust::{
    CosignError, CosignSignature, CosignSigners, MAX_PAYLOAD_BYTES, check_cosign,
};
use serde::Deserialize;

use super::Download;
use super::fetcher::FetchError;
use crate::digest::{BadDigest, Digest};

/// Signatures that are looked at.
const MAX_SIGNATURES: usize = 64;

const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";

/// Which images of registries are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// All.
    Accept,
    /// None.
    Reject,
    /// Those that one of these has signed.
    Signed(CosignSigners),
}

/// An image that the policy does not let in.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// By its name.
    #[error("the policy rejects it")]
    Rejected,
    /// There is nothing beside it.
    #[error("the policy wants it signed, and the registry gives no {tag}")]
    Unsigned {
        /// Where signatures would be.
        tag: String,
        /// The registry's word.
        source: Box<FetchError>,
    },
    /// What is beside it is no manifest.
    #[error("the policy wants it signed, and {tag} is no list of signatures")]
    Form {
        /// Where it is.
        tag: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A signature cannot be brought.
    #[error("a signature in {tag}")]
    Payload {
        /// Where it is.
        tag: String,
        /// Why not.
        source: Box<FetchError>,
    },
    /// A name of a blob that is none.
    #[error("a signature in {tag}")]
    Digest {
        /// Where it is.
        tag: String,
        /// What is wrong.
        source: BadDigest,
    },
    /// There are signatures, and none of them counts.
    #[error("the policy wants it signed; of {count} signatures in {tag} none counts")]
    NoneCounts {
        /// Where they are.
        tag: String,
        /// How many were looked at.
        count: usize,
        /// What is wrong with the last one.
        source: Option<CosignError>,
    },
}

#[derive(Deserialize)]
struct Manifest {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Layer {
    /// None of what is no signature.
    fn signature(&self) -> Option<CosignSignature<'_>> {
        let fits = self.media_type == PAYLOAD_TYPE && self.size <= MAX_PAYLOAD_BYTES;
        let annotation = |name| self.annotations.get(name).map(String::as_str);
        let signature = annotation(SIGNATURE)?;
        fits.then(|| CosignSignature {
            signature,
            certificate: annotation(CERTIFICATE),
            chain: annotation(CHAIN),
            bundle: annotation(BUNDLE),
        })
    }
}

impl Download<'_> {
    /// Before anything of the image but its manifest is brought.
    pub(super) fn check_policy(&self, digest: &Digest) -> Result<(), FetchError> {
        match &self.policy {
            Policy::Accept => Ok(()),
            Policy::Reject => Err(PolicyError::Rejected.into()),
            Policy::Signed(signers) => Ok(self.check_signatures(&digest.to_string(), signers)?),
        }
    }

    fn check_signatures(&self, digest: &str, signers: &CosignSigners) -> Result<(), PolicyError> {
        let tag = format!("{}.sig", digest.replace(':', "-"));
        let manifest = self.bring_manifest(&tag).map_err(|source| {
            let (tag, source) = (tag.clone(), Box::new(source));
            PolicyError::Unsigned { tag, source }
        })?;
        let manifest: Manifest = serde_json::from_slice(&manifest).map_err(|source| {
            let tag = tag.clone();
            PolicyError::Form { tag, source }
        })?;
        let signatures = manifest.layers.iter();
        let signatures = signatures.filter_map(|layer| Some((layer, layer.signature()?)));
        let (mut count, mut wrong) = (0, None);
        for (layer, signature) in signatures.take(MAX_SIGNATURES) {
            count += 1;
            let payload = self.payload(layer, &tag)?;
            match check_cosign(&payload, &signature, digest, signers) {
                Ok(()) => return Ok(()),
                Err(error) => wrong = Some(error),
            }
        }
        Err(PolicyError::NoneCounts {
            tag,
            count,
            source: wrong,
        })
    }

    /// Its digest need not be checked: the signature is of its bytes.
    fn payload(&self, layer: &Layer, tag: &str) -> Result<Vec<u8>, PolicyError> {
        let digest = layer.digest.parse::<Digest>().map_err(|source| {
            let tag = tag.to_owned();
            PolicyError::Digest { tag, source }
        })?;
        let read = || -> Result<Vec<u8>, FetchError> {
            let mut payload = Vec::new();
            let pipe = self.blob(&digest, layer.size)?;
            let read = pipe.take(MAX_PAYLOAD_BYTES).read_to_end(&mut payload);
            read.map_err(FetchError::io("read what was signed"))?;
            Ok(payload)
        };
        read().map_err(|source| {
            let (tag, source) = (tag.to_owned(), Box::new(source));
            PolicyError::Payload { tag, source }
        })
    }
}
