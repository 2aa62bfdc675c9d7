//! The process itself. That it has a test makes `cargo test` build it, for the tests of `bulkhead fetch` too.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test reports, in its helpers too"
)]

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd;

use bulkhead_jail::{Descriptor, Ended, Jail, Namespaces, Program, spawn};
use bulkhead_protocol::fetch::SOCKET;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

#[test]
fn it_ends_when_nobody_asks() {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let executable = File::open(env!("CARGO_BIN_EXE_bulkhead-fetch")).unwrap();
    let program = Program {
        executable: executable.as_fd(),
        arguments: vec![CString::from(c"bulkhead-fetch")],
        environment: Vec::new(),
        descriptors: vec![Descriptor {
            number: SOCKET,
            file: theirs.as_fd(),
        }],
        mounts: Vec::new(),
    };
    let jail = Jail {
        identity: None,
        open_files: 64,
        ignored_signals: &[],
        namespaces: Namespaces::Parents,
        gains_privileges: false,
    };
    let fetcher = spawn(&program, &jail).unwrap();
    drop((ours, theirs));
    assert_eq!(fetcher.wait().unwrap(), Ended::Code(1));
}
