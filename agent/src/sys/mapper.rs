//! The device mapper's ioctls.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::libc;

use super::check;

/// Asks the device mapper (`/dev/mapper/control`).
///
/// # Errors
/// What the kernel says.
pub fn device_mapper(
    control: &File,
    command: MapperCommand,
    request: &mut MapperRequest,
) -> io::Result<()> {
    request.data_size = u32::try_from(size_of::<MapperRequest>()).unwrap_or(0);
    // SAFETY: takes a `struct dm_ioctl` of 312 bytes with its data behind it, and reads and writes no more than `data_size` bytes, which is
    // all of this one; any bytes are a valid one, and it lives until the call returns.
    check(unsafe {
        libc::ioctl(
            control.as_raw_fd(),
            DM_IOCTL | command as libc::c_ulong,
            std::ptr::from_mut(request),
        )
    })
}

/// What the device mapper is asked for, `include/uapi/linux/dm-ioctl.h`.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub enum MapperCommand {
    /// A device without a table.
    Create = 3,
    /// No such device any more.
    Remove = 4,
    /// Use the table that was loaded last.
    Resume = 6,
    /// What the device is to do.
    LoadTable = 9,
}

/// `_IOWR(DM_IOCTL, 0, struct dm_ioctl)`.
const DM_IOCTL: libc::c_ulong = 0xC138_FD00;

/// The version of the interface: that of Linux since 2.6.
const DM_VERSION: [u32; 3] = [4, 0, 0];

/// `DM_READONLY_FLAG`.
const DM_READ_ONLY: u32 = 1;

/// Bytes of `struct dm_ioctl`: where its data begin.
const DM_HEADER: u32 = 312;

/// Longest parameters of a device that we make, with their NUL.
const MAX_PARAMETERS: usize = 512;

/// `struct dm_ioctl` of a read-only device, and behind it one `struct dm_target_spec` with its parameters.
#[repr(C)]
#[derive(Debug)]
pub struct MapperRequest {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_number: u32,
    padding: u32,
    device: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    rest: [u8; 7],
    sector: u64,
    sectors: u64,
    status: i32,
    next: u32,
    kind: [u8; 16],
    parameters: [u8; MAX_PARAMETERS],
}

impl MapperRequest {
    /// Of the device with this name.
    ///
    /// # Errors
    /// When it is too long.
    pub fn new(name: &str) -> io::Result<Self> {
        let mut request = Self {
            version: DM_VERSION,
            data_size: 0,
            data_start: DM_HEADER,
            target_count: 0,
            open_count: 0,
            flags: DM_READ_ONLY,
            event_number: 0,
            padding: 0,
            device: 0,
            name: [0; 128],
            uuid: [0; 129],
            rest: [0; 7],
            sector: 0,
            sectors: 0,
            status: 0,
            next: 0,
            kind: [0; 16],
            parameters: [0; MAX_PARAMETERS],
        };
        put_text(&mut request.name, name)?;
        Ok(request)
    }

    /// The whole device is to be of this kind.
    ///
    /// # Errors
    /// When kind or parameters are too long.
    pub fn map(&mut self, sectors: u64, kind: &str, parameters: &str) -> io::Result<()> {
        self.target_count = 1;
        self.sectors = sectors;
        put_text(&mut self.kind, kind)?;
        put_text(&mut self.parameters, parameters)
    }

    /// The device's number, as the kernel has answered.
    pub fn device(&self) -> u64 {
        self.device
    }
}

/// With a NUL behind it.
fn put_text(place: &mut [u8], text: &str) -> io::Result<()> {
    let too_long = || io::Error::from_raw_os_error(libc::ENAMETOOLONG);
    let room = place.len() - 1;
    let place = place[..room].get_mut(..text.len()).ok_or_else(too_long)?;
    place.copy_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::{DM_HEADER, MapperRequest};

    #[test]
    fn a_request_has_the_places_of_the_kernels() {
        let header = DM_HEADER as usize;
        assert_eq!(offset_of!(MapperRequest, device), 40);
        assert_eq!(offset_of!(MapperRequest, sector), header);
        // `struct dm_target_spec`.
        assert_eq!(offset_of!(MapperRequest, parameters), header + 40);
    }

    #[test]
    fn a_text_that_does_not_fit_is_refused_whole() {
        let mut request = MapperRequest::new(&"n".repeat(127)).unwrap();
        assert!(MapperRequest::new(&"n".repeat(128)).is_err());
        assert!(request.map(8, "verity", &"p".repeat(512)).is_err());
        request.map(8, "verity", &"p".repeat(511)).unwrap();
        assert_eq!(request.parameters[511], 0);
    }
}
