//! Deleting what lies in a directory, and nothing else.
//!
//! A pod's tree may be anybody's work: links that lead out of it, directories in directories without end, names that come and
//! go. Nothing is named by a path of more than one step here, no link is followed, no mount is entered, and whatever the
//! depth no more than three directories are open: a directory that is not empty is lifted to the top before it is emptied.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, ResolveFlags, openat2, renameat_with, unlinkat,
};
use rustix::io::Errno;

/// How often a directory is emptied that does not stay empty.
const PASSES: usize = 16;

/// What lifted directories are called, with a number behind it. No file of a pod is called so.
const LIFTED: &str = ".deleting-";

/// Deletes everything in `top`: first what is named first, if it is there, and last the file that is named last.
///
/// What was left by an earlier call that was killed is deleted too.
pub(crate) fn empty(top: BorrowedFd<'_>, first: &CStr, last: &CStr) -> io::Result<()> {
    let mut lifting = Lifting { top, number: 0 };
    lifting.remove(first)?;
    loop {
        // Each round goes one step deeper into what was lifted; nobody adds to a dead pod.
        let names = names(top)?;
        let mut others = names
            .iter()
            .filter(|name| name.as_c_str() != last)
            .peekable();
        if others.peek().is_none() {
            return lifting.remove(last);
        }
        for name in others {
            lifting.remove(name)?;
        }
    }
}

/// A directory that directories are lifted to.
struct Lifting<'a> {
    top: BorrowedFd<'a>,
    /// Of the next one.
    number: u64,
}

impl Lifting<'_> {
    /// Deletes one entry of the top, whatever it is; what is deeper in it comes to the top.
    fn remove(&mut self, name: &CStr) -> io::Result<()> {
        for _ in 0..PASSES {
            if unlink(self.top, name)? == Left::Nothing {
                return Ok(());
            }
            let directory = match open_directory(self.top, name) {
                Ok(directory) => directory,
                Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            for name in names(directory.as_fd())? {
                if unlink(directory.as_fd(), &name)? == Left::Directory {
                    self.lift(directory.as_fd(), &name)?;
                }
            }
        }
        Err(Errno::NOTEMPTY.into())
    }

    fn lift(&mut self, directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        loop {
            let lifted = format!("{LIFTED}{}", self.number);
            self.number += 1;
            match renameat_with(directory, name, self.top, &lifted, RenameFlags::NOREPLACE) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Left {
    Nothing,
    /// One that is not empty.
    Directory,
}

/// Deletes a file, link or empty directory.
fn unlink(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<Left> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(Left::Nothing),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    match unlinkat(directory, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(Left::Nothing),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Left::Directory),
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory of the same mount.
fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(parent, name, flags, Mode::empty(), resolve)
}

/// Everything in a directory but itself and its parent.
fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if ![b".".as_slice(), b".."].contains(&name.to_bytes()) {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
#[path = "remove_test.rs"]
mod tests;
