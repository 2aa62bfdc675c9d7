//! What runs in an app that is exported, in place of a program: its root as a tar archive on standard output.
//!
//! Nothing else runs there, and nothing is mounted in it: the tree is what the image and the app have made of it.

use std::fs::File;
use std::io::{self, Write};

use bulkhead_archive::{TreeError, write_tree};
use rustix::fs::{Mode, OFlags, open};

use crate::reason::reason;

/// Writes the root of this process to its standard output, and gives the code to end with.
pub fn run() -> u8 {
    let written = write_root();
    let said = match &written {
        Ok(0) => return 0,
        Ok(1) => "one socket is left out".to_owned(),
        Ok(sockets) => format!("{sockets} sockets are left out"),
        Err(error) => format!("{}", reason(error)),
    };
    // Who does not listen is not told.
    let _ = writeln!(io::stderr(), "export: {said}");
    u8::from(written.is_err())
}

fn write_root() -> Result<u64, TreeError> {
    let read = |errno: rustix::io::Errno| TreeError::read("open", b"", errno.into());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open("/", flags, Mode::empty()).map_err(read)?;
    // A copy, so that it can be closed like any file.
    let output = rustix::io::dup(rustix::stdio::stdout());
    let output = output.map_err(|errno| TreeError::Write(errno.into()))?;
    write_tree(root, File::from(output))
}
