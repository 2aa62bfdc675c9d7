//! Where stage1 images are.

use std::env;
use std::path::{Path, PathBuf};

use bulkhead_pod::stage1_image::{Stage1Image, Stage1ImageError};
use thiserror::Error;

/// Where packages install stage1 images.
const SYSTEM_DIRECTORY: &str = "/usr/lib/bulkhead/stage1";
/// The same from the directory of the program, for installations elsewhere.
const RELATIVE_DIRECTORY: &str = "../lib/bulkhead/stage1";

/// No usable stage1 image.
#[derive(Debug, Error)]
pub(crate) enum Stage1Error {
    #[error("no stage1 image \"{name}\" in {}", list(searched))]
    NotFound {
        name: String,
        searched: Vec<PathBuf>,
    },
    #[error("stage1 image \"{name}\"")]
    Image {
        name: String,
        source: Stage1ImageError,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(" or ")
}

/// Opens the stage1 image that `--stage1` names: a directory when it contains a `/`, otherwise the
/// name of an installed image.
pub(crate) fn open(name: &str) -> Result<Stage1Image, Stage1Error> {
    let directory = find(name, &installed())?;
    // A relative path would not survive the change to the pod's directory.
    let directory = std::path::absolute(&directory).unwrap_or(directory);
    Stage1Image::open(&directory).map_err(|source| Stage1Error::Image {
        name: name.to_owned(),
        source,
    })
}

fn find(name: &str, installed: &[PathBuf]) -> Result<PathBuf, Stage1Error> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let not_found = || Stage1Error::NotFound {
        name: name.to_owned(),
        searched: installed.to_vec(),
    };
    if name.is_empty() || name.starts_with('.') {
        return Err(not_found());
    }
    let candidates = installed.iter().map(|directory| directory.join(name));
    candidates
        .into_iter()
        .find(|path| path.is_dir())
        .ok_or_else(not_found)
}

/// Directories of installed images, the nearest first.
fn installed() -> Vec<PathBuf> {
    let program = env::current_exe().ok();
    let beside = program
        .as_deref()
        .and_then(Path::parent)
        .map(|bin| bin.join(RELATIVE_DIRECTORY));
    let beside = beside.and_then(|path| path.canonicalize().ok());
    beside
        .into_iter()
        .chain([PathBuf::from(SYSTEM_DIRECTORY)])
        .collect()
}

#[cfg(test)]
#[path = "stage1_test.rs"]
mod tests;
