//! The parts of an image, by what they are called in other parts.

use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::import as protocol;

use crate::digest::{BadDigest, Digest};

/// A part of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Member {
    /// What says which images there are.
    Index,
    /// A manifest, or an index of several.
    Manifest(Digest),
    /// A configuration or a layer.
    Blob {
        digest: Digest,
        /// In bytes.
        size: u64,
    },
    /// A file of an archive, whatever it is.
    Named(String),
}

impl Member {
    /// Its name in a layout or archive: relative, and without `..` but for [`Member::Named`], which is looked up in a list.
    pub(crate) fn name(&self) -> String {
        let blob = |digest: &Digest| format!("blobs/{}/{}", digest.algorithm(), digest.hex());
        match self {
            Self::Index => "index.json".to_owned(),
            Self::Manifest(digest) | Self::Blob { digest, .. } => blob(digest),
            Self::Named(name) => name.clone(),
        }
    }

    /// As it is asked for; a file of an archive is not.
    pub(crate) fn to_protocol(&self) -> Option<protocol::Member> {
        let text = |digest: &Digest| Text::try_from(digest.to_string()).ok();
        Some(match self {
            Self::Index => protocol::Member::Index,
            Self::Manifest(digest) => protocol::Member::Manifest(text(digest)?),
            Self::Blob { digest, size } => protocol::Member::Blob {
                digest: text(digest)?,
                size: *size,
            },
            Self::Named(_) => return None,
        })
    }
}

impl TryFrom<&protocol::Member> for Member {
    type Error = BadDigest;

    fn try_from(member: &protocol::Member) -> Result<Self, BadDigest> {
        Ok(match member {
            protocol::Member::Index => Self::Index,
            protocol::Member::Manifest(digest) => Self::Manifest(digest.parse()?),
            &protocol::Member::Blob { ref digest, size } => Self::Blob {
                digest: digest.parse()?,
                size,
            },
        })
    }
}
