//! Registries that break off, lie, or never end.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use crate::fetch::{refuses, stored, succeeds, text, write_layout};
use crate::fixture::Fixture;

/// Content of the image's one layer, of several chunks.
const CONTENT_BYTES: usize = 3 << 20;

/// How a server answers what it is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// As it should.
    Right,
    /// It breaks off in the middle of each answer that is longer than a mebibyte.
    BreaksOff,
    /// That, and it knows no ranges: it begins anew each time.
    BreaksOffAndBeginsAnew,
    /// Blobs are longer than the manifest says.
    SendsMore,
    /// The manifest never ends.
    EndlessManifest,
    /// Each address leads to itself.
    RedirectsForEver,
    /// It is in trouble twice, and then answers.
    InTroubleTwice,
    /// What it sends is no HTTP.
    Nonsense,
}

/// A server with an image `app:v1`, until the test's end.
struct Server {
    host: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(manner: Manner) -> Self {
        let directory = TempDir::new().unwrap();
        let content: Vec<u8> = (0..=250).cycle().take(CONTENT_BYTES).collect();
        write_layout(directory.path(), &[("bin/app", &content)]);
        let mut files = HashMap::new();
        for blob in fs::read_dir(directory.path().join("blobs/sha256")).unwrap() {
            let blob = blob.unwrap();
            let name = format!("sha256:{}", blob.file_name().into_string().unwrap());
            files.insert(name, fs::read(blob.path()).unwrap());
        }
        let index = fs::read(directory.path().join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let manifest = index["manifests"][0]["digest"].as_str().unwrap();
        files.insert("v1".to_owned(), files[manifest].clone());

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                // A client that has had enough is no matter.
                let _ = answer(&client.unwrap(), manner, &files, &log);
            }
        });
        Self { host, asked }
    }

    fn image(&self) -> String {
        format!("{}/app:v1", self.host)
    }

    /// What was asked for of blobs: the first bytes of the ranges.
    fn ranges(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|range| !range.is_empty())
            .cloned()
            .collect()
    }
}

fn answer(
    mut client: &TcpStream,
    manner: Manner,
    files: &HashMap<String, Vec<u8>>,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(client).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut from = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_blob = path.contains("/blobs/");
    let times = {
        let mut log = log.lock().unwrap();
        log.push(from.map(|from| from.to_string()).unwrap_or_default());
        log.len()
    };
    match manner {
        Manner::Nonsense => return client.write_all(b"220 mail.example ESMTP\r\n"),
        Manner::RedirectsForEver => {
            return write!(
                client,
                "HTTP/1.1 307 Go\r\nLocation: {path}\r\nContent-Length: 0\r\n\r\n"
            );
        }
        Manner::InTroubleTwice if path.contains("/manifests/") && times < 5 => {
            return write!(
                client,
                "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        Manner::EndlessManifest if path.contains("/manifests/") => {
            write!(client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                client.write_all(&[b' '; 64 << 10])?;
            }
        }
        _ => {}
    }
    let Some(bytes) = files.get(name) else {
        let status = if path == "/v2/" {
            "200 OK"
        } else {
            "404 Not Found"
        };
        return write!(
            client,
            "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    };
    let from = from.filter(|_| manner != Manner::BreaksOffAndBeginsAnew);
    let mut body = bytes[from.unwrap_or(0)..].to_vec();
    let status = if from.is_some() {
        "206 Partial Content"
    } else {
        "200 OK"
    };
    if manner == Manner::SendsMore && is_blob {
        body.push(b'!');
    }
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    let breaks_off = matches!(manner, Manner::BreaksOff | Manner::BreaksOffAndBeginsAnew);
    let end = match breaks_off && body.len() > 1 << 20 {
        true => 1 << 20,
        false => body.len(),
    };
    client.write_all(&body[..end])
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_ended() {
    let (server, fixture) = (Server::start(Manner::BreaksOff), Fixture::new());
    succeeds(&fixture.bulkhead(&["fetch", &server.image()]));
    let layer: Vec<String> = server.ranges();
    assert!(layer.contains(&(1 << 20).to_string()), "{layer:?}");
    assert!(layer.contains(&(2 << 20).to_string()), "{layer:?}");
}

#[test]
fn one_that_begins_anew_each_time_ends() {
    let (server, fixture) = (
        Server::start(Manner::BreaksOffAndBeginsAnew),
        Fixture::new(),
    );
    let output = fixture.bulkhead(&["fetch", &server.image()]);
    refuses(&output, "the connection to the registry");
    assert_eq!(stored(&fixture, "images"), [""; 0]);
    assert_eq!(stored(&fixture, "tmp"), [""; 0]);
}

#[test]
fn what_an_earlier_fetch_has_brought_is_not_brought_again() {
    let fixture = Fixture::new();
    let broken = Server::start(Manner::BreaksOffAndBeginsAnew);
    refuses(
        &fixture.bulkhead(&["fetch", &broken.image()]),
        "the connection",
    );
    assert!(
        !stored(&fixture, "blobs").is_empty(),
        "what has come is kept"
    );
    let good = Server::start(Manner::Right);
    succeeds(&fixture.bulkhead(&["fetch", &good.image()]));
    assert!(
        good.ranges().contains(&(1 << 20).to_string()),
        "{:?}",
        good.ranges()
    );
    assert_eq!(stored(&fixture, "blobs"), [""; 0]);
}

#[test]
fn what_sends_more_than_it_said_is_refused() {
    let (server, fixture) = (Server::start(Manner::SendsMore), Fixture::new());
    refuses(
        &fixture.bulkhead(&["fetch", &server.image()]),
        "bytes of a blob where",
    );
    assert_eq!(stored(&fixture, "images"), [""; 0]);
}

#[test]
fn an_endless_manifest_takes_no_more_than_the_fetcher_s_memory() {
    let (server, fixture) = (Server::start(Manner::EndlessManifest), Fixture::new());
    refuses(
        &fixture.bulkhead(&["fetch", &server.image()]),
        "the registry sends more at once than the fetcher may hold",
    );
}

#[test]
fn redirections_end() {
    let (server, fixture) = (Server::start(Manner::RedirectsForEver), Fixture::new());
    refuses(
        &fixture.bulkhead(&["fetch", &server.image()]),
        "too many redirects",
    );
}

#[test]
fn a_server_in_trouble_is_asked_again() {
    let (server, fixture) = (Server::start(Manner::InTroubleTwice), Fixture::new());
    succeeds(&fixture.bulkhead(&["fetch", &server.image()]));
}

#[test]
fn what_is_no_registry_is_said() {
    let (server, fixture) = (Server::start(Manner::Nonsense), Fixture::new());
    let output = fixture.bulkhead(&["fetch", &server.image()]);
    refuses(&output, "the connection to the registry");
    assert!(!text(&output.stderr).contains("panicked"));
}
