//! Why an entry cannot become part of the tree.

use crate::bytes::Escaped;
use crate::limits::{
    MAX_DEPTH, MAX_ENTRIES, MAX_NAME_BYTES, MAX_NAME_COMPONENT, MAX_PATH_BYTES, MAX_SYMLINK_TARGET,
    MAX_WALK, MAX_XATTR_BYTES,
};

/// An entry that is refused. The message goes on behind the entry's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A `..` component.
    #[error("{field} has a \"..\" component")]
    ParentComponent {
        /// "name" or "linkname".
        field: &'static str,
    },
    /// A leading slash.
    #[error("{field} is absolute")]
    Absolute {
        /// "name" or "linkname".
        field: &'static str,
    },
    /// Longer than any program could open.
    #[error("{field} is {length} bytes long, more than {MAX_PATH_BYTES}")]
    PathTooLong {
        /// "name" or "linkname".
        field: &'static str,
        /// Its length.
        length: usize,
    },
    /// A component that no file system stores.
    #[error("{field} has a component of {length} bytes, more than {MAX_NAME_COMPONENT}")]
    NameTooLong {
        /// "name" or "linkname".
        field: &'static str,
        /// Its length.
        length: usize,
    },
    /// Nested too deeply.
    #[error("{field} is nested more than {MAX_DEPTH} directories deep")]
    TooDeep {
        /// "name" or "linkname".
        field: &'static str,
    },
    /// A NUL byte.
    #[error("{field} contains a NUL byte")]
    Nul {
        /// "name" or "linkname".
        field: &'static str,
    },
    /// Something below a symbolic link or a file.
    #[error("its parent \"{parent}\" is {what}, not a directory")]
    ParentNotDirectory {
        /// The path of the parent.
        parent: Escaped,
        /// "a symbolic link", "a file" …
        what: &'static str,
    },
    /// A loop of symbolic links, or nearly one.
    #[error("its parent \"{parent}\" leads through symbolic links with more than {MAX_WALK} names")]
    TooManyLinks {
        /// The path of the parent.
        parent: Escaped,
    },
    /// The second entry of a name in one archive.
    #[error("name occurs twice in the archive")]
    Duplicate,
    /// The root directory as something else.
    #[error("the root of the image must be a directory")]
    RootNotDirectory,
    /// A hard link to nothing.
    #[error("linkname \"{target}\" does not exist before this entry")]
    LinkTargetMissing {
        /// The link's target.
        target: Escaped,
    },
    /// A hard link to a directory.
    #[error("linkname \"{target}\" is a directory")]
    LinkTargetDirectory {
        /// The link's target.
        target: Escaped,
    },
    /// A hard link to its own name.
    #[error("linkname is the entry's own name")]
    LinkToItself,
    /// A hard link to something that is not part of the root file system.
    #[error("linkname leads out of \"rootfs\"")]
    LinkTargetOutside,
    /// An empty or overlong symbolic link.
    #[error("linkname is {length} bytes long, not 1 to {MAX_SYMLINK_TARGET}")]
    SymlinkTarget {
        /// Its length.
        length: usize,
    },
    /// A whiteout of nothing, of `.` or of `..`, or one with files below it.
    #[error("whiteout {problem}")]
    Whiteout {
        /// What is wrong.
        problem: &'static str,
    },
    /// A device number beyond Linux's.
    #[error("device number {major}:{minor} is out of range (12 and 20 bits)")]
    DeviceNumber {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// See the bound.
    #[error("the image has more than {MAX_ENTRIES} entries")]
    TooManyEntries,
    /// See the bound.
    #[error("the image has more than {MAX_NAME_BYTES} bytes of names")]
    TooManyNameBytes,
    /// See the bound.
    #[error("the image has more than {MAX_XATTR_BYTES} bytes of extended attributes")]
    TooManyXattrBytes,
}
