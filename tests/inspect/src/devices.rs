//! What is in `/dev`.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{major, minor};

/// Every entry below a directory, by its path.
pub(crate) fn report(directory: &Path) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        let kind = metadata.file_type();
        let what = if kind.is_symlink() {
            format!("link {}", fs::read_link(&path)?.display())
        } else {
            let name = if kind.is_char_device() {
                "character"
            } else if kind.is_block_device() {
                "block"
            } else if kind.is_dir() {
                "directory"
            } else {
                "other"
            };
            let (mode, user, group) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
            let device = metadata.rdev();
            format!(
                "{name} {},{} {mode:o} {user}:{group}",
                major(device),
                minor(device)
            )
        };
        lines.push(format!("{} {what}", path.display()));
        if kind.is_dir() {
            lines.extend(report(&path)?);
        }
    }
    lines.sort();
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn entries_of_every_depth_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::set_permissions(&below, fs::Permissions::from_mode(0o1750)).unwrap();
        symlink("/nowhere", below.join("a-link")).unwrap();
        let lines = report(directory.path()).unwrap();
        let root = directory.path().display();
        assert!(lines[0].starts_with(&format!("{root}/below directory 0,0 1750 ")));
        assert_eq!(lines[1..], [format!("{root}/below/a-link link /nowhere")]);
    }
}
