//! `bulkhead image extract` and `image render`: a directory that is there when it is whole, and not before.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bulkhead_image::{Filesystem, StoredImage};
use clap::Args;

use super::name::ImageName;
use crate::arguments::GlobalOptions;

/// Who may look into a directory with a manifest and a tree.
const MODE: u32 = 0o755;

/// Options of `image extract` and `image render`.
#[derive(Debug, Args)]
pub(crate) struct ExtractOptions {
    /// Write the tree alone, without the manifest and a directory rootfs
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        hide_default_value = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    rootfs_only: bool,

    /// Replace the directory if it is there, with all that is in it
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        hide_default_value = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    overwrite: bool,

    #[command(flatten)]
    image: ImageName,

    /// The directory to make
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Makes the directory, or nothing.
pub(crate) fn extract(global: &GlobalOptions, options: &ExtractOptions) -> Result<ExitCode> {
    super::check_root()?;
    let image = options.image.find(&global.dir)?;
    let target = std::path::absolute(&options.directory).context("find the working directory")?;
    check(&target, options.overwrite)?;
    let fresh = Fresh::beside(&target)?;
    let filled = fill(&image, &fresh.0, options.rootfs_only);
    filled.with_context(|| format!("cannot extract image {}", image.id))?;
    if options.overwrite {
        remove(&target)?;
    }
    fresh.publish(&target)?;
    Ok(ExitCode::SUCCESS)
}

fn check(target: &Path, overwrites: bool) -> Result<()> {
    let shown = target.display();
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("look at {shown}")),
        Ok(_) if target.parent().is_none() => bail!("{shown} is the root of this host"),
        Ok(metadata) if !metadata.is_dir() => bail!("{shown} is there, and is no directory"),
        Ok(_) if !overwrites => bail!("{shown} is there already; --overwrite replaces it"),
        Ok(_) => Ok(()),
    }
}

fn fill(image: &StoredImage, directory: &Path, rootfs_only: bool) -> Result<()> {
    let files = Filesystem::open(&image.erofs_path)?;
    if rootfs_only {
        return Ok(files.render(directory)?);
    }
    let manifest = directory.join("manifest");
    fs::write(&manifest, &image.manifest)
        .with_context(|| format!("write {}", manifest.display()))?;
    let root = directory.join("rootfs");
    fs::create_dir(&root).with_context(|| format!("make {}", root.display()))?;
    files.render(&root)?;
    let opened = fs::set_permissions(directory, Permissions::from_mode(MODE));
    opened.with_context(|| format!("change the mode of {}", directory.display()))
}

fn remove(target: &Path) -> Result<()> {
    match fs::remove_dir_all(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("remove {}", target.display())),
    }
}

/// A directory that nobody else looks into, and that goes unless it is published.
#[derive(Debug)]
struct Fresh(PathBuf);

impl Fresh {
    /// Where one rename makes it the target.
    fn beside(target: &Path) -> Result<Self> {
        let Some(name) = target.file_name() else {
            bail!("{} is no name of a directory", target.display());
        };
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}", std::process::id()));
        let path = target.with_file_name(beside);
        // Programs that run as somebody else are in it before they have all that they need.
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }

    fn publish(&self, target: &Path) -> Result<()> {
        fs::rename(&self.0, target).with_context(|| format!("put {} in place", target.display()))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Once it is published it is not there any more.
        let _ = fs::remove_dir_all(&self.0);
    }
}
