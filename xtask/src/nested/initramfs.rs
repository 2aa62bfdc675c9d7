//! The nested machine's initramfs: busybox, the modules that reach the host's file system, and the
//! command as a script.
//!
//! Format: Linux's Documentation/driver-api/early-userspace/buffer-format.rst ("newc").

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::kernel::Kernel;

/// Runs first in the nested machine. Its last act is to become [`super::job`]'s script.
const INIT: &str = include_str!("init.sh");

/// The archive as bytes.
pub(crate) fn build(kernel: &Kernel, job: &str) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in [
        "bin", "dev", "host", "modules", "new", "proc", "scratch", "sys",
    ] {
        archive.add(directory, 0o040_755, b"");
    }
    archive.add("bin/busybox", 0o100_755, &read(Path::new("/bin/busybox"))?);
    archive.add("init", 0o100_755, INIT.as_bytes());
    archive.add("job", 0o100_755, job.as_bytes());
    let mut order = String::new();
    for (number, module) in kernel.boot_modules()?.iter().enumerate() {
        let name = format!("modules/{number}.ko");
        archive.add(&name, 0o100_644, &read(module)?);
        order.push_str(&format!("/{name}\n"));
    }
    archive.add("modules/order", 0o100_644, order.as_bytes());
    Ok(archive.finish())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    files: usize,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.files += 1;
        let (inode, links, size) = (self.files, 1, content.len());
        let name_size = name.len() + 1;
        // Fields without a name here: uid, gid; mtime; device numbers of the file and the node;
        // checksum.
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{links:08x}{0:08x}{size:08x}\
             {0:08x}{0:08x}{0:08x}{0:08x}{name_size:08x}{0:08x}",
            0
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, b"");
        self.bytes
    }
}

#[cfg(test)]
#[path = "initramfs_test.rs"]
mod tests;
