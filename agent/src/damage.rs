//! What the kernel says of blocks that are not what they should be: events of its block devices, as it tells every listener of its own.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, socket,
};

/// What the kernel itself tells (`lib/kobject_uevent.c`).
const KERNEL_EVENTS: u32 = 1;

/// Longest event: `UEVENT_BUFFER_SIZE` with the line before it, `include/linux/kobject.h`.
const MAX_EVENT: usize = 4096;

/// Begins the word of an event that tells of a bad block (`drivers/md/dm-verity-target.c`).
const BAD_BLOCK: &[u8] = b"DM_VERITY_ERR_BLOCK_NR=";

/// Begins the word with the device's name.
const DEVICE: &[u8] = b"DEVNAME=";

/// See the module docs.
#[derive(Debug)]
pub struct Damage(OwnedFd);

impl Damage {
    /// Hears what happens from now on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn listen() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let kind = SockType::Datagram;
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let socket = socket(AddressFamily::Netlink, kind, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_EVENTS))?;
        Ok(Self(socket))
    }

    /// Takes one event, and gives the device that it says is damaged, if it says so.
    pub fn next(&self) -> Option<PathBuf> {
        let mut buffer = [0; MAX_EVENT];
        let (length, sender) = recvfrom::<NetlinkAddr>(self.0.as_raw_fd(), &mut buffer).ok()?;
        // Any program may write to the socket; the kernel is nobody.
        let is_kernel = sender.is_some_and(|sender| sender.pid() == 0);
        is_kernel.then(|| damaged(&buffer[..length])).flatten()
    }
}

impl AsFd for Damage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn damaged(event: &[u8]) -> Option<PathBuf> {
    let mut words = event.split(|byte| *byte == 0);
    let is_damage = words.clone().any(|word| word.starts_with(BAD_BLOCK));
    let name = words.find_map(|word| word.strip_prefix(DEVICE));
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    is_damage
        .then(|| Some(Path::new("/dev").join(name?)))
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::damaged;

    #[test]
    fn only_a_bad_block_is_damage() {
        let of = |word: &str| {
            let event = format!(
                "change@/devices/virtual/block/dm-3\0ACTION=change\0SUBSYSTEM=block\0{word}MAJOR=254\0\
                 MINOR=3\0DEVNAME=dm-3\0DEVTYPE=disk\0SEQNUM=700\0"
            );
            damaged(event.as_bytes())
        };
        let bad = of("DM_VERITY_ERR_BLOCK_NR=1,17\0");
        assert_eq!(bad.as_deref(), Some(Path::new("/dev/dm-3")));
        assert_eq!(of(""), None);
        // As a program writes it into a device's `uevent`.
        assert_eq!(of("SYNTH_ARG_DM_VERITY_ERR_BLOCK_NR=1,17\0"), None);
        assert_eq!(damaged(b"DM_VERITY_ERR_BLOCK_NR=1,17\0"), None);
    }
}
