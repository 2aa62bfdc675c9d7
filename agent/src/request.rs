//! A request to the metadata service as an app wrote it: bytes in, a bounded request or a status code out.
//!
//! One request a connection, so that nothing has to be found behind a body. What would make a length ambiguous is refused:
//! `Transfer-Encoding`, and more than one `Content-Length`.

use bulkhead_protocol::metadata::MAX_FORM;
use httparse::{EMPTY_HEADER, Status};

/// Longest head, request line and headers, in bytes.
pub const MAX_HEAD: usize = 4 << 10;

/// Header lines of a head.
pub const MAX_HEADERS: usize = 32;

/// A whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// As it was written: case matters.
    pub method: &'a str,
    /// Without a query; with the token.
    pub path: &'a str,
    /// As long as its head says.
    pub body: &'a [u8],
}

/// What the bytes are so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// More have to come.
    Partial,
    /// A request. What follows it is dropped.
    Whole(Request<'a>),
    /// To be answered with this status code, and closed.
    Refused(u16),
}

/// Reads `bytes`, all that a connection has brought.
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    // Never parsed beyond the bound, or a head in small pieces would cost the square of its length.
    let head = &bytes[..bytes.len().min(MAX_HEAD)];
    let length = match request.parse(head) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if bytes.len() < MAX_HEAD => return Parsed::Partial,
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Parsed::Refused(431),
        Err(_) => return Parsed::Refused(400),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Parsed::Refused(400);
    };
    let body_length = match body_length(request.headers) {
        Ok(length) => length,
        Err(status) => return Parsed::Refused(status),
    };
    match bytes[length..].get(..body_length) {
        Some(body) => Parsed::Whole(Request {
            method,
            path: target.split('?').next().unwrap_or(target),
            body,
        }),
        None => Parsed::Partial,
    }
}

fn body_length(headers: &[httparse::Header<'_>]) -> Result<usize, u16> {
    let mut length = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(501);
        }
        if header.name.eq_ignore_ascii_case("content-length")
            && length.replace(decimal(header.value)?).is_some()
        {
            return Err(400);
        }
    }
    Ok(length.unwrap_or(0))
}

/// Digits alone: a sign or a list is what proxies have been led astray with.
fn decimal(value: &[u8]) -> Result<usize, u16> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(400);
    }
    let number = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
    number.filter(|n| *n <= MAX_FORM).ok_or(413)
}

#[cfg(test)]
#[path = "request_test.rs"]
mod tests;
