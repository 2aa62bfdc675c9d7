use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use std::fs;

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
    let opened = Stage1Image::open(directory.path());
    let checked = opened.and_then(|image| image.check());
    let text = checked.unwrap_err().to_string();
    text.replace(&directory.path().display().to_string(), "DIR")
}

const RUN: &str = "coreos.com/rkt/stage1/run";
const STOP: &str = "coreos.com/rkt/stage1/stop";

const GOOD: [(&str, &str); 3] = [(RUN, "/run"), (VERSION, "6"), (TAKES_BLOCK_IMAGES, "true")];

#[test]
fn a_whole_image() {
    let directory = image(&GOOD);
    let image = Stage1Image::open(directory.path()).unwrap();
    image.check().unwrap();
    let program = image.program(Entrypoint::Run).unwrap();
    assert_eq!(program, directory.path().join("rootfs/run"));
    assert_eq!(image.interface_version(), 6);
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
fn what_is_missing_is_named() {
    let directory = image(&[(VERSION, "6")]);
    assert_eq!(
        error(&directory),
        format!("DIR/manifest: annotation {RUN}: is missing")
    );

    for outside in ["/../run", "run", "../run", ""] {
        let directory = image(&[(RUN, outside), (VERSION, "6")]);
        let error = error(&directory);
        let expected = format!("DIR/manifest: annotation {RUN}: \"{outside}\" is not a");
        assert!(error.starts_with(&expected), "{error}");
    }

    let directory = image(&GOOD);
    fs::write(directory.path().join("manifest"), "{").unwrap();
    assert_eq!(error(&directory), "DIR/manifest");
    fs::remove_file(directory.path().join("manifest")).unwrap();
    assert_eq!(error(&directory), "read DIR/manifest");
}

#[test]
fn versions_from_the_first_to_ours_are_spoken() {
    let version = |text: &str| {
        let directory = image(&[(RUN, "/run"), (VERSION, text)]);
        Stage1Image::open(directory.path()).map(|image| image.interface_version())
    };
    for number in 1..=6 {
        assert_eq!(version(&number.to_string()).unwrap(), number);
    }
    let without = image(&[(RUN, "/run")]);
    let without = Stage1Image::open(without.path()).unwrap();
    assert_eq!(without.interface_version(), 1);
    for wrong in ["7", "0", "-1", "5.0", "six", "", "99999999999999999999"] {
        let directory = image(&[(RUN, "/run"), (VERSION, wrong)]);
        let expected = format!(
            "DIR/manifest: annotation {VERSION}: \"{wrong}\" is none of 1 to 6, which this program speaks"
        );
        assert_eq!(error(&directory), expected);
    }
}

#[test]
fn every_entrypoint_must_be_a_program_of_the_image() {
    let whole = |make: fn(&Path)| {
        let directory = image(&[(RUN, "/run"), (STOP, "/bin/stop"), (VERSION, "6")]);
        make(&directory.path().join("rootfs"));
        error(&directory)
    };
    let wrong = |problem| format!("DIR/manifest: annotation {STOP}: /bin/stop {problem}");
    assert_eq!(whole(|_| ()), wrong("is not in the image"));
    let file = whole(|root| fs::write(root.join("bin"), "").unwrap());
    assert_eq!(file, wrong("is not in the image"));
    let no_program = whole(|root| {
        fs::create_dir(root.join("bin")).unwrap();
        fs::write(root.join("bin/stop"), "").unwrap();
    });
    assert_eq!(no_program, wrong("is not an executable file"));
    let directory = whole(|root| fs::create_dir_all(root.join("bin/stop")).unwrap());
    assert_eq!(directory, wrong("is not an executable file"));
    let link = whole(|root| {
        fs::create_dir(root.join("bin")).unwrap();
        std::os::unix::fs::symlink("/bin/sh", root.join("bin/stop")).unwrap();
    });
    assert_eq!(link, wrong("is a link out of the image"));
    let link = whole(|root| std::os::unix::fs::symlink("../..", root.join("bin")).unwrap());
    assert_eq!(link, wrong("is a link out of the image"));
}

#[test]
fn a_link_inside_the_image_leads_to_a_program() {
    let directory = image(&[(RUN, "/run"), (STOP, "/bin/stop")]);
    let root = directory.path().join("rootfs");
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
    std::os::unix::fs::symlink("../../run", root.join("usr/bin/stop")).unwrap();
    let image = Stage1Image::open(directory.path()).unwrap();
    image.check().unwrap();
    let missing = image.program(Entrypoint::Enter).unwrap_err();
    let missing = missing.to_string();
    let expected = "annotation coreos.com/rkt/stage1/enter: is missing";
    assert!(missing.ends_with(expected), "{missing}");
}
