//! Files that are no images, and ACIs that lie.

use super::*;
use crate::test_archive::{Fields, aci_with, docker_archive, manifest};

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
fn disks_of_machines_are_no_images() {
    let bench = Bench::new();
    // QEMU's, Hyper-V's old and new, VMware's: what lies in them of other files is never looked for.
    let starts: [&[u8]; 4] = [b"QFI\xfb\0\0\0\x03", b"conectix", b"vhdxfile", b"KDMV"];
    for start in starts {
        let mut disk = start.to_vec();
        disk.resize(64 << 10, 0);
        let sum = start.iter().map(|&b| u32::from(b)).sum::<u32>() + 8 * u32::from(b' ');
        bench.refuses_file(
            "x",
            &disk,
            &format!(
                "DIR/x is neither an ACI, an OCI layout or archive, nor a docker archive: \
                 not a tar header at byte 0: checksum field \"\", computed {sum}"
            ),
        );
    }
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
}

#[test]
fn hard_links_of_acis_lead_to_files_before_them() {
    let bench = Bench::new();
    let cases = [
        (
            Tar::default().hard_link("rootfs/b", "rootfs/b"),
            "linkname is the entry's own name",
        ),
        (
            Tar::default()
                .dir("rootfs/d")
                .hard_link("rootfs/b", "rootfs/d"),
            r#"linkname "d" is a directory"#,
        ),
        (
            Tar::default()
                .hard_link("rootfs/b", "rootfs/f")
                .file("rootfs/f", ""),
            r#"linkname "f" does not exist before this entry"#,
        ),
        (
            Tar::default().hard_link("rootfs/b", "rootfs/../../f"),
            r#"linkname has a ".." component"#,
        ),
    ];
    for (tree, expected) in cases {
        let expected = format!(r#"entry "rootfs/b": {expected}"#);
        bench.refuses_file("x.aci", &aci(tree), &expected);
    }
}

#[test]
fn acis_of_the_wrong_size_are_refused() {
    let bench = Bench::new();
    let t = Tar::default;
    let whole = aci(t().file("rootfs/f", "x"));
    bench.refuses_file(
        "x.aci",
        &whole[..whole.len() - 1024],
        "truncated: no end-of-archive marker at byte 2560",
    );
    let oversized = Fields {
        size: 0o77_777_777_777,
        ..Fields::of("rootfs/f", b'0')
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
            with("dependencies", json!([{"imageName": "A"}])),
            r#"manifest: field dependencies[0].imageName: "A" is not the name of an image or the beginning of one: small letters and digits, and one of "-._~/" between two of them"#,
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
