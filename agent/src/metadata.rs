//! Clients of the metadata service: an HTTP connection each, that brings one request and takes one answer.
//!
//! ```text
//! Reading ──whole request──▶ Asking ──host's answer──▶ Writing ──all written──▶ Draining ──client closes──▶ gone
//!    └──────no request, refused by the agent itself──────▲
//! ```
//!
//! A client is gone at its deadline wherever it stands: one that stands still keeps a place from others.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bulkhead_protocol::bounded::{Blob, Text};
use bulkhead_protocol::metadata::{Answer, MediaType, Method, Request, RequestId, Status};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::request::{self, Parsed};

/// Bytes read at a time.
const READ_SIZE: usize = 4 << 10;

/// See the module docs.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    state: State,
    /// `CLOCK_MONOTONIC`.
    pub until_ns: u64,
}

#[derive(Debug)]
enum State {
    /// Bounded by what [`request::parse`] refuses.
    Reading(Vec<u8>),
    Asking,
    Writing {
        bytes: Vec<u8>,
        written: usize,
    },
    /// The answer is out. Closing with bytes unread would reset the connection under it.
    Draining,
}

/// What came of an event.
#[derive(Debug)]
pub enum Progress {
    /// It goes on when there is more to read.
    Read,
    /// It goes on when there is room to write.
    Write,
    /// The host is to be asked.
    Ask(Box<Request>),
    /// It is over.
    Gone,
}

impl Client {
    /// On a connected socket that does not block.
    pub fn new(socket: OwnedFd, until_ns: u64) -> Self {
        Self {
            socket,
            state: State::Reading(Vec::new()),
            until_ns,
        }
    }

    /// Goes on after an event; `id` names its request.
    pub fn go_on(&mut self, id: RequestId) -> Progress {
        match &mut self.state {
            State::Reading(_) => self.read(id),
            // Nothing is waited for but its end.
            State::Asking => Progress::Gone,
            State::Writing { .. } => self.write(),
            State::Draining => self.drain(),
        }
    }

    /// The host's answer. Others get one that they did not wait for, which is nonsense, and dropped.
    pub fn answer(&mut self, answer: &Answer) -> Progress {
        if !matches!(self.state, State::Asking) {
            return Progress::Read;
        }
        let (code, allow) = match answer.status {
            Status::Ok => (200, None),
            Status::BadRequest => (400, None),
            Status::Forbidden => (403, None),
            Status::NotFound => (404, None),
            Status::Only(method) => (405, Some(method)),
        };
        self.respond(code, allow, answer.media_type, &answer.body)
    }

    /// The host is gone, and what it was asked with it.
    pub fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking)
    }

    /// Answers with nothing but a status code.
    pub fn refuse(&mut self, code: u16) -> Progress {
        self.respond(code, None, MediaType::Text, &[])
    }

    fn respond(
        &mut self,
        code: u16,
        allow: Option<Method>,
        media_type: MediaType,
        body: &[u8],
    ) -> Progress {
        let mut bytes = head(code, allow, media_type, body.len()).into_bytes();
        bytes.extend_from_slice(body);
        self.state = State::Writing { bytes, written: 0 };
        self.write()
    }

    fn read(&mut self, id: RequestId) -> Progress {
        let State::Reading(bytes) = &mut self.state else {
            return Progress::Gone;
        };
        loop {
            let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
            match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((([], _), _)) => return Progress::Gone,
                Ok(((read, _), _)) => bytes.extend_from_slice(read),
                Err(Errno::AGAIN) => return Progress::Read,
                Err(Errno::INTR) => continue,
                Err(_) => return Progress::Gone,
            }
            match request::parse(bytes) {
                Parsed::Partial => {}
                Parsed::Refused(code) => return self.refuse(code),
                Parsed::Whole(request) => {
                    let Some(request) = to_host(id, &request) else {
                        return self.refuse(414);
                    };
                    self.state = State::Asking;
                    return Progress::Ask(Box::new(request));
                }
            }
        }
    }

    fn write(&mut self) -> Progress {
        let State::Writing { bytes, written } = &mut self.state else {
            return Progress::Gone;
        };
        while *written < bytes.len() {
            match send(&self.socket, &bytes[*written..], SendFlags::NOSIGNAL) {
                Ok(count) => *written += count,
                Err(Errno::AGAIN) => return Progress::Write,
                Err(Errno::INTR) => {}
                Err(_) => return Progress::Gone,
            }
        }
        if shutdown(&self.socket, Shutdown::Write).is_err() {
            return Progress::Gone;
        }
        self.state = State::Draining;
        self.drain()
    }

    fn drain(&mut self) -> Progress {
        let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
        match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
            // One piece at a time: a client that floods must not keep the agent's only thread.
            Ok((([_, ..], _), _)) => Progress::Read,
            Err(Errno::AGAIN | Errno::INTR) => Progress::Read,
            _ => Progress::Gone,
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// `None` for a path that is too long.
fn to_host(id: RequestId, request: &request::Request<'_>) -> Option<Request> {
    Some(Request {
        id,
        method: match request.method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            _ => Method::Other,
        },
        path: Text::try_from(request.path).ok()?,
        form: Blob::try_from(request.body).ok()?,
    })
}

fn head(code: u16, allow: Option<Method>, media_type: MediaType, length: usize) -> String {
    let reason = match code {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        _ => "Service Unavailable",
    };
    let media_type = match media_type {
        MediaType::Json => "application/json",
        MediaType::Text => "text/plain; charset=us-ascii",
    };
    let allow = match allow {
        Some(Method::Get) => "Allow: GET\r\n",
        Some(Method::Post) => "Allow: POST\r\n",
        Some(Method::Other) | None => "",
    };
    format!(
        "HTTP/1.1 {code} {reason}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n{allow}\
         Connection: close\r\n\r\n"
    )
}

#[cfg(test)]
#[path = "metadata_test.rs"]
mod tests;
