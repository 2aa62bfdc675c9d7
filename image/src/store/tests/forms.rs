//! Good images in every form.

use super::*;
use crate::test_archive::{INDEX_TYPE, aci_with, config, docker_archive, manifest, sha256};

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
fn manifests_follow_the_reference() {
    let bench = Bench::new();
    let image = Oci::of(&[tree().finish()]);
    let one = bench.import(&bench.layout("one", &image));
    let two = bench.import(&bench.layout("two", &image));
    assert_eq!(one.id, two.id);
    assert_eq!((one.name.as_str(), two.name.as_str()), ("one", "two"));
}
