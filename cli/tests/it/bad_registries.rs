//! Registries that break off, lie, or never end.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
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
    /// A kibibyte of a blob at a time.
    GivesLittle,
    /// Blobs are longer than the manifest says.
    SendsMore,
    /// Blobs never end, nor do they say how long they are.
    EndlessBlobs,
    /// All that is asked for by its digest is what the name stands for: an index that names something.
    GoesInCircles,
    /// What the name stands for is of Docker's schema 1.
    Schema1,
    /// The manifest says that its layer has as many bytes as a number can say.
    ClaimsTooMuch,
    /// The manifest never ends.
    EndlessManifest,
    /// Each address leads to itself.
    RedirectsForEver,
    /// It is in trouble twice, and then answers.
    InTroubleTwice,
    /// What it sends is no HTTP.
    Nonsense,
}

impl Manner {
    /// What the name stands for, where it should be this manifest.
    fn document(self, manifest: &[u8]) -> Vec<u8> {
        let mut good: Value = serde_json::from_slice(manifest).unwrap();
        let document = match self {
            Self::GoesInCircles => {
                let mut entry = good["config"].clone();
                entry["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
                json!({"schemaVersion": 2, "manifests": [entry]})
            }
            Self::Schema1 => json!({"schemaVersion": 1, "fsLayers": [], "history": []}),
            Self::ClaimsTooMuch => {
                good["layers"][0]["size"] = json!(u64::MAX);
                good
            }
            _ => return manifest.to_vec(),
        };
        document.to_string().into_bytes()
    }
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
        let content = manner.document(&files[manifest]);
        files.insert("v1".to_owned(), content);

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

/// What is asked for: a path, and the first byte of a range.
struct Asked {
    path: String,
    from: Option<usize>,
}

impl Asked {
    fn hear(client: &TcpStream) -> std::io::Result<Self> {
        let mut lines = BufReader::new(client).lines();
        let request = lines.next().unwrap_or(Ok(String::new()))?;
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut from = None;
        for line in lines {
            let line = line?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(range) = line.strip_prefix("range: bytes=") {
                from = range.trim_end_matches('-').parse().ok();
            }
        }
        Ok(Self { path, from })
    }

    fn is_of_manifest(&self) -> bool {
        self.path.contains("/manifests/")
    }
}

fn answer(
    client: &TcpStream,
    manner: Manner,
    files: &HashMap<String, Vec<u8>>,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let asked = Asked::hear(client)?;
    let times = {
        let mut log = log.lock().unwrap();
        log.push(asked.from.map(|from| from.to_string()).unwrap_or_default());
        log.len()
    };
    match manner {
        Manner::Nonsense => say(client, b"220 mail.example ESMTP\r\n"),
        Manner::RedirectsForEver => {
            let location = format!("Location: {}\r\nContent-Length: 0", asked.path);
            head(client, "307 Go", &location)
        }
        Manner::InTroubleTwice if asked.is_of_manifest() && times < 5 => {
            head(client, "503 Busy", "Content-Length: 0")
        }
        Manner::EndlessBlobs if asked.path.contains("/blobs/") => {
            head(client, "200 OK", "Server: endless")?;
            loop {
                say(client, &[b' '; 64 << 10])?;
            }
        }
        Manner::GoesInCircles if asked.is_of_manifest() => {
            let index = &files["v1"];
            head(
                client,
                "200 OK",
                &format!("Content-Length: {}", index.len()),
            )?;
            say(client, index)
        }
        Manner::EndlessManifest if asked.is_of_manifest() => {
            head(client, "200 OK", "Server: endless")?;
            loop {
                say(client, &[b' '; 64 << 10])?;
            }
        }
        _ => file(client, manner, &asked, files),
    }
}

fn file(
    client: &TcpStream,
    manner: Manner,
    asked: &Asked,
    files: &HashMap<String, Vec<u8>>,
) -> std::io::Result<()> {
    let name = asked.path.rsplit('/').next().unwrap_or_default();
    let Some(bytes) = files.get(name) else {
        let status = match asked.path.as_str() {
            "/v2/" => "200 OK",
            _ => "404 Not Found",
        };
        return head(client, status, "Content-Length: 0");
    };
    let begins_anew = manner == Manner::BreaksOffAndBeginsAnew;
    let from = asked.from.filter(|_| !begins_anew);
    let mut body = bytes[from.unwrap_or(0)..].to_vec();
    if manner == Manner::SendsMore && !asked.is_of_manifest() {
        body.push(b'!');
    }
    let status = match from {
        Some(_) => "206 Partial Content",
        None => "200 OK",
    };
    head(client, status, &format!("Content-Length: {}", body.len()))?;
    let end = match manner {
        Manner::BreaksOff | Manner::BreaksOffAndBeginsAnew => 1 << 20,
        Manner::GivesLittle if !asked.is_of_manifest() => 1 << 10,
        _ => usize::MAX,
    };
    let end = body.len().min(end);
    say(client, &body[..end])
}

fn head(client: &TcpStream, status: &str, field: &str) -> std::io::Result<()> {
    let text = format!("HTTP/1.1 {status}\r\n{field}\r\nConnection: close\r\n\r\n");
    say(client, text.as_bytes())
}

fn say(mut client: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    client.write_all(bytes)
}

#[track_caller]
fn has_nothing(fixture: &Fixture) {
    for directory in ["images", "tmp", "blobs", "names"] {
        assert_eq!(stored(fixture, directory), [""; 0], "{directory}");
    }
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
fn one_that_gives_little_each_time_ends() {
    let (server, fixture) = (Server::start(Manner::GivesLittle), Fixture::new());
    let output = fixture.bulkhead(&["fetch", &server.image()]);
    refuses(&output, "the connection to the registry");
    assert_eq!(stored(&fixture, "images"), [""; 0]);
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
fn a_blob_that_never_ends_is_cut_where_its_manifest_says() {
    let (server, fixture) = (Server::start(Manner::EndlessBlobs), Fixture::new());
    refuses(
        &fixture.bulkhead(&["fetch", &server.image()]),
        "the registry sent more than the",
    );
    has_nothing(&fixture);
}

#[test]
fn an_index_that_names_itself_is_not_what_its_digest_says() {
    let (server, fixture) = (Server::start(Manner::GoesInCircles), Fixture::new());
    let output = fixture.bulkhead(&["fetch", &server.image()]);
    refuses(&output, "Invalid digest. Expected sha256:");
    has_nothing(&fixture);
}

#[test]
fn docker_s_schema_1_is_refused_by_its_name() {
    let (server, fixture) = (Server::start(Manner::Schema1), Fixture::new());
    refuses(
        &fixture.bulkhead(&["fetch", &server.image()]),
        "is one of Docker's schema 1, which is not supported",
    );
    has_nothing(&fixture);
}

#[test]
fn a_layer_that_no_disk_holds_is_not_asked_for() {
    let (server, fixture) = (Server::start(Manner::ClaimsTooMuch), Fixture::new());
    refuses(
        &fixture.bulkhead(&["fetch", &server.image()]),
        "the image's blobs are 18446744073709551615 bytes, more than",
    );
    has_nothing(&fixture);
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
