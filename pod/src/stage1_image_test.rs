use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;

fn image(annotations: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let annotations: Vec<_> = annotations
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let manifest = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "bulkhead.dev/stage1-test",
        "annotations": annotations,
    });
    fs::write(directory.path().join("manifest"), manifest.to_string()).unwrap();
    fs::create_dir(directory.path().join("rootfs")).unwrap();
    let run = directory.path().join("rootfs/run");
    fs::write(&run, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn error(directory: &tempfile::TempDir) -> String {
    let text = Stage1Image::open(directory.path()).unwrap_err().to_string();
    text.replace(&directory.path().display().to_string(), "DIR")
}

const GOOD: [(&str, &str); 3] = [(RUN, "/run"), (VERSION, "6"), (TAKES_BLOCK_IMAGES, "true")];

#[test]
fn a_whole_image() {
    let directory = image(&GOOD);
    let image = Stage1Image::open(directory.path()).unwrap();
    assert_eq!(image.run_entrypoint().as_str(), "/run");
    assert!(image.takes_block_images());
    assert_eq!(image.rootfs(), directory.path().join("rootfs"));
}

#[test]
fn a_stage1_of_rkt_takes_directories() {
    let directory = image(&GOOD[..2]);
    assert!(
        !Stage1Image::open(directory.path())
            .unwrap()
            .takes_block_images()
    );
}

#[test]
fn one_that_does_not_say_its_version_speaks_the_first() {
    let version = |annotations: &[(&str, &str)]| {
        let directory = image(annotations);
        let image = Stage1Image::open(directory.path()).unwrap();
        image.interface_version()
    };
    assert_eq!(version(&GOOD[..1]), 1);
    assert_eq!(version(&GOOD[..2]), 6);
}

#[test]
fn what_is_missing_is_named() {
    let directory = image(&[(VERSION, "6")]);
    assert_eq!(
        error(&directory),
        format!("DIR/manifest: annotation {RUN}: is missing")
    );

    for version in ["7", "0", "six"] {
        let directory = image(&[(RUN, "/run"), (VERSION, version)]);
        assert_eq!(
            error(&directory),
            format!(
                "DIR/manifest: annotation {VERSION}: \"{version}\", but this program speaks 1 to 6"
            )
        );
    }

    let directory = image(&[(RUN, "/../run"), (VERSION, "6")]);
    assert_eq!(
        error(&directory),
        format!("DIR/manifest: annotation {RUN}: \"/../run\" is not a path without \"..\"")
    );

    let directory = image(&GOOD);
    let run = directory.path().join("rootfs/run");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        error(&directory),
        "DIR/rootfs/run is not an executable file"
    );
    fs::remove_file(&run).unwrap();
    assert_eq!(error(&directory), "read DIR/rootfs/run");

    fs::write(directory.path().join("manifest"), "{").unwrap();
    assert_eq!(error(&directory), "DIR/manifest");
    fs::remove_file(directory.path().join("manifest")).unwrap();
    assert_eq!(error(&directory), "read DIR/manifest");
}
