//! The relay of a pod: see [`bulkhead_stage1::relay`]. Started by the supervisor with the descriptors that
//! [`bulkhead_stage1::relay::descriptors`] names, and nothing else.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bulkhead_jail::inherited;
use bulkhead_protocol::plan::MAX_LISTENERS;
use bulkhead_stage1::relay::descriptors::{
    APPS_RUN, COMMANDS, CONTROL, Descriptors, JOURNAL, KERNEL, LISTENERS, LOGS, RKT, TRACE, VMM,
};
use bulkhead_stage1::relay::event_loop::{FAILED, run};
use bulkhead_stage1::relay::log::Places;

fn main() -> ExitCode {
    match relay() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("stage1: relay: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn relay() -> Result<u8> {
    let descriptors = Descriptors {
        commands: UnixStream::from(inherited(COMMANDS).context("the command socket")?),
        vmm: inherited(VMM).context("the VMM's control socket")?,
        rkt: inherited(RKT).ok(),
        control: inherited(CONTROL).ok(),
        apps_run: inherited(APPS_RUN).ok(),
        listeners: listeners(),
        trace: inherited(TRACE).ok().map(File::from),
        kernel: inherited(KERNEL).ok().map(File::from),
        logs: Places {
            directory: inherited(LOGS).ok(),
            journal: inherited(JOURNAL).ok(),
        },
    };
    Ok(run(descriptors)?)
}

/// As many as there are, without a gap.
fn listeners() -> Vec<OwnedFd> {
    let numbers = (LISTENERS..).take(MAX_LISTENERS);
    numbers.map_while(|number| inherited(number).ok()).collect()
}
