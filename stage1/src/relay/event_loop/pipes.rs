//! Both directions between a client and an app, each with its own end.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use bulkhead_protocol::agent::MAX_CHUNK;
use rustix::event::PollFlags;
use rustix::io::Errno;

/// An input on its way from the client. Nothing of it is held here.
#[derive(Debug)]
pub(super) struct Input {
    pipe: Option<OwnedFd>,
}

impl Input {
    pub(super) fn new(pipe: Option<OwnedFd>) -> Self {
        Self { pipe }
    }

    /// What to wait for where the app has room for so many bytes.
    pub(super) fn wanted(&self, room: Option<usize>) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let pipe = self.pipe.as_ref()?;
        room.filter(|room| *room >= MAX_CHUNK)?;
        Some((pipe.as_fd(), PollFlags::IN))
    }

    /// None from the end of what the client writes, or of what the app reads.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.pipe.is_none()
    }

    /// Nobody reads it any more: its writer is to know.
    pub(super) fn close(&mut self) {
        self.pipe = None;
    }

    /// What there is; nothing at all at the end. `None`: not now.
    pub(super) fn read(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; MAX_CHUNK];
        match rustix::io::read(self.pipe.as_ref()?, &mut buffer) {
            Err(Errno::AGAIN | Errno::INTR) => None,
            // Of one that is gone, or cannot be read, nothing more comes.
            Err(_) | Ok(0) => {
                self.pipe = None;
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

    /// Where it goes, and what to wait for there. With no interest at all it is still heard of when its reader goes.
    pub(super) fn wanted(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::OUT, !self.pending.is_empty());
        Some((self.pipe.as_ref()?.as_fd(), flags))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.pipe.is_none()
    }

    /// Bytes that were not taken.
    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn stands_since(&self) -> Option<Duration> {
        self.stands_since
    }

    /// Looks at the clock after bytes were given to the client, or could have been.
    pub(super) fn note_progress(&mut self, moved: bool, now: Duration) {
        if self.pending.is_empty() || self.pipe.is_none() {
            self.stands_since = None;
        } else if moved || self.stands_since.is_none() {
            self.stands_since = Some(now);
        }
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
