//! App Container images with hostile archives and manifests: refused with the entry's or field's name.

use std::fs;
use std::path::Path;

use crate::bad_images::{refused, refused_after_import};
use crate::bulkhead::{Finished, own_data};

/// A header and its content as ustar (POSIX.1-1988) has them.
fn entry(name: &str, kind: u8, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000755");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[148..156].copy_from_slice(b"        ");
    header[156] = kind;
    header[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

const FILE: u8 = b'0';
const HARD_LINK: u8 = b'1';
const SYMLINK: u8 = b'2';
const DIRECTORY: u8 = b'5';

const MANIFEST: &str = r#"{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/bad",
    "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}],
    "app": {"exec": ["/x"], "user": "0", "group": "0"}}"#;

/// Makes an image of this manifest and these entries.
fn write(path: &Path, manifest: &str, entries: &[Vec<u8>]) {
    let mut bytes = entry("manifest", FILE, "", manifest.as_bytes());
    bytes.extend(entry("rootfs", DIRECTORY, "", b""));
    bytes.extend(entries.concat());
    bytes.extend([0; 1024]);
    fs::write(path, bytes).unwrap();
}

/// Runs an image of this manifest and these entries, which must be refused.
#[track_caller]
fn image(manifest: &str, entries: &[Vec<u8>]) -> Finished {
    let files = own_data();
    let path = files.path().join("hostile.aci");
    write(&path, manifest, entries);
    refused(&path)
}

/// Runs an image whose manifest has something else in one place, which must be refused.
#[track_caller]
fn manifest(changed: &str, into: &str) -> Finished {
    assert!(MANIFEST.contains(changed));
    let files = own_data();
    let path = files.path().join("hostile.aci");
    write(&path, &MANIFEST.replace(changed, into), &[]);
    refused_after_import(&path)
}

#[test]
fn names_that_lead_out_of_the_tree() {
    image(MANIFEST, &[entry("rootfs/../../etc/evil", FILE, "", b"x")])
        .says("rootfs/../../etc/evil");
    image(MANIFEST, &[entry("/rootfs/evil", FILE, "", b"x")]).says("/rootfs/evil");
    image(MANIFEST, &[entry("elsewhere/evil", FILE, "", b"x")]).says("elsewhere/evil");
}

#[test]
fn a_symlink_as_parent() {
    let entries = [
        entry("rootfs/link", SYMLINK, "/etc", b""),
        entry("rootfs/link/evil", FILE, "", b"x"),
    ];
    image(MANIFEST, &entries)
        .says("rootfs/link")
        .says("not a directory");
}

#[test]
fn hard_links_out_of_the_tree() {
    image(
        MANIFEST,
        &[entry("rootfs/evil", HARD_LINK, "../../etc/passwd", b"")],
    )
    .says("rootfs/evil");
    image(
        MANIFEST,
        &[entry("rootfs/evil", HARD_LINK, "/etc/passwd", b"")],
    )
    .says("rootfs/evil");
    image(
        MANIFEST,
        &[entry("rootfs/evil", HARD_LINK, "manifest", b"")],
    )
    .says("rootfs/evil");
}

#[test]
fn duplicate_entries() {
    let twice = [
        entry("rootfs/file", FILE, "", b"1"),
        entry("rootfs/file", FILE, "", b"2"),
    ];
    image(MANIFEST, &twice)
        .says("rootfs/file")
        .says("occurs twice");
}

#[test]
fn an_entry_that_claims_more_than_there_is() {
    let mut huge = entry("rootfs/huge", FILE, "", b"");
    huge[124..135].copy_from_slice(b"77777777777");
    huge[148..156].copy_from_slice(b"        ");
    let sum: u32 = huge.iter().map(|byte| u32::from(*byte)).sum();
    huge[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    image(MANIFEST, &[huge]).says("rootfs/huge");
}

#[test]
fn a_manifest_that_is_no_json_or_of_another_kind() {
    image("{", &[]).says("manifest");
    manifest("ImageManifest", "PodManifest").says("acKind");
}

#[test]
fn wrong_types_name_the_field() {
    manifest(r#"["/x"]"#, r#""/x""#).says("exec");
    manifest(r#""user": "0""#, r#""user": 0"#).says("user");
    manifest(r#""example.com/bad""#, r#""Not A Name""#).says("name");
}

#[test]
fn isolators_of_an_app_must_be_known() {
    manifest(
        r#""group": "0""#,
        r#""group": "0", "isolators": [{"name": "example.com/unknown", "value": {}}]"#,
    )
    .says("isolator");
}

#[test]
fn duplicate_names_in_a_manifest() {
    manifest(
        r#"{"name": "os", "value": "linux"}"#,
        r#"{"name": "os", "value": "linux"}, {"name": "os", "value": "linux"}"#,
    )
    .says("labels");
    manifest(
        r#""group": "0""#,
        r#""group": "0", "environment": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]"#,
    )
    .says("environment");
}

#[test]
fn another_architecture_is_named() {
    manifest(r#""amd64""#, r#""aarch64""#).says("aarch64");
}
