//! One client of a program in an app: its connection, and the pipes that it brought.

use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bulkhead_protocol::agent::Stream;
use bulkhead_protocol::control::{
    MAX_DESCRIPTORS, MAX_REPLY, MAX_REQUEST, Reply, Request, Streams,
};
use bulkhead_protocol::frame::{self, Decoder};
use bulkhead_protocol::plan::ProcessId;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use super::pipes::{Input, Output};

/// Bytes read at a time from a connection: most requests fit.
const READ_LENGTH: usize = 16 << 10;

/// How long an attached client may take nothing of what there is for it: then it is hung up on, so that nobody who has come to
/// look stops an app for good.
pub(super) const STANDSTILL_MAX: Duration = Duration::from_secs(10);

/// A client that is gone, or makes no sense.
#[derive(Debug)]
pub(super) struct Gone;

/// Its connection.
#[derive(Debug)]
pub(super) struct Link {
    socket: UnixStream,
    decoder: Decoder,
    /// What came beside the messages so far.
    descriptors: Vec<OwnedFd>,
}

impl Link {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket: UnixStream::from(socket),
            decoder: Decoder::new(MAX_REQUEST),
            descriptors: Vec::new(),
        }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads once, without waiting.
    pub(super) fn receive(&mut self) -> Result<(), Gone> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let mut buffer = [0; READ_LENGTH];
        let mut buffers = [IoSliceMut::new(&mut buffer)];
        let received = match recvmsg(&self.socket, &mut buffers, &mut ancillary, flags) {
            Ok(received) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(_) => return Err(Gone),
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.descriptors.extend(files);
            }
        }
        let cut = received.flags.contains(ReturnFlags::CTRUNC);
        if received.bytes == 0 || cut || self.descriptors.len() > MAX_DESCRIPTORS {
            return Err(Gone);
        }
        self.decoder.push(&buffer[..received.bytes]);
        Ok(())
    }

    /// The next message that is whole.
    pub(super) fn next(&mut self) -> Result<Option<Request>, Gone> {
        self.decoder.take().map_err(|_| Gone)
    }

    /// Ends of pipes that are ours alone, so that not to block is for us to say.
    pub(super) fn take_pipes(&mut self) -> Result<Vec<OwnedFd>, Gone> {
        let mut pipes = self.descriptors.iter();
        let made = pipes.try_for_each(|pipe| ioctl_fionbio(pipe, true));
        made.map_err(|_| Gone)?;
        Ok(std::mem::take(&mut self.descriptors))
    }

    /// There are a few short replies in a connection's life: one that does not take them is as good as gone.
    pub(super) fn reply(&mut self, reply: &Reply) -> Result<(), Gone> {
        let mut bytes = Vec::new();
        frame::encode(reply, MAX_REPLY, &mut bytes).map_err(|_| Gone)?;
        self.socket.write_all(&bytes).map_err(|_| Gone)
    }
}

/// The program, and our ends of its pipes.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) process: ProcessId,
    /// It is an app's, and not the client's alone: neither its input nor its life ends with the client.
    pub(super) attached: bool,
    pub(super) stdin: Input,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
}

impl Program {
    /// With the pipes in the order of the streams.
    pub(super) fn new(process: ProcessId, pipes: Vec<OwnedFd>) -> Self {
        let mut pipes = pipes.into_iter();
        Self {
            process,
            attached: false,
            stdin: Input::new(pipes.next()),
            stdout: Output::new(pipes.next()),
            stderr: Output::new(pipes.next()),
        }
    }

    /// Of an app, with the pipes of these streams.
    pub(super) fn of_app(process: ProcessId, streams: Streams, pipes: Vec<OwnedFd>) -> Self {
        let mut pipes = pipes.into_iter();
        let mut next = |wanted: bool| if wanted { pipes.next() } else { None };
        Self {
            process,
            attached: true,
            stdin: Input::new(next(streams.stdin)),
            stdout: Output::new(next(streams.stdout)),
            stderr: Output::new(next(streams.stderr)),
        }
    }

    /// Whether there is nothing more to pass, in either direction. A client that came for output does not stay for input alone.
    pub(super) fn is_over(&self, came_for_output: bool) -> bool {
        let outputs = [&self.stdout, &self.stderr];
        let silent = outputs.iter().all(|output| output.is_closed());
        silent && (came_for_output || self.stdin.is_closed())
    }

    /// Bytes of a stream that the client has not taken.
    pub(super) fn waiting(&self, stream: Stream) -> usize {
        match stream {
            Stream::Stdout => self.stdout.waiting(),
            Stream::Stderr => self.stderr.waiting(),
            Stream::Stdin => 0,
        }
    }

    /// When one of its outputs will have stood still for too long.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let outputs = [&self.stdout, &self.stderr];
        let since = outputs.into_iter().filter_map(Output::stands_since);
        since.min().map(|since| since + STANDSTILL_MAX)
    }

    pub(super) fn output(&mut self, stream: Stream) -> &mut Output {
        match stream {
            Stream::Stderr => &mut self.stderr,
            Stream::Stdout | Stream::Stdin => &mut self.stdout,
        }
    }
}
