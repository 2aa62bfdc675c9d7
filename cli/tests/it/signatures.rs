//! ACIs are taken when somebody who is trusted for their names has signed them.

use std::fs;
use std::process::Output;

use crate::fetch::refuses;
use crate::fixture::{Fixture, list};
use crate::gpg::Gpg;

/// A key, and an image `example.com/app` that nobody has signed yet.
struct Bench {
    fixture: Fixture,
    gpg: Gpg,
    key: String,
    image: String,
}

impl Bench {
    fn new() -> Self {
        let (fixture, gpg) = (Fixture::new(), Gpg::new());
        let key = gpg.make_key("Jane <jane@example.com>", "ed25519", "never");
        let image = fixture.aci("app", |_| {});
        let bench = Self {
            fixture,
            gpg,
            key,
            image,
        };
        bench.settle();
        bench
    }

    /// A file this young is not remembered, and images that are remembered are what some tests are about.
    fn settle(&self) {
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        let file = fs::File::options().write(true).open(&self.image).unwrap();
        file.set_modified(old).unwrap();
    }

    fn sign(&self) {
        self.gpg.sign(&self.key, self.image.as_ref(), &[]);
    }

    fn trust(&self, scope: &str) {
        self.write_key(scope, &self.gpg.export(&self.key));
    }

    fn write_key(&self, scope: &str, content: &[u8]) {
        let directory = self.fixture.path("local/trustedkeys").join(scope);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(&self.key), content).unwrap();
    }

    /// Takes only signed images.
    fn call(&self, words: &[&str]) -> Output {
        let mut command = self.fixture.configured_command();
        command
            .arg("--system-config")
            .arg(self.fixture.path("system"));
        command.args(words).output().unwrap()
    }

    fn fetch(&self) -> Output {
        self.call(&["fetch", &self.image])
    }

    fn images(&self) -> usize {
        list(&self.fixture.path("data/cas/images")).len()
    }
}

#[track_caller]
fn takes(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("signature verified: Jane <jane@example.com>"),
        "{stderr}"
    );
}

#[test]
fn an_image_is_taken_when_its_signer_is_trusted_for_its_name() {
    let bench = Bench::new();
    bench.sign();
    bench.trust("prefix.d/example.com");
    takes(&bench.fetch());
    assert_eq!(bench.images(), 1);
}

#[test]
fn one_that_is_not_signed_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    bench.trust("root.d");
    let why = format!("it is not signed: there is no {}.asc", bench.image);
    refuses(&bench.fetch(), &why);
    let stage1 = bench.fixture.path("stage1").display().to_string();
    refuses(
        &bench.call(&["run", "--stage1", &stage1, &bench.image]),
        &why,
    );
    refuses(
        &bench.call(&["prepare", "--stage1", &stage1, &bench.image]),
        &why,
    );
    assert_eq!(bench.images(), 0);
    assert!(list(&bench.fixture.path("data/cas/tmp")).is_empty());
}

#[test]
fn a_signer_who_is_trusted_for_other_names_is_not_for_this_one() {
    let bench = Bench::new();
    bench.sign();
    let id = bench.key[24..].to_owned();
    refuses(
        &bench.fetch(),
        &format!("example.com/app is signed by key {id}"),
    );
    bench.trust("prefix.d/example.com/other");
    bench.trust("prefix.d/example.com/app/more");
    refuses(&bench.fetch(), "and trusted for it is nobody");
    assert_eq!(bench.images(), 0);
    bench.trust("prefix.d/example.com/app");
    takes(&bench.fetch());
}

#[test]
fn a_key_whose_trust_is_taken_away_is_not_trusted() {
    let bench = Bench::new();
    bench.sign();
    bench.trust("root.d");
    takes(&bench.fetch());
    bench.write_key("prefix.d/example.com/app", b"");
    refuses(&bench.fetch(), "and trusted for it is nobody");
}

