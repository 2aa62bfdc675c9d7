use std::fs;
use std::os::unix::fs::FileExt;

use super::*;
use crate::convert::Conversion;
use crate::erofs::{Spool, write};
use crate::tar::{Stream, TarReader};
use crate::test_archive::Tar;

// What a whole image becomes is compared by `test_oracle`, for every image of the writer's tests.

/// An image with a file `abc`, of which the caller changes bytes.
fn damaged(damage: impl FnOnce(&mut Vec<u8>)) -> Result<(), RenderError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let mut options = File::options();
    let file = options.create_new(true).read(true).write(true).open(&path);
    let mut conversion = Conversion::new(Spool::new(file.unwrap(), tempfile::tempfile().unwrap()));
    let archive = Tar::default().file(b"abc", b"x").finish();
    conversion
        .apply_layer(&mut TarReader::new(Stream(&archive[..])))
        .unwrap();
    write(&mut conversion.tree, conversion.spool, [0; 16]).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    damage(&mut bytes);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    let target = dir.path().join("target");
    fs::create_dir(&target).unwrap();
    let rendered = Filesystem::open(&path).unwrap().render(&target);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(names.len(), 2, "nothing was made beside it");
    rendered
}

/// Puts another name in the place of the file's.
fn rename(bytes: &mut [u8], name: [u8; 3]) {
    let at = bytes.windows(3).position(|window| window == b"abc");
    let at = at.expect("the name is there");
    bytes[at..at + 3].copy_from_slice(&name);
}

#[test]
fn a_name_that_leads_elsewhere_is_damage() {
    for name in [*b"../", *b"/ab", *b"a/b"] {
        let error = damaged(|bytes| rename(bytes, name)).unwrap_err();
        assert_eq!(error.to_string(), "the image is damaged: names of files");
    }
}

#[test]
fn a_directory_in_itself_ends() {
    let error = damaged(|bytes| {
        let at = bytes
            .windows(3)
            .position(|window| window == b"abc")
            .unwrap();
        // The entries are before the names: `.`, `..`, the file. Its inode becomes that of `.`.
        let entries = at - 3 - 3 * 12;
        let own = bytes[entries..entries + 8].to_vec();
        bytes[entries + 24..entries + 32].copy_from_slice(&own);
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "the image is damaged: directories in directories"
    );
}

#[test]
fn a_directory_that_has_something_already_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("target")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
    let path = dir.path().join("image");
    let mut options = File::options();
    let file = options.create_new(true).read(true).write(true).open(&path);
    let mut conversion = Conversion::new(Spool::new(file.unwrap(), tempfile::tempfile().unwrap()));
    let archive = Tar::default().file(b"abc", b"x").finish();
    conversion
        .apply_layer(&mut TarReader::new(Stream(&archive[..])))
        .unwrap();
    write(&mut conversion.tree, conversion.spool, [0; 16]).unwrap();
    let image = Filesystem::open(&path).unwrap();
    assert!(image.render(&dir.path().join("link")).is_err(), "a link");
    let target = dir.path().join("target");
    std::os::unix::fs::symlink("/nowhere", target.join("abc")).unwrap();
    let error = image.render(&target).unwrap_err();
    assert_eq!(error.to_string(), "make \"abc\" (file)");
}
