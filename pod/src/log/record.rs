//! One record: a line of an app's output, or a part of one.
//!
//! ```text
//! {"time":"2026-11-28T06:00:00.123456789Z","stream":"stdout","log":"hello\n"}
//! {"time":"2026-11-28T06:00:00.123456789Z","stream":"stderr","base64":"/wo="}
//! {"time":"2026-11-28T06:00:00.123456789Z","stream":"stdout","lost":4096}
//! ```
//!
//! Text that does not end with a newline goes on in the next record of the stream, or is the last that the stream had.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::manifest::AcName;

/// Which output of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A time as records have it: in UTC, with nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(String);

impl Stamp {
    /// Of a time; what no calendar has is the year 1970.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
        Self(format!("{time:.9}"))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a record tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// What the app wrote, byte by byte.
    Text(Vec<u8>),
    /// So many bytes of its output are missing here.
    Lost(u64),
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When the bytes came out of the pod.
    pub time: Timestamp,
    /// By which stream.
    pub stream: Output,
    /// What.
    pub content: Content,
}

/// A line that is no record.
#[derive(Debug, Error)]
pub enum NotARecord {
    /// It is not the JSON of one.
    #[error("it is no record")]
    Json(#[from] serde_json::Error),
    /// Its time is none.
    #[error("{0:?} is no time")]
    Time(String),
    /// It does not tell one thing.
    #[error("it has not one of log, base64 and lost")]
    Content,
    /// Its bytes are not what they should be.
    #[error("its bytes are not base64")]
    Base64,
}

/// As it stands in a file.
#[derive(Default, Deserialize)]
struct Line {
    time: String,
    stream: Option<Output>,
    log: Option<String>,
    base64: Option<String>,
    lost: Option<u64>,
}

impl Record {
    /// Reads a line, with or without its end.
    ///
    /// # Errors
    ///
    /// When it is no record.
    pub fn parse(line: &[u8]) -> Result<Self, NotARecord> {
        let line: Line = serde_json::from_slice(line)?;
        let content = match (line.log, line.base64, line.lost) {
            (Some(text), None, None) => Content::Text(text.into_bytes()),
            (None, Some(bytes), None) => {
                Content::Text(STANDARD.decode(bytes).map_err(|_| NotARecord::Base64)?)
            }
            (None, None, Some(count)) => Content::Lost(count),
            _ => return Err(NotARecord::Content),
        };
        Ok(Self {
            time: line.time.parse().map_err(|_| NotARecord::Time(line.time))?,
            stream: line.stream.ok_or(NotARecord::Content)?,
            content,
        })
    }

    /// Adds the line of this content. Text is at most [`TEXT_BYTES_MAX`](super::TEXT_BYTES_MAX) long, and the line then at most
    /// [`RECORD_BYTES_MAX`](super::RECORD_BYTES_MAX).
    pub fn write(lines: &mut Vec<u8>, time: &Stamp, stream: Output, content: &[u8]) {
        write_text(lines, time, None, stream, content);
    }

    /// Adds the line that it stands in, with the name of its app, which in a file goes without saying.
    pub fn write_with_app(&self, lines: &mut Vec<u8>, app: &AcName) {
        let time = Stamp(format!("{:.9}", self.time));
        let app = Some(app.as_str());
        match &self.content {
            Content::Text(content) => write_text(lines, &time, app, self.stream, content),
            Content::Lost(count) => write_line(lines, &time, app, self.stream, "lost", count),
        }
    }

    /// Adds the line that says that so many bytes are missing.
    pub fn write_lost(lines: &mut Vec<u8>, time: &Stamp, stream: Output, count: u64) {
        write_line(lines, time, None, stream, "lost", &count);
    }
}

fn write_text(
    lines: &mut Vec<u8>,
    time: &Stamp,
    app: Option<&str>,
    stream: Output,
    content: &[u8],
) {
    match str::from_utf8(content) {
        Ok(text) => write_line(lines, time, app, stream, "log", &text),
        Err(_) => {
            let bytes = STANDARD.encode(content);
            write_line(lines, time, app, stream, "base64", &bytes);
        }
    }
}

fn write_line(
    lines: &mut Vec<u8>,
    time: &Stamp,
    app: Option<&str>,
    stream: Output,
    key: &str,
    value: &impl Serialize,
) {
    let mut add = |text: &str| lines.extend_from_slice(text.as_bytes());
    add(r#"{"time":""#);
    add(time.as_str());
    if let Some(app) = app {
        add(r#"","app":""#);
        add(app);
    }
    add(r#"","stream":""#);
    add(match stream {
        Output::Stdout => "stdout",
        Output::Stderr => "stderr",
    });
    add(r#"",""#);
    add(key);
    add(r#"":"#);
    serde_json::to_writer(&mut *lines, value)
        .expect("texts and numbers have a form in JSON, and memory takes it");
    lines.extend_from_slice(b"}\n");
}
