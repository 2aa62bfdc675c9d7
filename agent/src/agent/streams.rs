//! Bytes between the processes' pipes and the connection.
//!
//! A stream that cannot go on is not watched: output without room in its window, input without bytes for the process. So nothing is ever
//! ready that the agent does not want to do at once.

use std::io;
use std::os::fd::OwnedFd;

use bulkhead_protocol::agent::{Ack, Chunk, FromAgent, MAX_CHUNK, Stream};
use bulkhead_protocol::bounded::Blob;
use bulkhead_protocol::plan::ProcessId;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use super::{Agent, Fatal};
use crate::connection::Connection;
use crate::poller::Token;
use crate::process::{Input, InputEnd};

/// Bytes read from a process at a time: what a pipe holds.
pub(super) const READ_SIZE: usize = 64 << 10;

/// What ends the input of a terminal (`VEOF`): nothing else does but a hang-up.
const END_OF_TRANSMISSION: &[u8] = &[4];

impl Agent {
    pub(super) fn attach_input(&mut self, id: ProcessId, end: OwnedFd) -> io::Result<()> {
        let Some(entry) = self.processes.get_mut(&id) else {
            return Ok(());
        };
        if !matches!(entry.input.end, InputEnd::Expected) {
            return Ok(());
        }
        // No interest but the errors that always count: that its reader is gone.
        self.poller
            .add(&end, Token::Stdin(id), EventFlags::empty())?;
        entry.input.end = InputEnd::Open(end);
        self.write_input(id);
        Ok(())
    }

    pub(super) fn attach_output(
        &mut self,
        id: ProcessId,
        stream: Stream,
        end: OwnedFd,
    ) -> io::Result<()> {
        let Some(output) = self
            .processes
            .get_mut(&id)
            .and_then(|entry| entry.output(stream))
        else {
            return Ok(());
        };
        if output.stream.room() > 0 {
            self.poller
                .add(&end, output_token(id, stream), EventFlags::IN)?;
            output.is_watched = true;
            output.end = Some(end);
        }
        Ok(())
    }

    /// Bytes for a process's input.
    pub(super) fn take_input(&mut self, chunk: &Chunk) -> Result<(), Fatal> {
        let process = chunk.process;
        if chunk.stream != Stream::Stdin {
            return Err(Fatal::OutOfOrder {
                what: "bytes for a stream that comes from the guest",
            });
        }
        // One that is closed was told to be; what was under way then goes nowhere.
        let Some(input) = self.open_input(process) else {
            return Ok(());
        };
        input
            .stream
            .receive(chunk.offset, &chunk.bytes)
            .map_err(|source| Fatal::Stream {
                process,
                stream: Stream::Stdin,
                source,
            })?;
        self.write_input(process);
        Ok(())
    }

    fn open_input(&mut self, id: ProcessId) -> Option<&mut Input> {
        let input = &mut self.processes.get_mut(&id)?.input;
        (!matches!(input.end, InputEnd::Closed)).then_some(input)
    }

