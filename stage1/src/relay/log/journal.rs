//! The host's journal: a datagram a line, in its native protocol (systemd, "Native Journal Protocol").

use std::os::fd::OwnedFd;

use bulkhead_pod::log::Output;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

/// Standard output is information, standard error an error (syslog(3)).
fn priority(stream: Output) -> u8 {
    match stream {
        Output::Stdout => 6,
        Output::Stderr => 3,
    }
}

/// The journal, and the pod that speaks to it.
#[derive(Debug)]
pub(super) struct Journal {
    socket: OwnedFd,
    pod: String,
    /// Lines that it did not take.
    lost: u64,
}

impl Journal {
    pub(super) fn new(socket: OwnedFd, pod: String) -> Self {
        let lost = 0;
        Self { socket, pod, lost }
    }

    /// Tells it a line, and never waits.
    pub(super) fn tell(&mut self, app: &str, stream: Output, line: &[u8]) {
        let message = message(&self.pod, app, stream, line);
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = loop {
            match send(&self.socket, &message, flags) {
                Err(Errno::INTR) => {}
                sent => break sent,
            }
        };
        if sent.is_err() {
            self.lost += 1;
        }
    }

    /// Lines that it did not take.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

/// Names of apps and pods have no newline, and neither has a line but at its end: no field needs the binary form.
fn message(pod: &str, app: &str, stream: Output, line: &[u8]) -> Vec<u8> {
    let fields = format!(
        "PRIORITY={}\nSYSLOG_IDENTIFIER={app}\nBULKHEAD_POD={pod}\nBULKHEAD_APP={app}\nMESSAGE=",
        priority(stream)
    );
    let mut message = fields.into_bytes();
    message.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
    message.push(b'\n');
    message
}
