//! The guest's first root: the agent as `/init`, the directories that it mounts on, and `/dev/console`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::Failure;
use crate::cpio::Writer;

/// Mount points of the agent, and the parents of what follows.
const DIRECTORIES: &[&str] = &["dev", "proc", "sys", "run", "tmp"];
/// The kernel opens it as the first program's standard streams.
const CONSOLE: (u32, u32) = (5, 1);

/// Writes the initramfs with `agent`'s bytes to `output` and returns its size in bytes.
///
/// # Errors
/// The agent cannot be read, or the output cannot be written.
pub fn write(agent: &Path, output: &Path) -> Result<u64, Failure> {
    let contents = fs::read(agent).map_err(Failure::of("read", agent))?;
    let file = File::create(output).map_err(Failure::of("create", output))?;
    let size = archive(&contents, BufWriter::new(file))
        .and_then(|buffer| buffer.into_inner().map_err(io::IntoInnerError::into_error))
        .and_then(|file| file.metadata())
        .map_err(Failure::of("write", output))?
        .len();
    Ok(size)
}

fn archive<W: Write>(agent: &[u8], output: W) -> io::Result<W> {
    let mut writer = Writer::new(output);
    for name in DIRECTORIES {
        writer.directory(name, 0o755)?;
    }
    writer.character_device("dev/console", 0o600, CONSOLE)?;
    writer.file("init", 0o755, agent)?;
    writer.finish()
}

#[cfg(test)]
#[path = "initramfs_test.rs"]
mod tests;
