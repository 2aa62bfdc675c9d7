use proptest::prelude::*;

use super::*;
use crate::convert::Conversion;
use crate::erofs::{Spool, write};
use crate::tar::{Stream, TarReader};
use crate::test_archive::{Fields, Tar};

fn filesystem(tar: Tar) -> (tempfile::TempDir, Filesystem) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let file = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(&path);
    let mut conversion = Conversion::new(Spool::new(file.unwrap(), tempfile::tempfile().unwrap()));
    let archive = tar.finish();
    conversion
        .apply_layer(&mut TarReader::new(Stream(&archive[..])))
        .unwrap();
    write(&mut conversion.tree, conversion.spool, [0; 16]).unwrap();
    let opened = Filesystem::open(&path).unwrap();
    (dir, opened)
}

fn content(fs: &Filesystem, path: &str) -> Option<Vec<u8>> {
    let found = fs.lookup(path).unwrap().found()?;
    fs.read(&found, 1 << 20).unwrap()
}

fn link(tar: Tar, name: &str, target: &str) -> Tar {
    tar.header(&Fields {
        link: target.as_bytes().to_vec(),
        ..Fields::of(name.as_bytes(), b'2')
    })
}

#[test]
fn files_of_every_length_are_read_as_they_were_written() {
    let mut tar = Tar::default();
    let lengths = [0, 1, 100, 4000, 4095, 4096, 4097, 8191, 8192, 20_000];
    let bytes = |length: usize| -> Vec<u8> { (0..=250).cycle().take(length).collect() };
    for length in lengths {
        tar = tar.file(format!("d/{length}").as_bytes(), bytes(length));
    }
    let (_dir, fs) = filesystem(tar);
    for length in lengths {
        assert!(
            content(&fs, &format!("/d/{length}")) == Some(bytes(length)),
            "{length}"
        );
    }
    let found = fs.lookup("/d/100").unwrap().found().unwrap();
    assert!(found.is_file() && fs.read(&found, 99).unwrap().is_none());
}

#[test]
fn every_name_of_a_large_directory_is_found_and_no_other() {
    let mut tar = Tar::default();
    let name = |number: usize| format!("d/a-rather-long-name-of-a-file-{number}");
    for number in 0..1000 {
        tar = tar.file(name(number).as_bytes(), number.to_string().as_bytes());
    }
    let (_dir, fs) = filesystem(tar);
    for number in 0..1000 {
        let text = number.to_string().into_bytes();
        assert_eq!(content(&fs, &name(number)), Some(text));
    }
    assert_eq!(content(&fs, &name(1000)), None);
    assert_eq!(content(&fs, "d/a-rather-long-name"), None);
    assert!(fs.lookup("/d/").unwrap().found().unwrap().is_directory());
}

#[test]
fn links_lead_where_a_process_in_the_image_would_go() {
    let mut tar = Tar::default().file(b"usr/etc/passwd", b"p");
    for (name, target) in [
        ("etc", "usr/etc"),
        ("a", "/usr/../../etc/./passwd"),
        ("loop", "loop"),
        ("dangling", "nothing"),
        ("usr/up", "../../../etc/passwd"),
    ] {
        tar = link(tar, name, target);
    }
    let (_dir, fs) = filesystem(tar);
    for path in [
        "/etc/passwd",
        "a",
        "usr/up",
        "/../etc/passwd",
        "/etc/../etc//passwd",
    ] {
        assert_eq!(content(&fs, path), Some(b"p".to_vec()), "{path}");
    }
    for path in [
        "/loop",
        "/dangling",
        "/etc/passwd/x",
        "/a/../passwd",
        "/etc/none",
    ] {
        assert!(fs.lookup(path).unwrap().found().is_none(), "{path}");
    }
    let missing = |path| {
        matches!(
            fs.lookup(path).unwrap(),
            Lookup::Missing { over_link: true }
        )
    };
    assert!(missing("/etc/none") && !missing("/usr/none"));
    assert!(
        !fs.lookup_itself("/etc")
            .unwrap()
            .found()
            .unwrap()
            .is_directory()
    );
}

#[test]
fn owners_are_read_from_both_forms_of_inodes() {
    let owner = |name: &[u8], uid, gid| Fields {
        uid,
        gid,
        ..Fields::of(name, b'0')
    };
    let tar = Tar::default()
        .header(&owner(b"small", 7, 8))
        .header(&owner(b"large", 70_000, 80_000));
    let (_dir, fs) = filesystem(tar);
    for (path, ids) in [("small", (7, 8)), ("large", (70_000, 80_000))] {
        let found = fs.lookup(path).unwrap().found().unwrap();
        assert_eq!((found.uid, found.gid), ids);
    }
}

proptest! {
    #[test]
    fn damage_is_an_error_or_nothing(place in 1024_usize..40_000, bytes in prop::collection::vec(any::<u8>(), 1..64)) {
        let mut tar = Tar::default().file(b"etc/passwd", [b'x'; 5000]);
        tar = link(tar, "etc/link", "passwd");
        let (dir, _) = filesystem(tar);
        let path = dir.path().join("image");
        let mut image = std::fs::read(&path).unwrap();
        let end = image.len();
        let place = place.min(end - 1);
        let length = bytes.len().min(end - place);
        image[place..place + length].copy_from_slice(&bytes[..length]);
        std::fs::write(&path, image).unwrap();
        if let Ok(fs) = Filesystem::open(&path)
            && let Ok(Lookup::Found(found)) = fs.lookup("/etc/link") {
            let _ = fs.read(&found, 1 << 20);
        }
    }
}
