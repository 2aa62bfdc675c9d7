//! Where a path leads inside a root: symbolic links are followed as a process in that root would follow them, and never out
//! of it. What is missing is kept as it is written, so that it can be made.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

/// Links on one way (`MAXSYMLINKS`, `include/linux/namei.h`).
const MAX_LINKS: usize = 40;

/// The place of `path` in `root`, as an absolute path of that root without links.
///
/// # Errors
/// With too many links, or when a directory cannot be searched.
pub fn resolve(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut done = PathBuf::new();
    let mut left = Vec::new();
    push(&mut left, path);
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == ".." {
            // Above the root is the root.
            done.pop();
            continue;
        }
        let next = done.join(&name);
        match fs::read_link(root.join(&next)) {
            Ok(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                if target.is_absolute() {
                    done.clear();
                }
                push(&mut left, &target);
            }
            Err(error) => match Errno::from_io_error(&error) {
                // No link, not there, or below what is no directory: the latter shows when it is used.
                Some(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => done = next,
                _ => return Err(error),
            },
        }
    }
    Ok(Path::new("/").join(done))
}

/// Puts the parts of `path` on top of what is left, the first one uppermost.
fn push(left: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev();
    left.extend(parts.filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    }));
}

#[cfg(test)]
#[path = "links_test.rs"]
mod tests;
