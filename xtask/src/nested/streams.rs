//! The byte streams between this process and the nested machine: socket pairs whose other ends
//! QEMU inherits.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::job::Port;

/// One stream: our end, and the end that QEMU inherits.
pub(crate) struct Link {
    pub(crate) ours: UnixStream,
    theirs: UnixStream,
}

impl Link {
    pub(crate) fn new() -> Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("make a socket pair")?;
        fcntl(theirs.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))
            .context("let QEMU inherit a socket")?;
        Ok(Self { ours, theirs })
    }

    /// Number of the inherited descriptor, for QEMU's command line.
    pub(crate) fn inherited(&self) -> i32 {
        self.theirs.as_raw_fd()
    }

    /// Our end alone. Called after QEMU has started, so that its end closes with it.
    fn into_ours(self) -> UnixStream {
        self.ours
    }
}

/// The links of all ports of the serial device.
pub(crate) struct Links(pub(crate) [(Port, Link); 4]);

/// What the machine's main thread waits for.
#[derive(Debug)]
pub(crate) enum Event {
    /// The command has written something.
    Output,
    /// The command's exit status.
    Status(u8),
    /// The machine ended by itself; how QEMU ended.
    Ended(String),
}

impl Links {
    pub(crate) fn new() -> Result<Self> {
        let [output, error, input, status] = Port::ALL;
        Ok(Self([
            (output, Link::new()?),
            (error, Link::new()?),
            (input, Link::new()?),
            (status, Link::new()?),
        ]))
    }

    /// Starts a thread a stream. Those of the two output streams are returned: they end when QEMU
    /// has gone and everything has been written.
    pub(crate) fn start(self, events: &Sender<Event>) -> Vec<JoinHandle<()>> {
        let mut outputs = Vec::new();
        for (port, link) in self.0 {
            let stream = link.into_ours();
            match port {
                Port::Output => {
                    let events = events.clone();
                    outputs.push(std::thread::spawn(move || {
                        copy(stream, &mut io::stdout(), &events);
                    }));
                }
                Port::Error => {
                    let events = events.clone();
                    outputs.push(std::thread::spawn(move || {
                        copy(stream, &mut io::stderr(), &events);
                    }));
                }
                Port::Input => {
                    std::thread::spawn(|| feed(stream));
                }
                Port::Status => {
                    let events = events.clone();
                    std::thread::spawn(move || report_status(stream, &events));
                }
            }
        }
        outputs
    }
}

/// Copies and flushes chunk by chunk, so that a line is seen when it is written.
fn copy(mut from: UnixStream, to: &mut impl Write, events: &Sender<Event>) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            return;
        }
        // Who receives has gone when the command's end is known.
        let _ = events.send(Event::Output);
        let written = to.write_all(&buffer[..count]).and_then(|()| to.flush());
        if written.is_err() {
            // Nobody reads our output any more: the command must not block on it.
            let _ = io::copy(&mut from, &mut io::sink());
            return;
        }
    }
}

fn feed(mut to: UnixStream) {
    // An error on either side is the end of the command's input.
    let _ = io::copy(&mut io::stdin(), &mut to);
    let _ = to.shutdown(Shutdown::Write);
    // A full close would make QEMU drop what it has not read yet: the socket stays until QEMU goes.
    let _ = to.read(&mut [0]);
}

fn report_status(stream: UnixStream, events: &Sender<Event>) {
    let mut line = String::new();
    // At the machine's death the line is empty, and QEMU's end is the event.
    if BufReader::new(stream).read_line(&mut line).is_ok()
        && let Ok(status) = line.trim().parse()
    {
        // The receiver has gone only when the time limit has passed.
        let _ = events.send(Event::Status(status));
    }
}
