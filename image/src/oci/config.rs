//! Checks of an image configuration.

use super::document::Config;
use super::resolve::parse_digest;
use super::{OciError, platform};
use crate::bytes::Escaped;
use crate::digest::Digest;
use crate::limits::MAX_LAYERS;

/// Checks the platform; returns the digests of the layers.
pub(super) fn check(config: &Config, digest: &str) -> Result<Vec<Digest>, OciError> {
    let document = format!("configuration {digest}");
    for (field, value) in [("os", &config.os), ("architecture", &config.architecture)] {
        if value.is_empty() {
            return Err(OciError::Field {
                document,
                field,
                problem: "is missing".to_owned(),
            });
        }
    }
    if platform::rank(&config.os, &config.architecture).is_none() {
        let found = format!("{}/{}", config.os, config.architecture);
        return Err(OciError::Platform {
            found: Escaped::new(found.as_bytes()).to_string(),
            host: platform::host(),
        });
    }
    let diff_ids = config.rootfs.diff_ids.as_deref().unwrap_or_default();
    if diff_ids.len() > MAX_LAYERS {
        return Err(OciError::TooManyLayers {
            document,
            count: diff_ids.len(),
        });
    }
    diff_ids
        .iter()
        .map(|text| parse_digest(&document, "rootfs.diff_ids", text))
        .collect()
}
