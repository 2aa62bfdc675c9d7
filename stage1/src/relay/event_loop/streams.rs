//! The relay's standard streams, and the terminal that they may be.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bulkhead_protocol::agent::{MAX_CHUNK, Stream};
use bulkhead_protocol::plan::{AppName, ProcessId, Stdio, WindowSize};
use bulkhead_protocol::relay::RelaySpec;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{EventfdFlags, eventfd};
use rustix::termios::{OptionalActions, OutputModes, tcgetattr, tcgetwinsize, tcsetattr};

use super::names;
use crate::relay::inlet::Inlet;
use crate::relay::label::Labels;
use crate::relay::outlet::{Outlet, Piece, Report, Reports};

pub(super) struct Streams {
    stdout: Outlet,
    stderr: Outlet,
    stdin: Option<Inlet>,
    /// When several apps share the outputs.
    labels: Option<Labels>,
    reports: Receiver<Report>,
    to_loop: Reports,
    wake: Arc<OwnedFd>,
    /// SIGWINCH, when an app has a terminal.
    resizes: Option<SignalFd>,
}

impl Streams {
    pub(super) fn start(spec: &RelaySpec) -> io::Result<Self> {
        let first = spec.processes.first().filter(|_| spec.interactive);
        let stdio = first.map(|process| process.stdio);
        // Before the threads: they inherit the mask.
        let resizes = match stdio {
            Some(Stdio::Terminal { .. }) => Some(watch_size()?),
            _ => None,
        };
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (channel, reports) = channel();
        let to_loop = Reports {
            channel,
            wake: Arc::clone(&wake),
        };
        let stdin = match stdio {
            None | Some(Stdio::Pipes { stdin: false }) => None,
            Some(_) => Some(Inlet::start(io::stdin(), to_loop.clone())?),
        };
        Ok(Self {
            stdout: Outlet::start(io::stdout(), Stream::Stdout, to_loop.clone())?,
            stderr: Outlet::start(io::stderr(), Stream::Stderr, to_loop.clone())?,
            stdin,
            labels: spec.label_output.then(|| Labels::new(names(spec))),
            reports,
            to_loop,
            wake,
            resizes,
        })
    }

    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// For other threads that have something to say to the loop.
    pub(super) fn reporter(&self) -> Reports {
        self.to_loop.clone()
    }

    pub(super) fn resizes(&self) -> Option<BorrowedFd<'_>> {
        self.resizes.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn output(&mut self, process: ProcessId, stream: Stream, bytes: Vec<u8>) {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let bytes = match &mut self.labels {
            Some(labels) => labels.push(process, stream, &bytes),
            None => bytes,
        };
        let source = Some((process, stream, count));
        self.outlet(stream).push(Piece { bytes, source });
    }

    pub(super) fn output_end(&mut self, process: ProcessId, stream: Stream) {
        if let Some(labels) = &mut self.labels {
            let bytes = labels.end(process, stream);
            let source = None;
            self.outlet(stream).push(Piece { bytes, source });
        }
    }

    /// From here on lines of this process are this app's.
    pub(super) fn label(&mut self, process: ProcessId, app: AppName) {
        if let Some(labels) = &mut self.labels {
            labels.add(process, app);
        }
    }

    /// Nothing more comes of this process.
    pub(super) fn forget(&mut self, process: ProcessId) {
        if let Some(labels) = &mut self.labels {
            labels.forget(process);
        }
    }

    fn outlet(&self, stream: Stream) -> &Outlet {
        match stream {
            Stream::Stderr => &self.stderr,
            Stream::Stdout | Stream::Stdin => &self.stdout,
        }
    }

    /// Bulkhead's own words.
    pub(super) fn message(&self, text: &str) {
        let bytes = text.as_bytes().to_vec();
        let source = None;
        self.stderr.push(Piece { bytes, source });
    }

    pub(super) fn flush(&self, limit: Duration) {
        self.stdout.flush(limit);
        self.stderr.flush(limit);
    }

    pub(super) fn reports(&mut self) -> Vec<Report> {
        // The count is of no interest, and what is missed now wakes the loop again.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        let reports: Vec<Report> = self.reports.try_iter().collect();
        if let Some(stdin) = &mut self.stdin
            && reports.iter().any(|r| matches!(r, Report::Input(_)))
        {
            stdin.came();
        }
        reports
    }

    /// Reads on when there is room for a whole piece.
    pub(super) fn ask_for_input(&mut self, room: Option<usize>) {
        if let Some(stdin) = &mut self.stdin
            && room.is_some_and(|room| room >= MAX_CHUNK)
        {
            stdin.ask();
        }
    }

    /// Keys go to the app as they are. Output is still processed: the guest's terminal has done its own, which this
    /// does not change, and bulkhead's messages keep their line starts. The supervisor restores the terminal.
    pub(super) fn make_terminal_raw(&self) {
        let stdin = rustix::stdio::stdin();
        if self.stdin.is_some()
            && let Ok(mut modes) = tcgetattr(stdin)
        {
            modes.make_raw();
            modes.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
            // A terminal that went away ends the input.
            let _ = tcsetattr(stdin, OptionalActions::Now, &modes);
        }
    }

    pub(super) fn new_size(&self) -> Option<WindowSize> {
        while let Some(Ok(Some(_))) = self.resizes.as_ref().map(SignalFd::read_signal) {}
        let size = tcgetwinsize(rustix::stdio::stdin()).ok()?;
        Some(WindowSize {
            rows: size.ws_row,
            columns: size.ws_col,
        })
    }
}

fn watch_size() -> io::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGWINCH);
    signals.thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&signals, flags)?)
}
