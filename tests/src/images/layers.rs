//! An image whose layers do to each other what layers can do.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::tools::{Layout, run};
use super::{busybox, image};

/// An OCI layout of three layers; `e2e/layers.rs` says what it must look like.
#[must_use]
pub fn layers_oci() -> PathBuf {
    image("layers.oci")
}

/// A name that is Latin-1, not UTF-8.
const LATIN_1: &[u8] = b"na\xefve";

pub(super) fn build(directory: &Path) -> Result<()> {
    let layout = Layout::new(directory.join("layers.oci"))?;
    layout.layer(busybox::fill)?;
    layout.layer(|root| {
        let data = root.join("data");
        fs::create_dir(&data).context("make /data")?;
        let write = |name: &OsStr| fs::write(data.join(name), "second layer\n");
        for name in [
            "deleted",
            "replaced",
            "kept",
            "setuid",
            "owned",
            "linked",
            "attribute",
        ] {
            write(OsStr::new(name))?;
        }
        write(OsStr::from_bytes(LATIN_1))?;
        fs::create_dir(data.join("emptied"))?;
        fs::write(data.join("emptied/old"), "old")?;
        fs::set_permissions(data.join("setuid"), fs::Permissions::from_mode(0o4755))?;
        chown(data.join("owned"), Some(70_000), Some(70_001))?;
        fs::hard_link(data.join("linked"), data.join("link"))?;
        symlink("kept", data.join("symlink"))?;
        run(
            "setfattr",
            &[
                &"-n",
                &"user.note",
                &"-v",
                &"kept too",
                &data.join("attribute"),
            ],
        )?;
        run("mknod", &[&data.join("null"), &"c", &"1", &"3"])?;
        run("mkfifo", &[&data.join("fifo")])?;
        run(
            "touch",
            &[&"-d", &"2001-02-03 04:05:06 UTC", &data.join("kept")],
        )
    })?;
    layout.layer(|root| {
        let data = root.join("data");
        fs::remove_file(data.join("deleted"))?;
        fs::remove_dir_all(data.join("emptied"))?;
        fs::create_dir(data.join("emptied"))?;
        fs::write(data.join("emptied/new"), "new")?;
        fs::remove_file(data.join("replaced"))?;
        symlink("kept", data.join("replaced"))?;
        Ok(())
    })?;
    layout.configure("--config.cmd", "/bin/sh")
}