#[test]
fn a_signature_of_another_file_is_refused() {
    let bench = Bench::new();
    bench.trust("root.d");
    let other = bench.fixture.aci("other", |_| {});
    bench.gpg.sign(&bench.key, other.as_ref(), &[]);
    let named = format!("--signature={other}.asc");
    refuses(
        &bench.call(&["fetch", &bench.image, &named]),
        "of other data",
    );
    bench.sign();
    let mut content = fs::read(&bench.image).unwrap();
    let last = content.len() - 1;
    content[last] ^= 1;
    fs::write(&bench.image, content).unwrap();
    refuses(&bench.fetch(), "of other data");
    fs::write(format!("{}.asc", bench.image), "garbage").unwrap();
    refuses(&bench.fetch(), "it is no detached OpenPGP signature");
    assert_eq!(bench.images(), 0);
}

#[test]
fn a_signature_may_lie_elsewhere() {
    let bench = Bench::new();
    bench.trust("root.d");
    bench.sign();
    let (beside, elsewhere) = (format!("{}.asc", bench.image), bench.fixture.path("sig"));
    fs::rename(beside, &elsewhere).unwrap();
    let named = format!("--signature={}", elsewhere.display());
    takes(&bench.call(&["fetch", &bench.image, &named]));
    let stage1 = bench.fixture.path("stage1").display().to_string();
    let run = bench.call(&["run", "--stage1", &stage1, &bench.image, &named]);
    assert_eq!(run.status.code(), Some(42), "{run:?}");
    refuses(&bench.fetch(), "it is not signed");
}

#[test]
fn what_was_taken_without_a_signature_is_not_taken_later() {
    let bench = Bench::new();
    for option in ["image", "all-fetch", "all"] {
        let insecure = format!("--insecure-options={option}");
        let output = bench.call(&[&insecure, "fetch", &bench.image]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let warning = "warning: image signature verification has been disabled";
        assert!(stderr.contains(warning), "{stderr}");
    }
    assert_eq!(bench.images(), 1);
    assert_eq!(list(&bench.fixture.path("data/cas/hints")).len(), 1);
    refuses(&bench.fetch(), "it is not signed");
    refuses(
        &bench.call(&["--insecure-options=none", "fetch", &bench.image]),
        "it is not signed",
    );
    bench.sign();
    bench.trust("root.d");
    takes(&bench.fetch());
}

#[test]
fn images_of_other_forms_have_no_signatures() {
    let bench = Bench::new();
    let layout = bench.fixture.path("layout");
    crate::fetch::write_layout(&layout, &[("bin/app", b"program")]);
    let layout = layout.display().to_string();
    let output = bench.call(&["fetch", &layout]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    bench.sign();
    let named = format!("--signature={}.asc", bench.image);
    refuses(
        &bench.call(&["fetch", &layout, &named]),
        "only an ACI can have one",
    );
    let registry = ["fetch", "docker://localhost:1/a", &named];
    refuses(&bench.call(&registry), "--signature is for ACIs");
}

#[test]
fn a_stage1_image_in_a_file_must_be_signed_unless_it_is_installed() {
    let bench = Bench::new();
    bench.sign();
    bench.trust("root.d");
    let file = bench.fixture.pack_stage1("stage1.aci");
    let path = format!("--stage1-path={}", file.display());
    let run = |words: &[&str]| bench.call(&[&["run"], words, &[&bench.image]].concat());
    refuses(&run(&[&path]), "it is not signed");
    let unsigned = run(&[&path, "--insecure-options=image"]);
    assert_eq!(unsigned.status.code(), Some(42), "{unsigned:?}");
    refuses(&run(&[&path]), "it is not signed");
    bench.gpg.sign(&bench.key, &file, &[]);
    assert_eq!(run(&[&path]).status.code(), Some(42));

    fs::remove_file(format!("{}.asc", file.display())).unwrap();
    let installed = bench.fixture.path("installed");
    fs::create_dir(&installed).unwrap();
    let fields = serde_json::json!({"stage1-images": installed});
    bench.fixture.configure("system/paths.d/a.json", &fields);
    std::os::unix::fs::symlink(&file, installed.join("link.aci")).unwrap();
    refuses(&run(&["--stage1-from-dir=link.aci"]), "it is not signed");
    fs::copy(&file, installed.join("stage1.aci")).unwrap();
    assert_eq!(
        run(&["--stage1-from-dir=stage1.aci"]).status.code(),
        Some(42)
    );
}
