//! Stage1 images of web servers.

use std::fs;
use std::process::Output;

use serde_json::json;

use crate::fetch::refuses;
use crate::fixture::{Fixture, list};
use crate::gpg::Gpg;
use crate::server::{File, Server};
use crate::web::succeeds;

/// A server with a signed stage1 image `/stage1.aci`, and its signer, whom nobody trusts yet.
struct Bench {
    fixture: Fixture,
    gpg: Gpg,
    key: String,
    server: Server,
    app: String,
}

impl Bench {
    fn new() -> Self {
        let (fixture, gpg, server) = (Fixture::new(), Gpg::new(), Server::start());
        let key = gpg.make_key("Jane", "ed25519", "never");
        let app = fixture.aci("app", |_| {});
        gpg.sign(&key, app.as_ref(), &[]);
        let bench = Self {
            fixture,
            gpg,
            key,
            server,
            app,
        };
        bench.serve();
        bench
    }

    fn serve(&self) {
        let file = self.fixture.pack_stage1("stage1.aci");
        let signature = self.gpg.sign(&self.key, &file, &[]);
        let content = |path| File::Content(fs::read(path).unwrap(), "");
        self.server.put("/stage1.aci", content(file));
        self.server.put("/stage1.aci.asc", content(signature));
    }

    fn trust(&self, directory: &str) {
        let directory = self.fixture.path("local/trustedkeys").join(directory);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(&self.key), self.gpg.export(&self.key)).unwrap();
    }

    fn run(&self, flags: &[&str]) -> Output {
        let mut command = self.fixture.configured_command();
        let run = command.arg("run").args(flags).arg(&self.app);
        run.output().unwrap()
    }

    fn run_of_url(&self) -> Output {
        let url = format!("--stage1-url={}", self.server.url("/stage1.aci"));
        self.run(&[&url])
    }

    fn trees(&self) -> usize {
        let names = list(&self.fixture.path("data/cas/tree"));
        names.iter().filter(|path| path.is_dir()).count()
    }
}

#[test]
fn a_stage1_image_comes_with_its_signature_and_once() {
    let bench = Bench::new();
    bench.trust("root.d");
    let output = bench.run_of_url();
    succeeds(&output, 42);
    assert!(String::from_utf8_lossy(&output.stderr).contains("signature verified: Jane"));
    assert_eq!(bench.server.asked(), ["/stage1.aci.asc", "/stage1.aci"]);
    assert!(list(&bench.fixture.path("data/cas/blobs")).is_empty());
    succeeds(&bench.run_of_url(), 42);
    succeeds(&bench.run(&["--stage1-name=bulkhead.dev/stage1-test"]), 42);
    assert!(bench.server.asked().is_empty());
    assert_eq!(bench.trees(), 1);
    // One that is gone is brought again.
    for tree in list(&bench.fixture.path("data/cas/tree")) {
        let _ = fs::remove_dir_all(tree);
    }
    succeeds(&bench.run_of_url(), 42);
    assert_eq!(bench.server.asked(), ["/stage1.aci.asc", "/stage1.aci"]);
}

#[test]
fn one_that_nobody_who_is_trusted_has_signed_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    // For apps alone.
    bench.trust("prefix.d/example.com");
    refuses(&bench.run_of_url(), "and trusted for it is nobody");
    assert_eq!(bench.trees(), 0);
    assert!(list(&bench.fixture.path("data/cas/tmp")).is_empty());
    bench
        .server
        .put("/stage1.aci.asc", File::Status("404 Not Found"));
    refuses(&bench.run_of_url(), "the server answers 404 Not Found");
    assert_eq!(bench.trees(), 0);
    let url = format!("--stage1-url={}", bench.server.url("/stage1.aci"));
    let unsigned = bench.run(&["--insecure-options=image", &url]);
    succeeds(&unsigned, 42);
    // What came unsigned is as good as not there.
    refuses(&bench.run_of_url(), "the server answers 404 Not Found");
    bench.serve();
    bench.trust("root.d");
    succeeds(&bench.run_of_url(), 42);
    fs::remove_dir_all(bench.fixture.path("local/trustedkeys/root.d")).unwrap();
    refuses(&bench.run_of_url(), "and trusted for it is nobody");
}

#[test]
fn the_configuration_names_one_too() {
    let bench = Bench::new();
    bench.trust("root.d");
    let location = bench.server.url("/stage1.aci");
    bench
        .fixture
        .configure("local/stage1.d/a.json", &json!({"location": location}));
    succeeds(&bench.run(&[]), 42);
    assert_eq!(bench.server.asked(), ["/stage1.aci.asc", "/stage1.aci"]);
    assert_eq!(bench.trees(), 1);
}

#[test]
fn other_hosts_are_not_asked_in_the_clear_and_no_other_image_is_taken() {
    let bench = Bench::new();
    bench.trust("root.d");
    let clear = "http://stage1.example/stage1.aci";
    let output = bench.run(&[&format!("--stage1-url={clear}")]);
    refuses(&output, "it is not https (--insecure-options=http)");
    // An app's image is no stage1 image.
    let content = |path: &str| File::Content(fs::read(path).unwrap(), "");
    bench.server.put("/stage1.aci", content(&bench.app));
    let signature = format!("{}.asc", bench.app);
    bench.server.put("/stage1.aci.asc", content(&signature));
    let output = bench.run_of_url();
    assert_eq!(output.status.code(), Some(254));
    assert!(bench.fixture.pods().is_empty());
}
