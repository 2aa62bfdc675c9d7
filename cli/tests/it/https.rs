//! Files of a web server that speaks HTTPS: OpenSSL's.

use std::fs;
use std::net::{TcpListener, TcpStream};
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
