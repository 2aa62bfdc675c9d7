//! OCI and docker images that lie.

use super::*;
use crate::test_archive::{config, docker_archive, sha256};

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
    let docker = docker_archive(&[], &[Tar::default().file("/../x", "").finish()]);
    bench.refuses_file(
        "d.tar",
        &docker,
        r#"layer 0/layer.tar: entry "/../x": name has a ".." component"#,
    );
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
