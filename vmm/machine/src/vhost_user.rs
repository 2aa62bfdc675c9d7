//! The conversation with a process that runs a device's queues: vhost-user, our side (QEMU, `docs/interop/vhost-user.rst`).
//!
//! Every request is one that the other side must answer (`REPLY_ACK`), within [`ANSWER_LIMIT`]: what it could not do is
//! known here, and a process that hangs holds up the calling thread for a while, and nobody else.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bulkhead_devices::GuestMemory;
use bulkhead_devices::virtio::{ActiveState, QueueSnapshot};
use bulkhead_kvm::Event;
use vhost::vhost_user::message::{
    VhostUserHeaderFlag, VhostUserProtocolFeatures, VhostUserVirtioFeatures,
};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vm_memory::{GuestAddress, GuestMemoryBackend};

/// How long one answer may take. The other side answers between two requests of the guest, one of which may be waiting for
/// a disk.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A conversation that failed: the device runs no more.
#[derive(Debug, thiserror::Error)]
pub enum VhostUserError {
    /// The socket.
    #[error("cannot use the socket")]
    Socket(#[from] io::Error),
    /// A request that was refused, not answered, or answered with nonsense.
    #[error("{request} failed")]
    Request {
        /// Its name in the specification.
        request: &'static str,
        /// What happened.
        source: vhost::Error,
    },
    /// The other side lacks features that the driver has been offered.
    #[error("features {missing:#x} are missing")]
    Features {
        /// Those.
        missing: u64,
    },
    /// The rings are validated before: this is our own error.
    #[error("address {0:#x} is outside of guest memory")]
    Address(u64),
}

/// The bells of one queue.
#[derive(Debug, Clone, Copy)]
pub struct Bells<'a> {
    /// From the guest.
    pub kick: &'a Event,
    /// To the guest.
    pub call: &'a Event,
}

/// The other side.
pub struct Backend {
    frontend: Frontend,
}

fn request<T>(request: &'static str, result: Result<T, vhost::Error>) -> Result<T, VhostUserError> {
    result.map_err(|source| VhostUserError::Request { request, source })
}

impl Backend {
    /// Says hello, and gives guest memory away, for a device with so many queues.
    ///
    /// # Errors
    /// When the other side does not answer, or cannot say what it failed at.
    pub fn greet(
        socket: UnixStream,
        queues: usize,
        memory: &GuestMemory,
    ) -> Result<Self, VhostUserError> {
        socket.set_read_timeout(Some(ANSWER_LIMIT))?;
        socket.set_write_timeout(Some(ANSWER_LIMIT))?;
        let mut frontend = Frontend::from_stream(socket, queues as u64);
        request("SET_OWNER", frontend.set_owner())?;
        let offered = request("GET_FEATURES", frontend.get_features())?;
        check_features(PROTOCOL_FEATURES, offered)?;
        let protocol = request("GET_PROTOCOL_FEATURES", frontend.get_protocol_features())?;
        let wanted = VhostUserProtocolFeatures::REPLY_ACK;
        check_features(wanted.bits(), protocol.bits())?;
        request(
            "SET_PROTOCOL_FEATURES",
            frontend.set_protocol_features(wanted),
        )?;
        frontend.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
        let regions: Result<Vec<_>, _> = memory
            .iter()
            .map(VhostUserMemoryRegionInfo::from_guest_region)
            .collect();
        let regions = request("SET_MEM_TABLE", regions)?;
        request("SET_MEM_TABLE", frontend.set_mem_table(&regions))?;
        Ok(Self { frontend })
    }

    /// Gives the queues of a driver that is ready to the other side.
    ///
    /// # Errors
    /// When it does not take them.
    pub fn start(
        &mut self,
        state: &ActiveState,
        memory: &GuestMemory,
        bells: &[Bells<'_>],
    ) -> Result<(), VhostUserError> {
        let offered = request("GET_FEATURES", self.frontend.get_features())?;
        let features = state.features | PROTOCOL_FEATURES;
        check_features(features, offered)?;
        request("SET_FEATURES", self.frontend.set_features(features))?;
        for (index, (queue, bells)) in state.queues.iter().zip(bells).enumerate() {
            let addresses = ring(queue, memory)?;
            let other = &self.frontend;
            request("SET_VRING_NUM", other.set_vring_num(index, queue.size))?;
            request("SET_VRING_ADDR", other.set_vring_addr(index, &addresses))?;
            let base = other.set_vring_base(index, queue.next_avail);
            request("SET_VRING_BASE", base)?;
            let call = other.set_vring_call(index, bells.call.inner());
            request("SET_VRING_CALL", call)?;
            let kick = other.set_vring_kick(index, bells.kick.inner());
            request("SET_VRING_KICK", kick)?;
        }
        for index in 0..state.queues.len() {
            let enabled = self.frontend.set_vring_enable(index, true);
            request("SET_VRING_ENABLE", enabled)?;
        }
        Ok(())
    }

    /// Takes the queues back: when it returns, the other side takes nothing more from them.
    ///
    /// # Errors
    /// When it does not say so.
    pub fn stop(&mut self, queues: usize) -> Result<(), VhostUserError> {
        for index in 0..queues {
            let disabled = self.frontend.set_vring_enable(index, false);
            request("SET_VRING_ENABLE", disabled)?;
            request("GET_VRING_BASE", self.frontend.get_vring_base(index))?;
        }
        Ok(())
    }
}

const PROTOCOL_FEATURES: u64 = VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();

fn check_features(wanted: u64, offered: u64) -> Result<(), VhostUserError> {
    match wanted & !offered {
        0 => Ok(()),
        missing => Err(VhostUserError::Features { missing }),
    }
}

/// The ring as the protocol names it: by addresses of this process, which the memory table translates.
fn ring(queue: &QueueSnapshot, memory: &GuestMemory) -> Result<VringConfigData, VhostUserError> {
    let host = |address| {
        let found = memory.get_host_address(GuestAddress(address));
        found
            .map(|host| host.addr() as u64)
            .map_err(|_| VhostUserError::Address(address))
    };
    Ok(VringConfigData {
        queue_max_size: queue.size,
        queue_size: queue.size,
        flags: 0,
        desc_table_addr: host(queue.desc_table)?,
        used_ring_addr: host(queue.used_ring)?,
        avail_ring_addr: host(queue.avail_ring)?,
        log_addr: None,
    })
}
