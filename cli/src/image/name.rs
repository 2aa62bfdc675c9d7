//! How a user names images.

use std::path::Path;

use anyhow::Result;
use bulkhead_image::{FindImageError, Store, StoredImage};
use clap::Args;

/// One image.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImageName {
    /// The image's id, a beginning of it that no other has, or its name
    #[arg(value_name = "IMAGE")]
    name: String,
}

impl ImageName {
    /// The image of this name.
    pub(crate) fn find(&self, data: &Path) -> Result<StoredImage> {
        let (_, image) = find(data, &self.name)?;
        Ok(image)
    }
}

fn find(data: &Path, name: &str) -> Result<(Store, StoredImage)> {
    let Some(store) = Store::open_existing(data) else {
        return Err(FindImageError::NoImage(name.to_owned()).into());
    };
    let entry = store.find(name)?;
    Ok((store, entry.image))
}
