//! Users and groups of an image: its own `/etc/passwd` and `/etc/group`, read by our own parser.
//!
//! The C library's `getpwnam` is never called: it follows the image's `nsswitch.conf` and loads the image's shared objects
//! into this process.

use std::fs::{File, symlink_metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use bulkhead_protocol::plan::MAX_PATH;
use rustix::fs::OFlags;

/// Longest `passwd` or `group` file that is read.
const MAX_FILE: u64 = 1 << 20;

/// User and group of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
}

/// A user or group that cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// No line of the file has this name.
    #[error("{kind} {name:?} is not in the image's {file}")]
    Unknown {
        /// "user" or "group".
        kind: &'static str,
        /// As asked for.
        name: String,
        /// Path in the image.
        file: &'static str,
    },
    /// The file cannot be read.
    #[error("{kind} {name:?}: read the image's {file}")]
    Read {
        /// "user" or "group".
        kind: &'static str,
        /// As asked for.
        name: String,
        /// Path in the image.
        file: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The file whose owner it shall be cannot be looked at.
    #[error("{kind} as the owner of {path:?}")]
    Owner {
        /// "user" or "group".
        kind: &'static str,
        /// In the image.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Finds the ids of `user` and `group` in the root directory `root`: `root`, a number, an absolute path (its owner), or a name in
/// the image's files. A group that has the user's name and is not in the file is the user's own: Docker images name
/// no group then.
///
/// # Errors
/// When one of them cannot be told.
pub fn resolve(root: &Path, user: &str, group: &str) -> Result<Ids, AccountError> {
    let found = match by_itself(root, "user", user, MetadataExt::uid)? {
        Some(uid) => (uid, None),
        None => {
            let record = lookup(root, "user", "/etc/passwd", user)?;
            record.ok_or_else(|| unknown("user", "/etc/passwd", user))?
        }
    };
    let (uid, own_gid) = found;
    if let Some(gid) = by_itself(root, "group", group, MetadataExt::gid)? {
        return Ok(Ids { uid, gid });
    }
    let gid = match lookup(root, "group", "/etc/group", group)? {
        Some((gid, _)) => gid,
        None if group == user => own_gid.unwrap_or(uid),
        None => return Err(unknown("group", "/etc/group", group)),
    };
    Ok(Ids { uid, gid })
}

/// The id of what needs no file of names.
fn by_itself(
    root: &Path,
    kind: &'static str,
    name: &str,
    owner: impl Fn(&std::fs::Metadata) -> u32,
) -> Result<Option<u32>, AccountError> {
    if name == "root" {
        return Ok(Some(0));
    }
    if let Some(relative) = name.strip_prefix('/') {
        let metadata =
            symlink_metadata(root.join(relative)).map_err(|source| AccountError::Owner {
                kind,
                path: name.to_owned(),
                source,
            })?;
        return Ok(Some(owner(&metadata)));
    }
    Ok(parse_id(name.as_bytes()))
}

/// The record of `name` in a file: its id, and the number in the column behind it.
fn lookup(
    root: &Path,
    kind: &'static str,
    file: &'static str,
    name: &str,
) -> Result<Option<(u32, Option<u32>)>, AccountError> {
    let text = match read_bounded(&root.join(&file[1..])) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => {
            let name = name.to_owned();
            return Err(AccountError::Read {
                kind,
                name,
                file,
                source,
            });
        }
    };
    Ok(find(&text, name))
}

fn unknown(kind: &'static str, file: &'static str, name: &str) -> AccountError {
    AccountError::Unknown {
        kind,
        name: name.to_owned(),
        file,
    }
}

/// Both files have lines of `name:password:id:…`; in `passwd` the group's number follows. Broken lines are passed over, as
/// the C library does.
fn find(text: &[u8], name: &str) -> Option<(u32, Option<u32>)> {
    text.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        if fields.next() != Some(name.as_bytes()) {
            return None;
        }
        let id = parse_id(fields.nth(1)?)?;
        Some((id, fields.next().and_then(parse_id)))
    })
}

/// A decimal id. The highest number means "no change" to the kernel and is no id.
fn parse_id(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > MAX_PATH || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let id = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (id != u32::MAX).then_some(id)
}

/// Reads a regular file that is not too long. Anything else at its path, a FIFO for one, could keep a reader waiting for ever.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let no_wait = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    let file = File::options()
        .read(true)
        .custom_flags(no_wait)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_FILE {
        return Err(std::io::Error::other(format!(
            "longer than {MAX_FILE} bytes"
        )));
    }
    Ok(text)
}

#[cfg(test)]
#[path = "accounts_test.rs"]
mod tests;
