//! Images of a registry: Debian's `docker-registry` on loopback, filled by skopeo.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use bulkhead_tests::registry::Registry;
use bulkhead_tests::tokens::{IDENTITY, TokenServer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::fixture::Fixture;

/// Makes an image of these layers, each a file's name and content, and pushes it.
fn push(registry: &Registry, name: &str, layers: &[(&str, &[u8])]) -> String {
    let layout = registry.directory().join("layout");
    let _ = fs::remove_dir_all(&layout);
    write_layout(&layout, layers);
    registry.push(&layout, name).unwrap()
}

pub(crate) fn write_layout(layout: &Path, layers: &[(&str, &[u8])]) {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let add = |bytes: &[u8]| {
        let hex: String = Sha256::digest(bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        fs::write(blobs.join(&hex), bytes).unwrap();
        (format!("sha256:{hex}"), bytes.len())
    };
    let mut descriptors = Vec::new();
    let mut diff_ids = Vec::new();
    for (file, content) in layers {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, file, *content).unwrap();
        let (digest, size) = add(&archive.into_inner().unwrap());
        diff_ids.push(digest.clone());
        descriptors.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size
        }));
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/bin/app"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}
    });
    let (digest, size) = add(config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": size},
        "layers": descriptors
    });
    let (digest, size) = add(manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size
    }]});
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
pub(crate) fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
pub(crate) fn refuses(output: &Output, expected: &str) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(254), "{error}");
    assert!(error.contains(expected), "{error}");
}

