//! OCI and docker documents that are huge, go in circles, or are something else than they say.

use super::*;
use crate::test_archive::{INDEX_TYPE, MANIFEST_TYPE, config, docker_archive, sha256};

const SCHEMA_1: [&str; 3] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    // As a registry is asked, which does not say beforehand.
    "",
];

/// A layout whose index names this document alone, as one of this type; and the document's digest.
fn naming(media_type: &str, document: &Value) -> (Oci, String) {
    let mut image = Oci::of(&[tree().finish()]);
    let descriptor = image.add(media_type, document.to_string());
    let digest = descriptor["digest"].as_str().unwrap().to_owned();
    image.index = json!({"manifests": [descriptor]});
    (image, digest)
}

/// The manifest of a good image.
fn good_manifest() -> Value {
    let image = Oci::of(&[tree().finish()]);
    serde_json::from_slice(&image.blobs.last().unwrap().1).unwrap()
}

#[test]
fn docker_s_schema_1_is_refused_by_its_name() {
    let bench = Bench::new();
    let schema_1 = json!({
        "schemaVersion": 1, "name": "library/app", "tag": "v1", "architecture": "amd64",
        "fsLayers": [{"blobSum": sha256(b"layer")}], "history": [{"v1Compatibility": "{}"}],
    });
    for media_type in SCHEMA_1 {
        let (image, digest) = naming(media_type, &schema_1);
        bench.refuses_layout(
            &image,
            &format!(
                "manifest {digest} is one of Docker's schema 1, which is not supported: \
                 push the image again with a tool that writes schema 2 or OCI's"
            ),
        );
    }
}

#[test]
fn a_document_that_is_index_and_manifest_is_refused() {
    let bench = Bench::new();
    let mut both = good_manifest();
    both["manifests"] = json!([]);
    for media_type in [MANIFEST_TYPE, INDEX_TYPE, ""] {
        let (image, digest) = naming(media_type, &both);
        bench.refuses_layout(
            &image,
            &format!("manifest {digest} has the fields of an index and those of a manifest"),
        );
    }
}

