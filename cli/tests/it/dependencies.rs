//! ACIs that are put together from others, which pages of web servers lead to. The server of the tests is the proxy of all hosts.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use rustix::process::geteuid;
use serde_json::{Value, json};

use crate::fetch::refuses;
use crate::fixture::{Fixture, list};
use crate::gpg::Gpg;
use crate::server::{File, Server};
use crate::web::succeeds;

const PAGE: &str = "http://example.com/?ac-discovery=1";
const META: &str = "<meta name=\"ac-discovery\" content=\"example.com http://files.example/{name}-{version}.{ext}\">";

/// Images of a signer who is trusted, on a server.
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
        server.put(PAGE, File::Content(META.as_bytes().to_vec(), ""));
        let directory = fixture.path("local/trustedkeys/root.d");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(&key), gpg.export(&key)).unwrap();
        Self {
            fixture,
            gpg,
            key,
            server,
        }
    }

    /// A signed image that has the file `of/NAME`.
    fn image(&self, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        let own = self.fixture.path(&format!("{name}.d/rootfs/of"));
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join(name), name).unwrap();
        let file = self.fixture.aci(name, change);
        let _ = fs::remove_file(format!("{file}.asc"));
        self.gpg.sign(&self.key, file.as_ref(), &[]);
        file.into()
    }

    /// Puts one on the server as the newest of its name.
    fn serve(&self, name: &str, dependencies: Value) -> Vec<u8> {
        let file = self.image(name, |manifest| manifest["dependencies"] = dependencies);
        let bytes = fs::read(&file).unwrap();
        let signature = fs::read(format!("{}.asc", file.display())).unwrap();
        let url = url(name);
        self.server
            .put(&format!("{url}.asc"), File::Content(signature, ""));
        self.server
            .put(&url, File::Content(bytes.clone(), "ETag: \"one\"\r\n"));
        bytes
    }

    fn command(&self) -> Command {
        self.fixture.proxied_command(&self.server.host)
    }

    fn call(&self, words: &[&str]) -> Output {
        self.call_with("http", words)
    }

    fn call_with(&self, insecure: &str, words: &[&str]) -> Output {
        let mut command = self.command();
        command.arg(format!("--insecure-options={insecure}"));
        command.args(words).output().unwrap()
    }

    fn fetch(&self) -> Output {
        self.call(&["fetch", "--full", "aci://example.com/app"])
    }

    /// The names of the images in the store.
    fn names(&self) -> Vec<String> {
        let output = self.call(&["image", "list", "--no-legend", "--fields=name"]);
        succeeds(&output, 0);
        let text = String::from_utf8(output.stdout).unwrap();
        let mut names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        names.sort();
        names
    }

    /// The images that were asked for in the clear, without their signatures.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.server.asked();
        asked.retain(|url| url.starts_with("http://files.example/") && !url.ends_with(".asc"));
        asked
    }

    #[track_caller]
    fn refuses(&self, expected: &str, stored: &[&str]) {
        refuses(&self.fetch(), expected);
        assert_eq!(self.names(), stored);
        for directory in ["tmp", "blobs"] {
            let path = self.fixture.path("data/cas").join(directory);
            assert_eq!(list(&path).len(), 0, "{directory}");
        }
    }
}

fn url(name: &str) -> String {
    format!("http://files.example/example.com/{name}-latest.aci")
}

fn needs(names: &[&str]) -> Value {
    let one = |name: &&str| json!({"imageName": format!("example.com/{name}")});
    names.iter().map(one).collect()
}

fn id_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn dependencies_come_with_the_image_and_are_signed_like_it() {
    let bench = Bench::new();
    bench.serve("app", needs(&["low", "high"]));
    bench.serve("low", json!([]));
    bench.serve("high", needs(&["lowest"]));
    bench.serve("lowest", json!([]));
    let output = bench.fetch();
    succeeds(&output, 0);
    let expected = ["app", "low", "high", "lowest"].map(url);
    assert_eq!(bench.asked(), expected);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("needs aci://example.com/lowest"),
        "{stderr}"
    );
    assert_eq!(stderr.matches("signature verified: Jane").count(), 4);
    let expected = ["app", "high", "low", "lowest"].map(|name| format!("example.com/{name}"));
    assert_eq!(bench.names(), expected);
    // As the servers have it.
    let again = bench.fetch();
    succeeds(&again, 0);
    assert_eq!(id_of(&again), id_of(&output));
    assert!(
        bench
            .asked()
            .iter()
            .all(|url| url.ends_with("unless \"one\""))
    );
    let stage1 = bench.fixture.path("stage1").display().to_string();
    let run = [
        "run",
        "--pull-policy=never",
        "--stage1",
        &stage1,
        "aci://example.com/app",
    ];
    succeeds(&bench.call(&run), 42);
    assert!(bench.asked().is_empty());
}

