//! The roots of apps as directories, for stage1 images that take no block images.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use bulkhead_image::Filesystem;
use bulkhead_pod::lifecycle::AppImage;

/// What rkt puts into every image with an `/etc` that has none.
const MTAB: (&str, &str) = ("etc/mtab", "../proc/self/mounts");

/// Makes an app's root of its image. The image is read by our own code, which wrote it: the host's kernel mounts nothing.
pub(crate) fn render(image: &AppImage, root: &Path) -> Result<()> {
    let whose = || {
        format!(
            "app \"{}\": make a directory of its image, for its stage1 takes no block images (that takes root)",
            image.app
        )
    };
    let files = Filesystem::open(&image.erofs).with_context(whose)?;
    files.render(root).with_context(whose)?;
    let etc = fs::symlink_metadata(root.join("etc"));
    // Never through a link of the image's.
    if etc.is_ok_and(|etc| etc.is_dir()) {
        match symlink(MTAB.1, root.join(MTAB.0)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(whose);
            }
            _ => {}
        }
    }
    Ok(())
}
