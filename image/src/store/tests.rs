use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::*;
use crate::erofs::test_oracle::contents_of;
use crate::test_archive::{
    INDEX_TYPE, Oci, Tar, aci, aci_with, config, docker_archive, gzip, manifest, sha256,
};

/// A store in a directory of its own, and room for images beside it.
struct Bench {
    dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        Self { dir, store }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn layout(&self, name: &str, image: &Oci) -> String {
        let path = self.dir.path().join(name);
        image.write_layout(&path);
        path.to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn import(&self, reference: &str) -> StoredImage {
        self.try_import(reference).unwrap()
    }

    fn try_import(&self, reference: &str) -> Result<StoredImage, String> {
        let imported = self.store.import(reference, &mut |_| {});
        imported.map_err(|error| {
            let mut text = error.to_string();
            let mut error: &dyn std::error::Error = &error;
            while let Some(source) = error.source() {
                text = format!("{text}: {source}");
                error = source;
            }
            text.replace(self.dir.path().to_str().unwrap(), "DIR")
        })
    }

    /// Asserts the error, and that nothing is left of the attempt.
    #[track_caller]
    fn refuses(&self, reference: &str, expected: &str) {
        let images = self.files();
        let error = self.try_import(reference).unwrap_err();
        let expected = format!(
            "cannot import image {}: {expected}",
            reference.replace(self.dir.path().to_str().unwrap(), "DIR")
        );
        assert_eq!(error, expected);
        assert_eq!(self.files(), images, "something was left behind");
    }

    #[track_caller]
    fn refuses_file(&self, name: &str, bytes: &[u8], expected: &str) {
        self.refuses(&self.write(name, bytes), expected);
    }

    #[track_caller]
    fn refuses_layout(&self, image: &Oci, expected: &str) {
        let path = self.dir.path().join("layout");
        let _ = fs::remove_dir_all(&path);
        self.refuses(&self.layout("layout", image), expected);
    }

    /// Everything in the store but its lock.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut pending = vec![self.store.cas.clone()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    pending.push(path.clone());
                }
                if path != self.store.lock() {
                    files.push(path);
                }
            }
        }
        files.sort();
        files
    }
}

fn tree() -> Tar {
    Tar::default()
        .dir("bin")
        .file("bin/app", "program")
        .symlink("app", "bin/app")
}

fn rootfs_tree() -> Tar {
    Tar::default()
        .dir("rootfs/bin")
        .file("rootfs/bin/app", "program")
        .symlink("rootfs/app", "bin/app")
}

#[track_caller]
fn assert_is_tree(image: &StoredImage) {
    let expected = [
        ("", ""),
        ("app", "bin/app"),
        ("bin", ""),
        ("bin/app", "program"),
    ];
    let expected = expected.map(|(name, content)| (name.into(), content.into()));
    let seen: Vec<(Vec<u8>, Vec<u8>)> = contents_of(&image.erofs_path).into_iter().collect();
    assert_eq!(seen, expected);
    assert_eq!(image.size, fs::metadata(&image.erofs_path).unwrap().len());
}

#[test]
fn an_aci_in_every_compression_is_one_image() {
    let bench = Bench::new();
    let plain = aci(rootfs_tree());
    let mut packed = vec![
        plain.clone(),
        gzip(&plain),
        zstd::encode_all(&plain[..], 1).unwrap(),
    ];
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    std::io::Write::write_all(&mut encoder, &plain).unwrap();
    packed.push(encoder.finish().unwrap());
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &plain).unwrap();
    packed.push(encoder.finish().unwrap());

    let first = bench.import(&bench.write("0.aci", &plain));
    assert_is_tree(&first);
    assert_eq!(first.id, ImageId::of(&plain));
    assert_eq!(first.name, "example.com/app");
    assert_eq!(first.manifest, manifest().to_string().into_bytes());
    for (i, bytes) in packed.iter().enumerate() {
        let image = bench.import(&bench.write(&format!("{i}.aci"), bytes));
        assert_eq!(image, first);
    }
}