#[test]
fn a_new_version_of_a_dependency_is_another_image() {
    let bench = Bench::new();
    bench.serve("app", needs(&["base"]));
    bench.serve("base", json!([]));
    let first = id_of(&bench.fetch());
    let change = bench.image("base", |manifest| manifest["annotations"] = json!([]));
    let signature = fs::read(format!("{}.asc", change.display())).unwrap();
    bench.server.put(
        &format!("{}.asc", url("base")),
        File::Content(signature, ""),
    );
    let bytes = fs::read(change).unwrap();
    bench
        .server
        .put(&url("base"), File::Content(bytes, "ETag: \"two\"\r\n"));
    let second = bench.fetch();
    succeeds(&second, 0);
    assert_ne!(id_of(&second), first);
    assert_eq!(bench.names().len(), 4);
}

#[test]
fn what_is_in_the_store_is_not_fetched_unless_that_is_asked_for() {
    let bench = Bench::new();
    let base = bench.image("base", |_| {});
    succeeds(&bench.call(&["fetch", base.to_str().unwrap()]), 0);
    let app = bench.image("app", |manifest| {
        manifest["dependencies"] = needs(&["base"])
    });
    let app = app.to_str().unwrap();
    succeeds(&bench.call(&["fetch", "--pull-policy=new", app]), 0);
    succeeds(&bench.call(&["fetch", "--pull-policy=never", app]), 0);
    assert!(bench.server.asked().is_empty());
    // No page says where a newer one is.
    bench.server.put(PAGE, File::Status("404 Not Found"));
    succeeds(&bench.call(&["fetch", app]), 0);
    assert!(!bench.server.asked().is_empty());
}

#[test]
fn what_was_taken_unsigned_gets_into_no_image_that_must_be_signed() {
    let bench = Bench::new();
    let base = bench.fixture.aci("base", |_| {});
    succeeds(&bench.call_with("image", &["fetch", &base]), 0);
    let app = bench.image("app", |manifest| {
        manifest["dependencies"] = needs(&["base"])
    });
    let app = app.to_str().unwrap();
    let never = ["fetch", "--pull-policy=never", app];
    succeeds(&bench.call_with("image", &never), 0);
    let not_there =
        "it is not in the store, or signed by nobody who is trusted, and may not be fetched";
    refuses(&bench.call(&never), not_there);
    bench.serve("base", json!([]));
    succeeds(&bench.call(&["fetch", "--pull-policy=new", app]), 0);
    succeeds(&bench.call(&never), 0);
    // Nobody is trusted any more.
    fs::remove_dir_all(bench.fixture.path("local/trustedkeys")).unwrap();
    refuses(&bench.call(&never), "and trusted for it is nobody");
}

#[test]
fn a_dependency_that_cannot_be_had_is_the_end_of_the_image() {
    let bench = Bench::new();
    bench.serve("app", needs(&["base"]));
    bench.refuses("its dependency aci://example.com/base", &[]);
    // By somebody else.
    bench.serve("base", json!([]));
    let other = bench.gpg.make_key("Joe", "ed25519", "never");
    let file = bench.fixture.path("base.aci");
    fs::remove_file(bench.fixture.path("base.aci.asc")).unwrap();
    let signature = fs::read(bench.gpg.sign(&other, file.as_ref(), &[])).unwrap();
    bench.server.put(
        &format!("{}.asc", url("base")),
        File::Content(signature, ""),
    );
    bench.refuses("its signature http://files.example/example.com/base", &[]);
    // What came whole, of those that are there, stays.
    bench.serve("base", json!([]));
    bench.serve("app", needs(&["base", "missing"]));
    bench.refuses(
        "its dependency aci://example.com/missing",
        &["example.com/base"],
    );
}

