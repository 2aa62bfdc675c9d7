//! How a user names images.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use bulkhead_image::{FindImageError, Store, StoredImage};
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
    pub(crate) fn find(&self, data: &Path) -> Result<StoredImage> {
        let (_, image) = find(data, &self.name)?;
        Ok(image)
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
        act: impl Fn(&Store, &StoredImage) -> Result<()>,
    ) -> Result<ExitCode> {
        let mut failed = 0;
        let mut tell = |error: anyhow::Error| {
            eprint!("{}", report::tree(command, &error));
            failed += 1;
        };
        // Before anything is done: that may be what a name stands for.
        let mut found: Vec<StoredImage> = Vec::new();
        for name in &self.names {
            match find(data, name) {
                Ok((_, image)) if found.iter().any(|other| other.id == image.id) => {}
                Ok((_, image)) => found.push(image),
                Err(error) => tell(error),
            }
        }
        if let Some(store) = Store::open_existing(data) {
            let results = found.iter().map(|image| act(&store, image));
            results.filter_map(Result::err).for_each(tell);
        }
        match failed {
            0 => Ok(ExitCode::SUCCESS),
            1 => bail!("failed to {what} 1 image"),
            count => bail!("failed to {what} {count} images"),
        }
    }
}

fn find(data: &Path, name: &str) -> Result<(Store, StoredImage)> {
    let Some(store) = Store::open_existing(data) else {
        return Err(FindImageError::NoImage(name.to_owned()).into());
    };
    let entry = store.find(name)?;
    Ok((store, entry.image))
}
