//! Real images as test input: their contents come from Debian packages, their formats from umoci,
//! skopeo and actool.
//!
//! They are built natively, once, and kept in the user's cache directory under the hash of the
//! recipes; the tests find them by the environment variable [`DIRECTORY_VARIABLE`].

mod busybox;
mod database;
mod debian;
mod exerciser;
mod inspect;
mod layers;
mod probe;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Debian packages that [`prepare`] needs.
pub const PACKAGES: &[&str] = &[
    "appc-spec",
    "attr",
    "busybox-static",
    "bzip2",
    "debian-archive-keyring",
    "mmdebstrap",
    "skopeo",
    "umoci",
    "xz-utils",
];

/// Names the directory of the built images for the tests.
pub const DIRECTORY_VARIABLE: &str = "BULKHEAD_TEST_IMAGES";

/// Everything that decides what the images are, but for the versions of Debian's packages.
const RECIPES: [&str; 16] = [
    include_str!("images.rs"),
    include_str!("images/busybox.rs"),
    include_str!("images/database.rs"),
    include_str!("images/debian.rs"),
    include_str!("images/exerciser.rs"),
    include_str!("images/inspect.rs"),
    include_str!("images/layers.rs"),
    include_str!("images/probe.rs"),
    include_str!("../../guest-kernel/probe/syscalls.c"),
    include_str!("images/tools.rs"),
    include_str!("../inspect/Cargo.toml"),
    include_str!("../inspect/src/devices.rs"),
    include_str!("../inspect/src/main.rs"),
    include_str!("../inspect/src/measure.rs"),
    include_str!("../inspect/src/mounts.rs"),
    include_str!("../inspect/src/process.rs"),
];

/// Directory of the built images.
///
/// # Panics
/// When the tests were not started by `cargo xtask test`.
#[must_use]
pub fn directory() -> PathBuf {
    std::env::var_os(DIRECTORY_VARIABLE).map_or_else(
        || {
            panic!(
                "{DIRECTORY_VARIABLE} is not set: start the end-to-end tests by `cargo xtask test`"
            )
        },
        PathBuf::from,
    )
}

/// A built image by its file name; the functions of the submodules name them.
fn image(name: &str) -> PathBuf {
    let path = directory().join(name);
    assert!(path.exists(), "no test image {}", path.display());
    path
}

pub use busybox::{
    busybox_aci, busybox_aci_bzip2, busybox_aci_gzip, busybox_aci_xz, busybox_docker_archive,
    busybox_oci, busybox_oci_archive, exits_aci,
};
pub use database::database_oci;
pub use debian::{python_docker_archive, redis_oci};
pub use exerciser::exerciser_oci;
pub use inspect::{INSPECT_ARCHIVE, inspect_oci_archive};
pub use layers::layers_oci;
pub use probe::probe_oci;

/// Builds the small images that the demo needs and returns their directory.
///
/// # Errors
/// A tool is missing or fails; the message has its output.
pub fn prepare_busybox(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    once("busybox", progress, busybox::build)
}

/// Builds the image of the program that inspects its surroundings, and returns its directory.
///
/// # Errors
/// A tool is missing or fails; the message has its output.
pub fn prepare_inspect(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    once("inspect", progress, inspect::build)
}

/// Builds all images and returns their directory.
///
/// # Errors
/// A tool is missing or fails; the message has its output.
pub fn prepare(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    once("all", progress, |directory| {
        busybox::build(directory)?;
        layers::build(directory)?;
        probe::build(directory)?;
        database::build(directory)?;
        exerciser::build(directory)?;
        inspect::build(directory)?;
        debian::build(directory)
    })
}

/// Finds the directory of one set, or builds it beside and names it when it is whole.
fn once(
    set: &str,
    progress: &mut dyn FnMut(&str),
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let images = bulkhead_guest_kernel::cache_dir().join("images");
    let directory = images.join(format!("{set}-{}", recipe_key()));
    if directory.exists() {
        return Ok(directory);
    }
    fs::create_dir_all(&images).with_context(|| format!("make {}", images.display()))?;
    let stage = tempfile::tempdir_in(&images).context("make a directory for new images")?;
    progress("building test images from Debian packages");
    build(stage.path()).context("build the test images")?;
    let stage = stage.keep();
    fs::rename(&stage, &directory)
        .or_else(|error| {
            // Another run was faster: its images are the same.
            let _ = fs::remove_dir_all(&stage);
            if directory.exists() {
                Ok(())
            } else {
                Err(error)
            }
        })
        .with_context(|| format!("name {}", directory.display()))?;
    Ok(directory)
}

/// Digits of the hash of the recipes.
fn recipe_key() -> String {
    let mut hash = Sha256::new();
    for recipe in RECIPES {
        hash.update(recipe);
    }
    let digits: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits[..16].to_owned()
}