/// Names in a directory of the store.
pub(crate) fn stored(fixture: &Fixture, directory: &str) -> Vec<String> {
    let path = fixture.path("data/cas").join(directory);
    let entries = fs::read_dir(path).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Changes the only blob of the registry that has this content.
fn damage(registry: &Registry, content: &[u8]) {
    let root = registry
        .directory()
        .join("data/docker/registry/v2/blobs/sha256");
    for two in fs::read_dir(root).unwrap() {
        for blob in fs::read_dir(two.unwrap().path()).unwrap() {
            let path = blob.unwrap().path().join("data");
            let mut bytes = fs::read(&path).unwrap();
            if let Some(at) = bytes
                .windows(content.len())
                .position(|part| part == content)
            {
                bytes[at] ^= 1;
                fs::write(&path, bytes).unwrap();
                return;
            }
        }
    }
    panic!("no blob has {content:?}");
}

#[test]
fn an_image_comes_with_all_its_layers_and_leaves_no_blobs() {
    let (registry, fixture) = (Registry::start().unwrap(), Fixture::new());
    let image = push(
        &registry,
        "team/app:v1",
        &[
            ("bin/app", b"one"),
            ("etc/two", b"two"),
            ("etc/three", b"three"),
        ],
    );
    let id = succeeds(&fixture.bulkhead(&["fetch", &format!("docker://{image}")]));
    let full = succeeds(&fixture.bulkhead(&["fetch", "--full", &image]));
    assert!(full.starts_with(id.trim()), "{full} {id}");
    assert_eq!(stored(&fixture, "images"), [full.trim()]);
    assert_eq!(stored(&fixture, "blobs"), [""; 0]);
    assert_eq!(stored(&fixture, "tmp"), [""; 0]);
}

#[test]
fn it_runs_under_its_name_and_the_registry_is_not_asked_again() {
    let fixture = Fixture::new();
    let registry = Registry::start().unwrap();
    let image = push(&registry, "app:v1", &[("bin/app", b"program")]);
    let output = fixture.bulkhead(&["run", &image]);
    assert_eq!(output.status.code(), Some(42), "{}", text(&output.stderr));
    drop(registry);
    let output = fixture.bulkhead(&["run", &image, "--exec=/bin/other"]);
    assert_eq!(output.status.code(), Some(42), "{}", text(&output.stderr));
    succeeds(&fixture.bulkhead(&["fetch", "--pull-policy=never", &image]));
}

#[test]
fn a_name_that_moved_is_another_image_after_an_update() {
    let (registry, fixture) = (Registry::start().unwrap(), Fixture::new());
    let image = push(&registry, "app:v1", &[("bin/app", b"old")]);
    let old = succeeds(&fixture.bulkhead(&["fetch", "--full", &image]));
    push(&registry, "app:v1", &[("bin/app", b"new")]);
    let kept = succeeds(&fixture.bulkhead(&["fetch", "--full", "--pull-policy=new", &image]));
    let new = succeeds(&fixture.bulkhead(&["fetch", "--full", &image]));
    assert_eq!(kept, old);
    assert_ne!(new, old);
}

#[test]
fn what_is_not_there_is_said() {
    let (registry, fixture) = (Registry::start().unwrap(), Fixture::new());
    let none = format!("{}/none:v1", registry.host());
    refuses(&fixture.bulkhead(&["fetch", &none]), "manifest unknown");
    refuses(
        &fixture.bulkhead(&["fetch", "--pull-policy=never", &none]),
        "is not in the store",
    );
    refuses(
        &fixture.bulkhead(&["run", "docker://No/Name"]),
        "names no image of a registry",
    );
    assert_eq!(stored(&fixture, "images"), [""; 0]);
}

#[test]
fn a_digest_is_held_to() {
    let (registry, fixture) = (Registry::start().unwrap(), Fixture::new());
    let image = push(&registry, "app:v1", &[("bin/app", b"program")]);
    let manifest = fs::read(registry.directory().join("layout/index.json")).unwrap();
    let index: Value = serde_json::from_slice(&manifest).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    succeeds(&fixture.bulkhead(&["fetch", &format!("{image}@{digest}")]));
    let other = format!("sha256:{}", "0".repeat(64));
    refuses(
        &fixture.bulkhead(&["fetch", &format!("{image}@{other}")]),
        "manifest unknown",
    );
}

#[test]
fn a_layer_that_is_not_what_its_digest_says_leaves_nothing() {
    let (registry, fixture) = (Registry::start().unwrap(), Fixture::new());
    let image = push(&registry, "app:v1", &[("bin/app", b"the good content")]);
    damage(&registry, b"the good content");
    refuses(&fixture.bulkhead(&["fetch", &image]), "blob sha256:");
    for directory in ["images", "blobs", "tmp", "names"] {
        assert_eq!(stored(&fixture, directory), [""; 0], "{directory}");
    }
}

/// The same images in a registry that takes none of us.
fn copy(from: &Registry, to: &Registry) {
    let copied = Command::new("cp")
        .arg("-r")
        .arg(from.directory().join("data"))
        .arg(to.directory())
        .status()
        .unwrap();
    assert!(copied.success());
}

#[test]
fn a_token_of_identity_that_docker_has_left_is_good_for_a_registry_with_a_server_of_tokens() {
    let (fixture, tokens) = (Fixture::new(), TokenServer::start().unwrap());
    let open = Registry::start().unwrap();
    push(
        &open,
        "team/app:v1",
        &[("bin/app", b"program"), ("etc/app", b"more")],
    );
    let closed = Registry::with(&tokens.configuration()).unwrap();
    copy(&open, &closed);
    let image = format!("{}/team/app:v1", closed.host());
    let login = |token: &str| {
        let file = fixture.path("docker/config.json");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let login = json!({"auths": {closed.host(): {"auth": "", "identitytoken": token}}});
        fs::write(file, login.to_string()).unwrap();
    };
    let fetch = || {
        let mut command = fixture.command();
        command.env("DOCKER_CONFIG", fixture.path("docker"));
        command.args(["fetch", &image]).output().unwrap()
    };
    refuses(&fetch(), "the registry does not let us in");
    login("somebody.else");
    refuses(&fetch(), "the server of tokens answers 401");
    login(IDENTITY);
    succeeds(&fetch());
}

#[test]
fn a_registry_that_wants_a_password_gets_the_one_of_docker_s_file() {
    let fixture = Fixture::new();
    // "user" and "secret", by bcrypt.
    let users = fixture.path("users");
    let made = Command::new("htpasswd")
        .args(["-Bbn", "user", "secret"])
        .output()
        .expect("run htpasswd");
    fs::write(&users, &made.stdout).unwrap();
    let open = Registry::start().unwrap();
    push(&open, "app:v1", &[("bin/app", b"program")]);
    let closed = Registry::with(&format!(
        "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
        users.display()
    ))
    .unwrap();
    copy(&open, &closed);
    let image = format!("{}/app:v1", closed.host());
    let login = |password: &str| {
        let auth = Command::new("sh")
            .args(["-c", &format!("printf user:{password} | base64")])
            .output()
            .unwrap();
        let auth = text(&auth.stdout).trim().to_owned();
        let file = fixture.path("docker/config.json");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(
            file,
            json!({"auths": {closed.host(): {"auth": auth}}}).to_string(),
        )
        .unwrap();
    };
    let fetch = || {
        let mut command = fixture.command();
        command.env("DOCKER_CONFIG", fixture.path("docker"));
        command.args(["fetch", &image]).output().unwrap()
    };
    refuses(&fetch(), "the registry does not let us in");
    login("wrong");
    refuses(&fetch(), "the registry does not let us in");
    login("secret");
    succeeds(&fetch());
    // The configuration wins over what Docker has left.
    fixture.configure(
        "local/auth.d/a.json",
        &json!({"registries": [closed.host()], "credentials": {"user": "user", "password": "wrong"}}),
    );
    refuses(
        &fetch_with(&fixture, &image),
        "the registry does not let us in",
    );
    fixture.configure(
        "local/auth.d/a.json",
        &json!({"registries": [closed.host()], "credentials": {"user": "user", "password": "secret"}}),
    );
    succeeds(&fetch_with(&fixture, &image));
}

/// With the configuration of the directory `local`.
fn fetch_with(fixture: &Fixture, image: &str) -> Output {
    let mut command = fixture.command();
    command.arg("--local-config").arg(fixture.path("local"));
    command.args(["fetch", image]).output().unwrap()
}

/// An authority, and a certificate of it for this host and example.com: `ca.pem`, `host.pem`, `host.key`.
pub(crate) fn certificates(directory: &Path) {
    fs::write(
        directory.join("san"),
        "subjectAltName=IP:127.0.0.1,DNS:example.com\n",
    )
    .unwrap();
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem &&
        openssl req -newkey rsa:2048 -nodes -subj /CN=host -keyout host.key -out host.csr &&
        openssl x509 -req -in host.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out host.pem";
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
}

#[test]
fn a_registry_is_trusted_by_the_authority_that_the_configuration_names_and_no_other() {
    let fixture = Fixture::new();
    let directory = TempDir::new().unwrap();
    certificates(directory.path());
    let file = |name: &str| directory.path().join(name).display().to_string();
    let registry = Registry::with(&format!(
        "  tls: {{certificate: {}, key: {}}}\n",
        file("host.pem"),
        file("host.key")
    ))
    .unwrap();
    let image = push(&registry, "app:v1", &[("bin/app", b"program")]);
    let rules = |fields: &Value| {
        let mut all = json!({"registries": [registry.host()], "plainHttp": false});
        let fields = fields.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(fields);
        fixture.configure("local/registries.d/a.json", &all);
    };
    rules(&json!({}));
    refuses(&fetch_with(&fixture, &image), "invalid peer certificate");
    rules(&json!({"authorities": file("host.pem")}));
    refuses(&fetch_with(&fixture, &image), "invalid peer certificate");
    rules(&json!({"authorities": file("ca.pem")}));
    succeeds(&fetch_with(&fixture, &image));
    rules(&json!({}));
    let mut command = fixture.command();
    command.arg("--local-config").arg(fixture.path("local"));
    command.args(["--insecure-options=tls", "fetch", &image]);
    succeeds(&command.output().unwrap());
}
