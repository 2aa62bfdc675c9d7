//! Who asks web servers: `auth` files.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::fetch::refuses;
use crate::fixture::{Fixture, list};
use crate::gpg::Gpg;
use crate::server::{File, Server};
use crate::web::succeeds;

/// `user:secret`
const BASIC: &str = "Basic dXNlcjpzZWNyZXQ=";
const BEARER: &str = "Bearer sometoken";

/// A server that gives a signed image to who may have it, and a directory of configuration.
struct Bench {
    fixture: Fixture,
    server: Server,
    image: Vec<u8>,
    signature: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let (fixture, gpg, server) = (Fixture::new(), Gpg::new(), Server::start());
        let key = gpg.make_key("Jane", "ed25519", "never");
        let file = fixture.aci("app", |_| {});
        let signature = gpg.sign(&key, file.as_ref(), &[]);
        let directory = fixture.path("local/trustedkeys/root.d");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(&key), gpg.export(&key)).unwrap();
        Self {
            image: fs::read(file).unwrap(),
            signature: fs::read(signature).unwrap(),
            fixture,
            server,
        }
    }

    fn put(&self, server: &Server, asker: &'static str) {
        let private = |bytes: &[u8]| File::Private(asker, bytes.to_vec());
        server.put("/app.aci", private(&self.image));
        server.put("/app.aci.asc", private(&self.signature));
    }

    fn configure(&self, name: &str, fields: &Value) {
        let path = self.fixture.path("local/auth.d").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = json!({"rktKind": "auth", "rktVersion": "v1"});
        let fields = fields.as_object().unwrap().clone();
        file.as_object_mut().unwrap().extend(fields);
        fs::write(path, file.to_string()).unwrap();
    }

    fn basic(&self, host: &str) {
        let credentials = json!({"user": "user", "password": "secret"});
        let fields = json!({"domains": [host], "type": "basic", "credentials": credentials});
        self.configure("basic.json", &fields);
    }

    fn oauth(&self, host: &str) {
        let credentials = json!({"token": "sometoken"});
        let fields = json!({"domains": [host], "type": "oauth", "credentials": credentials});
        self.configure("oauth.json", &fields);
    }

    fn command(&self) -> Command {
        self.fixture.configured_command()
    }

    fn fetch(&self) -> Output {
        let mut command = self.command();
        let output = command.args(["--debug", "fetch", &self.server.url("/app.aci")]);
        let output = output.output().unwrap();
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(text);
            assert!(
                !text.contains("secret") && !text.contains("sometoken"),
                "{text}"
            );
        }
        output
    }
}

#[test]
fn a_user_and_a_token_open_images_and_signatures() {
    for (asker, is_basic) in [(BASIC, true), (BEARER, false)] {
        let bench = Bench::new();
        bench.put(&bench.server, asker);
        refuses(&bench.fetch(), "the server answers 401 Unauthorized");
        assert_eq!(bench.server.askers(), ["/app.aci.asc nobody"]);
        match is_basic {
            true => bench.basic(&bench.server.host),
            false => bench.oauth(&bench.server.host),
        }
        succeeds(&bench.fetch(), 0);
        let expected = ["/app.aci.asc", "/app.aci"].map(|path| format!("{path} {asker}"));
        assert_eq!(bench.server.askers(), expected);
    }
}

#[test]
fn keys_and_pages_are_asked_for_by_the_same() {
    let bench = Bench::new();
    bench.basic(&bench.server.host);
    let url = bench.server.url("/key.asc");
    let trust = ["trust", "--root", "--insecure-allow-http", &url];
    let output = bench.command().args(trust).output().unwrap();
    refuses(&output, "the server answers 404 Not Found");
    assert_eq!(bench.server.askers(), [format!("/key.asc {BASIC}")]);
}

#[test]
fn another_server_hears_nothing_of_them() {
    let bench = Bench::new();
    // Another port of the same host is another server.
    let other = Server::start();
    bench.put(&other, "nobody");
    other.put("/app.aci", File::Content(bench.image.clone(), ""));
    other.put("/app.aci.asc", File::Content(bench.signature.clone(), ""));
    for path in ["/app.aci", "/app.aci.asc"] {
        bench.server.put(path, File::At(other.url(path)));
    }
    bench.basic(&bench.server.host);
    succeeds(&bench.fetch(), 0);
    assert!(
        bench
            .server
            .askers()
            .iter()
            .all(|asker| asker.ends_with(BASIC))
    );
    assert_eq!(other.askers(), ["/app.aci.asc nobody", "/app.aci nobody"]);
    // It hears of its own.
    bench.oauth(&other.host);
    bench.put(&other, BEARER);
    succeeds(&bench.fetch(), 0);
    assert!(other.askers().iter().all(|asker| asker.ends_with(BEARER)));
}

#[test]
fn nobody_hears_of_them_in_the_clear() {
    let bench = Bench::new();
    bench.basic("files.example");
    let mut command = bench.command();
    command.env("HTTP_PROXY", format!("http://{}", bench.server.host));
    command.env("http_proxy", format!("http://{}", bench.server.host));
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    let fetch = [
        "--insecure-options=http",
        "fetch",
        "http://files.example/app.aci",
    ];
    let output = command.args(fetch).output().unwrap();
    refuses(&output, "the server answers 404 Not Found");
    assert_eq!(
        bench.server.askers(),
        ["http://files.example/app.aci.asc nobody"]
    );
}

#[test]
fn files_without_what_they_need_are_named_and_their_secrets_are_not() {
    let bench = Bench::new();
    let user = json!({"user": "user", "password": "secret"});
    let cases = [
        (
            json!({"type": "basic", "credentials": user}),
            "it has no domains",
        ),
        (
            json!({"domains": ["a"], "credentials": user}),
            "it has no type",
        ),
        (
            json!({"domains": ["a"], "type": "aws", "credentials": user}),
            "type \"aws\" is neither",
        ),
        (
            json!({"domains": ["a"], "type": "oauth", "credentials": user}),
            "it has no credentials with a token",
        ),
        (
            json!({"domains": ["a"], "type": "basic", "credentials": "secret"}),
            "it has no credentials with a user",
        ),
        (
            json!({"domains": ["a"], "type": "basic", "credentials": {"user": "user"}}),
            "it has no credentials with a user",
        ),
        (
            json!({"domains": ["a", "A:443"], "type": "basic", "credentials": user}),
            "has credentials by another file",
        ),
    ];
    for (fields, expected) in cases {
        bench.configure("a.json", &fields);
        refuses(&bench.fetch(), expected);
    }
    assert!(list(&bench.fixture.path("data")).is_empty());
}
