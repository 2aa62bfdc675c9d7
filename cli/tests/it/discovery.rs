//! ACIs and keys by name: pages of web servers say where they are. The server of the tests is the proxy of all hosts.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::fetch::refuses;
use crate::fixture::{Fixture, list};
use crate::gpg::Gpg;
use crate::server::{File, Server};
use crate::web::succeeds;

const PAGE: &str = "http://example.com/app?ac-discovery=1";
const ROOT_PAGE: &str = "http://example.com?ac-discovery=1";
const SHOWN_ROOT_PAGE: &str = "http://example.com/?ac-discovery=1";
const META: &str = "<html><head><meta name=\"ac-discovery\" \
    content=\"example.com http://files.example/{name}-{version}-{os}-{arch}.{ext}\">\
    <meta name=\"ac-discovery-pubkeys\" content=\"example.com http://files.example/key.asc\"></head>";
const IMAGE: &str = "http://files.example/example.com/app-1.0-linux-amd64.aci";

/// Pages that lead to an image of a signer, whom nobody trusts yet.
struct Bench {
    fixture: Fixture,
    gpg: Gpg,
    key: String,
    server: Server,
}

impl Bench {
    fn new() -> Self {
        let (fixture, gpg, server) = (Fixture::new(), Gpg::new(), Server::start());
        let key = gpg.make_key("Jane", "ed25519", "never");
        let bench = Self {
            fixture,
            gpg,
            key,
            server,
        };
        bench.page(SHOWN_ROOT_PAGE, META);
        bench.put_image("app");
        let key = bench.gpg.export(&bench.key);
        bench.put("http://files.example/key.asc", key);
        bench
    }

    fn page(&self, url: &str, text: &str) {
        self.put(url, text.as_bytes().to_vec());
    }

    fn put(&self, url: &str, bytes: Vec<u8>) {
        self.server
            .put(url, File::Content(bytes, "ETag: \"one\"\r\n"));
    }

    fn put_image(&self, name: &str) {
        let image = self.fixture.aci(name, |_| {});
        let signature = self.gpg.sign(&self.key, image.as_ref(), &[]);
        self.put(IMAGE, fs::read(image).unwrap());
        self.put(&format!("{IMAGE}.asc"), fs::read(signature).unwrap());
    }

    fn trust(&self) {
        let directory = self.fixture.path("local/trustedkeys/root.d");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(&self.key), self.gpg.export(&self.key)).unwrap();
    }

    fn command(&self) -> Command {
        self.fixture.proxied_command(&self.server.host)
    }

    fn call(&self, words: &[&str]) -> Output {
        let mut command = self.command();
        command.arg("--insecure-options=http").args(words);
        command.output().unwrap()
    }

    fn fetch(&self) -> Output {
        self.call(&["fetch", "aci://example.com/app:1.0"])
    }

    /// What was asked for in the clear.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.server.asked();
        asked.retain(|url| url.starts_with("http://"));
        asked
    }
}

#[test]
fn a_page_says_where_the_image_of_a_name_is() {
    let bench = Bench::new();
    bench.trust();
    succeeds(&bench.fetch(), 0);
    let signature = format!("{IMAGE}.asc");
    let expected = [PAGE, SHOWN_ROOT_PAGE, &signature, IMAGE];
    assert_eq!(bench.asked(), expected);
    succeeds(&bench.fetch(), 0);
    let unless = format!("{IMAGE} unless \"one\"");
    assert_eq!(bench.asked()[3], unless);
    let stage1 = bench.fixture.path("stage1").display().to_string();
    let run = [
        "run",
        "--pull-policy=never",
        "--stage1",
        &stage1,
        "aci://example.com/app:1.0",
    ];
    succeeds(&bench.call(&run), 42);
    assert!(bench.asked().is_empty());
    succeeds(
        &bench.call(&["image", "rm", "aci://example.com/app:1.0"]),
        0,
    );
}

#[test]
fn the_page_of_the_whole_name_is_asked_first() {
    let bench = Bench::new();
    bench.trust();
    let meta = format!("<meta name=ac-discovery content='example.com/app {IMAGE}'>");
    bench.page(PAGE, &meta);
    succeeds(&bench.fetch(), 0);
    assert_eq!(bench.asked(), [PAGE, &format!("{IMAGE}.asc"), IMAGE]);
}

#[test]
fn pages_that_say_nothing_of_the_name_lead_nowhere() {
    let bench = Bench::new();
    bench.trust();
    let cases = [
        File::Status("500 Trouble"),
        File::Endless,
        File::Content(Vec::new(), ""),
        File::Content(
            b"<meta name=ac-discovery content='example.co http://a'>".to_vec(),
            "",
        ),
        File::Content(
            b"<meta name=ac-discovery content='example.com http://a/{flavor}'>".to_vec(),
            "",
        ),
        File::Content(
            b"<meta name=ac-discovery-pubkeys content='example.com http://a'>".to_vec(),
            "",
        ),
    ];
    for case in cases {
        bench.server.put(SHOWN_ROOT_PAGE, case);
        let output = bench.fetch();
        let why = format!("no page says where example.com/app is; the last one was {ROOT_PAGE}");
        refuses(&output, &why);
        assert_eq!(bench.asked(), [PAGE, SHOWN_ROOT_PAGE]);
    }
}

#[test]
fn another_image_than_the_name_s_is_refused() {
    let bench = Bench::new();
    bench.trust();
    bench.put_image("other");
    refuses(
        &bench.fetch(),
        "it is the image \"example.com/other\", and \"example.com/app\" was asked for",
    );
    assert!(list(&bench.fixture.path("data/cas/images")).is_empty());
}

#[test]
fn nothing_is_asked_in_the_clear_unless_that_is_asked_for() {
    let bench = Bench::new();
    let mut command = bench.command();
    command.args(["fetch", "aci://example.com/app:1.0"]);
    refuses(
        &command.output().unwrap(),
        "the last one was https://example.com?ac-discovery=1",
    );
    assert_eq!(bench.server.asked(), ["example.com:443", "example.com:443"]);
}

#[test]
fn a_page_says_where_keys_are() {
    let bench = Bench::new();
    let mut command = bench.command();
    command.args(["trust", "--prefix=example.com/app", "--insecure-allow-http"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"yes\n").unwrap();
    let output = child.wait_with_output().unwrap();
    succeeds(&output, 0);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("key: \"http://files.example/key.asc\""),
        "{stderr}"
    );
    succeeds(&bench.fetch(), 0);
    bench.page(SHOWN_ROOT_PAGE, "");
    let output = bench.call(&["trust", "--prefix=example.com/app", "--insecure-allow-http"]);
    refuses(&output, "--prefix meta discovery error");
}

#[test]
fn what_came_in_the_clear_is_never_trusted_unseen() {
    let bench = Bench::new();
    let output = bench.call(&[
        "--trust-keys-from-https",
        "fetch",
        "aci://example.com/app:1.0",
    ]);
    refuses(&output, "and trusted for it is nobody");
    assert!(list(&bench.fixture.path("local")).is_empty());
}

#[test]
fn a_name_that_is_none_is_said() {
    let bench = Bench::new();
    refuses(
        &bench.call(&["fetch", "aci://Example.com"]),
        "is not the name of an ACI",
    );
    assert!(bench.server.asked().is_empty());
}
