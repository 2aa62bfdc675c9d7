//! A `vmm` process, its control socket, and kernels of a few instructions.

use std::fs::{File, OpenOptions};
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::frame;
use bulkhead_protocol::vmm::{
    ExitReason, FdIndex, FromVmm, MAX_FDS, MAX_PACKET, MachineSpec, StartTimes, ToVmm,
};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, socketpair,
};

/// Where the code of [`kernel`] runs.
pub(crate) const ENTRY: u64 = 16 << 20;

/// An ELF kernel of these instructions, 64-bit, at [`ENTRY`].
pub(crate) fn kernel(code: &[u8]) -> File {
    let mut file = vec![0u8; 0x1000];
    file.extend_from_slice(code);
    let length = code.len() as u64;
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &[2, 0, 62, 0]);
    put(24, &ENTRY.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(54, &[56, 0, 1, 0]);
    put(64, &1u32.to_le_bytes());
    put(72, &0x1000u64.to_le_bytes());
    put(88, &ENTRY.to_le_bytes());
    put(96, &length.to_le_bytes());
    put(104, &length.to_le_bytes());
    temporary(&file)
}

pub(crate) fn temporary(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub(crate) fn kvm() -> File {
    let file = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    file.expect("these tests need /dev/kvm")
}

/// The smallest machine, with descriptors KVM, kernel.
pub(crate) fn spec() -> MachineSpec {
    MachineSpec {
        kvm: FdIndex(0),
        vcpus: 1,
        memory_mib: 64,
        kernel: FdIndex(1),
        initramfs: None,
        command_line: Text::default(),
        disks: List::default(),
        shares: List::default(),
        vsock_cid: 3,
        debug_console: false,
    }
}

/// A VMM that says nothing for so long has failed its test.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `vmm`, which ends with its test.
pub(crate) struct Vmm {
    child: Child,
    control: Option<OwnedFd>,
}

/// How it ended.
pub(crate) struct End {
    pub(crate) reason: Option<ExitReason>,
    pub(crate) console: Vec<u8>,
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
}

impl Vmm {
    /// Starts the process, with nothing said yet.
    pub(crate) fn spawn() -> Self {
        Self::spawn_program(env!("CARGO_BIN_EXE_vmm").as_ref(), &[])
    }

    pub(crate) fn spawn_program(program: &std::ffi::OsStr, arguments: &[&str]) -> Self {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        // A shell moves the socket from standard input to descriptor 3.
        let child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 </dev/null"])
            .arg(program)
            .args(arguments)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE)).unwrap();
        Self {
            child,
            control: Some(ours),
        }
    }

    /// Starts this machine with this kernel.
    pub(crate) fn start(spec: &MachineSpec, kernel: &File) -> Self {
        Self::start_with(spec, &[kvm().as_fd(), kernel.as_fd()])
    }

    pub(crate) fn start_with(spec: &MachineSpec, descriptors: &[BorrowedFd<'_>]) -> Self {
        let vmm = Self::spawn();
        vmm.send(&ToVmm::Machine(spec.clone()), descriptors);
        vmm
    }

    /// Starts the smallest machine with these instructions and waits until they run.
    pub(crate) fn run(code: &[u8]) -> Self {
        let vmm = Self::start(&spec(), &kernel(code));
        vmm.wait_for_start();
        vmm
    }

    pub(crate) fn wait_for_start(&self) -> StartTimes {
        match self.receive() {
            Some((FromVmm::Started(times), None)) => times,
            other => panic!("{other:?} in place of a start"),
        }
    }

    pub(crate) fn send(&self, message: &ToVmm, descriptors: &[BorrowedFd<'_>]) {
        let bytes = postcard::to_stdvec(message).unwrap();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        let control = self.control.as_ref().unwrap();
        let bytes = [IoSlice::new(&bytes)];
        rustix::net::sendmsg(control, &bytes, &mut ancillary, SendFlags::NOSIGNAL).unwrap();
    }

    /// The next message; none when the VMM is gone.
    pub(crate) fn receive(&self) -> Option<(FromVmm, Option<OwnedFd>)> {
        let mut bytes = vec![0; MAX_PACKET];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let control = self.control.as_ref().unwrap();
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = rustix::net::recvmsg(control, &mut parts, &mut ancillary, flags).ok()?;
        if received.bytes == 0 {
            return None;
        }
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut received) => received.next(),
            _ => None,
        });
        let message = frame::decode(&bytes[..received.bytes]).unwrap();
        Some((message, descriptor))
    }

    #[track_caller]
    pub(crate) fn expect(&self, expected: &FromVmm) {
        let (message, _) = self.receive().expect("the VMM is gone");
        assert_eq!(&message, expected);
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn stop(self) -> End {
        self.send(&ToVmm::Stop, &[]);
        self.end()
    }

    pub(crate) fn close_control(&mut self) {
        self.control = None;
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> End {
        let mut end = End {
            reason: None,
            console: Vec::new(),
            code: None,
            stderr: String::new(),
        };
        while self.control.is_some()
            && let Some((message, _)) = self.receive()
        {
            if let FromVmm::Exited { reason, console } = message {
                end.reason = Some(reason);
                end.console = console.into_vec();
            }
        }
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut end.stderr).unwrap();
        end.code = self.child.wait().unwrap().code();
        end
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl End {
    #[track_caller]
    pub(crate) fn assert(&self, reason: &ExitReason, code: i32) {
        assert_eq!(self.reason.as_ref(), Some(reason), "{}", self.stderr);
        assert_eq!(self.code, Some(code), "{}", self.stderr);
    }

    /// It failed with this text, once on the socket and once on standard error.
    #[track_caller]
    pub(crate) fn assert_failed(&self, text: &str) {
        let message = Text::try_from(text).unwrap();
        self.assert(&ExitReason::Failed { message }, 1);
        assert_eq!(self.stderr, format!("vmm: {text}\n"));
    }
}
