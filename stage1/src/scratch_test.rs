use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;

use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn a_copy_has_the_same_bytes_and_the_same_holes() {
    let directory = tempfile::tempdir().unwrap();
    copies_of(tempfile::tempfile_in(directory.path()).unwrap());
}

#[test]
fn a_copy_from_another_file_system_has_them_too() {
    copies_of(tempfile::tempfile_in("/dev/shm").unwrap());
}

#[track_caller]
fn copies_of(mut template: File) {
    let directory = tempfile::tempdir().unwrap();
    template.set_len(64 * MIB).unwrap();
    template.write_all(b"start").unwrap();
    template.seek(io::SeekFrom::Start(32 * MIB)).unwrap();
    template.write_all(&[7; 10_000]).unwrap();

    let path = directory.path().join("web.ext4");
    let mut copy = create(&template, 128 * MIB, &path).unwrap();

    let metadata = copy.metadata().unwrap();
    assert_eq!(metadata.len(), 128 * MIB);
    assert!(
        metadata.blocks() * 512 < MIB,
        "{} blocks",
        metadata.blocks()
    );
    let (mut original, mut copied) = (Vec::new(), Vec::new());
    template.rewind().unwrap();
    template.read_to_end(&mut original).unwrap();
    copy.read_to_end(&mut copied).unwrap();
    assert!(copied.iter().skip(64 << 20).all(|&byte| byte == 0));
    copied.truncate(64 << 20);
    assert!(original == copied, "the copy differs");
}

#[test]
fn a_file_that_is_there_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let template = tempfile::tempfile_in(directory.path()).unwrap();
    let path = directory.path().join("web.ext4");
    std::fs::write(&path, "mine").unwrap();
    let error = create(&template, 0, &path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("make the scratch disk {}", path.display())
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

#[test]
fn a_template_s_superblock_says_how_long_copies_are() {
    let file = tempfile::tempfile().unwrap();
    let write = |at, number: u32| file.write_all_at(&number.to_le_bytes(), at).unwrap();
    assert!(length(&file).is_err(), "an empty file has none");
    write(1024 + 4, 2_621_440);
    write(1024 + 24, 2);
    write(1024 + 0x150, 0);
    assert_eq!(length(&file).unwrap(), 10 << 30);
    for (blocks, size) in [(0, 2), (u32::MAX, 60), (1, 64), (1, u32::MAX)] {
        write(1024 + 4, blocks);
        write(1024 + 24, size);
        assert!(length(&file).is_err(), "{blocks} blocks, {size}");
    }
}
