//! ACIs of web servers.

use std::fs;
use std::process::{Command, Output};

use crate::fetch::refuses;
use crate::fixture::{Fixture, list};
use crate::gpg::Gpg;
use crate::server::{File, Server};

const TAGGED: &str = "ETag: \"one\"\r\n";

/// A server with a signed image `/app.aci`, and its signer, whom nobody trusts yet.
struct Bench {
    fixture: Fixture,
    gpg: Gpg,
    key: String,
    server: Server,
    image: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let (fixture, gpg) = (Fixture::new(), Gpg::new());
        let key = gpg.make_key("Jane", "ed25519", "never");
        let file = fixture.aci("app", |_| {});
        let signature = gpg.sign(&key, file.as_ref(), &[]);
        let server = Server::start();
        let image = fs::read(&file).unwrap();
        server.put("/app.aci", File::Content(image.clone(), TAGGED));
        let signature = fs::read(signature).unwrap();
        server.put("/app.aci.asc", File::Content(signature, ""));
        Self {
            fixture,
            gpg,
            key,
            server,
            image,
        }
    }

    fn trusting() -> Self {
        let bench = Self::new();
        let directory = bench.fixture.path("local/trustedkeys/root.d");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(&bench.key), bench.gpg.export(&bench.key)).unwrap();
        bench
    }

    fn url(&self) -> String {
        self.server.url("/app.aci")
    }

    fn command(&self) -> Command {
        self.fixture.configured_command()
    }

    fn call(&self, words: &[&str]) -> Output {
        self.command().args(words).output().unwrap()
    }

    fn fetch(&self) -> Output {
        self.call(&["fetch", &self.url()])
    }

    fn run(&self, policy: &str) -> Output {
        let stage1 = self.fixture.path("stage1").display().to_string();
        let policy = format!("--pull-policy={policy}");
        self.call(&["run", &policy, "--stage1", &stage1, &self.url()])
    }

    #[track_caller]
    fn has_nothing(&self) {
        for directory in ["images", "tmp", "names", "blobs"] {
            let path = self.fixture.path("data/cas").join(directory);
            assert_eq!(list(&path).len(), 0, "{directory}");
        }
    }
}

#[track_caller]
pub(crate) fn succeeds(output: &Output, code: i32) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
}

#[test]
fn an_image_comes_with_its_signature_and_is_named_by_its_address() {
    let bench = Bench::trusting();
    let output = bench.fetch();
    succeeds(&output, 0);
    assert!(output.stdout.starts_with(b"sha512-"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("signature verified: Jane"));
    assert_eq!(bench.server.asked(), ["/app.aci.asc", "/app.aci"]);
    assert!(list(&bench.fixture.path("data/cas/blobs")).is_empty());
    succeeds(&bench.call(&["image", "cat-manifest", &bench.url()]), 0);
    succeeds(&bench.call(&["image", "rm", &bench.url()]), 0);
    bench.has_nothing();
}

#[test]
fn what_the_server_has_no_other_version_of_is_not_brought_again() {
    let bench = Bench::trusting();
    succeeds(&bench.fetch(), 0);
    bench.server.asked();
    succeeds(&bench.fetch(), 0);
    let unless = "/app.aci unless \"one\"";
    assert_eq!(bench.server.asked(), ["/app.aci.asc", unless]);
    let file = bench.fixture.aci("other", |_| {});
    let signature = bench.gpg.sign(&bench.key, file.as_ref(), &[]);
    let put = |path: &str, from: &std::path::Path| {
        let bytes = fs::read(from).unwrap();
        bench
            .server
            .put(path, File::Content(bytes, "ETag: \"two\"\r\n"));
    };
    put("/app.aci", file.as_ref());
    put("/app.aci.asc", &signature);
    succeeds(&bench.fetch(), 0);
    assert_eq!(list(&bench.fixture.path("data/cas/images")).len(), 2);
    bench.server.asked();
    succeeds(&bench.fetch(), 0);
    assert_eq!(bench.server.asked()[1], "/app.aci unless \"two\"");
}

#[test]
fn while_an_answer_is_good_nobody_is_asked() {
    let bench = Bench::trusting();
    let fields = "Cache-Control: max-age=600\r\n";
    bench
        .server
        .put("/app.aci", File::Content(bench.image.clone(), fields));
    succeeds(&bench.fetch(), 0);
    bench.server.asked();
    succeeds(&bench.fetch(), 0);
    assert!(bench.server.asked().is_empty());
}

#[test]
fn a_pod_takes_what_the_store_has_as_its_policy_says() {
    let bench = Bench::trusting();
    refuses(
        &bench.run("never"),
        "--pull-policy=never forbids to fetch it",
    );
    assert!(bench.server.asked().is_empty());
    succeeds(&bench.run("new"), 42);
    assert_eq!(bench.server.asked().len(), 2);
    succeeds(&bench.run("new"), 42);
    succeeds(&bench.run("never"), 42);
    assert!(bench.server.asked().is_empty());
    succeeds(&bench.run("update"), 42);
    assert_eq!(bench.server.asked().len(), 2);
}

#[test]
fn an_image_without_a_signature_is_not_even_asked_for() {
    let bench = Bench::trusting();
    bench
        .server
        .put("/app.aci.asc", File::Status("404 Not Found"));
    refuses(&bench.fetch(), "the server answers 404 Not Found");
    assert_eq!(bench.server.asked(), ["/app.aci.asc"]);
    bench
        .server
        .put("/app.aci.asc", File::Content(b"garbage".to_vec(), ""));
    refuses(&bench.fetch(), "it is no detached OpenPGP signature");
    bench.server.put("/app.aci.asc", File::Endless);
    refuses(&bench.fetch(), "the server sends more than 65536 bytes");
    bench.has_nothing();
}

#[test]
fn what_nobody_who_is_trusted_has_signed_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    refuses(&bench.fetch(), "and trusted for it is nobody");
    bench.has_nothing();
    let bench = Bench::trusting();
    let mut image = bench.image.clone();
    let last = image.len() - 1;
    image[last] ^= 1;
    bench.server.put("/app.aci", File::Content(image, ""));
    refuses(&bench.fetch(), "of other data");
    bench.has_nothing();
}

