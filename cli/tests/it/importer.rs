//! The process that reads images.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use bulkhead_jail::{Child, Descriptor, Identity, Jail, Namespaces, Program, spawn};
use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::frame;
use bulkhead_protocol::import::{
    Form, FromImporter, MAX_PACKET, Member, Request, SOCKET, ToImporter,
};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Nobody's.
const IDENTITY: Identity = Identity {
    uid: 65_530,
    gid: 65_530,
};

#[test]
fn it_has_no_rights_before_it_reads_a_byte_of_an_image() {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let importer = start(&theirs);
    drop(theirs);
    ask_for_a_layout(&ours);
    // Asked for, and not given yet: it waits.
    assert_eq!(hear(&ours), FromImporter::Open(Member::Index));

    let process = format!("/proc/{}", pid(&importer));
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().to_owned()
    };
    assert_eq!(field("Seccomp:"), "2", "a filter");
    assert_eq!(field("NoNewPrivs:"), "1");
    if rustix::process::geteuid().is_root() {
        assert_eq!(field("Uid:").split('\t').next(), Some("65530"));
        for set in ["CapPrm:", "CapEff:", "CapInh:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
    }
    // Streams, socket, manifest.
    let descriptors = fs::read_dir(format!("{process}/fd")).unwrap();
    assert_eq!(descriptors.count(), 5);
    assert_eq!(fs::read(format!("{process}/environ")).unwrap(), b"");
}

fn start(socket: &OwnedFd) -> Child {
    let executable = File::open(env!("CARGO_BIN_EXE_bulkhead-import")).unwrap();
    let program = Program {
        executable: executable.as_fd(),
        arguments: vec![CString::from(c"bulkhead-import")],
        environment: Vec::new(),
        descriptors: vec![Descriptor {
            number: SOCKET,
            file: socket.as_fd(),
        }],
        mounts: Vec::new(),
    };
    let jail = Jail {
        identity: rustix::process::geteuid().is_root().then_some(IDENTITY),
        open_files: 16,
        ignored_signals: &[],
        namespaces: Namespaces::Parents,
        gains_privileges: false,
    };
    spawn(&program, &jail).unwrap()
}

fn ask_for_a_layout(socket: &OwnedFd) {
    let text = |text: &str| Text::try_from(text).unwrap();
    let request = ToImporter::Import(Request {
        form: Form::OciLayout,
        tag: None,
        path: text("layout"),
        name: text("layout"),
    });
    let packet = frame::encode_packet(&request, MAX_PACKET).unwrap();
    let manifest = tempfile::tempfile().unwrap();
    let files = [manifest.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)));
    let bytes = [IoSlice::new(&packet)];
    sendmsg(socket, &bytes, &mut ancillary, SendFlags::empty()).unwrap();
}

fn hear(socket: &OwnedFd) -> FromImporter {
    let mut packet = vec![0; MAX_PACKET];
    let mut nothing = RecvAncillaryBuffer::default();
    let mut buffers = [IoSliceMut::new(&mut packet)];
    let received = recvmsg(socket, &mut buffers, &mut nothing, RecvFlags::empty()).unwrap();
    frame::decode(&packet[..received.bytes]).unwrap()
}

/// Its number, as the kernel tells it of a descriptor.
fn pid(child: &Child) -> String {
    use std::os::fd::AsRawFd;
    let number = child.pidfd().as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    line.unwrap().trim().to_owned()
}
