//! What a pod's metadata service is guarded by, what it signs with, and what it tells.

use std::fmt::Write;

use anyhow::{Context, Result};
use bulkhead_protocol::bounded::{Blob, List, Text};
use bulkhead_protocol::metadata::{KEY_LENGTH, MetadataSpec};
use bulkhead_stage1::plan::Image;
use rustix::rand::{GetRandomFlags, getrandom};

/// Random bytes of a token: as many as rkt's had.
const TOKEN_LENGTH: usize = 16;

/// What nobody may guess.
pub(crate) struct Secrets {
    /// What the path of every request begins with.
    pub(crate) token: String,
    key: [u8; KEY_LENGTH],
}

impl Secrets {
    /// With this token, if one was chosen.
    pub(crate) fn draw(token: Option<String>) -> Result<Self> {
        let mut bytes = [0; TOKEN_LENGTH + KEY_LENGTH];
        // At most 256 bytes come whole (getrandom(2)).
        getrandom(&mut bytes, GetRandomFlags::empty())
            .context("draw the metadata service's key")?;
        let (random, rest) = bytes.split_at(TOKEN_LENGTH);
        let mut key = [0; KEY_LENGTH];
        key.copy_from_slice(rest);
        Ok(Self {
            token: token.unwrap_or_else(|| digits(random)),
            key,
        })
    }

    /// All that the relay needs to answer.
    pub(crate) fn into_spec(self, uuid: &str, images: Vec<Image>) -> Result<MetadataSpec> {
        let images = images.into_iter().map(|image| Blob::try_from(image.json));
        let images: Result<Vec<_>, _> = images.collect();
        let images = images.context("an image's manifest")?;
        Ok(MetadataSpec {
            uuid: Text::try_from(uuid).context("the pod's UUID")?,
            token: Text::try_from(self.token).context("the metadata service's token")?,
            key: Blob::try_from(&self.key[..]).context("the metadata service's key")?,
            images: List::try_from(images).context("the pod's images")?,
        })
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Strings take everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
