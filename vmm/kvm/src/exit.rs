//! Why a vCPU came back from the guest.

/// A return from the guest that somebody has to answer. Data slices are in place: what is written to a read's slice is
/// what the guest reads.
#[derive(Debug, PartialEq, Eq)]
pub enum Exit<'a> {
    /// The guest read from a port. A string instruction makes `data` several times `size` long.
    PortRead {
        /// The port.
        port: u16,
        /// Bytes of one access: 1, 2 or 4.
        size: usize,
        /// To be filled.
        data: &'a mut [u8],
    },
    /// The guest wrote to a port.
    PortWrite {
        /// The port.
        port: u16,
        /// Bytes of one access: 1, 2 or 4.
        size: usize,
        /// What it wrote, one access after the other.
        data: &'a [u8],
    },
    /// The guest read from an address without memory.
    MmioRead {
        /// Guest-physical.
        address: u64,
        /// To be filled; 1 to 8 bytes.
        data: &'a mut [u8],
    },
    /// The guest wrote to an address without memory.
    MmioWrite {
        /// Guest-physical.
        address: u64,
        /// 1 to 8 bytes.
        data: &'a [u8],
    },
    /// The vCPU halted. KVM's local APICs handle that themselves: seen only without them.
    Halt,
    /// A triple fault.
    TripleFault,
    /// KVM gave up on the guest.
    InternalError {
        /// `KVM_INTERNAL_ERROR_*`.
        suberror: u32,
    },
    /// The CPU refused the guest's state.
    EntryFailed {
        /// The hardware's code.
        reason: u64,
    },
    /// A signal or a [`crate::Kick`]: look at what is asked of you, then run again.
    Interrupted,
    /// An exit that KVM has no reason to make with what this crate turns on.
    Unexpected {
        /// `KVM_EXIT_*`, or [`u32::MAX`] for one that the binding names and we do not.
        reason: u32,
    },
}

/// Kinds of [`Exit`], to count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    /// [`Exit::PortRead`].
    PortRead,
    /// [`Exit::PortWrite`].
    PortWrite,
    /// [`Exit::MmioRead`].
    MmioRead,
    /// [`Exit::MmioWrite`].
    MmioWrite,
    /// [`Exit::Interrupted`].
    Interrupted,
    /// All others, which mostly end the machine.
    Other,
}

impl ExitKind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [ExitKind; 6] = [
        ExitKind::PortRead,
        ExitKind::PortWrite,
        ExitKind::MmioRead,
        ExitKind::MmioWrite,
        ExitKind::Interrupted,
        ExitKind::Other,
    ];

    /// The name under which the kind is counted.
    pub const fn name(self) -> &'static str {
        match self {
            ExitKind::PortRead => "port_read",
            ExitKind::PortWrite => "port_write",
            ExitKind::MmioRead => "mmio_read",
            ExitKind::MmioWrite => "mmio_write",
            ExitKind::Interrupted => "interrupted",
            ExitKind::Other => "other",
        }
    }
}

impl Exit<'_> {
    /// The exit without its data.
    pub const fn kind(&self) -> ExitKind {
        match self {
            Exit::PortRead { .. } => ExitKind::PortRead,
            Exit::PortWrite { .. } => ExitKind::PortWrite,
            Exit::MmioRead { .. } => ExitKind::MmioRead,
            Exit::MmioWrite { .. } => ExitKind::MmioWrite,
            Exit::Interrupted => ExitKind::Interrupted,
            Exit::Halt
            | Exit::TripleFault
            | Exit::InternalError { .. }
            | Exit::EntryFailed { .. }
            | Exit::Unexpected { .. } => ExitKind::Other,
        }
    }
}
