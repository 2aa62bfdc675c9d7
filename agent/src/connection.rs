//! One connection to the host: frames in and out, without waiting.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bulkhead_protocol::agent::{FromAgent, ToAgent};
use bulkhead_protocol::frame::{self, Decoder, FrameError, MAX_FROM_AGENT, MAX_TO_AGENT};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

/// Bytes read at a time.
const READ_SIZE: usize = 64 << 10;

/// Unwritten bytes above which no more output of processes is put in. Control messages go in above it: each answers something
/// that the host sent or a process of its own did once, so that they cannot pile up without bound.
const OUTPUT_BOUND: usize = 256 << 10;

/// See the module docs.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    decoder: Decoder,
    /// For what is read. Never initialized: only the pages that are read into are ever touched.
    buffer: Box<[MaybeUninit<u8>]>,
    unwritten: Vec<u8>,
    /// Bytes at the start of `unwritten` that are written.
    written: usize,
}

/// Why a connection is of no use any more.
#[derive(Debug)]
pub enum Lost {
    /// The connection ended or broke: dial again.
    Broken,
    /// The host said what cannot be: a bug, with no way on.
    Nonsense(FrameError),
}

impl From<FrameError> for Lost {
    fn from(error: FrameError) -> Self {
        Self::Nonsense(error)
    }
}

impl Connection {
    /// On a connected socket that does not block.
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            decoder: Decoder::new(MAX_TO_AGENT),
            buffer: Box::new_uninit_slice(READ_SIZE),
            unwritten: Vec::new(),
            written: 0,
        }
    }

    /// Puts a message in the queue. [`Connection::flush`] writes it.
    pub fn send(&mut self, message: &FromAgent) {
        frame::encode(message, MAX_FROM_AGENT, &mut self.unwritten)
            .expect("every part of a message to the host is bounded far below the frame");
    }

    /// Whether output of processes may be put in the queue.
    pub fn takes_output(&self) -> bool {
        self.unwritten.len() - self.written < OUTPUT_BOUND
    }

    /// Whether everything is written.
    pub fn is_flushed(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Writes what the socket takes now.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn flush(&mut self) -> Result<(), Lost> {
        while self.written < self.unwritten.len() {
            match send(
                &self.socket,
                &self.unwritten[self.written..],
                SendFlags::NOSIGNAL,
            ) {
                Ok(count) => self.written += count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return Err(Lost::Broken),
            }
        }
        if self.written == self.unwritten.len() {
            self.unwritten.clear();
            self.written = 0;
        } else if self.written >= OUTPUT_BOUND {
            self.unwritten.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }

    /// Reads once. Call it when the socket is readable, then [`Connection::message`] until it gives nothing.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn read(&mut self) -> Result<(), Lost> {
        match recv(&self.socket, &mut self.buffer[..], RecvFlags::empty()) {
            Ok(((read, _), _)) => {
                self.decoder.push(read);
                if read.is_empty() {
                    Err(Lost::Broken)
                } else {
                    Ok(())
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(_) => Err(Lost::Broken),
        }
    }

    /// The next whole message that was read.
    ///
    /// # Errors
    /// [`Lost::Nonsense`].
    pub fn message(&mut self) -> Result<Option<ToAgent>, Lost> {
        Ok(self.decoder.take()?)
    }

    /// Says that nothing more will be written.
    pub fn finish(&self) {
        // Already lost is as good.
        let _ = shutdown(&self.socket, Shutdown::Write);
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The outcome of a connect that was begun.
///
/// # Errors
/// What kept it from connecting.
pub fn connected(socket: &OwnedFd) -> io::Result<()> {
    rustix::net::sockopt::socket_error(socket)?.map_err(io::Error::from)
}

#[cfg(test)]
#[path = "connection_test.rs"]
mod tests;
