//! How a user names images.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use bulkhead_image::{FindImageError, ImageId, Store, StoredImage};
use clap::Args;

use crate::report;

/// One image.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImageName {
    /// The image's id, a beginning of it that no other has, or its name
    #[arg(value_name = "IMAGE")]
    name: String,
}

impl ImageName {
    /// The image of this name.
    pub(crate) fn find(&self, data: &Path) -> Result<StoredImage, FindImageError> {
        match Store::open_existing(data) {
            Some(store) => Ok(store.find(&self.name)?.image),
            None => Err(FindImageError::NoImage(self.name.clone())),
        }
    }
}

/// Some images.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImageNames {
    /// The images' ids, beginnings of them that no others have, or names
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<String>,
}

impl ImageNames {
    /// Does something with each image, tells what fails with one, and goes on with the next. An image that was named twice is one.
    pub(crate) fn each(
        &self,
        command: &str,
        what: &str,
        data: &Path,
        act: impl Fn(&Store, &str, &ImageId) -> Result<()>,
    ) -> Result<ExitCode> {
        let mut failed = 0;
        let mut tell = |error: anyhow::Error| {
            eprint!("{}", report::tree(command, &error));
            failed += 1;
        };
        // Before anything is done: that may be what a name stands for.
        let store = Store::open_existing(data);
        let mut found: Vec<(&str, ImageId)> = Vec::new();
        for name in &self.names {
            match find_id(store.as_ref(), name) {
                Ok(id) if found.iter().any(|(_, other)| *other == id) => {}
                Ok(id) => found.push((name, id)),
                Err(error) => tell(error.into()),
            }
        }
        if let Some(store) = store {
            let results = found.iter().map(|(name, id)| act(&store, name, id));
            results.filter_map(Result::err).for_each(tell);
        }
        match failed {
            0 => Ok(ExitCode::SUCCESS),
            1 => bail!("failed to {what} 1 image"),
            count => bail!("failed to {what} {count} images"),
        }
    }
}

/// The image need not be whole.
fn find_id(store: Option<&Store>, name: &str) -> Result<ImageId, FindImageError> {
    match store {
        Some(store) => store.find_id(name),
        None => Err(FindImageError::NoImage(name.to_owned())),
    }
}
