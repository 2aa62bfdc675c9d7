//! A writer of cpio archives in the `newc` format that Linux unpacks as initramfs
//! (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Owner is root, time is 0 and inode numbers count from 1: nothing of the host reaches the archive.

use std::io::{self, Write};

/// Begins each header; without checksums.
const MAGIC: &str = "070701";
/// Bytes of a header: the magic and thirteen fields of eight hexadecimal digits.
const HEADER_BYTES: usize = 6 + 13 * 8;
/// Headers and contents begin at multiples of this.
const ALIGNMENT: usize = 4;
/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// Writes one archive.
pub(crate) struct Writer<W> {
    output: W,
    inode: u32,
}

/// The header fields that differ between kinds of members.
#[derive(Default)]
struct Member {
    mode: u32,
    links: u32,
    device: (u32, u32),
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(output: W) -> Self {
        Self { output, inode: 0 }
    }

    /// Adds a directory; its parent must have been added.
    pub(crate) fn directory(&mut self, name: &str, permissions: u32) -> io::Result<()> {
        self.member(
            name,
            &Member {
                mode: DIRECTORY | permissions,
                links: 2,
                ..Member::default()
            },
            &[],
        )
    }

    /// Adds a regular file.
    pub(crate) fn file(&mut self, name: &str, permissions: u32, contents: &[u8]) -> io::Result<()> {
        self.member(
            name,
            &Member {
                mode: REGULAR | permissions,
                links: 1,
                ..Member::default()
            },
            contents,
        )
    }

    /// Adds a character device with its major and minor number.
    pub(crate) fn character_device(
        &mut self,
        name: &str,
        permissions: u32,
        device: (u32, u32),
    ) -> io::Result<()> {
        self.member(
            name,
            &Member {
                mode: CHARACTER_DEVICE | permissions,
                links: 1,
                device,
            },
            &[],
        )
    }

    /// Ends the archive and gives the output back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.header(
            TRAILER,
            0,
            &Member {
                links: 1,
                ..Member::default()
            },
            0,
        )?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn member(&mut self, name: &str, member: &Member, contents: &[u8]) -> io::Result<()> {
        let size = u32::try_from(contents.len()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{name} does not fit a cpio archive"),
            )
        })?;
        self.inode += 1;
        self.header(name, self.inode, member, size)?;
        self.output.write_all(contents)?;
        self.pad(contents.len())
    }

    fn header(&mut self, name: &str, inode: u32, member: &Member, size: u32) -> io::Result<()> {
        let name_size = u32::try_from(name.len() + 1).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidFilename,
                "name does not fit a cpio archive",
            )
        })?;
        let (major, minor) = member.device;
        // inode, mode, uid, gid, links, time, size, device of the file (2), device number (2), name size, checksum
        let fields = [
            inode,
            member.mode,
            0,
            0,
            member.links,
            0,
            size,
            0,
            0,
            major,
            minor,
            name_size,
            0,
        ];
        self.output.write_all(MAGIC.as_bytes())?;
        for field in fields {
            write!(self.output, "{field:08x}")?;
        }
        self.output.write_all(name.as_bytes())?;
        self.output.write_all(&[0])?;
        self.pad(HEADER_BYTES + name.len() + 1)
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.output
            .write_all(&[0; ALIGNMENT][..written.next_multiple_of(ALIGNMENT) - written])
    }
}

#[cfg(test)]
#[path = "cpio_test.rs"]
mod tests;
