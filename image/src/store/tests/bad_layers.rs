//! Layers that are packed in other ways than they say, end too early, or want too much.

use super::*;
use crate::test_archive::{Fields, config, sha256};
use crate::test_compression::{FORMS, pack};

/// An image of one packed layer whose content has this digest.
fn packed(blob: Vec<u8>, ending: &str, content: &[u8]) -> Oci {
    Oci::with(&config(&[sha256(content)]), [(blob, ending)])
}

#[test]
fn what_a_layer_says_of_its_compression_does_not_count() {
    let layer = tree().finish();
    let mut blobs: Vec<Vec<u8>> = FORMS.iter().map(|&form| pack(form, &layer)).collect();
    blobs.push(layer.clone());
    for ending in ["tar", "tar+gzip", "tar+zstd"] {
        for blob in &blobs {
            let bench = Bench::new();
            let image = packed(blob.clone(), ending, &layer);
            assert_is_tree(&bench.import(&bench.layout("l", &image)));
        }
    }
}

#[test]
fn a_layer_is_unpacked_once() {
    let bench = Bench::new();
    let layer = tree().finish();
    for form in FORMS {
        let inner = pack(form, &layer);
        let blob = pack(form, &inner);
        let digest = sha256(&blob);
        let path = bench.layout("layout", &packed(blob, "tar+gzip", &inner));
        let before = bench.files();
        let error = bench.try_import(&path).unwrap_err();
        let start = format!("cannot import image DIR/layout: layer {digest}: ");
        assert!(error.starts_with(&start), "{error}");
        assert!(
            error.contains("in a header") || error.contains("not a tar header"),
            "{error}"
        );
        assert_eq!(bench.files(), before, "something was left behind");
    }
}

#[test]
fn a_packed_layer_that_is_cut_or_goes_on_as_something_else_is_refused() {
    let bench = Bench::new();
    let layer = tree().finish();
    for form in FORMS {
        let whole = pack(form, &layer);
        let cut = whole[..whole.len() - 1].to_vec();
        let followed = [&whole[..], b"and something else"].concat();
        for blob in [cut, followed] {
            let digest = sha256(&blob);
            let path = bench.layout("layout", &packed(blob, "tar+gzip", &layer));
            let before = bench.files();
            let error = bench.try_import(&path).unwrap_err();
            let start = format!("cannot import image DIR/layout: layer {digest}: ");
            assert!(error.starts_with(&start), "{form:?}: {error}");
            assert!(
                error.contains("cannot read the archive"),
                "{form:?}: {error}"
            );
            assert_eq!(bench.files(), before, "something was left behind");
        }
    }
}

#[test]
fn sizes_that_no_archive_has_are_refused() {
    let bench = Bench::new();
    let sized = |sizes: &[u64]| {
        let entries = sizes.iter().enumerate();
        entries.fold(Tar::default(), |tar, (number, size)| {
            tar.pax(&[("size", size.to_string().as_bytes())])
                .file(format!("f{number}"), "")
        })
    };
    let refuses = |tar: Tar, expected: &str| {
        let layer = tar.finish();
        let digest = sha256(&layer);
        bench.refuses_layout(&Oci::of(&[layer]), &format!("layer {digest}: {expected}"));
    };
    refuses(
        sized(&[u64::MAX]),
        "entry \"f0\": size is 18446744073709551615, the image would have more than 274877906944 bytes of files",
    );
    let mut negative = Tar::default().file("f", "").0;
    negative[124..136].copy_from_slice(&[0xff; 12]);
    negative[148..156].copy_from_slice(b"        ");
    let sum: u32 = negative[..512].iter().map(|&b| u32::from(b)).sum();
    negative[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let shown = r"\xff".repeat(12);
    refuses(
        Tar(negative),
        &format!("entry \"f\": field size is not a valid number: \"{shown}\""),
    );
    let layer = Fields {
        size: 0o77_777_777_777,
        ..Fields::of("f", b'0')
    };
    refuses(
        Tar::default().header(&layer),
        "truncated: 8589933567 bytes are missing at byte 1536 (in its data, entry \"f\")",
    );
}

#[test]
fn names_of_any_bytes_are_kept_and_shown_escaped() {
    let bench = Bench::new();
    let odd = b"new\nline\xff\x1b[2J";
    let layer = Tar::default().file(odd, "x").finish();
    let image = bench.import(&bench.layout("odd", &Oci::of(&[layer])));
    assert_eq!(contents_of(&image.erofs_path)[&odd[..]], b"x");
    let layer = Tar::default().hard_link(odd, odd).finish();
    let digest = sha256(&layer);
    bench.refuses_layout(
        &Oci::of(&[layer]),
        &format!(
            r#"layer {digest}: entry "new\nline\xff\x1b[2J": linkname is the entry's own name"#
        ),
    );
}

#[test]
fn attributes_that_many_files_have_are_bounded_as_often_as_they_are_written() {
    let bench = Bench::new();
    let value = vec![b'a'; 60_000];
    let record = [&b"SCHILY.xattr.user.a="[..], &value, b"\n"].concat();
    let header = [format!("{} ", record.len() + 6).as_bytes(), &record].concat();
    let tar = Tar::default().entry(&Fields::of("g", b'g'), &header);
    let layer = (0..18_000)
        .fold(tar, |tar, number| tar.file(format!("f{number}"), ""))
        .finish();
    bench.refuses_layout(
        &Oci::of(&[layer]),
        "the extended attributes of all files have more than 1073741824 bytes",
    );
}

#[test]
fn attributes_of_all_entries_are_bounded_together() {
    let bench = Bench::new();
    let entry = |tar: Tar, number: u32| {
        let mut value = vec![0; 60_000];
        value[..4].copy_from_slice(&number.to_le_bytes());
        tar.pax(&[("SCHILY.xattr.user.a", &value)])
            .file(format!("f{number}"), "")
    };
    let layer = (0..280).fold(Tar::default(), entry).finish();
    let digest = sha256(&layer);
    bench.refuses_layout(
        &Oci::of(&[layer]),
        &format!(
            "layer {digest}: entry \"f279\": the image has more than 16777216 bytes of extended attributes"
        ),
    );
}
