//! What a document is that an index names: another index, or a manifest.
//!
//! Whoever looked at an image before may have read a document as the other of the two. So what it has, what it says that it is and
//! what it is said to be must agree.

use super::OciError;
use super::document::{AnyDocument, Descriptor};
use super::resolve::parse;
use crate::bytes::Escaped;

/// What an index names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Index,
    Manifest,
}

const TYPES: [(&str, Kind); 4] = [
    ("application/vnd.oci.image.index.v1+json", Kind::Index),
    (
        "application/vnd.docker.distribution.manifest.list.v2+json",
        Kind::Index,
    ),
    ("application/vnd.oci.image.manifest.v1+json", Kind::Manifest),
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        Kind::Manifest,
    ),
];

/// With a signature or without.
const SCHEMA_1_TYPES: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// Tells what these bytes are. A media type may be missing: a registry does not say beforehand what a name stands for.
pub(super) fn kind_of(descriptor: &Descriptor, bytes: &[u8]) -> Result<Kind, OciError> {
    let name = format!("manifest {}", descriptor.digest);
    let any: AnyDocument = parse(&name, bytes)?;
    let types = [&descriptor.media_type, &any.media_type];
    if any.is_schema_1()
        || types
            .iter()
            .any(|text| SCHEMA_1_TYPES.contains(&text.as_str()))
    {
        return Err(OciError::Schema1 { document: name });
    }
    let kind = match any {
        AnyDocument {
            manifests: Some(_),
            config: None,
            layers: None,
            ..
        } => Kind::Index,
        AnyDocument {
            manifests: Some(_), ..
        } => return Err(OciError::TwoKinds { document: name }),
        _ => Kind::Manifest,
    };
    for text in types.into_iter().filter(|text| !text.is_empty()) {
        check_type(&name, kind, text)?;
    }
    Ok(kind)
}

fn check_type(document: &str, kind: Kind, media_type: &str) -> Result<(), OciError> {
    let (document, shown) = (document.to_owned(), Escaped::new(media_type.as_bytes()));
    match TYPES.iter().find(|(known, _)| *known == media_type) {
        Some((_, said)) if *said == kind => Ok(()),
        Some(_) => Err(OciError::OtherKind {
            document,
            is: match kind {
                Kind::Index => "an index",
                Kind::Manifest => "no index",
            },
            media_type: shown,
        }),
        None => Err(OciError::MediaType {
            document,
            media_type: shown,
        }),
    }
}