#[test]
fn oci_and_docker_containers_hold_the_same_image() {
    let bench = Bench::new();
    let layer = tree().finish();
    let image = Oci::of(std::slice::from_ref(&layer));
    let docker = docker_archive(&["registry/team/app:v1"], &[layer]);
    let references = [
        bench.layout("app", &image),
        format!("oci:{}", bench.layout("app", &image)),
        bench.write("app.tar", &image.archive()),
        format!("oci-archive:{}", bench.write("app.oci", &image.archive())),
        bench.write("app.tar.gz", &gzip(&image.archive())),
    ];
    let first = bench.import(&references[0]);
    assert_is_tree(&first);
    assert_eq!(first.name, "app");
    for reference in &references {
        assert_eq!(bench.import(reference).id, first.id, "{reference}");
    }
    let from_docker = bench.import(&bench.write("x.tar", &docker));
    assert_eq!(
        (from_docker.id, from_docker.name.as_str()),
        (first.id.clone(), "registry/team/app")
    );
    let packed = format!(
        "docker-archive:{}:registry/team/app:v1",
        bench.write("x.tgz", &gzip(&docker))
    );
    assert_eq!(bench.import(&packed).id, first.id);
    assert_eq!(fs::read_dir(bench.store.images()).unwrap().count(), 1);
}

#[test]
fn layers_are_compressed_in_any_way() {
    let bench = Bench::new();
    let lower = Tar::default().file("gone", "").file("bin/old", "").finish();
    let upper = tree()
        .file(".wh.gone", "")
        .file("bin/.wh..wh..opq", "")
        .finish();
    let top = Tar::default().dir("bin").finish();
    let ids = [sha256(&lower), sha256(&upper), sha256(&top)];
    let layers = [
        (gzip(&lower), "tar+gzip"),
        (zstd::encode_all(&upper[..], 1).unwrap(), "tar+zstd"),
        (top, "tar"),
    ];
    let image = Oci::with(&config(&ids), layers);
    assert_is_tree(&bench.import(&bench.layout("l", &image)));
}

#[test]
fn a_second_import_does_nothing() {
    let bench = Bench::new();
    let layer = tree().finish();
    let references = [
        bench.write("a.aci", &gzip(&aci(rootfs_tree()))),
        bench.layout("layout", &Oci::of(std::slice::from_ref(&layer))),
        bench.write("d.tar", &docker_archive(&[], &[layer])),
    ];
    for reference in &references {
        let first = bench.import(reference);
        let before = fs::metadata(&first.erofs_path).unwrap();
        let mut seen = Vec::new();
        let second = bench
            .store
            .import(reference, &mut |p| seen.push(p))
            .unwrap();
        assert_eq!(second.id, first.id);
        let after = fs::metadata(&first.erofs_path).unwrap();
        assert_eq!(
            (after.ino(), after.ctime_nsec()),
            (before.ino(), before.ctime_nsec())
        );
        let stores = |p: &Progress| matches!(p, Progress::Storing { .. });
        assert!(!seen.iter().any(stores), "{seen:?}");
    }
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 0);
}

#[test]
fn images_are_read_only_and_complete() {
    let bench = Bench::new();
    let image = bench.import(&bench.write("a.aci", &aci(rootfs_tree())));
    assert_eq!(
        fs::metadata(&image.erofs_path).unwrap().mode() & 0o777,
        0o444
    );
    assert_eq!(bench.store.get(&image.id).unwrap(), Some(image.clone()));
    let absent: ImageId = ImageId::of(b"something else");
    assert_eq!(bench.store.get(&absent).unwrap(), None);
    let names = fs::read_dir(image.erofs_path.parent().unwrap()).unwrap();
    assert_eq!(names.count(), 2);
}

