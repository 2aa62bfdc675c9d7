//! The empty ext4 that every writable layer is a copy of.
//!
//! It is sparse: its size is what an app may write, its data what a copy costs. All metadata is packed at
//! the front, the inode tables are holes, and there are no backups of the superblock: a damaged scratch disk is
//! thrown away with its pod.
//!
//! The file ends where its data does, and whoever copies it gives the copy the size that the superblock says: as an archive of
//! an image's files it would otherwise be gibibytes of zeros, which each reader has to pass over.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom as Position};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::Failure;

/// What an app may write when nothing says otherwise.
pub(crate) const SIZE_BYTES: u64 = 10 << 30;

/// The file system's block, as mke2fs is told below.
const BLOCK: usize = 4096;
const BLOCK_BYTES: u64 = BLOCK as u64;

/// Fixed, so that the same tools make the same bytes. Copies share it: nothing mounts by it.
const UUID: &str = "62756c6b-6865-6164-8000-736372617463";

/// Mebibytes of the journal. A pod that is killed must still be exported whole, so there is one; it is small
/// because a busy guest writes all of it, and that is the least a busy pod takes on the host.
const JOURNAL_MIB: u32 = 16;

/// Groups whose metadata lies together: more than there are in [`SIZE_BYTES`], so all of it is at the front.
const GROUPS_TOGETHER: u32 = 128;

/// Every feature, by name: what mke2fs takes for ext4 differs between its versions and configuration files.
///
/// Absent on purpose: `resize_inode`, which writes 4 MiB of pointers for a growth that `meta_bg` does without.
const FEATURES: &[&str] = &[
    "none",
    "has_journal",
    "ext_attr",
    "dir_index",
    "filetype",
    "sparse_super2",
    "large_file",
    "huge_file",
    "flex_bg",
    "extent",
    "64bit",
    "dir_nlink",
    "extra_isize",
    "metadata_csum",
    "metadata_csum_seed",
];

/// Makes the template at `path`, which must not exist.
pub(crate) fn write(path: &Path) -> Result<(), Failure> {
    let file = File::create_new(path).map_err(Failure::of("create", path))?;
    file.set_len(SIZE_BYTES)
        .map_err(Failure::of("size", path))?;
    let output = mke2fs()
        .args([
            "-q",
            "-F",
            "-b",
            "4096",
            "-I",
            "256",
            "-m",
            "0",
            "-U",
            UUID,
            "-O",
            &features(),
        ])
        .args([
            "-J",
            &format!("size={JOURNAL_MIB}"),
            "-G",
            &GROUPS_TOGETHER.to_string(),
        ])
        .args(["-E", &extended_options()])
        .arg(path)
        // Its own clock; 0 would mean "now".
        .env("E2FSPROGS_FAKE_TIME", "1")
        // No defaults of the host.
        .env("MKE2FS_CONFIG", "/dev/null")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(Failure::NoMke2fs)?;
    if output.status.success() {
        let end = data_end(&file).map_err(Failure::of("read", path))?;
        return file.set_len(end).map_err(Failure::of("size", path));
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::Mke2fs {
        path: path.to_owned(),
        message,
    })
}

/// Where the last block ends that is not all zeros. Only what may hold data is read.
fn data_end(mut file: &File) -> io::Result<u64> {
    let (mut end, mut position) = (0, 0);
    loop {
        let start = match seek(file, SeekFrom::Data(position)) {
            Err(Errno::NXIO) => return Ok(end),
            start => start? / BLOCK_BYTES * BLOCK_BYTES,
        };
        position = seek(file, SeekFrom::Hole(start))?.next_multiple_of(BLOCK_BYTES);
        file.seek(Position::Start(start))?;
        let mut block = Vec::new();
        for at in (start..position).step_by(BLOCK) {
            block.clear();
            file.take(BLOCK_BYTES).read_to_end(&mut block)?;
            if block.iter().any(|&byte| byte != 0) {
                end = at + BLOCK_BYTES;
            }
        }
    }
}

fn features() -> String {
    FEATURES.join(",")
}

fn extended_options() -> String {
    [
        &format!("hash_seed={UUID}"),
        "num_backup_sb=0",
        "packed_meta_blocks=1",
        "root_owner=0:0",
        // A hole reads as zeros: inode tables and journal need no write, neither now nor in the guest.
        "assume_storage_prezeroed=1",
        "lazy_itable_init=0",
        "nodiscard",
    ]
    .join(",")
}

/// `mke2fs`, which is not on the search path of ordinary users.
fn mke2fs() -> Command {
    let places = ["/usr/sbin/mke2fs", "/sbin/mke2fs"];
    let place = places
        .iter()
        .map(PathBuf::from)
        .find(|place| place.exists());
    Command::new(
        place
            .as_deref()
            .map_or(OsStr::new("mke2fs"), Path::as_os_str),
    )
}

#[cfg(test)]
#[path = "scratch_test.rs"]
mod tests;
