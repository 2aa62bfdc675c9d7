//! Are the files of the kvm stage1 image what they should be?
//!
//! A look at the head and the length of each: enough to tell a half-copied or half-built image
//! from a whole one without reading it all.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A file of the image that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Defect {
    /// In the image's file system.
    pub(super) file: &'static str,
    /// As a sentence's end: "is missing".
    pub(super) problem: String,
}

/// What a file is told by.
#[derive(Clone, Copy)]
enum Form {
    /// An executable ELF file.
    Program,
    /// A kernel: an ELF file whose segments lie inside the file.
    Kernel,
    /// A cpio archive (newc) that ends with its trailer.
    Archive,
    /// An ext4 file system.
    Ext4,
}

const FILES: [(&str, Form); 10] = [
    ("run", Form::Program),
    ("enter", Form::Program),
    ("stop", Form::Program),
    ("app-add", Form::Program),
    ("relay", Form::Program),
    ("vmm", Form::Program),
    ("virtiofsd", Form::Program),
    ("kernel/vmlinux", Form::Kernel),
    ("initramfs.cpio", Form::Archive),
    ("scratch.ext4", Form::Ext4),
];

/// Looks at every file that a start of a pod needs.
pub(super) fn examine(rootfs: &Path) -> Vec<Defect> {
    let defect = |(file, form): (&'static str, Form)| {
        let problem = problem(&rootfs.join(file), form)?;
        Some(Defect { file, problem })
    };
    FILES.into_iter().filter_map(defect).collect()
}

/// What is wrong with a program, if something is.
pub(super) fn examine_program(path: &Path) -> Option<String> {
    problem(path, Form::Program)
}

fn problem(path: &Path, form: Form) -> Option<String> {
    match check(path, form) {
        Ok(problem) => problem,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("is missing".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some("is cut off".to_owned()),
        Err(error) => Some(format!("cannot be read ({error})")),
    }
}

fn check(path: &Path, form: Form) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let problem = match form {
        Form::Program => {
            if metadata.permissions().mode() & 0o111 == 0 {
                return Ok(Some("is not executable".to_owned()));
            }
            (!is_elf(&mut file)?).then_some("is not an ELF program")
        }
        Form::Kernel => {
            if !is_elf(&mut file)? {
                return Ok(Some("is not an ELF kernel".to_owned()));
            }
            (segments_end(&mut file)? > metadata.len()).then_some("is cut off")
        }
        Form::Archive => match ends_with_trailer(&mut file, metadata.len())? {
            None => Some("is not a cpio archive"),
            Some(false) => Some("is cut off"),
            Some(true) => None,
        },
        Form::Ext4 => (!is_ext4(&mut file)?).then_some("is not an ext4 file system"),
    };
    Ok(problem.map(str::to_owned))
}

fn bytes<const N: usize>(file: &mut File, offset: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// 64-bit, little-endian, for x86-64 (System V ABI, chapter 4).
fn is_elf(file: &mut File) -> io::Result<bool> {
    let head: [u8; 20] = bytes(file, 0)?;
    Ok(head.starts_with(b"\x7fELF\x02\x01") && head[18..20] == [62, 0])
}

/// Where the last segment of an ELF file ends in the file.
fn segments_end(file: &mut File) -> io::Result<u64> {
    let table = u64::from_le_bytes(bytes(file, 32)?);
    let entry_size = u64::from(u16::from_le_bytes(bytes(file, 54)?));
    let count = u64::from(u16::from_le_bytes(bytes(file, 56)?));
    let mut end = 0;
    for index in 0..count {
        let entry = table.saturating_add(index * entry_size);
        let offset = u64::from_le_bytes(bytes(file, entry.saturating_add(8))?);
        let size = u64::from_le_bytes(bytes(file, entry.saturating_add(32))?);
        end = end.max(offset.saturating_add(size));
    }
    Ok(end)
}

const CPIO_TRAILER: &[u8] = b"TRAILER!!!";
/// The trailer is the last entry; archives are padded to blocks of at most this.
const CPIO_TAIL: u64 = 4096;

/// None: no archive at all.
fn ends_with_trailer(file: &mut File, length: u64) -> io::Result<Option<bool>> {
    if bytes::<6>(file, 0)? != *b"070701" {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(length.saturating_sub(CPIO_TAIL)))?;
    let mut tail = Vec::new();
    file.take(CPIO_TAIL).read_to_end(&mut tail)?;
    Ok(Some(
        tail.windows(CPIO_TRAILER.len())
            .any(|window| window == CPIO_TRAILER),
    ))
}

/// The superblock is at 1024, its magic at 56 in it (`linux/fs/ext4/ext4.h`).
fn is_ext4(file: &mut File) -> io::Result<bool> {
    Ok(bytes(file, 1024 + 56)? == [0x53, 0xef])
}

#[cfg(test)]
#[path = "stage1_files_test.rs"]
mod tests;