#[test]
fn what_is_no_image_is_refused() {
    let bench = Bench::new();
    let not_image = "DIR/x is neither an ACI, an OCI layout or archive, nor a docker archive";
    bench.refuses(
        &bench.dir.path().join("x").display().to_string(),
        "cannot open DIR/x: No such file or directory (os error 2)",
    );
    let text = [&b"#!/bin/sh\n"[..], &[b'x'; 600]].concat();
    bench.refuses_file(
        "x",
        &text,
        &format!(
            "{not_image}: not a tar header at byte 0: checksum field \"xxxxxxxx\", computed 60240"
        ),
    );
    bench.refuses_file(
        "x",
        b"",
        &format!("{not_image}: truncated: no end-of-archive marker at byte 0"),
    );
    bench.refuses_file("x", &Tar::default().finish(), not_image);
    bench.refuses_file("x", &Tar::default().file("readme", "").finish(), not_image);
    bench.refuses_file(
        "x",
        &gzip(b"text"),
        &format!(
            "{not_image}: truncated: 508 bytes are missing at byte 4 (in a header, entry \"\")"
        ),
    );
    bench.refuses("/dev/null", "/dev/null is not a regular file");
    let empty = bench.dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    bench.refuses(
        empty.to_str().unwrap(),
        "DIR/empty is a directory without \"index.json\", so it is not an OCI layout",
    );
    let archive = bench.write("y", &Oci::of(&[]).archive());
    bench.refuses(
        &format!("docker-archive:{archive}"),
        "DIR/y has no \"manifest.json\", so it is not a docker archive",
    );
    let archive = bench.write("y", &docker_archive(&[], &[]));
    bench.refuses(
        &format!("oci-archive:{archive}"),
        "DIR/y has no \"index.json\", so it is not an OCI archive",
    );
}

#[test]
fn a_fifo_does_not_make_an_import_wait() {
    let bench = Bench::new();
    let fifo = bench.dir.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    bench.refuses(fifo.to_str().unwrap(), "DIR/fifo is not a regular file");
}