#[test]
fn what_was_taken_unsigned_or_is_not_trusted_any_more_is_brought_anew() {
    let bench = Bench::new();
    let insecure = bench.call(&["--insecure-options=image", "fetch", &bench.url()]);
    succeeds(&insecure, 0);
    let stderr = String::from_utf8_lossy(&insecure.stderr).into_owned();
    assert!(
        stderr.contains("signature verification has been disabled"),
        "{stderr}"
    );
    assert_eq!(bench.server.asked(), ["/app.aci"]);
    refuses(&bench.run("never"), "signed by nobody who is trusted");
    refuses(&bench.run("new"), "and trusted for it is nobody");
    let directory = bench.fixture.path("local/trustedkeys/root.d");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(&bench.key), bench.gpg.export(&bench.key)).unwrap();
    succeeds(&bench.run("new"), 42);
    succeeds(&bench.run("never"), 42);
    fs::write(directory.join(&bench.key), "").unwrap();
    refuses(&bench.run("never"), "signed by nobody who is trusted");
}

#[test]
fn a_signature_may_be_a_file_of_this_host() {
    let bench = Bench::trusting();
    bench
        .server
        .put("/app.aci.asc", File::Status("404 Not Found"));
    let file = format!(
        "--signature={}",
        bench.fixture.path("app.aci.asc").display()
    );
    succeeds(&bench.call(&["fetch", &bench.url(), &file]), 0);
    assert_eq!(bench.server.asked(), ["/app.aci"]);
}

#[test]
fn other_hosts_are_not_asked_in_the_clear() {
    let bench = Bench::trusting();
    let why = "it is not https (--insecure-options=http)";
    refuses(&bench.call(&["fetch", "http://192.0.2.1/app.aci"]), why);
    let elsewhere = File::At("http://192.0.2.1/app.aci".to_owned());
    bench.server.put("/app.aci", elsewhere);
    refuses(
        &bench.fetch(),
        "the server leads to an address that is not https",
    );
}

#[test]
fn addresses_that_lead_elsewhere_are_followed_and_no_circle_for_ever() {
    let bench = Bench::trusting();
    let image = File::Content(bench.image.clone(), "");
    bench.server.put("/there", image);
    bench
        .server
        .put("/app.aci", File::At(bench.server.url("/there")));
    succeeds(&bench.fetch(), 0);
    bench.server.put("/app.aci", File::At(bench.url()));
    refuses(&bench.fetch(), "the server leads to too many addresses");
}

#[test]
fn an_answer_that_breaks_off_is_asked_for_again() {
    let bench = Bench::trusting();
    let image = bench.image.clone();
    bench.server.put("/app.aci", File::BreaksOff(image, 2));
    succeeds(&bench.fetch(), 0);
    assert_eq!(bench.server.asked().len(), 4);
}

#[test]
fn what_breaks_off_is_gone_on_with_where_it_is_of_the_same_version() {
    let bench = Bench::trusting();
    let (image, third) = (bench.image.clone(), bench.image.len() / 3 + 1);
    let tags = vec!["\"old\"", "\"new\""];
    bench.server.put("/app.aci", File::GoesOn(image, tags));
    succeeds(&bench.fetch(), 0);
    let asked = bench.server.asked();
    let of_image = asked.iter().filter(|asked| !asked.contains(".asc"));
    let expected = [
        "/app.aci".to_owned(),
        format!("/app.aci from {third} if \"old\""),
        format!("/app.aci from {third} if \"new\""),
        format!("/app.aci from {} if \"new\"", 2 * third),
    ];
    assert_eq!(of_image.cloned().collect::<Vec<_>>(), expected);
}

#[test]
fn no_proxy_is_asked_for_a_server_of_this_host() {
    let bench = Bench::trusting();
    let proxy = Server::start();
    for without in ["", "example.com"] {
        let mut command = bench.command();
        command
            .env("HTTP_PROXY", proxy.url(""))
            .env("NO_PROXY", without);
        succeeds(&command.args(["fetch", &bench.url()]).output().unwrap(), 0);
    }
    assert_eq!(proxy.asked(), [""; 0]);
}

#[test]
fn only_an_aci_is_taken_of_a_web_server() {
    let bench = Bench::trusting();
    let insecure = |path: &str| {
        let url = bench.server.url(path);
        bench.call(&["--insecure-options=image", "fetch", &url])
    };
    bench
        .server
        .put("/text", File::Content(b"this is no image".to_vec(), ""));
    refuses(&insecure("/text"), "neither an ACI");
    let layout = bench.fixture.path("layout");
    crate::fetch::write_layout(&layout, &[("bin/app", b"program")]);
    let archive = bench.fixture.path("image.tar");
    let mut tar = std::process::Command::new("tar");
    tar.arg("-C").arg(&layout).arg("-cf").arg(&archive).arg(".");
    assert!(tar.status().unwrap().success());
    bench
        .server
        .put("/image.tar", File::Content(fs::read(archive).unwrap(), ""));
    refuses(&insecure("/image.tar"), "it is no ACI");
    bench.has_nothing();
}
