//! Users and groups of an image, as its own `/etc/passwd` and `/etc/group` have them.
//!
//! The agent reads the same files in the guest, and decides. Here they are read to refuse a pod before its machine starts, and
//! for what only a converted image leaves open: the group of its user, and the user's other groups.

use crate::erofs::{Filesystem, ReadError};

/// Longest file that is read: as in the agent.
const MAX_FILE: usize = 1 << 20;

/// The two files. One that is there and cannot be read is `None`: nothing is known then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    passwd: Option<Vec<u8>>,
    group: Option<Vec<u8>>,
}

/// A line of `passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User<'a> {
    /// Login name.
    pub name: &'a str,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory; may be empty.
    pub home: &'a str,
}

impl Accounts {
    /// Reads both files.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn of(image: &Filesystem) -> Result<Self, ReadError> {
        Ok(Self {
            passwd: read(image, "/etc/passwd")?,
            group: read(image, "/etc/group")?,
        })
    }

    /// Both files, given.
    pub fn new(passwd: &str, group: &str) -> Self {
        Self {
            passwd: Some(passwd.into()),
            group: Some(group.into()),
        }
    }

    /// Whether the users are known, none of them included.
    pub fn knows_users(&self) -> bool {
        self.passwd.is_some()
    }

    /// Whether the groups are known, none of them included.
    pub fn knows_groups(&self) -> bool {
        self.group.is_some()
    }

    /// The first user that `wanted` says yes to. Broken lines are passed over, as the C library does.
    pub fn user(&self, wanted: impl Fn(&User<'_>) -> bool) -> Option<User<'_>> {
        lines(self.passwd.as_deref()).find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let user = User {
                name,
                uid: id(fields.nth(1)?)?,
                gid: id(fields.next()?)?,
                home: fields.nth(1).unwrap_or_default(),
            };
            wanted(&user).then_some(user)
        })
    }

    /// The id of a group.
    pub fn group(&self, name: &str) -> Option<u32> {
        self.groups()
            .find_map(|(group, gid, _)| (group == name).then_some(gid))
    }

    /// The groups whose member a user of this name is, in the order of the file.
    pub fn groups_of(&self, user: &str) -> Vec<u32> {
        let is_member = |members: &str| members.split(',').any(|member| member == user);
        self.groups()
            .filter_map(|(_, gid, members)| is_member(members).then_some(gid))
            .collect()
    }

    /// Name, id and members.
    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        lines(self.group.as_deref()).filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let gid = id(fields.nth(1)?)?;
            Some((name, gid, fields.next().unwrap_or_default()))
        })
    }
}

fn lines(file: Option<&[u8]>) -> impl Iterator<Item = &str> {
    let lines = file.unwrap_or_default().split(|&byte| byte == b'\n');
    lines.filter_map(|line| std::str::from_utf8(line).ok())
}

/// A decimal id. The highest number means "no change" to the kernel and is no id.
fn id(digits: &str) -> Option<u32> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let id = digits.parse().ok().filter(|&id| id != u32::MAX);
    id.filter(|_| plain)
}

fn read(image: &Filesystem, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
    match image.lookup(path)?.found() {
        None => Ok(Some(Vec::new())),
        Some(file) if file.is_file() => image.read(&file, MAX_FILE),
        Some(_) => Ok(None),
    }
}

#[cfg(test)]
#[path = "accounts_test.rs"]
mod tests;