#[test]
fn another_image_than_the_one_that_is_named_is_refused() {
    let bench = Bench::new();
    let bytes = bench.serve("base", json!([]));
    let cases = [
        (
            json!({"imageID": format!("sha512-{}", "0".repeat(128))}),
            "with the id sha512-00",
        ),
        (
            json!({"labels": [{"name": "flavor", "value": "x"}]}),
            "and its manifest has another name or other labels",
        ),
        (json!({"size": bytes.len() + 1}), "bytes, and it has"),
        (json!({"size": bytes.len() - 1}), "bytes"),
    ];
    for (fields, expected) in cases {
        let mut dependency = json!({"imageName": "example.com/base"});
        let fields = fields.as_object().unwrap().clone();
        dependency.as_object_mut().unwrap().extend(fields);
        bench.serve("app", json!([dependency]));
        bench.refuses(expected, &[]);
    }
    let size = json!([{"imageName": "example.com/base", "size": bytes.len()}]);
    bench.serve("app", size);
    succeeds(&bench.fetch(), 0);
}

#[test]
fn an_image_that_depends_on_itself_is_refused() {
    let bench = Bench::new();
    bench.serve("app", needs(&["app"]));
    bench.refuses("it depends on itself, by way of example.com/app", &[]);
    bench.serve("app", needs(&["b"]));
    bench.serve("b", needs(&["c"]));
    bench.serve("c", needs(&["b"]));
    let way = "it depends on itself, by way of example.com/app, example.com/b, example.com/c";
    bench.refuses(way, &[]);
}

#[test]
fn dependencies_have_bounds() {
    let bench = Bench::new();
    let name = |depth: usize| format!("d{depth}");
    for depth in 0..9 {
        bench.serve(&name(depth), needs(&[&name(depth + 1)]));
    }
    bench.serve("app", needs(&["d0"]));
    bench.refuses("dependencies of dependencies may be 8 deep", &[]);
    // The same image, asked for in many ways: its size is not looked at where it is in the store.
    bench.serve("wide", json!([]));
    succeeds(&bench.call(&["fetch", "aci://example.com/wide"]), 0);
    let ways = |sizes: std::ops::Range<u64>| -> Vec<Value> {
        let way = |size| json!({"imageName": "example.com/wide", "size": size});
        sizes.map(way).collect()
    };
    bench.serve("a", json!(ways(0..40)));
    let new = ["fetch", "--pull-policy=new", "aci://example.com/app"];
    for (last, is_too_many) in [(63, false), (64, true)] {
        let a = json!({"imageName": "example.com/a"});
        bench.serve("app", json!([vec![a], ways(40..last)].concat()));
        let output = bench.call(&new);
        match is_too_many {
            false => succeeds(&output, 0),
            true => refuses(
                &output,
                "it is one more than the 64 that an image may have on all levels",
            ),
        }
        for name in ["aci://example.com/app", "aci://example.com/a"] {
            let _ = bench.call(&["image", "rm", name]);
        }
    }
}

#[test]
fn what_several_need_is_looked_for_once() {
    let bench = Bench::new();
    bench.serve("app", needs(&["left", "right", "base"]));
    bench.serve("left", needs(&["base"]));
    bench.serve("right", needs(&["base"]));
    bench.serve("base", json!([]));
    succeeds(&bench.fetch(), 0);
    let expected = ["app", "left", "base", "right"].map(url);
    assert_eq!(bench.asked(), expected);
}

#[test]
fn an_exported_image_has_all_that_it_depends_on() {
    if !geteuid().is_root() {
        return;
    }
    let bench = Bench::new();
    bench.serve("app", needs(&["base"]));
    bench.serve("base", json!([]));
    succeeds(&bench.fetch(), 0);
    let file = bench.fixture.path("whole.aci").display().to_string();
    let name = "aci://example.com/app";
    succeeds(&bench.call(&["image", "export", name, &file]), 0);
    let tar = |words: &[&str]| {
        let output = Command::new("tar").args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = tar(&["-tf", &file]);
    assert!(listed.contains("rootfs/of/app\n"), "{listed}");
    assert!(listed.contains("rootfs/of/base\n"), "{listed}");
    assert!(!tar(&["-xOf", &file, "manifest"]).contains("dependencies"));
    let directory = bench.fixture.path("rendered");
    let words = ["image", "render", name, directory.to_str().unwrap()];
    succeeds(&bench.call(&words), 0);
    let of = list(&directory.join("rootfs/of"));
    assert_eq!(
        of,
        ["app", "base"].map(|name| directory.join("rootfs/of").join(name))
    );
    let manifest = bench.call(&["image", "cat-manifest", name]);
    assert!(id_of(&manifest).contains("example.com/base"));
    succeeds(&bench.call(&["image", "rm", "aci://example.com/base"]), 0);
    succeeds(&bench.call(&["image", "verify", name]), 0);
}
