//! Detached mounts: a directory or file of the host with flags of its own, to be put into the mount namespace of a confined
//! process.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How a tree is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeOptions {
    /// With what is mounted below it.
    pub recursive: bool,
    /// Nothing can be written through it, nor through any mount below it.
    pub read_only: bool,
    /// Set-user-id programs and device nodes have the effect that they have where the tree is copied from. Without it they have none.
    pub privileged: bool,
}

/// A detached copy of a mount, from one of its directories or files on. It goes away with its last descriptor, unless it was put somewhere.
#[derive(Debug)]
pub struct Tree(OwnedFd);

impl Tree {
    /// Copies the mount at `path`, links followed. Takes `CAP_SYS_ADMIN` and Linux 5.12.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn of(path: &Path, options: TreeOptions) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let recursive = if options.recursive {
            libc::AT_RECURSIVE.cast_unsigned()
        } else {
            0
        };
        let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | recursive;
        // SAFETY: a C string that lives through the call.
        let fd =
            unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
        let fd = RawFd::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        let tree = Tree(unsafe { OwnedFd::from_raw_fd(fd) });
        tree.restrict(options)?;
        Ok(tree)
    }

    /// Recursive whatever the tree: of one that was copied without what is below, it is only the one mount.
    fn restrict(&self, options: TreeOptions) -> io::Result<()> {
        let mut set = match options.privileged {
            true => 0,
            false => libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        };
        if options.read_only {
            set |= libc::MOUNT_ATTR_RDONLY;
        }
        let attributes = libc::mount_attr {
            attr_set: set,
            attr_clr: 0,
            propagation: libc::MS_PRIVATE,
            userns_fd: 0,
        };
        // SAFETY: the path is a constant C string, and the structure is as long as is said and lives through the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
                &raw const attributes,
                size_of::<libc::mount_attr>(),
            )
        };
        if result == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
#[path = "mounts_test.rs"]
mod tests;
