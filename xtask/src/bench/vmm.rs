//! Starting our VMM alone, without a pod around it.

use std::ffi::CString;
use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use bulkhead_jail::{Child, Descriptor, Jail, Namespaces, Program, spawn};
use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::frame;
use bulkhead_protocol::vmm::{FdIndex, FromVmm, MAX_PACKET, MachineSpec, ToVmm};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// The descriptor that the VMM takes its control socket from.
const CONTROL_DESCRIPTOR: i32 = 3;

/// What a benchmark machine is made of.
pub(super) struct Guest<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    pub(super) command_line: &'a str,
    pub(super) memory_mib: u32,
}

/// A running VMM, ended when dropped.
pub(super) struct Vmm {
    _child: Child,
    control: OwnedFd,
}

impl Vmm {
    /// Starts `executable`; the guest's serial port goes to `console`.
    pub(super) fn start(
        executable: &File,
        guest: &Guest<'_>,
        console: BorrowedFd<'_>,
    ) -> Result<Self> {
        let kvm = File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .context("open /dev/kvm")?;
        let kernel = open(guest.kernel)?;
        let initramfs = open(guest.initramfs)?;
        let spec = MachineSpec {
            kvm: FdIndex(0),
            vcpus: 1,
            memory_mib: guest.memory_mib,
            kernel: FdIndex(1),
            initramfs: Some(FdIndex(2)),
            command_line: Text::try_from(guest.command_line)?,
            disks: List::default(),
            shares: List::default(),
            vsock_cid: 3,
            debug_console: true,
        };
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        send(
            &ours,
            &ToVmm::Machine(spec),
            &[kvm.as_fd(), kernel.as_fd(), initramfs.as_fd()],
        )?;
        let program = Program {
            executable: executable.as_fd(),
            arguments: vec![CString::from(c"vmm")],
            environment: Vec::new(),
            mounts: Vec::new(),
            descriptors: vec![
                Descriptor {
                    number: 2,
                    file: console,
                },
                Descriptor {
                    number: CONTROL_DESCRIPTOR,
                    file: theirs.as_fd(),
                },
            ],
        };
        let jail = Jail {
            identity: None,
            open_files: 256,
            ignored_signals: &[],
            namespaces: Namespaces::Parents,
            gains_privileges: false,
        };
        let child = spawn(&program, &jail)?;
        Ok(Self {
            _child: child,
            control: ours,
        })
    }

    /// The next message from the VMM.
    pub(super) fn receive(&self) -> Result<FromVmm> {
        let mut packet = vec![0; MAX_PACKET];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [std::io::IoSliceMut::new(&mut packet)];
        let received = recvmsg(
            &self.control,
            &mut parts,
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if received.bytes == 0 {
            bail!("the VMM ended without a word");
        }
        Ok(frame::decode(&packet[..received.bytes])?)
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("open {}", path.display()))
}

fn send(socket: &OwnedFd, message: &ToVmm, files: &[BorrowedFd<'_>]) -> Result<()> {
    let packet = frame::encode_packet(message, MAX_PACKET)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(files));
    }
    sendmsg(
        socket,
        &[IoSlice::new(&packet)],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}
