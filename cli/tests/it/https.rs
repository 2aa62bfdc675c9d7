//! Files of a web server that speaks HTTPS: OpenSSL's.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::fetch::certificates;
use crate::fixture::{Fixture, list};
use crate::gpg::Gpg;

/// The files of a directory, by a server whose authority is `ca.pem` there.
struct Server {
    process: Child,
    host: String,
    directory: TempDir,
}

impl Server {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        certificates(directory.path());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        drop(listener);
        let mut openssl = Command::new("openssl");
        openssl.args([
            "s_server", "-quiet", "-WWW", "-cert", "host.pem", "-key", "host.key",
        ]);
        openssl
            .args(["-accept", &host])
            .current_dir(directory.path());
        openssl
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process = openssl.spawn().expect("run openssl");
        // It listens when it can be connected to; nobody tells of it.
        while TcpStream::connect(&host).is_err() {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "openssl: {ended:?}");
            std::thread::yield_now();
        }
        Self {
            process,
            host,
            directory,
        }
    }

    fn url(&self, name: &str) -> String {
        format!("https://{}/{name}", self.host)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_key_is_taken_without_questions_only_of_a_server_that_is_who_it_says() {
    let (fixture, gpg, server) = (Fixture::new(), Gpg::new(), Server::start());
    let key = gpg.make_key("Jane", "ed25519", "never");
    fs::write(server.directory.path().join("key.asc"), gpg.export(&key)).unwrap();
    let local = fixture.path("local");
    let trust = |authorities: &str, more: &[&str]| -> Output {
        let mut command = fixture.strict_command();
        command.env("SSL_CERT_FILE", server.directory.path().join(authorities));
        command.arg("--local-config").arg(&local).args(more);
        command.args([
            "--trust-keys-from-https",
            "trust",
            "--root",
            &server.url("key.asc"),
        ]);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let refused = trust("host.pem", &[]);
    assert_eq!(refused.status.code(), Some(254), "{refused:?}");
    // Whoever answers is nobody whose keys are taken unseen.
    let unseen = trust("host.pem", &["--insecure-options=tls"]);
    assert_eq!(unseen.status.code(), Some(254), "{unseen:?}");
    let stderr = String::from_utf8_lossy(&unseen.stderr);
    assert!(stderr.contains("error reading input"), "{stderr}");
    assert!(list(&local).is_empty());
    let trusted = trust("ca.pem", &[]);
    assert_eq!(trusted.status.code(), Some(0), "{trusted:?}");
    assert!(local.join("trustedkeys/root.d").join(&key).is_file());
}

#[test]
fn an_image_comes_of_a_server_that_is_who_it_says_or_of_anybody_where_that_is_asked_for() {
    let (fixture, server) = (Fixture::new(), Server::start());
    let image = fixture.aci("app", |_| {});
    fs::copy(image, server.directory.path().join("app.aci")).unwrap();
    let fetch = |authorities: &str, option: &str| {
        let mut command = fixture.strict_command();
        command.env("SSL_CERT_FILE", server.directory.path().join(authorities));
        command.arg(format!("--insecure-options={option}"));
        command
            .args(["fetch", &server.url("app.aci")])
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(fetch("host.pem", "image"), Some(254));
    assert_eq!(fetch("ca.pem", "image"), Some(0));
    assert_eq!(fetch("host.pem", "image,tls"), Some(0));
}

/// A proxy that takes every host for this one, until the test's end.
fn proxy(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = server.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            // A client that has had enough is no matter.
            let _ = tunnel(client.unwrap(), &server);
        }
    });
    address
}

fn tunnel(mut client: TcpStream, server: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        request.extend(byte);
    }
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let mut server = TcpStream::connect(server)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    });
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}

#[test]
fn keys_that_a_page_names_are_trusted_for_the_image_where_servers_are_trusted_with_that() {
    let (fixture, gpg, server) = (Fixture::new(), Gpg::new(), Server::start());
    let key = gpg.make_key("Jane", "ed25519", "never");
    let image = fixture.aci("app", |_| {});
    let signature = gpg.sign(&key, image.as_ref(), &[]);
    let directory = server.directory.path();
    fs::copy(image, directory.join("app.aci")).unwrap();
    fs::copy(signature, directory.join("app.aci.asc")).unwrap();
    fs::write(directory.join("key.asc"), gpg.export(&key)).unwrap();
    let page = "<meta name=ac-discovery content='example.com https://example.com/app.{ext}'>\
        <meta name=ac-discovery-pubkeys content='example.com https://example.com/key.asc'>";
    fs::write(directory.join("app?ac-discovery=1"), page).unwrap();
    let (local, proxy) = (fixture.path("local"), proxy(&server.host));
    let fetch = |flags: &[&str]| {
        let mut command = fixture.strict_command();
        command.env("SSL_CERT_FILE", directory.join("ca.pem"));
        command
            .env("HTTPS_PROXY", &proxy)
            .env("https_proxy", &proxy);
        command.env_remove("NO_PROXY").env_remove("no_proxy");
        command.arg("--local-config").arg(&local).args(flags);
        command
            .args(["fetch", "aci://example.com/app"])
            .output()
            .unwrap()
    };
    let untrusted = fetch(&[]);
    assert_eq!(untrusted.status.code(), Some(254), "{untrusted:?}");
    for insecure in ["tls", "http"] {
        let insecure = format!("--insecure-options={insecure}");
        let unseen = fetch(&["--trust-keys-from-https", &insecure]);
        assert_eq!(unseen.status.code(), Some(254), "{unseen:?}");
    }
    assert!(list(&local).is_empty());
    let trusted = fetch(&["--trust-keys-from-https"]);
    assert_eq!(trusted.status.code(), Some(0), "{trusted:?}");
    let file = local
        .join("trustedkeys/prefix.d/example.com/app")
        .join(&key);
    assert!(file.is_file());
    fs::write(&file, "").unwrap();
    let masked = fetch(&["--trust-keys-from-https"]);
    assert_eq!(masked.status.code(), Some(254), "{masked:?}");
    assert_eq!(fs::read(&file).unwrap(), b"");
}
