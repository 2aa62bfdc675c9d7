//! A Debian tree through our importer and through umoci: both must give the same files.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::fs::{lgetxattr, llistxattr};
use sha2::{Digest, Sha256};

use crate::process::{output, progress};

/// Differences that a failure shows.
const SHOWN: usize = 10;

/// Longest list of a file's extended attributes, and longest value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX` in `limits.h`).
const XATTR_MAX: usize = 64 << 10;

/// All that a file is to who looks at it; only its inode's number and the times of its last change and use may differ.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    /// With the kind of file.
    mode: u32,
    owner: (u32, u32),
    /// Of a device.
    device: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of a regular file, and where a link leads.
    content: Option<Vec<u8>>,
    /// The first of the names of the same file.
    same_as: PathBuf,
}

/// Compares the trees of an OCI layout's image, as root.
pub(super) fn test(bulkhead: &Path, layout: &Path) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        progress("not root: no owners to compare our tree and umoci's by");
        return Ok(());
    }
    progress("a Debian tree through our importer and through umoci");
    let directory = tempfile::tempdir().context("make a temporary directory")?;
    let (ours, bundle) = (
        directory.path().join("ours"),
        directory.path().join("bundle"),
    );
    let bulkhead = || {
        let mut command = Command::new(bulkhead);
        command.arg("--dir").arg(directory.path().join("data"));
        command
    };
    let id = output(bulkhead().arg("fetch").arg(layout))?;
    output(
        bulkhead()
            .args(["image", "render", "--rootfs-only", id.trim()])
            .arg(&ours),
    )?;
    let image = format!("{}:latest", layout.display());
    output(
        Command::new("umoci")
            .args(["unpack", "--image", &image])
            .arg(&bundle),
    )?;
    let (ours, theirs) = (tree(&ours)?, tree(&bundle.join("rootfs"))?);
    let names: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differ: Vec<_> = names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .collect();
    if let Some(first) = differ.first() {
        let (of_ours, of_theirs) = (ours.get(*first), theirs.get(*first));
        let shown = &differ[..differ.len().min(SHOWN)];
        bail!(
            "{} of {} files differ from umoci's: {shown:?}\nours: {of_ours:?}\numoci's: {of_theirs:?}",
            differ.len(),
            theirs.len()
        );
    }
    Ok(())
}

fn tree(root: &Path) -> Result<BTreeMap<PathBuf, Facts>> {
    let mut all = BTreeMap::new();
    let mut names = HashMap::new();
    let mut paths = vec![root.to_owned()];
    while let Some(path) = paths.pop() {
        let metadata = fs::symlink_metadata(&path).with_context(|| path.display().to_string())?;
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).with_context(|| path.display().to_string())?;
            let entries: Result<Vec<_>, _> = entries.map(|entry| Ok(entry?.path())).collect();
            let mut entries = entries.map_err(|e: std::io::Error| e)?;
            // The same of several names is met first in both trees.
            entries.sort();
            paths.extend(entries);
        }
        let name = path.strip_prefix(root)?.to_owned();
        let same_as = names
            .entry(metadata.ino())
            .or_insert_with(|| name.clone())
            .clone();
        let facts = facts(&path, &metadata, same_as);
        let facts = facts.with_context(|| format!("look at {}", path.display()))?;
        all.insert(name, facts);
    }
    Ok(all)
}

fn facts(path: &Path, metadata: &fs::Metadata, same_as: PathBuf) -> Result<Facts> {
    let content = if metadata.is_symlink() {
        Some(fs::read_link(path)?.as_os_str().as_bytes().to_vec())
    } else if metadata.is_file() {
        Some(Sha256::digest(fs::read(path)?).to_vec())
    } else {
        None
    };
    Ok(Facts {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        device: metadata.rdev(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        xattrs: xattrs(path)?,
        content,
        same_as,
    })
}

fn xattrs(path: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = vec![0; XATTR_MAX];
    let length = llistxattr(path, &mut names[..])?;
    let names = names[..length].split(|byte| *byte == 0);
    let mut value = vec![0; XATTR_MAX];
    let of_name = |name: &[u8]| {
        let length = lgetxattr(path, name, &mut value[..])?;
        Ok((name.to_vec(), value[..length].to_vec()))
    };
    names.filter(|name| !name.is_empty()).map(of_name).collect()
}
