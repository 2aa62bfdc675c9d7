//! `trust`: keys of GnuPG into the directories of those that are trusted.

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};

use crate::fixture::{Fixture, assert_error, list};
use crate::gpg::Gpg;
use crate::server::{File, Server};

/// A key in a file, and nobody trusted yet.
struct Bench {
    fixture: Fixture,
    gpg: Gpg,
    key: String,
}

impl Bench {
    fn new() -> Self {
        let (fixture, gpg) = (Fixture::new(), Gpg::new());
        let key = gpg.make_key("Jane <jane@example.com>", "ed25519", "never");
        fs::write(fixture.path("key.asc"), gpg.export(&key)).unwrap();
        Self { fixture, gpg, key }
    }

    fn trust(&self, words: &[&str], answers: &str) -> Output {
        let mut command = self.fixture.command();
        command
            .arg("--local-config")
            .arg(self.fixture.path("local"));
        command.arg("trust").args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // Who refuses its flags does not hear it.
        let _ = child.stdin.take().unwrap().write_all(answers.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// The key's file, if it is trusted: `root.d` or `prefix.d/PREFIX`.
    fn is_trusted(&self, scope: &str) -> bool {
        let directory = self.fixture.path("local/trustedkeys").join(scope);
        directory.join(&self.key).is_file()
    }
}

#[track_caller]
fn says(output: &Output, code: i32, texts: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for text in texts {
        assert!(stderr.contains(text), "{text}: {stderr}");
    }
}

#[test]
fn a_key_is_shown_and_trusted_for_a_prefix_when_the_answer_is_yes() {
    let bench = Bench::new();
    let output = bench.trust(&["--prefix=example.com/app", "key.asc"], "what?\nyes\n");
    let fingerprint: String = bench.key.to_ascii_uppercase();
    let first = &fingerprint[..4];
    says(
        &output,
        0,
        &[
            "prefix: \"example.com/app\"\nkey: \"key.asc\"\n",
            &format!("gpg key fingerprint is: {first} "),
            "\n\tJane <jane@example.com>\n",
            "Please enter 'yes' or 'no'",
            "Trusting \"key.asc\" for prefix \"example.com/app\" after fingerprint review.",
            "Added key for prefix \"example.com/app\" at ",
        ],
    );
    assert!(bench.is_trusted("prefix.d/example.com/app"));
}

#[test]
fn a_key_of_the_root_is_trusted_without_questions_where_that_is_asked_for() {
    let bench = Bench::new();
    let output = bench.trust(&["--root", "--skip-fingerprint-review", "key.asc"], "");
    says(
        &output,
        0,
        &["without fingerprint review", "Added root key at "],
    );
    assert!(bench.is_trusted("root.d"));
}

#[test]
fn without_a_yes_nobody_is_trusted() {
    let bench = Bench::new();
    let output = bench.trust(&["--root", "key.asc"], "no\n");
    says(&output, 0, &["Not trusting \"key.asc\""]);
    let output = bench.trust(&["--root", "key.asc"], "");
    says(&output, 254, &["error reading input"]);
    assert!(list(&bench.fixture.path("local")).is_empty());
}

#[test]
fn a_secret_key_is_not_taken_for_a_public_one() {
    let bench = Bench::new();
    let secret = bench.gpg.run(&["--armor", "--export-secret-keys"]);
    fs::write(bench.fixture.path("secret"), secret).unwrap();
    let output = bench.trust(&["--root", "secret"], "yes\n");
    says(&output, 254, &["error reading the key secret"]);
    assert!(list(&bench.fixture.path("local")).is_empty());
}

#[test]
fn what_makes_no_sense_is_said() {
    let bench = Bench::new();
    let cases: [(&[&str], &str); 6] = [
        (
            &["key.asc"],
            "trust: --root required for non-prefixed (root) keys\n",
        ),
        (
            &["--root", "--prefix=a", "key.asc"],
            "trust: --root and --prefix usage mutually exclusive\n",
        ),
        (
            &["--prefix=https://a", "key.asc"],
            "trust: --prefix must not contain a URL scheme, omit https://\n",
        ),
        (
            &["--root", "absent"],
            "trust: error accessing the key absent\n  └─No such file or directory (os error 2)\n",
        ),
        (
            &["--root", "ftp://example.com/key"],
            "trust: error accessing the key ftp://example.com/key\n  └─only local files and http or https URLs supported\n",
        ),
        (
            &["--root"],
            "trust: at least one key or --prefix required\n",
        ),
    ];
    for (words, text) in cases {
        assert_error(&bench.trust(words, "yes\n"), text);
    }
    let output = bench.trust(&["--prefix=../../etc", "key.asc"], "yes\n");
    says(&output, 254, &["\"../../etc\" is not the name of an image"]);
    assert!(list(&bench.fixture.path("local")).is_empty());
}

#[test]
fn a_key_of_a_web_server_is_trusted_in_the_clear_only_where_that_is_asked_for() {
    let (bench, server) = (Bench::new(), Server::start());
    let key = fs::read(bench.fixture.path("key.asc")).unwrap();
    server.put("/key.asc", File::Content(key, ""));
    let url = server.url("/key.asc");
    let output = bench.trust(&["--root", &url], "yes\n");
    says(
        &output,
        254,
        &["--insecure-allow-http required for http URLs"],
    );
    let words = ["--root", "--insecure-allow-http", &url];
    let output = bench.trust(&words, "yes\n");
    says(
        &output,
        0,
        &["after fingerprint review", "Added root key at"],
    );
    assert!(bench.is_trusted("root.d"));
    server.put("/key.asc", File::Endless);
    says(
        &bench.trust(&words, "yes\n"),
        254,
        &["the server sends more than 1048576 bytes"],
    );
    server.put("/key.asc", File::Status("403 Forbidden"));
    says(
        &bench.trust(&words, "yes\n"),
        254,
        &["the server answers 403 Forbidden"],
    );
    let words = [
        "--root",
        "--insecure-allow-http",
        "--trust-keys-from-https",
        &url,
    ];
    let output = bench.trust(&words, "");
    says(&output, 254, &["the server answers 403 Forbidden"]);
}
