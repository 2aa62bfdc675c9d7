//! A web server with files, which writes down what it is asked for.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How a file is given.
#[derive(Clone)]
pub(crate) enum File {
    /// With these bytes, and these fields before them.
    Content(Vec<u8>, &'static str),
    /// It is elsewhere.
    At(String),
    /// This many answers end in the middle of it; then it is whole.
    BreaksOff(Vec<u8>, usize),
    /// The same, but it has a tag, and is given from a later byte on to who names that. Each time under the next of the tags, the last
    /// one for ever.
    GoesOn(Vec<u8>, Vec<&'static str>),
    /// It never ends.
    Endless,
    /// With these bytes, for who says this of himself.
    Private(&'static str, Vec<u8>),
    /// There is trouble.
    Status(&'static str),
}

/// A server on loopback, until the test's end.
pub(crate) struct Server {
    pub(crate) host: String,
    files: Arc<Mutex<HashMap<String, File>>>,
    asked: Arc<Mutex<Vec<String>>>,
    askers: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            host: listener.local_addr().unwrap().to_string(),
            files: Arc::default(),
            asked: Arc::default(),
            askers: Arc::default(),
        };
        let (files, asked) = (Arc::clone(&server.files), Arc::clone(&server.asked));
        let askers = Arc::clone(&server.askers);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                // A client that has had enough is no matter.
                let _ = answer(&client.unwrap(), &files, &asked, &askers);
            }
        });
        server
    }

    pub(crate) fn put(&self, path: &str, file: File) {
        self.files.lock().unwrap().insert(path.to_owned(), file);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    /// What it was asked for since the last call: `PATH`, `PATH unless TAG`, or `PATH from BYTE if TAG`.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Who asked since the last call: `PATH Basic …`, `PATH Bearer …` or `PATH nobody`.
    pub(crate) fn askers(&self) -> Vec<String> {
        std::mem::take(&mut *self.askers.lock().unwrap())
    }
}

/// What is asked for, and by whom.
struct Asked {
    path: String,
    unless: Option<String>,
    /// From a byte on, if the file has this tag.
    range: Option<(usize, String)>,
    asker: String,
}

impl Asked {
    fn hear(client: &TcpStream) -> std::io::Result<Self> {
        let mut lines = BufReader::new(client).lines();
        let request = lines.next().unwrap_or(Ok(String::new()))?;
        let mut fields = HashMap::new();
        for line in lines {
            let line = line?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ") {
                fields.insert(name.to_ascii_lowercase(), value.to_owned());
            }
        }
        let asker = fields.remove("authorization");
        let range = fields.remove("range").zip(fields.remove("if-range"));
        Ok(Self {
            path: request.split(' ').nth(1).unwrap_or_default().to_owned(),
            unless: fields.remove("if-none-match"),
            range: range.map(|(range, tag)| (from(&range), tag)),
            asker: asker.unwrap_or_else(|| "nobody".to_owned()),
        })
    }

    fn shown(&self) -> String {
        let path = &self.path;
        match (&self.unless, &self.range) {
            (Some(tag), _) => format!("{path} unless {tag}"),
            (None, Some((from, tag))) => format!("{path} from {from} if {tag}"),
            (None, None) => path.clone(),
        }
    }
}

fn answer(
    client: &TcpStream,
    files: &Mutex<HashMap<String, File>>,
    asked: &Mutex<Vec<String>>,
    askers: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let request = Asked::hear(client)?;
    asked.lock().unwrap().push(request.shown());
    let asker = format!("{} {}", request.path, request.asker);
    askers.lock().unwrap().push(asker);
    let file = {
        let mut files = files.lock().unwrap();
        let file = files.get(&request.path).cloned();
        match files.get_mut(&request.path) {
            Some(File::BreaksOff(_, times)) => *times = times.saturating_sub(1),
            Some(File::GoesOn(_, tags)) if tags.len() > 1 => drop(tags.remove(0)),
            _ => {}
        }
        file
    };
    give(client, file, request)
}

fn give(client: &TcpStream, file: Option<File>, request: Asked) -> std::io::Result<()> {
    let (unless, range) = (request.unless, request.range);
    match file {
        Some(File::Private(wanted, _)) if request.asker != wanted => {
            say(client, "401 Unauthorized", "", b"")
        }
        Some(File::Private(_, bytes)) => say(client, "200 OK", "", &bytes),
        None => say(client, "404 Not Found", "", b""),
        Some(File::Status(status)) => say(client, status, "", b""),
        Some(File::At(url)) => say(client, "302 Found", &format!("Location: {url}\r\n"), b""),
        Some(File::Content(_, fields)) if unless.is_some_and(|tag| fields.contains(&tag)) => {
            say(client, "304 Not Modified", fields, b"")
        }
        Some(File::Content(bytes, fields)) => say(client, "200 OK", fields, &bytes),
        Some(File::BreaksOff(bytes, 0)) => say(client, "200 OK", "", &bytes),
        Some(File::BreaksOff(bytes, _)) => {
            head(client, "200 OK", "", bytes.len())?;
            (&*client).write_all(&bytes[..bytes.len() / 2])
        }
        Some(File::GoesOn(bytes, tags)) => {
            let tag = tags[0];
            let from = range.filter(|(_, of)| of == tag).map(|(from, _)| from);
            let rest = &bytes[from.unwrap_or(0)..];
            let (status, of) = match from {
                Some(from) => (
                    "206 Partial Content",
                    format!("Content-Range: bytes {from}-/*\r\n"),
                ),
                None => ("200 OK", String::new()),
            };
            head(client, status, &format!("ETag: {tag}\r\n{of}"), rest.len())?;
            // A third of all at a time.
            let end = rest.len().min(bytes.len() / 3 + 1);
            (&*client).write_all(&rest[..end])
        }
        Some(File::Endless) => {
            (&*client).write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                (&*client).write_all(&[b' '; 64 << 10])?;
            }
        }
    }
}

/// The first byte of a range.
fn from(range: &str) -> usize {
    let first = range.trim_start_matches("bytes=").trim_end_matches('-');
    first.parse().unwrap()
}

fn say(mut client: &TcpStream, status: &str, fields: &str, bytes: &[u8]) -> std::io::Result<()> {
    head(client, status, fields, bytes.len())?;
    client.write_all(bytes)
}

fn head(mut client: &TcpStream, status: &str, fields: &str, length: usize) -> std::io::Result<()> {
    let text = format!(
        "HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    client.write_all(text.as_bytes())
}