    pub(super) fn input_event(&mut self, id: ProcessId, flags: EventFlags) {
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            self.close_input(id);
        } else {
            self.write_input(id);
        }
    }

    /// Passes on what the process takes, and says so.
    fn write_input(&mut self, id: ProcessId) {
        let Some(entry) = self.processes.get_mut(&id) else {
            return;
        };
        let is_connection = entry.is_connection();
        let input = &mut entry.input;
        let InputEnd::Open(end) = &input.end else {
            return;
        };
        let mut is_full = false;
        while !input.stream.pending().is_empty() && !is_full {
            match rustix::io::write(end, input.stream.pending()) {
                Ok(count) => input.stream.pass(count),
                Err(Errno::AGAIN) => is_full = true,
                Err(Errno::INTR) => {}
                Err(_) => return self.close_input(id),
            }
        }
        if std::mem::replace(&mut input.is_full, is_full) != is_full {
            let interest = if is_full {
                EventFlags::OUT
            } else {
                EventFlags::empty()
            };
            if self.poller.change(end, Token::Stdin(id), interest).is_err() {
                return self.close_input(id);
            }
        }
        if input.stream.is_finished() {
            if entry.terminal.is_some() {
                let _ = rustix::io::write(end, END_OF_TRANSMISSION);
            }
            if is_connection {
                // The app sees the end of what its client wrote, and may go on itself.
                let _ = shutdown(end, Shutdown::Write);
            }
            self.poller.remove(end);
            entry.input.end = InputEnd::Closed;
        }
        let is_closed = matches!(entry.input.end, InputEnd::Closed);
        if let Some(offset) = entry.input.stream.take_acknowledgement() {
            let stream = Stream::Stdin;
            self.send(&FromAgent::Ack(Ack {
                process: id,
                stream,
                offset,
                closed: false,
            }));
        }
        if is_closed {
            self.settle_connection(id);
        }
    }

    /// Nobody reads it any more.
    pub(super) fn close_input(&mut self, id: ProcessId) {
        let Some(entry) = self.processes.get_mut(&id) else {
            return;
        };
        let input = &mut entry.input;
        match std::mem::replace(&mut input.end, InputEnd::Closed) {
            InputEnd::Open(end) => self.poller.remove(&end),
            InputEnd::Expected => {}
            InputEnd::Closed => return,
        }
        let (stream, offset) = (Stream::Stdin, input.stream.passed());
        self.send(&FromAgent::Ack(Ack {
            process: id,
            stream,
            offset,
            closed: true,
        }));
        self.settle_connection(id);
    }

    /// Takes what a process wrote, as far as its window goes.
    pub(super) fn read_output(&mut self, id: ProcessId, stream: Stream) {
        let Some(output) = self
            .processes
            .get_mut(&id)
            .and_then(|entry| entry.output(stream))
        else {
            return;
        };
        let Some(end) = &output.end else { return };
        let room = output.stream.room().min(self.buffer.len());
        match rustix::io::read(end, &mut self.buffer[..room]) {
            Ok((bytes, _)) if !bytes.is_empty() => {
                output.stream.push(bytes);
                if output.stream.room() < MAX_CHUNK {
                    self.poller.remove(end);
                    output.is_watched = false;
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => return,
            // The end; of a terminal it comes as an I/O error.
            _ => {
                self.poller.remove(end);
                output.end = None;
                output.stream.end();
            }
        }
        self.queue(id, stream);
        self.settle_connection(id);
    }

    /// No output will come, and none is on its way. The host is told at once: what it hears next may be that the process never ran.
    pub(super) fn end_outputs(&mut self, id: ProcessId) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let Some(output) = self
                .processes
                .get_mut(&id)
                .and_then(|entry| entry.output(stream))
            else {
                continue;
            };
            if let Some(end) = output.end.take() {
                self.poller.remove(&end);
            }
            output.stream.end();
            if let Some(connection) = self.link.connection() {
                while let Some(part) = output.stream.next_part() {
                    send_chunk(connection, id, stream, part.offset, part.bytes);
                }
            }
        }
        self.close_input(id);
    }

    fn queue(&mut self, id: ProcessId, stream: Stream) {
        let Some(output) = self
            .processes
            .get_mut(&id)
            .and_then(|entry| entry.output(stream))
        else {
            return;
        };
        if output.stream.has_part() && !output.is_queued {
            output.is_queued = true;
            self.line.push_back((id, stream));
        }
    }

    /// The host has passed on output, or wants no more of it.
    pub(super) fn take_ack(&mut self, ack: &Ack) -> Result<(), Fatal> {
        let (process, stream) = (ack.process, ack.stream);
        let Some(output) = self
            .processes
            .get_mut(&process)
            .and_then(|entry| entry.output(stream))
        else {
            // Of a process that is forgotten.
            return Ok(());
        };
        output
            .stream
            .acknowledge(ack.offset)
            .map_err(|source| Fatal::Stream {
                process,
                stream,
                source,
            })?;
        if ack.closed {
            output.stream.refuse();
            if let Some(end) = output.end.take() {
                // Its writer gets SIGPIPE; a terminal hangs up once the input is closed too.
                self.poller.remove(&end);
            }
            if self
                .processes
                .get(&process)
                .is_some_and(|entry| entry.terminal.is_some())
            {
                self.close_input(process);
            }
            self.settle_connection(process);
            return Ok(());
        }
        if let Some(end) = &output.end
            && !output.is_watched
            && output.stream.room() >= MAX_CHUNK
        {
            let watched = self
                .poller
                .add(end, output_token(process, stream), EventFlags::IN);
            output.is_watched = watched.is_ok();
        }
        Ok(())
    }

    /// Puts output in the connection's queue, a chunk of each stream in turn.
    pub(super) fn send_output(&mut self) {
        let Some(connection) = self.link.connection() else {
            return;
        };
        while connection.takes_output() {
            let Some((process, stream)) = self.line.pop_front() else {
                return;
            };
            let Some(output) = self
                .processes
                .get_mut(&process)
                .and_then(|entry| entry.output(stream))
            else {
                continue;
            };
            if let Some(part) = output.stream.next_part() {
                send_chunk(connection, process, stream, part.offset, part.bytes);
            }
            output.is_queued = output.stream.has_part();
            if output.is_queued {
                self.line.push_back((process, stream));
            }
        }
    }
}

fn send_chunk(
    connection: &mut Connection,
    process: ProcessId,
    stream: Stream,
    offset: u64,
    bytes: Vec<u8>,
) {
    let bytes = Blob::try_from(bytes).expect("a part has at most MAX_CHUNK bytes");
    connection.send(&FromAgent::Data(Chunk {
        process,
        stream,
        offset,
        bytes,
    }));
}

fn output_token(id: ProcessId, stream: Stream) -> Token {
    match stream {
        Stream::Stderr => Token::Stderr(id),
        _ => Token::Stdout(id),
    }
}
