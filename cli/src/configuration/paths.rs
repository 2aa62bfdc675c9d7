//! Where things are.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::files::Problem;

pub(super) const KIND: &str = "paths";

/// The fields of the kind `paths`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Paths {
    /// Images and pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<PathBuf>,
    /// Installed stage1 images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stage1_images: Option<PathBuf>,
}

impl Paths {
    pub(super) fn take(&mut self, other: Self) -> Result<(), Problem> {
        take_path(&mut self.data, other.data, "data")?;
        take_path(
            &mut self.stage1_images,
            other.stage1_images,
            "stage1-images",
        )
    }

    pub(super) fn override_with(&mut self, stronger: Self) {
        self.data = stronger.data.or(self.data.take());
        self.stage1_images = stronger.stage1_images.or(self.stage1_images.take());
    }
}

/// An empty text says nothing (rkt).
fn take_path(
    place: &mut Option<PathBuf>,
    path: Option<PathBuf>,
    what: &'static str,
) -> Result<(), Problem> {
    let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(());
    };
    if place.is_some() {
        return Err(Problem::Twice(what));
    }
    if !path.is_absolute() {
        return Err(Problem::Value {
            what,
            value: path.display().to_string(),
            problem: "is not an absolute path",
        });
    }
    *place = Some(path);
    Ok(())
}
