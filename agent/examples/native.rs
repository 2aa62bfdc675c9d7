//! The agent on this machine's own kernel, for tests: namespaces in place of a VM, a socket's path in place of vsock.
//!
//! Like `/init` it has no `main` of the standard library's kind, which would ignore SIGPIPE, and so would all its children.
//!
//! Usage: `native BASE IMAGE-DISK SCRATCH-DISK CGROUPS SOCKET`, as PID 1 of namespaces of its own.

#![no_main]

use std::ffi::{c_char, c_int};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use bulkhead_agent::agent::Agent;
use bulkhead_agent::clock::monotonic_ns;
use bulkhead_agent::disk::Storage;
use bulkhead_agent::reason::reason;
use bulkhead_agent::setup::{Kernel, Machine};

#[expect(unsafe_code, reason = "the linker finds it by this name")]
#[unsafe(no_mangle)]
extern "C" fn main(_argument_count: c_int, _arguments: *const *const c_char) -> c_int {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [base, image_disk, scratch_disk, cgroups, socket] = &paths[..] else {
        eprintln!("usage: native BASE IMAGE-DISK SCRATCH-DISK CGROUPS SOCKET");
        return 1;
    };
    let machine = Machine {
        base: base.clone(),
        image_disk: Storage::Disk(image_disk.clone()),
        mapper: None,
        scratch_disk: Storage::Disk(scratch_disk.clone()),
        volume_disks: [PathBuf::new(), PathBuf::new()].map(Storage::Disk),
        cgroups: cgroups.clone(),
        late_devices: None,
        kernel: Kernel::Own,
    };
    let socket = socket.clone();
    let dial = Box::new(move || {
        let stream = UnixStream::connect(&socket)?;
        stream.set_nonblocking(true)?;
        Ok(OwnedFd::from(stream))
    });
    let run = Agent::new(machine, &[], dial, monotonic_ns()).and_then(|mut agent| agent.run());
    match run {
        Ok(()) => 0,
        Err(fatal) => {
            eprintln!("{}", reason(&fatal));
            1
        }
    }
}
