use std::os::unix::net::UnixListener;

use super::*;

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[test]
fn files_are_links_directories_are_new() {
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (directory.path().join("a"), directory.path().join("b"));
    fs::create_dir_all(source.join("x/empty")).unwrap();
    fs::write(source.join("x/file"), "data").unwrap();
    symlink("../elsewhere", source.join("x/link")).unwrap();

    link_tree(&source, &target).unwrap();

    assert_eq!(inode(&source.join("x/file")), inode(&target.join("x/file")));
    assert_ne!(inode(&source.join("x")), inode(&target.join("x")));
    assert!(target.join("x/empty").is_dir());
    assert_eq!(
        fs::read_link(target.join("x/link")).unwrap(),
        Path::new("../elsewhere")
    );
}

#[test]
fn a_socket_is_no_part_of_an_image() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("a");
    fs::create_dir(&source).unwrap();
    let _listener = UnixListener::bind(source.join("socket")).unwrap();
    let error = link_tree(&source, &directory.path().join("b"))
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("/a/socket is neither file, directory nor symbolic link"),
        "{error}"
    );
}

#[test]
fn what_is_missing_or_in_the_way_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (absent, present) = (
        directory.path().join("absent"),
        directory.path().join("present"),
    );
    fs::write(&present, "").unwrap();
    let error = link_or_copy(&absent, &present).unwrap_err();
    assert_eq!(error.to_string(), format!("link {}", absent.display()));
    let error = copy_sparse(&present, &present).unwrap_err();
    assert_eq!(error.to_string(), format!("create {}", present.display()));
}

#[test]
fn a_copy_keeps_data_holes_and_mode() {
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (directory.path().join("a"), directory.path().join("b"));
    let megabyte = 1 << 20;
    let mut file = File::create(&source).unwrap();
    file.set_len(64 * megabyte).unwrap();
    for offset in [0, 8 * megabyte + 5, 40 * megabyte] {
        file.seek(SeekFrom::Start(offset)).unwrap();
        io::copy(&mut io::repeat(7).take(5000), &mut file).unwrap();
    }
    fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();

    copy_sparse(&source, &target).unwrap();

    assert!(fs::read(&source).unwrap() == fs::read(&target).unwrap());
    let metadata = fs::metadata(&target).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o755);
    assert!(
        metadata.blocks() * 512 <= megabyte,
        "{} blocks",
        metadata.blocks()
    );
}

#[test]
fn an_empty_file_and_one_that_is_all_hole() {
    let directory = tempfile::tempdir().unwrap();
    for length in [0, 1 << 20] {
        let source = directory.path().join(format!("a{length}"));
        File::create(&source).unwrap().set_len(length).unwrap();
        let target = directory.path().join(format!("b{length}"));
        copy_sparse(&source, &target).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().len(), length);
    }
}