#[test]
fn bad_acis_are_refused() {
    let bench = Bench::new();
    let t = Tar::default;
    let file = |path: &str| t().file(path, "x");
    let cases = [
        (
            aci(file("rootfs/../x")),
            r#"entry "rootfs/../x": name has a ".." component"#,
        ),
        (
            aci(file("/rootfs/x")),
            r#"entry "/rootfs/x": name is absolute"#,
        ),
        (
            aci(file("other")),
            r#"entry "other": an ACI holds "manifest" and "rootfs" only"#,
        ),
        (
            aci(file("rootfs/a").file("rootfs/a", "y")),
            r#"entry "rootfs/a": name occurs twice in the archive"#,
        ),
        (
            aci(t().dir("rootfs/d").dir("rootfs/d")),
            r#"entry "rootfs/d": name occurs twice in the archive"#,
        ),
        (
            aci(t().dir("rootfs")),
            r#"entry "rootfs": name occurs twice in the archive"#,
        ),
        (
            aci(file("manifest")),
            r#"entry "manifest": name occurs twice in the archive"#,
        ),
        (
            aci(file("rootfs/a").hard_link("rootfs/b", "a")),
            r#"entry "rootfs/b": linkname leads out of "rootfs""#,
        ),
        (
            aci(t().hard_link("rootfs/b", "manifest")),
            r#"entry "rootfs/b": linkname leads out of "rootfs""#,
        ),
        (
            aci(t().hard_link("rootfs/b", "/etc/passwd")),
            r#"entry "rootfs/b": linkname is absolute"#,
        ),
        (
            aci(t().symlink("rootfs/l", "/").file("rootfs/l/x", "")),
            r#"entry "rootfs/l/x": its parent "l" is a symbolic link, not a directory"#,
        ),
        (
            t().dir("rootfs").finish(),
            r#"the archive has no "manifest""#,
        ),
        (
            t().file("manifest", "{}").finish(),
            r#"the archive has no "rootfs""#,
        ),
        (
            t().symlink("manifest", "x").finish(),
            r#"entry "manifest" is not a regular file of at most 4194304 bytes"#,
        ),
        (
            t().symlink("rootfs", "/").finish(),
            r#"entry "rootfs": the root of the image must be a directory"#,
        ),
    ];
    for (bytes, expected) in cases {
        bench.refuses_file("x.aci", &bytes, expected);
    }
    let whole = aci(file("rootfs/f"));
    bench.refuses_file(
        "x.aci",
        &whole[..whole.len() - 1024],
        "truncated: no end-of-archive marker at byte 2560",
    );
    let oversized = crate::test_archive::Fields {
        size: 0o77_777_777_777,
        ..crate::test_archive::Fields::of("rootfs/f", b'0')
    };
    bench.refuses_file(
        "x.aci",
        &aci(t().header(&oversized)),
        r#"truncated: 8589933567 bytes are missing at byte 3072 (in its data, entry "rootfs/f")"#,
    );
    let huge = t()
        .pax(&[("size", b"9000000000000000")])
        .file("rootfs/f", "");
    bench.refuses_file("x.aci", &aci(huge), r#"entry "rootfs/f": size is 9000000000000000, the image would have more than 274877906944 bytes of files"#);
}

#[test]
fn bad_aci_manifests_are_refused() {
    let bench = Bench::new();
    let with = |key: &str, value: Value| {
        let mut manifest = manifest();
        manifest[key] = value;
        aci_with(&manifest, rootfs_tree())
    };
    let cases = [
        (
            with("acKind", json!("PodManifest")),
            r#"manifest: field acKind is "PodManifest", not "ImageManifest""#,
        ),
        (with("name", json!("")), "manifest: field name is empty"),
        (
            with("name", json!(7)),
            "manifest is not valid: invalid type: integer `7`, expected a string at line 1 column 128",
        ),
        (
            with("dependencies", json!([{"imageName": "a"}])),
            "manifest: field dependencies is not empty, and images with dependencies are not supported yet",
        ),
        (
            with("labels", json!([{"name": "arch", "value": "aarch64"}])),
            "the image is for linux/aarch64, this host runs linux/amd64",
        ),
        (
            with("labels", json!([{"name": "os", "value": "freebsd"}])),
            "the image is for freebsd/any, this host runs linux/amd64",
        ),
        (
            with("pathWhitelist", json!(["/a/../b"])),
            r#"manifest: field pathWhitelist, "/a/../b": path has a ".." component"#,
        ),
    ];
    for (bytes, expected) in cases {
        bench.refuses_file("x.aci", &bytes, expected);
    }
}

#[test]
fn a_path_whitelist_keeps_what_it_names() {
    let bench = Bench::new();
    let mut manifest = manifest();
    manifest["pathWhitelist"] = json!(["/bin/app", "/app", "/not/there"]);
    let tree = rootfs_tree()
        .file("rootfs/bin/hidden", "")
        .file("rootfs/gone/x", "");
    assert_is_tree(&bench.import(&bench.write("a.aci", &aci_with(&manifest, tree))));
}

#[test]
fn blobs_must_be_what_their_descriptors_say() {
    let bench = Bench::new();
    let layer = tree().finish();
    let digest = sha256(&layer);

    let mut image = Oci::of(std::slice::from_ref(&layer));
    image.blobs[1].1[1000] ^= 1;
    let found = sha256(&image.blobs[1].1);
    bench.refuses_layout(
        &image,
        &format!(
            "layer {digest}, uncompressed (diff_id): digest is {found}, the image says {digest}"
        ),
    );

    let mut image = Oci::of(std::slice::from_ref(&layer));
    image.blobs[1].1.pop();
    bench.refuses_layout(
        &image,
        &format!(
            "layer {digest}: size is {}, the image says {}",
            layer.len() - 1,
            layer.len()
        ),
    );

    let mut image = Oci::of(std::slice::from_ref(&layer));
    image.blobs.remove(1);
    bench.refuses_layout(
        &image,
        &format!("DIR/layout has no \"blobs/{}\"", digest.replace(':', "/")),
    );

    let mut image = Oci::of(&[]);
    let (name, config) = &mut image.blobs[0];
    let expected = name.replace("blobs/sha256/", "sha256:");
    *config = String::from_utf8(config.clone())
        .unwrap()
        .replace("/bin/app", "/bin/bad")
        .into_bytes();
    let found = sha256(config);
    bench.refuses_layout(
        &image,
        &format!("config {expected}: digest is {found}, the image says {expected}"),
    );

    let packed = gzip(&layer);
    let wrong = Oci::with(
        &config_of(&[&"00".repeat(32)]),
        [(packed.clone(), "tar+gzip")],
    );
    bench.refuses_layout(
        &wrong,
        &format!(
            "layer {}, uncompressed (diff_id): digest is {digest}, the image says sha256:{}",
            sha256(&packed),
            "00".repeat(32)
        ),
    );
}

fn config_of(hex: &[&str]) -> Value {
    let ids: Vec<String> = hex.iter().map(|hex| format!("sha256:{hex}")).collect();
    config(&ids)
}

#[test]
fn bad_oci_documents_are_refused() {
    let bench = Bench::new();
    let mut image = Oci::of(&[]);
    image.index = json!({"manifests": {}});
    bench.refuses_layout(
        &image,
        "index.json is not valid: invalid type: map, expected a sequence at line 1 column 13",
    );
    image.index = json!({"manifests": []});
    bench.refuses_layout(&image, "DIR/layout holds no image");
    image.index = json!({"manifests": [{"digest": "sha256:../../../etc/passwd", "size": 1}]});
    bench.refuses_layout(
        &image,
        r#"manifest: field digest: "sha256:../../../etc/passwd" is not a sha256 or sha512 digest"#,
    );

    let layers = [(tree().finish(), "tar")];
    let image = Oci::with(&config(&[]), layers.clone());
    let manifest = image.index["manifests"][0]["digest"].as_str().unwrap();
    bench.refuses_layout(
        &image,
        &format!("manifest {manifest} has 1 layers, its configuration has 0 diff_ids"),
    );

    let ids = [sha256(&layers[0].0)];
    let image = Oci::with(&config(&ids), [(layers[0].0.clone(), "tar+gzip+encrypted")]);
    bench.refuses_layout(&image, &format!("layer {}: media type \"application/vnd.oci.image.layer.v1.tar+gzip+encrypted\" is not supported", ids[0]));

    let mut other = config(&[]);
    other["architecture"] = json!("riscv64");
    bench.refuses_layout(
        &Oci::with(&other, []),
        "the image is for linux/riscv64, this host runs linux/amd64",
    );
    other["architecture"] = json!("");
    let image = Oci::with(&other, []);
    let digest = sha256(other.to_string().as_bytes());
    bench.refuses_layout(
        &image,
        &format!("configuration {digest}: field architecture is missing"),
    );
}

#[test]
fn errors_in_a_layer_name_layer_and_entry() {
    let bench = Bench::new();
    let layer = Tar::default().file("../x", "").finish();
    let digest = sha256(&layer);
    bench.refuses_layout(
        &Oci::of(&[layer]),
        &format!(r#"layer {digest}: entry "../x": name has a ".." component"#),
    );
    let docker = docker_archive(&[], &[Tar::default().file("/x", "").finish()]);
    bench.refuses_file(
        "d.tar",
        &docker,
        r#"layer 0/layer.tar: entry "/x": name is absolute"#,
    );
}

#[test]
fn one_of_several_images_is_chosen_by_tag() {
    let bench = Bench::new();
    let mut image = Oci::of(&[tree().finish()]);
    let other = Oci::of(&[Tar::default().file("other", "").finish()]);
    let mut first = image.index["manifests"][0].clone();
    let mut second = other.index["manifests"][0].clone();
    first["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    second["annotations"] = json!({"org.opencontainers.image.ref.name": "v2"});
    image.index = json!({"manifests": [first, second]});
    image.blobs.extend(other.blobs);
    let layout = bench.layout("two", &image);
    assert_is_tree(&bench.import(&format!("oci:{layout}:v1")));
    let error = r#"DIR/two has no image "v3"; it has: "v1", "v2""#;
    bench.refuses(&format!("oci:{layout}:v3"), error);
    let error = r#"DIR/two holds several images, name one of: "v1", "v2""#;
    bench.refuses(&layout, error);
}

#[test]
fn docker_names_are_short_or_long() {
    let bench = Bench::new();
    let archive = docker_archive(
        &["docker.io/library/app:latest", "app:v2"],
        &[tree().finish()],
    );
    let path = bench.write("d.tar", &archive);
    for name in [
        "app",
        "app:v2",
        "library/app",
        "docker.io/library/app:latest",
    ] {
        bench.import(&format!("docker-archive:{path}:{name}"));
    }
    bench.refuses(
        &format!("docker-archive:{path}:app:v3"),
        r#"DIR/d.tar has no image "app:v3"; it has: "docker.io/library/app:latest", "app:v2""#,
    );
}

#[test]
fn the_platform_is_chosen_from_nested_indexes() {
    let bench = Bench::new();
    let mut image = Oci::of(&[tree().finish()]);
    let manifest = image.index["manifests"][0].clone();
    let for_platform = |os: &str, architecture: &str| {
        let mut descriptor = manifest.clone();
        descriptor["platform"] = json!({"os": os, "architecture": architecture});
        descriptor
    };
    let foreign = [
        for_platform("linux", "arm64"),
        for_platform("unknown", "unknown"),
    ];
    let inner = [foreign.to_vec(), vec![for_platform("linux", "amd64")]].concat();
    let inner = image.add(INDEX_TYPE, json!({"manifests": inner}).to_string());
    image.index = json!({"manifests": [inner]});
    assert_is_tree(&bench.import(&bench.layout("multi", &image)));

    image.index = json!({"manifests": foreign});
    bench.refuses_layout(
        &image,
        "the image is for linux/arm64, unknown/unknown, this host runs linux/amd64",
    );

    let mut nested = inner;
    for _ in 0..6 {
        nested = image.add(INDEX_TYPE, json!({"manifests": [nested]}).to_string());
    }
    image.index = json!({"manifests": [nested]});
    bench.refuses_layout(&image, "index.json is nested more than 4 indexes deep");
}

#[test]
fn archives_of_members_are_checked_too() {
    let bench = Bench::new();
    let t = Tar::default;
    let cases = [
        (
            t().file("index.json", "").file("../x", ""),
            r#"DIR/m.tar: entry "../x" has a bad name"#,
        ),
        (
            t().file("index.json", "").file("./index.json", ""),
            r#"DIR/m.tar: entry "./index.json" occurs twice"#,
        ),
        (
            t().file("manifest.json", "[]").symlink("l", "../../x"),
            r#"DIR/m.tar: entry "l" is a symbolic link out of the archive"#,
        ),
        (
            t().symlink("manifest.json", "manifest.json"),
            "DIR/m.tar is neither an ACI, an OCI layout or archive, nor a docker archive",
        ),
        (t().file("manifest.json", "[]"), "DIR/m.tar holds no image"),
        (
            t().file("manifest.json", r#"[{"Config":"../../etc/shadow"}]"#),
            r#"DIR/m.tar has no "../../etc/shadow""#,
        ),
    ];
    for (archive, expected) in cases {
        bench.refuses_file("m.tar", &archive.finish(), expected);
    }
}

#[test]
fn links_between_members_are_followed() {
    let bench = Bench::new();
    let layer = tree().finish();
    let config = config(&[sha256(&layer), sha256(&layer)]).to_string();
    let manifest = json!([{"Config": "c.json", "Layers": ["a/layer.tar", "b/layer.tar"]}]);
    let archive = Tar::default()
        .file("a/layer.tar", &layer)
        .symlink("b/layer.tar", "../a/layer.tar")
        .file("c.json", config)
        .file("manifest.json", manifest.to_string());
    assert_is_tree(&bench.import(&bench.write("d.tar", &archive.finish())));
}

#[test]
fn what_a_dead_import_left_is_swept_and_a_living_one_is_not() {
    let bench = Bench::new();
    let dead = bench.store.tmp().join("import-1-0");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("rootfs.erofs"), "half").unwrap();
    fs::write(bench.store.tmp().join("file"), "").unwrap();
    let living = workspace::Workspace::create(&bench.store).unwrap();
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 1);
    bench.import(&bench.write("a.aci", &aci(rootfs_tree())));
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 1);
    drop(living);
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 0);
}

#[test]
fn imports_at_the_same_time_agree() {
    let bench = Bench::new();
    let path = bench.write("a.aci", &aci(rootfs_tree()));
    let ids: Vec<ImageId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| bench.import(&path).id))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_is_tree(&bench.store.get(&ids[0]).unwrap().unwrap());
    assert_eq!(fs::read_dir(bench.store.tmp()).unwrap().count(), 0);
}

#[test]
fn manifests_follow_the_reference() {
    let bench = Bench::new();
    let image = Oci::of(&[tree().finish()]);
    let one = bench.import(&bench.layout("one", &image));
    let two = bench.import(&bench.layout("two", &image));
    assert_eq!(one.id, two.id);
    assert_eq!((one.name.as_str(), two.name.as_str()), ("one", "two"));
}
