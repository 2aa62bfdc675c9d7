//! One client of a program in an app: its connection, and the pipes that it brought.

use std::collections::VecDeque;
use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bulkhead_protocol::agent::{MAX_CHUNK, Stream};
use bulkhead_protocol::control::{
    MAX_DESCRIPTORS, MAX_REPLY, MAX_REQUEST, Reply, Request, Streams,
};
use bulkhead_protocol::frame::{self, Decoder};
use bulkhead_protocol::plan::ProcessId;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

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
    pub(super) stdin: Option<OwnedFd>,
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
            stdin: pipes.next(),
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
            stdin: next(streams.stdin),
            stdout: Output::new(next(streams.stdout)),
            stderr: Output::new(next(streams.stderr)),
        }
    }

    /// Whether there is nothing more to pass, in either direction. A client that came for output does not stay for input alone.
    pub(super) fn is_over(&self, came_for_output: bool) -> bool {
        let outputs = [&self.stdout, &self.stderr];
        let silent = outputs.iter().all(|output| output.pipe().is_none());
        silent && (came_for_output || self.stdin.is_none())
    }

    /// Bytes of a stream that the client has not taken.
    pub(super) fn waiting(&self, stream: Stream) -> usize {
        match stream {
            Stream::Stdout => self.stdout.pending.len(),
            Stream::Stderr => self.stderr.pending.len(),
            Stream::Stdin => 0,
        }
    }

    /// When one of its outputs will have stood still for too long.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let outputs = [&self.stdout, &self.stderr];
        let since = outputs.into_iter().filter_map(|output| output.stands_since);
        since.min().map(|since| since + STANDSTILL_MAX)
    }

    /// Looks at the clock after bytes were given to the client, or could have been.
    pub(super) fn note_progress(&mut self, stream: Stream, moved: bool, now: Duration) {
        let output = self.output(stream);
        if output.pending.is_empty() || output.pipe.is_none() {
            output.stands_since = None;
        } else if moved || output.stands_since.is_none() {
            output.stands_since = Some(now);
        }
    }

    pub(super) fn output(&mut self, stream: Stream) -> &mut Output {
        match stream {
            Stream::Stderr => &mut self.stderr,
            Stream::Stdout | Stream::Stdin => &mut self.stdout,
        }
    }

    /// What there is in its input; nothing at all at the end. `None`: not now.
    pub(super) fn read_input(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; MAX_CHUNK];
        match rustix::io::read(self.stdin.as_ref()?, &mut buffer) {
            Err(Errno::AGAIN | Errno::INTR) => None,
            // An input that cannot be read has ended.
            Err(_) | Ok(0) => {
                self.stdin = None;
                Some(Vec::new())
            }
            Ok(count) => {
                buffer.truncate(count);
                Some(buffer)
            }
        }
    }
}

/// An output on its way to the client. What it holds is bounded by the stream's window.
#[derive(Debug)]
pub(super) struct Output {
    pipe: Option<OwnedFd>,
    pending: VecDeque<u8>,
    ended: bool,
    /// Since when an attached client has taken nothing of what there is.
    stands_since: Option<Duration>,
}

/// What a write came to.
pub(super) enum Passed {
    /// This many bytes.
    Bytes(usize),
    /// Nobody reads it any more.
    Closed,
}

impl Output {
    pub(super) fn new(pipe: Option<OwnedFd>) -> Self {
        Self {
            pipe,
            pending: VecDeque::new(),
            ended: false,
            stands_since: None,
        }
    }

    /// Where it goes, and whether it has something to go.
    pub(super) fn pipe(&self) -> Option<(BorrowedFd<'_>, bool)> {
        let pipe = self.pipe.as_ref()?;
        Some((pipe.as_fd(), !self.pending.is_empty()))
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.pipe.is_some() {
            self.pending.extend(bytes);
        }
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
        self.close_at_end();
    }

    /// Its reader is gone.
    pub(super) fn close(&mut self) {
        self.pipe = None;
        self.pending = VecDeque::new();
    }

    /// Writes what the pipe takes.
    pub(super) fn write(&mut self) -> Passed {
        let mut written = 0;
        while let Some(pipe) = &self.pipe
            && !self.pending.is_empty()
        {
            match rustix::io::write(pipe, self.pending.as_slices().0) {
                Ok(count) => {
                    self.pending.drain(..count);
                    written += count;
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.close();
                    return Passed::Closed;
                }
            }
        }
        self.close_at_end();
        Passed::Bytes(written)
    }

    fn close_at_end(&mut self) {
        if self.pending.is_empty() {
            // An idle stream holds no memory.
            self.pending = VecDeque::new();
            if self.ended {
                self.pipe = None;
            }
        }
    }
}