#[test]
fn a_document_of_another_type_than_it_is_said_to_be_is_refused() {
    let bench = Bench::new();
    let index = json!({"manifests": []});
    let (image, digest) = naming(MANIFEST_TYPE, &index);
    bench.refuses_layout(
        &image,
        &format!("manifest {digest} is an index, its media type is \"{MANIFEST_TYPE}\""),
    );
    let (image, digest) = naming(INDEX_TYPE, &good_manifest());
    bench.refuses_layout(
        &image,
        &format!("manifest {digest} is no index, its media type is \"{INDEX_TYPE}\""),
    );
    let mut of_itself = good_manifest();
    of_itself["mediaType"] = json!(INDEX_TYPE);
    let (image, digest) = naming(MANIFEST_TYPE, &of_itself);
    bench.refuses_layout(
        &image,
        &format!("manifest {digest} is no index, its media type is \"{INDEX_TYPE}\""),
    );
    let (image, digest) = naming("text/html\u{1b}[2J", &good_manifest());
    bench.refuses_layout(
        &image,
        &format!(r#"manifest {digest}: media type "text/html\x1b[2J" is not supported"#),
    );
}

#[test]
fn an_index_cannot_name_itself() {
    let bench = Bench::new();
    let named =
        |digest: &str, size| json!({"mediaType": INDEX_TYPE, "digest": digest, "size": size});
    let (one, other) = (sha256(b"one"), sha256(b"other"));
    let content = |next: &str| json!({"manifests": [named(next, 0)]}).to_string();
    for (first, second) in [(&one, &one), (&one, &other)] {
        let mut image = Oci::of(&[]);
        for (digest, next) in [(first, second), (second, first)] {
            let name = format!("blobs/{}", digest.replace(':', "/"));
            image.blobs.push((name, content(next).into_bytes()));
        }
        let bytes = content(second);
        image.index = json!({"manifests": [named(first, bytes.len())]});
        let found = sha256(bytes.as_bytes());
        bench.refuses_layout(
            &image,
            &format!("manifest {first}: digest is {found}, the image says {first}"),
        );
    }
}

#[test]
fn indexes_have_a_bounded_number_of_entries() {
    let bench = Bench::new();
    let mut image = Oci::of(&[tree().finish()]);
    let entry = image.index["manifests"][0].clone();
    let wide = json!({"manifests": vec![entry; 4097]});
    image.index = wide.clone();
    bench.refuses_layout(&image, "index.json has more than 4096 entries");
    let (image, digest) = naming(INDEX_TYPE, &wide);
    bench.refuses_layout(
        &image,
        &format!("index {digest} has more than 4096 entries"),
    );
    let images = vec![json!({"Config": "c.json"}); 4097];
    let archive = Tar::default().file("manifest.json", json!(images).to_string());
    bench.refuses_file(
        "d.tar",
        &archive.finish(),
        "manifest.json has more than 4096 entries",
    );
}

#[test]
fn images_have_a_bounded_number_of_layers() {
    let bench = Bench::new();
    let with_layers = |count| {
        let mut manifest = good_manifest();
        let layer = manifest["layers"][0].clone();
        manifest["layers"] = json!(vec![layer; count]);
        naming(MANIFEST_TYPE, &manifest)
    };
    let (image, digest) = with_layers(513);
    bench.refuses_layout(
        &image,
        &format!("manifest {digest} has 513 layers, more than 512"),
    );
    let (image, digest) = with_layers(100_000);
    let (name, size) = (
        format!("blobs/{}", digest.replace(':', "/")),
        image.blobs.last().unwrap().1.len(),
    );
    bench.refuses_layout(
        &image,
        &format!("DIR/layout: \"{name}\" is {size} bytes long, more than 4194304"),
    );
    let config = config(&vec![sha256(b""); 513]);
    let digest = sha256(config.to_string().as_bytes());
    bench.refuses_layout(
        &Oci::with(&config, []),
        &format!("configuration {digest} has 513 layers, more than 512"),
    );
    let images = json!([{"Config": "c.json", "Layers": vec!["l"; 100_000]}]);
    let archive = Tar::default().file("manifest.json", images.to_string());
    bench.refuses_file(
        "d.tar",
        &archive.finish(),
        "manifest.json has 100000 layers, more than 512",
    );
}

#[test]
fn sizes_that_no_blob_has_are_refused() {
    let bench = Bench::new();
    let with_size = |size: &str| {
        let text = good_manifest().to_string();
        let layer = tree().finish().len();
        let text = text.replace(&format!("\"size\":{layer}"), &format!("\"size\":{size}"));
        let mut image = Oci::of(&[tree().finish()]);
        let descriptor = image.add(MANIFEST_TYPE, text);
        image.index = json!({"manifests": [descriptor]});
        image
    };
    for (size, problem) in [
        ("-1", "invalid value: integer `-1`"),
        ("1e3", "invalid type: floating point `1000.0`"),
        (
            "18446744073709551616",
            "invalid type: floating point `1.8446744073709552e+19`",
        ),
    ] {
        let error = bench.try_import(&bench.layout("layout", &with_size(size)));
        let (error, expected) = (error.unwrap_err(), format!("is not valid: {problem}"));
        assert!(error.contains(&expected), "{error}");
    }
    let (layer, length) = (sha256(&tree().finish()), tree().finish().len());
    for size in [0, length as u64 + 1, u64::MAX] {
        bench.refuses_layout(
            &with_size(&size.to_string()),
            &format!("layer {layer}: size is {length}, the image says {size}"),
        );
    }
}

#[test]
fn json_that_is_none_or_means_two_things_is_refused() {
    let bench = Bench::new();
    let good = good_manifest().to_string();
    let twice = good.replacen('{', "{\"layers\":[],", 1);
    let deep = format!("{{\"manifests\":{}", "[".repeat(1 << 20));
    for (text, problem) in [
        (&good[..good.len() - 1], "EOF while parsing an object"),
        (&twice, "duplicate field `layers`"),
        (&deep, "EOF while parsing a list"),
        ("", "EOF while parsing a value"),
        ("null", "invalid type: null"),
        (&format!("{good}x"), "trailing characters"),
    ] {
        let mut image = Oci::of(&[tree().finish()]);
        let descriptor = image.add(MANIFEST_TYPE, text);
        image.index = json!({"manifests": [descriptor]});
        let before = bench.files();
        let _ = fs::remove_dir_all(bench.dir.path().join("layout"));
        let error = bench.try_import(&bench.layout("layout", &image));
        let (error, digest) = (error.unwrap_err(), sha256(text.as_bytes()));
        let start = format!("cannot import image DIR/layout: manifest {digest} is not valid: ");
        assert!(error.starts_with(&format!("{start}{problem}")), "{error}");
        assert_eq!(bench.files(), before, "something was left behind");
    }
}

#[test]
fn json_that_is_nested_deeply_is_refused() {
    let bench = Bench::new();
    let mut config = config(&[]);
    let deep = (0..200).fold(json!(0), |inner, _| json!([inner]));
    config["config"]["ExposedPorts"] = json!({"80/tcp": deep});
    let digest = sha256(config.to_string().as_bytes());
    let path = bench.layout("layout", &Oci::with(&config, []));
    let error = bench.try_import(&path).unwrap_err();
    let start = format!(
        "cannot import image DIR/layout: configuration {digest} is not valid: recursion limit exceeded"
    );
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn layers_that_are_elsewhere_are_not_fetched_from_there() {
    let bench = Bench::new();
    let layer = tree().finish();
    let digest = sha256(&layer);
    for base in [
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ] {
        let mut manifest = good_manifest();
        manifest["layers"][0]["mediaType"] = json!(base);
        manifest["layers"][0]["urls"] = json!(["http://127.0.0.1:1/layer", "file:///etc/passwd"]);
        let (mut image, _) = naming(MANIFEST_TYPE, &manifest);
        assert_is_tree(&bench.import(&bench.layout(&format!("there-{}", base.len()), &image)));
        let name = format!("blobs/{}", digest.replace(':', "/"));
        image.blobs.retain(|(blob, _)| *blob != name);
        let other = Bench::new();
        other.refuses_layout(&image, &format!("DIR/layout has no \"{name}\""));
    }
}

#[test]
fn an_image_without_layers_has_an_empty_root() {
    let bench = Bench::new();
    let empty = |image: &StoredImage| {
        let names: Vec<Vec<u8>> = contents_of(&image.erofs_path).into_keys().collect();
        assert_eq!(names, [b""]);
    };
    empty(&bench.import(&bench.layout("none", &Oci::of(&[]))));
    let bench = Bench::new();
    empty(&bench.import(&bench.write("d.tar", &docker_archive(&["a:b"], &[]))));
}

#[test]
fn names_in_documents_are_shown_and_not_obeyed() {
    let bench = Bench::new();
    let manifest = json!([{"Config": "\u{1b}[2J\n"}]).to_string();
    bench.refuses_file(
        "d.tar",
        &Tar::default().file("manifest.json", manifest).finish(),
        r#"DIR/d.tar has no "\x1b[2J\n""#,
    );
}
