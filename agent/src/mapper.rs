//! Device mapper: a device that gives an image's data, each block checked by the kernel against the tree of hashes behind them (dm-verity).
//!
//! A block that is not what it should be is an I/O error to who reads it, and never its bytes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bulkhead_protocol::verity::{ALGORITHM, BLOCK, SALT, Verity};
use rustix::fs::minor;

use crate::sys::{MapperCommand, MapperRequest, device_mapper};

/// Bytes of a sector, whatever the disk's.
const SECTOR: u64 = 512;

/// dm-verity's own version of its format.
const VERSION: u32 = 1;

/// The kernel's device mapper, `/dev/mapper/control`.
#[derive(Debug)]
pub struct Mapper(File);

impl Mapper {
    /// Opens it.
    ///
    /// # Errors
    /// When the kernel has none.
    pub fn open(control: &Path) -> io::Result<Self> {
        File::options()
            .read(true)
            .write(true)
            .open(control)
            .map(Self)
    }

    /// Makes a device of the data on `device`, of which the tree lies behind it. It stays as long as the machine.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn check(&self, name: &str, device: &Path, verity: &Verity) -> io::Result<PathBuf> {
        let mut request = MapperRequest::new(name)?;
        device_mapper(&self.0, MapperCommand::Create, &mut request)?;
        let number = minor(request.device());
        let loaded = self.load(name, device, verity);
        if let Err(error) = loaded {
            // Somebody may try again. The error that led here is the one to tell.
            let _ = MapperRequest::new(name).and_then(|mut request| {
                device_mapper(&self.0, MapperCommand::Remove, &mut request)
            });
            return Err(error);
        }
        Ok(PathBuf::from(format!("/dev/dm-{number}")))
    }

    fn load(&self, name: &str, device: &Path, verity: &Verity) -> io::Result<()> {
        let sectors = verity.data_blocks() * (BLOCK / SECTOR);
        let mut request = MapperRequest::new(name)?;
        request.map(sectors, "verity", &table(device, verity))?;
        device_mapper(&self.0, MapperCommand::LoadTable, &mut request)?;
        let mut request = MapperRequest::new(name)?;
        device_mapper(&self.0, MapperCommand::Resume, &mut request)
    }
}

/// `Documentation/admin-guide/device-mapper/verity.rst`. Data and hashes are on one device, the hashes from the block behind the data on.
fn table(device: &Path, verity: &Verity) -> String {
    let (device, blocks) = (device.display(), verity.data_blocks());
    let root = verity.root();
    format!(
        "{VERSION} {device} {device} {BLOCK} {BLOCK} {blocks} {blocks} {ALGORITHM} {root} {SALT}"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bulkhead_protocol::verity::{RootDigest, Verity};

    use super::table;

    #[test]
    fn the_hashes_begin_where_the_data_ends() {
        let verity = Verity::new(RootDigest([0xab; 32]), 300).unwrap();
        let expected = format!(
            "1 /dev/vda2 /dev/vda2 4096 4096 300 300 sha256 {} -",
            "ab".repeat(32)
        );
        assert_eq!(table(Path::new("/dev/vda2"), &verity), expected);
    }
}
